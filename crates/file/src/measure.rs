//! Size, checksum and row count of bytes as they pass, in one pass.
//!
//! What a row is follows from the extension:
//! - `csv`, `tsv`: records less the header, exactly as the `csv` crate with its defaults sees them, so that a
//!   reader counts what the manifest says: a record ends at `\n`, `\r` or `\r\n` outside quotes; a quote opens
//!   only at the start of a field, two quotes inside are one, and what follows a closing quote is plain; a
//!   byte-order mark at the start and empty lines are not counted; a last line without an end is.
//! - `ndjson`, `jsonl`: lines that hold more than white space.
//! - `json`: the length of the one array that it is; none where it is something else. Brackets and commas are
//!   counted, values are not checked.
//! - anything else, compressed files among them (`csv.gz`): none.
//!
//! Nothing here fails or panics on any bytes. There is no I/O, so a crash leaves nothing.

mod json;

use handover_core::Checksum;
use memchr::{memchr, memchr3};
use sha2::{Digest, Sha256};

/// What a manifest says of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// In bytes.
    pub file_size: u64,
    /// SHA-256.
    pub checksum: Checksum,
    /// Rows, where the extension says what a row is.
    pub row_count: Option<u64>,
}

/// Takes bytes in chunks of any size and says their size, checksum and row count at the end.
#[derive(Debug, Clone)]
pub struct Measure {
    hasher: Sha256,
    file_size: u64,
    rows: RowCounter,
}

impl Measure {
    /// A measure for a file with this extension.
    pub fn new(ext: &str) -> Self {
        Self { hasher: Sha256::new(), file_size: 0, rows: RowCounter::for_ext(ext) }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.file_size += bytes.len() as u64;
        self.rows.push(bytes);
    }

    /// How many bytes there were so far.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// What they were.
    pub fn finish(self) -> Measured {
        Measured {
            file_size: self.file_size,
            checksum: Checksum(self.hasher.finalize().into()),
            row_count: self.rows.finish(),
        }
    }
}

/// Counts rows in bytes that come in chunks of any size.
#[derive(Debug, Clone)]
pub struct RowCounter(Rows);

#[derive(Debug, Clone)]
enum Rows {
    Csv(CsvRecords),
    Lines(Lines),
    Json(json::ArrayLength),
    Unknown,
}

impl RowCounter {
    /// The counter for files with this extension (without its first dot).
    pub fn for_ext(ext: &str) -> Self {
        Self(match ext.to_ascii_lowercase().as_str() {
            "csv" => Rows::Csv(CsvRecords::new(b',')),
            "tsv" => Rows::Csv(CsvRecords::new(b'\t')),
            "ndjson" | "jsonl" => Rows::Lines(Lines::default()),
            "json" => Rows::Json(json::ArrayLength::default()),
            _ => Rows::Unknown,
        })
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Rows::Csv(records) => records.push(bytes),
            Rows::Lines(lines) => lines.push(bytes),
            Rows::Json(array) => array.push(bytes),
            Rows::Unknown => {}
        }
    }

    /// The number of rows; none where the extension does not say what a row is, or a `json` is no array.
    pub fn finish(self) -> Option<u64> {
        match self.0 {
            Rows::Csv(records) => Some(records.finish().saturating_sub(1)),
            Rows::Lines(lines) => Some(lines.finish()),
            Rows::Json(array) => array.finish(),
            Rows::Unknown => None,
        }
    }
}

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the very start, after so many bytes of a byte-order mark.
    Bom(u8),
    RecordStart,
    FieldStart,
    InField,
    InQuotes,
    /// After a quote inside quotes: it closed them, or it is the first of two.
    QuoteInQuotes,
}

#[derive(Debug, Clone)]
struct CsvRecords {
    delimiter: u8,
    at: At,
    /// The last byte of the chunk before.
    last: u8,
    records: u64,
}

impl CsvRecords {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, at: At::Bom(0), last: 0, records: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            i = match self.at {
                At::InField => self.skip_plain(bytes, i),
                At::InQuotes => match memchr(b'"', &bytes[i..]) {
                    Some(quote) => {
                        self.at = At::QuoteInQuotes;
                        i + quote + 1
                    }
                    None => bytes.len(),
                },
                _ => i + usize::from(self.step(bytes[i])),
            };
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// One byte at a place where it alone decides; whether it is used up.
    fn step(&mut self, byte: u8) -> bool {
        let ends = matches!(byte, b'\r' | b'\n');
        let (at, used) = match self.at {
            At::Bom(n) if byte == BOM[usize::from(n)] => {
                (if n == 2 { At::RecordStart } else { At::Bom(n + 1) }, true)
            }
            At::Bom(0) => (At::RecordStart, false),
            At::Bom(_) => {
                // What looked like a mark was the beginning of a field.
                self.records += 1;
                (At::InField, false)
            }
            At::RecordStart if ends => (At::RecordStart, true),
            At::RecordStart => {
                self.records += 1;
                (At::FieldStart, false)
            }
            At::FieldStart if byte == b'"' => (At::InQuotes, true),
            At::QuoteInQuotes if byte == b'"' => (At::InQuotes, true),
            At::QuoteInQuotes if byte == self.delimiter => (At::FieldStart, true),
            At::QuoteInQuotes if ends => (At::RecordStart, true),
            other => (if other == At::InQuotes { other } else { At::InField }, false),
        };
        self.at = at;
        used
    }

