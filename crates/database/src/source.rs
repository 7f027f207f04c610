//! A source of records: NDJSON, a JSON array or CSV, compressed or not, read record by record with its place.
//!
//! Invariants: one bad line is one [`Line`] that says why, and the next is read; of a line beyond the limit only the
//! beginning is kept. Memory is bounded by one block and the longest record.

use crate::record::from_json;
use handover_core::limits::RECORD_MAX_BYTES;
use handover_core::{Error, Json, Result, units::format_size};
use handover_records::{Format, InputOptions, Records, Source as Bytes, csv, json, open_bytes, open_input};
use serde_json::{Map, Value};
use std::io::Read;

/// How much of a line that is refused is kept, for a person to recognise it, in bytes.
const SHOWN_BYTES: usize = 64 * 1024;
/// How much is read at once, in bytes.
const BLOCK_BYTES: usize = 256 * 1024;

/// One record of a source, or why it is none.
#[derive(Debug)]
pub struct Line {
    /// Where it begins: the line of the source from 1; of a JSON array the number of the record.
    pub number: u64,
    /// Its size in bytes.
    pub bytes: usize,
    /// The record, or why it is refused.
    pub value: std::result::Result<Json, Refused>,
}

/// A line that is no record.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Why, for people.
    pub why: String,
    /// What stood there, or its beginning.
    pub text: String,
}

impl Refused {
    /// This reason, and what stood there.
    pub fn new(why: impl Into<String>, raw: &[u8]) -> Self {
        let kept = &raw[..raw.len().min(SHOWN_BYTES)];
        Self { why: why.into(), text: String::from_utf8_lossy(kept).into_owned() }
    }
}

fn too_long() -> String {
    format!("the record is longer than {}", format_size(RECORD_MAX_BYTES as u64))
}

/// An opened source.
pub struct Source<R: Read> {
    kind: Kind<R>,
}

enum Kind<R: Read> {
    Lines(Box<Lines<Bytes<'static, R>>>),
    Array(Box<json::Reader<Bytes<'static, R>>>),
    Table(Box<Table<Bytes<'static, R>>>),
}

impl<R: Read> Source<R> {
    /// Opens a source of this format; gzip and zstd are known by their first bytes.
    ///
    /// # Errors
    /// Where its beginning cannot be read, or a table has no header that will do.
    pub fn open(input: R, format: Format) -> Result<Self> {
        let mut options = InputOptions::new(format);
        let kind = match format {
            Format::Ndjson => {
                let mut dialect = options.dialect.clone();
                Kind::Lines(Box::new(Lines::new(open_bytes(input, &options, &mut dialect)?)))
            }
            Format::Json | Format::Csv => {
                options.sniff = format == Format::Csv;
                match open_input(input, &options)?.records {
                    Records::Json(reader) => Kind::Array(Box::new(reader)),
                    Records::Rows(reader) => Kind::Table(Box::new(Table::begin(reader)?)),
                }
            }
        };
        Ok(Self { kind })
    }

    /// What its places are called.
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Lines(_) | Kind::Table(_) => "line",
            Kind::Array(_) => "record",
        }
    }

    /// What its records are read from: `lines`, `array` or `table`. Each counts them in its own way.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Lines(_) => "lines",
            Kind::Array(_) => "array",
            Kind::Table(_) => "table",
        }
    }

    /// Whether the next record may have to be waited for: what was read is used up.
    pub fn may_wait(&self) -> bool {
        match &self.kind {
            Kind::Lines(lines) => !lines.has_line(),
            Kind::Array(_) | Kind::Table(_) => false,
        }
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// Where it cannot be read further.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        match &mut self.kind {
            Kind::Lines(lines) => lines.next_line(),
            Kind::Array(reader) => Ok(reader.next_record()?.map(|record| {
                let raw = record.raw();
                let value = match record.fault() {
                    Some(json::Fault::TooLong) => Err(too_long()),
                    Some(fault) => Err(fault.message()),
                    None => from_json(raw),
                };
                let value = value.map_err(|why| Refused::new(why, raw));
                Line { number: record.number(), bytes: raw.len(), value }
            })),
            Kind::Table(table) => table.next_line(),
        }
    }
}

