//! The records and jobs that a stream program has and has not answered. There is no I/O here, so a crash leaves nothing.

use crate::delivery::Attempt;
use handover_core::{DeliveryId, Kind};
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// The records that a program has, in the order in which it got them.
#[derive(Default)]
pub(super) struct Flight {
    records: HashMap<DeliveryId, Attempt>,
    order: VecDeque<DeliveryId>,
    /// How many of them are jobs.
    jobs: usize,
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
        self.jobs += usize::from(attempt.delivery.kind == Kind::Job);
        self.order.push_back(attempt.delivery.id);
        self.records.insert(attempt.delivery.id, attempt);
    }

    pub(super) fn take(&mut self, id: DeliveryId) -> Option<Attempt> {
        let attempt = self.records.remove(&id)?;
        self.jobs -= usize::from(attempt.delivery.kind == Kind::Job);
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

    /// Whether a job is among them.
    pub(super) fn has_job(&self) -> bool {
        self.jobs > 0
    }

    /// Whether the end of one of them was asked for.
    pub(super) fn has_cancelled(&self) -> bool {
        self.records.values().any(|attempt| attempt.lease.cancelled_by().is_some())
    }

    /// All of them, oldest first.
    pub(super) fn take_all(&mut self) -> Vec<Attempt> {
        (self.since, self.jobs) = (None, 0);
        let order = std::mem::take(&mut self.order);
        order.into_iter().filter_map(|id| self.records.remove(&id)).collect()
    }
}
