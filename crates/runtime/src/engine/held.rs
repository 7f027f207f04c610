//! The leases that this process holds: renewed while their work goes on, and the work told when one is lost.

use super::ended;
use crate::context::Process;
use crate::project::Project;
use handover_core::{DeliveryId, LeaseToken, Result};
use handover_ledger::Held;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

/// The shortest time between two looks.
const LOOK_APART: Duration = Duration::from_millis(200);

type Entries = HashMap<(DeliveryId, LeaseToken), (Held, watch::Sender<bool>, Arc<AtomicBool>)>;

/// All leases of this process.
#[derive(Clone, Default)]
pub(crate) struct HeldLeases(Arc<Mutex<Entries>>);

/// One lease: given up when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Lease {
    stop: watch::Receiver<bool>,
    lost: Arc<AtomicBool>,
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
        self.lost.load(Ordering::SeqCst)
    }

    /// Whether the work is to stop: the delivery is no longer ours, or this process shuts down.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Becomes true when the work is to stop.
    pub(crate) fn cancel(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }
}

impl HeldLeases {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a lease from now on.
    pub(crate) fn keep(&self, held: &Held) -> Lease {
        let (sender, stop) = watch::channel(false);
        let lost = Arc::new(AtomicBool::new(false));
        let key = (held.id, held.token.clone());
        self.lock().insert(key.clone(), (held.clone(), sender, lost.clone()));
        Lease { stop, lost, entry: Arc::new(Entry { all: self.clone(), key }) }
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn all(&self) -> Vec<Held> {
        self.lock().values().map(|(held, ..)| held.clone()).collect()
    }

    /// Stops the work on these.
    fn lose(&self, lost: &[Held]) {
        let entries = self.lock();
        for held in lost {
            if let Some((_, sender, lost)) = entries.get(&(held.id, held.token.clone())) {
                warn!(
                    delivery = held.id.0,
                    "the lease on delivery {} was lost, or it was cancelled: its work is stopped", held.id
                );
                lost.store(true, Ordering::SeqCst);
                sender.send_replace(true);
            }
        }
    }

    /// Stops all work, as at the end of a shutdown's grace; the deliveries are still ours to give back.
    pub(crate) fn stop_all(&self) {
        self.lock().values().for_each(|(_, sender, _)| {
            sender.send_replace(true);
        });
    }

    /// Renews all, and stops the work on those that are lost.
    pub(crate) async fn renew(&self, project: &Project) -> Result<()> {
        let lost = project.ledger.renew(self.all(), project.config.lease).await?;
        self.lose(&lost);
        Ok(())
    }

    /// Looks whether one was taken away, after somebody has committed.
    async fn look(&self, project: &Project) -> Result<()> {
        let all = self.all();
        if all.is_empty() {
            return Ok(());
        }
        // One may have ended well a moment ago: then nobody listens any more.
        let lost = project.ledger.lost(all).await?;
        self.lose(&lost);
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
        };
        let result = if due {
            next = Instant::now() + every;
            process.held.renew(&project).await
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
