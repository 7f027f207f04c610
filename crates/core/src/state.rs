//! A delivery's kinds, statuses and legal transitions. The ledger's migrations hold the same table as SQL; the
//! conformance suite checks that the two agree.
//!
//! ```text
//! pending -> processing -> completed -> archived
//!    |          |  \-----> failed ----> archived
//!    |          \--------> pending           (retry, lost lease, snooze)
//!    |-> completed                           (plain SQL that never claimed)
//!    \-> failed                              (cancelled, refused)
//! failed -> pending                          (retried by hand)
//! ```

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A JSON record: a row of `data_staging`.
    Record,
    /// A file and its manifest: a row of `deliveries`.
    File,
    /// A job's configuration, with input if any: a row of `deliveries`.
    Job,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits to be claimed.
    Pending,
    /// Claimed: somebody holds its lease.
    Processing,
    /// Done.
    Completed,
    /// Given up; a person may retry or replay it.
    Failed,
    /// Moved to the archive; can be shown and replayed.
    Archived,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] =
        [Status::Pending, Status::Processing, Status::Completed, Status::Failed, Status::Archived];

    /// Whether the state machine has an arrow from this status to `to`.
    pub fn may_become(self, to: Status) -> bool {
        use Status::{Archived, Completed, Failed, Pending, Processing};
        matches!(
            (self, to),
            (Pending, Processing | Completed | Failed)
                | (Processing, Completed | Failed | Pending)
                | (Completed, Archived)
                | (Failed, Archived | Pending)
        )
    }

    /// The status as the ledger writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Processing => "processing",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Archived => "archived",
        }
    }
}

impl Kind {
    /// The kind as the ledger writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Record => "record",
            Kind::File => "file",
            Kind::Job => "job",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Status::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
            Error::config(format!("{text:?} is not a status"))
                .hint("a status is pending, processing, completed, failed or archived")
        })
    }
}

impl FromStr for Kind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        [Kind::Record, Kind::File, Kind::Job].into_iter().find(|k| k.as_str() == text).ok_or_else(|| {
            Error::config(format!("{text:?} is not a kind")).hint("a kind is record, file or job")
        })
    }
}
