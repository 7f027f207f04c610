//! The records that a stream program has and has not answered. There is no I/O here, so a crash leaves nothing.

use crate::delivery::Attempt;
use handover_core::DeliveryId;
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// The records that a program has, in the order in which it got them.
#[derive(Default)]
pub(super) struct Flight {
    records: HashMap<DeliveryId, Attempt>,
    order: VecDeque<DeliveryId>,
    /// Since when the oldest is the oldest.
    pub(super) since: Option<Instant>,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn add(&mut self, attempt: Attempt) {
        self.since = self.since.or_else(|| Some(Instant::now()));
        self.order.push_back(attempt.delivery.id);
        self.records.insert(attempt.delivery.id, attempt);
    }

    pub(super) fn take(&mut self, id: DeliveryId) -> Option<Attempt> {
        let attempt = self.records.remove(&id)?;
        if self.order.front() == Some(&id) {
            while self.order.front().is_some_and(|id| !self.records.contains_key(id)) {
                self.order.pop_front();
            }
            self.since = (!self.records.is_empty()).then(Instant::now);
        }
        Some(attempt)
    }

    pub(super) fn oldest(&self) -> Option<&Attempt> {
        self.records.get(self.order.front()?)
    }

    /// All of them, oldest first.
    pub(super) fn take_all(&mut self) -> Vec<Attempt> {
        self.since = None;
        let order = std::mem::take(&mut self.order);
        order.into_iter().filter_map(|id| self.records.remove(&id)).collect()
    }
}
