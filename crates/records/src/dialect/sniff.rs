//! Finding out a dialect from the beginning of a file: its delimiter, by which its rows have the same number of cells,
//! more than one, and its encoding.
//!
//! Invariant: it never fails; where nothing speaks for another delimiter, it is the comma.

use super::Dialect;
use crate::csv::Reader;
use crate::encoding::{Encoding, Utf8Input};
use std::io::Read;

/// The delimiters that people use, the likelier ones first.
const CANDIDATES: [u8; 5] = [b',', b';', b'\t', b'|', b':'];
/// How many rows are looked at.
const ROWS: usize = 200;
/// How many bytes of the beginning are looked at.
const SAMPLE_BYTES: usize = 64 * 1024;

impl Dialect {
    /// The default dialect with the delimiter and the encoding of a file that begins so.
    pub fn sniff(begin: &[u8]) -> Self {
        let mut dialect = Self { encoding: Encoding::Detect.of(begin, false), ..Self::default() };
        dialect.sniff_delimiter(begin, dialect.encoding);
        dialect
    }

    /// Sets the delimiter to that of a file that begins so.
    pub(crate) fn sniff_delimiter(&mut self, begin: &[u8], encoding: Encoding) {
        let begin = &begin[..begin.len().min(SAMPLE_BYTES)];
        let mut text = Vec::new();
        // Reading from memory does not fail.
        let _ = Utf8Input::new(begin, encoding).read_to_end(&mut text);
        let mut best = (Score::default(), self.delimiter);
        for delimiter in CANDIDATES {
            let Ok(dialect) = (Self { delimiter, ..self.clone() }).checked() else { continue };
            let score = score(&text, &dialect);
            if score > best.0 {
                best = (score, delimiter);
            }
        }
        self.delimiter = best.1;
    }
}

/// How well a delimiter fits; what comes first weighs more.
#[derive(Debug, Default, Clone, Copy, PartialEq, PartialOrd)]
struct Score {
    /// The share of rows that have as many cells as the first, in tenths.
    even: u32,
    /// How many cells the first row has.
    cells: usize,
}

fn score(text: &[u8], dialect: &Dialect) -> Score {
    let mut reader = Reader::new(text, dialect);
    let (mut first, mut rows, mut even) = (0, 0u32, 0u32);
    while let Ok(Some(row)) = reader.next_row() {
        // The last row of a sample may be cut off.
        if row.is_blank() || (row.line_end().is_empty() && rows > 0) {
            continue;
        }
        if rows == 0 {
            first = row.len();
        }
        rows += 1;
        even += u32::from(row.len() == first);
        if rows as usize >= ROWS {
            break;
        }
    }
    if first < 2 { Score::default() } else { Score { even: even * 10 / rows.max(1), cells: first } }
}
