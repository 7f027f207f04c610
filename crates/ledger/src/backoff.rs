//! How long a retry waits: exponential, with jitter, bounded. And how much of a claim goes to what has waited longest.

use handover_core::LeaseToken;
use handover_core::limits::{AGED_PLACES_ONE_IN, BACKOFF_BASE_MS, BACKOFF_MAX_MS};
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

/// How many places of a claim go to what has waited longest, whatever its priority: one in so many. Of claims with fewer places
/// one in as many gives one, by lot; the lot is the end of its token. On PostgreSQL `_places_of_age` is the same.
pub(crate) fn places_of_age(max: usize, token: &LeaseToken) -> usize {
    match max {
        0 => 0,
        few if few < AGED_PLACES_ONE_IN => usize::from(token.0.ends_with(['0', '1'])),
        many => many / AGED_PLACES_ONE_IN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_in_eight_is_of_age() {
        let token = |end: char| LeaseToken(format!("9c51f5e1cb754061d6613aa718d4802{end}"));
        assert_eq!([0, 8, 15, 16, 500].map(|max| places_of_age(max, &token('f'))), [0, 1, 1, 2, 62]);
        let given = "0123456789abcdef".chars().map(|end| places_of_age(7, &token(end))).sum::<usize>();
        assert_eq!((given, places_of_age(0, &token('0'))), (2, 0), "two of sixteen tokens");
    }

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
