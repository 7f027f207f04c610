//! From where a claim looks for what waits. Where the last large claim of an app ended, everything older was taken a moment
//! ago; but the entries of what was taken stay in the claim's index for as long as any transaction does that is older, and would
//! be read by every claim again.
//!
//! A hint never hides anything for long: what comes in late, and what is tried again, lies below it. So it holds for a second, it is
//! forgotten when this process gives work back, and a claim that is not filled has looked at all there is, or the next one will.

use crate::api::{Claim, Queue};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Claims of at least so many look from where the last one ended: smaller ones are not worth it.
const LARGE: usize = 64;
/// For so long; then from the start again.
const HOLDS: Duration = Duration::from_secs(1);

/// Where the claims of each app ended, and since when they have not begun at the start.
#[derive(Default)]
pub(super) struct Hints(Mutex<HashMap<(Queue, String), (i64, Instant)>>);

impl Hints {
    fn all(&self) -> MutexGuard<'_, HashMap<(Queue, String), (i64, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least number that this claim need look at, for the usual priority.
    pub(super) fn from(&self, claim: &Claim) -> i64 {
        if claim.max < LARGE {
            return 0;
        }
        let mut all = self.all();
        let key = (claim.queue, claim.app.clone());
        match all.get(&key) {
            Some((from, since)) if since.elapsed() < HOLDS => *from,
            Some(_) => {
                all.remove(&key);
                0
            }
            None => 0,
        }
    }

    /// Notes where a claim ended that took so many, and the last of them with the usual priority.
    pub(super) fn ended(&self, claim: &Claim, taken: usize, last: Option<i64>) {
        if claim.max < LARGE {
            return;
        }
        let filled = taken >= claim.max;
        let mut all = self.all();
        let key = (claim.queue, claim.app.clone());
        match last {
            Some(last) if filled => {
                let (from, _) = all.entry(key).or_insert_with(|| (0, Instant::now()));
                *from = (*from).max(last + 1);
            }
            _ => {
                all.remove(&key);
            }
        }
    }

    /// Work was given back: it may lie anywhere.
    pub(super) fn forget(&self) {
        self.all().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::HolderId;

    fn claim(max: usize) -> Claim {
        let (app, lease, holder) = ("app".to_owned(), Duration::from_secs(60), HolderId("1-h".to_owned()));
        Claim { queue: Queue::Records, app, max, lease, holder }
    }

    #[test]
    fn a_full_claim_leaves_a_hint_and_any_other_takes_it_away() {
        let hints = Hints::default();
        hints.ended(&claim(100), 100, Some(100));
        assert_eq!(hints.from(&claim(100)), 101);
        assert_eq!(hints.from(&claim(10)), 0);
        assert_eq!(hints.from(&Claim { queue: Queue::Deliveries, ..claim(100) }), 0);
        hints.ended(&claim(100), 100, Some(119));
        hints.ended(&claim(100), 100, Some(104));
        assert_eq!(hints.from(&claim(100)), 120);
        hints.ended(&claim(100), 30, Some(149));
        assert_eq!(hints.from(&claim(100)), 0);
        hints.ended(&claim(100), 100, Some(200));
        hints.forget();
        assert_eq!(hints.from(&claim(100)), 0);
        let long_ago = Instant::now().checked_sub(HOLDS).unwrap();
        hints.all().insert((Queue::Records, "app".to_owned()), (7, long_ago));
        assert_eq!(hints.from(&claim(100)), 0, "from the start every so often");
    }

    #[test]
    fn other_priorities_leave_none() {
        let hints = Hints::default();
        hints.ended(&claim(100), 100, None);
        assert_eq!(hints.from(&claim(100)), 0);
    }
}
