//! What a person does to deliveries and apps: cancel, restore, pause, resume; and what `retry` shares with them.
//!
//! Each is one transaction. Of several deliveries each is done by itself: what cannot be done is said, the rest is
//! done, and the exit code is 1.

use super::{Start, actor, block_on, note, parsed};
use crate::printer::Outcome;
use handover_core::{Delivery, DeliveryId, Error, Result, Status};
use handover_ledger::{Cancelled, NewAction};
use handover_runtime::Project;
use handover_runtime::operations::running::running;
use handover_runtime::operations::times;
use serde_json::json;
use std::process::ExitCode;

const CANCEL: &str = "\
A delivery that waits is never begun; one that runs is stopped, and ends when all that its program started is gone. It \
counts as failed, so that `handover retry` brings it back. Nothing is deleted.

Example:
  handover cancel 17";

const RESTORE: &str = "\
A deleted delivery (its row has deleted_at) is never claimed. This takes the mark away.

Example:
  handover restore 17";

const PAUSE: &str = "\
Nothing more of the app is begun, in any process, until it is resumed; what runs ends as usual. What comes meanwhile \
waits and is not lost.

Example:
  handover pause file-exporter";

const RESUME: &str = "\
The work of a paused app goes on, with what has waited first.

Example:
  handover resume file-exporter";

/// The arguments of `cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = CANCEL)]
pub(crate) struct CancelArgs {
    /// The deliveries' numbers
    #[arg(required = true, value_name = "ID", value_parser = parsed::<DeliveryId>)]
    ids: Vec<DeliveryId>,
}

/// The arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE)]
pub(crate) struct RestoreArgs {
    /// The deliveries' numbers
    #[arg(required = true, value_name = "ID", value_parser = parsed::<DeliveryId>)]
    ids: Vec<DeliveryId>,
}

/// The arguments of `pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE)]
pub(crate) struct PauseArgs {
    /// The app
    app: String,
}

/// The arguments of `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME)]
pub(crate) struct ResumeArgs {
    /// The app
    app: String,
}

/// A sentence about who takes up what waits now.
pub(crate) fn whoever_runs(project: &Project) -> String {
    match running(&project.data).iter().find(|process| process.watches) {
        Some(process) => {
            let pid = process.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            format!("`handover run` is on{pid} and takes it up now")
        }
        None => "nothing runs now: `handover run` takes it up, or `handover run --once`".to_owned(),
    }
}

/// What was done to one delivery: a sentence, and whether it waits for somebody now.
pub(super) type Done = (String, bool);

