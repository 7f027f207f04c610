//! `handover audit`: who did what, and when.

use super::{Start, block_on, parsed};
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table};
use handover_core::{DeliveryId, Result};
use handover_ledger::{Deed, DeedFilter, Deeds};
use handover_runtime::Project;
use handover_runtime::operations::times;
use std::process::ExitCode;

const HELP: &str = "\
People, and programs that ask over the network, are told by their names: cli:USER (a command), key:ID (an API key), token:SUBJECT (an access \
token), page:… (the pages). What workers did, and how deliveries came in, is there with --workers. One delivery's whole history is in \
`handover show ID` too.

Examples:
  handover audit --since 7d
  handover audit --who ann
  handover audit --delivery 17 --workers
  handover audit --since 30d --json | jq '.deeds[] | select(.did == \"revoke a key\")'";

/// The arguments of `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// From this time on: 2h, 3 days, 2025-11-24, 2025-11-24T10:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By this one: cli:ann, key:7k3v9q2m5x, or what stands behind the colon
    #[arg(long, value_name = "WHO")]
    who: Option<String>,
    /// To this delivery
    #[arg(long, value_name = "ID", value_parser = parsed::<DeliveryId>)]
    delivery: Option<DeliveryId>,
    /// To this app, or to deliveries that go to it
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Also what workers did, and how deliveries came in
    #[arg(long)]
    workers: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// The page behind one that ended so (`next` of --json)
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

/// Lists them, newest first.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let project = start.look()?;
    let deeds = block_on(project.ledger.deeds(filter(&project, args)?))??;
    if start.printer.is_json() {
        start.printer.json(&deeds);
    } else {
        print(start.printer, &project, &deeds);
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(project: &Project, args: &Args) -> Result<DeedFilter> {
    let (zone, now) = (&project.config.timezone, project.clock.now());
    let time = |text: &Option<String>| text.as_ref().map(|text| times::since(text, zone, now)).transpose();
    Ok(DeedFilter {
        since: time(&args.since)?,
        until: time(&args.until)?,
        who: args.who.clone(),
        delivery: args.delivery,
        app: args.app.clone(),
        workers: args.workers,
        after: args.after.clone(),
        limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
    })
}

fn print(printer: Printer, project: &Project, deeds: &Deeds) {
    if deeds.deeds.is_empty() {
        printer.data("nobody did anything of that kind");
        return;
    }
    let (now, zone) = (project.clock.now(), &project.config.timezone);
    let mut table = Table::new(&[
        Column::left("at"),
        Column::left("who"),
        Column::left("did"),
        Column::left("to"),
        Column::text("says"),
    ]);
    for deed in &deeds.deeds {
        let via = deed.via.iter().map(|via| format!("by {via}"));
        let says: Vec<String> = deed.note.iter().cloned().chain(via).collect();
        table.cells([
            Cell::from(times::at(deed.at, zone, now)),
            Cell::from(deed.actor.clone()),
            Cell::from(deed.did.clone()),
            Cell::from(to(deed)),
            Cell::from(says.join("; ")),
        ]);
    }
    printer.data(table);
    if let Some(next) = &deeds.next {
        printer.talk(format_args!("there is more: --after {next}"));
    }
}

/// To what it was done.
fn to(deed: &Deed) -> String {
    let deliveries = match (deed.delivery_id, deed.last_id) {
        (None, _) => None,
        (Some(id), Some(last)) if last != id => Some(format!("deliveries {id} to {last}")),
        (Some(id), _) => Some(format!("delivery {id}")),
    };
    let parts = [deed.thing.clone(), deliveries, deed.app.as_ref().map(|app| format!("for {app}"))];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
