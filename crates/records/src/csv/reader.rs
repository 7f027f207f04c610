//! Reading a table: batch by batch, or row by row.
//!
//! Invariants:
//! - A batch ends with a whole row; the beginning of the next one waits in the reader.
//! - Between batches the reader holds less than one block, or one row where that is longer.

use super::batch::{BYTE_ORDER_MARK, Batch, COMMENT, EMPTY, LOST, RowRef};
use super::cell::CellRules;
use super::kernel::Level;
use super::scan::Scanner;
use super::{Fault, KEPT_BYTES};
use crate::dialect::Dialect;
use crate::error::read_once;
use handover_core::Result;
use handover_core::limits::ROW_MAX_BYTES;
use std::io::Read;

/// How many bytes a batch holds unless it is told otherwise: what fits into a processor's own cache.
pub const BLOCK_BYTES: usize = 256 * 1024;
const BLOCK_MIN_BYTES: usize = 64;

/// Reads the rows of a table.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    scanner: Scanner,
    rules: CellRules,
    block_bytes: usize,
    /// The beginning of a row of which the end has not been read.
    tail: Vec<u8>,
    at_end: bool,
    started: bool,
    /// Rows so far.
    number: u64,
    /// The batch that [`Reader::next_row`] is in.
    current: Batch,
    next: usize,
}

impl<R: Read> Reader<R> {
    /// A reader of this input, which is taken for UTF-8 (see [`crate::Input`] for other encodings). It makes large
    /// reads, so the input needs no buffer.
    pub fn new(input: R, dialect: &Dialect) -> Self {
        Self::with_level(input, dialect, Level::best())
    }

    pub(crate) fn with_level(input: R, dialect: &Dialect, level: Level) -> Self {
        Self {
            input,
            scanner: Scanner::new(dialect, level),
            rules: CellRules::new(dialect),
            block_bytes: BLOCK_BYTES,
            tail: Vec::new(),
            at_end: false,
            started: false,
            number: 0,
            current: Batch::default(),
            next: 0,
        }
    }

