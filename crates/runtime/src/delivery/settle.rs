//! How an attempt ends: the ledger is told, the original is seen to, people are told.

use super::{Attempt, Failed, Finished, Summary, import};
use crate::config::{BuiltIn, Runs};
use crate::engine::events::Event;
use crate::meter::{self, Ended, Volume};
use crate::traces::{self, SpanKind};
use handover_core::{Error, ErrorKind, Kind, Result, Status};
use handover_ledger::{Completion, Failure, Verdict};
use std::time::Duration;
use tracing::{error, info, warn};

/// What a note begins with where an importer passed over a file on purpose.
pub(super) const SKIPPED: &str = "skipped: ";

impl Attempt {
    /// Settles what came of the attempt. Nothing escapes: what cannot be said to the ledger is said in the log, and
    /// the lease's end brings the delivery back.
    pub(crate) async fn settle(self, outcome: Result<Finished, Failed>, took: Duration) {
        let (id, app) = (self.delivery.id, self.app.name.clone());
        let settled = match outcome {
            Ok(finished) => self.complete(finished, took).await,
            Err(failed) => self.fail(failed, took).await,
        };
        match settled {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::Stale => {
                self.take_back().await;
                warn!(app = %app, delivery = id.0, "late: {e}; this result is dropped");
                self.ctx.process.observer.tell(Event::Late { app, id });
            }
            Err(e) => {
                error!(app = %app, delivery = id.0, "cannot settle delivery {id}: {e}; it is tried again when its lease ends")
            }
        }
    }

    /// Takes back what was published for a delivery that was ended or taken over by somebody else.
    async fn take_back(&self) {
        for published in self.lease.take_published() {
            let shown = published.path.display().to_string();
            match super::blocking(move || published.take_back()).await {
                Ok(true) => info!(app = %self.app.name, "{shown} was taken back: nobody waits for it"),
                Ok(false) => {}
                Err(e) => warn!(app = %self.app.name, "{shown} cannot be taken back: {e}; remove it by hand"),
            }
        }
    }

    /// Gives the delivery back as it was, because nothing new is begun any more.
    pub(crate) async fn give_back(self) {
        let id = self.delivery.id;
        if let Err(e) = self.ctx.project.ledger.release(vec![self.held.clone()], None).await {
            warn!(app = %self.app.name, delivery = id.0, "cannot give delivery {id} back: {e}; its lease brings it back");
        }
    }

    async fn complete(&self, mut finished: Finished, took: Duration) -> Result<()> {
        finished.summary.took_ms = Some(millis(took));
        let summary = &finished.summary;
        let event = match summary.records {
            Some(records) => Event::Split {
                app: self.app.name.clone(),
                id: self.delivery.id,
                rows: summary.rows_in.unwrap_or(0),
                records,
                rejected: summary.rows_rejected.unwrap_or(0),
            },
            None => self.completed(summary),
        };
        let completion = Completion {
            held: self.held.clone(),
            result: finished.summary.to_value(),
            next: finished.next,
            checksum: finished.checksum,
        };
        self.lease.settling();
        self.ctx.project.ledger.complete(completion).await?;
        self.ended(Ended::Completed, &finished.summary, None);
        finished.summary.notes.iter().for_each(|note| self.say(note));
        if let Some(afterwards) = finished.afterwards {
            import::see_to_original(&self.app.name, afterwards).await;
        }
        self.ctx.process.observer.tell(event);
        Ok(())
    }

    /// What is told of a completion.
    pub(crate) fn completed(&self, summary: &Summary) -> Event {
        Event::Completed {
            app: self.app.name.clone(),
            id: self.delivery.id,
            rows_in: summary.rows_in,
            rows_out: summary.rows_out,
            rows_rejected: summary.rows_rejected,
            rows_filtered: summary.rows_filtered,
            bytes_out: summary.bytes_out,
            output: summary.outputs.first().cloned(),
            latency: self.latency(),
            skipped: self.imports() && summary.notes.iter().any(|note| note.starts_with(SKIPPED)),
        }
    }

    /// Says what an app noted. What an importer noted of a file that it let through is a warning.
    fn say(&self, note: &str) {
        let (app, id) = (&self.app.name, self.delivery.id);
        if note.starts_with(SKIPPED) || !self.imports() {
            return info!(app = %app, delivery = id.0, "{note}");
        }
        let file = self.file().unwrap_or_default();
        warn!(app = %app, delivery = id.0, "{file}: {note}");
        self.ctx
            .process
            .observer
            .tell(Event::Notice(format!("{file}: {note}; it went through as delivery {id}")));
    }

    fn imports(&self) -> bool {
        matches!(self.app.runs, Runs::BuiltIn(BuiltIn::Importer(_)))
    }

    fn latency(&self) -> Duration {
        meter::age(&self.delivery, self.ctx.project.clock.now())
    }

    /// The ledger knows how this attempt ended: it is counted, and its span is sent.
    pub(crate) fn ended(&self, ended: Ended, summary: &Summary, error: Option<&str>) {
        self.count(ended, summary);
        self.end_span(ended, summary, error);
    }

