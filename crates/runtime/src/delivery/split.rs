//! A file that is handed over by database becomes records, one for each row.
//!
//! The cells of a table are fields, named by its header, and texts all of them: what a column holds is not guessed. Where the link
//! names a Table Schema (`cast:`), integers, numbers and booleans become such, and missing values null. Records of NDJSON and JSON are as they are. A row that cannot be a
//! record, or would not come out of the ledger as it is (a number of more digits than a double has), is rejected with its reason, as
//! at a validator.
//!
//! Invariants: the file is compared with its manifest before its first row enters; rows enter in their order, in bounded
//! batches, each once, however often the file is begun anew ([`Entering`]), all of one file by one schema; rows in = records + rows rejected; the file's
//! delivery completes after its last row is in. Once the delivery is cancelled or its lease lost, or the app's `timeout` is
//! over, no further batch enters; what is in stays, and another attempt goes on behind it.
//!
//! On a crash the rows that are in stay, and may be worked on already; the file is split again, and those are known.

use super::payload::FilePayload;
use super::rows::{Bounds, blocking, checked_input, flows_of, rows_of};
use super::{Attempt, Failed, Finished, Slot, Summary};
use handover_apps::{AppIo, Exporter, Outcome, RowApp, RunOptions};
use handover_core::limits::{ROW_MAX_BYTES, SPLIT_BATCH_BYTES, SPLIT_BATCH_ROWS};
use handover_core::{Error, ErrorKind, Kind, NewDelivery, Result, fault};
use handover_file::draft::{Draft, Written};
use handover_ledger::{Held, Ledger, Load};
use handover_records::{FileKind, Format};
use serde_json::Value;
use std::io::{self, Write};
use std::sync::Arc;

/// What splitting a file came to.
struct Split {
    outcome: Outcome,
    /// Records that are in the ledger, whichever attempt put them there.
    records: u64,
    rejected: Option<Written>,
}

impl Attempt {
    /// Whether this delivery is a file that is to become records.
    pub(super) fn is_to_be_split(&self) -> bool {
        self.delivery.kind == Kind::File && self.ctx.doors.splits(&self.delivery.source_app, &self.app.name)
    }

    pub(super) async fn split(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let payload = FilePayload::of(&self.delivery)?;
        let name = payload.name()?;
        if FileKind::of_ext(&name.ext).is_none() {
            let error = Error::bad_data(format!("a file of `.{}` cannot be split into records", name.ext));
            return Err(error
                .on(&payload.path)
                .hint("hand over csv, tsv, ndjson or json, or link by file")
                .into());
        }
        self.ctx.may_read(&payload).await?;
        slot.begin().await?;
        let Split { mut outcome, records, rejected } = self.split_rows(payload.clone()).await?;
        slot.free();
        let mut summary = Summary { records: Some(records), ..super::rows::summary(&outcome) };
        summary.rows_out = Some(records);
        if let Some(error) = outcome.refuse.take() {
            return Err(Failed { summary, ..Failed::from(error) });
        }
        let mut next = Vec::new();
        if let Some(rejected) = rejected {
            let flows = &payload.manifest.flows;
            let rejects = self.publish_rejected(&name, flows, rejected, outcome.rows_rejected).await?;
            summary.outputs.push(rejects.payload.path);
            next.extend(rejects.deliveries);
        }
        Ok(Finished { summary, next, ..Finished::default() })
    }

