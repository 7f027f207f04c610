//! Which upstream of a group a request goes to: of two picked at random the one with fewer requests outstanding.
//!
//! What is unhealthy, or whose breaker is open, is left out; one that is to be tried again gets the next request that may be
//! repeated, or any where there is no other.

use crate::breaker::Pass;
use crate::settings::UPSTREAMS_MAX;
use crate::upstream::Upstream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The upstreams of a group.
pub(crate) struct Balance {
    pub(crate) version: Option<String>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    seed: AtomicU64,
}

/// Upstreams that were tried for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tried(u64);

impl Tried {
    pub(crate) fn add(&mut self, nth: usize) {
        self.0 |= bit(nth);
    }
}

fn bit(nth: usize) -> u64 {
    1 << (nth % UPSTREAMS_MAX)
}

impl Balance {
    pub(crate) fn new(version: Option<String>, upstreams: Vec<Arc<Upstream>>) -> Self {
        Self { version, upstreams, seed: AtomicU64::new(0) }
    }

    /// The upstream for a request, by its place; none where all are to be left alone. `repeats` is whether the request may be
    /// repeated.
    pub(crate) fn choose(&self, tried: Tried, repeats: bool) -> Option<usize> {
        let mut free = 0;
        for (nth, upstream) in self.upstreams.iter().enumerate() {
            if upstream.is_free() {
                free |= bit(nth);
            }
        }
        if free.count_ones() as usize != self.upstreams.len() && (repeats || free == 0) {
            let probed = self.probed(free);
            if probed.is_some() {
                return probed;
            }
        }
        let left = match free & !tried.0 {
            0 => free,
            untried => untried,
        };
        self.fewer(left)
    }

    /// One that is to be tried again now.
    fn probed(&self, free: u64) -> Option<usize> {
        let now = Instant::now();
        let mut troubled = self.upstreams.iter().enumerate().filter(|(nth, _)| free & bit(*nth) == 0);
        troubled
            .find(|(_, upstream)| {
                upstream.is_healthy() && matches!(upstream.pass(now), Pass::Probe | Pass::Free)
            })
            .map(|(nth, _)| nth)
    }

    /// Of two of these the one with fewer requests outstanding.
    fn fewer(&self, among: u64) -> Option<usize> {
        let count = among.count_ones();
        match count {
            0 => return None,
            1 => return Some(among.trailing_zeros() as usize),
            _ => {}
        }
        let random = self.random();
        let first = (random % u64::from(count)) as u32;
        let second = (u64::from(first) + 1 + (random >> 32) % u64::from(count - 1)) as u32 % count;
        let (first, second) = (nth_bit(among, first), nth_bit(among, second));
        let outstanding = |nth: usize| self.upstreams.get(nth).map_or(usize::MAX, |one| one.outstanding());
        Some(if outstanding(second) < outstanding(first) { second } else { first })
    }

    /// Whether there is another that a request may go to that these had.
    pub(crate) fn has_another(&self, tried: Tried) -> bool {
        self.upstreams.iter().enumerate().any(|(nth, one)| one.is_free() && tried.0 & bit(nth) == 0)
    }

    /// After how long one may be tried again.
    pub(crate) fn again(&self, usual: Duration) -> Duration {
        let now = Instant::now();
        let waits = self.upstreams.iter().filter(|one| one.is_healthy()).map(|one| one.opens_in(now));
        waits.min().unwrap_or(usual)
    }

    /// For how long none has worked, as far as that is known.
    pub(crate) fn down_for(&self) -> Option<Duration> {
        let since = self.upstreams.iter().filter_map(|one| one.down_since()).max()?;
        Some(Instant::now().duration_since(since))
    }

    /// How many requests were sent to them.
    pub(crate) fn asked(&self) -> u64 {
        self.upstreams.iter().map(|one| one.asked()).sum()
    }

    /// A number that looks random (`SplitMix64`).
    pub(crate) fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.seed.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The place of the `nth` bit that is set.
fn nth_bit(mut bits: u64, nth: u32) -> usize {
    for _ in 0..nth {
        bits &= bits.wrapping_sub(1);
    }
    bits.trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count: usize) -> Balance {
        let upstream = |nth: usize| {
            let address = format!("http://127.0.0.1:{}", 9000 + nth).parse().unwrap();
            Arc::new(Upstream::new(address, false, None).unwrap())
        };
        Balance::new(None, (0..count).map(upstream).collect())
    }

    #[tokio::test]
    async fn requests_are_spread_and_go_where_fewer_wait() {
        let group = group(3);
        let mut counts = [0; 3];
        for _ in 0..300 {
            counts[group.choose(Tried::default(), true).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
        let _busy: Vec<_> = (0..5).map(|_| group.upstreams[1].begin()).collect();
        assert!((0..100).all(|_| group.choose(Tried::default(), true) != Some(1)));
        let mut tried = Tried::default();
        tried.add(0);
        tried.add(2);
        assert_eq!(group.choose(tried, true), Some(1), "those that were tried come last");
        assert!(group.has_another(tried));
        tried.add(1);
        assert!(group.choose(tried, true).is_some() && !group.has_another(tried));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_left_alone_and_tried_with_what_may_be_repeated() {
        let group = group(2);
        for _ in 0..5 {
            group.upstreams[0].begin().failed("it is down");
        }
        assert!((0..50).all(|_| group.choose(Tried::default(), true) == Some(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(group.choose(Tried::default(), false), Some(1));
        assert_eq!(group.choose(Tried::default(), true), Some(0), "the probe");
        assert_eq!(group.choose(Tried::default(), true), Some(1), "one alone");
        assert!(group.upstreams[0].begin().answered(http::StatusCode::OK), "it is back");
        for upstream in &group.upstreams {
            upstream.found(false, None);
        }
        assert_eq!(group.choose(Tried::default(), true), None);
        group.upstreams[0].found(true, None);
        assert_eq!(group.choose(Tried::default(), true), Some(0));
    }
}
