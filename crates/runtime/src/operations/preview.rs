//! The beginning of a file's data, for people: rows of a table, records, or text; read through the archive, and bounded in rows,
//! in bytes and in time of unpacking whatever the file is.
//!
//! Nothing here is cleaned: whoever shows it escapes it. It only reads, so a crash leaves nothing.

use crate::project::Project;
use handover_core::{Error, ErrorKind, Manifest, Result, path_text};
use handover_file::archive;
use handover_file::read::{self, Retained};
use handover_records::compress::ExpandLimits;
use handover_records::{FileKind, Format, InputOptions, Records, open_bytes, open_input};
use serde_json::Value;
use std::io::Read;

/// So many rows are shown.
pub const ROWS_MAX: usize = 50;
/// So many of a file's stored bytes are read.
const STORED_MAX_BYTES: u64 = 1024 * 1024;
/// To so many bytes they may expand.
const EXPANDED_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// So much of a text is shown.
const TEXT_MAX_BYTES: usize = 16 * 1024;
/// So many columns of a row are shown.
const COLUMNS_MAX: usize = 100;
/// So much of a cell, or of a record, is kept.
const CELL_MAX_BYTES: usize = 2_000;
/// The largest file of which a page computes the checksum: others take too long to wait for.
pub const CHECKED_MAX_BYTES: u64 = 1 << 30;

/// The beginning of a file's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// Rows of a table.
    Table {
        /// Its header.
        header: Vec<String>,
        /// The first rows.
        rows: Vec<Vec<String>>,
        /// Whether there are more.
        more: bool,
    },
    /// JSON records, one a line.
    Records {
        /// The first of them.
        records: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// What is neither.
    Text {
        /// Its beginning.
        text: String,
        /// Whether there is more.
        more: bool,
    },
    /// What is no text: so many bytes.
    Binary(u64),
    /// It has no bytes.
    Empty,
    /// It is not there, or cannot be read: why.
    Gone(String),
}

/// A file as it lies there, and what its manifest says of it.
#[derive(Debug)]
pub struct Stored {
    retained: Retained,
}

/// How a file compares with its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The size agrees; the checksum was not computed.
    Size,
    /// Size and checksum agree.
    Whole,
    /// It differs: how.
    Differs(String),
}

impl Stored {
    /// The file at a path as the ledger keeps it: of the data directory, through the archive, or an export's absolute one. It blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it is not there with its manifest.
    pub fn find(project: &Project, path: &str) -> Result<Self> {
        let outside = path_text::from_text(path);
        let retained = if outside.is_absolute() {
            read::exported(&outside)?
        } else {
            read::retained(&project.data, path)?
        };
        Ok(Self { retained })
    }

    /// Its manifest: in the archive, that of what lies there.
    pub fn manifest(&self) -> &Manifest {
        self.retained.manifest()
    }

    /// Whether it lies in the archive.
    pub fn is_archived(&self) -> bool {
        self.retained.is_archived()
    }

    /// Its size as it was published.
    pub fn size(&self) -> u64 {
        archive::original_of(self.manifest()).map_or(self.manifest().file_size, |was| was.file_size)
    }

    /// Its bytes as they were published.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        self.retained.open()
    }

    /// Compares what lies there with its manifest: the size, and the checksum where that is asked for. It blocks.
    pub fn check(&self, checksum: bool) -> Verdict {
        let (path, manifest) = (self.retained.stored_path(), self.manifest());
        if checksum {
            return match read::verify(path, manifest) {
                Ok(()) => Verdict::Whole,
                Err(e) => Verdict::Differs(e.to_string()),
            };
        }
        match path.metadata() {
            Ok(found) if found.len() == manifest.file_size => Verdict::Size,
            Ok(found) => Verdict::Differs(format!(
                "the size is {} bytes, and the manifest says {}",
                found.len(),
                manifest.file_size
            )),
            Err(e) => Verdict::Differs(format!("the file cannot be looked at: {e}")),
        }
    }

    /// The name under which it was published.
    pub fn name(&self) -> String {
        archive::original_of(self.manifest())
            .map_or_else(|| self.manifest().filename.clone(), |was| was.filename)
    }

    /// The beginning of its data. It blocks.
    pub fn preview(&self) -> Preview {
        let begin = || self.open().map(|file| file.take(STORED_MAX_BYTES));
        let whole = self.size() <= STORED_MAX_BYTES;
        of_bytes(&self.name(), self.size(), whole, begin).unwrap_or_else(|e| Preview::Gone(e.to_string()))
    }
}

