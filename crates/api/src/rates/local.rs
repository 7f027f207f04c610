//! A limit that this process counts by itself: the generic cell rate algorithm. A restart begins anew.

use super::{Left, Over};
use foldhash::fast::RandomState;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use handover_runtime::config::Rate;
use std::hash::Hash;
use std::time::Duration;

pub(super) struct Local<K: Clone + Hash + Eq>(
    RateLimiter<K, DashMapStateStore<K, RandomState>, DefaultClock, StateInformationMiddleware>,
);

impl<K: Clone + Hash + Eq> Local<K> {
    pub(super) fn new(rate: Rate) -> Self {
        let one = rate.per / rate.count.get();
        let quota = Quota::with_period(one.max(Duration::from_nanos(1)))
            .unwrap_or(Quota::per_second(rate.count))
            .allow_burst(rate.count);
        let limiter = RateLimiter::dashmap_with_hasher(quota, RandomState::default());
        Self(limiter.with_middleware())
    }

    pub(super) fn take(&self, key: &K) -> Result<Left, Over> {
        match self.0.check_key(key) {
            Ok(left) => Ok(Left(left.remaining_burst_capacity())),
            Err(not) => Err(Over { again: not.wait_time_from(self.0.clock().now()) }),
        }
    }

    /// Forgets whoever has not asked for so long that all is there again.
    pub(super) fn tidy(&self) {
        self.0.retain_recent();
    }
}
