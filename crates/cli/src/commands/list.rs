//! `handover list`: deliveries, newest first.

use super::{Start, block_on};
use crate::printer::Outcome;
use crate::table::{Cell, Column, Table, Tone};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use handover_core::{Delivery, DeliveryId, Kind, Result, Status};
use handover_ledger::Filter;
use handover_runtime::Project;
use handover_runtime::operations::facts::{Facts, Role};
use handover_runtime::operations::{replay, times};
use jiff::Timestamp;
use serde::Serialize;
use std::process::ExitCode;

/// So much of a record is shown, in characters.
const EXCERPT: usize = 40;
/// So many at the most.
const LIMIT_MAX: u32 = 100_000;

const HELP: &str = "\
Examples:
  handover list --status failed
  handover list --app validator --since 2h
  handover list --since 2025-11-24 --limit 500 --json | jq -r '.[].id'";

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Those that go to this app
    #[arg(long)]
    app: Option<String>,
    /// Those that stand here
    #[arg(long, value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)).try_map(|text| text.parse::<Status>()))]
    status: Option<Status>,
    /// Those that are this
    #[arg(long, value_parser = PossibleValuesParser::new(["file", "job", "record"]).try_map(|text| text.parse::<Kind>()))]
    kind: Option<Kind>,
    /// Those of this flow
    #[arg(long)]
    flow: Option<String>,
    /// Those handed over since then: 2h, 3 days, 2025-11-24, or 2025-11-24T10:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    limit: u32,
    /// Those before this number, for the next page
    #[arg(long, value_name = "ID")]
    before: Option<DeliveryId>,
    /// Those in the archive too
    #[arg(long)]
    archived: bool,
}

/// Prints them.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.look()?;
    let now = project.clock.now();
    let limit = args.limit as usize;
    let filter = filter(&project, &args, now)?;
    let mut found = block_on(project.ledger.list(Filter { limit: limit + 1, ..filter }))??;
    let more = found.len() > limit;
    found.truncate(limit);
    let printer = start.printer;
    if printer.is_json() {
        // One array, one delivery a line.
        let lines: Vec<String> = found.iter().map(as_json).collect();
        printer.data(format_args!("[{}]", lines.join(",\n")));
    } else if found.is_empty() {
        printer.talk(format_args!("no deliveries{}", if args.is_all() { " yet" } else { " like that" }));
    } else {
        printer.data(table(&project, &found, now));
    }
    if let Some(last) = found.last().filter(|_| more) {
        printer.talk(format_args!(
            "there are more: --before {} shows the next, --limit N more at once",
            last.id
        ));
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn is_all(&self) -> bool {
        self.app.is_none()
            && self.status.is_none()
            && self.kind.is_none()
            && self.flow.is_none()
            && self.since.is_none()
            && self.before.is_none()
    }
}

fn filter(project: &Project, args: &Args, now: Timestamp) -> Result<Filter> {
    let since =
        args.since.as_deref().map(|text| times::since(text, &project.config.timezone, now)).transpose()?;
    require_known(project, args.app.as_deref(), args.flow.as_deref())?;
    Ok(Filter {
        app: args.app.clone(),
        status: args.status,
        kind: args.kind,
        flow: args.flow.clone(),
        since,
        before: args.before,
        archived: args.archived,
        ..Filter::default()
    })
}

/// Refuses an app and a flow that neither the configuration nor the ledger knows.
pub(super) fn require_known(project: &Project, app: Option<&str>, flow: Option<&str>) -> Result<()> {
    if let Some(app) = app {
        // A word that is no app of the past either is most likely mistyped; the ledger may know one that was removed.
        if project.config.app(app).is_none() && !known_to_the_ledger(project, app)? {
            project.config.require_app(app)?;
        }
    }
    if let Some(flow) = flow
        && project.config.flow(flow).is_none()
        && !flow_known_to_the_ledger(project, flow)?
    {
        replay::require_flow(&project.config, flow)?;
    }
    Ok(())
}

/// A flow of the past need not be in the configuration; one of no delivery either is most likely mistyped.
fn flow_known_to_the_ledger(project: &Project, flow: &str) -> Result<bool> {
    let filter = Filter { flow: Some(flow.to_owned()), archived: true, limit: 1, ..Filter::default() };
    Ok(!block_on(project.ledger.list(filter))??.is_empty())
}

fn known_to_the_ledger(project: &Project, app: &str) -> Result<bool> {
    Ok(block_on(project.ledger.counts())??.iter().any(|count| count.app == app))
}

/// A delivery as it is printed, with what is known of it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    delivery: &'a Delivery,
    facts: Facts,
}

fn as_json(delivery: &Delivery) -> String {
    serde_json::to_string(&Listed { delivery, facts: Facts::of(delivery) }).unwrap_or_default()
}

fn table(project: &Project, found: &[Delivery], now: Timestamp) -> Table {
    let says = found.iter().any(|delivery| !remark(delivery).is_empty());
    let mut columns = vec![
        Column::right("id"),
        Column::left("status"),
        Column::left("from"),
        Column::left("to"),
        if found.iter().any(|delivery| delivery.kind == Kind::Record) {
            Column::left("file or record")
        } else {
            Column::path("file")
        },
        Column::right("rows"),
        Column::left("at"),
    ];
    if says {
        columns.push(Column::text(""));
    }
    let mut table = Table::new(&columns);
    for delivery in found {
        let facts = Facts::of(delivery);
        let to = match (&delivery.target_app, facts.role) {
            (Some(app), _) => app.as_str().into(),
            (None, Role::Export) => Cell::toned("(export)", Tone::Dim),
            (None, Role::Report) => Cell::toned("(report)", Tone::Dim),
            (None, Role::RejectedRows) => Cell::toned("(rejected)", Tone::Dim),
            (None, Role::Quarantined) => Cell::toned("(quarantine)", Tone::Dim),
            (None, _) => Cell::toned("(end)", Tone::Dim),
        };
        table.cells([
            delivery.id.to_string().into(),
            Cell::toned(delivery.status.as_str(), tone(delivery.status)),
            delivery.source_app.as_str().into(),
            to,
            if facts.role == Role::Record { excerpt(delivery) } else { facts.name }.into(),
            facts.rows.map(times::number).unwrap_or_default().into(),
            times::at(delivery.created_at, &project.config.timezone, now).into(),
            remark(delivery).into(),
        ]);
    }
    table
}

/// The beginning of a record, on one line.
fn excerpt(delivery: &Delivery) -> String {
    let text = delivery.data.to_string();
    let short: String = text.chars().take(EXCERPT).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// How a status is shown.
pub(crate) fn tone(status: Status) -> Tone {
    match status {
        Status::Failed => Tone::Bad,
        Status::Pending | Status::Processing => Tone::Warn,
        Status::Completed => Tone::Plain,
        Status::Archived => Tone::Dim,
    }
}

/// What is worth a word: an error, a replay, a deletion.
fn remark(delivery: &Delivery) -> String {
    if delivery.deleted_at.is_some() {
        return "deleted".to_owned();
    }
    let ended_well = delivery.status == Status::Completed;
    match (&delivery.last_error, delivery.replay_of) {
        (Some(error), _) if !ended_well => error.clone(),
        (_, Some(old)) => format!("replays {old}"),
        _ => String::new(),
    }
}
