//! `handover status`: how everything stands, on one screen.

use super::{Start, block_on, shown_here};
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table, Tone};
use handover_core::units::format_size;
use handover_core::{Error, Kind};
use handover_runtime::Project;
use handover_runtime::operations::account::{Step, account};
use handover_runtime::operations::growth::Growth;
use handover_runtime::operations::replay;
use handover_runtime::operations::status::{self, AppStatus, Status};
use handover_runtime::operations::times;
use std::process::ExitCode;

/// So many of what grows are shown.
const GROWING_SHOWN: usize = 5;

const HELP: &str = "\
Examples:
  handover status
  handover status --rows sales
  handover status --json | jq '.apps[] | select(.failed > 0)'";

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The account of this flow: of all rows that ever entered it, where they went
    #[arg(long, value_name = "FLOW")]
    rows: Option<String>,
}

/// Prints it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let project = start.look()?;
    if let Some(flow) = &args.rows {
        return rows(start.printer, &project, flow);
    }
    let status = block_on(status::status(&project))??;
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&status);
    } else {
        flows(printer, &status);
        apps(printer, &project, &status);
        facts(printer, &project, &status);
    }
    Ok(ExitCode::SUCCESS)
}

/// The account of one flow. Exit code 1 where it does not add up, and not because retention deleted a part of it.
fn rows(printer: Printer, project: &Project, name: &str) -> Outcome {
    let flow = replay::require_flow(&project.config, name)?;
    let Some(account) = block_on(account(project, flow))?? else {
        return Err(Error::config(format!(
            "the links of the flow {name} part or meet, so a row may be several"
        ))
        .hint("`handover show ID` says of each delivery what became of its rows")
        .into());
    };
    if printer.is_json() {
        printer.json(&account);
    } else {
        printer.data(steps(&account.steps));
        printer.data(format_args!("\n{account}"));
    }
    Ok(if account.lost() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A column of the account: its name, whether it is always there, and its number.
type Counted = (&'static str, bool, fn(&Step) -> u64);

/// What became of the rows of each app; what no app has is no column.
fn steps(steps: &[Step]) -> Table {
    let columns: [Counted; 8] = [
        ("entered", true, |step| step.entered),
        ("made", false, |step| step.made),
        ("done", true, |step| step.done),
        ("rejected", true, |step| step.rejected),
        ("left out", true, |step| step.left_out),
        ("failed", true, |step| step.failed),
        ("waiting", true, |step| step.waiting),
        ("deleted", false, |step| step.deleted),
    ];
    let shown = |always: bool, of: fn(&Step) -> u64| always || steps.iter().any(|step| of(step) > 0);
    let columns: Vec<_> = columns.into_iter().filter(|(_, always, of)| shown(*always, *of)).collect();
    let mut heads = vec![Column::left("app")];
    heads.extend(columns.iter().map(|(name, ..)| Column::right(name)));
    let mut table = Table::new(&heads);
    for step in steps {
        let counts = columns.iter().map(|(.., of)| times::number(of(step)));
        table.row(std::iter::once(step.app.clone()).chain(counts).collect::<Vec<String>>());
    }
    table
}

fn flows(printer: Printer, status: &Status) {
    for flow in &status.flows {
        for (i, line) in flow.picture.iter().enumerate() {
            let blank = " ".repeat(flow.name.chars().count() + 2);
            let lead = if i == 0 { format!("{}: ", flow.name) } else { blank };
            printer.data(format_args!("{lead}{line}"));
        }
    }
    if !status.flows.is_empty() {
        printer.data("");
    }
}

fn apps(printer: Printer, project: &Project, status: &Status) {
    let archived = status.apps.iter().any(|app| app.archived > 0);
    let mut columns = vec![Column::left("app")];
    columns.extend(["pending", "processing", "completed", "failed"].map(Column::right));
    if archived {
        columns.push(Column::right("archived"));
    }
    columns.extend([Column::right("oldest pending"), Column::text("")]);
    let mut table = Table::new(&columns);
    for app in &status.apps {
        let number =
            |n: u64, tone: Tone| Cell::toned(times::number(n), if n == 0 { Tone::Dim } else { tone });
        let mut row = vec![
            app.app.as_str().into(),
            number(app.pending, Tone::Plain),
            number(app.processing, Tone::Plain),
            number(app.completed, Tone::Plain),
            number(app.failed, Tone::Bad),
        ];
        if archived {
            row.push(number(app.archived, Tone::Plain));
        }
        let oldest = app.oldest_pending.map(|oldest| times::lasts(oldest, status.at));
        row.push(oldest.unwrap_or_default().into());
        row.push(Cell::toned(remark(project, status, app), Tone::Warn));
        table.cells(row);
    }
    printer.data(&table);
    printer.data("");
}

fn remark(project: &Project, status: &Status, app: &AppStatus) -> String {
    if let Some(pause) = &app.paused {
        let since = times::at(pause.since, &project.config.timezone, status.at);
        return format!("paused since {since} by {}", pause.by);
    }
    if app.app == "data-directory" {
        return "manifests in the data directory that were refused".to_owned();
    }
    if !app.declared {
        return "not in the configuration".to_owned();
    }
    let delayed = app.pending > 0 && app.oldest_pending.is_none();
    if delayed { "delayed: tried again later".to_owned() } else { String::new() }
}

/// What grows most a day, the most first.
fn grows(growth: &Growth) -> String {
    let mut parts: Vec<_> = growth
        .parts
        .iter()
        .filter_map(|part| Some((part, u64::try_from(part.a_day?).ok().filter(|bytes| *bytes > 0)?)))
        .collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let told = parts.iter().take(GROWING_SHOWN).map(|(part, bytes)| {
        let name = part.what.split_once(':').map_or(part.what.as_str(), |(_, name)| name);
        format!("{name} {}", format_size(*bytes))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn facts(printer: Printer, project: &Project, status: &Status) {
    let zone = &project.config.timezone;
    let ago = |time| times::happened(time, zone, status.at);
    let mut table = Table::new(&[Column::left(""), Column::text("")]);
    let mut fact = |name: &str, text: String| table.cells([name.into(), text.into()]);
    let processes: Vec<_> = status.running.iter().filter(|process| process.works).collect();
    if processes.is_empty() {
        fact("running", "nothing; `handover run` starts it".to_owned());
    }
    for (i, process) in processes.iter().enumerate() {
        let command = process.command.as_deref().unwrap_or("handover");
        let pid = process.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        let since = process.since.map(|since| format!(", since {}", ago(since))).unwrap_or_default();
        fact(if i == 0 { "running" } else { "" }, format!("{command}{pid}{since}"));
    }
    for (nth, records) in status.records.iter().filter(|records| !records.app.is_empty()).enumerate() {
        fact(if nth == 0 { "records by app" } else { "" }, records.to_string());
    }
    fact("last activity", status.last_activity.map_or_else(|| "none yet".to_owned(), ago));
    let waits = status.apps.iter().any(|app| app.pending > 0);
    if let Some(due) = status.next_due.filter(|_| waits && status.apps.iter().all(|app| app.processing == 0))
    {
        fact("next retry", times::at_and_ago(due, zone, status.at));
    }
    let records: Vec<_> = status.sources.iter().filter(|s| s.counts.kind == Kind::Record).collect();
    for (i, source) in records.iter().enumerate() {
        let c = &source.counts;
        let [pushed, live, archived, deleted] = [c.pushed, c.live, c.archived, c.deleted].map(times::number);
        let sum = if source.conserved { "=" } else { "is NOT" };
        let text = format!(
            "{}: {pushed} pushed {sum} {live} live + {archived} archived + {deleted} deleted",
            c.source
        );
        fact(if i == 0 { "records by source" } else { "" }, text);
    }
    let low = if status.disk_low { ": too little, nothing is begun" } else { "" };
    let room = match status.free_bytes {
        Some(free) => format!("{} free{low}", format_size(free)),
        None => "not there yet".to_owned(),
    };
    let room = format!("{room}; {}", status.growth.sentence(status.at));
    fact("data directory", format!("{}, {room}", shown_here(project.data.root())));
    fact("ledger", shown_here(std::path::Path::new(&status.ledger)));
    let grows = grows(&status.growth);
    if !grows.is_empty() {
        fact("grow a day", grows);
    }
    for concern in &status.storage {
        fact("storage", concern.text.clone());
    }
    printer.data(&table);
    let failed: u64 = status.apps.iter().map(|app| app.failed).sum();
    if failed > 0 {
        printer.talk("\n`handover list --status failed` lists what failed, `handover why ID` says why");
    }
    if status.ended == 0
        && !project.never_ran()
        && status.apps.iter().all(|app| app.pending + app.processing + app.completed + app.failed == 0)
    {
        printer.talk("\nnothing has been handed over yet");
    }
}
