//! `handover archive`: old files out of the way, compressed, and still readable.

use super::{Start, block_on, note, parsed};
use crate::printer::Outcome;
use handover_core::{DeliveryId, units};
use handover_file::HolderLock;
use handover_ledger::NewAction;
use handover_runtime::operations::archive::{self, Archived};
use handover_runtime::operations::forget::forget_by_age;
use handover_runtime::operations::times;
use std::process::ExitCode;
use std::time::Duration;

/// How old what is archived is, where neither the command nor the configuration says.
const AGE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// So many reasons are shown.
const REASONS_MAX: usize = 20;

const HELP: &str = "\
Files whose every reader has ended are compressed into archive/YYYY-MM/ of the data directory, and their deliveries \
are moved to the ledger's archive. `show`, `replay` and `verify` read through it. Without a number it takes what ended \
longer ago than `archive: { after: … }` says, or seven days; of records, which are rows and no files, what \
was completed seven days ago or failed thirty days ago, or as `archive: { records: … }` says. What has been in the \
archive for as long as `archive: { keep: … }` says is deleted for good from the ledger.

Examples:
  handover archive --older-than 30d --dry-run
  handover archive 17 18";

/// The arguments of `archive`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// These deliveries, whenever they ended
    #[arg(value_name = "ID", value_parser = parsed::<DeliveryId>, conflicts_with = "older_than")]
    ids: Vec<DeliveryId>,
    /// What ended longer ago than this: 12h, 7d, 0
    #[arg(long, value_name = "AGE", value_parser = super::length)]
    older_than: Option<Duration>,
    /// Say what would be archived, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Archives.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let project = start.existing()?;
    let age = args.older_than.or(project.config.archive.after).unwrap_or(AGE_DEFAULT);
    let lock = HolderLock::take(&project.data, project.new_holder())?;
    let holder = (!args.dry_run).then(|| lock.holder());
    let done = block_on(async {
        match (args.ids.is_empty(), holder) {
            (false, holder) => archive::these(&project, holder, &args.ids).await,
            (true, Some(holder)) => {
                let mut done = archive::by_age(&project, holder, age).await?;
                done.deliveries += archive::records_by_age(&project, holder, args.older_than).await?;
                done.deleted = forget_by_age(&project).await?.deliveries;
                Ok(done)
            }
            (true, None) => {
                let mut done = archive::would_by_age(&project, age).await?;
                done.deliveries += archive::would_records_by_age(&project, args.older_than).await?;
                Ok(done)
            }
        }
    })??;
    if holder.is_some() && done.deliveries > 0 {
        let thing = match args.ids.is_empty() {
            true => format!("what ended longer than {} ago", units::format_duration(age)),
            false => "the deliveries that were named".to_owned(),
        };
        let said = Some(sentence(&done, args, age));
        let (delivery, last) = (args.ids.iter().min().copied(), args.ids.iter().max().copied());
        let what = NewAction { thing: Some(thing), delivery, last, note: said, ..NewAction::default() };
        block_on(note(&project, "archive", "archive", what))??;
    }
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&done);
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(sentence(&done, args, age));
    if done.deleted > 0 {
        let deleted = times::number(done.deleted);
        printer.data(format_args!("deleted from the archive, as kept long enough: {deleted}"));
    }
    for reason in done.left.iter().take(REASONS_MAX) {
        printer.data(format_args!("left: {reason}"));
    }
    if done.left.len() > REASONS_MAX {
        printer.data(format_args!(
            "left: {} more; --json has them all",
            times::number((done.left.len() - REASONS_MAX) as u64)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn sentence(done: &Archived, args: &Args, age: Duration) -> String {
    if done.deliveries == 0 {
        let what = if args.ids.is_empty() {
            format!(": nothing ended longer than {} ago", units::format_duration(age))
        } else {
            String::new()
        };
        return format!("nothing to archive{what}");
    }
    let deliveries = if done.deliveries == 1 {
        "1 delivery".to_owned()
    } else {
        format!("{} deliveries", times::number(done.deliveries))
    };
    let files = times::count(done.files, "file");
    if args.dry_run {
        format!("would archive {files} and {deliveries}")
    } else {
        format!("archived {files} and {deliveries}")
    }
}
