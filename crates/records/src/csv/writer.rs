//! Writing a table: cells in quotes where the dialect needs them, whole rows and raw cells as they stand.
//!
//! Invariants:
//! - What is written is read again, in the same dialect, as the same cells; a cell that a dialect cannot express (it
//!   has neither quotes nor an escape character for it) is an error, never a changed cell.
//! - Nothing is allocated for a cell or a row.

use super::batch::BYTE_ORDER_MARK;
use crate::dialect::{Dialect, LineEnd};
use crate::error::write_error;
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// How much is gathered before it is written on.
const BUFFER_BYTES: usize = 128 * 1024;

/// Which cells are put in quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quoting {
    /// Those that need them.
    #[default]
    Minimal,
    /// All.
    All,
}

/// What a byte inside a cell asks for.
const QUOTES: u8 = 1;
const ESCAPE: u8 = 2;

/// Appends cells and line ends to a buffer, by a dialect.
#[derive(Debug, Clone)]
pub struct CellWriter {
    dialect: Dialect,
    quoting: Quoting,
    /// What each byte asks for.
    special: Box<[u8; 256]>,
}

impl CellWriter {
    /// A writer of cells in this dialect. Its encoding plays no part: cells are bytes.
    pub fn new(dialect: &Dialect, quoting: Quoting) -> Self {
        let mut special = Box::new([0; 256]);
        let mut mark = |byte: Option<u8>, what: u8| {
            if let Some(byte) = byte {
                special[usize::from(byte)] |= what;
            }
        };
        for byte in [dialect.delimiter, b'\r', b'\n'] {
            mark(Some(byte), QUOTES);
        }
        if let LineEnd::Byte(byte) = dialect.line_terminator {
            mark(Some(byte), QUOTES);
        }
        mark(dialect.quote, QUOTES | ESCAPE);
        mark(dialect.escape, QUOTES | ESCAPE);
        let quoting = if dialect.quote.is_some() { quoting } else { Quoting::Minimal };
        Self { dialect: dialect.clone(), quoting, special }
    }

    /// The dialect that it writes.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Appends a cell with the quotes that it needs, without a delimiter. `first` says that it opens its row.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a cell that the dialect cannot express.
    #[inline]
    pub fn push_cell(&self, into: &mut Vec<u8>, cell: &[u8], first: bool) -> Result<()> {
        let needs = cell.iter().fold(0, |all, byte| all | self.special[usize::from(*byte)]);
        let starts = match cell.first() {
            None => false,
            Some(byte) => {
                (first && self.dialect.comment == Some(*byte))
                    || (self.dialect.skip_initial_space && *byte == b' ')
                    || (first && cell.starts_with(BYTE_ORDER_MARK))
            }
        };
        if needs == 0 && !starts && self.quoting == Quoting::Minimal {
            into.extend_from_slice(cell);
            return Ok(());
        }
        self.push_special(into, cell, needs, starts)
    }

    /// A cell that cannot stand as it is.
    fn push_special(&self, into: &mut Vec<u8>, cell: &[u8], needs: u8, starts: bool) -> Result<()> {
        let Some(quote) = self.dialect.quote else { return self.push_escaped(into, cell, starts) };
        if needs & ESCAPE == 0 {
            into.push(quote);
            into.extend_from_slice(cell);
            into.push(quote);
            return Ok(());
        }
        let start = into.len();
        into.push(quote);
        for byte in cell {
            let before = match self.dialect.escape {
                Some(escape) if *byte == escape => Some(escape),
                Some(escape) if *byte == quote && !self.dialect.double_quote => Some(escape),
                None if *byte == quote && !self.dialect.double_quote => {
                    into.truncate(start);
                    return Err(self.cannot(cell));
                }
                _ => (*byte == quote).then_some(quote),
            };
            into.extend(before);
            into.push(*byte);
        }
        into.push(quote);
        Ok(())
    }

    /// A cell in a dialect without quotes.
    fn push_escaped(&self, into: &mut Vec<u8>, cell: &[u8], starts: bool) -> Result<()> {
        let Some(escape) = self.dialect.escape else { return Err(self.cannot(cell)) };
        if starts {
            into.push(escape);
        }
        for (at, byte) in cell.iter().enumerate() {
            let special = self.special[usize::from(*byte)] != 0;
            if special && !(starts && at == 0) {
                into.push(escape);
            }
            into.push(*byte);
        }
        Ok(())
    }

    fn cannot(&self, cell: &[u8]) -> Error {
        let text: String = String::from_utf8_lossy(cell).chars().take(80).collect();
        Error::bad_data(format!("the dialect has no way to write the cell {text:?}"))
            .hint("give the dialect a quote_char with double_quote, or an escape_char")
    }