    async fn split_rows(&self, payload: FilePayload) -> Result<Split> {
        let ext = payload.name()?.ext;
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let bounds = Arc::new(Bounds::new(self.lease.clone(), self.app.timeout));
        let (splitter, made_by) = self.splitter(&ext)?;
        let mut rows = self.entering(&payload, made_by, bounds.clone());
        blocking(move || {
            let (_kept, mut file) = checked_input(&data, &holder, &payload)?;
            fault::point("program.before_start")?;
            let rejected_ext = splitter.rejected_ext(&ext);
            let mut rejected = super::rows::Lazy {
                make: || Ok(data.draft(&holder, rejected_ext)?.counting(rows_of(rejected_ext))),
                draft: None,
            };
            let ran = splitter.run(AppIo {
                input: &mut file,
                output: &mut rows,
                rejected: &mut rejected,
                input_ext: &ext,
                progress: None,
                cancelled: &|| bounds.are_over(),
                options: RunOptions::default(),
                scratch: &|| data.scratch(),
            });
            // Why the rows could not enter says more than that the app could not write them.
            let ran = ran.map_err(|error| rows.failed.take().unwrap_or(error));
            let entered = ran.and_then(|outcome| Ok((outcome, rows.rest()?)));
            let (outcome, records) = entered.map_err(|error| bounds.told(error))?;
            fault::point("program.ended")?;
            if outcome.refuse.is_none() {
                conserved(&payload, &outcome, records)?;
                // Not before all of them are in: whoever tries again goes on where this attempt stopped.
                rows.end()?;
            }
            let rejected = rejected.draft.map(Draft::finish).transpose()?;
            Ok(Split { outcome, records, rejected })
        })
        .await
    }

    /// The app that makes lines of JSON of any table, or of any records; of a table by the schema that the link names, which
    /// its checksum tells from what it may become.
    fn splitter(&self, ext: &str) -> Result<(Arc<dyn RowApp>, Option<String>)> {
        let is_table = FileKind::of_ext(ext).is_some_and(|kind| kind.format == Format::Csv);
        let schema = self.ctx.doors.cast(&self.delivery.source_app, &self.app.name).filter(|_| is_table);
        match schema.and_then(|schema| self.ctx.built.casts.get(schema)) {
            Some(cast) => Ok((cast.app.clone(), Some(format!("cast:{}", cast.checksum)))),
            None => Ok((Arc::new(Exporter::of_records()?), None)),
        }
    }

    /// Where the rows go.
    fn entering(&self, payload: &FilePayload, made_by: Option<String>, bounds: Arc<Bounds>) -> Rows {
        let flows = flows_of(&[], &payload.manifest.flows);
        let like = NewDelivery {
            flow: flows.first().cloned(),
            priority: self.delivery.priority,
            max_attempts: self.app.max_attempts(),
            order_key: self.delivery.order_key.clone(),
            parent_id: Some(self.delivery.id),
            trace: self.traceparent(),
            ..NewDelivery::new(
                Kind::Record,
                self.delivery.source_app.clone(),
                Some(self.app.name.to_string()),
                Value::Null,
            )
        };
        Rows {
            entering: Entering {
                ledger: self.ctx.project.ledger.clone(),
                held: self.held.clone(),
                bounds,
                actor: self.ctx.process.holder.0.clone(),
                key: format!("split:{}", self.delivery.id),
                made_by,
                load: None,
                rows: 0,
            },
            handle: tokio::runtime::Handle::current(),
            like,
            line: Vec::new(),
            batch: Vec::new(),
            bytes: 0,
            failed: None,
        }
    }
}

/// Every row of the file is a record, or rejected.
fn conserved(payload: &FilePayload, outcome: &Outcome, records: u64) -> Result<()> {
    let (rows_in, rejected) = (outcome.rows_in, outcome.rows_rejected);
    if records != outcome.rows_out || rows_in != records + rejected {
        let message = format!("{rows_in} rows became {records} records, and {rejected} were rejected");
        return Err(Error::internal(message).on(&payload.path));
    }
    Ok(())
}

/// How rows of a file enter the ledger, each once: a load, named after the file's delivery, knows how far it has come.
struct Entering {
    ledger: Arc<dyn Ledger>,
    /// The file's delivery: once it is no longer ours, nothing of it enters.
    held: Held,
    bounds: Arc<Bounds>,
    actor: String,
    /// The load's name.
    key: String,
    /// By what rows become records, where that may change between two attempts.
    made_by: Option<String>,
    load: Option<Load>,
    /// So many rows of the file have been seen, and are in.
    rows: u64,
}

