//! Jobs: deliveries that a person or a program asks for over the network, and what only they have: an idempotency key, a
//! caller with quotas, progress, and an end that is asked for and comes when the work is seen to have stopped.
//!
//! A job is a row of `deliveries` like any other: claimed, retried, audited and archived the same way. What is here are the
//! tables beside it. Invariants: an idempotency key and its job are one transaction; a cancellation that was asked for is
//! known until its delivery has ended, whatever becomes of whoever holds it; an ended job never changes. What was asked to end
//! is never pending again: given back, rescued or tried again it has failed, with the code [`CANCELLED`].
//!
//! A job whose `data` has a `webhook`, a text, tells of each of its ends: in the same transaction, whatever ended it, a job for
//! [`handover_core::WEBHOOK_APP`] is made, with the job's number, its status and that text as `url`.

use async_trait::async_trait;
use handover_core::limits::PROGRESS_LINE_MAX_BYTES;
use handover_core::{DeliveryId, Error, Kind, NewDelivery, Result, Status};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// A job to be submitted.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The delivery, of the kind job.
    pub delivery: NewDelivery,
    /// Who asks: `created_by` of the row, and the actor in its audit.
    pub caller: String,
    /// What makes asking twice one job.
    pub key: Option<IdempotencyKey>,
    /// So many jobs of this caller may be unended (pending or processing), this one among them; none is no limit. They are
    /// counted for each batch, which takes some 50 nanoseconds for each that there is: a limit is for thousands, not millions.
    pub caller_max: Option<u64>,
    /// So many deliveries, files and jobs, may be pending for its app, this one among them; none is no limit.
    pub queue_max: Option<u64>,
}

/// The key under which a caller asks, as the draft of `Idempotency-Key` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is: equal keys of two callers are two keys.
    pub owner: String,
    /// The key as it was given.
    pub key: String,
    /// A digest of what was asked for: the same key for something else is refused.
    pub fingerprint: String,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the ledger, and durable.
    New {
        /// Its number.
        id: DeliveryId,
        /// When it was handed over.
        at: Timestamp,
    },
    /// The same was asked for under the same key: that job.
    Known {
        /// Its number.
        id: DeliveryId,
        /// When it was handed over.
        at: Timestamp,
    },
    /// Something else was asked for under the same key: that job.
    Differs(DeliveryId),
    /// The caller has so many unended jobs already, or more: the limit.
    CallerHas(u64),
    /// So many deliveries are pending for the app already, or more: the limit.
    QueueHas(u64),
}

/// What became of asking for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Nobody had it: it has ended.
    Ended,
    /// Somebody works on it: it ends when the work is seen to have stopped, or completes if that was sooner.
    Asked,
}

/// An end that was asked for and has not come yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancellation {
    /// The delivery.
    pub id: DeliveryId,
    /// When it was asked for.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
}

/// A line that a program said while it worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgressLine {
    /// Which line of its delivery's, from 1, without gaps.
    pub seq: u64,
    /// When it was said.
    pub at: Timestamp,
    /// The line, without its end.
    pub line: String,
}

/// How far a followed delivery is: what changes when there is something new to tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The delivery.
    pub id: DeliveryId,
    /// Where it stands.
    pub status: Status,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// How many lines its program said, of those that are kept.
    pub lines: u64,
    /// Whether its end was asked for and has not come.
    pub cancelling: bool,
}

/// What the ledger knows of jobs. Every method is one transaction; every answer is durable.
///
/// # Errors
/// As [`crate::Ledger`].
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Submits jobs, in their order and each for itself: one that is refused does not keep another back.
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>>;

    /// How long whoever gathers submissions waits for more after a transaction of several; nothing where the backend gathers
    /// transactions itself.
    fn between_submissions(&self) -> Duration {
        Duration::ZERO
    }

    /// What was asked for under this key: [`Submitted::Known`], or [`Submitted::Differs`] where it was something else; none where
    /// nothing was.
    async fn known_key(&self, key: &IdempotencyKey) -> Result<Option<Submitted>>;

    /// Ends what nobody has; asks whoever works on it to stop. What is asked for twice is asked for once. Records are ended
    /// at once. Fails with `IllegalTransition` for what has ended, `NotFound` for what is not there.
    async fn ask_to_cancel(&self, actor: &str, id: DeliveryId) -> Result<Cancelled>;

    /// The ends that were asked for and have not come.
    async fn cancellations(&self) -> Result<Vec<Cancellation>>;

    /// Ends what is pending and was asked to end: its holder gave it back, or was lost. Returns how many.
    async fn end_cancelled(&self, actor: &str) -> Result<u64>;

    /// Keeps lines that a delivery's program said, after those that are kept. Of one delivery at most
    /// [`handover_core::limits::PROGRESS_LINES_MAX`] are kept: the rest is dropped. Returns how many lines it has then.
    async fn add_progress(&self, id: DeliveryId, lines: Vec<(Timestamp, String)>) -> Result<u64>;

    /// The lines of a delivery after line `after`, at most so many, in their order.
    async fn progress(&self, id: DeliveryId, after: u64, max: usize) -> Result<Vec<ProgressLine>>;

    /// How far these are; those that are not there are left out. In any order.
    async fn standing(&self, ids: Vec<DeliveryId>) -> Result<Vec<Standing>>;

    /// Forgets the idempotency keys, and the lines, of jobs that ended before this time, or are no longer there: `max` of each at
    /// most, so that nothing waits for it. Returns how many keys and lines went; the caller asks again until none do. It is this
    /// alone that forgets them, not what deletes the delivery.
    async fn forget_jobs(&self, ended_before: Timestamp, max: usize) -> Result<u64>;
}

/// The `code` in the result of what was ended because somebody asked for it.
pub const CANCELLED: &str = "CANCELLED";

/// What is said of a delivery that was ended because this one asked for it.
pub(crate) fn cancelled_by(who: &str) -> String {
    format!("cancelled by {who}")
}

/// What came of it then, beside what came of it before.
pub(crate) fn cancelled_result(before: Option<&serde_json::Value>) -> serde_json::Value {
    let mut result = before.and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
    result.insert("code".to_owned(), CANCELLED.into());
    serde_json::Value::Object(result)
}

/// What no caller of ours submits.
pub(crate) fn check(jobs: &[NewJob]) -> Result<()> {
    let wrong = |why: &str| Err(Error::internal(format!("a job cannot be submitted: {why}")));
    for NewJob { delivery, .. } in jobs {
        if delivery.kind != Kind::Job || delivery.target_app.is_none() {
            return wrong("it is a delivery of the kind job, and goes to an app");
        }
        if delivery.id.is_some() {
            return wrong("its number is given by the ledger");
        }
        if delivery.max_attempts == 0 {
            return Err(Error::config("a delivery needs at least one attempt"));
        }
    }
    Ok(())
}

/// A line of progress as it is kept: within bounds, and without the one character that PostgreSQL does not keep.
pub(crate) fn kept_line(line: &str) -> String {
    let mut end = line.len().min(PROGRESS_LINE_MAX_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].replace('\0', "\u{fffd}")
}
