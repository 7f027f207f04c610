//! Writing records: one a line, or as one array.
//!
//! Invariant: raw bytes are written as they stand, so numbers of any length pass exactly.

use super::split::Shape;
use crate::error::write_error;
use handover_core::{Error, Result};
use serde::Serialize;
use std::io::Write;

const BUFFER_BYTES: usize = 128 * 1024;

/// Writes records. [`Writer::finish`] has to be called at the end.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    shape: Shape,
    buffer: Vec<u8>,
    any: bool,
}

impl<W: Write> Writer<W> {
    /// A writer of this shape. It makes large writes, so the output needs no buffer.
    pub fn new(out: W, shape: Shape) -> Self {
        Self { out, shape, buffer: Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8), any: false }
    }

    /// Writes a record as it stands. The bytes have to be one JSON value, for NDJSON without a line feed (see
    /// [`Writer::value`] for any other).
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn raw(&mut self, record: &[u8]) -> Result<()> {
        self.begin();
        // An array may have been laid out over many lines; outside strings a line feed is white space.
        if self.shape == Shape::Lines && memchr::memchr(b'\n', record).is_some() {
            self.buffer.extend(record.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        } else {
            self.buffer.extend_from_slice(record);
        }
        self.end()
    }

    /// Writes a value.
    ///
    /// # Errors
    /// Where the output cannot be written, or the value is none of JSON.
    pub fn value<T: Serialize>(&mut self, value: &T) -> Result<()> {
        self.begin();
        serde_json::to_writer(&mut self.buffer, value)
            .map_err(|error| Error::internal("a record cannot be written as JSON").because(error))?;
        self.end()
    }

    /// Writes a record by this function, which appends one JSON value without a line feed.
    ///
    /// # Errors
    /// Where the output cannot be written, and what the function gives.
    pub fn with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        self.begin();
        write(&mut self.buffer)?;
        self.end()
    }

    fn begin(&mut self) {
        if self.shape == Shape::Array {
            self.buffer.extend_from_slice(if self.any { b",\n" } else { b"[\n" });
        }
        self.any = true;
    }

    fn end(&mut self) -> Result<()> {
        if self.shape == Shape::Lines {
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(write_error)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is still held, and gives the output back; it is flushed.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        if self.shape == Shape::Array {
            self.buffer.extend_from_slice(if self.any { b"\n]\n" } else { b"[]\n" });
        }
        self.write_out()?;
        self.out.flush().map_err(write_error)?;
        Ok(self.out)
    }
}

/// Appends a text as a JSON string (RFC 8259, 7).
#[inline]
pub fn push_string(into: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    into.reserve(bytes.len() + 2);
    into.push(b'"');
    // Without an early end, so that many bytes are looked at at once; most texts have nothing to escape.
    if bytes.iter().fold(false, |any, byte| any | needs_escape(*byte)) {
        push_escaped(into, bytes);
    } else {
        into.extend_from_slice(bytes);
    }
    into.push(b'"');
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn push_escaped(into: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| needs_escape(**byte)) {
        into.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        let short = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'"' | b'\\' => *byte,
            _ => {
                into.extend_from_slice(b"\\u00");
                into.push(HEX[usize::from(byte >> 4)]);
                into.push(HEX[usize::from(byte & 15)]);
                continue;
            }
        };
        into.extend_from_slice(&[b'\\', short]);
    }
    into.extend_from_slice(&bytes[start..]);
}
