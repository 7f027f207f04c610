//! The built-in apps that work on rows: validator and enricher. They run in this process, off the async threads.
//!
//! Valid rows go to the output, rejected rows to `errors/` with their reasons, and the report to `reports/`. Whether
//! rows in = rows out + rejected is checked by the app itself.

use super::outputs::{Place, Says, naming_like};
use super::payload::FilePayload;
use super::{Attempt, Failed, Finished, Slot, Summary};
use handover_apps::{AppIo, Outcome, RowApp};
use handover_core::{Error, ErrorKind, FileName, HolderId, Result, fault};
use handover_file::draft::{Draft, Written};
use handover_file::layout::DataDir;
use handover_file::read::{self, RetainedPath};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

/// What a run of a row app left.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) output: Written,
    pub(super) rejected: Option<Written>,
}

impl Attempt {
    pub(super) async fn rows(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let payload = FilePayload::of(&self.delivery)?;
        let name = payload.name()?;
        let app = self.row_app()?;
        let ext = self.app.ext.clone().unwrap_or_else(|| app.output_ext(&name.ext));
        let place = Place::Data(self.app.folder.clone());
        let named = self.reserve(naming_like(&name, "out", place, &self.app.name, ext.clone())).await?;
        slot.begin().await?;
        let ran = self.run_rows(app, payload.clone(), ext, None).await?;
        slot.free();
        self.finish_rows(&payload, &name, named, ran).await
    }

    pub(super) fn row_app(&self) -> Result<Arc<dyn RowApp>> {
        self.ctx
            .built
            .row_apps
            .get(&self.app.name)
            .cloned()
            .ok_or_else(|| Error::internal(format!("app {} was not made", self.app.name)))
    }

    /// Runs the app on a blocking thread: input verified first, output and rejects into drafts.
    /// With `beside`, the output's draft lies in that folder.
    pub(super) async fn run_rows(
        &self,
        app: Arc<dyn RowApp>,
        payload: FilePayload,
        ext: String,
        beside: Option<PathBuf>,
    ) -> Result<Ran> {
        let data = self.ctx.project.data.clone();
        let holder = self.ctx.process.holder.clone();
        let lease = self.lease.clone();
        let timeout = self.app.timeout;
        blocking(move || {
            let input = checked_input(&data, &holder, &payload)?;
            fault::point("program.before_start")?;
            let mut input =
                std::fs::File::open(input.path()).map_err(|e| Error::io("open", &payload.path, e))?;
            let mut output = match &beside {
                Some(folder) => Draft::beside(folder, &holder, &ext)?,
                None => data.draft(&holder, &ext)?,
            };
            let mut rejected = Lazy { make: || data.draft(&holder, "csv"), draft: None };
            let began = std::time::Instant::now();
            let cancelled = || lease.is_stopped() || began.elapsed() > timeout;
            let io = AppIo {
                input: &mut input,
                output: &mut output,
                rejected: &mut rejected,
                progress: None,
                cancelled: &cancelled,
            };
            let outcome = run_guarded(app.as_ref(), io).map_err(|e| match e.kind() {
                ErrorKind::Cancelled if began.elapsed() > timeout => Error::new(
                    ErrorKind::Program,
                    format!("stopped: it ran longer than its timeout of {timeout:?}"),
                ),
                _ => e,
            })?;
            fault::point("program.ended")?;
            Ok(Ran {
                outcome,
                output: output.finish()?,
                rejected: rejected.draft.map(Draft::finish).transpose()?,
            })
        })
        .await
    }

    async fn finish_rows(
        &self,
        payload: &FilePayload,
        name: &FileName,
        named: super::outputs::Named,
        ran: Ran,
    ) -> Result<Finished, Failed> {
        let Ran { mut outcome, output, rejected } = ran;
        let mut failed =
            Failed { error: Error::internal("no error"), summary: summary(&outcome), next: Vec::new() };
        if let Some(report) = outcome.report.take() {
            self.publish_report(name, &payload.manifest.flows, report, &mut failed).await?;
        }
        if let Some(error) = outcome.refuse.take() {
            // The whole file goes to quarantine; its rejected rows would only say the same again.
            failed.error = error;
            return Err(failed);
        }
        let mut next = failed.next;
        let mut summary = failed.summary;
        if let Some(rejected) = rejected {
            let made =
                self.publish_rejected(name, &payload.manifest.flows, rejected, outcome.rows_rejected).await?;
            summary.outputs.push(made.payload.path.clone());
            next.extend(made.deliveries);
        }
        let hops = self.ctx.routes.next(&self.app.name, &payload.manifest.flows);
        let says = Says {
            flows: flows_of(&hops, &payload.manifest.flows),
            hops,
            rows_rejected: Some(outcome.rows_rejected),
            row_count: Some(outcome.rows_out),
            more: outcome.manifest,
        };
        let made = self.publish(named, output, says).await?;
        summary.outputs.insert(0, made.payload.path.clone());
        summary.bytes_out = Some(made.payload.manifest.file_size);
        next.splice(0..0, made.deliveries);
        Ok(Finished { summary, next, ..Finished::default() })
    }

