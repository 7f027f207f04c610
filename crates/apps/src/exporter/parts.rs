//! The files that an export becomes: one, or several parts.
//!
//! Invariants: every part is whole by itself, with the table's header or the array's brackets; a row stands in one part.
//! There is at least one part, and at most [`PARTS_MAX`].

use super::config::Split;
use handover_core::{Checksum, Error, Result};
use handover_records::{Compression, FileKind, Format, Sink, write_error};
use sha2::{Digest, Sha256};
use std::io::Write;

/// How many files one export may become: each is held open until all are published.
const PARTS_MAX: usize = 500;
/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 256 * 1024;

/// What is in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Its SHA-256, before compression.
    pub checksum: Checksum,
    /// Its size in bytes, before compression.
    pub bytes: u64,
}

/// A file of an export that is written.
#[derive(Debug)]
pub struct PartFile<W> {
    /// Where it was written.
    pub out: W,
    /// How many rows are in it.
    pub rows: u64,
    /// What is in it, where that was asked for and it is compressed.
    pub content: Option<Content>,
}

/// The files of an export, one after the other.
pub(super) struct Parts<'a, W: Write> {
    open: &'a mut (dyn FnMut() -> Result<W> + Send),
    format: Format,
    compression: Compression,
    encoding: handover_records::Encoding,
    level: Option<i32>,
    check: bool,
    hash: bool,
    split: Option<Split>,
    /// Whether an array gets its brackets here.
    framed: bool,
    /// Stands at the beginning of each part of a table.
    header: Vec<u8>,
    current: Option<Part<W>>,
    done: Vec<PartFile<W>>,
}

struct Part<W: Write> {
    sink: Sink<W>,
    buffer: Vec<u8>,
    hasher: Option<Sha256>,
    bytes: u64,
    rows: u64,
    /// What is in it, where that was found out otherwise.
    content: Option<Content>,
}

impl<W: Write> Part<W> {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.spill()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.put(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let put = self.put(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        put
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.bytes += bytes.len() as u64;
        self.sink.write_all(bytes).map_err(write_error)
    }
}

impl<'a, W: Write> Parts<'a, W> {
    /// Nothing is opened yet. With `check`, what is compressed is unpacked again and compared; with `hash`, the
    /// checksum of what is in each file is found.
    pub(super) fn new(
        open: &'a mut (dyn FnMut() -> Result<W> + Send),
        kind: &FileKind,
        level: Option<i32>,
        check: bool,
        hash: bool,
    ) -> Self {
        Self {
            open,
            format: kind.format,
            compression: kind.compression,
            encoding: kind.dialect.encoding,
            level: level.filter(|_| kind.compression != Compression::None),
            check,
            hash,
            split: None,
            framed: false,
            header: Vec::new(),
            current: None,
            done: Vec::new(),
        }
    }

    /// The files are written by [`Parts::row`], and a new one is begun as this says.
    pub(super) fn by_rows(&mut self, split: Option<&Split>) {
        self.framed = true;
        self.split = split.cloned();
    }

    /// What each part of a table begins with. To be called before the first row.
    pub(super) fn header(&mut self, header: Vec<u8>) {
        self.header = header;
    }

    fn current(&mut self) -> Result<&mut Part<W>> {
        match &mut self.current {
            Some(part) => Ok(part),
            slot @ None => {
                if self.done.len() >= PARTS_MAX {
                    return Err(Error::config(format!("split: the export has more than {PARTS_MAX} parts"))
                        .hint("let each part have more rows or bytes"));
                }
                let out = (self.open)()?;
                let make = if self.check { Sink::checked } else { Sink::encoded };
                let sink = make(out, self.compression, self.level, self.encoding)?;
                let mut part = Part {
                    sink,
                    buffer: Vec::with_capacity(BUFFER_BYTES),
                    hasher: self.hash.then(Sha256::new),
                    bytes: 0,
                    rows: 0,
                    content: None,
                };
                part.push(&self.header)?;
                Ok(slot.insert(part))
            }
        }
    }

    /// Bytes as they stand.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.current()?.push(bytes)
    }

    /// How many rows [`Parts::raw`] has written, and what is in the file, where that was found out on the way.
    pub(super) fn counted(&mut self, rows: u64, content: Option<Content>) -> Result<()> {
        let part = self.current()?;
        part.rows = rows;
        part.content = content;
        Ok(())
    }

    /// One row of a table with its line end, or one JSON value without anything around it.
    pub(super) fn row(&mut self, row: &[u8]) -> Result<()> {
        let format = self.format;
        if let (Some(split), Some(part)) = (&self.split, &self.current) {
            let bytes = part.bytes + part.buffer.len() as u64;
            let full = split.rows.is_some_and(|rows| part.rows >= rows)
                || (part.rows > 0 && split.size.is_some_and(|size| bytes + row.len() as u64 > size));
            if full {
                self.end_part()?;
            }
        }
        let part = self.current()?;
        match format {
            Format::Json => part.push(if part.rows == 0 { b"[\n" } else { b",\n" })?,
            Format::Csv | Format::Ndjson => {}
        }
        part.push(row)?;
        if format == Format::Ndjson {
            part.push(b"\n")?;
        }
        part.rows += 1;
        Ok(())
    }

    fn end_part(&mut self) -> Result<()> {
        let Some(mut part) = self.current.take() else { return Ok(()) };
        if self.format == Format::Json && self.framed {
            part.push(if part.rows == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        part.spill()?;
        let bytes = part.bytes;
        let hashed =
            part.hasher.map(|hasher| Content { checksum: Checksum(hasher.finalize().into()), bytes });
        let content = part.content.or(hashed);
        self.done.push(PartFile { out: part.sink.finish()?, rows: part.rows, content });
        Ok(())
    }

    /// Ends the last part and gives them all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn finish(mut self) -> Result<Vec<PartFile<W>>> {
        if self.done.is_empty() {
            self.current()?;
        }
        self.end_part()?;
        Ok(self.done)
    }
}