/// The beginning of data that `open` gives from its beginning on, each time anew.
fn of_bytes<R: Read>(name: &str, size: u64, whole: bool, open: impl Fn() -> Result<R>) -> Result<Preview> {
    if size == 0 {
        return Ok(Preview::Empty);
    }
    if let Some(kind) = FileKind::of_name(name)
        && let Some(preview) = structured(&kind, whole, open()?)
    {
        return Ok(preview);
    }
    let format = FileKind::of_name(name).map_or(Format::Ndjson, |kind| kind.format);
    let options = options(format);
    let mut dialect = options.dialect.clone();
    let source = open_bytes(open()?, &options, &mut dialect)?;
    let mut bytes = Vec::new();
    // What cannot be expanded any further has a beginning all the same.
    let _ = source.take(TEXT_MAX_BYTES as u64 + 4).read_to_end(&mut bytes);
    Ok(text(bytes, size))
}

fn options(format: Format) -> InputOptions<'static> {
    let mut options = InputOptions::new(format);
    options.limits = ExpandLimits { max_bytes: EXPANDED_MAX_BYTES, ..ExpandLimits::default() };
    options
}

/// Rows or records; none where there is not one that can be read.
fn structured<R: Read>(kind: &FileKind, whole: bool, file: R) -> Option<Preview> {
    let mut options = options(kind.format);
    options.dialect = kind.dialect.clone();
    options.sniff = kind.format == Format::Csv && kind.dialect.delimiter == b',';
    match open_input(file, &options).ok()?.records {
        Records::Rows(mut reader) => {
            let mut rows: Vec<Vec<String>> = Vec::new();
            let (mut ended, mut broken) = (false, false);
            while rows.len() <= ROWS_MAX + 1 && !ended {
                match reader.next_row() {
                    Ok(Some(row)) if row.is_blank() || row.is_comment() => {}
                    Ok(Some(row)) if row.fault().is_some_and(|fault| !fault.cells_known()) => {
                        let why = row.fault().map(|fault| fault.message()).unwrap_or_default();
                        rows.push(vec![format!("{} ({why})", short(row.whole()))]);
                        broken = true;
                    }
                    Ok(Some(row)) => {
                        rows.push(row.cells().take(COLUMNS_MAX).map(|cell| short(&cell)).collect())
                    }
                    Ok(None) => ended = true,
                    Err(_) => (ended, broken) = (true, true),
                }
            }
            // Where not all was read, the last row may have been cut.
            if ended && !whole && rows.len() > 1 {
                rows.pop();
            }
            let more = !ended || !whole || broken;
            // A header above rows that are too long to be told is no answer: then the text is shown.
            if more && rows.len() == 1 {
                return None;
            }
            let header = if rows.is_empty() { return None } else { rows.remove(0) };
            rows.truncate(ROWS_MAX);
            Some(Preview::Table { header, rows, more })
        }
        Records::Json(mut reader) => {
            let (mut records, mut ended) = (Vec::new(), false);
            while records.len() <= ROWS_MAX && !ended {
                match reader.next_record() {
                    Ok(Some(record)) if record.fault().is_some() && records.is_empty() => return None,
                    Ok(Some(record)) => records.push(short(record.raw())),
                    Ok(None) | Err(_) => ended = true,
                }
            }
            if records.is_empty() {
                return None;
            }
            let more = records.len() > ROWS_MAX || !whole;
            records.truncate(ROWS_MAX);
            Some(Preview::Records { records, more })
        }
    }
}

