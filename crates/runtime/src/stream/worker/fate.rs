//! When a worker's program ends: what becomes of the records that it had.

use super::Worker;
use crate::delivery::{Attempt, Failed, said};
use crate::engine::Busy;
use crate::engine::events::Event;
use crate::stream::blame::{Death, Means, means};
use crate::stream::jobs::{cancel, later};
use crate::stream::process::Stopped;
use handover_core::{Error, ErrorKind, Kind, Result};
use std::time::Duration;
use tracing::{info, warn};

/// So many records in a row may kill a program that never answered anything before it counts as broken.
const SUSPECTS_MAX: usize = 3;
/// So many programs in a row may end without an answer, and without blame, before their records wait.
const FRUITLESS_MAX: u32 = 3;

impl Worker {
    pub(super) async fn ended(&mut self, end: Result<crate::program::Ended>) {
        let Some(program) = self.program.take() else { return };
        let had = self.flight.take_all();
        if self.ending {
            return self.release(had, None).await;
        }
        let app = self.crew.app.clone();
        let stopped = program.stopped;
        let means = means(&app, end, &program);
        drop(program);
        let had = self.without_cancelled(had);
        match means {
            Means::Unasked => had.into_iter().rev().for_each(|attempt| self.ready.push_front(attempt)),
            Means::Blame(death) if had.is_empty() => {
                warn!(app = %app.name, "{}; it had no record, and is started again when there is one", death.text());
            }
            Means::Again if self.fruitless < FRUITLESS_MAX => {
                self.fruitless += u32::from(!had.is_empty());
                had.into_iter().rev().for_each(|attempt| self.ready.push_front(attempt));
            }
            Means::Again => {
                let error = || Error::new(ErrorKind::NotYet, "the program was stopped again and again");
                self.fail_all(had, || Failed::from(error()));
            }
            Means::Later(death) => self.fail_all(had, || death.later()),
            Means::NoStart(error) => {
                self.is_broken(format!("it cannot be started: {}", said(&error)), had).await;
            }
            Means::Blame(death) => {
                let had = self.without_late_job(had, stopped, &death);
                if !had.is_empty() {
                    self.blame(had, death);
                }
            }
        }
    }

    /// Ends those that were asked to end; gives the others.
    fn without_cancelled(&mut self, had: Vec<Attempt>) -> Vec<Attempt> {
        let (cancelled, others): (Vec<_>, Vec<_>) =
            had.into_iter().partition(|attempt| attempt.lease.cancelled_by().is_some());
        self.alone = self.alone.saturating_sub(cancelled.len());
        cancelled.into_iter().for_each(cancel);
        others
    }

    /// Of a program that was stopped because its oldest was not answered in time: where that is a job, it alone is to blame,
    /// and the others are given again.
    fn without_late_job(
        &mut self,
        had: Vec<Attempt>,
        stopped: Option<Stopped>,
        death: &Death,
    ) -> Vec<Attempt> {
        let late = stopped == Some(Stopped::TimedOut)
            && had.first().is_some_and(|oldest| oldest.delivery.kind == Kind::Job);
        if !late {
            return had;
        }
        let mut had = had.into_iter();
        if let Some(job) = had.next() {
            self.alone = self.alone.saturating_sub(1);
            self.fail(job, death.clone().late());
        }
        had.rev().for_each(|attempt| self.ready.push_front(attempt));
        Vec::new()
    }

    fn blame(&mut self, had: Vec<Attempt>, death: Death) {
        let was_alone = self.alone > 0 && had.len() == 1;
        if !was_alone {
            warn!(
                app = %self.crew.app.name,
                "{}; it had {} records, which are given again one at a time", death.text(), had.len()
            );
            self.alone = had.len();
            had.into_iter().rev().for_each(|attempt| self.ready.push_front(attempt));
            return;
        }
        self.alone -= 1;
        for attempt in had {
            if self.is_proven() {
                // The one that kills is found: the others go on as before.
                self.alone = 0;
                let kind = attempt.delivery.kind;
                self.fail(attempt, death.clone().guilty(kind));
            } else {
                self.suspects.push((attempt, death.clone()));
                // The next one shows whether it is the program itself.
                self.alone = self.alone.max(1);
            }
        }
    }

    /// Decides on those that killed a program which had not answered anything, as soon as that can be decided.
    pub(super) async fn judge_suspects(&mut self) {
        let undecided = !self.is_proven()
            && self.suspects.len() < SUSPECTS_MAX
            && (!self.ready.is_empty() || !self.flight.is_empty());
        if self.suspects.is_empty() || undecided {
            return;
        }
        let suspects = std::mem::take(&mut self.suspects);
        if self.flight.is_empty() {
            self.alone = 0;
        }
        // With a program that answers, or where it is the only one there is, it is the record.
        if self.is_proven() || suspects.len() == 1 {
            self.alone = 0;
            return suspects.into_iter().for_each(|(attempt, death)| {
                let kind = attempt.delivery.kind;
                self.fail(attempt, death.guilty(kind));
            });
        }
        let text = format!("it ends before it answers anything: {}", suspects[suspects.len() - 1].1.text());
        let rest = self.is_broken(text, Vec::new()).await;
        // They come again later than the others, so that these show whether it is the program: else the same would come first
        // for ever. What is behind one in its order waits with it.
        for (attempt, death) in suspects {
            self.fail(attempt, death.put_off(rest * 2));
        }
    }

    /// The program is broken, and no record is to blame: these, and all that it was not given yet, go back as they were, and it is
    /// tried again after a rest, which is returned. Its jobs come again later, and say why.
    pub(super) async fn is_broken(&mut self, why: String, mut had: Vec<Attempt>) -> Duration {
        self.alone = 0;
        had.extend(self.ready.drain(..));
        had.extend(self.crew.jobs.take_all(false));
        let rest = self.crew.health.breaks();
        let app = &self.crew.app.name;
        let text = format!("{app} gets no records for a while: {why}");
        warn!(app = %app, "{text}; it is tried again by itself");
        self.crew.ctx.process.observer.tell(Event::Hindered(text));
        let (jobs, had): (Vec<_>, Vec<_>) =
            had.into_iter().partition(|attempt| attempt.delivery.kind == Kind::Job);
        jobs.into_iter().for_each(|job| later(job, &why));
        self.release(had, Some(why)).await;
        rest
    }

    fn is_proven(&self) -> bool {
        self.crew.health.is_proven()
    }

    fn fail_all(&self, attempts: Vec<Attempt>, failed: impl Fn() -> Failed) {
        attempts.into_iter().for_each(|attempt| self.fail(attempt, failed()));
    }

    /// Tells the ledger, and goes on meanwhile.
    fn fail(&self, attempt: Attempt, failed: Failed) {
        let busy = Busy::begin(&self.crew.busy);
        info!(app = %self.crew.app.name, delivery = attempt.delivery.id.0, "{} {}: {}", attempt.delivery.kind, attempt.delivery.id, failed.error);
        tokio::spawn(async move {
            attempt.settle(Err(failed), Duration::ZERO).await;
            drop(busy);
        });
    }
}
