//! The transformer's work on a batch of rows or records.
//!
//! Invariant: every record that comes in is written, waits, is rejected or is left out.

use super::bound::Bound;
use super::derive::Deriver;
use super::fields::Fields;
use super::keys::{push_part, push_same};
use super::load::{Flaw, Loader};
use super::order::{Goes, Ordering};
use super::waiting::Waiting;
use super::write::{Frame, Writer};
use crate::app::Outcome;
use crate::pipeline::{Flow, Step};
use crate::reject::{Reason, Rejects};
use crate::table::rest_unreadable;
use handover_core::{Error, ErrorKind, Result};
use handover_records::csv::{self, Fault, RowRef};
use handover_records::json::{self, RecordRef};
use handover_records::{Format, OutputOptions};

/// What became of a record, where it was not rejected.
enum Verdict {
    Passed,
    Filtered,
    Flawed,
}

/// The work on one input.
pub(super) struct Work<'p, 's> {
    bound: Bound<'p>,
    loader: Loader,
    deriver: Deriver,
    output: &'p OutputOptions,
    writer: Writer,
    /// The [`Bound::version`] that the writer was made for.
    version: usize,
    frame: Frame,
    ordering: Option<Ordering<'s>>,
    rejects: Rejects,
    /// How many cells a row has to have.
    columns: usize,
    limit: Option<u64>,
    rows_in: u64,
    rows_out: u64,
    filtered: u64,
    duplicates: u64,
    refuse: Option<Error>,
    /// The fields' buffer, between batches.
    own: Vec<u8>,
    same: Vec<u8>,
    sort: Vec<u8>,
    record: Vec<u8>,
}

impl<'p, 's> Work<'p, 's> {
    /// Work that has yet to [begin](Work::begin) writing.
    pub(super) fn new(
        bound: Bound<'p>,
        loader: Loader,
        output: &'p OutputOptions,
        ordering: Option<Ordering<'s>>,
        rejects: Rejects,
        limit: Option<u64>,
    ) -> Self {
        let columns = bound.names.len();
        Self {
            deriver: Deriver::default(),
            bound,
            loader,
            output,
            writer: Writer::Flat(Vec::new()),
            version: usize::MAX,
            frame: Frame::new(output.format, Vec::new()),
            ordering,
            rejects,
            columns,
            limit,
            rows_in: 0,
            rows_out: 0,
            filtered: 0,
            duplicates: 0,
            refuse: None,
            own: Vec::new(),
            same: Vec::new(),
            sort: Vec::new(),
            record: Vec::new(),
        }
    }

