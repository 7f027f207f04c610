//! A batch: a block of rows as they stand in the input, with the places where their cells and rows end.
//!
//! Rows lie one behind the other without a gap, so a row is its end, and a cell is its end: four bytes each, and
//! nothing is allocated for a row or a cell. A batch owns its bytes: it can go to another thread, and come back to be
//! filled again.
//!
//! Invariants:
//! - The rows of all batches, one behind the other, are the input, but for what a row that is too long has lost.
//! - Positions fit into 32 bits: a batch is at most one block and one row long ([`ROW_MAX_BYTES`]).

use super::cell::CellRules;
use super::{Fault, KEPT_BYTES};
use handover_core::limits::ROW_MAX_BYTES;
use std::borrow::Cow;

/// Where a row ends, and what is to be known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// After its line end.
    pub(crate) end: u32,
    /// How many cells of the batch lie before its end.
    pub(crate) cells_end: u32,
    /// Its number less the number before the batch.
    pub(crate) number: u32,
    pub(crate) line_end: u8,
    pub(crate) flags: u8,
    pub(crate) fault: Option<Fault>,
}

/// Only the beginning of the row was kept.
pub(crate) const LOST: u8 = 1;
/// An empty line.
pub(crate) const EMPTY: u8 = 2;
/// A comment.
pub(crate) const COMMENT: u8 = 4;
/// It begins with a byte order mark.
pub(crate) const MARKED: u8 = 8;

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A block of rows. Make one with [`Batch::default`] and have a [`super::Reader`] fill it, as often as you like.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// The ends of the cells; what lies behind `cell_count` is spare room.
    pub(crate) cells: Vec<u32>,
    pub(crate) cell_count: usize,
    pub(crate) marks: Vec<Mark>,
    /// The number of the last row before this batch.
    pub(crate) number_before: u64,
    /// How many rows at the beginning were handed out already.
    pub(crate) first: usize,
    pub(crate) rules: CellRules,
}

/// Room for cells beyond which a batch does not keep what it once needed.
const CELLS_KEPT: usize = 1024 * 1024;

impl Batch {
    /// How many rows it holds, empty lines and comments among them.
    pub fn len(&self) -> usize {
        self.marks.len() - self.first
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row by its place in the batch, from 0.
    pub fn row(&self, index: usize) -> Option<RowRef<'_>> {
        let index = self.first.checked_add(index)?;
        let mark = self.marks.get(index)?;
        let before = index.checked_sub(1).map(|before| &self.marks[before]);
        Some(self.row_of(mark, before))
    }

    #[inline(always)]
    fn row_of<'a>(&'a self, mark: &Mark, before: Option<&Mark>) -> RowRef<'a> {
        let (start, cells_start) =
            before.map_or((0, 0), |before| (before.end as usize, before.cells_end as usize));
        let lost = mark.flags & LOST != 0;
        let end = if lost { (mark.end as usize).min(start + KEPT_BYTES) } else { mark.end as usize };
        let cells_end = if lost { cells_start } else { mark.cells_end as usize };
        let lead = if mark.flags & MARKED != 0 { BYTE_ORDER_MARK.len() } else { 0 };
        RowRef {
            block: &self.bytes[..end],
            cells: &self.cells[cells_start..cells_end],
            start,
            first_cell: start + lead,
            line_end: if lost { 0 } else { usize::from(mark.line_end) },
            number: self.number_before + u64::from(mark.number),
            fault: mark.fault,
            flags: mark.flags,
            rules: self.rules,
        }
    }

    /// The rows in their order.
    pub fn rows(&self) -> Rows<'_> {
        Rows { batch: self, next: self.first }
    }

    /// All the rows as they stand, one behind the other. Not to be used where a row [has lost
    /// bytes](RowRef::lost_bytes).
    pub fn bytes(&self) -> &[u8] {
        let start = self.first.checked_sub(1).map_or(0, |before| self.marks[before].end as usize);
        let end = self.marks.last().map_or(0, |last| last.end as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Whether any row has a fault.
    pub fn has_faults(&self) -> bool {
        self.marks[self.first..].iter().any(|mark| mark.fault.is_some())
    }

    /// How many rows count: neither empty lines nor comments.
    pub fn records(&self) -> u64 {
        let before = self.first.checked_sub(1).map_or(0, |before| self.marks[before].number);
        self.marks.last().map_or(0, |last| u64::from(last.number.saturating_sub(before)))
    }

    /// Ready to be filled again.
    pub(crate) fn reset(&mut self, number_before: u64, rules: CellRules, block_bytes: usize) {
        self.marks.clear();
        self.cell_count = 0;
        self.first = 0;
        self.number_before = number_before;
        self.rules = rules;
        if self.cells.len() > CELLS_KEPT {
            self.cells = Vec::new();
        }
        if self.bytes.len() > 2 * block_bytes {
            self.bytes = Vec::new();
        }
    }
}

// A batch and the row that did not fit into it have to be countable in 32 bits.
const _: () = assert!(ROW_MAX_BYTES < (u32::MAX / 4) as usize);

/// The rows of a batch.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    batch: &'a Batch,
    next: usize,
}

