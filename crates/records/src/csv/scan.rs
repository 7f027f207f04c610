//! The scanner: goes through the bytes of a batch once and notes where its cells and rows end.
//!
//! Invariants:
//! - It can stop after any byte and go on when more have come, and finds the same.
//! - A cell of more than [`FIELD_MAX_BYTES`] and a row of more than [`ROW_MAX_BYTES`] are faults of the row.

use super::Fault;
use super::batch::{BYTE_ORDER_MARK, Batch, COMMENT, EMPTY, LOST, MARKED, Mark};
use super::kernel::{Kernel, Level, WIDTH};
use super::machine::{Ends, Machine, State};
use super::simd::{self, Task};
use crate::dialect::Dialect;
use handover_core::limits::{FIELD_MAX_BYTES, ROW_MAX_BYTES};

/// Goes through batches.
#[derive(Debug)]
pub(crate) struct Scanner {
    machine: Machine,
    level: Level,
    /// How far it has come in the batch.
    pub(crate) pos: usize,
    /// Where the row under way begins.
    pub(crate) row_start: usize,
    /// After the last separator, or before the LF of a CRLF.
    cell_start: usize,
    /// Of the row under way: bytes were thrown away, or have to be.
    pub(crate) lost: bool,
    /// Whether the row under way begins with a byte order mark.
    marked: bool,
    /// Rows counted in the batch.
    number: u32,
}

impl Scanner {
    pub(crate) fn new(dialect: &Dialect, level: Level) -> Self {
        Self {
            machine: Machine::new(dialect),
            level,
            pos: 0,
            row_start: 0,
            cell_start: 0,
            lost: false,
            marked: false,
            number: 0,
        }
    }

    /// Begins a batch at the start of a row.
    pub(crate) fn restart(&mut self) {
        self.machine.restart();
        (self.pos, self.row_start, self.cell_start, self.number) = (0, 0, 0, 0);
        (self.lost, self.marked) = (false, false);
    }

    /// Passes over the byte order mark that the input begins with.
    pub(crate) fn pass_mark(&mut self) {
        self.marked = true;
        self.pos = BYTE_ORDER_MARK.len();
        self.cell_start = self.pos;
    }

    /// Whether a byte at the end of what was read must wait for the next: a CR, to which an LF may belong.
    pub(crate) fn must_wait(&self, last: u8) -> bool {
        last == b'\r' && self.machine.has_returns()
    }

    /// Whether the row under way is beyond a limit already.
    pub(crate) fn beyond_limits(&self) -> bool {
        self.lost
            || self.pos - self.row_start > ROW_MAX_BYTES
            || self.pos.saturating_sub(self.cell_start) > FIELD_MAX_BYTES + 1
    }

    /// The bytes of the row under way from `kept` on were thrown away; it goes on at `pos`.
    pub(crate) fn skim(&mut self, batch: &mut Batch, pos: usize) {
        self.lost = true;
        self.pos = pos;
        self.cell_start = pos;
        batch.cell_count = batch.marks.last().map_or(0, |last| last.cells_end as usize);
    }

    /// Scans the batch up to `to`.
    pub(crate) fn scan(&mut self, batch: &mut Batch, to: usize) {
        simd::run(self.level, Scan { scanner: self, batch, to });
    }

    /// Ends the row that the input ends in, if it ends in one.
    pub(crate) fn finish(&mut self, batch: &mut Batch, to: usize) {
        self.pos = to;
        if to == self.row_start && !self.lost {
            return;
        }
        if batch.cells.len() == batch.cell_count {
            batch.cells.push(0);
        }
        self.check_cell(batch, to);
        batch.cells[batch.cell_count] = position(to);
        batch.cell_count += 1;
        let open = matches!(self.machine.state, State::Quoted | State::EscapedQuoted);
        let comment = self.machine.state == State::Comment;
        self.end_row(batch, RowEnd { at: to, line_end: 0, cells: batch.cell_count, comment });
        if let Some(last) = batch.marks.last_mut().filter(|_| open) {
            last.fault = Some(Fault::UnclosedQuote);
        }
    }