/// Does the same to each delivery and says what came of it.
pub(super) fn each<F>(start: &Start, ids: &[DeliveryId], act: impl Fn(Project, Delivery) -> F) -> Outcome
where
    F: Future<Output = Result<Done>>,
{
    let project = start.existing()?;
    let (mut answers, mut failed, mut waits) = (Vec::new(), false, false);
    for id in ids {
        let done: Result<Done> = block_on(async {
            let delivery = project.ledger.get(*id).await?.ok_or_else(|| {
                Error::not_found(format!("there is no delivery {id}"))
                    .hint("`handover list` shows the deliveries")
            })?;
            act(project.clone(), delivery).await
        })?;
        match done {
            Ok((text, open)) => {
                waits |= open;
                if start.printer.is_json() {
                    answers.push(json!({ "id": id, "done": true, "message": text }));
                } else {
                    start.printer.data(text);
                }
            }
            Err(e) if start.printer.is_json() => {
                failed = true;
                answers.push(
                    json!({ "id": id, "done": false, "message": e.to_string(), "hint": e.hint_text() }),
                );
            }
            Err(e) => {
                failed = true;
                start.printer.fail(&e.into());
            }
        }
    }
    if start.printer.is_json() {
        start.printer.json(&answers);
    } else if waits {
        start.printer.talk(whoever_runs(&project));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) fn app_of(delivery: &Delivery) -> &str {
    delivery.target_app.as_deref().unwrap_or("nobody")
}

/// Something done to a delivery.
fn to(delivery: &Delivery) -> NewAction {
    NewAction { delivery: Some(delivery.id), app: delivery.target_app.clone(), ..NewAction::default() }
}

/// Something done to an app.
fn to_app(app: &str) -> NewAction {
    NewAction { app: Some(app.to_owned()), ..NewAction::default() }
}

/// `handover cancel`.
pub(crate) fn cancel(start: &Start, args: &CancelArgs) -> Outcome {
    each(start, &args.ids, |project, delivery| async move {
        let (id, app) = (delivery.id, app_of(&delivery));
        let text = match project.ledger.ask_to_cancel(&actor(), id).await? {
            Cancelled::Asked => {
                let what =
                    NewAction { note: Some("it ends when its work has stopped".into()), ..to(&delivery) };
                note(&project, "cancel", "cancel", what).await?;
                format!("delivery {id} for {app} is cancelling: it ends when what works on it has stopped")
            }
            Cancelled::Ended if delivery.status == Status::Processing => format!(
                "delivery {id} for {app} is cancelled: what works on it is stopped; `handover retry {id}` brings it back"
            ),
            Cancelled::Ended => {
                format!(
                    "delivery {id} for {app} is cancelled: it is not begun; `handover retry {id}` brings it back"
                )
            }
        };
        Ok((text, false))
    })
}

/// `handover restore`.
pub(crate) fn restore(start: &Start, args: &RestoreArgs) -> Outcome {
    each(start, &args.ids, |project, delivery| async move {
        if !project.ledger.restore(&actor(), delivery.id).await? {
            return Ok((
                format!("delivery {} was not deleted: there is nothing to restore", delivery.id),
                false,
            ));
        }
        note(&project, "restore", "restore", to(&delivery)).await?;
        let waits = delivery.status == Status::Pending;
        Ok((
            format!("delivery {} for {} is back; it is {}", delivery.id, app_of(&delivery), delivery.status),
            waits,
        ))
    })
}

/// `handover pause`.
pub(crate) fn pause(start: &Start, args: &PauseArgs) -> Outcome {
    let project = start.existing()?;
    let app = &project.config.require_app(&args.app)?.name;
    let (already, waiting, running) = block_on(async {
        let already = project.ledger.paused().await?.into_iter().find(|pause| pause.app == app.as_str());
        if already.is_none() {
            project.ledger.pause(&actor(), app.as_str()).await?;
            note(&project, "pause", "pause", to_app(app.as_str())).await?;
        }
        let (waiting, running) = open(&project, app.as_str()).await?;
        Ok::<_, Error>((already, waiting, running))
    })??;
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&json!({ "app": app, "paused": true, "was_paused": already.is_some(), "pending": waiting, "processing": running }));
        return Ok(ExitCode::SUCCESS);
    }
    match already {
        Some(pause) => {
            printer.data(format_args!("{app} is paused already, since {} by {}", pause.since, pause.by))
        }
        None => printer.data(format_args!("{app} is paused: nothing more of it is begun")),
    }
    let ends = if running > 0 { format!(" What runs ({running}) ends as usual.") } else { String::new() };
    printer.talk(format_args!(
        "{} now, and what comes waits too.{ends} `handover resume {app}` goes on.",
        waits(waiting)
    ));
    Ok(ExitCode::SUCCESS)
}

/// `handover resume`.
pub(crate) fn resume(start: &Start, args: &ResumeArgs) -> Outcome {
    let project = start.existing()?;
    let app = args.app.as_str();
    let (was_paused, waiting) = block_on(async {
        // One that is no longer declared may still be paused.
        if project.ledger.paused().await?.iter().all(|pause| pause.app != app) {
            project.config.require_app(app)?;
        }
        let was_paused = project.ledger.resume(&actor(), app).await?;
        if was_paused {
            note(&project, "resume", "resume", to_app(app)).await?;
        }
        Ok::<_, Error>((was_paused, open(&project, app).await?.0))
    })??;
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&json!({ "app": app, "paused": false, "was_paused": was_paused, "pending": waiting }));
        return Ok(ExitCode::SUCCESS);
    }
    if !was_paused {
        printer.data(format_args!("{app} was not paused"));
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(format_args!("{app} goes on: {}", waits(waiting)));
    if waiting > 0 {
        printer.talk(whoever_runs(&project));
    }
    Ok(ExitCode::SUCCESS)
}

fn waits(count: u64) -> String {
    match count {
        0 => "nothing waits for it".to_owned(),
        1 => "1 delivery waits for it".to_owned(),
        _ => format!("{} deliveries wait for it", times::number(count)),
    }
}

/// How many deliveries of an app wait, and how many run.
async fn open(project: &Project, app: &str) -> Result<(u64, u64)> {
    let counts = project.ledger.counts().await?;
    let of =
        |status: Status| counts.iter().filter(|c| c.app == app && c.status == status).map(|c| c.count).sum();
    Ok((of(Status::Pending), of(Status::Processing)))
}