impl<'a> Iterator for Rows<'a> {
    type Item = RowRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RowRef<'a>> {
        let mark = self.batch.marks.get(self.next)?;
        let before = self.next.checked_sub(1).map(|before| &self.batch.marks[before]);
        self.next += 1;
        Some(self.batch.row_of(mark, before))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.marks.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Rows<'_> {}

/// One row as it stands in the input.
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'a> {
    /// The batch up to the end of the row.
    block: &'a [u8],
    /// Where its cells end, in the block.
    cells: &'a [u32],
    start: usize,
    first_cell: usize,
    line_end: usize,
    number: u64,
    fault: Option<Fault>,
    flags: u8,
    rules: CellRules,
}

impl<'a> RowRef<'a> {
    /// 1 for the first row of the input, which may be the header. Empty lines and comments are not counted: they have
    /// the number of the row before them.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What is wrong with it, where something is.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The row with its line end, as it came in; of a row that has lost bytes, its beginning.
    pub fn whole(&self) -> &'a [u8] {
        &self.block[self.start..]
    }

    /// The row without its line end.
    pub fn content(&self) -> &'a [u8] {
        &self.block[self.start..self.block.len() - self.line_end]
    }

    /// Its line end: LF, CRLF, CR, or nothing at the end of the input.
    pub fn line_end(&self) -> &'a [u8] {
        &self.block[self.block.len() - self.line_end..]
    }

    /// How many cells it has; none where it has lost bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether it is an empty line.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.flags & EMPTY != 0
    }

    /// Whether it is a comment.
    pub fn is_comment(&self) -> bool {
        self.flags & COMMENT != 0
    }

    /// Whether it holds no row: an empty line, or a comment.
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.flags & (EMPTY | COMMENT) != 0
    }

    /// Whether bytes of it were thrown away, because it is too long.
    pub fn lost_bytes(&self) -> bool {
        self.flags & LOST != 0
    }

    /// Where the cell stands in the block.
    #[inline]
    fn span(&self, index: usize) -> Option<(usize, usize)> {
        let end = *self.cells.get(index)? as usize;
        let start = match index.checked_sub(1) {
            None => self.first_cell,
            Some(before) => self.cells[before] as usize + 1,
        };
        Some((start, end))
    }

    /// The cell as it stands, with its quotes; nothing for one that is not there.
    #[inline]
    pub fn raw_cell(&self, index: usize) -> &'a [u8] {
        match self.span(index) {
            Some((start, end)) => &self.block[start..end],
            None => b"",
        }
    }

    /// The cell's text, without its quotes and escapes; nothing for one that is not there.
    #[inline]
    pub fn cell(&self, index: usize) -> Cow<'a, [u8]> {
        self.rules.text(self.raw_cell(index))
    }

    /// Whether the cell stands in quotes.
    pub fn is_quoted(&self, index: usize) -> bool {
        self.rules.is_quoted(self.raw_cell(index))
    }

    /// The cells' texts in their order.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Cow<'a, [u8]>> + 'a {
        let rules = self.rules;
        self.raw_cells().map(move |raw| rules.text(raw))
    }

    /// The cells as they stand, in their order.
    pub fn raw_cells(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + 'a {
        let (block, mut start) = (self.block, self.first_cell);
        self.cells.iter().map(move |end| {
            let cell = &block[start..*end as usize];
            start = *end as usize + 1;
            cell
        })
    }

    /// The cells as they stand, each with the eight bytes that end where it does, the last of them the highest: what is
    /// short can be looked at in one piece. Zero where the batch has not so many bytes.
    #[inline]
    pub fn raw_cells_with_tails(&self) -> impl ExactSizeIterator<Item = (&'a [u8], u64)> + 'a {
        let (block, mut start) = (self.block, self.first_cell);
        self.cells.iter().map(move |end| {
            let end = *end as usize;
            let cell = &block[start..end];
            start = end + 1;
            let tail = block[..end].last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
            (cell, tail)
        })
    }

    /// The row before this cell, without the delimiter between them, as it stands.
    pub fn raw_before(&self, index: usize) -> &'a [u8] {
        match index.checked_sub(1).and_then(|last| self.cells.get(last)) {
            Some(end) => &self.block[self.start..*end as usize],
            None => b"",
        }
    }

    /// The row from this cell on, without its line end, as it stands.
    pub fn raw_from(&self, index: usize) -> &'a [u8] {
        match self.span(index) {
            Some((start, _)) => &self.block[start..self.block.len() - self.line_end],
            None => b"",
        }
    }

    /// The first cell whose text is not UTF-8, where one is.
    pub fn cell_not_utf8(&self) -> Option<usize> {
        self.raw_cells().position(|cell| simdutf8::basic::from_utf8(cell).is_err())
    }
}
