//! Cells by key, in memory: what a reference holds, and the same as it is appended to rows.
//!
//! Invariants:
//! - No two keys run together, whatever their parts hold.
//! - A row found is appended in one piece: its cells, quoted as the output's dialect wants it, with the delimiters before
//!   them, or its fields as JSON.
//!
//! There is no I/O.

use handover_core::Result;
use handover_records::Dialect;
use handover_records::csv::{CellWriter, Quoting};
use handover_records::json::push_string;
use std::borrow::Cow;
use std::collections::HashMap;

/// Keys come from data, so they are hashed with a seed of this process.
type Hasher = foldhash::fast::RandomState;

/// Appends a part of a key. A part of several has its length before it.
#[inline]
pub(super) fn push_key(key: &mut Vec<u8>, part: &[u8], parts: usize) {
    if parts > 1 {
        key.extend_from_slice(&(part.len() as u64).to_le_bytes());
    }
    key.extend_from_slice(part);
}

/// What a cell is, where it goes into JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// Anything else of JSON, as it stands.
    Json,
    /// Not there, or null.
    Missing,
}

/// The taken cells of all rows, by key.
#[derive(Debug, Default)]
pub(super) struct Content {
    rows: HashMap<Box<[u8]>, u32, Hasher>,
    /// The row's number in its file, for each.
    numbers: Vec<u64>,
    /// How many cells a row has.
    width: usize,
    bytes: Vec<u8>,
    /// Where each cell ends, and what it is.
    cells: Vec<(u32, Kind)>,
}

impl Content {
    /// For rows of so many cells.
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// The number of the row with this key.
    pub(super) fn number(&self, key: &[u8]) -> Option<u64> {
        self.find(key).and_then(|row| self.numbers.get(row as usize).copied())
    }

    /// The row with this key.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.rows.get(key).copied()
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Adds a row, in place of an earlier one with the same key; false where there is no room any more.
    pub(super) fn add<'c>(
        &mut self,
        key: &[u8],
        number: u64,
        cells: impl Iterator<Item = (Cow<'c, [u8]>, Kind)>,
    ) -> bool {
        let Ok(row) = u32::try_from(self.numbers.len()) else { return false };
        for (cell, kind) in cells {
            self.bytes.extend_from_slice(&cell);
            let Ok(end) = u32::try_from(self.bytes.len()) else { return false };
            self.cells.push((end, kind));
        }
        self.numbers.push(number);
        self.rows.insert(key.into(), row);
        true
    }

    /// A cell of a row.
    #[inline]
    pub(super) fn cell(&self, row: u32, cell: usize) -> (&[u8], Kind) {
        let at = row as usize * self.width + cell;
        let start = at.checked_sub(1).and_then(|before| self.cells.get(before)).map_or(0, |(end, _)| *end);
        match self.cells.get(at) {
            Some((end, kind)) => (&self.bytes[start as usize..*end as usize], *kind),
            None => (b"", Kind::Missing),
        }
    }

    /// Whether no row has this cell.
    pub(super) fn never(&self, cell: usize) -> bool {
        let mut cells = self.cells.iter().skip(cell).step_by(self.width.max(1));
        cells.all(|(_, kind)| *kind == Kind::Missing)
    }
}

/// What cells are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Rows of a table.
    Table(Dialect),
    /// JSON objects.
    Records,
}

/// The rows of a content, each as the piece that is appended.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) form: Form,
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
}

impl Holding {
    /// All rows in this form; `names` are the fields' names.
    ///
    /// # Errors
    /// Where the dialect cannot express a cell.
    pub(super) fn new(content: &Content, form: &Form, names: &[String]) -> Result<Self> {
        let mut pieces = Pieces::new(form);
        let mut holding =
            Self { form: form.clone(), bytes: Vec::new(), ends: Vec::with_capacity(content.len()) };
        for row in 0..content.len() {
            for (cell, name) in names.iter().enumerate() {
                let (text, kind) = content.cell(u32::try_from(row).unwrap_or(u32::MAX), cell);
                pieces.push(&mut holding.bytes, name, text, kind)?;
            }
            holding.ends.push(holding.bytes.len());
        }
        Ok(holding)
    }

    /// The piece of a row.
    #[inline]
    pub(super) fn piece(&self, row: u32) -> &[u8] {
        let row = row as usize;
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(row).map_or(b"", |end| &self.bytes[start..*end])
    }
}

/// Writes cells as they are appended.
pub(super) struct Pieces {
    writer: Option<CellWriter>,
}

impl Pieces {
    pub(super) fn new(form: &Form) -> Self {
        let writer = match form {
            Form::Table(dialect) => Some(CellWriter::new(dialect, Quoting::Minimal)),
            Form::Records => None,
        };
        Self { writer }
    }

    /// Appends a cell with its delimiter, or a field with its comma. What is missing is an empty cell, and null.
    ///
    /// # Errors
    /// Where the dialect cannot express the cell.
    #[inline]
    pub(super) fn push(&mut self, into: &mut Vec<u8>, name: &str, text: &[u8], kind: Kind) -> Result<()> {
        let Some(writer) = &self.writer else {
            push_name(into, name);
            match kind {
                Kind::Missing => into.extend_from_slice(b"null"),
                Kind::Json => into.extend_from_slice(text),
                Kind::Text => push_string(into, &String::from_utf8_lossy(text)),
            }
            return Ok(());
        };
        writer.push_delimiter(into);
        writer.push_cell(into, text, false)
    }
}

/// Appends a comma and a field's name.
pub(super) fn push_name(into: &mut Vec<u8>, name: &str) {
    into.push(b',');
    push_string(into, name);
    into.push(b':');
}
