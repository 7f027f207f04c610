//! The leases that this process holds: renewed while their work goes on, and the work told when one is lost, or when somebody
//! asked for its end. Each knows until when it lasts at least, and what was published under it.
//!
//! Invariant: an end that was asked for reaches the work however the asking and the claim fall together: what was asked for and
//! is not held yet is remembered, and looked for again as soon as it is.
//!
//! On a crash the holder's lock falls with the leases.

use super::ended;
use crate::context::Process;
use crate::project::Project;
use handover_core::{DeliveryId, LeaseToken, Result};
use handover_file::publish::Published;
use handover_ledger::Held;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

/// The shortest time between two looks.
const LOOK_APART: Duration = Duration::from_millis(200);

type Entries = HashMap<(DeliveryId, LeaseToken), Kept>;

/// What this process keeps of a lease.
struct Kept {
    held: Held,
    stop: watch::Sender<bool>,
    known: Arc<Known>,
}

/// What is known of a lease.
#[derive(Default)]
struct Known {
    lost: AtomicBool,
    /// Until when it lasts at least, by the ledger's last word: milliseconds since the epoch, by the clock that leases go
    /// by; 0 where nothing was heard.
    until_ms: AtomicI64,
    /// What was published under it.
    published: Mutex<Vec<Published>>,
    /// Who asked for its end, where somebody did.
    cancelled_by: OnceLock<String>,
}

/// All leases of this process.
#[derive(Clone, Default)]
pub(crate) struct HeldLeases(Arc<All>);

#[derive(Default)]
struct All {
    entries: Mutex<Entries>,
    /// Ends that were asked for, of whatever process's work, when it was last looked.
    asked: Mutex<HashSet<DeliveryId>>,
    /// There is to be a look now.
    look: Notify,
    /// Counts the ends that were asked for of work that is held here.
    cancelled: watch::Sender<u64>,
}

/// One lease: given up when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Lease {
    stop: watch::Receiver<bool>,
    known: Arc<Known>,
    entry: Arc<Entry>,
}

struct Entry {
    all: HeldLeases,
    key: (DeliveryId, LeaseToken),
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.all.lock().remove(&self.key);
    }
}

impl Lease {
    /// The work is over and only the ledger is to be told: what it answers is the truth from here on.
    pub(crate) fn settling(&self) {
        self.entry.all.lock().remove(&self.entry.key);
    }

    /// Whether the delivery is no longer ours: nothing that comes of the work counts.
    pub(crate) fn is_lost(&self) -> bool {
        self.known.lost.load(Ordering::SeqCst)
    }

    /// Who asked for the delivery's end, where somebody did: its work counts only if it was done by then.
    pub(crate) fn cancelled_by(&self) -> Option<&str> {
        self.known.cancelled_by.get().map(String::as_str)
    }

    /// Whether the work is to stop: the delivery is no longer ours, or this process shuts down.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Notes that the ledger gave it until then.
    pub(crate) fn lasts_until(&self, until: Option<Timestamp>) {
        let until = until.map_or(0, Timestamp::as_millisecond);
        self.known.until_ms.fetch_max(until, Ordering::SeqCst);
    }

    /// Whether it lasts for so long from now on, as far as this process has heard.
    pub(crate) fn lasts_at(&self, now: Timestamp, long: Duration) -> bool {
        let long = i64::try_from(long.as_millis()).unwrap_or(i64::MAX);
        now.as_millisecond().saturating_add(long) <= self.known.until_ms.load(Ordering::SeqCst)
    }

    /// Notes what was published under it.
    pub(crate) fn has_published(&self, published: Published) {
        self.known.published.lock().unwrap_or_else(PoisonError::into_inner).push(published);
    }

    /// Gives what was published under it, the latest first.
    pub(crate) fn take_published(&self) -> Vec<Published> {
        let mut all =
            std::mem::take(&mut *self.known.published.lock().unwrap_or_else(PoisonError::into_inner));
        all.reverse();
        all
    }

    /// Becomes true when the work is to stop.
    pub(crate) fn cancel(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }
}

impl HeldLeases {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashSet<DeliveryId>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever the end of something that is held here was asked for.
    pub(crate) fn cancellations(&self) -> watch::Receiver<u64> {
        self.0.cancelled.subscribe()
    }