fn short(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(CELL_MAX_BYTES)]);
    if bytes.len() > CELL_MAX_BYTES { format!("{text}…") } else { text.into_owned() }
}

fn text(mut bytes: Vec<u8>, size: u64) -> Preview {
    let more = bytes.len() > TEXT_MAX_BYTES;
    bytes.truncate(TEXT_MAX_BYTES);
    let valid = match std::str::from_utf8(&bytes) {
        Ok(text) => Some(text.len()),
        // The last character may have been cut.
        Err(e) if e.error_len().is_none() => Some(e.valid_up_to()),
        Err(_) => None,
    };
    match valid {
        Some(end) if !bytes.contains(&0) => {
            bytes.truncate(end);
            Preview::Text { text: String::from_utf8_lossy(&bytes).into_owned(), more }
        }
        _ => Preview::Binary(size),
    }
}

/// A rejected row with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its number in the input, as a spreadsheet shows it.
    pub row: String,
    /// The fields at fault.
    pub field: String,
    /// What is wrong with them.
    pub reason: String,
}

/// The rejected rows of a preview of the file that holds them; none where it holds others.
pub fn rejected(preview: &Preview) -> Vec<Rejected> {
    match preview {
        Preview::Table { header, rows, .. } => {
            let column = |name: &str| header.iter().rposition(|one| one == name);
            let (Some(row), Some(field), Some(reason)) =
                (column("_row"), column("_field"), column("_reason"))
            else {
                return Vec::new();
            };
            let cell = |cells: &[String], at: usize| cells.get(at).cloned().unwrap_or_default();
            let of = |cells: &Vec<String>| Rejected {
                row: cell(cells, row),
                field: cell(cells, field),
                reason: cell(cells, reason),
            };
            rows.iter().map(of).collect()
        }
        Preview::Records { records, .. } => records.iter().filter_map(|record| of_record(record)).collect(),
        _ => Vec::new(),
    }
}

fn of_record(record: &str) -> Option<Rejected> {
    let record: Value = serde_json::from_str(record).ok()?;
    let errors = record.get("_errors")?.as_array()?;
    let joined = |name: &str| {
        let each = errors.iter().filter_map(|error| error.get(name).and_then(Value::as_str));
        each.collect::<Vec<_>>().join("; ")
    };
    Some(Rejected { row: record.get("_row")?.to_string(), field: joined("field"), reason: joined("message") })
}

