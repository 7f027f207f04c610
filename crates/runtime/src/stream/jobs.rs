//! The jobs of a stream program that are claimed and not with it yet: its pool puts them here, and the workers take them, whoever
//! has waited longest for one first, so that a worker which has nothing to do begins at once.
//!
//! Invariant: what is put here is taken by one worker, or settled: at the end nothing stays. There is no I/O here beyond
//! starting tasks; after a crash the leases bring the jobs back.

use super::crew::Health;
use crate::delivery::{Attempt, Failed};
use handover_core::{Error, ErrorKind};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The jobs that wait for a program.
pub(crate) struct Jobs {
    waiting: Mutex<Waiting>,
    /// As many permits as jobs were put in and not asked for; workers get them in the order in which they asked.
    count: Semaphore,
    health: Arc<Health>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Attempt>,
    closed: bool,
}

impl Jobs {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self { waiting: Mutex::default(), count: Semaphore::new(0), health }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a worker take it. One that no worker will take is given back, or comes again later.
    pub(crate) fn give(&self, job: Attempt) {
        if self.health.rests_until().is_some_and(|until| until > Instant::now()) {
            return later(job, "the program cannot be used now: see the log");
        }
        let mut waiting = self.lock();
        if waiting.closed {
            drop(waiting);
            tokio::spawn(job.give_back());
            return;
        }
        waiting.jobs.push_back(job);
        self.count.add_permits(1);
    }

    /// Waits for a job; none where it was settled meanwhile. May be dropped and called again.
    pub(super) async fn next(&self) -> Option<Attempt> {
        match self.count.acquire().await {
            Ok(permit) => permit.forget(),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
        self.lock().jobs.pop_front()
    }

    /// Takes those that are to end.
    pub(super) fn take_cancelled(&self) -> Vec<Attempt> {
        let mut waiting = self.lock();
        let (cancelled, others): (Vec<_>, Vec<_>) =
            waiting.jobs.drain(..).partition(|job| job.lease.cancelled_by().is_some());
        waiting.jobs.extend(others);
        cancelled
    }

    /// Takes all of them; with `close`, nothing comes any more.
    pub(super) fn take_all(&self, close: bool) -> Vec<Attempt> {
        let mut waiting = self.lock();
        waiting.closed |= close;
        waiting.jobs.drain(..).collect()
    }
}

/// The job comes again later, at no cost.
pub(super) fn later(job: Attempt, why: &str) {
    let error = Error::new(ErrorKind::NotYet, why).hint("it is tried again by itself");
    tokio::spawn(job.settle(Err(Failed::from(error)), Duration::ZERO));
}

/// The job ends: somebody asked for it.
pub(super) fn cancel(job: Attempt) {
    let error = Error::new(ErrorKind::Cancelled, "it was cancelled");
    tokio::spawn(job.settle(Err(Failed::from(error)), Duration::ZERO));
}