    /// Keeps a lease from now on.
    pub(crate) fn keep(&self, held: &Held) -> Lease {
        let (sender, stop) = watch::channel(false);
        let known = Arc::new(Known::default());
        let key = (held.id, held.token.clone());
        let kept = Kept { held: held.clone(), stop: sender, known: known.clone() };
        self.lock().insert(key.clone(), kept);
        if self.asked().contains(&held.id) {
            self.0.look.notify_one();
        }
        Lease { stop, known, entry: Arc::new(Entry { all: self.clone(), key }) }
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn all(&self) -> Vec<Held> {
        self.lock().values().map(|kept| kept.held.clone()).collect()
    }

    /// Stops the work on these.
    fn lose(&self, lost: &[Held]) {
        let entries = self.lock();
        for held in lost {
            if let Some(kept) = entries.get(&(held.id, held.token.clone())) {
                warn!(
                    delivery = held.id.0,
                    "the lease on delivery {} was lost, or it was cancelled: its work is stopped", held.id
                );
                kept.known.lost.store(true, Ordering::SeqCst);
                kept.stop.send_replace(true);
            }
        }
    }

    /// Stops all work, as at the end of a shutdown's grace; the deliveries are still ours to give back.
    pub(crate) fn stop_all(&self) {
        self.lock().values().for_each(|kept| {
            kept.stop.send_replace(true);
        });
    }

    /// Renews all, and stops the work on those that are lost.
    pub(crate) async fn renew(&self, project: &Project) -> Result<()> {
        let (all, lease) = (self.all(), project.config.lease);
        let from = project.clock.now();
        let lost = project.ledger.renew(all.clone(), lease).await?;
        let until = from.checked_add(lease).unwrap_or(from).as_millisecond();
        let entries = self.lock();
        for held in all.iter().filter(|held| !lost.contains(held)) {
            if let Some(kept) = entries.get(&(held.id, held.token.clone())) {
                kept.known.until_ms.fetch_max(until, Ordering::SeqCst);
            }
        }
        drop(entries);
        self.lose(&lost);
        Ok(())
    }

    /// Renews all at once where one is known to have run out, as after the machine slept: nobody else may have taken it.
    pub(crate) async fn renew_overdue(&self, project: &Project) -> Result<()> {
        let now = project.clock.now().as_millisecond();
        let overdue = |until_ms: i64| until_ms > 0 && until_ms <= now;
        if self.lock().values().any(|kept| overdue(kept.known.until_ms.load(Ordering::SeqCst))) {
            self.renew(project).await?;
        }
        Ok(())
    }

    /// Looks whether one was taken away, or its end asked for, after somebody has committed.
    async fn look(&self, project: &Project) -> Result<()> {
        let all = self.all();
        if !all.is_empty() {
            // One may have ended well a moment ago: then nobody listens any more.
            let lost = project.ledger.lost(all).await?;
            self.lose(&lost);
        }
        self.look_for_cancelled(project).await
    }

    /// Stops the work on what somebody asked to end.
    async fn look_for_cancelled(&self, project: &Project) -> Result<()> {
        let asked = project.ledger.cancellations().await?;
        *self.asked() = asked.iter().map(|one| one.id).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let by: HashMap<DeliveryId, String> = asked.into_iter().map(|one| (one.id, one.by)).collect();
        let mut count = 0;
        for kept in self.lock().values() {
            let Some(by) = by.get(&kept.held.id) else { continue };
            if kept.known.cancelled_by.set(by.clone()).is_ok() {
                let id = kept.held.id;
                info!(delivery = id.0, "delivery {id} is cancelled by {by}: its work is stopped");
                kept.stop.send_replace(true);
                count += 1;
            }
        }
        if count > 0 {
            self.0.cancelled.send_modify(|before| *before += count);
        }
        Ok(())
    }
}

/// Renews leases three times in their length, and looks after a commit whether one was lost, until the process stops.
pub(crate) async fn renewing(project: Project, process: Arc<Process>, mut end: watch::Receiver<bool>) {
    let mut wake = project.ledger.wake();
    let every = project.config.lease / 3;
    let mut next = Instant::now() + every;
    loop {
        let due = tokio::select! {
            () = ended(&mut end) => return,
            () = tokio::time::sleep_until(next) => true,
            Ok(()) = wake.changed() => false,
            () = process.held.0.look.notified() => false,
        };
        let result = if due {
            next = Instant::now() + every;
            match process.held.renew(&project).await {
                Ok(()) => process.held.look_for_cancelled(&project).await,
                failed => failed,
            }
        } else {
            process.held.look(&project).await
        };
        if let Err(e) = result {
            warn!("cannot renew the leases: {e}; it is tried again");
            next = Instant::now() + LOOK_APART;
        }
        // Commits come in floods; a cancelled program may wait so long for its end.
        tokio::time::sleep(LOOK_APART).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_ledger::Queue;

    #[tokio::test]
    async fn what_is_held_after_its_end_was_asked_for_is_looked_for_at_once() {
        let leases = HeldLeases::default();
        leases.asked().insert(DeliveryId(7));
        let held = |id| Held { queue: Queue::Deliveries, id: DeliveryId(id), token: LeaseToken("t".into()) };
        let is_to_look = || async {
            let look = leases.0.look.notified();
            tokio::time::timeout(Duration::from_millis(1), look).await.is_ok()
        };
        let _other = leases.keep(&held(6));
        assert!(!is_to_look().await);
        let _asked = leases.keep(&held(7));
        assert!(is_to_look().await && !is_to_look().await);
    }
}