/// Lines of JSON, blank ones passed over.
struct Lines<R> {
    input: R,
    block: Vec<u8>,
    /// What of the block is not used yet.
    from: usize,
    to: usize,
    number: u64,
    at_end: bool,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self { input, block: vec![0; BLOCK_BYTES], from: 0, to: 0, number: 0, at_end: false }
    }

    fn has_line(&self) -> bool {
        self.at_end || self.block[self.from..self.to].contains(&b'\n')
    }

    fn next_line(&mut self) -> Result<Option<Line>> {
        loop {
            let Some((start, end, lost)) = self.next_raw()? else { return Ok(None) };
            self.number += 1;
            let mut raw = &self.block[start..end];
            if self.number == 1 {
                raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
            }
            let raw = raw.trim_ascii();
            if raw.is_empty() && !lost {
                continue;
            }
            let value = if lost || raw.len() > RECORD_MAX_BYTES { Err(too_long()) } else { from_json(raw) };
            let value = value.map_err(|why| Refused::new(why, raw));
            return Ok(Some(Line { number: self.number, bytes: raw.len(), value }));
        }
    }

    /// The next line's place in the block, and whether it has lost bytes; none at the end.
    fn next_raw(&mut self) -> Result<Option<(usize, usize, bool)>> {
        let (mut looked, mut lost) = (self.from, false);
        loop {
            if let Some(found) = self.block[looked..self.to].iter().position(|byte| *byte == b'\n') {
                let (start, end) = (self.from, looked + found);
                self.from = end + 1;
                return Ok(Some((
                    start,
                    if lost { start + SHOWN_BYTES.min(end - start) } else { end },
                    lost,
                )));
            }
            if self.at_end {
                let (start, end) = (self.from, self.to);
                self.from = end;
                return Ok((end > start || lost).then_some((start, end, lost)));
            }
            if self.to - self.from > RECORD_MAX_BYTES {
                // Only its beginning is kept, and the rest of it is read over.
                lost = true;
                self.to = self.from + SHOWN_BYTES;
            }
            self.make_room();
            looked = self.to;
            let count = loop {
                match self.input.read(&mut self.block[self.to..]) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    other => break other.map_err(handover_records::read_error)?,
                }
            };
            self.at_end = count == 0;
            self.to += count;
        }
    }

    fn make_room(&mut self) {
        if self.from > 0 {
            self.block.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        if self.block.len() - self.to < BLOCK_BYTES / 2 {
            self.block.resize(self.block.len() * 2, 0);
        }
    }
}

/// Rows of a table as objects: names from the header, every cell a text.
struct Table<R> {
    rows: csv::Reader<R>,
    names: Vec<String>,
    line: u64,
}

impl<R: Read> Table<R> {
    fn begin(mut rows: csv::Reader<R>) -> Result<Self> {
        let mut line = 1;
        let names = loop {
            let Some(row) = rows.next_row()? else { break Vec::new() };
            let lines = lines_in(row.whole());
            if row.is_blank() || row.is_comment() {
                line += lines;
                continue;
            }
            if let Some(fault) = row.fault() {
                return Err(Error::bad_data(format!(
                    "line {line}: the header cannot be read: {}",
                    fault.message()
                )));
            }
            line += lines;
            break row.cells().map(|cell| String::from_utf8_lossy(&cell).into_owned()).collect();
        };
        for (index, name) in names.iter().enumerate() {
            if name.contains('\0') || names[..index].contains(name) {
                return Err(Error::bad_data(format!("the header has the name {name:?} twice"))
                    .hint("each column becomes a field of the record: give each a name of its own"));
            }
        }
        Ok(Self { rows, names, line })
    }

