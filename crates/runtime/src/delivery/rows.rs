//! The built-in apps that work on rows: validator and enricher. They run in this process, off the async threads.
//!
//! Valid rows go to the output, rejected rows to `errors/` with their reasons, and the report to `reports/`. Whether
//! rows in = rows out + rejected is checked by the app itself.

use super::inline::is_small;
use super::naming::{Naming, OUT, Place, naming_like};
use super::outputs::{Named, Output, Says};
use super::payload::FilePayload;
use super::source::Source;
use super::{Attempt, Failed, Finished, Slot, Summary};
use crate::config::{App, Hop};
use crate::engine::held::Lease;
use handover_apps::{AppIo, InputConfig, Outcome, RowApp, RunOptions};
use handover_core::units::format_duration;
use handover_core::{CountRows, Error, ErrorKind, FileName, HolderId, Result, fault};
use handover_file::draft::{Draft, Written};
use handover_file::layout::DataDir;
use handover_file::read::{self, Retained, RetainedPath};
use handover_records::{Compression, Encoding, FileKind, RowCounter};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a run of a row app left.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    pub(super) output: Written,
    pub(super) rejected: Option<Written>,
}

/// How long work on rows may go on: to its timeout, unless the delivery is taken away or the process stops before.
pub(super) struct Bounds {
    lease: Lease,
    timeout: Duration,
    began: Instant,
}

impl Bounds {
    /// From now on.
    pub(super) fn new(lease: Lease, timeout: Duration) -> Self {
        Self { lease, timeout, began: Instant::now() }
    }

    pub(super) fn are_over(&self) -> bool {
        self.lease.is_stopped() || self.began.elapsed() > self.timeout
    }

    /// What is to be told of an error by which the work ended: that it was stopped says why, and uses up a retry where
    /// it took too long.
    pub(super) fn told(&self, error: Error) -> Error {
        let too_long = !self.lease.is_stopped() && self.began.elapsed() > self.timeout;
        if error.kind() != ErrorKind::Cancelled || !too_long {
            return error;
        }
        Error::new(
            ErrorKind::Timeout,
            format!("stopped: it ran longer than its timeout of {}", format_duration(self.timeout)),
        )
    }
}

/// A built-in app's input, and what else its run needs.
pub(super) struct OnInput {
    pub(super) data: DataDir,
    pub(super) holder: HolderId,
    lease: Lease,
    timeout: Duration,
    source: Source,
}

