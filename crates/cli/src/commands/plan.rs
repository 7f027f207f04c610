//! `handover run --dry-run`: what a run would do now.

use super::{Start, block_on, shown_here};
use crate::printer::{Outcome, Printer};
use crate::table::{Column, Table};
use handover_core::path_text;
use handover_core::units::format_size;
use handover_runtime::Project;
use handover_runtime::config::Config;
use handover_runtime::operations::plan::{Fate, Plan, RecordFate, plan};
use handover_runtime::operations::times::{self, number};
use jiff::Timestamp;
use std::process::ExitCode;

/// So many files are shown; `--json` has more.
const SHOWN_MAX: usize = 50;

/// Looks and says.
pub(crate) fn run(start: &Start, mut config: Config) -> Outcome {
    let has_run = Project::has_run(&config)?;
    // To look is not to bring the ledger up to date.
    config.migrate = false;
    let project = if has_run { Some(Project::open(config.clone())?) } else { None };
    let now = Timestamp::now();
    let plan = block_on(plan(&config, project.as_ref(), now))??;
    if start.printer.is_json() {
        start.printer.json(&plan);
        return Ok(ExitCode::SUCCESS);
    }
    if !has_run {
        start.printer.talk("this project has never run");
    }
    say(start.printer, &config, &plan, now);
    Ok(ExitCode::SUCCESS)
}

fn say(printer: Printer, config: &Config, plan: &Plan, now: Timestamp) {
    arrivals(printer, plan);
    let begun = std::cell::Cell::new(!plan.arrivals.is_empty() || !plan.unreadable.is_empty());
    // An empty line between two parts.
    let gap = |printer: Printer| {
        if begun.replace(true) {
            printer.data("");
        }
    };
    if !plan.adoptions.is_empty() {
        gap(printer);
        printer.data("Manifests of other programs in the data directory:");
        for adoption in plan.adoptions.iter().take(SHOWN_MAX) {
            let fate = match adoption.fate {
                Fate::Taken => "adopted",
                Fate::Waits => "waited for",
                Fate::Refused => "refused",
            };
            let reason = adoption.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            printer.data(format_args!("  {} would be {fate}{reason}", adoption.path));
        }
        more(printer, plan.adoptions.len());
    }
    if !plan.queues.is_empty() {
        let mut table = Table::new(&[
            Column::left("app"),
            Column::right("waiting"),
            Column::left("oldest"),
            Column::left("note"),
        ]);
        for queue in &plan.queues {
            let note = match (queue.declared, queue.paused) {
                (false, _) => "not declared: nothing is done",
                (true, true) => "paused: nothing is done",
                (true, false) => "",
            };
            let oldest = queue.oldest.map(|t| times::happened(t, &config.timezone, now)).unwrap_or_default();
            table.row([queue.app.clone(), number(queue.pending), oldest, note.to_owned()]);
        }
        gap(printer);
        printer.data(table);
    }
    if !plan.records.is_empty() {
        gap(printer);
        printer.data(records(config, plan, now));
    }
    if plan.rescues > 0 {
        gap(printer);
        printer.data(format_args!(
            "deliveries of processes that are gone, to be taken back: {}",
            number(plan.rescues)
        ));
    }
    for later in plan.later.iter().take(SHOWN_MAX) {
        let at = times::at_and_ago(later.run_at, &config.timezone, now);
        let error = later.error.as_deref().map(|e| format!(": {e}")).unwrap_or_default();
        printer.data(format_args!("waits: delivery {} of {} until {at}{error}", later.id, later.app));
    }
    more(printer, plan.later.len());
    for due in &plan.schedules {
        let next =
            due.next.map(|t| times::at_and_ago(t, &config.timezone, now)).unwrap_or_else(|| "never".into());
        let missed = if due.due_now { "; one is due now" } else { "" };
        printer.data(format_args!("schedule: {} ({}), next {next}{missed}", due.app, due.schedule));
    }
    if plan.is_idle() {
        printer.data("a run would do nothing now");
    }
    if plan.known > 0 {
        let files = times::count(plan.known, "file");
        printer
            .talk(format_args!("in the watched folders, imported or refused before and left alone: {files}"));
    }
}

fn records(config: &Config, plan: &Plan, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        Column::left("app"),
        Column::right("records"),
        Column::left("oldest"),
        Column::left("would be"),
    ]);
    for queue in &plan.records {
        let fate = match queue.fate {
            _ if queue.paused => "left: the app is paused".to_owned(),
            RecordFate::WorkedOn => "worked on".to_owned(),
            RecordFate::Gathered { rows, size } => {
                format!(
                    "gathered into files of {} records or {} at most",
                    number(rows as u64),
                    format_size(size)
                )
            }
            RecordFate::Left => "left: no link leads them to a program or a service".to_owned(),
            RecordFate::NotDeclared => "left: the app is not declared".to_owned(),
        };
        let later = match queue.later {
            0 => String::new(),
            later => format!("; {} more later", number(later)),
        };
        let oldest = queue.oldest.map(|t| times::happened(t, &config.timezone, now)).unwrap_or_default();
        table.row([queue.app.clone(), number(queue.pending), oldest, format!("{fate}{later}")]);
    }
    table
}

fn arrivals(printer: Printer, plan: &Plan) {
    for reason in &plan.unreadable {
        printer.data(format_args!("not looked at: {reason}"));
    }
    if plan.arrivals.is_empty() {
        return;
    }
    let mut table = Table::new(&[
        Column::left("importer"),
        Column::left("file"),
        Column::right("size"),
        Column::left("would be"),
        Column::left("because"),
    ]);
    for found in plan.arrivals.iter().take(SHOWN_MAX) {
        let fate = match found.fate {
            Fate::Taken => "taken",
            Fate::Waits => "waited for",
            Fate::Refused => "refused",
        };
        let size = found.size.map(format_size).unwrap_or_default();
        // The reason of a refusal names the file again.
        let reason = found.reason.replace(&format!(": {}", found.path), "");
        table.row([
            found.app.clone(),
            shown_here(&path_text::from_text(&found.path)),
            size,
            fate.to_owned(),
            reason,
        ]);
    }
    printer.data(table);
    let all = plan.arrivals.len() + usize::try_from(plan.arrivals_more).unwrap_or(usize::MAX);
    more(printer, all);
}

fn more(printer: Printer, count: usize) {
    if count > SHOWN_MAX {
        printer.data(format_args!("  … and {} more", number((count - SHOWN_MAX) as u64)));
    }
}
