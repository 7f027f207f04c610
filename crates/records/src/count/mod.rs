//! How many records bytes hold, counted as they pass in chunks of any size.
//!
//! - CSV: rows as [`crate::csv::Reader`] gives them, less the header where there is one; empty lines and comments are
//!   not counted. With the default dialect that is what the `csv` crate counts.
//! - NDJSON: lines that hold more than white space.
//! - JSON: the length of the one array that it is; none where it is something else. Brackets and commas are counted,
//!   values are not checked.
//!
//! Nothing here fails or panics on any bytes. There is no I/O, so a crash leaves nothing.

mod array;

use crate::csv::kernel::{Kernel, Level, WIDTH};
use crate::csv::machine::{Machine, State};
use crate::csv::simd::{self, Task};
use crate::dialect::Dialect;
use crate::format::Format;
use memchr::memchr;

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Counts records.
#[derive(Debug, Clone)]
pub struct RowCounter {
    /// How much of a byte order mark the input begins with; none once that is known.
    mark: Option<usize>,
    rows: Rows,
}

#[derive(Debug, Clone)]
enum Rows {
    Csv(Box<CsvCounter>),
    Lines(Lines),
    Json(array::ArrayLength),
}

impl RowCounter {
    /// A counter of this format; the dialect matters for CSV alone.
    pub fn new(format: Format, dialect: &Dialect) -> Self {
        Self::with_level(format, dialect, Level::best())
    }

    pub(crate) fn with_level(format: Format, dialect: &Dialect, level: Level) -> Self {
        let rows = match format {
            Format::Csv => Rows::Csv(Box::new(CsvCounter::new(dialect, level))),
            Format::Ndjson => Rows::Lines(Lines::default()),
            Format::Json => Rows::Json(array::ArrayLength::default()),
        };
        Self { mark: Some(0), rows }
    }

    /// The counter for files with this extension (without its first dot); none where the extension does not say what a
    /// record is, or says that the file is compressed.
    pub fn for_ext(ext: &str) -> Option<Self> {
        let kind = crate::format::FileKind::of_ext(ext)?;
        (kind.compression == crate::compress::Compression::None)
            .then(|| Self::new(kind.format, &kind.dialect))
    }

    /// The next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some(seen) = self.mark {
            let Some((first, rest)) = bytes.split_first() else { return };
            if *first != BYTE_ORDER_MARK[seen] {
                self.mark = None;
                // What looked like a mark was the beginning of a record.
                self.rows.push(&BYTE_ORDER_MARK[..seen]);
                break;
            }
            bytes = rest;
            self.mark = (seen + 1 < BYTE_ORDER_MARK.len()).then_some(seen + 1);
        }
        self.rows.push(bytes);
    }

    /// The number of records; none where what should be a JSON array is none.
    pub fn finish(mut self) -> Option<u64> {
        if let Some(seen) = self.mark {
            self.rows.push(&BYTE_ORDER_MARK[..seen]);
        }
        match self.rows {
            Rows::Csv(rows) => Some(rows.finish()),
            Rows::Lines(lines) => Some(lines.finish()),
            Rows::Json(array) => array.finish(),
        }
    }
}

impl handover_core::CountRows for RowCounter {
    fn push(&mut self, bytes: &[u8]) {
        RowCounter::push(self, bytes);
    }

    fn finish(self: Box<Self>) -> Option<u64> {
        RowCounter::finish(*self)
    }
}

impl Rows {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Rows::Csv(rows) => simd::run(rows.level, Count { counter: rows, bytes }),
            Rows::Lines(lines) => lines.push(bytes),
            Rows::Json(array) => array.push(bytes),
        }
    }
}

/// Counts the rows of a table.
#[derive(Debug, Clone)]
struct CsvCounter {
    machine: Machine,
    level: Level,
    header: bool,
    /// Whether the byte before was a line end, or there was none.
    after_end: bool,
    rows: u64,
}

impl CsvCounter {
    fn new(dialect: &Dialect, level: Level) -> Self {
        Self { machine: Machine::new(dialect), level, header: dialect.header, after_end: true, rows: 0 }
    }

    fn finish(self) -> u64 {
        let open = !self.after_end && self.machine.state != State::Comment;
        (self.rows + u64::from(open)).saturating_sub(u64::from(self.header))
    }
}

struct Count<'a> {
    counter: &'a mut CsvCounter,
    bytes: &'a [u8],
}

impl Task for Count<'_> {
    #[inline(always)]
    fn run<K: Kernel>(self) {
        let Count { counter, bytes } = self;
        let (blocks, rest) = bytes.as_chunks::<WIDTH>();
        for block in blocks {
            counter.block::<K>(block, WIDTH);
        }
        if !rest.is_empty() {
            let mut block = [0; WIDTH];
            block[..rest.len()].copy_from_slice(rest);
            counter.block::<K>(&block, rest.len());
        }
    }
}

impl CsvCounter {
    #[inline(always)]
    fn block<K: Kernel>(&mut self, block: &[u8; WIDTH], len: usize) {
        let ends = self.machine.block::<K>(block, len);
        let after_end = (ends.terminators << 1) | u64::from(self.after_end);
        self.rows += u64::from((ends.rows & !after_end & !ends.comments).count_ones());
        self.after_end = ends.terminators >> (len - 1) & 1 != 0;
    }
}

#[derive(Debug, Clone, Default)]
struct Lines {
    lines: u64,
    /// Whether the line so far holds more than white space.
    filled: bool,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            self.lines += u64::from(self.filled || filled(&bytes[..end]));
            self.filled = false;
            bytes = &bytes[end + 1..];
        }
        self.filled |= filled(bytes);
    }

    fn finish(self) -> u64 {
        self.lines + u64::from(self.filled)
    }
}

fn filled(line: &[u8]) -> bool {
    line.iter().any(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
#[path = "../count_tests.rs"]
mod tests;