/// The preview of a file by its path, off the threads that serve.
///
/// # Errors
/// Where the machine gives no thread.
pub async fn preview(project: &Project, path: &str) -> Result<Preview> {
    let (project, path) = (project.clone(), path.to_owned());
    let found = tokio::task::spawn_blocking(move || match Stored::find(&project, &path) {
        Ok(stored) => stored.preview(),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Preview::Gone("the file is neither where it was published nor in the archive".into())
        }
        Err(e) => Preview::Gone(e.to_string()),
    });
    found.await.map_err(|e| Error::internal("reading a file broke off").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, bytes: &[u8]) -> Preview {
        of_bytes(name, bytes.len() as u64, true, || Ok(bytes)).unwrap()
    }

    fn table(preview: Preview) -> (Vec<String>, Vec<Vec<String>>, bool) {
        match preview {
            Preview::Table { header, rows, more } => (header, rows, more),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_table_is_shown_by_its_first_rows() {
        let (header, rows, more) = table(of("a.csv", b"a,b\n1,\"x, y\"\n2,z\n"));
        assert_eq!(
            (header.join("|"), rows[0].join("|"), rows.len(), more),
            ("a|b".into(), "1|x, y".into(), 2, false)
        );
        let (_, rows, more) = table(of("a.csv", ("a\n".to_owned() + &"1\n".repeat(60)).as_bytes()));
        assert_eq!((rows.len(), more), (ROWS_MAX, true));
        let (_, rows, _) = table(of("a.csv", b"a;b\n1;2\n3;4\n"));
        assert_eq!(rows[0], ["1", "2"]);
    }

    #[test]
    fn a_long_cell_is_cut() {
        let long = format!("a\n{}\n", "x".repeat(900_000));
        let (_, rows, _) = table(of("a.csv", long.as_bytes()));
        assert_eq!(rows[0][0].chars().count(), CELL_MAX_BYTES + 1);
    }

    #[test]
    fn rows_that_are_too_long_are_shown_as_text() {
        let long = format!("a,b\n1,\"{}\"\n2,3\n", "x".repeat(2_000_000));
        let of = |whole, bytes| of_bytes("a.csv", long.len() as u64, whole, || Ok(bytes)).unwrap();
        let (_, rows, more) = table(of(true, long.as_bytes()));
        assert!(rows[0][0].starts_with("1,\"xxx") && rows[0][0].contains("longer than"), "{}", rows[0][0]);
        assert_eq!((rows[1].join("|"), more), ("2|3".into(), true), "all of it is behind a link");
        let Preview::Text { text, more: true } = of(false, &long.as_bytes()[..1_000_000]) else {
            panic!("it is shown by its header alone")
        };
        assert!(text.starts_with("a,b\n1,\"xxx") && text.len() == TEXT_MAX_BYTES);
    }

    #[test]
    fn records_text_and_bytes_are_told_apart() {
        assert_eq!(
            of("a.ndjson", b"{\"a\":1}\n{\"a\":2}\n"),
            Preview::Records { records: vec!["{\"a\":1}".into(), "{\"a\":2}".into()], more: false }
        );
        assert_eq!(
            of("a.json", b"[1,2]"),
            Preview::Records { records: vec!["1".into(), "2".into()], more: false }
        );
        assert!(matches!(of("report.json", b"{\n \"a\": 1\n}"), Preview::Text { more: false, .. }));
        assert!(matches!(of("a.txt", b"hello"), Preview::Text { .. }));
        assert_eq!(of("a.bin", b"\x7fELF\0\0\xff"), Preview::Binary(7));
        assert_eq!(of("a.csv", b""), Preview::Empty);
        let Preview::Text { text, more } = of("a.txt", "ä".repeat(20_000).as_bytes()) else { panic!() };
        assert!(more && text.chars().all(|c| c == 'ä'));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let packed = zstd_of(&vec![b'1'; 64 << 20]);
        assert!(packed.len() < 100_000);
        let preview = of("a.csv.zst", &packed);
        assert!(!matches!(preview, Preview::Gone(_)), "{preview:?}");
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        use handover_records::compress::{BlockWriter, Compression};
        use std::io::Write as _;
        let mut writer = BlockWriter::new(Vec::new(), Compression::Zstd, 3).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn rejected_rows_are_read_from_both_forms() {
        let csv = of("r.csv", b"a,_row,_field,_reason\nx,5,a,\"type-error: \"\"x\"\" is not an integer\"\n");
        assert_eq!(
            rejected(&csv),
            [Rejected {
                row: "5".into(),
                field: "a".into(),
                reason: "type-error: \"x\" is not an integer".into()
            }]
        );
        let json = of("r.ndjson", b"{\"_row\":2,\"_errors\":[{\"field\":\"a\",\"code\":\"c\",\"message\":\"m\"},{\"field\":\"b\",\"message\":\"n\"}],\"record\":1}\n");
        assert_eq!(
            rejected(&json),
            [Rejected { row: "2".into(), field: "a; b".into(), reason: "m; n".into() }]
        );
        assert!(rejected(&of("a.csv", b"a\n1\n")).is_empty());
    }
}
