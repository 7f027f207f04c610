//! How much an app has on its hands in this process, and how much more it should claim.
//!
//! An app claims ahead of its workers only as much as they get done in a twentieth of a second: enough that quick
//! programs never wait for a claim, too little to keep slow work from another process.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Work for so long is claimed ahead.
const AHEAD: Duration = Duration::from_millis(50);
/// At most so many deliveries are claimed ahead.
const AHEAD_MAX: usize = 64;
/// Runs are quick that end within so long on the average.
const QUICK: Duration = Duration::from_millis(20);
/// The weight of the latest run in the mean is one in so many.
const MEAN_OF: u64 = 8;

/// The load of one app.
#[derive(Debug)]
pub(crate) struct Load {
    workers: usize,
    /// Claimed, and not yet run to the end.
    outstanding: AtomicUsize,
    /// The mean time of a run, in microseconds; 0 before the first.
    mean_us: AtomicU64,
    less: Notify,
}

impl Load {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, outstanding: AtomicUsize::new(0), mean_us: AtomicU64::new(0), less: Notify::new() }
    }

    /// How many deliveries may be on hand at once.
    fn target(&self) -> usize {
        let ahead = match self.mean_us.load(Ordering::Relaxed) {
            0 => 0,
            mean => usize::try_from(AHEAD.as_micros() as u64 / mean).unwrap_or(AHEAD_MAX) * self.workers,
        };
        self.workers + ahead.min(AHEAD_MAX)
    }

    /// How many more to claim now. None while more than half of what may be on hand is: claims are made in bulk.
    fn room(&self) -> usize {
        let (target, outstanding) = (self.target(), self.outstanding.load(Ordering::SeqCst));
        if outstanding >= self.workers && outstanding * 2 > target {
            0
        } else {
            target.saturating_sub(outstanding)
        }
    }

    /// Waits until there is room, and says how much.
    pub(crate) async fn until_room(&self) -> usize {
        loop {
            let less = self.less.notified();
            match self.room() {
                0 => less.await,
                room => return room,
            }
        }
    }

    /// Whether runs end within milliseconds.
    pub(crate) fn is_quick(&self) -> bool {
        let mean = Duration::from_micros(self.mean_us.load(Ordering::Relaxed));
        !mean.is_zero() && mean < QUICK
    }

    /// One more is claimed.
    pub(crate) fn more(&self) {
        self.outstanding.fetch_add(1, Ordering::SeqCst);
    }

    /// One has run; `took` is none where it did not begin.
    pub(crate) fn less(&self, took: Option<Duration>) {
        self.outstanding.fetch_sub(1, Ordering::SeqCst);
        if let Some(took) = took {
            let latest = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
            let mean = match self.mean_us.load(Ordering::Relaxed) {
                0 => latest,
                mean => (mean.saturating_mul(MEAN_OF - 1).saturating_add(latest) / MEAN_OF).max(1),
            };
            self.mean_us.store(mean, Ordering::Relaxed);
        }
        self.less.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_work_is_not_claimed_ahead_and_quick_work_is() {
        let load = Load::new(2);
        assert_eq!(load.room(), 2);
        load.more();
        load.more();
        assert_eq!(load.room(), 0);
        load.less(Some(Duration::from_secs(5)));
        assert_eq!(load.room(), 1, "slow work: one for each worker");
        for _ in 0..100 {
            load.more();
            load.less(Some(Duration::from_millis(1)));
        }
        assert_eq!(load.room(), 2 + AHEAD_MAX - 1, "quick work: as far ahead as it goes");
        (0..40).for_each(|_| load.more());
        assert_eq!(load.room(), 0, "no claim for a few while much is on hand");
    }
}
