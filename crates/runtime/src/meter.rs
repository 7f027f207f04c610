//! What this process counts of what it ends: deliveries by how they ended, rows, bytes, and how long they took from arrival to
//! completion.
//!
//! Counting takes no lock that matters: the counters of an app and kind are found under a lock for reading, and are atomic. Every
//! few seconds, and at the process's end, what was counted since is added to the ledger ([`Meter::add_to`]).
//!
//! Invariants: nothing is counted before the ledger has taken it; what was drained is added under one number until the ledger
//! says that it has it, so that an add that failed, or whose answer was lost, counts once. On a crash what was not yet added is
//! lost: the last seconds of rows, bytes and latencies. How many deliveries came to which status is not counted here: the
//! ledger keeps that itself, exactly.

use handover_core::{Delivery, Kind, Result, Status};
use handover_ledger::activity::BOUNDS_MICROS;
use handover_ledger::{Activities, Activity, Counts, Histogram};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How an attempt at a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Completed,
    /// For good.
    Failed,
    /// It is made again.
    Retried,
}

impl Ended {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retried => "retried",
        }
    }

    /// How an attempt ended that failed, by where its delivery stands now.
    pub fn after(status: Status) -> Self {
        if status == Status::Failed { Self::Failed } else { Self::Retried }
    }
}

/// What is known of an end beside how it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
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
}

/// The counters of one app and kind.
#[derive(Debug, Default)]
struct Cell {
    completed: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    rows_rejected: AtomicU64,
    rows_filtered: AtomicU64,
    bytes: AtomicU64,
    sum_micros: AtomicU64,
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
}

impl Cell {
    fn add(&self, ended: Ended, count: u64, volume: Volume) {
        let how = match ended {
            Ended::Completed => &self.completed,
            Ended::Failed => &self.failed,
            Ended::Retried => &self.retried,
        };
        how.fetch_add(count, Ordering::Relaxed);
        let all = [
            (&self.rows_in, volume.rows_in),
            (&self.rows_out, volume.rows_out),
            (&self.rows_rejected, volume.rows_rejected),
            (&self.rows_filtered, volume.rows_filtered),
            (&self.bytes, volume.bytes),
        ];
        for (counter, count) in all.into_iter().filter(|(_, count)| *count > 0) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn took(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        self.buckets[Histogram::bucket(latency)].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes all that was counted.
    fn drain(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Counts {
            completed: take(&self.completed),
            failed: take(&self.failed),
            retried: take(&self.retried),
            rows_in: take(&self.rows_in),
            rows_out: take(&self.rows_out),
            rows_rejected: take(&self.rows_rejected),
            rows_filtered: take(&self.rows_filtered),
            bytes: take(&self.bytes),
            latency: Histogram {
                sum_micros: take(&self.sum_micros),
                buckets: self.buckets.each_ref().map(take),
            },
        }
    }
}

/// What was drained and is not known to be in the ledger.
#[derive(Default)]
struct Pending {
    /// The number of the batch, from 1 on; of the last one where there is none.
    number: u64,
    batch: Option<Vec<Activity>>,
}

/// The counters of a process. Clones of a project share them.
pub struct Meter {
    /// By what the ledger knows this process's batches.
    process: String,
    on: bool,
    cells: RwLock<HashMap<String, [Arc<Cell>; 3]>>,
    pending: tokio::sync::Mutex<Pending>,
    pools: Mutex<Vec<Pool>>,
}

/// The workers of one app.
struct Pool {
    app: String,
    allowed: usize,
    slots: Weak<Semaphore>,
}

/// How many workers of an app are at work in this process, and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// The app.
    pub app: String,
    /// So many work.
    pub busy: u64,
    /// So many may.
    pub allowed: u64,
}

impl Meter {
    /// The counters of this process; with `on` false nothing is counted.
    pub fn new(on: bool) -> Self {
        Self {
            process: handover_core::id::random_hex(),
            on,
            cells: RwLock::default(),
            pending: tokio::sync::Mutex::default(),
            pools: Mutex::default(),
        }
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.on
    }

    fn cell(&self, app: &str, kind: Kind) -> Arc<Cell> {
        let place = match kind {
            Kind::File => 0,
            Kind::Record => 1,
            Kind::Job => 2,
        };
        if let Some(cells) = self.cells.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return cells[place].clone();
        }
        let mut all = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(app.to_owned()).or_default()[place].clone()
    }

    /// One attempt at a delivery to an app has ended, and the ledger knows; of one that was completed its age at that moment.
    pub fn ended(&self, app: &str, kind: Kind, ended: Ended, latency: Option<Duration>, volume: Volume) {
        if !self.on {
            return;
        }
        let cell = self.cell(app, kind);
        cell.add(ended, 1, volume);
        if let Some(latency) = latency {
            cell.took(latency);
        }
    }

    /// Many ended alike, whose arrival is not known here.
    pub fn ended_together(&self, app: &str, kind: Kind, ended: Ended, count: u64, volume: Volume) {
        if self.on && count > 0 {
            self.cell(app, kind).add(ended, count, volume);
        }
    }

