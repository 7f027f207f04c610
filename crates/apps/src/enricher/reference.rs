//! A reference file: its taken columns by key, in memory, read again when the file has changed.
//!
//! Invariants:
//! - A key stands in one row only, unless the configuration says which one counts; a second one is an error that names
//!   both rows.
//! - One run works with one reading of the file: a change is seen by the next run.
//! - A reading counts only if the file was the same before and after it.
//!
//! A reference is held whole: its keys, and its taken cells twice, once as text and once as they are appended to a row.
//! On a crash nothing is lost: it only reads.

use super::config::{Duplicates, Lookup};
use super::content::{Content, Form, Holding, Kind, push_key};
use crate::config::resolve;
use crate::streams::InputConfig;
use crate::table::{read_header, shown};
use handover_core::suggest::nearest;
use handover_core::{Checksum, Error, ErrorKind, Result};
use handover_records::{Dialect, Records, Watch, csv, json, open_input};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a file that changes while it is read is read again.
const READINGS_MAX: usize = 3;

/// What tells one state of a file from the next: device, inode, size, modification time, change time.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// One reading of a reference file.
#[derive(Debug)]
pub(super) struct Reading {
    stamp: Stamp,
    pub(super) content: Content,
    pub(super) row_count: u64,
    pub(super) size: u64,
    pub(super) checksum: Checksum,
}

/// A reference file and its last reading.
#[derive(Debug)]
pub(super) struct Reference {
    path: PathBuf,
    /// The path as it was given.
    pub(super) shown: String,
    input: InputConfig,
    keys: Vec<String>,
    take: Vec<String>,
    /// Our names of the taken columns.
    ours: Vec<String>,
    duplicates: Duplicates,
    last: Mutex<Arc<Reading>>,
    /// The last reading as it is appended, for one form of output.
    appended: Mutex<Option<(Stamp, Arc<Holding>)>>,
}

