//! Who follows a delivery hears when there is something new to tell of it.
//!
//! One task looks for all followers at once. What the ledger says has ended, and what has just begun to be followed, it looks
//! for at once; for all else that is followed, every few milliseconds, and seldomer the more it is and the longer a look
//! takes. However many follow a delivery, the ledger is asked once. Nothing is kept here that cannot be asked again: after a
//! crash a follower comes back and goes on.

use handover_core::DeliveryId;
use handover_ledger::{Ledger, Standing};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast, watch};
use tracing::warn;

/// Looks at all that is followed are at least ten times as far apart as one takes, and at least so far.
const LOOK_APART: Duration = Duration::from_millis(10);
/// With many followers they are at most so far apart.
const LOOK_APART_MAX: Duration = Duration::from_millis(500);
/// So many followers count as few.
const FEW: usize = 10;
/// So many deliveries are asked for in one query.
const ASKED_AT_ONCE: usize = 5_000;

type Followed = HashMap<DeliveryId, watch::Sender<Option<Standing>>>;

/// Where deliveries are followed.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    followed: Mutex<Followed>,
    /// What is followed since the last look.
    fresh: Mutex<Vec<DeliveryId>>,
    came: Notify,
}

/// A delivery that is followed as long as this lives.
pub(crate) struct Follow {
    standing: watch::Receiver<Option<Standing>>,
}

impl Follow {
    /// How far the delivery is, as soon as that is known, and then each time that it changed.
    pub(crate) async fn next(&mut self) -> Option<Standing> {
        loop {
            self.standing.changed().await.ok()?;
            let standing = self.standing.borrow_and_update().clone();
            if standing.is_some() {
                return standing;
            }
        }
    }
}

impl Hub {
    /// Starts the task that looks; it ends with the last clone.
    pub(crate) fn start(ledger: Arc<dyn Ledger>) -> Self {
        let inner =
            Arc::new(Inner { followed: Mutex::default(), fresh: Mutex::default(), came: Notify::new() });
        tokio::spawn(look(ledger, Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Follows a delivery from now on.
    pub(crate) fn follow(&self, id: DeliveryId) -> Follow {
        let mut followed = self.0.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = followed.entry(id).or_insert_with(|| watch::channel(None).0);
        let mut standing = sender.subscribe();
        // What is known already is news to this follower.
        standing.mark_changed();
        drop(followed);
        self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.0.came.notify_one();
        Follow { standing }
    }
}

async fn look(ledger: Arc<dyn Ledger>, hub: std::sync::Weak<Inner>) {
    let mut ends = ledger.ends();
    let mut all_at = tokio::time::Instant::now();
    loop {
        let Some(inner) = hub.upgrade() else { return };
        let looked = if all_at <= tokio::time::Instant::now() {
            let looked = look_for_all(ledger.as_ref(), &inner).await;
            all_at = tokio::time::Instant::now() + *looked.as_ref().unwrap_or(&LOOK_APART_MAX);
            looked.map(drop)
        } else {
            look_for(ledger.as_ref(), &inner, &inner.named(&mut ends)).await
        };
        if let Err(e) = looked {
            warn!("cannot look how far the followed jobs are: {e}; it is tried again");
            tokio::time::sleep(LOOK_APART).await;
        }
        tokio::select! {
            () = inner.came.notified() => {}
            // What was missed is found when all are looked for.
            told = ends.recv() => if let Ok(id) = told { inner.again(id) },
            () = tokio::time::sleep_until(all_at) => {}
        }
    }
}

impl Inner {
    /// Has this looked for, where it is followed.
    fn again(&self, id: DeliveryId) {
        if self.followed.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
            self.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }

    /// What is to be looked for now: what came since the last look, and what has ended.
    fn named(&self, ends: &mut broadcast::Receiver<DeliveryId>) -> Vec<DeliveryId> {
        while let Ok(id) = ends.try_recv() {
            self.again(id);
        }
        let mut named = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        named.sort_unstable();
        named.dedup();
        named
    }
}

/// Looks for all that is followed; gives how long after that to look again.
async fn look_for_all(ledger: &dyn Ledger, inner: &Inner) -> handover_core::Result<Duration> {
    let began = Instant::now();
    inner.fresh.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let ids: Vec<DeliveryId> = {
        let mut followed = inner.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|_, sender| sender.receiver_count() > 0);
        followed.keys().copied().collect()
    };
    look_for(ledger, inner, &ids).await?;
    let many = LOOK_APART * u32::try_from(ids.len().div_ceil(FEW)).unwrap_or(u32::MAX);
    let apart = if ids.is_empty() { LOOK_APART_MAX } else { many.max(LOOK_APART) };
    Ok(apart.max(began.elapsed() * 10).min(LOOK_APART_MAX))
}

/// Looks for these, and wakes the followers of those that changed.
async fn look_for(ledger: &dyn Ledger, inner: &Inner, ids: &[DeliveryId]) -> handover_core::Result<()> {
    for some in ids.chunks(ASKED_AT_ONCE) {
        let standing = ledger.standing(some.to_vec()).await?;
        let followed = inner.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for one in standing {
            if let Some(sender) = followed.get(&one.id) {
                sender.send_if_modified(|known| {
                    let news = known.as_ref() != Some(&one);
                    if news {
                        *known = Some(one);
                    }
                    news
                });
            }
        }
    }
    Ok(())
}