    /// Notes the ends of one block that begins at `base`; what lies from `to` on has not come in.
    #[inline(always)]
    fn note(&mut self, batch: &mut Batch, base: usize, to: usize, ends: Ends) {
        if ends.cells == 0 {
            return;
        }
        let before = batch.cell_count;
        if base + WIDTH - self.cell_start > FIELD_MAX_BYTES {
            self.check_cell(batch, base + ends.cells.trailing_zeros() as usize);
        }
        self.cell_start = base + WIDTH - ends.cells.leading_zeros() as usize;
        flatten(&mut batch.cells, before, base, ends.cells);
        batch.cell_count = before + ends.cells.count_ones() as usize;
        let mut rows = ends.rows;
        while rows != 0 {
            let bit = rows.trailing_zeros();
            let pos = base + bit as usize;
            let cells = before + (ends.cells & (u64::MAX >> (63 - bit))).count_ones() as usize;
            let pair = batch.bytes[pos] == b'\r'
                && self.machine.has_returns()
                && pos + 1 < to
                && batch.bytes[pos + 1] == b'\n';
            let comment = ends.comments >> bit & 1 != 0;
            self.end_row(batch, RowEnd { at: pos, line_end: if pair { 2 } else { 1 }, cells, comment });
            rows &= rows - 1;
        }
    }

    /// The first cell to end here may be too long, which is a fault of its row.
    #[cold]
    #[inline(never)]
    fn check_cell(&mut self, batch: &Batch, end: usize) {
        let in_row = batch.marks.last().map_or(0, |last| last.cells_end as usize);
        let start = if batch.cell_count > in_row {
            batch.cells[batch.cell_count - 1] as usize + 1
        } else {
            self.row_start + if self.marked { BYTE_ORDER_MARK.len() } else { 0 }
        };
        self.lost |= end - start > FIELD_MAX_BYTES;
    }

    #[inline(always)]
    fn end_row(&mut self, batch: &mut Batch, row: RowEnd) {
        let end = row.at + row.line_end;
        let lead = if self.marked { BYTE_ORDER_MARK.len() } else { 0 };
        let content_start = self.row_start + lead;
        let lost = self.lost || end - self.row_start > ROW_MAX_BYTES;
        let mut flags = if self.marked { MARKED } else { 0 };
        if lost {
            flags |= LOST;
        } else if row.at == content_start {
            flags |= EMPTY;
        } else if row.comment {
            flags |= COMMENT;
        }
        self.number += u32::from(flags & (EMPTY | COMMENT) == 0);
        batch.marks.push(Mark {
            end: position(end),
            cells_end: position(row.cells),
            number: self.number,
            line_end: row.line_end as u8,
            flags,
            fault: if lost { Some(Fault::TooLong) } else { None },
        });
        self.row_start = end;
        self.lost = false;
        self.marked = false;
    }
}

/// Where a row ends.
#[derive(Clone, Copy)]
struct RowEnd {
    /// Before its line end.
    at: usize,
    /// How long the line end is.
    line_end: usize,
    /// How many cells the batch has then.
    cells: usize,
    comment: bool,
}

/// A place in a batch; batches are far shorter than 4 GiB.
#[inline(always)]
fn position(at: usize) -> u32 {
    at as u32
}

/// The scanning of what has come in.
struct Scan<'a> {
    scanner: &'a mut Scanner,
    batch: &'a mut Batch,
    to: usize,
}

impl Task for Scan<'_> {
    #[inline(always)]
    fn run<K: Kernel>(self) {
        let Scan { scanner, batch, to } = self;
        let mut pos = scanner.pos;
        while pos < to {
            let len = (to - pos).min(WIDTH);
            let mut rest = [0u8; WIDTH];
            let block = match batch.bytes.get(pos..pos + WIDTH).and_then(|block| block.try_into().ok()) {
                Some(block) => block,
                None => {
                    rest[..len].copy_from_slice(&batch.bytes[pos..pos + len]);
                    &rest
                }
            };
            let ends = scanner.machine.block::<K>(block, len);
            if batch.cells.len() < batch.cell_count + WIDTH {
                grow(&mut batch.cells, batch.cell_count);
            }
            scanner.note(batch, pos, to, ends);
            pos += len;
        }
        scanner.pos = to;
    }
}

/// Makes room for at least one block of cells more.
#[cold]
#[inline(never)]
fn grow(cells: &mut Vec<u32>, count: usize) {
    cells.resize((count * 2).max(64 * 1024), 0);
}

/// Writes the places of the bits behind the first `count` cells, for which there is room.
#[inline(always)]
fn flatten(cells: &mut [u32], count: usize, base: usize, mut bits: u64) {
    let Some(room) = cells.get_mut(count..count + WIDTH) else { return };
    let base = position(base);
    // Eight at a time without a question; what is written beyond the last bit is overwritten later.
    for eight in room.chunks_exact_mut(8) {
        for place in eight {
            *place = base.wrapping_add(bits.trailing_zeros());
            bits &= bits.wrapping_sub(1);
        }
        if bits == 0 {
            break;
        }
    }
}
