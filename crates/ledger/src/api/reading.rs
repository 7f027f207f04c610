//! What is asked for, and what is told.

use handover_core::{Delivery, DeliveryId, Kind, Status};
use jiff::Timestamp;
use serde::Serialize;

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// From which status; none at birth.
    pub from: Option<Status>,
    /// To which.
    pub to: Status,
    /// What was said of it.
    pub note: Option<String>,
}

/// How many deliveries of an app stand where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppCount {
    /// The app that they go to; empty at the end of a flow.
    pub app: String,
    /// What they are.
    pub kind: Kind,
    /// Where they stand.
    pub status: Status,
    /// How many.
    pub count: u64,
    /// How many ever came there, by whatever way: it never falls. One that is tried again comes to `pending` again.
    pub entered: u64,
}

/// What one source has handed over, and what became of it. Each number is counted where that happens, so that
/// [`Conserved::holds`] says whether anything was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conserved {
    /// The source.
    pub source: String,
    /// What it handed over.
    pub kind: Kind,
    /// How many.
    pub pushed: u64,
    /// How many stand in the tables, and are not deleted.
    pub live: u64,
    /// How many are in the archive.
    pub archived: u64,
    /// How many were deleted, for good or so that they can be restored.
    pub deleted: u64,
    /// How many of these by retention ([`crate::Ledger::forget`]).
    pub expired: u64,
}

impl Conserved {
    /// Whether all is accounted for.
    pub fn holds(&self) -> bool {
        self.pushed == self.live + self.archived + self.deleted
    }
}

/// A paused app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// The app.
    pub app: String,
    /// Since when.
    pub since: Timestamp,
    /// Who paused it.
    pub by: String,
}

/// Which runs of a schedule were seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleMark {
    /// The app.
    pub app: String,
    /// The last time that was due and seen to.
    pub last_due: Timestamp,
}

/// Which deliveries to list: all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Goes to this app.
    pub app: Option<String>,
    /// Was handed over by this app.
    pub source: Option<String>,
    /// Goes to one of these apps, or is no job and was handed over by one of them: what somebody sees who may see these apps alone.
    pub seen_by: Option<Vec<String>>,
    /// Stands here.
    pub status: Option<Status>,
    /// Stands at one of these; none is no condition.
    pub statuses: Vec<Status>,
    /// Is this.
    pub kind: Option<Kind>,
    /// Its row was made by this one: of a job, whoever asked for it. With the kind job a page is cheap however many others there are.
    pub by: Option<String>,
    /// Belongs to this flow.
    pub flow: Option<String>,
    /// Was handed over at or after this time.
    pub since: Option<Timestamp>,
    /// Was handed over before this time.
    pub until: Option<Timestamp>,
    /// Has this text in its error, its dedup key or its data (a path, a record), whatever the case of ASCII letters. Data of more
    /// than [`handover_core::limits::SEARCHED_DATA_MAX_BYTES`] is not looked into. No index helps: ask by [`crate::Ledger::search`].
    pub text: Option<String>,
    /// Ended before this time.
    pub ended_before: Option<Timestamp>,
    /// Its number is lower (for the next page).
    pub before: Option<DeliveryId>,
    /// Its number is higher.
    pub after: Option<DeliveryId>,
    /// Made from this delivery.
    pub parent: Option<DeliveryId>,
    /// A replay of this delivery.
    pub replay_of: Option<DeliveryId>,
    /// Reads the file at this path within the data directory.
    pub path: Option<String>,
    /// Is worked on one after the other with others of this key to its app.
    pub order_key: Option<String>,
    /// Also what is in the archive.
    pub archived: bool,
    /// At most so many; newest first.
    pub limit: usize,
}

/// What a search found, and how far it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Where to look on: the `before` of the next search. None where nothing more can be found.
    pub below: Option<DeliveryId>,
}
