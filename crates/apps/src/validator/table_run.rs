//! Validating a table: batch by batch, what passes is copied as it stands.
//!
//! Whether rows are surely fine is found on the thread that reads them ([`Judging`]); all that depends on the rows before
//! (keys, sums, the report), and the exact word on the others, is the step's ([`TableRun`]).
//!
//! Invariants:
//! - Rows that pass one behind the other are copied in one piece; empty lines and comments pass with them.
//! - Every row is either copied or rejected with a reason. A file that is refused stops at once.

use super::judge::Judge;
use super::keys::Keys;
use super::report::{Found, Report};
use super::rules::Rules;
use super::schema::Schema;
use super::whole::Running;
use crate::pipeline::{Batches, Flow, Step};
use crate::reject::{Reason, Rejects};
use crate::table::rest_unreadable;
use handover_core::{Error, Result};
use handover_records::csv::{Batch, Fault, Reader, RowRef};
use std::io::Read;

/// A table that is judged as it is read.
pub(super) struct Judging<'j, R> {
    pub(super) reader: Reader<R>,
    pub(super) judge: &'j Judge<'j>,
}

/// Rows, and which of them are surely fine.
#[derive(Default)]
pub(super) struct Judged {
    rows: Batch,
    fine: Vec<bool>,
}

impl<R: Read + Send> Batches for Judging<'_, R> {
    type Batch = Judged;

    fn fill(&mut self, into: &mut Judged) -> Result<bool> {
        into.fine.clear();
        let more = self.reader.fill(&mut into.rows)?;
        into.fine.extend(into.rows.rows().map(|row| self.judge.is_fine(&row)));
        Ok(more)
    }
}

/// What came of a run so far.
pub(super) struct Counts {
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    /// Why the whole file is refused, where it is.
    pub(super) refuse: Option<Error>,
}

/// One run over a table.
pub(super) struct TableRun<'v> {
    pub(super) schema: &'v Schema,
    pub(super) judge: &'v Judge<'v>,
    pub(super) keys: Keys<'v>,
    pub(super) rules: Rules,
    pub(super) whole: Running<'v>,
    pub(super) rejects: Rejects,
    pub(super) report: Report,
    /// After so many rows it stops.
    pub(super) limit: u64,
    pub(super) counts: Counts,
    /// What was found in the row under way.
    pub(super) found: Vec<Found>,
}

impl TableRun<'_> {
    /// Whether the row passes, which may be known to be `fine` for its own part; otherwise what is wrong is in `found`.
    #[inline]
    fn passes(&mut self, row: &RowRef<'_>, fine: bool) -> bool {
        self.found.clear();
        if !fine {
            self.judge.find(row, &mut self.found);
        }
        if self.keys.is_needed() {
            self.judge.note_keys(row, &mut self.keys.parts);
            self.keys.check(&mut self.found);
        }
        if self.found.is_empty() && !self.rules.is_empty() {
            self.rules.check_row(row.number(), row, &mut self.report, &mut self.found);
        }
        self.found.is_empty()
    }

    /// Counts a row that passes, with its keys and sums.
    #[inline]
    fn take(&mut self, row: &RowRef<'_>) -> Result<()> {
        self.counts.rows_out += 1;
        self.whole.count()?;
        if self.keys.is_needed() {
            self.keys.take(row.number())?;
        }
        if self.whole.has_sums() {
            let judge = self.judge;
            self.whole.add_cells(self.schema, |field| judge.column(field).map(|column| row.cell(column)));
        }
        Ok(())
    }

    fn reject(&mut self, row: &RowRef<'_>, rejected: &mut Vec<u8>) {
        self.report.add(row.number(), &self.found);
        let schema = self.schema;
        let reasons: Vec<Reason<'_>> = self.found.iter().map(|found| reason(found, schema)).collect();
        self.rejects.row(rejected, row, &reasons);
        if row.fault() == Some(Fault::UnclosedQuote) && row.lost_bytes() {
            self.counts.refuse = Some(rest_unreadable(row.number()));
        }
    }
}

/// The reason of a rejected row.
fn reason<'a>(found: &'a Found, schema: &'a Schema) -> Reason<'a> {
    let field = found.column.and_then(|column| schema.fields.get(column));
    Reason {
        field: field.map(|field| field.name.as_str().into()),
        code: found.code.as_str(),
        message: found.message.as_str().into(),
    }
}

impl Step<Judged> for TableRun<'_> {
    fn batch(&mut self, judged: &Judged, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        // Of a row that lost bytes only the beginning is in the batch: then places do not add up.
        let batch = &judged.rows;
        let whole = (!batch.has_faults()).then(|| batch.bytes());
        let (mut start, mut end) = (0, 0);
        for (row, fine) in batch.rows().zip(&judged.fine) {
            if row.is_blank() {
                end += row.whole().len();
                if whole.is_none() {
                    out.extend_from_slice(row.whole());
                }
                continue;
            }
            if self.counts.rows_in >= self.limit || self.counts.refuse.is_some() {
                break;
            }
            self.counts.rows_in += 1;
            let length = row.whole().len();
            if self.passes(&row, *fine) {
                if let Err(error) = self.take(&row) {
                    self.counts.refuse = Some(error);
                }
                end += length;
                if whole.is_none() {
                    out.extend_from_slice(row.whole());
                }
            } else {
                if let Some(bytes) = whole {
                    out.extend_from_slice(&bytes[start..end]);
                }
                end += length;
                start = end;
                self.reject(&row, rejected);
            }
        }
        if let Some(bytes) = whole {
            out.extend_from_slice(&bytes[start..end]);
        }
        let stop = self.counts.rows_in >= self.limit || self.counts.refuse.is_some();
        Ok(if stop { Flow::Stop } else { Flow::Go })
    }
}
