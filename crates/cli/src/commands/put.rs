//! `handover put`: a file, published by hand as an app's output.

use super::by_hand::whoever_runs;
use super::{Start, actor, block_on, parsed, shown_here};
use crate::printer::Outcome;
use handover_core::units::format_size;
use handover_core::{AppName, TypeName};
use handover_file::HolderLock;
use handover_runtime::operations::{put, times};
use jiff::civil::Date;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
The file gets a name by the convention, APP_TYPE_DATE_SEQUENCE.EXT, in APP's folder of the data directory, and a \
manifest beside it; nothing is ever replaced. It goes where APP's links lead, or to --next. It is handed over at once \
to whoever runs.

Examples:
  handover put orders.csv --app nightly --type orders
  ./export.sh | handover put - --app exporter --type orders --ext csv --next validator";

/// The arguments of `put`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The file; `-` is standard input
    file: PathBuf,
    /// The app whose output it is to be
    #[arg(long, value_name = "APP", value_parser = parsed::<AppName>)]
    app: AppName,
    /// Its type, such as sales
    #[arg(long = "type", value_name = "TYPE", value_parser = parsed::<TypeName>)]
    type_name: TypeName,
    /// The app that gets it [default: those that the links of --app lead to]
    #[arg(long, value_name = "APP", value_parser = parsed::<AppName>)]
    next: Option<AppName>,
    /// The flow that it belongs to [default: all that lead there]
    #[arg(long)]
    flow: Option<String>,
    /// The date in its name [default: the date in the file's name, else that of its last change]
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<Date>,
    /// Its extension [default: the file's]
    #[arg(long)]
    ext: Option<String>,
}

/// Puts it in.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.project()?;
    // A temporary file is only safe from the sweep of others while its holder's lock is held.
    let lock = HolderLock::take(&project.data, project.new_holder())?;
    let what = put::Put {
        app: args.app,
        type_name: args.type_name,
        next: args.next,
        flow: args.flow,
        date: args.date,
        ext: args.ext,
        sequence: None,
    };
    let done = block_on(put::put(&project, lock.holder(), &actor(), &args.file, what))??;
    drop(lock);
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&done);
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(format_args!("{}  delivery {}", shown_here(&done.file), done.delivery_id));
    let rows = done.row_count.map(|rows| format!(", {}", times::count(rows, "row"))).unwrap_or_default();
    let size = format_size(done.file_size);
    if done.next_apps.is_empty() {
        printer.talk(format_args!("{size}{rows}; no link leads on from there, so it ends here"));
        return Ok(ExitCode::SUCCESS);
    }
    let next: Vec<&str> = done.next_apps.iter().map(AppName::as_str).collect();
    printer.talk(format_args!("{size}{rows}; it goes to {}", next.join(" and ")));
    printer.talk(whoever_runs(&project));
    Ok(ExitCode::SUCCESS)
}
