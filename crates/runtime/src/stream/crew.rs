//! The workers of one stream program, and what all of them know of it.
//!
//! There is no I/O here beyond starting tasks, so a crash leaves nothing.

use super::jobs::Jobs;
use super::worker::Worker;
use crate::config::{App, Program};
use crate::context::Context;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// How long a broken program rests before it is tried again; each time twice as long, up to the most.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// The workers of one app.
pub(crate) struct Crew {
    pub(crate) ctx: Arc<Context>,
    pub(crate) app: Arc<App>,
    pub(crate) program: Program,
    /// What goes on, so that `run --once` knows when nothing does.
    pub(crate) busy: Arc<AtomicUsize>,
    /// The programs that run, so that a shutdown waits for them.
    pub(crate) alive: Arc<AtomicUsize>,
    /// Held by the one that looks out for work.
    pub(super) lookout: Arc<Mutex<()>>,
    pub(crate) health: Arc<Health>,
    /// The jobs that wait for one of them.
    pub(crate) jobs: Arc<Jobs>,
}

/// What is known of a program, by all its workers.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Whether it ever answered.
    proven: AtomicBool,
    /// Whether it could not be started, or ended each time before it answered anything, when it was last tried.
    broken: AtomicBool,
    /// How often in a row it was found to be so.
    times: AtomicU32,
    /// It is not tried before this time.
    rests_until: std::sync::Mutex<Option<Instant>>,
}

impl Health {
    /// Whether it is broken, as far as is known: then nothing is given to it for a while.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// Whether it ever answered.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::SeqCst)
    }

    /// It answered.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::SeqCst);
        self.broken.store(false, Ordering::SeqCst);
        self.times.store(0, Ordering::SeqCst);
    }

    /// It is broken: it rests, longer each time. Returns how long.
    pub(super) fn breaks(&self) -> Duration {
        let times = self.times.fetch_add(1, Ordering::SeqCst).min(6);
        let rest = (REST * 2u32.pow(times)).min(REST_MAX);
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + rest);
        self.broken.store(true, Ordering::SeqCst);
        rest
    }

    /// It is not tried before this time.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crew {
    /// Starts the workers.
    pub(crate) fn start(
        ctx: Arc<Context>,
        app: Arc<App>,
        program: Program,
        busy: Arc<AtomicUsize>,
        alive: Arc<AtomicUsize>,
        end: &watch::Receiver<bool>,
    ) -> Arc<Self> {
        let (workers, health) = (app.workers, Arc::<Health>::default());
        let (lookout, jobs) = (Arc::default(), Arc::new(Jobs::new(health.clone())));
        let crew = Arc::new(Self { ctx, app, program, busy, alive, lookout, health, jobs });
        for _ in 0..workers {
            tokio::spawn(Worker::new(crew.clone(), end.clone()).serve());
        }
        crew
    }
}
