//! A run: sorted records in a scratch file, one behind the other, each as the length of its key, the length of the
//! record (32 bits each), the key and the record.
//!
//! Invariant: a run is read by the process that wrote it, so what is cut short is a fault of the disk, and said so.

use super::prefix_of;
use handover_core::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, Write};

/// What the two lengths take.
pub(super) const LENGTHS_BYTES: usize = 8;
const WRITE_BYTES: usize = 256 * 1024;
const READ_BYTES: usize = 128 * 1024;
const ON: &str = "a temporary file";

/// A record with its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// What it is sorted by.
    pub(crate) key: &'a [u8],
    /// What was given with the key.
    pub(crate) record: &'a [u8],
    /// Both with their lengths.
    pub(super) framed: &'a [u8],
}

impl<'a> Record<'a> {
    /// The parts of a framed record.
    pub(super) fn of(framed: &'a [u8]) -> Self {
        let key_len = length_at(framed, 0).min(framed.len().saturating_sub(LENGTHS_BYTES));
        let (key, record) = framed.get(LENGTHS_BYTES..).unwrap_or_default().split_at(key_len);
        Self { key, record, framed }
    }
}

fn length_at(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        Some(length) => u32::from_le_bytes(*length) as usize,
        None => 0,
    }
}

/// How long the framed record is that begins so, as far as its lengths are there.
fn framed_len(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= LENGTHS_BYTES).then(|| LENGTHS_BYTES + length_at(bytes, 0) + length_at(bytes, 4))
}

/// Appends a record. Keys and records are far shorter than 4 GiB: they are made of one row.
pub(super) fn push_framed(into: &mut Vec<u8>, key: &[u8], record: &[u8]) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    into.extend_from_slice(&length(key));
    into.extend_from_slice(&length(record));
    into.extend_from_slice(key);
    into.extend_from_slice(record);
}

/// The framed record at this place.
pub(super) fn framed_at(arena: &[u8], at: usize) -> &[u8] {
    let rest = arena.get(at..).unwrap_or_default();
    &rest[..framed_len(rest).unwrap_or(0).min(rest.len())]
}

/// A finished run.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
}

/// Writes a run.
pub(super) struct RunWriter {
    file: File,
    buffer: Vec<u8>,
}

impl RunWriter {
    pub(super) fn new(file: File) -> Self {
        Self { file, buffer: Vec::with_capacity(WRITE_BYTES + WRITE_BYTES / 8) }
    }

    pub(super) fn push(&mut self, framed: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(framed);
        if self.buffer.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(|error| Error::io("write", ON, error))?;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Run> {
        self.write_out()?;
        Ok(Run { file: self.file })
    }
}

/// Reads a run, one record at a time.
pub(super) struct RunReader {
    file: File,
    buffer: Vec<u8>,
    filled: usize,
    /// The current record.
    at: usize,
    len: usize,
    prefix: u64,
}

impl RunReader {
    pub(super) fn new(run: Run) -> Result<Self> {
        let mut file = run.file;
        file.rewind().map_err(|error| Error::io("read", ON, error))?;
        Ok(Self { file, buffer: vec![0; READ_BYTES], filled: 0, at: 0, len: 0, prefix: 0 })
    }

    pub(super) fn prefix(&self) -> u64 {
        self.prefix
    }

    pub(super) fn record(&self) -> Record<'_> {
        Record::of(&self.buffer[self.at..self.at + self.len])
    }

    /// Goes to the next record; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.at += std::mem::take(&mut self.len);
        loop {
            let there = &self.buffer[self.at..self.filled];
            let wanted = framed_len(there);
            if let Some(len) = wanted
                && len <= there.len()
            {
                self.len = len;
                self.prefix = prefix_of(self.record().key);
                return Ok(true);
            }
            if !self.read_more(wanted.unwrap_or(LENGTHS_BYTES))? {
                return Ok(false);
            }
        }
    }

    /// Reads behind what is left, with room for a record of `wanted` bytes; false at the end.
    fn read_more(&mut self, wanted: usize) -> Result<bool> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= std::mem::take(&mut self.at);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let count = loop {
            match self.file.read(&mut self.buffer[self.filled..]) {
                Ok(count) => break count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", ON, error)),
            }
        };
        self.filled += count;
        match (count, self.filled) {
            (0, 0) => Ok(false),
            (0, _) => Err(Error::io("read", ON, std::io::Error::from(std::io::ErrorKind::UnexpectedEof))),
            _ => Ok(true),
        }
    }
}
