//! Claims, and how what was claimed ends.

use super::Queue;
use handover_core::{Checksum, DeliveryId, HolderId, LeaseToken, NewDelivery, Status};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Asks for work.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which table.
    pub queue: Queue,
    /// The app that will do it.
    pub app: String,
    /// At most so many.
    pub max: usize,
    /// How long the lease lasts unless renewed.
    pub lease: Duration,
    /// The process that asks.
    pub holder: HolderId,
}

/// A claim that somebody holds: the delivery and the token that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// Which table.
    pub queue: Queue,
    /// The delivery.
    pub id: DeliveryId,
    /// The proof.
    pub token: LeaseToken,
}

/// Ends a delivery well, and hands over what came of it.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What is completed.
    pub held: Held,
    /// What came of it: rows, outputs, notes, the end of stderr.
    pub result: Value,
    /// What follows, in the same transaction. Each gets this delivery as its parent unless it names one.
    pub next: Vec<NewDelivery>,
    /// The content of the file that an arrival turned out to have.
    pub checksum: Option<Checksum>,
}

/// How a failure goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tried again after a growing delay, until the attempts are used up.
    Retry,
    /// Tried again after a delay without using up an attempt.
    Later,
    /// Given up.
    Final,
}

/// Ends an attempt badly.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What failed.
    pub held: Held,
    /// What went wrong, for people.
    pub error: String,
    /// How it goes on.
    pub verdict: Verdict,
    /// Where it is tried again, not sooner than after this: whoever refused it said so.
    pub after: Option<Duration>,
    /// What came of it nevertheless: the end of stderr, the exit code, files in quarantine.
    pub result: Option<Value>,
    /// Files that were published nevertheless (a report, a quarantined file), as deliveries at the end of a flow.
    pub next: Vec<NewDelivery>,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Pending where it is tried again, else failed.
    pub status: Status,
    /// When it is tried again.
    pub run_at: Option<Timestamp>,
}

/// How one delivery of a claimed batch ends.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which one.
    pub id: DeliveryId,
    /// How it ends.
    pub outcome: Outcome,
}

/// The two ends of an [`Answer`].
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Well.
    Completed {
        /// What came of it, if anything is to be kept.
        result: Option<Value>,
        /// What follows. Each gets this delivery as its parent unless it names one.
        next: Vec<NewDelivery>,
    },
    /// Badly.
    Failed {
        /// What went wrong, for people.
        error: String,
        /// How it goes on.
        verdict: Verdict,
        /// What came of it nevertheless.
        result: Option<Value>,
    },
}

/// Answers to a claim, all under its one token, in one transaction.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Which table.
    pub queue: Queue,
    /// The proof that all of one claim share.
    pub token: LeaseToken,
    /// At most one for each delivery.
    pub answers: Vec<Answer>,
    /// Whether all count or none: where one is stale, the whole fails with `Stale` and changes nothing.
    pub whole: bool,
}

/// What an answer led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It is completed; the numbers of what follows.
    Completed(Vec<DeliveryId>),
    /// It failed, or waits for another attempt.
    Failed(Failed),
    /// The claim no longer stands: nothing was changed; why.
    Stale(String),
}

/// What an app could claim now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many, counted up to the limit that was given.
    pub count: u64,
    /// When the oldest of them was handed over; none where there are none.
    pub oldest: Option<Timestamp>,
}

/// A delivery that was taken from a lost holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The delivery.
    pub id: DeliveryId,
    /// Its app.
    pub app: String,
    /// Who had it.
    pub holder: Option<HolderId>,
    /// Pending again, or failed where it was rescued too often.
    pub status: Status,
}
