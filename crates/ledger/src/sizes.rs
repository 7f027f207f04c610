//! Sizes over time: of folders, tables, the archive and the disk, so that their growth can be told.
//!
//! Invariants: of one thing there is one size at a time, whoever measures; the older they are, the fewer are kept, so that the
//! table stays small for ever: all of the last two weeks, one a day before that, none that is older than 400 days.

use async_trait::async_trait;
use handover_core::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Duration;

/// How large something was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Size {
    /// What: `folder:imports`, `table:deliveries_live`, `ledger`, `staging`, `archived`, `disk:total`, `disk:free`, `inodes:free`.
    pub what: String,
    /// When it was measured.
    pub at: Timestamp,
    /// Its bytes; of inodes their number.
    pub bytes: u64,
    /// How many files or rows it has, where that was counted.
    pub entries: Option<u64>,
}

/// All sizes of the last so many days are kept.
const ALL_DAYS: i64 = 14;
/// One a day of the last so many.
const DAILY_DAYS: i64 = 400;

/// Before when a day's sizes are made one, and before when they are forgotten.
pub(crate) fn bounds(now: Timestamp) -> (Timestamp, Timestamp) {
    let before =
        |days: i64| now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::UNIX_EPOCH);
    (before(ALL_DAYS), before(DAILY_DAYS))
}

/// How large things were. Every method is one transaction; every answer is durable.
///
/// # Errors
/// As [`crate::Ledger`].
#[async_trait]
pub trait Sizes: Send + Sync {
    /// Whether nothing was measured for so long: then whoever asks is to measure now. The ledger's clock rules.
    async fn sizes_due(&self, every: Duration) -> Result<bool>;

    /// Notes sizes that were measured just now, by the ledger's clock, as `(what, bytes, entries)`.
    async fn add_sizes(&self, sizes: Vec<(String, u64, Option<u64>)>) -> Result<()>;

    /// The sizes from this time on whose name begins so, by name and then in their order.
    async fn sizes(&self, what: &str, since: Timestamp) -> Result<Vec<Size>>;

    /// Thins out what is old. Returns how many went.
    async fn thin_sizes(&self) -> Result<u64>;
}
