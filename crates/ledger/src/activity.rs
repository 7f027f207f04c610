//! What came to an end, and how fast, over time: what the pages draw and /metrics adds up.
//!
//! Each process counts by itself and adds what it counted every few seconds. There is a row for each minute, app and kind in
//! which something ended; old minutes are folded into hours; and one row of each app and kind stands for all time, so that what
//! /metrics says never falls. What other programs end by plain SQL is not here: no process of ours sees it. It is in
//! [`crate::AppCount::entered`].
//!
//! Invariants: a batch of a process is added once, however often it is sent; folding changes no sum. On a crash of a process what
//! it had not yet added is lost: the last seconds of rows, bytes and latencies. How many deliveries ended is not counted here
//! alone: the ledger's own counts are exact.

use async_trait::async_trait;
use handover_core::{Kind, Result};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// A row of minutes stands for so many seconds.
pub const MINUTE: i64 = 60;
/// And one of hours.
pub const HOUR: i64 = 3_600;

/// Where the buckets of a [`Histogram`] end, in microseconds: what took exactly so long is within. Behind the last there is one
/// more, without end.
pub const BOUNDS_MICROS: [u64; 20] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
];

/// The columns that are added up, in the order of [`Counts::values`].
pub(crate) const COLUMNS: [&str; COLUMN_COUNT] = [
    "completed",
    "failed",
    "retried",
    "rows_in",
    "rows_out",
    "rows_rejected",
    "rows_filtered",
    "bytes",
    "latency_us",
    "h00",
    "h01",
    "h02",
    "h03",
    "h04",
    "h05",
    "h06",
    "h07",
    "h08",
    "h09",
    "h10",
    "h11",
    "h12",
    "h13",
    "h14",
    "h15",
    "h16",
    "h17",
    "h18",
    "h19",
    "h20",
];
/// Those before the buckets.
const PLAIN: usize = 9;
pub(crate) const COLUMN_COUNT: usize = PLAIN + BOUNDS_MICROS.len() + 1;

/// How long deliveries took from their arrival to their completion, in buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Histogram {
    /// How many lie in each bucket of [`BOUNDS_MICROS`], and behind the last of them; not added up.
    pub buckets: [u64; BOUNDS_MICROS.len() + 1],
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    /// The bucket of one that took so long.
    pub fn bucket(took: Duration) -> usize {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        BOUNDS_MICROS.partition_point(|bound| *bound < micros)
    }

    /// Adds so many that took so long.
    pub fn observe(&mut self, took: Duration, count: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[Self::bucket(took)] += count;
        self.sum_micros = self.sum_micros.saturating_add(micros.saturating_mul(count));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// About how long the part `share` of them (0.5: the half) took at most: within a bucket as if they lay evenly in it; of what
    /// lies behind the last bound, that bound. None where there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let place = (share.clamp(0.0, 1.0) * count as f64).max(f64::MIN_POSITIVE);
        let mut below = 0.0;
        let mut begins = 0;
        for (bound, here) in BOUNDS_MICROS.iter().zip(self.buckets) {
            let here = here as f64;
            if below + here >= place {
                let micros = begins as f64 + (*bound - begins) as f64 * (place - below) / here;
                return Some(Duration::from_micros(micros as u64));
            }
            below += here;
            begins = *bound;
        }
        Some(Duration::from_micros(begins))
    }
}

/// What was counted: of a minute, of a longer step, or of all time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Deliveries that were completed.
    pub completed: u64,
    /// That failed for good.
    pub failed: u64,
    /// Attempts that failed and are made again.
    pub retried: u64,
    /// Rows that were read.
    pub rows_in: u64,
    /// Rows that were written.
    pub rows_out: u64,
    /// Rows that were rejected.
    pub rows_rejected: u64,
    /// Rows that were left out as configured.
    pub rows_filtered: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// From arrival to completion, of what was completed.
    pub latency: Histogram,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        let sums = self.values().into_iter().zip(other.values());
        let sums: Vec<i64> = sums.map(|(one, other)| one.saturating_add(other)).collect();
        *self = Self::read(|column| sums[column]);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the columns of [`COLUMNS`].
    pub(crate) fn values(&self) -> [i64; COLUMN_COUNT] {
        let plain = [
            self.completed,
            self.failed,
            self.retried,
            self.rows_in,
            self.rows_out,
            self.rows_rejected,
            self.rows_filtered,
            self.bytes,
            self.latency.sum_micros,
        ];
        let mut all = plain.into_iter().chain(self.latency.buckets);
        std::array::from_fn(|_| all.next().map_or(0, |n| i64::try_from(n).unwrap_or(i64::MAX)))
    }

    /// From the columns of [`COLUMNS`], each by its place.
    pub(crate) fn read(column: impl Fn(usize) -> i64) -> Self {
        let value = |place| u64::try_from(column(place)).unwrap_or(0);
        Self {
            completed: value(0),
            failed: value(1),
            retried: value(2),
            rows_in: value(3),
            rows_out: value(4),
            rows_rejected: value(5),
            rows_filtered: value(6),
            bytes: value(7),
            latency: Histogram {
                sum_micros: value(8),
                buckets: std::array::from_fn(|bucket| value(PLAIN + bucket)),
            },
        }
    }
}

