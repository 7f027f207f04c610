//! A pool for each app, and one more for its records where it works on them one by one: claims deliveries and works on
//! them, `workers` at a time.
//!
//! Two bounds: slots, so many run at once; places, so many are in this process in all, because publishing one goes on
//! while the next runs. How far claims go ahead of the slots is [`Load`]'s to say. An idle pool waits for the ledger's
//! word or for the next due time; it does not poll.

use super::load::Load;
use super::{Complaint, ended, until_due};
use crate::config::App;
use crate::context::Context;
use crate::delivery::slot::{Slot, Slots};
use crate::delivery::{Attempt, TakenUp, name_ahead};
use crate::stream::Jobs;
use handover_core::{Delivery, DeliveryId, Error, ErrorKind, Kind, Result};
use handover_file::disk;
use handover_file::layout::DataDir;
use handover_ledger::{Claim, Queue, Reservation, Reserve};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many deliveries beyond its workers an app may have in this process: they are being published.
const PUBLISHING: usize = 96;
/// How long to wait before another try where the ledger or the disk does not let us work.
const AGAIN: Duration = Duration::from_secs(1);

/// The pool of one app.
pub(crate) struct Pool {
    ctx: Arc<Context>,
    app: Arc<App>,
    queue: Queue,
    load: Arc<Load>,
    slots: Arc<Slots>,
    places: Arc<Semaphore>,
    busy: Arc<AtomicUsize>,
    /// Who works on its jobs, where that is a program that goes on running.
    jobs: Option<Arc<Jobs>>,
}

impl Pool {
    pub(crate) fn new(
        ctx: Arc<Context>,
        app: Arc<App>,
        queue: Queue,
        busy: Arc<AtomicUsize>,
        jobs: Option<Arc<Jobs>>,
    ) -> Self {
        let slots = Arc::new(Slots::new(app.workers));
        ctx.project.meter.pool(app.name.as_str(), &slots.permits, app.workers);
        let places = Arc::new(Semaphore::new(app.workers + PUBLISHING));
        let load = Arc::new(Load::new(app.workers));
        Self { ctx, app, queue, load, slots, places, busy, jobs }
    }

    /// Claims and works until `end`; what has begun goes on after that.
    pub(crate) async fn serve(self, mut end: watch::Receiver<bool>) {
        let mut wake = self.ctx.project.ledger.wake_for(self.app.name.as_str());
        let mut complaint = Complaint::default();
        loop {
            wake.mark_unchanged();
            let pause = match self.round(&mut end).await {
                Ok(Some(claimed)) => {
                    complaint.over(&self.app.name, "claim");
                    if claimed > 0 {
                        continue;
                    }
                    until_due(&self.ctx).await
                }
                Ok(None) => return,
                Err(e) => {
                    complaint.failed(&self.app.name, "claim", &e);
                    AGAIN
                }
            };
            tokio::select! {
                () = ended(&mut end) => return,
                _ = wake.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round: waits for a free place, claims, begins. None at the end.
    async fn round(&self, end: &mut watch::Receiver<bool>) -> Result<Option<usize>> {
        let place = tokio::select! {
            () = ended(end) => return Ok(None),
            place = self.places.clone().acquire_owned() => place.map_err(|_| Error::internal("a pool was closed"))?,
        };
        let room = tokio::select! {
            () = ended(end) => return Ok(None),
            room = self.load.until_room() => room,
        };
        enough_room(&self.ctx.project.data)?;
        let max = (1 + self.places.available_permits()).min(room);
        let busy = Busy::begin(&self.busy);
        let claim = Claim {
            queue: self.queue,
            app: self.app.name.to_string(),
            max,
            lease: self.ctx.config().lease,
            holder: self.ctx.process.holder.clone(),
        };
        let claimed = self.ctx.project.ledger.claim(claim).await?;
        let count = claimed.len();
        let mut ahead = self.reserve_ahead(&claimed).await;
        let mut first = Some(place);
        for delivery in claimed {
            let place = match first.take() {
                Some(place) => place,
                None => self
                    .places
                    .clone()
                    .acquire_owned()
                    .await
                    .map_err(|_| Error::internal("a pool was closed"))?,
            };
            let ahead = ahead.remove(&delivery.id);
            self.begin(delivery, ahead, place, end.clone());
        }
        drop(busy);
        Ok(Some(count))
    }

    /// Reserves the names of all outputs at once. One that is not reserved so is reserved by its attempt, which then
    /// meets the error, if there is one.
    async fn reserve_ahead(&self, claimed: &[Delivery]) -> HashMap<DeliveryId, Reservation> {
        let has_output = |one: &&Delivery| !self.ctx.doors.splits(&one.source_app, &self.app.name);
        let (ids, wanted): (Vec<DeliveryId>, Vec<Reserve>) = claimed
            .iter()
            .filter(has_output)
            .filter_map(|one| Some((one.id, name_ahead(&self.app, one)?)))
            .unzip();
        if wanted.is_empty() {
            return HashMap::new();
        }
        let reserved = self.ctx.project.ledger.reserve_all(wanted).await.unwrap_or_default();
        ids.into_iter().zip(reserved).filter_map(|(id, name)| Some((id, name.ok()?))).collect()
    }

    /// Works on a delivery; gives it back if the end has come.
    fn begin(
        &self,
        delivery: Delivery,
        ahead: Option<Reservation>,
        place: OwnedSemaphorePermit,
        end: watch::Receiver<bool>,
    ) {
        let Some(attempt) = Attempt::begin(&self.ctx, &self.app, self.queue, delivery, ahead) else { return };
        self.load.more();
        let slot = Slot::new(self.slots.clone(), self.load.clone(), end.clone(), attempt.lease.cancel());
        let busy = Busy::begin(&self.busy);
        if let Some(jobs) = self.jobs.as_ref().filter(|_| attempt.delivery.kind == Kind::Job) {
            let taken_up = TakenUp { _place: place, slot, _busy: busy, since: None };
            return jobs.give(Attempt { taken_up: Some(taken_up), ..attempt });
        }
        tokio::spawn(async move {
            let _kept = (place, busy);
            let over = *end.borrow();
            if over { attempt.give_back().await } else { attempt.work(slot).await }
        });
    }
}

/// With the disk full nothing is begun.
pub(crate) fn enough_room(data: &DataDir) -> Result<()> {
    let space = match disk::space(data.tmp_dir()) {
        // Somebody removed the folder for temporary files: it is made again.
        Err(e) if e.kind() == ErrorKind::NotFound => {
            DataDir::open(data.root()).and_then(|_| disk::space(data.tmp_dir()))
        }
        other => other,
    }?;
    if disk::low(&space) {
        let full = Error::new(ErrorKind::NotYet, "the disk is full");
        return Err(full.hint("make room: work resumes by itself"));
    }
    Ok(())
}

/// Counts what is going on, so that `run --once` knows when nothing is.
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Busy {
    pub(crate) fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
