//! Arrivals: made from what was judged, committed to the ledger in bulk, and what follows from the answer.

use super::Importing;
use crate::delivery::payload::ArrivalPayload;
use crate::delivery::{Refusing, see_to_original_of};
use crate::engine::events::Event;
use handover_core::{DeliveryId, Error, ErrorKind, Kind, Manifest, NewDelivery, Result, fault, path_text};
use handover_file::arrive::{self, Candidate, Disposal};
use handover_ledger::{ArrivalKey, Arrived, NewArrival};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

/// What a file that may not be read is known by when it has been refused: its state with another time, so that its
/// state itself stays unknown, and arrives when the right to read it comes, which changes nothing else of it.
pub(crate) fn known_unreadable(candidate: &Candidate) -> Candidate {
    // A millisecond, since some times are compared no finer.
    let mtime = candidate.mtime.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(Timestamp::MIN);
    Candidate { mtime, ..candidate.clone() }
}

/// An arrival on its way into the ledger.
pub(super) struct Pending {
    new: NewArrival,
    candidate: Candidate,
    /// The state that it is known by.
    known_as: Candidate,
    refused: Option<Error>,
    disposal: Disposal,
}

impl Importing {
    pub(super) fn arrival(
        &self,
        index: usize,
        candidate: Candidate,
        proof: String,
        manifest: Option<Manifest>,
        refused: Option<Error>,
    ) -> Pending {
        let source = &self.sources[index];
        let unreadable = refused.as_ref().is_some_and(|error| error.kind() == ErrorKind::Denied);
        let known_as = if unreadable { known_unreadable(&candidate) } else { candidate.clone() };
        let payload = ArrivalPayload {
            original: path_text::to_text(&candidate.path),
            type_name: source.config.type_name.clone(),
            date: source.date(&candidate, &self.ctx.config().timezone, self.ctx.project.clock.now()),
            ext: source.config.ext.clone().unwrap_or_else(|| arrive::ext_of(&candidate.path)),
            source: index,
            proof: proof.clone(),
            manifest,
            flows: self.ctx.routes.entry_flows(&self.app.name).to_vec(),
            candidate: candidate.clone(),
        };
        let app = self.app.name.to_string();
        let new = NewDelivery::new(
            Kind::File,
            "outside",
            Some(app.clone()),
            serde_json::to_value(&payload).unwrap_or_default(),
        );
        let key = ArrivalKey {
            app,
            path: payload.original,
            device: candidate.device,
            inode: candidate.inode,
            size: candidate.size,
            mtime: known_as.mtime,
        };
        let delivery = NewDelivery {
            flow: payload.flows.first().cloned(),
            max_attempts: self.app.max_attempts(),
            ..new
        };
        let said = refused.as_ref().map(crate::delivery::said);
        Pending {
            new: NewArrival { key, proof, delivery, refused: said },
            candidate,
            known_as,
            refused,
            disposal: source.disposal(),
        }
    }

    pub(super) async fn commit(&mut self, pending: Vec<Pending>) -> Result<()> {
        if pending.is_empty() {
            return Ok(());
        }
        let arrivals = pending.iter().map(|p| p.new.clone()).collect();
        let holder = self.ctx.process.holder.clone();
        let answers = self.ctx.project.ledger.arrive(&holder.0, arrivals).await?;
        for (pending, answer) in pending.into_iter().zip(answers) {
            self.known.insert(&pending.known_as);
            match answer {
                Arrived::New(id) => self.arrived(id, pending).await,
                Arrived::Known(id) => {
                    see_to_original_of(&self.ctx, &self.app.name, id, pending.candidate, pending.disposal)
                        .await
                }
            }
        }
        Ok(())
    }

    pub(super) async fn arrived(&self, id: DeliveryId, pending: Pending) {
        let (app, original) = (self.app.name.clone(), pending.new.key.path);
        let Some(error) = pending.refused else {
            info!(app = %app, delivery = id.0, proof = pending.new.proof, "{original} arrived as delivery {id}");
            self.ctx.process.observer.tell(Event::Arrived { app, id, original });
            return;
        };
        let text = crate::delivery::said(&error);
        warn!(app = %app, delivery = id.0, "{original} is refused: {text}");
        if let Err(e) = fault::point("refusal.committed") {
            return warn!(app = %app, delivery = id.0, "the reason for {original} is not left in errors/: {e}");
        }
        let refusing = Refusing { ctx: self.ctx.clone(), app: self.app.clone(), id, error };
        refusing.leave_reason().await;
        self.ctx.process.observer.tell(Event::Refused { app, id, original, error: text });
    }
}
