//! `handover health`: whether all is well, for monitors and for people.

use super::{Start, block_on, length};
use crate::printer::{Failure, Outcome, Printer};
use crate::table::{Cell, Column, Table, Tone};
use handover_runtime::Project;
use handover_runtime::operations::health::{Health, Verdict, health, look};
use handover_runtime::operations::times;
use serde_json::json;
use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Exit code 0 where all is well, 1 where somebody should look, 2 where something does not work.

A file is stuck that waits, in any folder, for an app or in front of an importer, for an hour or longer (`health: { stuck: … }`, or \
`stuck_after` of its app), or that lies in the data directory and nobody knows it. Checkpoints that are kept are not \
stuck, so `find data -mmin +60` finds too much: --stuck prints the paths, one a line.

Examples:
  handover health || mail -s 'handover' ops@example.com
  handover health --stuck --older 2h
  handover health --json | jq '.checks[] | select(.verdict != \"pass\")'";

/// The arguments of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Print the paths of the files that are stuck, and nothing else
    #[arg(long)]
    stuck: bool,
    /// What waits for so long is stuck [default: as configured, else 1h]
    #[arg(long, value_name = "TIME", value_parser = length)]
    older: Option<Duration>,
}

/// Looks, and says it by the exit code too.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let printer = start.printer;
    let project = match start.look() {
        Ok(project) => project,
        Err(failure) => return Ok(cannot_look(printer, &failure)),
    };
    let health = block_on(async {
        match args.older {
            Some(older) => health(&project, older).await,
            None => look(&project).await,
        }
    })?;
    match (args.stuck, printer.is_json()) {
        (true, true) => printer.json(&health.stuck),
        // A file that several apps wait for is one path.
        (true, false) => {
            let mut told = HashSet::new();
            health
                .stuck
                .iter()
                .filter(|stuck| told.insert(&stuck.path))
                .for_each(|stuck| printer.data(&stuck.path));
        }
        (false, true) => printer.json(&health),
        (false, false) => print(printer, &project, &health),
    }
    Ok(ExitCode::from(match health.verdict {
        _ if args.stuck => u8::from(!health.stuck.is_empty()),
        Verdict::Pass => 0,
        Verdict::Warn => 1,
        Verdict::Fail => 2,
    }))
}

/// A project that cannot be opened is not well.
fn cannot_look(printer: Printer, failure: &Failure) -> ExitCode {
    if printer.is_json() {
        let check = json!({ "name": "ledger", "verdict": "fail", "text": failure.text(), "todo": null });
        printer.json(&json!({ "verdict": "fail", "checks": [check], "stuck": [] }));
    } else {
        printer.data(format_args!("fail  {}", failure.text()));
    }
    ExitCode::from(2)
}

fn print(printer: Printer, project: &Project, health: &Health) {
    let mut table =
        Table::new(&[Column::left("check"), Column::left("verdict"), Column::text("what was seen")]);
    for check in &health.checks {
        let tone = match check.verdict {
            Verdict::Pass => Tone::Plain,
            Verdict::Warn => Tone::Warn,
            Verdict::Fail => Tone::Bad,
        };
        table.cells([
            Cell::from(check.name),
            Cell::toned(check.verdict.word(), tone),
            Cell::from(check.text.clone()),
        ]);
    }
    printer.data(table);
    for stuck in &health.stuck {
        let since = times::happened(stuck.since, &project.config.timezone, health.at);
        printer.data(format_args!("stuck: {} since {since}: {}", stuck.path, stuck.reason));
    }
    let todo: Vec<&str> = health.checks.iter().filter_map(|check| check.todo.as_deref()).collect();
    if !todo.is_empty() {
        printer.talk(format_args!("do: {}", todo.join("; ")));
    }
}