impl Reference {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where it is no such table, lacks a column or has a key twice; otherwise what reading
    /// it gives.
    pub(super) fn open(lookup: &Lookup, base: &Path) -> Result<Self> {
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(_, theirs)| theirs.clone()).collect();
        let mut reference = Self {
            path: resolve(base, &lookup.from),
            shown: lookup.from.display().to_string(),
            input: lookup.input.clone(),
            keys: names(&lookup.key.0),
            take: names(&lookup.take.0),
            ours: lookup.take.0.iter().map(|(ours, _)| ours.clone()).collect(),
            duplicates: lookup.duplicates,
            last: Mutex::new(Arc::new(Reading {
                stamp: Stamp::default(),
                content: Content::default(),
                row_count: 0,
                size: 0,
                checksum: Checksum([0; 32]),
            })),
            appended: Mutex::new(None),
        };
        let reading = Arc::new(reference.read()?);
        reference.last = Mutex::new(reading);
        Ok(reference)
    }

    /// The reading of the file as it is now.
    ///
    /// # Errors
    /// As [`Reference::open`].
    pub(super) fn current(&self) -> Result<Arc<Reading>> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| self.no_file(error))?;
        // Poisoned or not, what it holds is a whole reading.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.stamp != stamp(&metadata) {
            *last = Arc::new(self.read()?);
        }
        Ok(Arc::clone(&last))
    }

    /// A reading in the form in which its cells are appended; made once for each reading and form.
    ///
    /// # Errors
    /// Where the dialect cannot express a cell.
    pub(super) fn holding(&self, reading: &Reading, form: &Form) -> Result<Arc<Holding>> {
        let mut appended = self.appended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stamp, holding)) = appended.as_ref()
            && *stamp == reading.stamp
            && holding.form == *form
        {
            return Ok(Arc::clone(holding));
        }
        let holding =
            Holding::new(&reading.content, form, &self.ours).map_err(|error| error.on(&self.shown))?;
        let holding = Arc::new(holding);
        *appended = Some((reading.stamp, Arc::clone(&holding)));
        Ok(holding)
    }

    fn no_file(&self, error: std::io::Error) -> Error {
        Error::io("read the reference", &self.shown, error)
            .hint("`from:` is a path relative to the configuration's folder")
    }

    fn read(&self) -> Result<Reading> {
        for _ in 0..READINGS_MAX {
            let mut file = File::open(&self.path).map_err(|error| self.no_file(error))?;
            let before = file.metadata().map_err(|error| self.no_file(error))?;
            if !before.is_file() {
                return Err(Error::config("the reference is not a file").on(&self.shown));
            }
            let reading = self.read_once(&mut file, &before);
            let after = std::fs::metadata(&self.path).map_err(|error| self.no_file(error))?;
            if stamp(&before) == stamp(&after) {
                return reading;
            }
        }
        Err(Error::new(ErrorKind::NotYet, "the reference changes while it is read")
            .on(&self.shown)
            .hint("write it beside and rename it; the work is tried again"))
    }

    fn read_once(&self, file: &mut File, metadata: &Metadata) -> Result<Reading> {
        let mut input = Hashed(file, Sha256::new());
        let name = self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let ext = handover_records::FileKind::of_name(&name).map_or_else(String::new, |kind| kind.ext());
        let options = self.input.options(&ext, Watch::default());
        let opened = open_input(&mut input, &options).map_err(|error| error.on(&self.shown))?;
        let (content, row_count) = match opened.records {
            Records::Rows(mut rows) => self.read_rows(&mut rows, &opened.dialect)?,
            Records::Json(mut records) => self.read_records(&mut records)?,
        };
        // What a reader leaves unread belongs to the checksum.
        std::io::copy(&mut input, &mut std::io::sink()).map_err(|error| self.no_file(error))?;
        Ok(Reading {
            stamp: stamp(metadata),
            content,
            row_count,
            size: metadata.len(),
            checksum: Checksum(input.1.finalize().into()),
        })
    }

    fn read_rows<R: Read>(&self, rows: &mut csv::Reader<R>, dialect: &Dialect) -> Result<(Content, u64)> {
        let header = read_header(rows, dialect)
            .map_err(|error| error.on(&self.shown))?
            .map_err(|error| self.wrong(format!("cannot be used: {error}")))?;
        let find = |names: &[String]| {
            names.iter().map(|name| column(&header.names, name, &self.shown)).collect::<Result<Vec<_>>>()
        };
        let (keys, take) = (find(&self.keys)?, find(&self.take)?);
        let mut content = Content::new(take.len());
        let mut count = 0;
        let mut key = Vec::new();
        while let Some(row) = rows.next_row().map_err(|error| error.on(&self.shown))? {
            if row.is_blank() {
                continue;
            }
            count += 1;
            let number = row.number();
            if let Some(fault) = row.fault() {
                return Err(self.wrong(format!("cannot be read at row {number}: {}", fault.message())));
            }
            if row.len() != header.names.len() {
                let (have, want) = (row.len(), header.names.len());
                return Err(self.wrong(format!("has {have} cells in row {number}, and its header {want}")));
            }
            key.clear();
            keys.iter().for_each(|column| push_key(&mut key, &row.cell(*column), keys.len()));
            let cells = take.iter().map(|column| (row.cell(*column), Kind::Text));
            let values =
                || keys.iter().map(|column| String::from_utf8_lossy(&row.cell(*column)).into_owned());
            self.add(&mut content, &key, number, cells, || values().collect())?;
        }
        Ok((content, count))
    }

    fn read_records<R: Read>(&self, records: &mut json::Reader<R>) -> Result<(Content, u64)> {
        let mut content = Content::new(self.take.len());
        let mut count = 0;
        let mut key = Vec::new();
        while let Some(record) = records.next_record().map_err(|error| error.on(&self.shown))? {
            count += 1;
            let number = record.number();
            let bad = |why: String| self.wrong(format!("cannot be read at record {number}: {why}"));
            let fields = record.fields().map_err(|problem| bad(problem.message))?;
            let fields = fields.ok_or_else(|| bad("it is no object".to_owned()))?;
            let find = |name: &String| {
                let found = fields.iter().find(|(field, _)| field == name).map(|(_, value)| *value);
                Kind::of(found)
            };
            key.clear();
            for name in &self.keys {
                match find(name) {
                    (_, Kind::Missing) => return Err(bad(format!("it has no {name:?}, which is a key"))),
                    (text, _) => push_key(&mut key, &text, self.keys.len()),
                }
            }
            let values = || self.keys.iter().map(|name| String::from_utf8_lossy(&find(name).0).into_owned());
            self.add(&mut content, &key, number, self.take.iter().map(find), || values().collect())?;
        }
        if let Some(name) = self.take.iter().enumerate().find(|(at, _)| count > 0 && content.never(*at)) {
            return Err(Error::config(format!("no record of the reference has {:?}", name.1)).on(&self.shown));
        }
        Ok((content, count))
    }

    /// Adds a row, or says where its key stood before.
    fn add<'c>(
        &self,
        content: &mut Content,
        key: &[u8],
        number: u64,
        cells: impl Iterator<Item = (std::borrow::Cow<'c, [u8]>, Kind)>,
        values: impl Fn() -> Vec<String>,
    ) -> Result<()> {
        match (content.number(key), self.duplicates) {
            (Some(_), Duplicates::First) => return Ok(()),
            (Some(first), Duplicates::Error) => {
                let values: Vec<String> = values().iter().map(|value| shown(value)).collect();
                return Err(self
                    .wrong(format!(
                        "has the key {} ({}) twice: in row {first} and in row {number}",
                        values.join(", "),
                        self.keys.join(", ")
                    ))
                    .hint(
                        "a key must stand in one row only: mend the file, add a column to `key`, or say `duplicates: first` or `last`",
                    ));
            }
            (Some(_), Duplicates::Last) | (None, _) => {}
        }
        if content.add(key, number, cells) {
            return Ok(());
        }
        Err(self.wrong("is too large to be held in memory".to_owned()))
    }

    fn wrong(&self, why: String) -> Error {
        Error::config(format!("the reference {why}")).on(&self.shown)
    }
}