    /// From inside a field without quotes to the end of its record or to the next field that opens a quote.
    fn skip_plain(&mut self, bytes: &[u8], from: usize) -> usize {
        let mut i = from;
        while let Some(found) = memchr3(b'\n', b'\r', b'"', &bytes[i..]) {
            let j = i + found;
            i = j + 1;
            if bytes[j] != b'"' {
                self.at = At::RecordStart;
                return i;
            }
            let before = if j > 0 { bytes[j - 1] } else { self.last };
            if before == self.delimiter {
                self.at = At::InQuotes;
                return i;
            }
        }
        bytes.len()
    }

    fn finish(self) -> u64 {
        self.records + u64::from(matches!(self.at, At::Bom(1 | 2)))
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
    line.iter().any(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(ext: &str, text: &[u8], chunk: usize) -> Option<u64> {
        let mut counter = RowCounter::for_ext(ext);
        text.chunks(chunk.max(1)).for_each(|bytes| counter.push(bytes));
        counter.finish()
    }

    /// What the `csv` crate reads: the records that every app here sees.
    fn oracle(delimiter: u8, text: &[u8]) -> u64 {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .from_reader(text);
        (reader.byte_records().filter(Result::is_ok).count() as u64).saturating_sub(1)
    }

    #[test]
    fn csv_records_are_counted_as_they_are_read() {
        for (text, expected) in [
            ("", 0),
            ("h", 0),
            ("h\n", 0),
            ("\u{feff}", 0),
            ("\u{feff}\"h\nh\"\n1\n", 1),
            ("h\n1\n2", 2),
            ("h\r\n1\r\n\r\n\n2\r\n", 2),
            ("h\r1\r2", 2),
            ("h,i\n\"a\nb\",\"c\"\"\nd\"\n1,2\n", 2),
            ("h\na\"b\nc\"d\n", 2),
            ("h\n\"a\"b\n\"c\n", 2),
            ("h\n\"\"\n \n", 2),
        ] {
            for chunk in 1..5 {
                assert_eq!(rows("csv", text.as_bytes(), chunk), Some(expected), "{text:?} by {chunk}");
            }
            assert_eq!(oracle(b',', text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_arrays_and_what_has_no_rows() {
        assert_eq!(rows("ndjson", b"{}\n\n \r\n{}\r\n{}", 2), Some(3));
        assert_eq!(rows("jsonl", b"", 1), Some(0));
        assert_eq!(rows("CSV", b"h\n1\n", 1), Some(1));
        for ext in ["csv.gz", "txt", "", "parquet"] {
            assert_eq!(rows(ext, b"a\nb\n", 1), None);
        }
    }

    #[test]
    fn a_measure_says_size_checksum_and_rows() {
        let mut measure = Measure::new("csv");
        measure.push(b"h\n");
        measure.push(b"1\n");
        let measured = measure.finish();
        assert_eq!((measured.file_size, measured.row_count), (4, Some(1)));
        // printf 'h\n1\n' | sha256sum
        assert_eq!(measured.checksum, crate::read::hash_of(b"h\n1\n"));
        assert_eq!(
            Measure::new("csv").finish().checksum.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_csv_in_any_chunks_counts_as_the_reader_reads(
            text in "(\u{feff})?[a,\"\r\n\t ]{0,40}", chunk in 1usize..9,
        ) {
            prop_assert_eq!(rows("csv", text.as_bytes(), chunk), Some(oracle(b',', text.as_bytes())));
            prop_assert_eq!(rows("tsv", text.as_bytes(), chunk), Some(oracle(b'\t', text.as_bytes())));
        }

        #[test]
        fn any_bytes_in_any_chunks_count_alike(bytes in proptest::collection::vec(any::<u8>(), 0..60), chunk in 1usize..9) {
            for ext in ["csv", "tsv", "ndjson", "json"] {
                prop_assert_eq!(rows(ext, &bytes, chunk), rows(ext, &bytes, 100));
            }
        }
    }
}