/// The streams of a run.
pub(super) struct RunIo<'a> {
    pub(super) input: &'a mut (dyn Read + Send),
    pub(super) input_ext: &'a str,
    pub(super) rejected: &'a mut (dyn Write + Send),
    pub(super) cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl OnInput {
    /// Opens the input, has the app read it, and sees to it that it was the file that its manifest tells of: otherwise
    /// whatever came of it is void.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] where the input is not what it should be, and what `app` gives.
    pub(super) fn run<T>(
        &self,
        name: &str,
        rejected_ext: &str,
        app: impl FnOnce(RunIo<'_>) -> Result<T>,
    ) -> Result<(Option<Written>, T)> {
        let mut input = self.source.open(&self.data)?;
        fault::point("program.before_start")?;
        let mut rejected = Lazy { make: || self.data.draft(&self.holder, rejected_ext), draft: None };
        let bounds = Bounds::new(self.lease.clone(), self.timeout);
        let cancelled = || bounds.are_over();
        let io = RunIo {
            input: &mut input,
            input_ext: &self.source.name.ext,
            rejected: &mut rejected,
            cancelled: &cancelled,
        };
        let ran = guarded(name, || app(io)).map_err(|e| bounds.told(e));
        // Where the app stumbled over its input, a damaged input is the better reason.
        let blames_input = |e: &Error| matches!(e.kind(), ErrorKind::BadData | ErrorKind::Internal);
        if ran.as_ref().err().is_none_or(blames_input) {
            input.finish()?;
        }
        let ran = ran?;
        fault::point("program.ended")?;
        Ok((rejected.draft.map(Draft::finish).transpose()?, ran))
    }
}

impl Attempt {
    pub(super) async fn rows(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let source = self.reads()?;
        let source =
            source.ok_or_else(|| Error::bad_data("this app works on rows, and the job has no input"))?;
        let app = self.row_app()?;
        let ext = self.app.ext.clone().unwrap_or_else(|| app.output_ext(&source.name.ext));
        let hops = self.ctx.routes.next(&self.app.name, &source.flows);
        let named = match self.keeps_small(&hops) {
            true => None,
            false => Some(self.reserve(naming(&self.app, &source.name, ext.clone())).await?),
        };
        slot.begin().await?;
        let ran = self.run_rows(app, source.clone(), ext).await?;
        slot.free();
        self.finish_rows(&source, hops, named, ran).await
    }

    pub(super) fn row_app(&self) -> Result<Arc<dyn RowApp>> {
        self.ctx
            .built
            .row_apps
            .get(&self.app.name)
            .cloned()
            .ok_or_else(|| Error::internal(format!("app {} was not made", self.app.name)))
    }

    /// Runs the app on a blocking thread, output and rejects into drafts; the input is verified as it is read.
    async fn run_rows(&self, app: Arc<dyn RowApp>, source: Source, ext: String) -> Result<Ran> {
        let rejected_ext = app.rejected_ext(&source.name.ext);
        let work = self.on_input(source).await?;
        blocking(move || {
            let mut output = work.data.draft(&work.holder, &ext)?;
            let (rejected, outcome) = work.run(app.name(), rejected_ext, |io| {
                app.run(AppIo {
                    input: io.input,
                    output: &mut output,
                    rejected: io.rejected,
                    input_ext: io.input_ext,
                    progress: None,
                    cancelled: io.cancelled,
                    options: RunOptions::default(),
                    scratch: &|| work.data.scratch(),
                })
            })?;
            Ok(Ran { outcome, output: output.finish()?, rejected })
        })
        .await
    }

    /// What a built-in app works with.
    pub(super) async fn on_input(&self, source: Source) -> Result<OnInput> {
        if let Some(payload) = source.file() {
            self.ctx.may_read(payload).await?;
        }
        Ok(OnInput {
            data: self.ctx.project.data.clone(),
            holder: self.ctx.process.holder.clone(),
            lease: self.lease.clone(),
            timeout: self.app.timeout,
            source,
        })
    }

    /// Publishes what came of a run, or keeps it in the row; what was published before something failed is handed over with
    /// the failure.
    async fn finish_rows(
        &self,
        source: &Source,
        hops: Vec<Hop>,
        named: Option<Named>,
        ran: Ran,
    ) -> Result<Finished, Failed> {
        let mut made = Finished { summary: summary(&ran.outcome), ..Finished::default() };
        match self.publish_rows(source, hops, named, ran, &mut made).await {
            Ok(()) => Ok(made),
            Err(error) => Err(Failed { summary: made.summary, next: made.next, ..Failed::from(error) }),
        }
    }

    async fn publish_rows(
        &self,
        source: &Source,
        hops: Vec<Hop>,
        named: Option<Named>,
        ran: Ran,
        made: &mut Finished,
    ) -> Result<()> {
        let Ran { mut outcome, output, rejected } = ran;
        let Source { name, flows, .. } = source;
        let keeps = |bytes: u64| self.keeps_small(&hops) && is_small(bytes);
        if let Some(report) = outcome.report.take() {
            let report = self.report_of(source, report);
            let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
            if keeps(text.len() as u64) {
                made.summary.report = Some(report);
            } else {
                let report = self.publish_report(name, flows, text).await?;
                made.summary.outputs.push(report.payload.path);
                made.next.extend(report.deliveries);
            }
        }
        if let Some(error) = outcome.refuse.take() {
            // The whole file goes to quarantine; its rejected rows would only say the same again.
            return Err(error);
        }
        match rejected {
            Some(rejected) if keeps(rejected.file_size) => {
                made.summary.rejected = Some(Self::inline(&rejected, None)?);
            }
            Some(rejected) => {
                let rejects = self.publish_rejected(name, flows, rejected, outcome.rows_rejected).await?;
                made.summary.outputs.push(rejects.payload.path);
                made.next.extend(rejects.deliveries);
            }
            None => {}
        }
        made.summary.bytes_out = Some(output.file_size);
        if keeps(output.file_size) {
            made.summary.output = Some(Self::inline(&output, self.app.job.output.as_deref())?);
            return Ok(());
        }
        let named = match named {
            Some(named) => named,
            None => self.reserve(naming(&self.app, name, output.ext().to_owned())).await?,
        };
        let says = Says {
            flows: flows_of(&hops, flows),
            hops,
            rows_rejected: Some(outcome.rows_rejected),
            row_count: Some(outcome.rows_out),
            more: outcome.manifest,
        };
        let output = self.publish(named, output, says).await?;
        made.summary.outputs.insert(0, output.payload.path);
        made.next.splice(0..0, output.deliveries);
        Ok(())
    }

    /// A report with what it is about.
    fn report_of(&self, source: &Source, mut report: Value) -> Value {
        if let Value::Object(fields) = &mut report {
            fields.insert("type".into(), json!(source.name.type_name));
            fields.insert("delivery_id".into(), json!(self.delivery.id.to_string()));
            fields.insert("input".into(), json!(source.file().map(|file| &file.path)));
        }
        report
    }

    async fn publish_report(&self, name: &FileName, flows: &[String], text: String) -> Result<Output> {
        let mut naming =
            naming_like(name, "report", Place::Data("reports".into()), &self.app.name, "json".into());
        naming.type_name = handover_core::TypeName::new("report")?;
        let named = self.reserve(naming).await?;
        let written = self.write_small("json", text.into_bytes()).await?;
        self.publish(named, written, Says { flows: flows.to_vec(), ..Says::default() }).await
    }

    pub(super) async fn publish_rejected(
        &self,
        name: &FileName,
        flows: &[String],
        rejected: Written,
        rows: u64,
    ) -> Result<Output> {
        let mut naming = naming_like(
            name,
            "rejected",
            Place::Data("errors".into()),
            &self.app.name,
            rejected.ext().to_owned(),
        );
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

/// What the output of a row app is called whose input has this name.
pub(super) fn naming(app: &App, name: &FileName, ext: String) -> Naming {
    naming_like(name, OUT, Place::Data(app.folder.clone()), &app.name, ext)
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
        rows_filtered: Some(outcome.rows_filtered).filter(|rows| *rows > 0),
        notes: outcome.notes.clone(),
        ..Summary::default()
    }
}

/// A panic in an app is that delivery's failure and nobody else's.
fn guarded<T>(name: &str, app: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(app)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Error::internal(format!("{name} panicked: {}", what.unwrap_or_default())))
    })
}