impl Kind {
    /// The value of a field as a key or a cell: texts without quotes, others as they stand.
    pub(super) fn of(value: Option<&RawValue>) -> (std::borrow::Cow<'_, [u8]>, Kind) {
        use std::borrow::Cow;
        match value.map(RawValue::get) {
            None => (Cow::Borrowed(b""), Kind::Missing),
            Some("null") => (Cow::Borrowed(b""), Kind::Missing),
            Some(text) if text.starts_with('"') => match serde_json::from_str::<Cow<'_, str>>(text) {
                Ok(text) => (Cow::Owned(text.into_owned().into_bytes()), Kind::Text),
                Err(_) => (Cow::Borrowed(text.as_bytes()), Kind::Text),
            },
            // Outside strings a line feed is white space, and inside them none stands.
            Some(other) if other.contains('\n') => {
                (Cow::Owned(other.replace('\n', " ").into_bytes()), Kind::Json)
            }
            Some(other) => (Cow::Borrowed(other.as_bytes()), Kind::Json),
        }
    }
}

/// Hashes what is read.
struct Hashed<'a>(&'a mut File, Sha256);

impl Read for Hashed<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.update(&into[..count]);
        Ok(count)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

fn column(names: &[String], wanted: &str, shown: &str) -> Result<usize> {
    let mut found = names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => {
            Err(Error::config(format!("the reference has two columns {wanted:?}")).on(shown))
        }
        (None, _) => {
            let error = Error::config(format!("the reference has no column {wanted:?}")).on(shown);
            Err(match nearest(wanted, names.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("it has: {}", names.join(", "))),
            })
        }
    }
}
