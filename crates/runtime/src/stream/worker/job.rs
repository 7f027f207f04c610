//! What is different with jobs: they are taken one at a time, settled each by itself, and may be cancelled.

use super::{Told, Worker};
use crate::delivery::{Attempt, Failed};
use crate::engine::Busy;
use crate::stream::jobs::cancel;
use crate::stream::process::Stopped;
use handover_core::{Error, ErrorKind, Kind};

impl Worker {
    /// Whether this worker takes a job now: it has none, and gives its records as usual.
    pub(super) fn takes_job(&self) -> bool {
        let waits = self.ready.front().is_some_and(|attempt| attempt.delivery.kind == Kind::Job);
        !self.ending && self.alone == 0 && self.suspects.is_empty() && !waits && !self.flight.has_job()
    }

    /// Settles a job that its program has answered, and goes on meanwhile.
    pub(super) fn finish_job(&self, mut attempt: Attempt, told: Told) {
        let busy = Busy::begin(&self.crew.busy);
        tokio::spawn(async move {
            let took = attempt.taken_up.as_mut().and_then(|taken_up| {
                let took = taken_up.since?.elapsed();
                taken_up.slot.ran(took);
                Some(took)
            });
            let outcome = match told {
                Told::Completed(made) => attempt.answered(made).await,
                Told::Failed(text) => {
                    Err(Failed { last: true, ..Failed::from(Error::new(ErrorKind::Program, text)) })
                }
                Told::Retry(text) => Err(Failed::from(Error::new(ErrorKind::Program, text))),
            };
            attempt.settle(outcome, took.unwrap_or_default()).await;
            drop(busy);
        });
    }

    /// Ends what is to end and is not with the program; what is ends when the program is gone.
    pub(super) fn end_cancelled(&mut self) {
        let is_cancelled = |attempt: &Attempt| attempt.lease.cancelled_by().is_some();
        if self.ready.iter().any(is_cancelled) {
            let (cancelled, ready): (Vec<_>, Vec<_>) = self.ready.drain(..).partition(is_cancelled);
            self.alone = self.alone.saturating_sub(cancelled.len());
            self.ready.extend(ready);
            cancelled.into_iter().for_each(cancel);
        }
        self.crew.jobs.take_cancelled().into_iter().for_each(cancel);
        if self.flight.has_cancelled() {
            self.stop(Stopped::Cancelled);
        }
    }
}
