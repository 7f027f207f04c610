//! Quarantine: a bad file is copied into `errors/` with the reason in its manifest; where it cannot or need not be
//! copied, the reason stands alone. The original checkpoint stays where it is.

use super::naming::{Naming, Place};
use super::outputs::{Maker, Right, Says};
use super::payload::{ArrivalPayload, FilePayload};
use super::records::Origin;
use super::rows::blocking;
use super::{Attempt, Failed};
use crate::context::Context;
use handover_core::{AppName, Delivery, Error, FileName, Kind, Result, TypeName, path_text};
use handover_file::draft::Draft;
use handover_file::quarantine::{QUARANTINED_SUFFIX, REASON_KEY, Reason, keep};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::error;

/// A file larger than this is not copied into quarantine: its reason is.
const KEEP_MAX_BYTES: u64 = 1 << 30;

/// Which output of its delivery a quarantined file, or its reason, is.
pub(crate) const QUARANTINE_SLOT: &str = "quarantine";

/// What is bad: where it is and what it would be called.
struct Bad {
    path: PathBuf,
    type_name: TypeName,
    date: jiff::civil::Date,
    sequence: Option<u32>,
    ext: String,
    flows: Vec<String>,
    /// Where it is no file yet, as a record: what it was written into.
    draft: Option<Draft>,
}

impl Attempt {
    /// Puts the input into quarantine; that this fails is said and changes nothing else.
    pub(super) async fn quarantine(&self, failed: &mut Failed) {
        match self.maker().put_into_quarantine(&failed.error).await {
            Ok(Some(made)) => {
                failed.summary.outputs.push(made.payload.path);
                failed.next.extend(made.deliveries);
            }
            Ok(None) => {}
            Err(e) => {
                error!(app = %self.app.name, delivery = self.delivery.id.0, "cannot put the input of delivery {} into quarantine: {e}", self.delivery.id);
                failed.summary.notes.push(format!("it could not be put into quarantine: {e}"));
            }
        }
    }
}

impl Maker<'_> {
    /// Publishes the bad input, or its reason, into `errors/`. Nothing for a job, which has no input.
    pub(crate) async fn put_into_quarantine(&self, why: &Error) -> Result<Option<super::outputs::Output>> {
        match self.bad_input().await? {
            Some(bad) => self.keep_bad(bad, why).await.map(Some),
            None => Ok(None),
        }
    }

    async fn keep_bad(&self, bad: Bad, why: &Error) -> Result<super::outputs::Output> {
        let reason = Reason::new(why, self.by.as_str(), self.ctx.project.clock.now());
        let mut reason = if bad.draft.is_some() { reason } else { reason.of_file(&bad.path) };
        let (data, holder, path, ext) =
            (self.ctx.project.data.clone(), self.ctx.process.holder.clone(), bad.path, bad.ext);
        let (written, reason) = blocking(move || {
            let kept = keep(&data, &holder, &path, &ext, super::rows_of(&ext), &mut reason, KEEP_MAX_BYTES)?;
            Ok((kept.into_written(), reason))
        })
        .await?;
        let naming = Naming {
            slot: QUARANTINE_SLOT.into(),
            place: Place::Data("errors".into()),
            app: self.by.clone(),
            type_name: quarantined(&bad.type_name)?,
            date: bad.date,
            wanted: bad.sequence.or(Some(1)),
            ext: written.ext().to_owned(),
            stem: None,
        };
        let named = self.reserve(naming).await?;
        let mut says = Says { flows: bad.flows, ..Says::default() };
        says.more.insert(REASON_KEY.into(), serde_json::to_value(&reason).unwrap_or_default());
        self.publish(named, written, says).await
    }

    async fn bad_input(&self) -> Result<Option<Bad>> {
        if self.delivery.kind == Kind::Record {
            return self.bad_record().await.map(Some);
        }
        if let Ok(arrival) = ArrivalPayload::of(self.delivery) {
            return Ok(Some(Bad {
                path: path_text::from_text(&arrival.original),
                type_name: arrival.type_name,
                date: arrival.date,
                sequence: None,
                ext: arrival.ext,
                flows: arrival.flows,
                draft: None,
            }));
        }
        let Some(payload) = FilePayload::in_delivery(self.delivery) else { return Ok(None) };
        let data = &self.ctx.project.data;
        // What lies in the archive stays there; its reason stands alone.
        let path = match payload.outside() {
            Some(path) => {
                self.ctx.may_read(&payload).await?;
                path
            }
            None => data.absolute(&payload.path)?,
        };
        let name: Option<FileName> = payload.name().ok();
        Ok(Some(Bad {
            path,
            type_name: name.as_ref().map_or_else(|| TypeName::new("unknown"), |n| Ok(n.type_name.clone()))?,
            date: name.as_ref().map_or_else(|| self.ctx.today(), |n| n.date),
            sequence: name.as_ref().map(|n| n.sequence),
            ext: name.map_or_else(|| "dat".to_owned(), |n| n.ext),
            flows: payload.manifest.flows,
            draft: None,
        }))
    }

    /// A record as a file of one line.
    async fn bad_record(&self) -> Result<Bad> {
        let app = self.ctx.config().app(self.by.as_str()).cloned();
        let Origin { type_name, date } = self.ctx.origin(app.as_deref(), self.delivery).await?;
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let line = format!("{}\n", self.delivery.data.line());
        let draft = blocking(move || super::small(data.draft(&holder, "ndjson")?, line.as_bytes())).await?;
        Ok(Bad {
            path: draft.path().to_owned(),
            type_name,
            date,
            sequence: None,
            ext: "ndjson".to_owned(),
            flows: self.ctx.flows_of(self.by, self.delivery),
            draft: Some(draft),
        })
    }
}

/// The type of a quarantined file, cut where the two together are too long for a name.
fn quarantined(type_name: &TypeName) -> Result<TypeName> {
    let most = handover_core::limits::NAME_MAX_BYTES - QUARANTINED_SUFFIX.len();
    let short = type_name.as_str().get(..most).unwrap_or(type_name.as_str()).trim_end_matches('-');
    TypeName::new(format!("{short}{QUARANTINED_SUFFIX}"))
}

/// Leaves the reason for a refused manifest of the data directory in `errors/`; the manifest is kept with it.
pub(crate) async fn refuse_manifest(
    ctx: &Arc<Context>,
    by: &AppName,
    delivery: &Delivery,
    path: &Path,
    why: &Error,
) -> Result<()> {
    let maker = Maker { ctx, by, delivery, trace: delivery.trace.clone(), right: Right::BornEnded };
    let bad = Bad {
        path: path.to_owned(),
        type_name: TypeName::new("manifest")?,
        date: ctx.today(),
        sequence: None,
        ext: "json".to_owned(),
        flows: Vec::new(),
        draft: None,
    };
    let mut made = maker.keep_bad(bad, why).await?;
    made.deliveries.iter_mut().for_each(|new| new.parent_id = Some(delivery.id));
    ctx.project.ledger.push(&ctx.process.holder.0, made.deliveries).await.map(|_| ())
}
