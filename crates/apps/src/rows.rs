//! CSV as rows of bytes. A row is found by its quotes and line ends and kept as it stands, so that whoever lets
//! it pass writes the very bytes that came in: quoting, line ends and header unchanged.
//!
//! Dialect: comma, `"` doubled inside quotes, UTF-8; a row ends at LF, CRLF or CR; a byte order mark before the header
//! is skipped and kept. A quote is special only at the start of a cell; what follows a closing quote belongs to the
//! cell. An empty line holds no row: it is not counted, and passes. These are the rules of the `csv` crate, by which
//! manifests count their rows.
//!
//! Invariants:
//! - The rows and empty lines, with their line ends, are the input: nothing between them is dropped.
//! - Memory is bounded by [`ROW_MAX_BYTES`] and one read, whatever comes in: of a longer row only its beginning is
//!   kept, and the row says so ([`Fault::TooLong`]).
//! - No input makes it panic. A crash leaves nothing behind: it only reads.

use handover_core::limits::{FIELD_MAX_BYTES, ROW_MAX_BYTES};
use handover_core::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::io::Read;

/// How much is asked of the input at a time.
const READ_BYTES: usize = 128 * 1024;
/// How much of a row that is too long is kept, for a person to recognise it.
const KEPT_BYTES: usize = 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a row cannot be read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A quote was opened and never closed: the row goes to the end of the file.
    UnclosedQuote,
    /// A cell or the row is longer than the limits allow; only its beginning was kept.
    TooLong,
}

impl Fault {
    /// What is wrong, for people.
    pub(crate) fn message(self) -> String {
        match self {
            Fault::UnclosedQuote => {
                "a quote is opened and never closed, so the row goes to the end of the file".to_owned()
            }
            Fault::TooLong => format!(
                "a cell is longer than {FIELD_MAX_BYTES} bytes or the row longer than {ROW_MAX_BYTES}; only its beginning is kept here"
            ),
        }
    }
}

/// Where a cell stands in its row, with its quotes.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    quoted: bool,
}

/// One row as it stands in the input.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// 1 for the first row of the input, which is the header; empty lines are not counted.
    pub(crate) number: u64,
    /// Why it cannot be read as a row, where it cannot.
    pub(crate) fault: Option<Fault>,
    bytes: &'a [u8],
    line_end: usize,
    spans: &'a [Span],
}

impl<'a> Row<'a> {
    /// The row with its line end, as it came in (of a row that is too long, its beginning).
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.bytes
    }

    /// The row without its line end.
    pub(crate) fn content(&self) -> &'a [u8] {
        &self.bytes[..self.bytes.len() - self.line_end]
    }

    /// Its line end: LF, CRLF, CR, or nothing at the end of the input.
    pub(crate) fn line_end(&self) -> &'a [u8] {
        &self.bytes[self.bytes.len() - self.line_end..]
    }

    /// How many cells it has.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it is an empty line, which holds no row.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.spans, [only] if only.start == only.end)
    }

    /// The cell's bytes without its quotes; nothing for a cell that is not there.
    pub(crate) fn cell(&self, index: usize) -> Cow<'a, [u8]> {
        let Some(span) = self.spans.get(index) else { return Cow::Borrowed(b"") };
        let raw = &self.bytes[span.start..span.end];
        if span.quoted { unquote(raw) } else { Cow::Borrowed(raw) }
    }

    /// The row from this cell on, as it stands.
    pub(crate) fn raw_from(&self, index: usize) -> &'a [u8] {
        match self.spans.get(index) {
            Some(span) => &self.content()[span.start..],
            None => b"",
        }
    }

    /// The row before this cell, without the comma between them, as it stands.
    pub(crate) fn raw_before(&self, index: usize) -> &'a [u8] {
        match index.checked_sub(1).and_then(|last| self.spans.get(last)) {
            Some(span) => &self.bytes[..span.end],
            None => b"",
        }
    }
}

