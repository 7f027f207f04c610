//! Importing: the original is read whole into a draft, compared with what came before, and published; what is to
//! become of the original is done when the completion is on disk.
//!
//! What was refused as it stood, or failed with a manifest beside it, is judged again when it is tried again: its
//! manifest, or the rights on it, may have been put right since.

use super::naming::{Naming, OUT, Place};
use super::outputs::Says;
use super::payload::{ArrivalPayload, FilePayload};
use super::rows::{blocking, blocking_for, rows_as};
use super::{Attempt, Failed, Finished, Slot, Summary};
use crate::built::Source;
use handover_apps::importer::Duplicates;
use handover_core::{AppName, Checksum, Error, ErrorKind, Result, path_text};
use handover_file::arrive::{
    Candidate, Disposal, Inspector, Outcome, Proof, Readiness, TakeLimits, settle_original, take,
};
use handover_file::draft::Written;
use handover_file::read;
use handover_ledger::{Arrival, Content};
use serde_json::json;
use std::io;
use std::time::{Duration, Instant};
use tracing::warn;

/// So long a file that is judged again is left alone at the most.
const JUDGE_AGAIN_MAX: Duration = Duration::from_secs(10);

/// So long the end of another delivery with the same content is waited for; then this one is tried again later.
const UNDECIDED_MAX: Duration = Duration::from_secs(10);
/// The longest pause between two questions.
const UNDECIDED_PAUSE_MAX: Duration = Duration::from_millis(200);

/// What is still to be done with an original.
#[derive(Debug, Clone)]
pub(crate) struct Afterwards {
    pub(crate) candidate: Candidate,
    pub(crate) disposal: Disposal,
}

/// What an earlier arrival with the same content means for this one.
enum Earlier {
    None,
    Skip(String),
    Warn(String),
    Reject(Error),
}

impl Attempt {
    pub(super) async fn import(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let mut arrival = ArrivalPayload::of(&self.delivery)?;
        let sources = self.ctx.built.importers.get(&self.app.name).cloned().unwrap_or_default();
        let source = sources.get(arrival.source).or_else(|| sources.first());
        let source = source.ok_or_else(|| Error::internal("an importer without a source"))?;
        let naming = Naming {
            slot: OUT.into(),
            place: Place::Data(self.app.folder.clone()),
            app: self.app.name.clone(),
            type_name: arrival.type_name.clone(),
            date: arrival.date,
            wanted: Some(1),
            ext: arrival.ext.clone(),
            stem: None,
        };
        let mended = arrival.manifest.is_some() && self.delivery.last_error.is_some();
        if (arrival.proof.is_empty() || mended) && self.delivery.replay_of.is_none() {
            match self.judge_again(&arrival.candidate, source).await {
                Ok((proof, manifest)) => (arrival.proof, arrival.manifest) = (proof.to_string(), manifest),
                Err(e) => return Ok(self.superseded(&arrival.candidate, e)?),
            }
        }
        slot.begin().await?;
        let written = match self.read_original(&arrival, source).await {
            Ok(written) => written,
            Err(e) => return Ok(self.superseded(&arrival.candidate, e)?),
        };
        slot.free();
        let mut summary = Summary::default();
        let checksum = written.checksum;
        let afterwards = self
            .delivery
            .replay_of
            .is_none()
            .then(|| Afterwards { candidate: arrival.candidate.clone(), disposal: source.disposal() });
        match self.compare(&arrival, source, &written).await? {
            Earlier::None => {}
            Earlier::Warn(note) => summary.notes.push(note),
            Earlier::Reject(error) => return Err(error.into()),
            Earlier::Skip(note) => {
                summary.notes.push(note);
                return Ok(Finished { summary, checksum: Some(checksum), afterwards, ..Finished::default() });
            }
        }
        let named = self.reserve(naming).await?;
        let hops = self.ctx.routes.next(&self.app.name, &arrival.flows);
        let mut says = Says { flows: super::rows::flows_of(&hops, &arrival.flows), hops, ..Says::default() };
        says.more.insert("original".into(), json!({
            "path": arrival.original, "size": arrival.candidate.size, "modified_at": arrival.candidate.mtime, "proof": arrival.proof,
        }));
        let made = self.publish(named, written, says).await?;
        summary.rows_in = made.payload.manifest.row_count;
        summary.rows_out = made.payload.manifest.row_count;
        summary.bytes_out = Some(made.payload.manifest.file_size);
        summary.outputs.push(made.payload.path);
        Ok(Finished { summary, next: made.deliveries, checksum: Some(checksum), afterwards })
    }

