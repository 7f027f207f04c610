//! One delivery, from claim to end.
//!
//! [`Attempt::work`] runs the app over the delivery's input and settles it: completed with what follows, tried again,
//! or failed, with a bad file in quarantine. Each kind of app is one module; what they share is here.
//!
//! Invariants: an output is published before its delivery completes; completion and the next deliveries are one
//! transaction; nothing is published or ended for a delivery whose lease was lost. On a crash the lease is rescued
//! and the app runs again into the same reserved names.

mod answered;
mod export;
pub(crate) mod gather;
mod import;
mod inline;
mod naming;
pub(crate) mod outputs;
pub mod payload;
mod program;
mod progress;
pub(crate) mod quarantine;
mod record;
mod records;
mod rows;
mod service;
mod settle;
pub(crate) mod slot;
mod source;
mod split;
mod untouched;

pub(crate) use inline::Inline;
pub(crate) use program::small;
pub(crate) use quarantine::QUARANTINE_SLOT;
pub(crate) use rows::{blocking, rows_of};
pub(crate) use settle::{said, tell_failure};

use crate::config::{App, BuiltIn, Mode, Output, Runs};
use crate::context::Context;
use crate::engine::Busy;
use crate::engine::held::Lease;
use crate::traces::Begun;
use handover_core::{Checksum, Delivery, Error, Kind, NewDelivery, Result, Status};
use handover_ledger::{Held, Queue, Reservation, Reserve};
use serde::Serialize;
use serde_json::Value;
use slot::Slot;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// One attempt at one delivery.
pub(crate) struct Attempt {
    pub(crate) ctx: Arc<Context>,
    pub(crate) app: Arc<App>,
    pub(crate) delivery: Delivery,
    pub(crate) held: Held,
    /// The lease as this process keeps it: renewed while this lives, and told when it is lost.
    pub(crate) lease: Lease,
    /// The name of its output, where that was reserved together with others'.
    pub(crate) ahead: Mutex<Option<Reservation>>,
    /// What is taken up by it for as long as it lives, where a stream program works on it.
    pub(crate) taken_up: Option<TakenUp>,
    /// Its span, where traces are sent.
    pub(crate) span: Option<Begun>,
}

/// What a job takes up while it waits for its stream program, and is with it.
pub(crate) struct TakenUp {
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) slot: Slot,
    pub(crate) _busy: Busy,
    /// Since when it is with the program.
    pub(crate) since: Option<std::time::Instant>,
}

/// What came of an attempt that went well.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// What the ledger keeps: rows, outputs, notes.
    pub(crate) summary: Summary,
    /// What follows.
    pub(crate) next: Vec<NewDelivery>,
    /// The content of an arrival.
    pub(crate) checksum: Option<Checksum>,
    /// The original to be moved or deleted once the completion is on disk.
    pub(crate) afterwards: Option<import::Afterwards>,
}

/// What the ledger keeps of an attempt, as JSON in `result`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_rejected: Option<u64>,
    /// Rows that the configuration leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_filtered: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<String>,
    /// What was made for whoever submitted the job, where it is kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Inline>,
    /// The rows that were rejected, where they are kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejected: Option<Inline>,
    /// The report, where it is kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<Value>,
    /// How it failed, as programs read it: [`handover_core::ErrorKind::code`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stderr: String,
    /// The beginning of what a service said that did not do it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) answer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_out: Option<u64>,
    /// Into how many records a file was split, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<u64>,
    /// What was made of a record that nobody else gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) data: Vec<Value>,
    /// The original of an import had gone, or had become another, before it was read ([`handover_ledger::NOT_TAKEN`]).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) not_taken: bool,
}

impl Summary {
    fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// An attempt that failed: the error decides how it goes on; what it published nevertheless is handed over too.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) summary: Summary,
    pub(crate) next: Vec<NewDelivery>,
    /// Whether no other attempt is to follow, whatever the error's kind.
    pub(crate) last: bool,
    /// Where one follows, not sooner than after this.
    pub(crate) after: Option<Duration>,
}

impl From<Box<Failed>> for Failed {
    fn from(failed: Box<Failed>) -> Self {
        *failed
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, summary: Summary::default(), next: Vec::new(), last: false, after: None }
    }
}

/// The name that the output of this delivery will have, to be reserved together with others'; none where only the attempt
/// can tell.
pub(crate) fn name_ahead(app: &App, delivery: &Delivery) -> Option<Reserve> {
    if delivery.kind != Kind::File {
        return None;
    }
    let naming = match &app.runs {
        Runs::BuiltIn(BuiltIn::Validator(_) | BuiltIn::Enricher(_) | BuiltIn::Transformer(_)) => {
            rows::naming(app, &payload::name_of(&delivery.data)?, String::new())
        }
        Runs::Program(program) if program.output != Output::None => {
            program::naming(app, &payload::name_of(&delivery.data)?, String::new())
        }
        Runs::Program(_) | Runs::BuiltIn(BuiltIn::Importer(_) | BuiltIn::Exporter(_)) | Runs::Service(_) => {
            return None;
        }
    };
    Some(naming.reserve(delivery.id, 0))
}

