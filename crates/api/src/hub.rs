//! Who follows a delivery hears when there is something new to tell of it.
//!
//! One task looks for all followers at once: when the ledger calls for work, and every few milliseconds, it asks how far
//! the followed deliveries are, in one query, and wakes the followers of those that changed. However many follow, the ledger is
//! asked once a look. Nothing is kept here that cannot be asked again: after a crash a follower comes back and goes on.

use handover_core::DeliveryId;
use handover_ledger::{Ledger, Standing};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tracing::warn;

/// Looks are at least so far apart, and at least ten times as far as one takes.
const LOOK_APART: Duration = Duration::from_millis(2);
/// A look is made at least so often, because neither ends nor progress are announced: with few followers soon, with many at
/// most so late.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);
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
        let inner = Arc::new(Inner { followed: Mutex::default(), came: Notify::new() });
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
        self.0.came.notify_one();
        Follow { standing }
    }
}

async fn look(ledger: Arc<dyn Ledger>, hub: std::sync::Weak<Inner>) {
    let mut wake = ledger.wake();
    loop {
        let Some(inner) = hub.upgrade() else { return };
        let began = Instant::now();
        let again = match look_once(ledger.as_ref(), &inner).await {
            Ok(0) => LOOK_AGAIN_MAX,
            Ok(followed) => {
                (LOOK_AGAIN * u32::try_from(followed.div_ceil(FEW)).unwrap_or(u32::MAX)).min(LOOK_AGAIN_MAX)
            }
            Err(e) => {
                warn!("cannot look how far the followed jobs are: {e}; it is tried again");
                LOOK_AGAIN_MAX
            }
        };
        tokio::time::sleep(LOOK_APART.max(began.elapsed() * 10)).await;
        tokio::select! {
            _ = wake.changed() => {}
            () = inner.came.notified() => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

/// One look. How many are followed.
async fn look_once(ledger: &dyn Ledger, inner: &Inner) -> handover_core::Result<usize> {
    let ids: Vec<DeliveryId> = {
        let mut followed = inner.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|_, sender| sender.receiver_count() > 0);
        followed.keys().copied().collect()
    };
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
    Ok(ids.len())
}
