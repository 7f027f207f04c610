//! How long a retry waits: exponential, with jitter, bounded.

use handover_core::limits::{BACKOFF_BASE_MS, BACKOFF_MAX_MS};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The delay before the attempt that follows attempt number `attempt` (from 1) of delivery `id`.
///
/// It doubles with each attempt and is spread over the upper half of its range, so that what failed together does
/// not come back together. The same delivery and attempt give the same delay.
pub fn delay(id: i64, attempt: u32) -> Duration {
    let full = BACKOFF_BASE_MS.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(BACKOFF_MAX_MS);
    let mut hasher = DefaultHasher::new();
    (id, attempt).hash(&mut hasher);
    let half = full / 2;
    Duration::from_millis(half + hasher.finish() % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_within_its_bounds_and_spreads() {
        for attempt in 1..=40 {
            let full = (1000u64 << (attempt - 1).min(20)).min(900_000);
            let wait = delay(7, attempt).as_millis() as u64;
            assert!((full / 2..=full).contains(&wait), "attempt {attempt}: {wait} of {full}");
        }
        let distinct: std::collections::HashSet<_> = (0..100).map(|id| delay(id, 5)).collect();
        assert!(distinct.len() > 90);
    }
}