impl Attempt {
    /// An attempt at what was just claimed; none where the ledger gave it without a lease.
    pub(crate) fn begin(
        ctx: &Arc<Context>,
        app: &Arc<App>,
        queue: Queue,
        delivery: Delivery,
        ahead: Option<Reservation>,
    ) -> Option<Self> {
        let Some(token) = delivery.lease_token.clone() else {
            tracing::error!(
                delivery = delivery.id.0,
                "the ledger gave delivery {} without a lease",
                delivery.id
            );
            return None;
        };
        let held = Held { queue, id: delivery.id, token };
        let lease = ctx.process.held.keep(&held);
        let is_stream = app.program().is_some_and(|program| program.mode == Mode::Stream);
        let project = &ctx.project;
        let span = project.tracer.attempt(&delivery, is_stream, project.clock.now());
        Some(Self {
            ctx: ctx.clone(),
            app: app.clone(),
            delivery,
            held,
            lease,
            ahead: Mutex::new(ahead),
            taken_up: None,
            span,
        })
    }

    /// The trace context for what follows from it: its own, or the one that the delivery came with.
    pub(crate) fn traceparent(&self) -> Option<String> {
        match &self.span {
            Some(span) => Some(span.context.to_string()),
            None => self.delivery.trace.clone(),
        }
    }

    /// Whether somebody submitted it as a job and waits for its result.
    pub(crate) fn is_submitted(&self) -> bool {
        self.delivery.kind == Kind::Job && self.delivery.data.get("submitted") == Some(&Value::Bool(true))
    }

    /// Runs the app over the delivery and settles it.
    pub(crate) async fn work(self, mut slot: Slot) {
        let outcome = self.run(&mut slot).await;
        slot.free();
        let took = slot.took().unwrap_or_default();
        self.settle(outcome, took).await;
    }

    async fn run(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        match &self.app.runs {
            Runs::BuiltIn(BuiltIn::Importer(_)) => self.import(slot).await,
            Runs::BuiltIn(BuiltIn::Exporter(_)) => self.export(slot).await,
            Runs::BuiltIn(BuiltIn::Validator(_) | BuiltIn::Enricher(_) | BuiltIn::Transformer(_)) => {
                self.rows(slot).await
            }
            Runs::Program(program) if self.delivery.kind == Kind::Record => self.record(program, slot).await,
            Runs::Program(_) if self.is_to_be_split() => self.split(slot).await,
            Runs::Program(program) if program.mode == Mode::Stream => {
                Err(Error::internal("a job of a stream program was not given to it").into())
            }
            Runs::Program(program) => self.program(program, slot).await,
            Runs::Service(_) => self.service(slot).await,
        }
    }
}

/// An arrival that was refused as it stands: its delivery was born failed, and its reason goes into `errors/`.
pub(crate) struct Refusing {
    pub(crate) ctx: Arc<Context>,
    pub(crate) app: Arc<App>,
    pub(crate) id: handover_core::DeliveryId,
    pub(crate) error: Error,
}

impl Refusing {
    /// Publishes the reason and hands it to the ledger; that this fails is said in the log alone.
    pub(crate) async fn leave_reason(self) {
        if let Err(e) = self.try_to().await {
            tracing::error!(
                delivery = self.id.0,
                "cannot leave the reason for delivery {} in errors/: {e}",
                self.id
            );
        }
    }

    async fn try_to(&self) -> Result<()> {
        let ledger = &self.ctx.project.ledger;
        let Some(delivery) = ledger.get(self.id).await? else { return Ok(()) };
        let right = outputs::Right::BornEnded;
        let maker = outputs::Maker {
            ctx: &self.ctx,
            by: &self.app.name,
            delivery: &delivery,
            trace: delivery.trace.clone(),
            right,
        };
        if let Some(mut made) = maker.put_into_quarantine(&self.error).await? {
            made.deliveries.iter_mut().for_each(|new| new.parent_id = Some(self.id));
            ledger.push(&self.ctx.process.holder.0, made.deliveries).await?;
        }
        Ok(())
    }
}

/// Sees to the original of an arrival that is known already, where its import was completed but a crash, or an
/// error, left the original where it was. Nothing becomes of one that was never read: only what was imported has a
/// checksum in the ledger.
pub(crate) async fn see_to_original_of(
    ctx: &Context,
    app: &handover_core::AppName,
    id: handover_core::DeliveryId,
    candidate: handover_file::arrive::Candidate,
    disposal: handover_file::arrive::Disposal,
) {
    if disposal == handover_file::arrive::Disposal::Leave {
        return;
    }
    let ledger = &ctx.project.ledger;
    let completed = matches!(ledger.get(id).await, Ok(Some(d)) if matches!(d.status, Status::Completed | Status::Archived));
    let read = ledger.arrivals_at(&candidate.path_text()).await.is_ok_and(|arrivals| {
        arrivals.iter().any(|arrival| arrival.delivery_id == id && arrival.checksum.is_some())
    });
    if completed && read {
        import::see_to_original(app, import::Afterwards { candidate, disposal }).await;
    }
}

/// A short text in a temporary file, for a program's stdin.
pub(crate) async fn small_draft(
    data: handover_file::layout::DataDir,
    holder: handover_core::HolderId,
    text: String,
) -> Result<handover_file::draft::Draft> {
    rows::blocking(move || program::small(data.draft(&holder, "json")?, text.as_bytes())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_hears_of_what_was_not_taken_by_its_own_word() {
        let taken = Summary::default().to_value();
        assert_eq!(taken.get(handover_ledger::NOT_TAKEN), None);
        let not = Summary { not_taken: true, ..Summary::default() }.to_value();
        assert_eq!(not[handover_ledger::NOT_TAKEN], true);
    }
}