    /// The workers of an app in this process, for as long as they are there.
    pub(crate) fn pool(&self, app: &str, slots: &Arc<Semaphore>, allowed: usize) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.slots.strong_count() > 0);
        pools.push(Pool { app: app.to_owned(), allowed, slots: Arc::downgrade(slots) });
    }

    /// How many workers are at work, by app.
    pub fn workers(&self) -> Vec<Workers> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Workers> = Vec::new();
        for pool in pools.iter() {
            let Some(slots) = pool.slots.upgrade() else { continue };
            let busy = pool.allowed.saturating_sub(slots.available_permits()) as u64;
            match all.iter_mut().find(|one| one.app == pool.app) {
                Some(one) => {
                    one.busy += busy;
                    one.allowed = one.allowed.max(pool.allowed as u64);
                }
                None => all.push(Workers { app: pool.app.clone(), busy, allowed: pool.allowed as u64 }),
            }
        }
        all.sort_by(|a, b| a.app.cmp(&b.app));
        all
    }

    /// Adds to the ledger what was counted since the last time, under its minute.
    ///
    /// # Errors
    /// Where the ledger does not take it; it is added with the next call.
    pub async fn add_to(&self, ledger: &dyn Activities, now: Timestamp) -> Result<()> {
        if !self.on {
            return Ok(());
        }
        let mut pending = self.pending.lock().await;
        // What an earlier call could not add goes first, under its own number.
        send(ledger, &self.process, &mut pending).await?;
        let batch = self.drain(now);
        if batch.is_empty() {
            return Ok(());
        }
        pending.number += 1;
        pending.batch = Some(batch);
        send(ledger, &self.process, &mut pending).await
    }

    fn drain(&self, at: Timestamp) -> Vec<Activity> {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        for (app, of) in cells.iter() {
            for (kind, cell) in [Kind::File, Kind::Record, Kind::Job].into_iter().zip(of) {
                let counts = cell.drain();
                if !counts.is_empty() {
                    batch.push(Activity { at, app: app.clone(), kind, counts });
                }
            }
        }
        batch
    }
}

/// Sends what waits; it waits on where the ledger does not say that it has it.
async fn send(ledger: &dyn Activities, process: &str, pending: &mut Pending) -> Result<()> {
    let Some(batch) = &pending.batch else { return Ok(()) };
    ledger.add_activity(process, pending.number, batch.clone()).await?;
    pending.batch = None;
    Ok(())
}

/// How long ago it was handed over; a clock that was set back gives no negative age.
pub(crate) fn age(delivery: &Delivery, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(delivery.created_at)).unwrap_or_default()
}

/// How many bytes a delivery brings: those of its file, of an original, or of a record's JSON.
pub(crate) fn bytes_of(delivery: &Delivery) -> u64 {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64);
    let data = &delivery.data;
    match delivery.kind {
        Kind::Record => json_bytes(data),
        Kind::File | Kind::Job => number(data.get("file_size"))
            .or_else(|| number(data.get("candidate").and_then(|candidate| candidate.get("size"))))
            .or_else(|| data.get("input").map(json_bytes))
            .unwrap_or(0),
    }
}

/// How long a value is as JSON; nothing is put together for that.
fn json_bytes(value: &Value) -> u64 {
    struct Counted(u64);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // Counting cannot fail, and a value is always JSON.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use handover_core::{Error, ErrorKind};
    use serde_json::json;

    #[test]
    fn bytes_are_those_of_the_json() {
        for value in [json!({"a": [1, 2.5, null, "é\n"]}), json!("x"), json!(17)] {
            assert_eq!(json_bytes(&value), value.to_string().len() as u64);
        }
    }

    /// A ledger that takes every batch and loses every second answer.
    #[derive(Default)]
    struct Forgetful {
        taken: Mutex<Vec<(u64, Vec<Activity>)>>,
        asked: AtomicU64,
    }

    #[async_trait]
    impl Activities for Forgetful {
        async fn add_activity(&self, _: &str, number: u64, counted: Vec<Activity>) -> Result<()> {
            let mut taken = self.taken.lock().unwrap();
            if taken.iter().all(|(known, _)| *known != number) {
                taken.push((number, counted));
            }
            match self.asked.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Err(Error::new(ErrorKind::Io, "the answer was lost")),
                _ => Ok(()),
            }
        }

        async fn activity(
            &self,
            _: Timestamp,
            _: Timestamp,
            _: u32,
            _: Option<&str>,
        ) -> Result<Vec<Activity>> {
            Ok(Vec::new())
        }

        async fn activity_totals(&self) -> Result<Vec<Activity>> {
            Ok(Vec::new())
        }

        async fn fold_activity(&self, _: Timestamp) -> Result<u64> {
            Ok(0)
        }

        async fn forget_activity(&self, _: Timestamp) -> Result<u64> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn what_was_lost_on_its_way_is_added_once() {
        let (meter, ledger) = (Meter::new(true), Forgetful::default());
        let end = |rows_in| {
            let volume = Volume { rows_in, ..Volume::default() };
            meter.ended("a", Kind::File, Ended::Completed, Some(Duration::from_millis(3)), volume);
        };
        end(10);
        assert!(meter.add_to(&ledger, Timestamp::UNIX_EPOCH).await.is_err());
        end(5);
        // The first goes again, and is known; then the second, whose answer is lost too.
        assert!(meter.add_to(&ledger, Timestamp::UNIX_EPOCH).await.is_err());
        meter.add_to(&ledger, Timestamp::UNIX_EPOCH).await.unwrap();
        meter.add_to(&ledger, Timestamp::UNIX_EPOCH).await.unwrap();
        let taken = ledger.taken.lock().unwrap();
        let sum: u64 = taken.iter().flat_map(|(_, batch)| batch).map(|one| one.counts.rows_in).sum();
        assert_eq!((taken.len(), sum), (2, 15));
    }

    #[tokio::test]
    async fn switched_off_it_counts_nothing() {
        let (meter, ledger) = (Meter::new(false), Forgetful::default());
        meter.ended("a", Kind::File, Ended::Failed, None, Volume::default());
        meter.ended_together("a", Kind::File, Ended::Completed, 3, Volume::default());
        meter.add_to(&ledger, Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(ledger.taken.lock().unwrap().is_empty());
    }
}
