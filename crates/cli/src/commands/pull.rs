//! `handover pull`: records for a script, with the token to answer by.

use super::{Start, actor, block_on, lease, length};
use crate::printer::Outcome;
use handover_core::limits::{PULL_LEASE_DEFAULT_MS, PULL_MAX};
use handover_core::units::format_duration;
use handover_core::{Delivery, DeliveryId, Json, LeaseToken};
use handover_database::pull::{self, Pull};
use handover_runtime::operations::{records, times};
use jiff::Timestamp;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Prints one line of JSON for each record: its id, the attempt, the token and the data. The records are the caller's until the \
lease ends: `handover ack TOKEN` completes them, `handover fail TOKEN` gives them up or has them tried again, `handover \
extend TOKEN` keeps them for longer. What is not answered in time is given to the next. Nothing printed and exit code 0: \
there was nothing. With --json it is one object: the token, when the lease ends, and the records.

Examples:
  handover pull --app billing --max 100 --wait 30s > batch.ndjson
  token=$(jq -r .token batch.ndjson | head -1) && ./bill < batch.ndjson && handover ack \"$token\"";

/// The arguments of `pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The app whose records are wanted
    #[arg(long)]
    app: String,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=PULL_MAX as u64))]
    max: u64,
    /// How long to wait where there are none [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = length)]
    wait: Option<Duration>,
    /// How long they are the caller's [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = lease)]
    lease: Option<Duration>,
    /// Ask though neither the configuration nor the ledger knows the app
    #[arg(long)]
    accept_unknown: bool,
}

/// Pulls.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.project()?;
    let lease = args.lease.unwrap_or(Duration::from_millis(PULL_LEASE_DEFAULT_MS));
    let what = Pull {
        app: args.app.clone(),
        max: usize::try_from(args.max).unwrap_or(PULL_MAX),
        wait: args.wait.unwrap_or_default(),
        lease,
        who: actor(),
    };
    let claimed = block_on(async {
        records::require_source(&project, &args.app, args.accept_unknown).await?;
        records::tell_claims(&project, &actor(), Some(&args.app)).await?;
        pull::pull(project.ledger.as_ref(), project.clock.as_ref(), what).await
    })??;
    let printer = start.printer;
    let token = claimed.first().and_then(|delivery| delivery.lease_token.as_ref());
    if printer.is_json() {
        let all: Vec<Line<'_>> = claimed.iter().map(|delivery| line(delivery, false)).collect();
        let until = claimed.first().and_then(|delivery| delivery.lease_until);
        printer.json(&Pulled { app: &args.app, token, lease_until: until, records: all });
        return Ok(ExitCode::SUCCESS);
    }
    for delivery in &claimed {
        printer.json(&line(delivery, true));
    }
    match token {
        None => printer.talk(format_args!("nothing for {}", args.app)),
        Some(token) => printer.talk(format_args!(
            "{} for {} for {}: handover ack {token}",
            times::count(claimed.len() as u64, "record"),
            args.app,
            format_duration(lease)
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// What was pulled, as it is printed whole.
#[derive(Serialize)]
struct Pulled<'a> {
    app: &'a str,
    token: Option<&'a LeaseToken>,
    lease_until: Option<Timestamp>,
    records: Vec<Line<'a>>,
}

/// A record as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    id: DeliveryId,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a LeaseToken>,
    data: &'a Json,
}

fn line(delivery: &Delivery, with_token: bool) -> Line<'_> {
    Line {
        id: delivery.id,
        attempt: delivery.attempts,
        token: delivery.lease_token.as_ref().filter(|_| with_token),
        data: &delivery.data,
    }
}
