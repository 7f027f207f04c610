//! Jobs: deliveries that a person or a program asks for over the network, and what only they have: an idempotency key, a
//! caller with quotas, progress, and an end that is asked for and comes when the work is seen to have stopped.
//!
//! A job is a row of `deliveries` like any other: claimed, retried, audited and archived the same way. What is here are the
//! tables beside it. Invariants: an idempotency key and its job are one transaction; a cancellation that was asked for is
//! known until its delivery has ended, whatever becomes of whoever holds it; an ended job never changes.

use async_trait::async_trait;
use handover_core::{DeliveryId, NewDelivery, Result, Status};
use jiff::Timestamp;
use serde::Serialize;

/// A job to be submitted.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The delivery, of the kind job.
    pub delivery: NewDelivery,
    /// Who asks: `created_by` of the row, and the actor in its audit.
    pub caller: String,
    /// What makes asking twice one job.
    pub key: Option<IdempotencyKey>,
    /// So many jobs of this caller may be unended, this one among them; none is no limit.
    pub caller_max: Option<u64>,
    /// So many deliveries may be pending for its app, this one among them; none is no limit.
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
    /// The caller has so many unended jobs already.
    CallerHas(u64),
    /// So many deliveries are pending for the app already.
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
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>> {
        let _ = (jobs,);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// Ends what nobody has; asks whoever works on it to stop. What is asked for twice is asked for once. Records are ended
    /// at once. Fails with `IllegalTransition` for what has ended, `NotFound` for what is not there.
    async fn ask_to_cancel(&self, actor: &str, id: DeliveryId) -> Result<Cancelled> {
        let _ = (actor, id);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// The ends that were asked for and have not come.
    async fn cancellations(&self) -> Result<Vec<Cancellation>> {
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// Ends what is pending and was asked to end: its holder gave it back, or was lost. Returns how many.
    async fn end_cancelled(&self, actor: &str) -> Result<u64> {
        let _ = (actor,);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// Keeps lines that a delivery's program said, after those that are kept. Of one delivery at most
    /// [`handover_core::limits::PROGRESS_LINES_MAX`] are kept: the rest is dropped. Returns how many lines it has then.
    async fn add_progress(&self, id: DeliveryId, lines: Vec<(Timestamp, String)>) -> Result<u64> {
        let _ = (id, lines);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// The lines of a delivery after line `after`, at most so many, in their order.
    async fn progress(&self, id: DeliveryId, after: u64, max: usize) -> Result<Vec<ProgressLine>> {
        let _ = (id, after, max);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// How far these are; those that are not there are left out. In any order.
    async fn standing(&self, ids: Vec<DeliveryId>) -> Result<Vec<Standing>> {
        let _ = (ids,);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }

    /// Forgets the idempotency keys, and the lines, of jobs that ended before this time, or are no longer there; some, so that
    /// nothing waits for it. Returns how many keys and lines went.
    async fn forget_jobs(&self, ended_before: Timestamp, max: usize) -> Result<u64> {
        let _ = (ended_before, max);
        Err(handover_core::Error::internal("this backend has no jobs yet"))
    }
}