/// The text of a cell that starts with a quote.
fn unquote(raw: &[u8]) -> Cow<'_, [u8]> {
    let inside = raw.get(1..).unwrap_or_default();
    match memchr::memchr(b'"', inside) {
        None => return Cow::Borrowed(inside),
        Some(at) if at + 1 == inside.len() => return Cow::Borrowed(&inside[..at]),
        Some(_) => {}
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'"', rest) {
        text.extend_from_slice(&rest[..at]);
        if rest.get(at + 1) != Some(&b'"') {
            // The closing quote; what follows belongs to the cell as it is.
            text.extend_from_slice(&rest[at + 1..]);
            return Cow::Owned(text);
        }
        text.push(b'"');
        rest = &rest[at + 2..];
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    CellStart,
    Plain,
    Quoted,
    QuoteSeen,
}

/// Reads rows, one after the other.
pub(crate) struct RowReader<'a> {
    input: &'a mut dyn Read,
    progress: Option<&'a dyn Fn(u64)>,
    cancelled: &'a dyn Fn() -> bool,
    buffer: Vec<u8>,
    filled: usize,
    at_end: bool,
    started: bool,
    bytes_read: u64,
    number: u64,
    pos: usize,
    row_start: usize,
    /// Relative to `row_start`, as the spans are.
    cell_start: usize,
    cell_quoted: bool,
    state: State,
    too_long: bool,
    spans: Vec<Span>,
    /// The beginning of a row of which the rest was thrown away.
    kept: Option<Vec<u8>>,
}

