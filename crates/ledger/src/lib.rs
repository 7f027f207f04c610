//! The ledger: every delivery is a row, and this crate is the only place that changes one.
//!
//! [`Ledger`] is the contract that every backend keeps; the suite in `tests/conformance/` holds a backend to it.
//! [`sqlite`] is the embedded one, [`postgres`] the one that machines share. SQL stands nowhere else in Handover.
//!
//! Invariants:
//! - A delivery moves only along the arrows of [`handover_core::state`]; the tables refuse any other move.
//! - Whoever ends a delivery shows the token of its claim; a stale token changes nothing.
//! - A delivery's completion and the deliveries that follow from it are one transaction.
//! - Every transition is in the audit log: who, when, from, to.
//!
//! On a crash: what was answered is on disk; what was not answered either happened whole or not at all. A claim alone
//! may be undone by a power cut, as if its holder had died a moment earlier; nothing was published on its strength.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write as they like"))]

mod actions;
pub mod activity;
mod alerts;
mod api;
mod backoff;
mod budgets;
mod ends;
pub mod health;
mod jobs;
mod keys;
pub mod links;
pub mod postgres;
mod search;
mod sizes;
pub mod sqlite;
pub mod transfer;

pub use actions::{Actions, Deed, DeedFilter, Deeds, NewAction};
pub use activity::{Activities, Activity, Counts, Histogram};
pub use alerts::{
    Alert, AlertKind, Alerts, Line, Look, Looked, NewAlert, Notice, Saying, Severity, Target, Told,
};
pub use api::{
    Answer, Answered, Answers, AppCount, Arrival, ArrivalKey, Arrived, AuditEntry, Claim, Completion,
    Conserved, Content, Failed, Failure, Filter, Forgotten, Held, Ledger, Load, NOT_TAKEN, NameRow,
    NewArrival, Outcome, Pause, Pushed, Queue, Rescued, Reservation, Reserve, ScheduleMark, Searched,
    Verdict, Waiting,
};
pub use backoff::delay;
pub use budgets::{Budgets, Lease, LeaseAsk};
pub use jobs::{
    CANCELLED, Cancellation, Cancelled, IdempotencyKey, Jobs, NewJob, ProgressLine, Standing, Submitted,
};
pub use keys::{ApiKey, Keys};
pub use sizes::{Size, Sizes};
