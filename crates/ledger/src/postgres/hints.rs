//! From where a claim looks for what waits. Where the last claim of an app ended, everything older was taken a moment ago; but the
//! entries of what was taken stay in the claim's index until a vacuum has removed them, and would be read by every claim again:
//! behind a million of them a single record would take longer to be found than to be worked on.
//!
//! A hint never hides anything for long: what comes in late, and what is tried again, lies below it. So it holds for a second, it is
//! forgotten when this process gives work back, and a claim that finds nothing looks at everything before its worker sleeps; only
//! where that has just been done, found nothing and was dear, is it put off, for so long that such looks take a twentieth of the time,
//! and then the app's workers are woken for it.

use crate::api::{Claim, Queue};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For so long; then from the start again.
const HOLDS: Duration = Duration::from_secs(1);
/// A look at everything that takes so long is dear.
const DEAR: Duration = Duration::from_millis(5);
/// After a dear one, so many times as long as it took pass before the next.
const SHARE: u32 = 20;

/// What is known of an app's claims.
struct Seen {
    /// The least number that a claim need look at.
    from: i64,
    /// When everything was looked at last, and how long that took where nothing was found.
    all: Instant,
    empty: Duration,
    /// Whether its workers will be woken to look at everything.
    woken: bool,
}

/// What a claim does that found nothing from its hint on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It looks at everything.
    All,
    /// It leaves that to others, who are woken for it after so long; none where they will be already.
    Later(Option<Duration>),
}

/// Where the claims of each app ended, and since when they have not begun at the start.
#[derive(Default)]
pub(super) struct Hints(Mutex<HashMap<(Queue, String), Seen>>);

impl Hints {
    fn all(&self) -> MutexGuard<'_, HashMap<(Queue, String), Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least number that this claim need look at, for the usual priority.
    pub(super) fn from(&self, claim: &Claim) -> i64 {
        let all = self.all();
        let seen = all.get(&(claim.queue, claim.app.clone()));
        seen.filter(|seen| seen.all.elapsed() < HOLDS).map_or(0, |seen| seen.from)
    }

    /// Notes a claim that looked from there on and took so many, the last of them with the usual priority, since it began.
    pub(super) fn ended(&self, claim: &Claim, from: i64, taken: usize, last: Option<i64>, began: Instant) {
        let mut all = self.all();
        let key = (claim.queue, claim.app.clone());
        if from == 0 {
            // What is not among the first that were found may lie anywhere.
            let known = all.get(&key).filter(|_| taken < claim.max).map_or(0, |seen| seen.from);
            let empty = if taken == 0 { began.elapsed() } else { Duration::ZERO };
            all.insert(key.clone(), Seen { from: known, all: began, empty, woken: false });
        }
        if let (Some(last), Some(seen)) = (last, all.get_mut(&key)) {
            seen.from = seen.from.max(last + 1);
        }
    }

    /// What a claim does next that found nothing from its hint on.
    pub(super) fn after_nothing(&self, claim: &Claim) -> Next {
        let mut all = self.all();
        match all.get_mut(&(claim.queue, claim.app.clone())) {
            Some(seen) if seen.empty >= DEAR => {
                let wait = (seen.empty * SHARE).min(HOLDS).saturating_sub(seen.all.elapsed());
                if wait.is_zero() {
                    return Next::All;
                }
                let first = !std::mem::replace(&mut seen.woken, true);
                Next::Later(first.then_some(wait))
            }
            _ => Next::All,
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
    fn a_claim_leaves_a_hint_for_a_second_or_until_work_is_given_back() {
        let (hints, now) = (Hints::default(), Instant::now());
        hints.ended(&claim(100), 0, 100, Some(100), now);
        assert_eq!(hints.from(&claim(1)), 101);
        assert_eq!(hints.from(&Claim { queue: Queue::Deliveries, ..claim(100) }), 0);
        hints.ended(&claim(100), 101, 100, Some(119), now);
        hints.ended(&claim(100), 101, 100, Some(104), now);
        assert_eq!(hints.from(&claim(100)), 120);
        hints.ended(&claim(100), 120, 30, Some(149), now);
        assert_eq!(hints.from(&claim(100)), 150);
        hints.forget();
        assert_eq!(hints.from(&claim(100)), 0);
        hints.ended(&claim(1), 0, 1, Some(7), now.checked_sub(HOLDS).unwrap());
        assert_eq!(hints.from(&claim(1)), 0, "from the start every so often");
    }

    #[test]
    fn a_look_at_everything_that_was_filled_begins_anew() {
        let (hints, now) = (Hints::default(), Instant::now());
        hints.ended(&claim(1), 0, 1, Some(100), now);
        hints.ended(&claim(2), 0, 2, Some(5), now);
        assert_eq!(hints.from(&claim(1)), 6);
        hints.ended(&claim(2), 0, 1, None, now);
        assert_eq!(hints.from(&claim(1)), 6, "it saw all there is");
    }

    #[test]
    fn other_priorities_leave_none() {
        let hints = Hints::default();
        hints.ended(&claim(100), 0, 100, None, Instant::now());
        assert_eq!(hints.from(&claim(100)), 0);
    }

    #[test]
    fn a_dear_look_that_found_nothing_is_not_made_again_at_once_and_one_is_woken_for_it() {
        let (hints, long) = (Hints::default(), Duration::from_millis(40));
        hints.ended(&claim(1), 0, 1, Some(7), Instant::now());
        assert_eq!(hints.after_nothing(&claim(1)), Next::All, "it found something");
        hints.ended(&claim(1), 0, 0, None, Instant::now() + long);
        assert_eq!(hints.after_nothing(&claim(1)), Next::All, "it was cheap");
        hints.ended(&claim(1), 0, 0, None, Instant::now().checked_sub(long).unwrap());
        assert_eq!(hints.from(&claim(1)), 8);
        let Next::Later(Some(wait)) = hints.after_nothing(&claim(1)) else { panic!("not put off") };
        assert!(wait > long && wait < HOLDS, "{wait:?}");
        assert_eq!(hints.after_nothing(&claim(1)), Next::Later(None));
        hints.ended(&claim(1), 8, 1, Some(8), Instant::now());
        assert_eq!(hints.after_nothing(&claim(1)), Next::Later(None));
        hints.all().values_mut().for_each(|seen| seen.all = Instant::now().checked_sub(HOLDS).unwrap());
        assert_eq!(hints.after_nothing(&claim(1)), Next::All);
    }
}