impl<'a> RowReader<'a> {
    /// A reader of this input. `progress` is told the bytes read so far at each read, and `cancelled` is asked.
    pub(crate) fn new(
        input: &'a mut dyn Read,
        progress: Option<&'a dyn Fn(u64)>,
        cancelled: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            input,
            progress,
            cancelled,
            buffer: vec![0; 2 * READ_BYTES],
            filled: 0,
            at_end: false,
            started: false,
            bytes_read: 0,
            number: 0,
            pos: 0,
            row_start: 0,
            cell_start: 0,
            cell_quoted: false,
            state: State::CellStart,
            too_long: false,
            spans: Vec::new(),
            kept: None,
        }
    }

    /// The first bytes of the input, before a row was read; at most `count`.
    ///
    /// # Errors
    /// Where the input cannot be read.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        while self.filled - self.pos < count && !self.at_end {
            self.refill()?;
        }
        Ok(&self.buffer[self.pos..self.filled.min(self.pos + count)])
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// Where the input cannot be read, or the work was cancelled.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        self.start_row()?;
        let line_end = loop {
            if let Some(length) = self.scan() {
                break length;
            }
            if self.at_end {
                if self.pos == self.row_start && self.kept.is_none() {
                    return Ok(None);
                }
                self.end_cell();
                break 0;
            }
            self.refill()?;
        };
        let too_long = self.too_long || self.pos - self.row_start > ROW_MAX_BYTES;
        let fault = if line_end == 0 && self.state == State::Quoted {
            Some(Fault::UnclosedQuote)
        } else if too_long {
            Some(Fault::TooLong)
        } else {
            None
        };
        let is_empty = matches!(self.spans[..], [only] if only.start == only.end);
        if !is_empty || too_long {
            self.number += 1;
        }
        Ok(Some(self.finished(line_end, too_long, fault)))
    }

    fn finished(&self, line_end: usize, too_long: bool, fault: Option<Fault>) -> Row<'_> {
        let row = &self.buffer[self.row_start..self.pos];
        if too_long {
            let kept = self.kept.as_deref().unwrap_or(&row[..row.len().min(KEPT_BYTES)]);
            return Row { number: self.number, fault, bytes: kept, line_end: 0, spans: &[] };
        }
        Row { number: self.number, fault, bytes: row, line_end, spans: &self.spans }
    }

    /// Whether bytes of the row that was read last have been thrown away.
    pub(crate) fn lost_bytes(&self) -> bool {
        self.too_long
    }

    fn start_row(&mut self) -> Result<()> {
        self.row_start = self.pos;
        self.cell_start = 0;
        self.cell_quoted = false;
        self.state = State::CellStart;
        self.too_long = false;
        self.spans.clear();
        self.kept = None;
        if !std::mem::replace(&mut self.started, true) && self.peek(BYTE_ORDER_MARK.len())? == BYTE_ORDER_MARK
        {
            self.cell_start = BYTE_ORDER_MARK.len();
            self.pos += BYTE_ORDER_MARK.len();
        }
        Ok(())
    }

    /// Goes on to the end of the row, or of what is in the buffer. Gives the length of the line end.
    fn scan(&mut self) -> Option<usize> {
        while self.pos < self.filled {
            let rest = &self.buffer[self.pos..self.filled];
            match self.state {
                State::CellStart if rest[0] == b'"' => {
                    self.cell_quoted = true;
                    self.state = State::Quoted;
                    self.pos += 1;
                }
                State::QuoteSeen if rest[0] == b'"' => {
                    self.state = State::Quoted;
                    self.pos += 1;
                }
                State::CellStart | State::QuoteSeen => self.state = State::Plain,
                State::Quoted => match memchr::memchr(b'"', rest) {
                    Some(at) => {
                        self.pos += at + 1;
                        self.state = State::QuoteSeen;
                    }
                    None => self.pos = self.filled,
                },
                State::Plain => {
                    let Some(at) = memchr::memchr3(b',', b'\n', b'\r', rest) else {
                        self.pos = self.filled;
                        break;
                    };
                    let (found, next) = (rest[at], rest.get(at + 1).copied());
                    self.pos += at;
                    match (found, next) {
                        (b',', _) => {
                            self.end_cell();
                            self.pos += 1;
                            self.cell_start = self.pos - self.row_start;
                            self.cell_quoted = false;
                            self.state = State::CellStart;
                        }
                        (b'\r', Some(b'\n')) => {
                            self.end_cell();
                            self.pos += 2;
                            return Some(2);
                        }
                        // Whether a line feed follows is not known yet.
                        (b'\r', None) if !self.at_end => break,
                        _ => {
                            self.end_cell();
                            self.pos += 1;
                            return Some(1);
                        }
                    }
                }
            }
        }
        None
    }

    fn end_cell(&mut self) {
        let end = self.pos - self.row_start;
        if end - self.cell_start > FIELD_MAX_BYTES {
            self.too_long = true;
        }
        if !self.too_long {
            self.spans.push(Span { start: self.cell_start, end, quoted: self.cell_quoted });
        }
    }

    /// Reads more behind the row that is under way, after throwing away what is no longer needed.
    fn refill(&mut self) -> Result<()> {
        if (self.cancelled)() {
            return Err(Error::new(ErrorKind::Cancelled, "the work was cancelled"));
        }
        let length = self.pos - self.row_start;
        if self.too_long || length.saturating_sub(self.cell_start) > FIELD_MAX_BYTES || length > ROW_MAX_BYTES
        {
            self.skim();
        }
        if self.row_start > 0 {
            self.buffer.copy_within(self.row_start..self.filled, 0);
            self.pos -= self.row_start;
            self.filled -= self.row_start;
            self.row_start = 0;
        }
        if self.buffer.len() - self.filled < READ_BYTES {
            let longer = (self.buffer.len() * 2).min(ROW_MAX_BYTES + 4 * READ_BYTES);
            self.buffer.resize(longer.max(self.filled + READ_BYTES), 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.at_end = true,
                Ok(count) => {
                    self.filled += count;
                    self.bytes_read += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", "the input", error)),
            }
            break;
        }
        if let Some(progress) = self.progress {
            progress(self.bytes_read);
        }
        Ok(())
    }

    /// From here on the row is only followed to its end.
    fn skim(&mut self) {
        if self.kept.is_none() {
            let row = &self.buffer[self.row_start..self.pos];
            self.kept = Some(row[..row.len().min(KEPT_BYTES)].to_vec());
        }
        self.too_long = true;
        self.spans.clear();
        self.row_start = self.pos;
        self.cell_start = 0;
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
