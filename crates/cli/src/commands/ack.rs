//! `handover ack`: what was pulled is done.

use super::{Start, block_on, parsed};
use crate::printer::Outcome;
use handover_core::{DeliveryId, Error};
use handover_database::token;
use handover_ledger::Outcome as Ended;
use handover_runtime::operations::times;
use serde_json::{Value, json};
use std::process::ExitCode;

const HELP: &str = "\
Completes all that the token holds, or only these of it: all or none. A token that is stale (its lease ended and the records \
went to another), foreign or malformed changes nothing: that is said, and the exit code is 1.

Examples:
  handover ack 3f0c…
  handover ack 3f0c… 17 18 --result '{\"invoice\": 4711}'";

/// The arguments of `ack`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The token that `pull` gave
    token: String,
    /// Only these of what it holds
    #[arg(value_name = "ID", value_parser = parsed::<DeliveryId>)]
    ids: Vec<DeliveryId>,
    /// What came of it, as JSON, to be kept with each
    #[arg(long, value_name = "JSON")]
    result: Option<String>,
}

/// Completes.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let result: Option<Value> =
        args.result.as_deref().map(serde_json::from_str).transpose().map_err(|e| {
            Error::config("--result is not JSON")
                .because(e)
                .hint("such as '{\"invoice\": 4711}', or '\"a text\"'")
        })?;
    let token = token::read(&args.token)?;
    let project = start.existing()?;
    let ended = Ended::Completed { result, next: Vec::new() };
    let answered = block_on(super::answered(&project, &token, &args.ids, ended))??;
    let printer = start.printer;
    if printer.is_json() {
        let all: Vec<Value> =
            answered.iter().map(|(id, _)| json!({ "id": id, "status": "completed" })).collect();
        printer.json(&all);
    } else {
        printer.data(format_args!("{} completed", times::count(answered.len() as u64, "record")));
    }
    Ok(ExitCode::SUCCESS)
}
