//! Ending an attempt: well, with what follows, or badly. Both are one transaction with all that belongs to them.

use super::PostgresLedger;
use super::claim::{cannot_be_read, stale};
use super::error::Attempt;
use super::push::{Json, push, results};
use super::row::{bounded, count, get, kept, time as time_of};
use super::tx::{Tx, in_transaction, number, numbers, text, texts, time, times};
use crate::api::{Completion, Failed, Failure, Held, Queue, Verdict};
use crate::backoff::delay;
use crate::jobs::{cancelled_by, cancelled_result};
use handover_core::{DeliveryId, LeaseToken, NewDelivery, Result, Status};
use jiff::Timestamp;
use std::borrow::Cow;
use std::time::Duration;
use tokio_postgres::types::Type;

pub(super) async fn complete(tx: &mut Tx<'_>, completion: &Completion) -> Attempt<Vec<DeliveryId>> {
    let held = &completion.held;
    let ends = [Ends { id: held.id, result: Some(kept(&completion.result)) }];
    let done = complete_all(tx, held.queue, &held.token, &ends).await?;
    if done.ids.is_empty() {
        return Err(stale(tx, held).await);
    }
    if let Some(checksum) = completion.checksum {
        note_content(tx, held.id, &checksum.to_string()).await?;
    }
    push_next(tx, &done.actor, held.id, &completion.next).await
}

/// Notes the content of the file that an arrival turned out to have.
pub(super) async fn note_content(tx: &mut Tx<'_>, delivery: DeliveryId, checksum: &str) -> Attempt<()> {
    let update = "UPDATE integration.arrivals SET checksum = $2 WHERE delivery_id = $1";
    tx.rows("note an arrival's content", update, &[number(&delivery.0), text(&checksum)]).await.map(|_| ())
}

/// A delivery that ends well, with its result as it is kept.
pub(super) struct Ends {
    pub(super) id: DeliveryId,
    pub(super) result: Option<String>,
}

/// Which of them ended, and who did it.
pub(super) struct Done {
    pub(super) ids: Vec<i64>,
    pub(super) actor: String,
}

/// Completes what the token holds of these.
pub(super) async fn complete_all(
    tx: &mut Tx<'_>,
    queue: Queue,
    token: &LeaseToken,
    ends: &[Ends],
) -> Attempt<Done> {
    let call = format!(
        "SELECT ids, ordered, actor FROM integration._complete_{}($1, $2, $3, $4, false)",
        queue.named()
    );
    let ids: Vec<i64> = ends.iter().map(|one| one.id.0).collect();
    let results = super::push::some(ends.iter().map(|one| one.result.clone().map(Json)));
    let now = tx.ledger().now();
    let values = [text(&token.0), numbers(&ids), (&results, Type::JSON_ARRAY), time(&now)];
    let row = tx.row("complete a delivery", &call, &values).await?;
    let done = Done {
        ids: get(&row, 0)?,
        actor: get::<Option<String>>(&row, 2)?.unwrap_or_else(|| "handover".to_owned()),
    };
    if !done.ids.is_empty() && get::<Option<bool>>(&row, 1)?.unwrap_or(false) {
        // The next of an order key waits for this end.
        tx.frees_work();
    }
    Ok(done)
}

/// Hands over what follows from a delivery.
pub(super) async fn push_next(
    tx: &mut Tx<'_>,
    actor: &str,
    parent: DeliveryId,
    next: &[NewDelivery],
) -> Attempt<Vec<DeliveryId>> {
    let next: Vec<NewDelivery> = next
        .iter()
        .map(|new| NewDelivery { parent_id: new.parent_id.or(Some(parent)), ..new.clone() })
        .collect();
    let born: Vec<_> = next.iter().map(|new| (new, None)).collect();
    let pushed = push(tx, actor, &born).await?;
    Ok(pushed.into_iter().map(crate::api::Pushed::id).collect())
}

/// What a failure needs to know of a delivery that is held, and when that was.
pub(super) struct Standing {
    pub(super) id: i64,
    attempts: u32,
    max_attempts: u32,
    snoozes: u32,
    pub(super) actor: String,
    now: Timestamp,
    /// Who asked for its end.
    asked_by: Option<String>,
}

/// What the token holds of these, locked to the transaction's end.
pub(super) async fn standing(
    tx: &mut Tx<'_>,
    queue: Queue,
    token: &LeaseToken,
    ids: &[i64],
) -> Attempt<Vec<Standing>> {
    let call = format!(
        "SELECT id, attempts, max_attempts, snoozes, coalesce(leased_by, 'handover'), coalesce($3, clock_timestamp()), \
         (SELECT by FROM integration.cancellations AS c WHERE c.delivery_id = h.id) \
         FROM integration._held_{}($1, $2, true) AS h",
        queue.named()
    );
    let now = tx.ledger().now();
    let rows = tx.rows("look at what is held", &call, &[text(&token.0), numbers(&ids), time(&now)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                id: get(row, 0)?,
                attempts: count(row, 1)?,
                max_attempts: count(row, 2)?,
                snoozes: count(row, 3)?,
                actor: get(row, 4)?,
                now: time_of(row, 5)?,
                asked_by: get(row, 6)?,
            })
        })
        .collect()
}

