//! `handover why`: one explanation for any file, any delivery and any app.

use super::list::tone;
use super::{Start, block_on, shown_here};
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table, width, wrapped};
use handover_core::{Error, Status, path_text};
use handover_runtime::Project;
use handover_runtime::operations::times;
use handover_runtime::operations::why::{self, Explanation};
use std::ffi::OsString;
use std::process::ExitCode;

/// Longer lines than this are hard to read, however wide the terminal is.
const WIDTH_MAX: usize = 100;
/// Where what is said of `since`, `tried` and so on begins.
const INDENT: usize = 12;

const HELP: &str = "\
A file may be an original, wherever it was, a file of the data directory, an export, a report, rejected rows or a \
quarantined file; by any path or its bare name. A file that waits is explained too: still being written, by whom; \
paused; tried again later; passed over. Of an app it says what waits for it, and what is expected of it and is not so.

Examples:
  handover why incoming/sales.csv
  handover why data/errors/2025-11-24/validator_sales-quarantined_2025-11-24_001.csv
  handover why 17
  handover why file-importer";

/// The arguments of `why`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A file, a delivery's number, or an app
    #[arg(value_name = "FILE|ID|APP")]
    what: OsString,
}

/// Explains it.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.look()?;
    let here = std::env::current_dir().map_err(|e| Error::io("find", "the current folder", e))?;
    let answer = block_on(why::why(&project, &args.what, &here))??;
    if start.printer.is_json() {
        start.printer.json(&answer);
    } else {
        print(start.printer, &project, &answer);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(printer: Printer, project: &Project, answer: &Explanation) {
    let width = width().map_or(WIDTH_MAX, |width| width.min(WIDTH_MAX));
    let now = project.clock.now();
    printer.data(format_args!("{}: {}", answer.subject, answer.state.word()));
    printer.data("");
    for sentence in answer.said() {
        printer.data(format_args!("  {}", wrapped(&sentence, width, 4)));
    }
    if answer.steps.len() > 1 {
        printer.data("");
        printer.data(steps(project, answer));
    }
    printer.data("");
    let said = |name: &str, text: &str| {
        printer.data(format_args!("  {name:10}{}", wrapped(text, width, INDENT)));
    };
    if let Some(since) = answer.since {
        said("since", &times::happened(since, &project.config.timezone, now));
    }
    // A single attempt is told by the sentences already.
    let tried = if answer.tried.len() > 1 { &answer.tried[..] } else { &[] };
    for (i, tried) in tried.iter().enumerate() {
        said(if i == 0 { "tried" } else { "" }, tried);
    }
    if let Some(release) = &answer.release {
        said("release", release);
    }
    for (i, todo) in answer.todo.iter().enumerate() {
        // A command is pasted: it is never wrapped.
        printer.data(format_args!("  {:10}{todo}", if i == 0 { "do" } else { "" }));
    }
}

fn steps(project: &Project, answer: &Explanation) -> Table {
    let all_done = answer.steps.iter().all(|step| is_done(step.status));
    let mut columns = vec![Column::right("id"), Column::left("app")];
    if !all_done {
        columns.push(Column::left("status"));
    }
    let filtered = answer.steps.iter().any(|step| step.rows_filtered.is_some());
    columns.extend(["rows in", "out", "rejected"].map(Column::right));
    if filtered {
        columns.push(Column::right("filtered"));
    }
    columns.push(Column::path("made"));
    let mut table = Table::new(&columns).indent(2);
    let rows = |rows: Option<u64>| rows.map(times::number).unwrap_or_default();
    for step in &answer.steps {
        let app =
            step.replay_of.map_or_else(|| step.app.clone(), |old| format!("{} (replays {old})", step.app));
        let mut cells: Vec<Cell> = vec![step.delivery.to_string().into(), app.into()];
        if !all_done {
            cells.push(Cell::toned(step.status.as_str(), tone(step.status)));
        }
        cells.extend([step.rows_in, step.rows_out, step.rows_rejected].map(|n| Cell::from(rows(n))));
        if filtered {
            cells.push(rows(step.rows_filtered).into());
        }
        let made = step.archived_as.as_deref().or(step.output.as_deref());
        cells.push(made.map(|path| place(project, path)).unwrap_or_default().into());
        table.cells(cells);
    }
    table
}

fn is_done(status: Status) -> bool {
    matches!(status, Status::Completed | Status::Archived)
}

/// A path of the ledger as it is shown.
fn place(project: &Project, path: &str) -> String {
    match project.data.absolute(path) {
        Ok(inside) => shown_here(&inside),
        Err(_) => shown_here(&path_text::from_text(path)),
    }
}