    /// How many bytes of rows a batch holds, about.
    #[must_use]
    pub fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes.clamp(BLOCK_MIN_BYTES, ROW_MAX_BYTES);
        self
    }

    /// The input, which may have been read further than the rows that were handed out.
    pub fn get_ref(&self) -> &R {
        &self.input
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// Where the input cannot be read, or the work was cancelled.
    pub fn next_row(&mut self) -> Result<Option<RowRef<'_>>> {
        if !self.have_row()? {
            return Ok(None);
        }
        self.next += 1;
        Ok(self.current.row(self.next - 1))
    }

    /// The row that comes next, without taking it; none at the end.
    ///
    /// # Errors
    /// As [`Reader::next_row`].
    pub fn peek_row(&mut self) -> Result<Option<RowRef<'_>>> {
        if !self.have_row()? {
            return Ok(None);
        }
        Ok(self.current.row(self.next))
    }

    /// Sees to it that there is a row to hand out; false at the end.
    fn have_row(&mut self) -> Result<bool> {
        while self.next >= self.current.len() {
            let mut batch = std::mem::take(&mut self.current);
            self.next = 0;
            let more = self.read_batch(&mut batch);
            self.current = batch;
            if !more? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fills a batch with the next rows; false at the end, with the batch empty. Rows that [`Reader::next_row`] gave
    /// before do not come again.
    ///
    /// # Errors
    /// Where the input cannot be read, or the work was cancelled.
    pub fn fill(&mut self, batch: &mut Batch) -> Result<bool> {
        if self.next < self.current.len() {
            std::mem::swap(batch, &mut self.current);
            batch.first += std::mem::take(&mut self.next);
            self.current.reset(0, self.rules, self.block_bytes);
            return Ok(true);
        }
        self.read_batch(batch)
    }

    /// Reads until there is a block of whole rows, or the end.
    fn read_batch(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.reset(self.number, self.rules, self.block_bytes);
        self.scanner.restart();
        if batch.bytes.len() < self.block_bytes.max(self.tail.len()) {
            batch.bytes.resize(self.block_bytes.max(self.tail.len()), 0);
        }
        let mut filled = self.tail.len();
        batch.bytes[..filled].copy_from_slice(&self.tail);
        self.tail.clear();
        let mut fresh = filled > 0;
        loop {
            if !fresh && !self.at_end {
                filled = self.read_more(batch, filled)?;
            }
            fresh = false;
            if !self.pass_mark(batch, filled) {
                continue;
            }
            let waits = !self.at_end && filled > 0 && self.scanner.must_wait(batch.bytes[filled - 1]);
            self.scan(batch, filled, filled - usize::from(waits));
            if self.at_end {
                self.scanner.finish(batch, filled);
                self.end_batch(batch, filled);
                return Ok(!batch.is_empty());
            }
            if filled == batch.bytes.len() {
                if !batch.marks.is_empty() {
                    self.tail.extend_from_slice(&batch.bytes[self.scanner.row_start..filled]);
                    self.end_batch(batch, filled);
                    return Ok(true);
                }
                filled = self.make_room(batch, filled);
            }
        }
    }

    /// Scans up to `to`; what lies behind `filled` is of no row.
    fn scan(&mut self, batch: &mut Batch, filled: usize, to: usize) {
        debug_assert!(to <= filled);
        if to > self.scanner.pos {
            self.scanner.scan(batch, to);
        }
    }

    /// Passes over a byte order mark at the very beginning; false where more has to be read to know.
    fn pass_mark(&mut self, batch: &Batch, filled: usize) -> bool {
        if self.started {
            return true;
        }
        let begin = &batch.bytes[..filled.min(BYTE_ORDER_MARK.len())];
        if begin.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(begin) && !self.at_end {
            return false;
        }
        self.started = true;
        if begin == BYTE_ORDER_MARK {
            self.scanner.pass_mark();
        }
        true
    }

    /// Reads once, into the room that there is.
    fn read_more(&mut self, batch: &mut Batch, filled: usize) -> Result<usize> {
        let count = read_once(&mut self.input, &mut batch.bytes[filled..])?;
        self.at_end |= count == 0;
        Ok(filled + count)
    }

    /// The block holds not one whole row: a longer block, or less of the row.
    fn make_room(&mut self, batch: &mut Batch, filled: usize) -> usize {
        if self.scanner.beyond_limits() {
            let kept = self.scanner.row_start + KEPT_BYTES.min(self.scanner.pos - self.scanner.row_start);
            let waiting = filled - self.scanner.pos;
            batch.bytes.copy_within(self.scanner.pos..filled, kept);
            self.scanner.skim(batch, kept);
            return kept + waiting;
        }
        let longer = (batch.bytes.len() * 2).min(ROW_MAX_BYTES + self.block_bytes);
        batch.bytes.resize(longer.max(filled + self.block_bytes), 0);
        filled
    }

    /// Counts the rows and looks at their characters.
    fn end_batch(&mut self, batch: &mut Batch, filled: usize) {
        let end = batch.marks.last().map_or(0, |last| last.end as usize).min(filled);
        self.number += batch.records();
        let bytes = &batch.bytes[..end];
        if simdutf8::basic::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none() {
            return;
        }
        let mut start = 0;
        for mark in &mut batch.marks {
            let row = &bytes[start..mark.end as usize];
            start = mark.end as usize;
            if mark.fault.is_some() || mark.flags & (EMPTY | COMMENT | LOST) != 0 {
                continue;
            }
            if simdutf8::basic::from_utf8(row).is_err() {
                mark.fault = Some(Fault::NotUtf8);
            } else if memchr::memchr(0, row).is_some() {
                mark.fault = Some(Fault::Nul);
            }
        }
    }
}