/// How a delivery ends badly.
pub(super) struct Fails<'a> {
    pub(super) standing: &'a Standing,
    pub(super) error: &'a str,
    pub(super) verdict: Verdict,
    /// Not sooner than after this.
    pub(super) after: Option<Duration>,
    pub(super) result: Option<&'a serde_json::Value>,
}

impl Fails<'_> {
    /// Who asked for the end that this is.
    fn asked_by(&self) -> Option<&str> {
        self.standing.asked_by.as_deref().filter(|_| self.verdict != Verdict::Final)
    }

    fn error(&self) -> String {
        self.asked_by().map_or_else(|| bounded(self.error), cancelled_by)
    }

    fn result(&self) -> Option<Cow<'_, serde_json::Value>> {
        match self.asked_by() {
            Some(_) => Some(Cow::Owned(cancelled_result(self.result))),
            None => self.result.map(Cow::Borrowed),
        }
    }
}

/// Where a failure leads: the counts as they then are, and when it is tried again, if it is.
fn leads_to(fails: &Fails<'_>) -> (u32, u32, Option<Timestamp>) {
    let Standing { id, attempts, max_attempts, snoozes, now, .. } = *fails.standing;
    let (attempts, snoozes, wait) = match fails.verdict {
        _ if fails.asked_by().is_some() => (attempts, snoozes, None),
        Verdict::Final => (attempts, snoozes, None),
        Verdict::Retry if attempts >= max_attempts => (attempts, snoozes, None),
        Verdict::Retry => (attempts, snoozes, Some(delay(id, attempts))),
        Verdict::Later => (attempts.saturating_sub(1), snoozes + 1, Some(delay(id, snoozes + 1))),
    };
    let wait = wait.map(|wait| wait.max(fails.after.unwrap_or_default()));
    (attempts, snoozes, wait.and_then(|wait| now.checked_add(wait).ok()))
}

/// Fails these, all held under the token.
pub(super) async fn fail_all(
    tx: &mut Tx<'_>,
    queue: Queue,
    token: &LeaseToken,
    all: &[Fails<'_>],
) -> Attempt<Vec<Failed>> {
    let Some(now) = all.first().map(|one| one.standing.now) else { return Ok(Vec::new()) };
    let led: Vec<_> = all.iter().map(leads_to).collect();
    let failed = led.iter().map(|(_, _, run_at)| {
        let status = if run_at.is_some() { Status::Pending } else { Status::Failed };
        Failed { status, run_at: *run_at }
    });
    let failed: Vec<Failed> = failed.collect();
    let ids: Vec<i64> = all.iter().map(|one| one.standing.id).collect();
    let statuses: Vec<&str> = failed.iter().map(|one| one.status.as_str()).collect();
    let run_at: Vec<Option<Timestamp>> = failed.iter().map(|one| one.run_at).collect();
    let attempts: Vec<i64> = led.iter().map(|(attempts, ..)| i64::from(*attempts)).collect();
    let snoozes: Vec<i64> = led.iter().map(|(_, snoozes, _)| i64::from(*snoozes)).collect();
    let errors: Vec<String> = all.iter().map(Fails::error).collect();
    let came_to: Vec<_> = all.iter().map(Fails::result).collect();
    let results = results(came_to.iter().map(Option::as_deref));
    let call =
        format!("SELECT integration._fail_{}($1, $2, $3, $4, $5, $6, $7, $8, $9, false)", queue.named());
    let values = [
        text(&token.0),
        numbers(&ids),
        texts(&statuses),
        times(&run_at),
        numbers(&attempts),
        numbers(&snoozes),
        texts(&errors),
        (&results, Type::JSON_ARRAY),
        time(&now),
    ];
    tx.rows("fail a delivery", &call, &values).await?;
    tx.frees_work();
    Ok(failed)
}

pub(super) async fn fail(tx: &mut Tx<'_>, failure: &Failure) -> Attempt<Failed> {
    let held = &failure.held;
    let Some(standing) = standing(tx, held.queue, &held.token, &[held.id.0]).await?.pop() else {
        return Err(stale(tx, held).await);
    };
    let fails = Fails {
        standing: &standing,
        error: &failure.error,
        verdict: failure.verdict,
        after: failure.after,
        result: failure.result.as_ref(),
    };
    let failed = fail_all(tx, held.queue, &held.token, &[fails]).await?;
    push_next(tx, &standing.actor, held.id, &failure.next).await?;
    Ok(failed.first().copied().unwrap_or(Failed { status: Status::Failed, run_at: None }))
}

/// Gives up records that another program wrote as JSON that PostgreSQL takes and we cannot parse.
pub(super) async fn refuse(
    ledger: &PostgresLedger,
    queue: Queue,
    token: &LeaseToken,
    unreadable: Vec<(DeliveryId, String)>,
) -> Result<()> {
    in_transaction!(ledger, |tx| async {
        for (id, why) in &unreadable {
            let held = Held { queue, id: *id, token: token.clone() };
            let failure = Failure {
                held,
                error: cannot_be_read(why),
                verdict: Verdict::Final,
                after: None,
                result: None,
                next: Vec::new(),
            };
            fail(tx, &failure).await?;
        }
        Ok(())
    })
}
