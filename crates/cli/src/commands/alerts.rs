//! `handover alerts`: what is wrong now, as `run` saw it, and who was told.

use super::{Start, actor, block_on, length, note};
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table, Tone};
use clap::Subcommand;
use handover_core::{Error, units};
use handover_ledger::{Alert, NewAction, Severity};
use handover_runtime::Project;
use handover_runtime::operations::times;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
`handover run` looks every minute (`health: { every: … }`) and raises an alert for what is wrong: failed and quarantined deliveries of an \
app, stuck files, what is expected and does not come, any other health check. It tells whom `notify:` names, and tells them too when it has \
ended. `handover health` looks now, whether anything runs or not.

Examples:
  handover alerts
  handover alerts --ended 24h
  handover alerts mute failed:validator --for 8h
  handover alerts unmute failed:validator";

/// The arguments of `alerts`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Also what ended in the last so long
    #[arg(long, value_name = "TIME", value_parser = length)]
    ended: Option<Duration>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell nobody of an alert for a while
    Mute(MuteArgs),
    /// Tell of it again
    Unmute(UnmuteArgs),
}

#[derive(Debug, clap::Args)]
struct MuteArgs {
    /// The alert's key, as the list shows it
    key: String,
    /// For so long
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "8h")]
    length: Duration,
}

#[derive(Debug, clap::Args)]
struct UnmuteArgs {
    /// The alert's key, as the list shows it
    key: String,
}

/// Lists them, or mutes one.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    match args.command {
        None => list(start, args.ended),
        Some(Command::Mute(args)) => mute(start, &args.key, Some(args.length)),
        Some(Command::Unmute(args)) => mute(start, &args.key, None),
    }
}

fn list(start: &Start, ended: Option<Duration>) -> Outcome {
    let project = start.look()?;
    let since = ended.and_then(|ended| project.clock.now().checked_sub(ended).ok());
    let alerts = block_on(project.ledger.alerts(since))??;
    if start.printer.is_json() {
        start.printer.json(&json!({ "alerts": alerts }));
    } else {
        print(start.printer, &project, &alerts);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(printer: Printer, project: &Project, alerts: &[Alert]) {
    if alerts.is_empty() {
        printer.data("no alert is open");
        return;
    }
    let (now, zone) = (project.clock.now(), &project.config.timezone);
    let mut table = Table::new(&[
        Column::left("alert"),
        Column::left("verdict"),
        Column::left("since"),
        Column::left("told"),
        Column::text("what is wrong"),
    ]);
    for alert in alerts {
        let tone = match (alert.is_open(), alert.verdict) {
            (false, _) => Tone::Dim,
            (true, Severity::Warn) => Tone::Warn,
            (true, Severity::Fail) => Tone::Bad,
        };
        let told = match (alert.muted_until.filter(|until| *until > now), alert.told_at) {
            (Some(until), _) => format!("muted until {}", times::at(until, zone, now)),
            (None, Some(told)) => times::at(told, zone, now),
            (None, None) => "nobody yet".to_owned(),
        };
        let ended = alert.ended_at.map(|at| format!(" (ended {})", times::happened(at, zone, now)));
        table.cells([
            Cell::from(alert.key.clone()),
            Cell::toned(if alert.is_open() { alert.verdict.as_str() } else { "over" }, tone),
            Cell::from(times::at(alert.since, zone, now)),
            Cell::from(told),
            Cell::from(format!("{}{}", alert.text, ended.unwrap_or_default())),
        ]);
    }
    printer.data(table);
    let mut todo: Vec<&str> =
        alerts.iter().filter(|alert| alert.is_open()).map(|alert| alert.todo.as_str()).collect();
    todo.dedup();
    if !todo.is_empty() {
        printer.talk(format_args!("do: {}", todo.join("; ")));
    }
}

fn mute(start: &Start, key: &str, length: Option<Duration>) -> Outcome {
    let project = start.existing()?;
    let until = length
        .map(|length| project.clock.now().checked_add(length))
        .transpose()
        .map_err(|e| Error::config("that is too far ahead").because(e))?;
    let did = if until.is_some() { "mute" } else { "unmute" };
    block_on(async {
        if !project.ledger.mute_alert(&actor(), key, until).await? {
            return Err(
                Error::not_found(format!("no alert `{key}` is open")).hint("`handover alerts` lists them")
            );
        }
        let said = length.map(|length| format!("for {}", units::format_duration(length)));
        let what = NewAction { thing: Some(format!("alert {key}")), note: said, ..NewAction::default() };
        note(&project, &format!("alerts {did}"), did, what).await
    })??;
    match (start.printer.is_json(), length) {
        (true, _) => start.printer.json(&json!({ "key": key, "muted_until": until })),
        (false, Some(length)) => {
            let length = units::format_duration(length);
            start
                .printer
                .data(format_args!("nobody is told of {key} for {length}; that it has ended is told"));
        }
        (false, None) => start.printer.data(format_args!("{key} is told of again")),
    }
    Ok(ExitCode::SUCCESS)
}