    /// How many cells a row has to have, where that is not the number of fields.
    pub(super) fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// All fields are known: what is written begins.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] where they cannot be written so.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.bound.see_made();
        self.bound.settled = true;
        self.remake_writer()?;
        self.frame = Frame::new(self.output.format, self.writer.header(&self.bound.names)?);
        Ok(())
    }

    /// Finds the fields of the first records, which are those of the table that is written.
    pub(super) fn settle(&mut self, batch: &json::Batch) {
        let mut fields = Fields::new(std::mem::take(&mut self.own));
        for record in batch.records() {
            // What is wrong with it is told when its turn comes.
            let _ = self.loader.record(&mut self.bound, &record, &mut fields);
        }
        self.loader.flaws.clear();
        self.own = fields.into_buffer();
    }

    fn remake_writer(&mut self) -> Result<()> {
        let slots = self.bound.written();
        self.version = self.bound.version();
        self.writer = if self.output.format == Format::Csv {
            Writer::table(&self.output.dialect, self.output.quoting, slots)
        } else {
            let fields: Vec<_> = slots.iter().map(|slot| (self.bound.names[*slot].as_str(), *slot)).collect();
            let whole = self.bound.settled || self.bound.selects();
            Writer::json(&fields, whole, self.bound.plan.nest).map_err(|name| {
                Error::bad_data(format!("the field {name:?} would be a value and an object at once"))
                    .hint("`rename` one of the two, or leave `nest` out")
            })?
        };
        Ok(())
    }

    /// What is done to a record whose fields are loaded.
    fn record<'a>(&mut self, fields: &mut Fields<'a>, over: Format, out: &mut Vec<u8>) -> Result<Verdict> {
        if !self.loader.flaws.is_empty() {
            return Ok(Verdict::Flawed);
        }
        let kept = self.deriver.derive(&self.bound, &mut self.loader, over, fields);
        if !self.loader.flaws.is_empty() {
            return Ok(Verdict::Flawed);
        }
        if !kept {
            self.filtered += 1;
            return Ok(Verdict::Filtered);
        }
        if self.version == usize::MAX {
            self.bound.see_made();
        }
        if self.version != self.bound.version() {
            self.remake_writer()?;
        }
        let written = match &mut self.ordering {
            None => {
                let start = out.len();
                self.frame.before(out);
                let header = out.len();
                let pushed = self.writer.push(out, fields);
                match &pushed {
                    Ok(()) => self.frame.after(out),
                    // A header stays; the comma of an array is of this record.
                    Err(_) => out.truncate(if over == Format::Csv { header } else { start }),
                }
                pushed.map(|()| Goes::On)
            }
            Some(_) => self.order(fields, out),
        };
        match written {
            Ok(goes) => {
                self.rows_out += u64::from(goes == Goes::On);
                Ok(Verdict::Passed)
            }
            Err(error) if error.kind() == ErrorKind::BadData => {
                let message = error.to_string();
                self.loader.flaws.push(Flaw { field: None, code: "dialect-error", message });
                Ok(Verdict::Flawed)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a record to be ordered.
    fn order(&mut self, fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<Goes> {
        let Some(ordering) = &mut self.ordering else { return Ok(Goes::On) };
        self.record.clear();
        self.writer.push(&mut self.record, fields)?;
        self.same.clear();
        for slot in self.bound.unique.iter().flat_map(|(slots, _)| slots) {
            push_same(&mut self.same, fields.kind(*slot), fields.get(*slot));
        }
        self.sort.clear();
        for part in &self.bound.sort {
            push_part(&mut self.sort, part, fields.kind(part.slot), fields.get(part.slot));
        }
        let goes = ordering.take(&self.same, &self.sort, &self.record)?;
        if goes == Goes::On {
            self.frame.before(out);
            out.extend_from_slice(&self.record);
            self.frame.after(out);
        }
        Ok(goes)
    }

    fn at_limit(&self) -> bool {
        self.limit.is_some_and(|limit| self.rows_in >= limit)
    }

    fn reject_row(&mut self, row: &RowRef<'_>, rejected: &mut Vec<u8>) {
        self.rejects.row(rejected, row, &reasons(&self.loader.flaws));
        self.loader.flaws.clear();
    }

    fn reject_record(&mut self, record: &RecordRef<'_>, rejected: &mut Vec<u8>) {
        self.rejects.record(rejected, record, &reasons(&self.loader.flaws));
        self.loader.flaws.clear();
    }

    /// Whether the row is one of the table's.
    fn is_whole(&mut self, row: &RowRef<'_>) -> bool {
        let (code, message) = match row.fault() {
            Some(Fault::NotUtf8) => ("encoding-error", Fault::NotUtf8.message()),
            Some(fault) => ("source-error", fault.message()),
            None if row.len() < self.columns => {
                ("missing-cell", format!("the row has {} cells, and the header {}", row.len(), self.columns))
            }
            None if row.len() > self.columns => {
                ("extra-cell", format!("the row has {} cells, and the header {}", row.len(), self.columns))
            }
            None => return true,
        };
        self.loader.flaws.push(Flaw { field: None, code, message });
        false
    }

    /// The records that waited, and what stands around them; none where none could have.
    pub(super) fn take_waiting(&mut self) -> Result<Option<Waiting>> {
        let Some(ordering) = self.ordering.take() else { return Ok(None) };
        let waits = ordering.any_waiting();
        let (sorted, left_out) = ordering.finish()?;
        self.duplicates = left_out;
        let frame = std::mem::replace(&mut self.frame, Frame::Lines);
        Ok(waits.then_some(Waiting::new(sorted, frame)))
    }

    /// What came of it, with so many records more written.
    pub(super) fn outcome(self, written_later: u64) -> Outcome {
        let mut notes = self.rejects.notes();
        if self.filtered > 0 {
            notes.push(format!("{} rows were left out by the filter", self.filtered));
        }
        if self.duplicates > 0 {
            notes.push(format!("{} duplicates were left out", self.duplicates));
        }
        Outcome {
            rows_in: self.rows_in,
            rows_out: self.rows_out + written_later,
            rows_rejected: self.rejects.count(),
            rows_filtered: self.filtered + self.duplicates,
            refuse: self.refuse,
            notes,
            ..Outcome::default()
        }
    }

    /// Whether the file is refused.
    pub(super) fn is_refused(&self) -> bool {
        self.refuse.is_some()
    }

    /// Ends the work on the file, where it is the file that is at fault.
    fn refusing(&mut self, error: Error) -> Result<Flow> {
        if error.kind() != ErrorKind::BadData {
            return Err(error);
        }
        self.refuse = Some(error);
        Ok(Flow::Stop)
    }

    fn end_output(&mut self, out: &mut Vec<u8>) {
        if !self.ordering.as_ref().is_some_and(Ordering::any_waiting) {
            self.frame.end(out);
        }
    }
}

fn reasons(flaws: &[Flaw]) -> Vec<Reason<'_>> {
    flaws
        .iter()
        .map(|flaw| Reason {
            field: flaw.field.as_deref().map(Into::into),
            code: flaw.code,
            message: flaw.message.as_str().into(),
        })
        .collect()
}

impl Step for Work<'_, '_> {
    fn batch(&mut self, batch: &csv::Batch, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        let mut fields = Fields::new(std::mem::take(&mut self.own));
        for row in batch.rows().filter(|row| !row.is_blank()) {
            if self.at_limit() {
                return Ok(Flow::Stop);
            }
            self.rows_in += 1;
            if row.fault() == Some(Fault::UnclosedQuote) && row.lost_bytes() {
                return self.refusing(rest_unreadable(row.number()));
            }
            if !self.is_whole(&row) {
                self.reject_row(&row, rejected);
                continue;
            }
            self.loader.row(&self.bound, &row, &mut fields);
            match self.record(&mut fields, Format::Csv, out) {
                Ok(Verdict::Flawed) => self.reject_row(&row, rejected),
                Ok(Verdict::Passed | Verdict::Filtered) => {}
                Err(error) => return self.refusing(error),
            }
        }
        self.own = fields.into_buffer();
        Ok(Flow::Go)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        self.end_output(out);
        Ok(())
    }
}

impl Step<json::Batch> for Work<'_, '_> {
    fn batch(&mut self, batch: &json::Batch, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        let mut fields = Fields::new(std::mem::take(&mut self.own));
        for record in batch.records() {
            if self.at_limit() {
                return Ok(Flow::Stop);
            }
            self.rows_in += 1;
            if let Err(flaw) = self.loader.record(&mut self.bound, &record, &mut fields) {
                self.loader.flaws.push(flaw);
            }
            match self.record(&mut fields, Format::Ndjson, out) {
                Ok(Verdict::Flawed) => self.reject_record(&record, rejected),
                Ok(Verdict::Passed | Verdict::Filtered) => {}
                Err(error) => return self.refusing(error),
            }
        }
        self.own = fields.into_buffer();
        Ok(Flow::Go)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        self.end_output(out);
        Ok(())
    }
}
