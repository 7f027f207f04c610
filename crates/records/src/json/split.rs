//! Where records end in bytes that come in pieces: at a line end, or at a comma or the bracket of the one array.
//!
//! Invariants:
//! - It can stop after any byte and go on when more have come, and finds the same.
//! - Nothing is parsed: brackets and strings are followed, whatever they hold.

use handover_core::{Error, Result};
use memchr::{memchr, memchr2};

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One a line: NDJSON.
    Lines,
    /// The elements of one array.
    Array,
}

/// Where a record stands in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the array's bracket.
    Before,
    /// In a line, or in an element outside its strings.
    Record,
    String,
    /// After a backslash in a string.
    Escaped,
    /// After the array's closing bracket.
    After,
}

/// Follows the records of an input.
#[derive(Debug)]
pub(crate) struct Splitter {
    shape: Shape,
    at: At,
    depth: u64,
    /// Whether an element came before the one under way.
    comma: bool,
    /// How far it has come in the block.
    pub(crate) pos: usize,
    /// Where the record under way begins.
    pub(crate) start: usize,
}

impl Splitter {
    pub(crate) fn new(shape: Shape) -> Self {
        let at = if shape == Shape::Lines { At::Record } else { At::Before };
        Self { shape, at, depth: 0, comma: false, pos: 0, start: 0 }
    }

    /// Whether nothing but white space is no record.
    pub(crate) fn skips_blank(&self) -> bool {
        self.shape == Shape::Lines
    }

    /// Goes on in a new block, at the beginning of the record under way.
    pub(crate) fn restart(&mut self) {
        (self.pos, self.start, self.depth) = (0, 0, 0);
        if matches!(self.at, At::String | At::Escaped) {
            self.at = At::Record;
        }
    }

    /// The next record that ends in the block; none where more bytes are needed.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Option<Span>> {
        match self.shape {
            Shape::Lines => Ok(self.line(bytes)),
            Shape::Array => self.element(bytes),
        }
    }

    fn line(&mut self, bytes: &[u8]) -> Option<Span> {
        match memchr(b'\n', &bytes[self.pos..]) {
            None => {
                self.pos = bytes.len();
                None
            }
            Some(at) => {
                let span = Span { start: self.start, end: self.pos + at };
                self.pos = span.end + 1;
                self.start = self.pos;
                Some(span)
            }
        }
    }

    fn element(&mut self, bytes: &[u8]) -> Result<Option<Span>> {
        while let Some(byte) = bytes.get(self.pos).copied() {
            match self.at {
                At::Before | At::After => self.outside(byte)?,
                At::String => match memchr2(b'"', b'\\', &bytes[self.pos..]) {
                    None => self.pos = bytes.len(),
                    Some(at) => {
                        self.pos += at + 1;
                        self.at = if bytes[self.pos - 1] == b'"' { At::Record } else { At::Escaped };
                    }
                },
                At::Escaped => {
                    self.at = At::String;
                    self.pos += 1;
                }
                At::Record => {
                    self.pos += 1;
                    match byte {
                        b'"' => self.at = At::String,
                        b'[' | b'{' => self.depth += 1,
                        b',' if self.depth == 0 => return Ok(Some(self.end_element(true))),
                        b']' if self.depth == 0 => {
                            self.at = At::After;
                            // Without a comma before it, nothing between the brackets is no element.
                            let blank = bytes[self.start..self.pos - 1].iter().all(|byte| is_white(*byte));
                            let none = blank && !self.comma;
                            let span = self.end_element(false);
                            if !none {
                                return Ok(Some(span));
                            }
                        }
                        b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                }
            }
        }
        Ok(None)
    }

    fn end_element(&mut self, comma: bool) -> Span {
        let span = Span { start: self.start, end: self.pos - 1 };
        self.start = self.pos;
        self.comma = comma;
        span
    }

    /// Outside the array only white space may stand.
    fn outside(&mut self, byte: u8) -> Result<()> {
        let before = self.at == At::Before;
        self.pos += 1;
        self.start = self.pos;
        if before && byte == b'[' {
            self.at = At::Record;
        } else if !is_white(byte) {
            return Err(if before {
                Error::bad_data("the input is no JSON array").hint(
                    "a json input is one array of records; where each line is a record, the format is ndjson",
                )
            } else {
                Error::bad_data("something follows the end of the JSON array")
                    .hint("a json input is one array of records and nothing more")
            });
        }
        Ok(())
    }

    /// What the end of the input leaves: a last record, or an array that was never closed.
    pub(crate) fn finish(&mut self, bytes: &[u8]) -> Result<Option<Span>> {
        match (self.shape, self.at) {
            (Shape::Lines, _) if self.start < bytes.len() => {
                let span = Span { start: self.start, end: bytes.len() };
                self.start = bytes.len();
                Ok(Some(span))
            }
            (Shape::Lines, _) | (Shape::Array, At::After) => Ok(None),
            (Shape::Array, At::Before) => Err(Error::bad_data("the input is empty: not even a JSON array")),
            (Shape::Array, _) => Err(Error::bad_data("the JSON array is not closed: the input is cut short")
                .hint("have the file sent again")),
        }
    }
}

/// White space of RFC 8259, 2.
pub(crate) fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