    /// Appends the empty cell of a row that has no other. As an empty line it would be no row.
    fn push_only_empty(&self, into: &mut Vec<u8>) -> Result<()> {
        match self.dialect.quote {
            Some(quote) => {
                into.extend_from_slice(&[quote, quote]);
                Ok(())
            }
            None => Err(Error::bad_data("the dialect has no way to write a row of one empty cell")
                .hint("give the dialect a quote_char")),
        }
    }

    /// Appends a whole row of cells with its line end.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a cell that the dialect cannot express; the buffer then ends as before.
    pub fn push_row<C: AsRef<[u8]>>(
        &self,
        into: &mut Vec<u8>,
        cells: impl IntoIterator<Item = C>,
    ) -> Result<()> {
        let start = into.len();
        let mut count = 0;
        for cell in cells {
            if count > 0 {
                into.push(self.dialect.delimiter);
            }
            if let Err(error) = self.push_cell(into, cell.as_ref(), count == 0) {
                into.truncate(start);
                return Err(error);
            }
            count += 1;
        }
        if count == 1 && into.len() == start {
            self.push_only_empty(into)?;
        }
        self.push_line_end(into);
        Ok(())
    }

    /// Appends the delimiter.
    #[inline]
    pub fn push_delimiter(&self, into: &mut Vec<u8>) {
        into.push(self.dialect.delimiter);
    }

    /// Appends the line end.
    #[inline]
    pub fn push_line_end(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.dialect.line_terminator.bytes());
    }
}

/// Writes a table, row by row, to a stream. [`Writer::finish`] has to be called at the end.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    cells: CellWriter,
    buffer: Vec<u8>,
    /// Where the row under way begins in the buffer.
    row_start: usize,
    /// How many cells the row under way has.
    cells_in_row: usize,
}

impl<W: Write> Writer<W> {
    /// A writer of this dialect. It makes large writes, so the output needs no buffer.
    pub fn new(out: W, dialect: &Dialect) -> Self {
        Self::with_quoting(out, dialect, Quoting::Minimal)
    }

    /// A writer that puts these cells in quotes.
    pub fn with_quoting(out: W, dialect: &Dialect, quoting: Quoting) -> Self {
        Self {
            out,
            cells: CellWriter::new(dialect, quoting),
            buffer: Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8),
            row_start: 0,
            cells_in_row: 0,
        }
    }

    /// Writes a cell, with quotes where it needs them.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a cell that the dialect cannot express.
    #[inline]
    pub fn cell(&mut self, cell: &[u8]) -> Result<()> {
        self.separate();
        self.cells.push_cell(&mut self.buffer, cell, self.cells_in_row == 1)
    }

    /// Writes one cell or several, with the delimiters between them, as they stand.
    #[inline]
    pub fn raw_cells(&mut self, raw: &[u8]) {
        self.separate();
        self.buffer.extend_from_slice(raw);
    }

    #[inline]
    fn separate(&mut self) {
        if self.cells_in_row > 0 {
            self.cells.push_delimiter(&mut self.buffer);
        }
        self.cells_in_row += 1;
    }

    /// Ends the row.
    ///
    /// # Errors
    /// Where the output cannot be written, or the row is one empty cell and the dialect has no quotes.
    #[inline]
    pub fn end_row(&mut self) -> Result<()> {
        if self.cells_in_row == 1 && self.buffer.len() == self.row_start {
            self.cells.push_only_empty(&mut self.buffer)?;
        }
        self.cells.push_line_end(&mut self.buffer);
        self.row_done()
    }

    /// Writes a row of these cells.
    ///
    /// # Errors
    /// As [`Writer::cell`] and [`Writer::end_row`].
    pub fn row<C: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = C>) -> Result<()> {
        self.cells.push_row(&mut self.buffer, cells)?;
        self.row_done()
    }

    /// Writes whole rows with their line ends, as they stand.
    ///
    /// # Errors
    /// Where the output cannot be written.
    #[inline]
    pub fn raw_rows(&mut self, rows: &[u8]) -> Result<()> {
        if rows.len() >= BUFFER_BYTES {
            self.write_out()?;
            return self.out.write_all(rows).map_err(write_error);
        }
        self.buffer.extend_from_slice(rows);
        self.row_done()
    }

    #[inline]
    fn row_done(&mut self) -> Result<()> {
        self.cells_in_row = 0;
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        self.row_start = self.buffer.len();
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(write_error)?;
        self.buffer.clear();
        self.row_start = 0;
        Ok(())
    }

    /// Writes what is still held, and gives the output back; it is flushed.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.write_out()?;
        self.out.flush().map_err(write_error)?;
        Ok(self.out)
    }
}
