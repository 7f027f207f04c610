//! How full the house is: whether a limit of unended jobs, or of a queue, may be near.
//!
//! The ledger counts exactly, in the transaction that submits, but to count much at each submission costs. So it is asked to only
//! where a limit may be near: by what it counts anyway, read at most once a second, and by what this process has submitted since.
//! What other processes submit within that second is covered by [`SLACK`].

use handover_core::{Kind, Result, Status};
use handover_ledger::Ledger;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So old at most is what is known.
const FRESH: Duration = Duration::from_secs(1);
/// A limit is near when so many places are left, or one in ten.
const SLACK: u64 = 1_000;

#[derive(Clone, Default)]
struct Known {
    read: Option<Instant>,
    /// Jobs that have not ended, of all callers.
    unended: u64,
    /// Files and jobs that wait, by app.
    pending: Arc<HashMap<String, u64>>,
    /// What this process has submitted since.
    since: u64,
}

/// What is known of the house.
#[derive(Default)]
pub(crate) struct House {
    known: Mutex<Known>,
    reading: tokio::sync::Mutex<()>,
}

impl House {
    /// The limits that the ledger must look at for one more job of an app: those of a caller and of the queue that may be near.
    pub(crate) async fn near(
        &self,
        ledger: &dyn Ledger,
        app: &str,
        caller_max: u64,
        queue_max: u64,
    ) -> Result<(Option<u64>, Option<u64>)> {
        let known = self.known(ledger).await?;
        let waiting = known.pending.get(app).copied().unwrap_or(0);
        let near = |count: u64, max: u64| (count + known.since + SLACK.max(max / 10) >= max).then_some(max);
        Ok((near(known.unended, caller_max), near(waiting, queue_max)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, one more job counted.
    async fn known(&self, ledger: &dyn Ledger) -> Result<Known> {
        let fresh = || {
            let mut known = self.lock();
            known.since += 1;
            let fresh = known.read.is_some_and(|read| read.elapsed() < FRESH);
            fresh.then(|| known.clone())
        };
        if let Some(known) = fresh() {
            return Ok(known);
        }
        let _one = self.reading.lock().await;
        if let Some(known) = fresh() {
            return Ok(known);
        }
        let read = Some(Instant::now());
        let counts = ledger.counts().await?;
        let mut pending: HashMap<String, u64> = HashMap::new();
        let mut unended = 0;
        for count in counts.iter().filter(|count| count.kind != Kind::Record) {
            if count.status == Status::Pending {
                *pending.entry(count.app.clone()).or_default() += count.count;
            }
            if count.kind == Kind::Job && matches!(count.status, Status::Pending | Status::Processing) {
                unended += count.count;
            }
        }
        let mut known = self.lock();
        *known = Known { read, unended, pending: Arc::new(pending), since: 1 };
        Ok(known.clone())
    }
}