impl Entering {
    /// Begins the load, or goes on with it, if its rows are still made by the same schema: where an earlier one rejected others,
    /// the place in the load is another one in the file.
    async fn begin(&self) -> Result<Load> {
        let mut load = self.ledger.begin_load(&self.actor, &self.key, false).await?;
        if load.made_by != self.made_by {
            load = self.ledger.load_is_made_by(&self.key, self.made_by.as_deref()).await?;
        }
        if load.made_by == self.made_by {
            return Ok(load);
        }
        let id = self.held.id;
        Err(Error::config(format!(
            "the schema that the link casts by is another than the one by which {} records of this file are in: \
             some rows might be handed over twice, and some never",
            load.rows
        ))
        .hint(format!(
            "put the schema back as it was and `handover retry {id}`: the rest follows, and the next file goes by the new one; \
             or `handover replay {id}`, which hands over all rows anew, those that are in too"
        )))
    }

    /// Puts the next rows in, in one transaction, less those that an earlier attempt put in.
    async fn enter(&mut self, mut rows: Vec<NewDelivery>) -> Result<()> {
        self.may_go_on().await?;
        let load = match self.load.take() {
            Some(load) => load,
            None => self.begin().await?,
        };
        let seen = rows.len() as u64;
        let known = if load.ended { seen } else { load.rows.saturating_sub(self.rows).min(seen) };
        rows.drain(..usize::try_from(known).unwrap_or(rows.len()));
        let load = match rows.is_empty() {
            true => load,
            false => self.ledger.load(&self.actor, &self.key, load.rows, 0, rows).await?,
        };
        self.load = Some(load);
        self.rows += seen;
        tracing::debug!(load = self.key, known, rows = self.rows, "rows entered");
        fault::point("split.loaded")
    }

    /// Whether the file is still ours to split, and its time not over. The app asks at each read of the input; but what it
    /// has read may be many batches.
    async fn may_go_on(&self) -> Result<()> {
        if self.bounds.are_over() {
            return Err(Error::new(ErrorKind::Cancelled, "the work was cancelled"));
        }
        if self.ledger.lost(vec![self.held.clone()]).await?.is_empty() {
            return Ok(());
        }
        let lost = "the lease was lost or the delivery was cancelled meanwhile";
        Err(Error::new(ErrorKind::Stale, lost))
    }

    /// All rows are in.
    async fn end(&self) -> Result<()> {
        if self.load.as_ref().is_some_and(|load| !load.ended) {
            self.ledger.end_load(&self.actor, &self.key).await?;
        }
        Ok(())
    }
}

/// Takes lines of JSON and has them enter, a batch at a time. Written to on a thread that may block.
struct Rows {
    entering: Entering,
    handle: tokio::runtime::Handle,
    like: NewDelivery,
    line: Vec<u8>,
    batch: Vec<NewDelivery>,
    bytes: usize,
    failed: Option<Error>,
}

impl Rows {
    fn take(&mut self) -> Result<()> {
        let data = serde_json::from_slice(&self.line).map_err(|e| {
            Error::internal("a row became no JSON").on(format!("row {}", self.entering.rows + 1)).because(e)
        })?;
        self.bytes += self.line.len();
        self.line.clear();
        self.batch.push(NewDelivery { data, ..self.like.clone() });
        if self.batch.len() >= SPLIT_BATCH_ROWS || self.bytes >= SPLIT_BATCH_BYTES {
            self.enter()
        } else {
            Ok(())
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.bytes = 0;
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.handle.block_on(self.entering.enter(batch))
    }

    /// The rest enters. Returns how many rows have.
    fn rest(&mut self) -> Result<u64> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.enter()?;
        Ok(self.entering.rows)
    }

    /// All rows of the file are in.
    fn end(&mut self) -> Result<()> {
        self.handle.block_on(self.entering.end())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.take()?;
            } else if self.line.len() > 2 * ROW_MAX_BYTES {
                return Err(Error::new(ErrorKind::BadData, "a row is too long to be a record"));
            }
        }
        Ok(())
    }
}

impl Write for Rows {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.push(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let text = io::Error::other(error.to_string());
                self.failed = Some(error);
                Err(text)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