    /// Sends its span, and, at the end of a delivery with which a trace began, that of its whole life.
    fn end_span(&self, ended: Ended, summary: &Summary, error: Option<&str>) {
        let Some(span) = self.span.as_ref().filter(|span| span.context.sampled) else { return };
        let (tracer, now) = (&self.ctx.project.tracer, self.ctx.project.clock.now());
        let mut said = traces::about(&self.delivery);
        let numbers = [
            ("handover.rows_in", summary.rows_in),
            ("handover.rows_out", summary.rows_out),
            ("handover.rows_rejected", summary.rows_rejected),
            ("handover.bytes_out", summary.bytes_out),
        ];
        said.extend(numbers.into_iter().filter_map(|(name, number)| Some((name, number?.into()))));
        said.push(("handover.bytes", meter::bytes_of(&self.delivery).into()));
        said.push(("handover.outcome", ended.as_str().into()));
        said.extend(summary.code.map(|code| ("error.type", code.into())));
        let kind = if self.app.is_service() { SpanKind::Client } else { SpanKind::Internal };
        let error = error.map(str::to_owned);
        tracer.end(span.ended(self.app.name.to_string(), kind, now, said, error.clone()));
        if ended != Ended::Retried
            && let Some(whole) = span.whole(&self.delivery, now, error)
        {
            tracer.end(whole);
        }
    }

    /// Counts how this attempt ended. The rows of one that is made again are counted with the last.
    pub(crate) fn count(&self, ended: Ended, summary: &Summary) {
        let meter = &self.ctx.project.meter;
        if !meter.is_on() {
            return;
        }
        let latency = (ended == Ended::Completed).then(|| self.latency());
        let volume = match ended {
            Ended::Retried => Volume::default(),
            Ended::Completed | Ended::Failed => Volume {
                rows_in: summary.rows_in.unwrap_or(0),
                rows_out: summary.rows_out.unwrap_or(0),
                rows_rejected: summary.rows_rejected.unwrap_or(0),
                rows_filtered: summary.rows_filtered.unwrap_or(0),
                bytes: meter::bytes_of(&self.delivery),
            },
        };
        meter.ended(self.app.name.as_str(), self.delivery.kind, ended, latency, volume);
    }

    async fn fail(&self, mut failed: Failed, took: Duration) -> Result<()> {
        failed.summary.took_ms = Some(millis(took));
        if failed.error.kind() != ErrorKind::Stale
            && let Some(by) = self.lease.cancelled_by()
        {
            failed.error = Error::new(ErrorKind::Cancelled, format!("cancelled by {by}"));
            failed.last = true;
        }
        failed.summary.code = Some(failed.error.code());
        let error = &failed.error;
        if self.lease.is_lost() {
            return Err(Error::new(
                ErrorKind::Stale,
                "the lease was lost or the delivery was cancelled meanwhile",
            ));
        }
        match error.kind() {
            ErrorKind::Stale => return Err(failed.error),
            ErrorKind::Cancelled if !failed.last => {
                self.ctx.project.ledger.release(vec![self.held.clone()], None).await?;
                return Ok(());
            }
            ErrorKind::BadData => self.quarantine(&mut failed).await,
            kind if verdict(kind) == Verdict::Retry && self.never_got_in() => {
                self.quarantine(&mut failed).await
            }
            _ => {}
        }
        let verdict = if failed.last { Verdict::Final } else { verdict(failed.error.kind()) };
        let text = said(&failed.error);
        let failure = Failure {
            held: self.held.clone(),
            error: text.clone(),
            verdict,
            after: failed.after,
            result: Some(failed.summary.to_value()),
            // What another attempt will replace is no delivery yet.
            next: if self.is_last(verdict) { failed.next } else { Vec::new() },
        };
        self.lease.settling();
        let came_to = self.ctx.project.ledger.fail(failure).await?;
        self.ended(Ended::after(came_to.status), &failed.summary, Some(&text));
        tell_failure(self, failed.error.kind(), text, came_to.status, came_to.run_at);
        Ok(())
    }

    /// Whether no other attempt follows one that ends so.
    fn is_last(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Final => true,
            Verdict::Retry => self.delivery.attempts >= self.delivery.max_attempts,
            Verdict::Later => false,
        }
    }

    /// Whether this was the last attempt to import a file: nothing of it is in the data directory, so its reason is left
    /// there.
    fn never_got_in(&self) -> bool {
        self.imports() && self.delivery.attempts >= self.delivery.max_attempts
    }

    /// The file that the delivery is about, for people.
    fn file(&self) -> Option<String> {
        if self.delivery.kind == Kind::Record {
            return None;
        }
        let data = &self.delivery.data;
        ["original", "path"].iter().find_map(|key| data.get(key)?.as_str()).map(str::to_owned)
    }
}

/// Says how an attempt failed, in the log and to those who listen. `kind` is the error's.
pub(crate) fn tell_failure(
    attempt: &Attempt,
    kind: ErrorKind,
    text: String,
    status: Status,
    run_at: Option<jiff::Timestamp>,
) {
    let (app, id, nth) = (attempt.app.name.clone(), attempt.delivery.id, attempt.delivery.attempts);
    let observer = &attempt.ctx.process.observer;
    match (status, run_at) {
        (Status::Failed, _) => {
            error!(app = %app, delivery = id.0, attempt = nth, "delivery {id} failed: {text}");
            let quarantined = kind == ErrorKind::BadData && attempt.delivery.kind != Kind::Job;
            observer.tell(Event::Failed { app, id, file: attempt.file(), error: text, quarantined });
        }
        (_, run_at) => {
            let when = run_at.map(handover_core::clock::rfc3339).unwrap_or_default();
            warn!(app = %app, delivery = id.0, attempt = nth, retry_at = %when, "delivery {id} is tried again at {when}: {text}");
            observer.tell(Event::Retrying { app, id, error: text, run_at });
        }
    }
}

/// How an error of this kind goes on.
pub(crate) fn verdict(kind: ErrorKind) -> Verdict {
    match kind {
        ErrorKind::BadData => Verdict::Final,
        ErrorKind::NotYet => Verdict::Later,
        _ => Verdict::Retry,
    }
}

/// The error with its hint, as the ledger keeps it.
pub(crate) fn said(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