/// Counts the rows of a file with this extension.
pub(crate) fn rows_of(ext: &str) -> Option<Box<dyn CountRows>> {
    Some(Box::new(RowCounter::for_ext(ext)?))
}

/// Counts the rows of a file that is read so; none where it is compressed, or of no known format.
pub(super) fn rows_as(input: &InputConfig, ext: &str) -> Option<Box<dyn CountRows>> {
    let known = input.format.is_some() || FileKind::of_ext(ext).is_some();
    let kind = input.kind(ext);
    let counts = known && kind.compression == Compression::None && !input.sniff;
    let utf8 = matches!(kind.dialect.encoding, Encoding::Utf8);
    (counts && utf8).then(|| Box::new(RowCounter::new(kind.format, &kind.dialect)) as Box<dyn CountRows>)
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

/// The input at a path, checked against what the ledger knows of it; from the archive where it has gone there. And the
/// very file that was checked.
pub(super) fn checked_input(
    data: &DataDir,
    holder: &HolderId,
    payload: &FilePayload,
) -> Result<(RetainedPath, File)> {
    let retained = find_input(data, payload)?;
    let path = retained.path(data, holder)?;
    // A copy out of the archive is checked as it is made, and checked here against the ledger's word too.
    let file = read::open_verified(path.path(), &payload.manifest)?;
    Ok((path, file))
}

/// Where a file's bytes are now.
pub(super) fn find_input(data: &DataDir, payload: &FilePayload) -> Result<Retained> {
    match payload.outside() {
        Some(path) => read::exported(&path),
        None => read::retained(data, &payload.path),
    }
}

/// A draft that is made when the first byte comes.
pub(super) struct Lazy<F: FnMut() -> Result<Draft>> {
    pub(super) make: F,
    pub(super) draft: Option<Draft>,
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
