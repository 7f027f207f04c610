//! Reading records: batch by batch, or one by one.
//!
//! Invariants:
//! - A batch ends with a whole record; the beginning of the next one waits in the reader.
//! - A fault of the file itself (an array that is not closed) comes after the records before it.

use super::parse::{Fault, Fields, Problem, check, fields, parse};
use super::split::{Shape, Span, Splitter, is_white};
use crate::csv::{BLOCK_BYTES, KEPT_BYTES};
use crate::error::read_once;
use handover_core::limits::ROW_MAX_BYTES;
use handover_core::{Error, Result};
use serde_json::Value;
use std::io::Read;

const BLOCK_MIN_BYTES: usize = 64;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, Copy)]
struct Mark {
    span: Span,
    fault: Option<Fault>,
}

/// A block of records. Make one with [`Batch::default`] and have a [`Reader`] fill it, as often as you like.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    number_before: u64,
    first: usize,
}

impl Batch {
    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.marks.len() - self.first
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A record by its place in the batch, from 0.
    pub fn record(&self, index: usize) -> Option<RecordRef<'_>> {
        let index = self.first.checked_add(index)?;
        let mark = self.marks.get(index)?;
        Some(RecordRef {
            raw: &self.bytes[mark.span.start..mark.span.end],
            number: self.number_before + index as u64 + 1,
            fault: mark.fault,
        })
    }

    /// The records in their order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = RecordRef<'_>> + '_ {
        let first = self.first;
        let (bytes, before) = (&self.bytes, self.number_before);
        self.marks[first..].iter().enumerate().map(move |(index, mark)| RecordRef {
            raw: &bytes[mark.span.start..mark.span.end],
            number: before + (first + index) as u64 + 1,
            fault: mark.fault,
        })
    }
}

/// One record as it stands in the input.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    raw: &'a [u8],
    number: u64,
    fault: Option<Fault>,
}

impl<'a> RecordRef<'a> {
    /// 1 for the first record of the input.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What was seen to be wrong without parsing it: [`Fault::TooLong`] or [`Fault::NotUtf8`].
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Its bytes, without white space around them.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Its value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self) -> Result<Value, Problem> {
        self.fault.map_or_else(|| parse(self.raw), |fault| Err(Problem::of(fault)))
    }

    /// Checks it without building anything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), Problem> {
        self.fault.map_or_else(|| check(self.raw), |fault| Err(Problem::of(fault)))
    }

    /// Its fields with their values' own bytes; none where it is no object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn fields(&self) -> Result<Option<Fields<'a>>, Problem> {
        self.fault.map_or_else(|| fields(self.raw), |fault| Err(Problem::of(fault)))
    }
}

/// Reads records.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    splitter: Splitter,
    block_bytes: usize,
    tail: Vec<u8>,
    at_end: bool,
    started: bool,
    number: u64,
    /// Whether bytes of the record under way were thrown away.
    lost: bool,
    /// What ends the reading, once the records before it were handed out.
    failed: Option<Error>,
    current: Batch,
    next: usize,
}

impl<R: Read> Reader<R> {
    /// A reader of this input, which is taken for UTF-8. It makes large reads, so the input needs no buffer.
    pub fn new(input: R, shape: Shape) -> Self {
        Self {
            input,
            splitter: Splitter::new(shape),
            block_bytes: BLOCK_BYTES,
            tail: Vec::new(),
            at_end: false,
            started: false,
            number: 0,
            lost: false,
            failed: None,
            current: Batch::default(),
            next: 0,
        }
    }

