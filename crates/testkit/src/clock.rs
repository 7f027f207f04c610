//! A clock that stands still until a test turns it.

use handover_core::Clock;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A clock that a test turns by hand; clones of the `Arc` share it.
#[derive(Debug)]
pub struct FakeClock(Mutex<Timestamp>);

impl FakeClock {
    /// A clock that stands at 2025-11-24T10:30:00Z.
    pub fn new() -> Arc<Self> {
        Self::at("2025-11-24T10:30:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// A clock that stands at this time.
    pub fn at(time: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(time)))
    }

    /// A clock that stands at the machine's present time, in whole milliseconds: for tests in which the machine's
    /// own clock writes times too, as plain SQL does.
    pub fn at_present() -> Arc<Self> {
        let now = Timestamp::now();
        Self::at(Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now))
    }

    /// Turns it forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(by).unwrap_or(Timestamp::MAX);
    }

    /// Sets it to this time, earlier or later.
    pub fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_until_it_is_turned() {
        let clock = FakeClock::new();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().duration_since(start).as_millis(), 1500);
        clock.set(start);
        assert_eq!(clock.now(), start);
    }
}