    fn next_line(&mut self) -> Result<Option<Line>> {
        loop {
            let Some(row) = self.rows.next_row()? else { return Ok(None) };
            let number = self.line;
            self.line += lines_in(row.whole());
            if row.is_blank() || row.is_comment() {
                continue;
            }
            let value = if let Some(fault) = row.fault() {
                Err(fault.message())
            } else if row.len() != self.names.len() {
                let (is, should) = (row.len(), self.names.len());
                Err(format!("it has {is} cells, and the header has {should}"))
            } else {
                let cell = |cell: std::borrow::Cow<'_, [u8]>| {
                    Value::String(String::from_utf8_lossy(&cell).into_owned())
                };
                let fields = self.names.iter().cloned().zip(row.cells().map(cell));
                Ok(Json::from(Value::Object(fields.collect::<Map<_, _>>())))
            };
            let raw = row.content();
            let value = value.map_err(|why| Refused::new(why, raw));
            return Ok(Some(Line { number, bytes: raw.len(), value }));
        }
    }
}

fn lines_in(raw: &[u8]) -> u64 {
    let feeds = raw.iter().filter(|byte| **byte == b'\n').count();
    // Files of old have the carriage return alone.
    let ends = if feeds == 0 { raw.iter().filter(|byte| **byte == b'\r').count() } else { feeds };
    ends as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], format: Format) -> Vec<(u64, std::result::Result<Json, String>)> {
        let mut source = Source::open(std::io::Cursor::new(text.to_vec()), format).unwrap();
        let mut all = Vec::new();
        while let Some(line) = source.next_line().unwrap() {
            all.push((line.number, line.value.map_err(|refused| refused.why)));
        }
        all
    }

    #[test]
    fn each_line_has_its_number_and_one_bad_one_is_one() {
        let all = read(b"\xef\xbb\xbf{\"a\":1}\n\n  \nno\r\n[2]\r\n3", Format::Ndjson);
        let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 4, 5, 6]);
        assert!(all[1].1.as_ref().unwrap_err().contains("not JSON"));
        assert_eq!(all[3].1, Ok(Value::from(3).into()));
        assert!(read(b"", Format::Ndjson).is_empty());
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_and_the_next_is_read() {
        let mut text = vec![b'['; RECORD_MAX_BYTES + 3 * BLOCK_BYTES];
        text.extend_from_slice(b"\n{\"b\":2}\n");
        text.extend(std::iter::repeat_n(b'"', RECORD_MAX_BYTES + BLOCK_BYTES));
        let all = read(&text, Format::Ndjson);
        assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(all[0].1.as_ref().unwrap_err().contains("longer than 16"), "{:?}", all[0].1);
        assert!(all[1].1.is_ok() && all[2].1.is_err());
    }

    #[test]
    fn rows_become_objects_of_texts_with_the_line_they_begin_on() {
        let all = read(b"a,b\n1,\"x\ny\"\n2\n\n3,z\n", Format::Csv);
        assert_eq!(all[0], (2, Ok(serde_json::json!({"a": "1", "b": "x\ny"}).into())));
        assert_eq!(all[1].0, 4);
        assert!(all[1].1.as_ref().unwrap_err().contains("1 cells, and the header has 2"));
        assert_eq!(all[2], (6, Ok(serde_json::json!({"a": "3", "b": "z"}).into())));
        let twice = Source::open(std::io::Cursor::new(b"a,a\n1,2\n".to_vec()), Format::Csv).err().unwrap();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }

    #[test]
    fn an_array_gives_its_records() {
        let all = read(b"[{\"a\":1},\n{\"a\":1,\"a\":2}, 3]", Format::Json);
        assert_eq!(all.len(), 3);
        assert!(all[1].1.as_ref().unwrap_err().contains("twice"));
    }
}
