//! How much may be tried again: one in five of what is asked, and a few on top, so that retries do not multiply an outage.
//!
//! What cannot have reached the upstream costs nothing: it adds nothing to what the upstream has to do.

use std::time::Duration;
use tokio::time::Instant;

/// Retries are counted for so long.
const WINDOW: Duration = Duration::from_secs(10);
/// So many are free in a window, for services that are asked little.
const FREE: u64 = 10;
/// Of so many requests one may be tried again.
const ONE_IN: u64 = 5;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Budget {
    began: Instant,
    /// How many requests there had been when the window began.
    asked: u64,
    spent: u64,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, asked: 0, spent: 0 }
    }

    /// Takes one retry; `asked` counts all requests so far.
    pub(crate) fn take(&mut self, now: Instant, asked: u64) -> bool {
        if now.duration_since(self.began) > WINDOW {
            *self = Self { began: now, asked, spent: 0 };
        }
        let may = self.spent < FREE + asked.saturating_sub(self.asked) / ONE_IN;
        self.spent += u64::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_five_and_a_few() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let taken = |budget: &mut Budget, at, asked| (0..1_000).filter(|_| budget.take(at, asked)).count();
        assert_eq!(taken(&mut budget, now, 100), 30);
        assert_eq!(taken(&mut budget, now, 200), 20);
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(taken(&mut budget, later, 200), 10, "a new window");
    }
}
