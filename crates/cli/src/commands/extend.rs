//! `handover extend`: what was pulled takes longer.

use super::{Start, block_on, lease};
use crate::printer::Outcome;
use handover_core::limits::PULL_LEASE_DEFAULT_MS;
use handover_core::units::format_duration;
use handover_database::token;
use handover_runtime::operations::times;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
The lease of all that the token holds ends so long from now. A token that is stale, foreign or malformed changes nothing: \
that is said, and the exit code is 1.

Example:
  handover extend 3f0c… --lease 1h";

/// The arguments of `extend`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The token that `pull` gave
    token: String,
    /// For how long, from now [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = lease)]
    lease: Option<Duration>,
}

/// Extends.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let token = token::read(&args.token)?;
    let project = start.existing()?;
    let lease = args.lease.unwrap_or(Duration::from_millis(PULL_LEASE_DEFAULT_MS));
    let count = block_on(token::extend(project.ledger.as_ref(), &token, lease))??;
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&json!({ "records": count, "lease_seconds": lease.as_secs_f64() }));
    } else {
        let count = times::count(count as u64, "record");
        printer.data(format_args!("{count} kept for {} from now", format_duration(lease)));
    }
    Ok(ExitCode::SUCCESS)
}
