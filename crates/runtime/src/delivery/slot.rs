//! The right to run: waited for when all is ready for the run, given up as soon as the app has run, so that others run
//! while names are reserved and files are published.
//!
//! Where programs end within milliseconds, one more for each that runs is put behind it at the guard ([`Turn::Behind`]), which
//! begins it by itself: a processor would wait for our word otherwise.
//!
//! Invariants:
//! - As many run at once as there are permits: who is behind another has no permit until that one has ended and hands its own
//!   on.
//! - A place behind a run is given to one, and is gone when that run has ended.
//!
//! There is no I/O here; a crash leaves nothing.

use crate::engine::ended;
use crate::engine::load::Load;
use crate::program::RunHandle;
use handover_core::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// The slots of an app: permits, and the places behind those that run.
pub(crate) struct Slots {
    pub(crate) permits: Arc<Semaphore>,
    places: Mutex<Vec<Place>>,
    more: Notify,
}

/// The place behind a run; whoever takes it says where the permit is to go.
struct Place {
    behind: RunHandle,
    heir: oneshot::Sender<oneshot::Sender<OwnedSemaphorePermit>>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(count)), places: Mutex::default(), more: Notify::new() }
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, place: Place) {
        let mut places = self.places();
        // Those whose run has ended.
        places.retain(|place| !place.heir.is_closed());
        places.push(place);
        drop(places);
        self.more.notify_one();
    }

    /// Waits for a place behind a run.
    async fn place(&self) -> (RunHandle, oneshot::Receiver<OwnedSemaphorePermit>) {
        loop {
            while let Some(place) = self.take() {
                let (permit, turn) = oneshot::channel();
                if place.heir.send(permit).is_ok() {
                    return (place.behind, turn);
                }
            }
            self.more.notified().await;
        }
    }

    fn take(&self) -> Option<Place> {
        let mut places = self.places();
        (!places.is_empty()).then(|| places.remove(0))
    }
}

/// When a program may begin.
pub(crate) enum Turn {
    /// At once.
    Now,
    /// When this one has ended: it is to be put there, and [`Slot::turn`] waited for.
    Behind(RunHandle),
}

impl Turn {
    pub(crate) fn behind(&self) -> Option<&RunHandle> {
        match self {
            Turn::Now => None,
            Turn::Behind(behind) => Some(behind),
        }
    }
}

/// One delivery's slot.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    load: Arc<Load>,
    end: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
    /// Gives the permit of the run before ours.
    turn: Option<oneshot::Receiver<OwnedSemaphorePermit>>,
    running: Option<(OwnedSemaphorePermit, Instant)>,
    /// Who gets the permit after us.
    heir: Option<oneshot::Receiver<oneshot::Sender<OwnedSemaphorePermit>>>,
    took: Option<Duration>,
}

impl Slot {
    /// A slot for work that has not begun. It is not waited for after `end`, nor after `stop`, when the work itself is to stop.
    pub(crate) fn new(
        slots: Arc<Slots>,
        load: Arc<Load>,
        end: watch::Receiver<bool>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { slots, load, end, stop, turn: None, running: None, heir: None, took: None }
    }

    /// Waits for a free slot.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] where the end comes first, or a stop: nothing new is begun then.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let permit = tokio::select! {
            biased;
            () = ended(&mut self.end) => None,
            () = ended(&mut self.stop) => None,
            permit = self.slots.permits.clone().acquire_owned() => permit.ok(),
        };
        self.has(permit)
    }

    /// Waits for a free slot, or for a place behind a program that runs.
    ///
    /// # Errors
    /// As [`Slot::begin`].
    pub(crate) async fn begin_program(&mut self) -> Result<Turn> {
        let permit = tokio::select! {
            biased;
            () = ended(&mut self.end) => None,
            () = ended(&mut self.stop) => None,
            permit = self.slots.permits.clone().acquire_owned() => permit.ok(),
            (behind, turn) = self.slots.place() => {
                self.turn = Some(turn);
                return Ok(Turn::Behind(behind));
            }
        };
        self.has(permit).map(|()| Turn::Now)
    }

    /// Waits until the run before `run` has ended, where there is one, or there is a permit anyhow; then offers the place behind
    /// `run`. At the end, or a stop, it is withdrawn: where it has begun nevertheless, it has its time.
    pub(crate) async fn turn(&mut self, run: RunHandle) {
        if let Some(turn) = self.turn.take() {
            let permit = tokio::select! {
                // First of all, since it has begun then.
                biased;
                permit = turn => permit.ok(),
                () = ended(&mut self.end) => None,
                () = ended(&mut self.stop) => None,
                permit = self.slots.permits.clone().acquire_owned() => {
                    run.begin();
                    permit.ok()
                }
            };
            if self.has(permit).is_err() {
                return run.withdraw();
            }
        }
        if self.load.is_quick() {
            let (heir, ours) = oneshot::channel();
            self.heir = Some(ours);
            self.slots.offer(Place { behind: run, heir });
        }
    }

    fn has(&mut self, permit: Option<OwnedSemaphorePermit>) -> Result<()> {
        let stopping = || Error::new(ErrorKind::Cancelled, "nothing new is begun any more");
        self.running = Some((permit.ok_or_else(stopping)?, Instant::now()));
        Ok(())
    }

    /// The app has run elsewhere, for so long.
    pub(crate) fn ran(&mut self, took: Duration) {
        if self.took.is_none() {
            self.took = Some(took);
            self.load.less(self.took);
        }
    }

    /// How long the app has run, once it has.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.took
    }

    /// The app has run; whoever waits for the slot begins, and goes as far as it gets, before this goes on: what is left to
    /// do here would keep a processor waiting for the next program.
    pub(crate) async fn hand_on(&mut self) {
        self.free();
        tokio::task::yield_now().await;
    }

    /// The app has run; what is left is publishing.
    pub(crate) fn free(&mut self) {
        let Some((permit, began)) = self.running.take() else { return };
        let heir = self.heir.take().and_then(|mut heir| {
            heir.close();
            heir.try_recv().ok()
        });
        match heir {
            // One that has given up gives it back by dropping it.
            Some(heir) => drop(heir.send(permit)),
            None => drop(permit),
        }
        self.took = Some(began.elapsed());
        self.load.less(self.took);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free();
        if self.took.is_none() {
            self.load.less(None);
        }
    }
}