/// What was counted of one app and kind in some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// When that time begins; of all time, 1970.
    pub at: Timestamp,
    /// The app that the deliveries went to.
    pub app: String,
    /// What they were.
    pub kind: Kind,
    /// What was counted.
    pub counts: Counts,
}

/// What came to an end over time. Every method is one transaction.
///
/// # Errors
/// As [`crate::Ledger`].
#[async_trait]
pub trait Activities: Send + Sync {
    /// Adds what a process has counted, to the minute of each `at` and to all time. Its batches are numbered from 1 on: one whose
    /// number, or a higher one, it has added already changes nothing, so that a batch whose answer was not heard is sent again.
    async fn add_activity(&self, process: &str, number: u64, counted: Vec<Activity>) -> Result<()>;

    /// What was counted from this time until before that one, in steps of so many seconds, which begin at their multiples since
    /// 1970; of one app, or of all. In the order of time, app and kind; steps in which nothing ended are not there. Of times that
    /// were folded an hour is the least: with shorter steps it stands where it begins.
    async fn activity(
        &self,
        from: Timestamp,
        until: Timestamp,
        step: u32,
        app: Option<&str>,
    ) -> Result<Vec<Activity>>;

    /// What was counted of each app and kind since the ledger was made. It never falls.
    async fn activity_totals(&self) -> Result<Vec<Activity>>;

    /// Folds minutes that begin before this time, rounded down to the hour, into hours: of at most a day, the oldest. Returns how
    /// many minutes' rows went; the caller asks again until none do.
    async fn fold_activity(&self, before: Timestamp) -> Result<u64>;

    /// Deletes hours that begin before this time, and forgets processes that have added nothing for a day. Returns how many hours' rows
    /// went. What they add to all time stays.
    async fn forget_activity(&self, before: Timestamp) -> Result<u64>;
}

/// The columns, with commas.
pub(crate) fn columns() -> String {
    COLUMNS.join(", ")
}

/// Their sums.
pub(crate) fn sums() -> String {
    COLUMNS.map(|column| format!("CAST(sum({column}) AS bigint)")).join(", ")
}

/// What an upsert does with a row that is there: adds to each column. The table is called `a` in it.
pub(crate) fn add_up(table: &str) -> String {
    let add = COLUMNS.map(|column| format!("{column} = {table}.{column} + excluded.{column}"));
    format!("ON CONFLICT (seconds, at, app, kind) DO UPDATE SET {}", add.join(", "))
}

/// A time as the table has it.
pub(crate) fn second(at: Timestamp) -> i64 {
    at.as_second()
}

/// And back; one beyond all bounds is the beginning of time.
pub(crate) fn time_of(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The rows of a batch: of each app and kind one for its minute and one for all time, in the order of the key, so that two who add
/// at once do not wait for each other in a circle.
pub(crate) fn rows(counted: &[Activity]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(counted.len() * 2);
    for one in counted {
        let minute = second(one.at).div_euclid(MINUTE) * MINUTE;
        for (seconds, at) in [(0, 0), (MINUTE, minute)] {
            let known = rows
                .iter_mut()
                .find(|row| (row.seconds, row.at, row.kind) == (seconds, at, one.kind) && row.app == one.app);
            match known {
                Some(known) => known.counts.add(&one.counts),
                None => {
                    rows.push(Row { seconds, at, app: one.app.clone(), kind: one.kind, counts: one.counts })
                }
            }
        }
    }
    rows.sort_by(|a, b| {
        let key = |row: &Row| (row.seconds, row.at);
        key(a).cmp(&key(b)).then_with(|| (&a.app, a.kind.as_str()).cmp(&(&b.app, b.kind.as_str())))
    });
    rows
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seconds: i64,
    pub(crate) at: i64,
    pub(crate) app: String,
    pub(crate) kind: Kind,
    pub(crate) counts: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_lies_in_the_bucket_that_ends_at_or_behind_it() {
        let bucket = |micros| Histogram::bucket(Duration::from_micros(micros));
        assert_eq!((bucket(0), bucket(1_000), bucket(1_001)), (0, 0, 1));
        assert_eq!((bucket(86_400_000_000), bucket(86_400_000_001)), (19, 20));
        assert_eq!(Histogram::bucket(Duration::MAX), 20);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut took = Histogram::default();
        assert_eq!(took.quantile(0.5), None);
        took.observe(Duration::from_millis(20), 98);
        took.observe(Duration::from_secs(2), 2);
        let half = took.quantile(0.5).unwrap();
        assert!(half > Duration::from_millis(10) && half <= Duration::from_millis(25), "{half:?}");
        let slowest = took.quantile(0.99).unwrap();
        assert!(slowest > Duration::from_secs(1) && slowest <= Duration::from_millis(2_500), "{slowest:?}");
        took.observe(Duration::from_secs(900_000), 1_000);
        assert_eq!(took.quantile(1.0), Some(Duration::from_secs(86_400)));
        assert_eq!(took.sum_micros, 98 * 20_000 + 2 * 2_000_000 + 900_000_000_000_000);
    }

    #[test]
    fn columns_and_counts_are_each_other() {
        let counts = Counts::read(|column| i64::try_from(column).unwrap() + 1);
        assert_eq!(counts.values().to_vec(), (1..=30).collect::<Vec<i64>>());
        let mut twice = counts;
        twice.add(&counts);
        assert_eq!(twice.values().to_vec(), (1..=30).map(|n| n * 2).collect::<Vec<i64>>());
    }
}
