//! Ends of deliveries, told to whoever waits for one. It is a hint that saves looking often: what is told has been committed, and
//! nobody relies on being told.

use crate::api::Queue;
use handover_core::DeliveryId;
use tokio::sync::broadcast;

/// So many are kept for a receiver that is slow; it learns that it missed some.
const KEPT: usize = 4_096;

/// Tells of ends.
#[derive(Debug, Clone)]
pub(crate) struct Ends(broadcast::Sender<DeliveryId>);

impl Default for Ends {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Ends {
    /// A receiver of what is told from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<DeliveryId> {
        self.0.subscribe()
    }

    /// These have ended, or failed for now. Records are followed by nobody.
    pub(crate) fn tell(&self, queue: Queue, ids: impl Iterator<Item = DeliveryId>) {
        if queue == Queue::Deliveries && self.0.receiver_count() > 0 {
            ids.for_each(|id| drop(self.0.send(id)));
        }
    }
}