    /// How many bytes of records a batch holds, about.
    #[must_use]
    pub fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes.clamp(BLOCK_MIN_BYTES, ROW_MAX_BYTES);
        self
    }

    /// The input, which may have been read further than the records that were handed out.
    pub fn get_ref(&self) -> &R {
        &self.input
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// Where the input cannot be read, is no JSON array and should be one, or the work was cancelled.
    pub fn next_record(&mut self) -> Result<Option<RecordRef<'_>>> {
        while self.next >= self.current.len() {
            let mut batch = std::mem::take(&mut self.current);
            self.next = 0;
            let more = self.read_batch(&mut batch);
            self.current = batch;
            if !more? {
                return Ok(None);
            }
        }
        self.next += 1;
        Ok(self.current.record(self.next - 1))
    }

    /// Fills a batch with the next records; false at the end, with the batch empty.
    ///
    /// # Errors
    /// As [`Reader::next_record`].
    pub fn fill(&mut self, batch: &mut Batch) -> Result<bool> {
        if self.next < self.current.len() {
            std::mem::swap(batch, &mut self.current);
            batch.first += std::mem::take(&mut self.next);
            self.current.marks.clear();
            self.current.first = 0;
            return Ok(true);
        }
        self.read_batch(batch)
    }

    fn read_batch(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.marks.clear();
        batch.first = 0;
        batch.number_before = self.number;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if batch.bytes.len() > 2 * self.block_bytes.max(self.tail.len()) {
            batch.bytes = Vec::new();
        }
        let room = self.block_bytes.max(self.tail.len() + 1);
        if batch.bytes.len() < room {
            batch.bytes.resize(room, 0);
        }
        let mut filled = self.tail.len();
        batch.bytes[..filled].copy_from_slice(&self.tail);
        self.tail.clear();
        self.splitter.restart();
        loop {
            if !self.at_end {
                filled = self.read_more(batch, filled)?;
            }
            if !self.pass_mark(batch, filled) {
                continue;
            }
            self.split(batch, filled);
            if self.at_end || self.failed.is_some() {
                break;
            }
            if filled == batch.bytes.len() {
                if !batch.marks.is_empty() {
                    self.tail.extend_from_slice(&batch.bytes[self.splitter.start..filled]);
                    break;
                }
                filled = self.make_room(batch, filled);
            }
        }
        self.number += batch.marks.len() as u64;
        match self.failed.take_if(|_| batch.marks.is_empty()) {
            Some(error) => Err(error),
            None => Ok(!batch.marks.is_empty()),
        }
    }

    /// Notes the records that have come in whole.
    fn split(&mut self, batch: &mut Batch, filled: usize) {
        loop {
            match self.splitter.next(&batch.bytes[..filled]) {
                Ok(Some(span)) => self.note(batch, span),
                Ok(None) => break,
                Err(error) => {
                    self.failed = Some(error);
                    return;
                }
            }
        }
        if self.at_end {
            match self.splitter.finish(&batch.bytes[..filled]) {
                Ok(Some(span)) => self.note(batch, span),
                Ok(None) => {}
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Notes a record, unless it is a blank line.
    fn note(&mut self, batch: &mut Batch, span: Span) {
        let lost = std::mem::take(&mut self.lost) || span.end - span.start > ROW_MAX_BYTES;
        let mut raw = &batch.bytes[span.start..span.end];
        let mut start = span.start;
        while let [first, rest @ ..] = raw
            && is_white(*first)
        {
            raw = rest;
            start += 1;
        }
        while let [rest @ .., last] = raw
            && is_white(*last)
        {
            raw = rest;
        }
        if raw.is_empty() && !lost && self.splitter.skips_blank() {
            return;
        }
        let fault = if lost {
            raw = &raw[..raw.len().min(KEPT_BYTES)];
            Some(Fault::TooLong)
        } else {
            simdutf8::basic::from_utf8(raw).is_err().then_some(Fault::NotUtf8)
        };
        batch.marks.push(Mark { span: Span { start, end: start + raw.len() }, fault });
    }

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
            self.splitter.pos = begin.len();
            self.splitter.start = begin.len();
        }
        true
    }

    fn read_more(&mut self, batch: &mut Batch, filled: usize) -> Result<usize> {
        let count = read_once(&mut self.input, &mut batch.bytes[filled..])?;
        self.at_end |= count == 0;
        Ok(filled + count)
    }

    /// The block holds not one whole record: a longer block, or less of the record.
    fn make_room(&mut self, batch: &mut Batch, filled: usize) -> usize {
        let start = self.splitter.start;
        if self.lost || filled - start > ROW_MAX_BYTES {
            self.lost = true;
            let kept = start + KEPT_BYTES.min(self.splitter.pos - start);
            self.splitter.pos = kept;
            return kept;
        }
        if start > 0 {
            // White space, or a bracket: nothing of it is needed any more.
            batch.bytes.copy_within(start..filled, 0);
            self.splitter.pos -= start;
            self.splitter.start = 0;
            return filled - start;
        }
        let longer = (batch.bytes.len() * 2).min(ROW_MAX_BYTES + self.block_bytes);
        batch.bytes.resize(longer.max(filled + self.block_bytes), 0);
        filled
    }
}
