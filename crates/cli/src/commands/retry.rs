//! `handover retry`: failed deliveries wait again, those that are named, or all that fit.

use super::by_hand::{app_of, each, whoever_runs};
use super::list::require_known;
use super::{Start, actor, block_on, parsed};
use crate::printer::Outcome;
use crate::table::{Column, Table};
use handover_core::{DeliveryId, HolderId, Result, Status};
use handover_ledger::Filter;
use handover_runtime::Project;
use handover_runtime::operations::act::many::{fitting, perform_many};
use handover_runtime::operations::act::{self, Act, By};
use handover_runtime::operations::times;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

const HELP: &str = "\
A failed delivery waits again, with all its attempts, and keeps its number. For one whose cause has been mended: the \
program, the schema, the disk. To run a delivery again that did not fail, see `handover replay`. All that \
fit are tried once, newest first; what came after the command began is left alone.

Examples:
  handover retry 17 18
  handover retry --app prices --since 2h --dry-run
  handover retry --app prices --since 2h";

/// The arguments of `retry`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The failed deliveries' numbers
    #[arg(value_name = "ID", value_parser = parsed::<DeliveryId>, required_unless_present_any = FILTERS, conflicts_with_all = FILTERS)]
    ids: Vec<DeliveryId>,
    /// All that failed of this app
    #[arg(long)]
    app: Option<String>,
    /// All that failed of this flow
    #[arg(long)]
    flow: Option<String>,
    /// All that failed and was handed over from this time on: 2h, 3 days, 2025-11-24, 2025-11-24T10:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// All that failed and was handed over before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Say what would be tried again, and do nothing
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
}

const FILTERS: [&str; 4] = ["app", "flow", "since", "until"];

/// What was tried again, or would be.
#[derive(Debug, Default, Serialize)]
struct Retried {
    /// How many deliveries of each app fit.
    apps: BTreeMap<String, u64>,
    /// How many of them wait again.
    retried: u64,
    /// How many could not be tried again, and of the first ones the reason.
    left: u64,
    reasons: Vec<(DeliveryId, String)>,
    dry_run: bool,
}

/// Tries them again.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    if args.ids.is_empty() {
        return all(start, args);
    }
    each(start, &args.ids, |project, delivery| async move {
        project.ledger.retry(&actor(), delivery.id).await?;
        let attempts = times::count(u64::from(delivery.max_attempts), "attempt");
        Ok((format!("delivery {} waits for {} again, with {attempts}", delivery.id, app_of(&delivery)), true))
    })
}

/// All that fit.
fn all(start: &Start, args: &Args) -> Outcome {
    let project = start.existing()?;
    let (zone, now) = (&project.config.timezone, project.clock.now());
    let time = |text: &Option<String>| text.as_ref().map(|text| times::since(text, zone, now)).transpose();
    let (since, until) = (time(&args.since)?, time(&args.until)?);
    require_known(&project, args.app.as_deref(), args.flow.as_deref())?;
    let filter = Filter {
        app: args.app.clone(),
        flow: args.flow.clone(),
        since,
        until,
        status: Some(Status::Failed),
        ..Filter::default()
    };
    let done = block_on(those(&project, filter, args.dry_run))??;
    if start.printer.is_json() {
        start.printer.json(&done);
    } else {
        say(start, &project, &done);
    }
    Ok(if done.left > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Goes through what fits, newest first, a part at a time.
async fn those(project: &Project, mut filter: Filter, dry_run: bool) -> Result<Retried> {
    let (actor, holder) = (actor(), HolderId::new(std::process::id()));
    let newest = act::newest(project).await?;
    filter.before = Some(DeliveryId(newest.0.saturating_add(1)));
    let mut done = Retried { dry_run, ..Retried::default() };
    loop {
        let found = fitting(project, Act::Retry, &filter, None).await?;
        for (app, count) in found.apps {
            *done.apps.entry(app).or_default() += count;
        }
        if !dry_run {
            let by = By { actor: &actor, via: "handover retry", holder: &holder };
            let did = perform_many(project, by, Act::Retry, &found.ids, newest, "what failed").await;
            done.retried += did.done;
            done.left += did.left_count;
            if done.reasons.is_empty() {
                done.reasons = did.left;
            }
        }
        match found.below {
            Some(below) => filter.before = Some(below),
            None => return Ok(done),
        }
    }
}

fn say(start: &Start, project: &Project, done: &Retried) {
    let printer = start.printer;
    if done.apps.is_empty() {
        printer.data("nothing has failed that fits");
        return;
    }
    let mut table = Table::new(&[Column::left("app"), Column::right("failed")]);
    for (app, count) in &done.apps {
        table.row([if app.is_empty() { "nobody".to_owned() } else { app.clone() }, times::number(*count)]);
    }
    printer.data(table);
    if done.dry_run {
        printer.talk(format_args!(
            "{} would be tried again; without --dry-run they are",
            times::number(done.apps.values().sum())
        ));
        return;
    }
    printer.talk(format_args!("{} wait again", times::number(done.retried)));
    for (id, why) in &done.reasons {
        printer.talk(format_args!("delivery {id} was left: {why}"));
    }
    if done.left > done.reasons.len() as u64 {
        printer.talk(format_args!("{} were left in all", times::number(done.left)));
    }
    if done.retried > 0 {
        printer.talk(whoever_runs(project));
    }
}
