//! Rejected rows: the original columns, then `_row`, `_field` and `_reason`.
//!
//! `_row` is the row's number in the input (the header is row 1, as a spreadsheet shows it), `_field` the columns
//! at fault and `_reason` what is wrong with them, each joined by `; `. A row with too few cells is filled up with
//! empty ones; what a row has beyond the header stands in its reason, so that nothing of it is lost. A row with an
//! open quote or a byte that is not UTF-8 keeps its cells as they are.
//!
//! Invariant: the stream is not touched before the first rejected row.

use crate::rows::{Fault, Row};
use crate::table::{Header, flush, push_cell, write};
use handover_core::Result;
use std::io::{BufWriter, Write};

/// How many first reasons are kept for people.
const FIRST_REASONS: usize = 3;

/// Why a row was rejected: one reason of perhaps several.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    /// The column at fault, where it is one.
    pub(crate) field: Option<String>,
    /// The reason, which starts with its code.
    pub(crate) text: String,
}

/// Writes rejected rows.
pub(crate) struct Rejects<'a> {
    out: BufWriter<&'a mut dyn Write>,
    line: Vec<u8>,
    count: u64,
    first: Vec<String>,
}

impl<'a> Rejects<'a> {
    /// Nothing is written yet.
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, out), line: Vec::new(), count: 0, first: Vec::new() }
    }

    /// How many rows were rejected.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Writes one row with its reasons.
    ///
    /// # Errors
    /// Where the stream cannot be written.
    pub(crate) fn reject(&mut self, header: &Header, row: &Row<'_>, reasons: &[Reason]) -> Result<()> {
        self.line.clear();
        if self.count == 0 {
            self.line.extend_from_slice(&header.content);
            self.line.extend_from_slice(b",_row,_field,_reason");
            self.line.extend_from_slice(header.line_end_or_lf());
        }
        self.count += 1;
        let mut reason = join(reasons.iter().map(|reason| reason.text.as_str()));
        if let Some(rest) = self.push_row(header, row) {
            reason.push_str(": ");
            reason.push_str(&String::from_utf8_lossy(rest));
        }
        self.line.extend_from_slice(format!(",{},", row.number).as_bytes());
        push_cell(
            &mut self.line,
            join(reasons.iter().filter_map(|reason| reason.field.as_deref())).as_bytes(),
        );
        self.line.push(b',');
        push_cell(&mut self.line, reason.as_bytes());
        self.line.extend_from_slice(header.line_end_or_lf());
        if self.first.len() < FIRST_REASONS {
            let fields = join(reasons.iter().filter_map(|reason| reason.field.as_deref()));
            let colon = if fields.is_empty() { "" } else { ": " };
            self.first.push(format!("row {}: {fields}{colon}{reason}", row.number));
        }
        write(&mut self.out, &self.line)
    }

    /// Writes the row in as many columns as the header has, and gives what is left over.
    fn push_row<'r>(&mut self, header: &Header, row: &Row<'r>) -> Option<&'r [u8]> {
        let columns = header.names.len();
        match row.fault {
            // Its cells are unknown: its beginning goes into the first column.
            Some(Fault::TooLong) => {
                push_cell(&mut self.line, row.content());
                self.line.extend(std::iter::repeat_n(b',', columns.saturating_sub(1)));
                return None;
            }
            // Its last quote is open: its cells are written anew.
            Some(Fault::UnclosedQuote) => {
                for index in 0..columns {
                    if index > 0 {
                        self.line.push(b',');
                    }
                    push_cell(&mut self.line, &row.cell(index));
                }
            }
            None if row.len() >= columns => self.line.extend_from_slice(row.raw_before(columns)),
            None => {
                self.line.extend_from_slice(row.content());
                self.line.extend(std::iter::repeat_n(b',', columns - row.len()));
            }
        }
        (row.len() > columns).then(|| row.raw_from(columns))
    }

    /// Writes what is still buffered, and gives the first reasons.
    ///
    /// # Errors
    /// Where the stream cannot be written.
    pub(crate) fn finish(mut self) -> Result<Vec<String>> {
        if self.count > 0 {
            flush(&mut self.out)?;
        }
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            self.first.push(format!("and {more} more rejected rows"));
        }
        Ok(std::mem::take(&mut self.first))
    }
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join("; ")
}
