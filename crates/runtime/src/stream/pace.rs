//! How many records a stream program is given at once: as many as it answers in a tenth of a second, so that a quick one
//! never waits for the next and a slow one does not keep records from other workers.
//!
//! There is no I/O, so a crash leaves nothing.

use handover_core::limits::STREAM_WINDOW_MAX;
use std::time::{Duration, Instant};

/// Work for so long is with the program.
const AHEAD: Duration = Duration::from_millis(100);
/// At least so many, so that it need not wait while an answer is committed.
const WINDOW_MIN: usize = 2;
/// So many before anything is known of it.
const WINDOW_FIRST: usize = 8;
/// So many bytes of records at once, about; one record alone may be larger.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// The weight of the latest in a mean is one in so many.
const MEAN_OF: u64 = 8;

/// The pace of one program.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The mean time between answers while it had records, in microseconds; 0 before the first.
    mean_us: u64,
    /// The mean size of a record in bytes; 0 before the first.
    mean_bytes: u64,
    /// When it was last given something while it had nothing, or answered.
    since: Option<Instant>,
}

impl Pace {
    /// How many records may be with it.
    pub(super) fn window(&self) -> usize {
        let by_time = match self.mean_us {
            0 => WINDOW_FIRST,
            mean => usize::try_from(AHEAD.as_micros() as u64 / mean).unwrap_or(STREAM_WINDOW_MAX),
        };
        let by_size = match usize::try_from(self.mean_bytes) {
            Ok(0) | Err(_) => STREAM_WINDOW_MAX,
            Ok(mean) => WINDOW_BYTES / mean,
        };
        by_time.clamp(WINDOW_MIN, STREAM_WINDOW_MAX).min(by_size).max(1)
    }

    /// It was given a record of so many bytes; `first` is whether it had none before.
    pub(super) fn given(&mut self, bytes: usize, first: bool) {
        self.mean_bytes = mean(self.mean_bytes, bytes as u64);
        if first {
            self.since = Some(Instant::now());
        }
    }

    /// So many answers came together.
    pub(super) fn answered(&mut self, count: usize) {
        let now = Instant::now();
        let took = self.since.replace(now).map(|since| now.duration_since(since)).unwrap_or_default();
        let each = u64::try_from(took.as_micros()).unwrap_or(u64::MAX) / (count.max(1) as u64);
        for _ in 0..count.min(MEAN_OF as usize) {
            self.mean_us = mean(self.mean_us, each);
        }
    }
}

fn mean(before: u64, latest: u64) -> u64 {
    match before {
        0 => latest.max(1),
        mean => (mean.saturating_mul(MEAN_OF - 1).saturating_add(latest) / MEAN_OF).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_time_and_size() {
        let mut pace = Pace::default();
        assert_eq!(pace.window(), WINDOW_FIRST);
        pace.mean_us = 1;
        assert_eq!(pace.window(), STREAM_WINDOW_MAX);
        pace.mean_us = 10_000;
        assert_eq!(pace.window(), 10);
        pace.mean_us = 60_000_000;
        assert_eq!(pace.window(), WINDOW_MIN);
        pace.mean_bytes = 100 * 1024 * 1024;
        assert_eq!(pace.window(), 1, "large records one by one");
    }
}
