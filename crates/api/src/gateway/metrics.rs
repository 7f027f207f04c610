//! What is counted of each service app since this process began: requests by the class of their status, bytes, and how long
//! answers took to begin. Counting takes no lock; a snapshot is of about one moment.

use foldhash::fast::RandomState;
use http::StatusCode;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds of the histogram, in microseconds; what took longer is in the last of [`Counts::slower`].
pub(crate) const BOUNDS_US: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// The counts of all apps that were asked, whatever the configuration is by now.
#[derive(Default)]
pub(crate) struct Metrics(RwLock<HashMap<String, Arc<Counts>, RandomState>>);

impl Metrics {
    /// Those of one app, which is declared.
    pub(crate) fn of(&self, app: &str) -> Arc<Counts> {
        if let Some(counts) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return counts.clone();
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(app.to_owned()).or_insert_with(|| Arc::new(Counts::new(app))).clone()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Counts>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Counts>> = all.values().cloned().collect();
        all.sort_by(|a, b| a.app.cmp(&b.app));
        all
    }
}

/// The counts of one app.
#[derive(Default)]
pub(crate) struct Counts {
    app: String,
    /// Answers by the first digit of their status, from 1.
    classes: [AtomicU64; 5],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// How many began within each bound, and not within the one before.
    within: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
    tunnels: AtomicU64,
}

/// The counts at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) classes: [u64; 5],
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) within: [u64; BOUNDS_US.len() + 1],
    pub(crate) sum_us: u64,
    pub(crate) tunnels: u64,
}

impl Counts {
    fn new(app: &str) -> Self {
        Self { app: app.to_owned(), ..Self::default() }
    }

    pub(crate) fn app(&self) -> &str {
        &self.app
    }

    /// An answer has begun, the service's or an error of ours.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS_US.len());
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.within[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took, Ordering::Relaxed);
    }

    /// Bytes of a caller's body.
    pub(super) fn took(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of a service's body.
    pub(super) fn gave(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A connection that changed its protocol has begun.
    pub(super) fn tunnel_began(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    /// And has ended.
    pub(super) fn tunnel_ended(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            classes: self.classes.each_ref().map(read),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            within: self.within.each_ref().map(read),
            sum_us: read(&self.sum_us),
            tunnels: read(&self.tunnels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_counted_once_in_its_class_and_its_bound() {
        let metrics = Metrics::default();
        for (status, took) in [(200, 1_000), (204, 1_001), (503, 11_000_000), (101, 0)] {
            let status = StatusCode::from_u16(status).unwrap();
            metrics.of("a").answered(status, Duration::from_micros(took));
        }
        metrics.of("b").took(7);
        let counts = metrics.of("a").snapshot();
        assert_eq!((counts.classes, counts.sum_us), ([1, 2, 0, 0, 1], 11_002_001));
        assert_eq!((counts.within[..2].to_vec(), counts.within[13]), (vec![2, 1], 1));
        assert_eq!((counts.bytes_in, metrics.of("b").snapshot().bytes_in), (0, 7));
    }
}