    /// Judges a file once more that was refused as it stood. One that has to be left alone for a while gets that while.
    async fn judge_again(
        &self,
        candidate: &Candidate,
        source: &Source,
    ) -> Result<(Proof, Option<handover_core::Manifest>)> {
        let mut inspector = Inspector::new();
        let mut waited = false;
        loop {
            let now = self.ctx.project.clock.now();
            match inspector.readiness(candidate, source.config.settle, None, now) {
                Readiness::Ready { proof, manifest } => return Ok((proof, manifest.map(|m| *m))),
                Readiness::Refused(error) => return Err(error),
                Readiness::Waiting { until: Some(until), .. } if !waited => {
                    let pause = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                    tokio::time::sleep(pause.min(JUDGE_AGAIN_MAX)).await;
                    waited = true;
                }
                Readiness::Waiting { reason, .. } => {
                    let said = format!("the file is not complete: it {reason}");
                    return Err(Error::new(ErrorKind::NotYet, said).on(candidate.path_text()));
                }
            }
        }
    }

    /// Reads the original into a draft; a replay reads what was imported then.
    async fn read_original(&self, arrival: &ArrivalPayload, source: &Source) -> Result<Written> {
        let retained = match self.delivery.replay_of {
            Some(_) => self.imported_before().await?,
            None => None,
        };
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let (candidate, ext, max_bytes) =
            (arrival.candidate.clone(), arrival.ext.clone(), source.config.max_size);
        let (manifest, original) = (arrival.manifest.clone(), arrival.original.clone());
        let counter = rows_as(&source.config.input, &arrival.ext);
        blocking_for(arrival.candidate.size, move || {
            let mut draft = data.draft(&holder, &ext)?.counting(counter);
            match retained {
                Some(payload) => {
                    let retained = read::retained(&data, &payload.path)?;
                    io::copy(&mut retained.open()?, &mut draft)
                        .map_err(|e| Error::io("read", &payload.path, e))?;
                    let again = draft.finish()?;
                    if again.checksum != payload.manifest.checksum {
                        return Err(Error::bad_data(
                            "the file that was imported then has been changed since",
                        )
                        .on(&payload.path)
                        .hint(
                            "put the right content back, or import the original again under another name",
                        ));
                    }
                    return Ok(again);
                }
                None => {
                    let limits = TakeLimits { max_bytes, manifest: manifest.as_ref() };
                    take(&candidate, &limits, &mut draft)?;
                }
            }
            let written = draft.finish()?;
            if written.file_size == 0 {
                return Err(Error::bad_data("the file is empty")
                    .on(&original)
                    .hint("a table needs at least its header; ask its source for the file again"));
            }
            Ok(written)
        })
        .await
    }

    /// The file that the replayed import, or the one which that replayed, made.
    async fn imported_before(&self) -> Result<Option<FilePayload>> {
        let ledger = &self.ctx.project.ledger;
        let mut old = self.delivery.replay_of;
        while let Some(id) = old {
            let names = ledger.names_of(id).await?;
            if let Some(row) = names.iter().find(|row| row.slot == "out")
                && let Some(made) = ledger.get(row.file_id).await?
            {
                return FilePayload::of(&made).map(Some);
            }
            old = ledger.get(id).await?.and_then(|d| d.replay_of);
        }
        Ok(None)
    }

