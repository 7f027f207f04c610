//! A circuit breaker: an upstream that fails is left alone for a growing time, then tried with one request.
//!
//! Closed → open when it failed [`ROW`] times in a row, or in half of what it was asked within [`WINDOW`]. Open → half-open when
//! its time is over: the next request is the probe, all others still go elsewhere. Half-open → closed when the probe was
//! answered, → open for twice as long when it failed. A probe that nobody waited for any more lets another be made at once.
//!
//! Invariant: it never waits and knows no clock: who asks says what time it is. It lives in memory, so after a crash all begin
//! closed.

use std::time::Duration;
use tokio::time::Instant;

/// So many failures in a row open it.
const ROW: u32 = 5;
/// Failures are counted for so long.
const WINDOW: Duration = Duration::from_secs(10);
/// With fewer requests in a window its share of failures says nothing.
const ENOUGH: u64 = 20;
/// It is open for so long at first; each time after that twice as long.
const OPEN_MIN: Duration = Duration::from_millis(100);
/// And never longer than this.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// A probe that has not ended after so long is forgotten.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// None pass.
    Open,
    /// One passes, to see.
    HalfOpen,
}

impl BreakerState {
    /// It in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// As any.
    Free,
    /// As the one by which it is seen whether the upstream is back.
    Probe,
    /// Not before this time.
    Not(Instant),
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { since: Instant },
}

/// The breaker of one upstream.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    /// When the failures that it is open for began.
    down_since: Option<Instant>,
    /// How often it opened since it was last closed.
    nth: u32,
    row: u32,
    window: Window,
    /// How many answers there had been at the last failure.
    answered: u64,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    failures: u64,
    /// How many answers there had been when it began.
    answered: u64,
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        let window = Window { began: now, failures: 0, answered: 0 };
        Self { state: State::Closed, down_since: None, nth: 0, row: 0, window, answered: 0 }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Since when it fails, where it does.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        self.down_since
    }

    /// Asks for a request to pass; a probe has begun then.
    pub(crate) fn pass(&mut self, now: Instant) -> Pass {
        match self.state {
            State::Closed => Pass::Free,
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen { since: now };
                Pass::Probe
            }
            State::Open { until } => Pass::Not(until),
            // Nobody waits for a probe so long.
            State::HalfOpen { since } if now.duration_since(since) > PROBE_MAX => {
                self.state = State::HalfOpen { since: now };
                Pass::Probe
            }
            State::HalfOpen { .. } => Pass::Not(now + OPEN_MIN),
        }
    }

    /// After how long a request may pass.
    pub(crate) fn opens_in(&self, now: Instant) -> Duration {
        match self.state {
            State::Closed => Duration::ZERO,
            State::Open { until } => until.saturating_duration_since(now),
            State::HalfOpen { .. } => OPEN_MIN,
        }
    }

    /// A request failed. `answered` counts all that were answered so far; `began` is when it was sent, none while nothing was
    /// wrong: what was sent before it opened says nothing new. Whether it is open now.
    pub(crate) fn failed(&mut self, now: Instant, began: Option<Instant>, answered: u64) -> bool {
        match self.state {
            State::Open { .. } => true,
            State::HalfOpen { since } if began.is_none_or(|began| began < since) => true,
            State::HalfOpen { .. } => {
                self.open(now);
                true
            }
            State::Closed => {
                self.count(now, answered);
                let share = self.window.failures + answered.saturating_sub(self.window.answered);
                if self.row >= ROW || (share >= ENOUGH && self.window.failures * 2 >= share) {
                    self.open(now);
                    return true;
                }
                false
            }
        }
    }

    fn count(&mut self, now: Instant, answered: u64) {
        if answered != self.answered || self.row == 0 {
            (self.row, self.answered, self.down_since) = (0, answered, Some(now));
        }
        if now.duration_since(self.window.began) > WINDOW {
            self.window = Window { began: now, failures: 0, answered };
        }
        self.row += 1;
        self.window.failures += 1;
    }

    fn open(&mut self, now: Instant) {
        let length = OPEN_MIN.saturating_mul(1 << self.nth.min(16)).min(OPEN_MAX);
        self.nth = self.nth.saturating_add(1);
        self.state = State::Open { until: now + length };
    }

    /// A request that was sent at `began` was answered.
    pub(crate) fn answered(&mut self, now: Instant, began: Instant) {
        let counts = match self.state {
            State::Closed => false,
            State::HalfOpen { since } => began >= since,
            State::Open { .. } => false,
        };
        if counts {
            *self = Self::new(now);
        }
    }

    /// A probe ended without an end: another may be made.
    pub(crate) fn given_up(&mut self, now: Instant) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::Open { until: now };
        }
    }

    /// It said of itself that it is well: it is tried now.
    pub(crate) fn says_well(&mut self, now: Instant) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(now);
        for nth in 1..=ROW {
            assert_eq!(breaker.failed(now, None, 0), nth == ROW);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.pass(now), Pass::Not(now + OPEN_MIN));
        let mut spared = Breaker::new(now);
        for nth in 0..u64::from(3 * ROW) {
            assert!(!spared.failed(now, None, 2 * nth), "each has two answers before it");
        }
        assert_eq!(spared.pass(now), Pass::Free);
        breaker.says_well(now);
        assert_eq!(breaker.pass(now), Pass::Probe);
    }

    #[test]
    fn half_of_a_window_opens_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        let opened = (0..20).position(|nth| breaker.failed(now, None, nth + 1));
        assert_eq!(opened, Some(9), "at the tenth failure, with ten answers before it");
        let mut slow = Breaker::new(now);
        for nth in 0..40 {
            let later = now + (WINDOW / 2 + Duration::from_secs(1)) * nth;
            assert!(!slow.failed(later, None, u64::from(nth) + 1), "few in each window");
        }
    }

    #[test]
    fn one_probe_at_a_time_and_its_end_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let mut at = now + OPEN_MIN;
        for nth in 1..12 {
            assert_eq!(breaker.pass(at), Pass::Probe);
            assert!(matches!(breaker.pass(at), Pass::Not(_)), "one alone");
            for before in [None, Some(now)] {
                assert!(
                    breaker.failed(at, before, 0),
                    "what was sent before it opened is none of the probe's"
                );
            }
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            assert!(breaker.failed(at, Some(at), 0));
            let Pass::Not(until) = breaker.pass(at) else { panic!("it is open") };
            assert_eq!(until - at, (OPEN_MIN * (1 << nth)).min(OPEN_MAX));
            at = until;
        }
        assert_eq!((breaker.pass(at), breaker.down_since()), (Pass::Probe, Some(now)));
        breaker.given_up(at);
        assert_eq!(breaker.pass(at), Pass::Probe, "nobody waited for the one before");
        let later = at + PROBE_MAX + Duration::from_secs(1);
        assert_eq!(breaker.pass(later), Pass::Probe, "the one before never ended");
        let at = later;
        breaker.answered(at, now);
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "an answer to what was sent long ago");
        breaker.answered(at, at);
        assert_eq!((breaker.pass(at), breaker.down_since()), (Pass::Free, None));
        assert!(!breaker.failed(at, None, 0), "it begins anew");
    }
}
