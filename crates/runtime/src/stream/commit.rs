//! How answers come into the ledger: all that have come meanwhile in one transaction for each claim, each with what
//! follows from it.

use super::lines::Told;
use crate::config::App;
use crate::context::Context;
use crate::delivery::{Attempt, Summary, tell_failure};
use crate::engine::events::Event;
use crate::meter::Ended;
use crate::traces::{Begun, RECORDS_MAX, SpanKind};
use handover_core::{ErrorKind, LeaseToken, Result, fault};
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
        let batch = Batch::begin(&ctx, &claim);
        match settled(&ctx, &app, &token, &claim).await {
            Ok(answered) => {
                batch.end(&ctx, &app, &answered);
                for (one, answered) in claim.into_iter().zip(answered) {
                    tell(&ctx, one, answered, batch.is_small);
                }
            }
            Err(e) => {
                error!(app = %app.name, "cannot commit {} answers: {e}; the records are given again when their leases end", claim.len());
            }
        }
    }
}

/// What is said of a batch of answers in its own span; and whether it is so small that records have spans of their own.
struct Batch {
    span: Option<Begun>,
    is_small: bool,
}

impl Batch {
    fn is_small(claim: &[Answer1]) -> bool {
        claim.len() <= RECORDS_MAX
    }

    /// Where records have spans of their own, that is enough.
    fn begin(ctx: &Context, claim: &[Answer1]) -> Self {
        let is_small = Self::is_small(claim);
        let told = is_small && claim.iter().any(|one| one.attempt.span.is_some());
        let span = if told { None } else { ctx.project.tracer.batch(ctx.project.clock.now()) };
        Self { span, is_small }
    }

    fn end(&self, ctx: &Context, app: &App, answered: &[Answered]) {
        let Some(span) = &self.span else { return };
        let count = |is: fn(&Answered) -> bool| answered.iter().filter(|one| is(one)).count();
        let said = vec![
            ("handover.records", Value::from(answered.len())),
            ("handover.completed", count(|one| matches!(one, Answered::Completed(_))).into()),
            ("handover.failed", count(|one| matches!(one, Answered::Failed(_))).into()),
            ("handover.late", count(|one| matches!(one, Answered::Stale(_))).into()),
        ];
        let (name, now) = (format!("answers of {}", app.name), ctx.project.clock.now());
        ctx.project.tracer.end(span.ended(name, SpanKind::Internal, now, said, None));
    }
}

async fn settled(ctx: &Context, app: &App, token: &LeaseToken, claim: &[Answer1]) -> Result<Vec<Answered>> {
    let mut tries = 0;
    loop {
        fault::point("stream.answered")?;
        let answers = Answers {
            queue: Queue::Records,
            token: token.clone(),
            answers: claim.iter().map(|one| answer(ctx, app, one, Batch::is_small(claim))).collect(),
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

fn answer(ctx: &Context, app: &App, one: &Answer1, is_small: bool) -> Answer {
    let record = &one.attempt.delivery;
    let outcome = match &one.told {
        Told::Completed(made) => {
            // What has no span of its own hands on what it came with.
            let trace = if is_small { one.attempt.traceparent() } else { record.trace.clone() };
            let next = ctx.next_records(&app.name, record, trace.as_deref(), made.as_slice());
            // What nobody else gets is kept with the record.
            let kept =
                made.as_ref().filter(|_| next.is_empty()).map(|data| json!({ "data": [data.value()] }));
            Outcome::Completed { result: kept, next }
        }
        Told::Failed(error) => {
            Outcome::Failed { error: error.clone(), verdict: Verdict::Final, result: None }
        }
        Told::Retry(error) => Outcome::Failed { error: error.clone(), verdict: Verdict::Retry, result: None },
    };
    Answer { id: record.id, outcome }
}

fn tell(ctx: &Context, one: Answer1, answered: Answered, is_small: bool) {
    let Answer1 { mut attempt, told } = one;
    if !is_small {
        attempt.span = None;
    }
    let observer = &ctx.process.observer;
    match (answered, told) {
        (Answered::Completed(_), Told::Completed(made)) => {
            let summary = attempt.record_summary(made.into_iter().collect(), true, Summary::default());
            attempt.ended(Ended::Completed, &summary, None);
            observer.tell(attempt.completed(&summary));
        }
        (Answered::Completed(_), _) => {}
        (Answered::Failed(came_to), told) => {
            let (Told::Failed(text) | Told::Retry(text)) = told else { return };
            let summary = Summary { rows_in: Some(1), ..Summary::default() };
            attempt.ended(Ended::after(came_to.status), &summary, Some(&text));
            tell_failure(&attempt, ErrorKind::Program, text, came_to.status, came_to.run_at);
        }
        (Answered::Stale(why), _) => {
            let (app, id) = (attempt.app.name.clone(), attempt.delivery.id);
            warn!(app = %app, delivery = id.0, "late: {why}; this answer is dropped");
            observer.tell(Event::Late { app, id });
        }
    }
}
