//! `handover fail`: what was pulled did not work.

use super::{Start, block_on, parsed};
use crate::printer::Outcome;
use handover_core::{DeliveryId, Status};
use handover_database::token;
use handover_ledger::{Answered, Outcome as Ended, Verdict};
use handover_runtime::operations::times;
use serde_json::{Value, json};
use std::process::ExitCode;

const HELP: &str = "\
Says of all that the token holds, or only of these of it, that it did not work: all or none. Without more each is tried again \
after a growing delay, until its attempts are used up. A token that is stale, foreign or malformed changes nothing: that is \
said, and the exit code is 1.

Examples:
  handover fail 3f0c… --error 'the bank does not answer'
  handover fail 3f0c… 17 --error 'no such customer' --final";

/// The arguments of `fail`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The token that `pull` gave
    token: String,
    /// Only these of what it holds
    #[arg(value_name = "ID", value_parser = parsed::<DeliveryId>)]
    ids: Vec<DeliveryId>,
    /// What went wrong
    #[arg(long, value_name = "TEXT")]
    error: String,
    /// Try again after a delay, until the attempts are used up (this is the default)
    #[arg(long, group = "verdict")]
    retry: bool,
    /// Try again after a delay, without using up an attempt
    #[arg(long, group = "verdict")]
    later: bool,
    /// Give up: nothing but `handover retry` brings it back
    #[arg(long = "final", group = "verdict")]
    is_final: bool,
}

/// Fails.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let token = token::read(&args.token)?;
    let project = start.existing()?;
    let verdict = match (args.later, args.is_final) {
        (true, _) => Verdict::Later,
        (_, true) => Verdict::Final,
        _ => Verdict::Retry,
    };
    let ended = Ended::Failed { error: args.error, verdict, result: None };
    let answered = block_on(super::answered(&project, &token, &args.ids, ended))??;
    let failed: Vec<_> = answered
        .iter()
        .filter_map(|(id, answered)| match answered {
            Answered::Failed(failed) => Some((id, failed)),
            Answered::Completed(_) | Answered::Stale(_) => None,
        })
        .collect();
    let printer = start.printer;
    if printer.is_json() {
        let each = |(id, failed): &(_, &handover_ledger::Failed)| json!({ "id": id, "status": failed.status.as_str(), "run_at": failed.run_at });
        printer.json(&failed.iter().map(each).collect::<Vec<Value>>());
        return Ok(ExitCode::SUCCESS);
    }
    let again = failed.iter().filter(|(_, failed)| failed.status == Status::Pending).count() as u64;
    let gone = failed.len() as u64 - again;
    if again > 0 {
        let first = failed.iter().filter_map(|(_, failed)| failed.run_at).min();
        let when = first.map(|at| times::at_and_ago(at, &project.config.timezone, project.clock.now()));
        let when = when.map(|when| format!(", from {when} on")).unwrap_or_default();
        printer.data(format_args!("{} to be tried again{when}", times::count(again, "record")));
    }
    if gone > 0 {
        printer.data(format_args!("{} failed", times::count(gone, "record")));
        printer.talk("`handover list --status failed` lists what failed, `handover retry ID` tries it again");
    }
    Ok(ExitCode::SUCCESS)
}