    async fn publish_report(
        &self,
        name: &FileName,
        flows: &[String],
        report: Value,
        failed: &mut Failed,
    ) -> Result<()> {
        let mut naming =
            naming_like(name, "report", Place::Data("reports".into()), &self.app.name, "json".into());
        let type_name = naming.type_name;
        naming.type_name = handover_core::TypeName::new("report")?;
        let named = self.reserve(naming).await?;
        let mut report = report;
        if let Value::Object(fields) = &mut report {
            fields.insert("type".into(), json!(type_name));
            fields.insert("delivery_id".into(), json!(self.delivery.id.to_string()));
            fields.insert("input".into(), json!(self.delivery.data.get("path")));
        }
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        let written = self.write_small("json", text.into_bytes()).await?;
        let made = self.publish(named, written, Says { flows: flows.to_vec(), ..Says::default() }).await?;
        failed.summary.outputs.push(made.payload.path.clone());
        failed.next.extend(made.deliveries);
        Ok(())
    }

    async fn publish_rejected(
        &self,
        name: &FileName,
        flows: &[String],
        rejected: Written,
        rows: u64,
    ) -> Result<super::outputs::Output> {
        let mut naming =
            naming_like(name, "rejected", Place::Data("errors".into()), &self.app.name, "csv".into());
        naming.type_name = handover_core::TypeName::new(format!("{}-rejected", name.type_name))?;
        let named = self.reserve(naming).await?;
        let mut says = Says { flows: flows.to_vec(), row_count: Some(rows), ..Says::default() };
        says.more.insert("rejected_from".into(), json!(self.delivery.data.get("path")));
        self.publish(named, rejected, says).await
    }

    /// A small text as a draft.
    pub(super) async fn write_small(&self, ext: &str, bytes: Vec<u8>) -> Result<Written> {
        let (data, holder, ext) =
            (self.ctx.project.data.clone(), self.ctx.process.holder.clone(), ext.to_owned());
        blocking(move || {
            let mut draft = data.draft(&holder, &ext)?;
            draft.write_all(&bytes).map_err(|e| Error::io("write", draft.path().display(), e))?;
            draft.finish()
        })
        .await
    }
}

/// The flows of a file: those that its links belong to, or, at the end, those that it came by.
pub(super) fn flows_of(hops: &[crate::config::Hop], came_by: &[String]) -> Vec<String> {
    let mut flows: Vec<String> = Vec::new();
    for flow in hops.iter().flat_map(|hop| &hop.flows) {
        if !flows.contains(flow) {
            flows.push(flow.clone());
        }
    }
    if flows.is_empty() { came_by.to_vec() } else { flows }
}

pub(super) fn summary(outcome: &Outcome) -> Summary {
    Summary {
        rows_in: Some(outcome.rows_in),
        rows_out: Some(outcome.rows_out),
        rows_rejected: Some(outcome.rows_rejected),
        notes: outcome.notes.clone(),
        ..Summary::default()
    }
}

/// A panic in an app is that delivery's failure and nobody else's.
fn run_guarded(app: &dyn RowApp, io: AppIo<'_>) -> Result<Outcome> {
    std::panic::catch_unwind(AssertUnwindSafe(|| app.run(io))).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Error::internal(format!("{} panicked: {}", app.name(), what.unwrap_or_default())))
    })
}

/// So small a file is read or written faster than a thread is woken to do it.
pub(crate) const SMALL_BYTES: u64 = 64 * 1024;

/// Runs something that blocks off the async threads, unless what it works on is small.
pub(crate) async fn blocking_for<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= SMALL_BYTES { work() } else { blocking(work).await }
}

/// Runs something that blocks off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("a task broke off").because(e))?
}

/// The input at a path, checked against what the ledger knows of it; from the archive where it has gone there.
pub(super) fn checked_input(
    data: &DataDir,
    holder: &HolderId,
    payload: &FilePayload,
) -> Result<RetainedPath> {
    let retained = read::retained(data, &payload.path)?;
    let path = retained.path(data, holder)?;
    // A copy out of the archive is checked as it is made, and checked here against the ledger's word too.
    read::verify(path.path(), &payload.manifest)?;
    Ok(path)
}

/// A draft that is made when the first byte comes.
struct Lazy<F: FnMut() -> Result<Draft>> {
    make: F,
    draft: Option<Draft>,
}

impl<F: FnMut() -> Result<Draft>> Write for Lazy<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.draft.is_none() && !bytes.is_empty() {
            self.draft = Some((self.make)().map_err(io::Error::other)?);
        }
        match &mut self.draft {
            Some(draft) => draft.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.as_mut().map_or(Ok(()), Write::flush)
    }
}
