//! `handover replay`: runs deliveries of the past again from their retained inputs.

use super::by_hand::whoever_runs;
use super::{Start, actor, block_on, note, parsed};
use crate::printer::Outcome;
use crate::table::{Column, Table};
use handover_core::{DeliveryId, Error, Result};
use handover_ledger::NewAction;
use handover_runtime::Project;
use handover_runtime::operations::replay::{self, One, Replayed};
use handover_runtime::operations::times;
use std::process::ExitCode;

const HELP: &str = "\
A replay is a new delivery of the old one's input, read from its checkpoint or the archive. What comes of it gets new \
names and says what it replays; nothing of the past changes. With --flow all that entered the flow in a time enters it \
again, at the flow's first link; what has not ended yet, and what was itself a replay, is left out.

Examples:
  handover replay 17
  handover replay --flow sales --since 2025-11-24 --dry-run
  handover replay --flow sales --since 2h";

/// The arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The deliveries' numbers
    #[arg(value_name = "ID", value_parser = parsed::<DeliveryId>, required_unless_present_any = ["flow", "since", "until"], conflicts_with_all = ["flow", "since", "until"])]
    ids: Vec<DeliveryId>,
    /// All that entered this flow
    #[arg(long)]
    flow: Option<String>,
    /// From this time on: 2h, 3 days, 2025-11-24, 2025-11-24T10:30:00Z
    #[arg(long, value_name = "TIME", requires = "flow")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME", requires = "flow")]
    until: Option<String>,
    /// Say what would be replayed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Replays them.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let project = start.existing()?;
    let (zone, now) = (&project.config.timezone, project.clock.now());
    let time = |text: &Option<String>| text.as_ref().map(|text| times::since(text, zone, now)).transpose();
    let (since, until) = (time(&args.since)?, time(&args.until)?);
    let done = block_on(async {
        let done = match (&args.flow, since) {
            (Some(flow), Some(since)) => {
                replay::flow(&project, &actor(), flow, since, until, args.dry_run).await
            }
            (Some(flow), None) => {
                replay::require_flow(&project.config, flow)?;
                Err(Error::config("--flow needs a time").hint("such as --since 2h"))
            }
            (None, _) => replay::these(&project, &actor(), &args.ids, args.dry_run).await,
        }?;
        if !args.dry_run {
            noted(&project, args, &done).await?;
        }
        Ok::<_, Error>(done)
    })??;
    if start.printer.is_json() {
        start.printer.json(&done);
        return Ok(ExitCode::SUCCESS);
    }
    say(start, args, &done);
    if !args.dry_run && !done.replayed.is_empty() {
        start.printer.talk(whoever_runs(&project));
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes who replayed what: each delivery by itself where they were named, all at once where a flow was.
async fn noted(project: &Project, args: &Args, done: &Replayed) -> Result<()> {
    let new = |one: &One| one.id.map(|id| format!("as delivery {id}"));
    let Some(flow) = &args.flow else {
        for one in &done.replayed {
            let (delivery, app) = (Some(one.replay_of), Some(one.app.clone()));
            let what = NewAction { delivery, app, note: new(one), ..NewAction::default() };
            note(project, "replay", "replay", what).await?;
        }
        return Ok(());
    };
    let ids = || done.replayed.iter().map(|one| one.replay_of);
    let times = [("since", &args.since), ("until", &args.until)];
    let times = times.iter().filter_map(|(word, time)| Some(format!(" {word} {}", time.as_ref()?)));
    let thing = Some(format!("flow {flow}{}", times.collect::<String>()));
    let what = NewAction {
        thing,
        delivery: ids().min(),
        last: ids().max(),
        note: Some(format!("{} replayed", deliveries(done.replayed.len() as u64))),
        ..NewAction::default()
    };
    note(project, "replay", "replay a flow", what).await
}

fn say(start: &Start, args: &Args, done: &Replayed) {
    let printer = start.printer;
    if done.replayed.is_empty() {
        printer.data("nothing entered the flow in that time");
    } else {
        let mut table = Table::new(&[
            Column::right("replay of"),
            Column::right("new"),
            Column::left("app"),
            Column::left("input"),
        ]);
        for one in &done.replayed {
            let new = one.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            table.row([
                one.replay_of.to_string(),
                new,
                one.app.clone(),
                one.path.clone().unwrap_or_default(),
            ]);
        }
        printer.data(table);
    }
    if args.dry_run && !done.replayed.is_empty() {
        printer.talk(format_args!(
            "{} would be replayed; without --dry-run they are",
            deliveries(done.replayed.len() as u64)
        ));
    }
    if done.unended > 0 {
        printer.talk(format_args!("left out because they have not ended: {}", deliveries(done.unended)));
    }
    if !done.also_flows.is_empty() {
        let flows: Vec<&str> = done.also_flows.iter().map(String::as_str).collect();
        printer.talk(format_args!(
            "these files belong to other flows too, which run again with it: {}",
            flows.join(", ")
        ));
    }
}

fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{} deliveries", times::number(count)) }
}