    /// Compares the content with what this importer has brought in before.
    async fn compare(&self, arrival: &ArrivalPayload, source: &Source, written: &Written) -> Result<Earlier> {
        if self.delivery.replay_of.is_some() {
            return Ok(Earlier::None);
        }
        let same = match source.config.duplicates {
            Duplicates::Warn => {
                let ledger = &self.ctx.project.ledger;
                ledger.same_content(self.app.name.as_str(), written.checksum, self.delivery.id).await?
            }
            Duplicates::Skip | Duplicates::Reject => self.take_content(written.checksum).await?,
        };
        let Some(first) = same.first() else { return Ok(Earlier::None) };
        if same.iter().any(|a| a.key.path == arrival.original) {
            let latest = self.latest_at(&arrival.original).await?;
            let text = written.checksum.to_string();
            if let Some(latest) = latest.filter(|a| a.checksum.as_deref() == Some(&text)) {
                return Ok(Earlier::Skip(format!(
                    "skipped: the same name with the same content was imported before, as delivery {}",
                    latest.delivery_id
                )));
            }
            return Ok(Earlier::Warn(format!(
                "this name had the same content before, in delivery {}, and another since",
                first.delivery_id
            )));
        }
        let note = format!(
            "the same content was imported before under another name: {} (delivery {})",
            first.key.path, first.delivery_id
        );
        Ok(match source.config.duplicates {
            Duplicates::Warn => Earlier::Warn(note),
            Duplicates::Skip => Earlier::Skip(format!("skipped: {note}")),
            Duplicates::Reject => Earlier::Reject(
                Error::bad_data(note)
                    .hint("`duplicates: warn` lets it through, `duplicates: skip` passes over it in silence"),
            ),
        })
    }

    /// Takes the content for this delivery; or those that brought it in before. While another delivery has it, in this
    /// process or another, that one's end is waited for.
    async fn take_content(&self, checksum: Checksum) -> Result<Vec<Arrival>> {
        let (ledger, app) = (&self.ctx.project.ledger, self.app.name.as_str());
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            let id = match ledger.take_content(&self.held, app, checksum).await? {
                Content::Ours => return Ok(Vec::new()),
                Content::Imported(by) => return Ok(by),
                Content::Undecided(id) => id,
            };
            if began.elapsed() > UNDECIDED_MAX || self.lease.is_stopped() {
                let message = format!("delivery {id} has the same content and has not ended yet");
                return Err(Error::new(ErrorKind::NotYet, message)
                    .hint("whether this one is a duplicate is known when that one ends"));
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(UNDECIDED_PAUSE_MAX);
        }
    }

    /// The last state of this original, before this one, whose content is known.
    async fn latest_at(&self, original: &str) -> Result<Option<Arrival>> {
        let seen = self.ctx.project.ledger.arrivals_at(original).await?;
        Ok(seen.into_iter().find(|a| {
            a.key.app == self.app.name.as_str() && a.delivery_id != self.delivery.id && a.checksum.is_some()
        }))
    }

    /// What arrived is no more: it was changed since, and then what it is now arrives by itself; or it has gone, and
    /// trying again does not bring it back. Should it come back as it was, it arrives anew. Any other error stays what
    /// it is.
    fn superseded(&self, candidate: &Candidate, error: Error) -> Result<Finished, Box<Failed>> {
        let there = std::fs::symlink_metadata(&candidate.path);
        let mut summary = Summary { not_taken: true, ..Summary::default() };
        match (error.kind(), there) {
            (ErrorKind::NotYet, Ok(there)) if !candidate.is_still(&there) => {
                self.ctx.process.untaken.note(&self.app.name, &candidate.path);
                summary.notes.push(format!("skipped: {error}; what it is now arrives by itself"));
                Ok(Finished { summary, ..Finished::default() })
            }
            (ErrorKind::NotFound, Err(e))
                if e.kind() == io::ErrorKind::NotFound
                    && candidate.path.parent().is_some_and(|p| p.is_dir()) =>
            {
                self.ctx.process.untaken.note(&self.app.name, &candidate.path);
                let error = error.with_kind(ErrorKind::BadData);
                Err(Box::new(Failed { summary, ..Failed::from(error) }))
            }
            _ => Err(Box::new(error.into())),
        }
    }
}

/// Does with the original what is to become of it. What fails is said, and done at the next scan that sees it.
pub(crate) async fn see_to_original(app: &AppName, afterwards: Afterwards) {
    let Afterwards { candidate, disposal } = afterwards;
    if disposal == Disposal::Leave {
        return;
    }
    let shown = path_text::to_text(&candidate.path);
    match blocking(move || settle_original(&candidate, &disposal)).await {
        Ok(Outcome::Left(Some(why))) => warn!(app = %app, "the original {shown} stays: {why}"),
        Ok(_) => {}
        Err(e) => {
            warn!(app = %app, "the original {shown} could not be seen to: {e}; it is tried again at the next scan")
        }
    }
}
