//! How answers come into the ledger: all that have come meanwhile in one transaction for each claim, each with what
//! follows from it.

use super::lines::Told;
use crate::config::App;
use crate::context::Context;
use crate::delivery::{Attempt, Summary, tell_failure};
use crate::engine::events::Event;
use crate::meter::Ended;
use handover_core::{Delivery, ErrorKind, LeaseToken, Result, fault};
use handover_ledger::{Answer, Answered, Answers, Outcome, Queue, Verdict};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};

/// So often a commit is tried again that the ledger does not take, once a second; then the leases bring the records back.
const TRIES_MAX: usize = 30;
const AGAIN: Duration = Duration::from_secs(1);

/// A record and what its program said of it.
pub(super) struct Answer1 {
    pub(super) attempt: Attempt,
    pub(super) told: Told,
}

/// Commits answers in their order, and tells of them.
pub(super) async fn commit(ctx: Arc<Context>, app: Arc<App>, answers: Vec<Answer1>) {
    let mut claims: Vec<(LeaseToken, Vec<Answer1>)> = Vec::new();
    for answer in answers {
        answer.attempt.lease.settling();
        let token = &answer.attempt.held.token;
        match claims.iter_mut().find(|(of, _)| of == token) {
            Some((_, claim)) => claim.push(answer),
            None => claims.push((token.clone(), vec![answer])),
        }
    }
    for (token, claim) in claims {
        match settled(&ctx, &app, &token, &claim).await {
            Ok(answered) => {
                for (one, answered) in claim.into_iter().zip(answered) {
                    tell(&ctx, one, answered);
                }
            }
            Err(e) => {
                error!(app = %app.name, "cannot commit {} answers: {e}; the records are given again when their leases end", claim.len());
            }
        }
    }
}

async fn settled(ctx: &Context, app: &App, token: &LeaseToken, claim: &[Answer1]) -> Result<Vec<Answered>> {
    let mut tries = 0;
    loop {
        fault::point("stream.answered")?;
        let answers = Answers {
            queue: Queue::Records,
            token: token.clone(),
            answers: claim.iter().map(|one| answer(ctx, app, &one.attempt.delivery, &one.told)).collect(),
            whole: false,
        };
        match ctx.project.ledger.answer(answers).await {
            Ok(answered) => {
                fault::point("stream.committed")?;
                return Ok(answered);
            }
            Err(e) if tries >= TRIES_MAX => return Err(e),
            Err(e) => warn!(app = %app.name, "cannot commit answers: {e}; it is tried again in a second"),
        }
        tries += 1;
        tokio::time::sleep(AGAIN).await;
    }
}

fn answer(ctx: &Context, app: &App, record: &Delivery, told: &Told) -> Answer {
    let outcome = match told {
        Told::Completed(made) => {
            let next = ctx.next_records(&app.name, record, made.as_slice());
            // What nobody else gets is kept with the record.
            let kept =
                made.as_ref().filter(|_| next.is_empty()).map(|data: &Value| json!({ "data": [data] }));
            Outcome::Completed { result: kept, next }
        }
        Told::Failed(error) => {
            Outcome::Failed { error: error.clone(), verdict: Verdict::Final, result: None }
        }
        Told::Retry(error) => Outcome::Failed { error: error.clone(), verdict: Verdict::Retry, result: None },
    };
    Answer { id: record.id, outcome }
}

fn tell(ctx: &Context, one: Answer1, answered: Answered) {
    let Answer1 { attempt, told } = one;
    let observer = &ctx.process.observer;
    match (answered, told) {
        (Answered::Completed(_), Told::Completed(made)) => {
            let summary = attempt.record_summary(made.into_iter().collect(), true, Summary::default());
            attempt.count(Ended::Completed, &summary);
            observer.tell(attempt.completed(&summary));
        }
        (Answered::Completed(_), _) => {}
        (Answered::Failed(came_to), told) => {
            let (Told::Failed(text) | Told::Retry(text)) = told else { return };
            attempt.count(Ended::after(came_to.status), &Summary { rows_in: Some(1), ..Summary::default() });
            tell_failure(&attempt, ErrorKind::Program, text, came_to.status, came_to.run_at);
        }
        (Answered::Stale(why), _) => {
            let (app, id) = (attempt.app.name.clone(), attempt.delivery.id);
            warn!(app = %app, delivery = id.0, "late: {why}; this answer is dropped");
            observer.tell(Event::Late { app, id });
        }
    }
}
