//! A reference file: its wanted columns by key, in memory, read again when the file has changed.
//!
//! Invariants:
//! - A key stands in one row only; a second one is an error that names both rows.
//! - One run works with one reading of the file: a change is seen by the next run.
//! - A reading counts only if the file was the same before and after it.
//!
//! A reference is held whole: some 100 bytes a row and its taken cells.

use crate::rows::RowReader;
use crate::table::{read_header, shown};
use handover_core::suggest::nearest;
use handover_core::{Checksum, Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a file that changes while it is read is read again.
const READINGS_MAX: usize = 3;

/// What tells one state of a file from the next: device, inode, size, modification time, change time.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// A key as bytes: each part with its length before it, so that no two keys run together.
pub(crate) fn push_key(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u64).to_le_bytes());
    key.extend_from_slice(part);
}

/// One reading of a reference file.
#[derive(Debug)]
pub(crate) struct Reading {
    stamp: Stamp,
    rows: HashMap<Box<[u8]>, Box<[Box<str>]>>,
    pub(crate) row_count: u64,
    pub(crate) checksum: Checksum,
}

impl Reading {
    /// The taken cells of the row with this key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[Box<str>]> {
        self.rows.get(key).map(AsRef::as_ref)
    }
}

/// A reference file and its last reading.
#[derive(Debug)]
pub(crate) struct Reference {
    path: PathBuf,
    /// The path as it was given.
    pub(crate) shown: String,
    keys: Vec<String>,
    take: Vec<String>,
    last: Mutex<Arc<Reading>>,
}

impl Reference {
    /// Reads the file; `keys` and `take` are its own columns' names.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where it is no such table, lacks a column or has a key twice; otherwise what reading
    /// it gives.
    pub(crate) fn open(path: PathBuf, shown: String, keys: Vec<String>, take: Vec<String>) -> Result<Self> {
        let reading = Arc::new(read(&path, &shown, &keys, &take)?);
        Ok(Self { path, shown, keys, take, last: Mutex::new(reading) })
    }

    /// The reading of the file as it is now.
    ///
    /// # Errors
    /// As [`Reference::open`].
    pub(crate) fn current(&self) -> Result<Arc<Reading>> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| no_file(&self.shown, error))?;
        // Poisoned or not, what it holds is a whole reading.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.stamp != stamp(&metadata) {
            *last = Arc::new(read(&self.path, &self.shown, &self.keys, &self.take)?);
        }
        Ok(Arc::clone(&last))
    }
}

fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

fn no_file(shown: &str, error: std::io::Error) -> Error {
    Error::io("read the reference", shown, error)
        .hint("`from:` is a path relative to the configuration's folder")
}

fn read(path: &Path, shown: &str, keys: &[String], take: &[String]) -> Result<Reading> {
    for _ in 0..READINGS_MAX {
        let mut file = File::open(path).map_err(|error| no_file(shown, error))?;
        let before = file.metadata().map_err(|error| no_file(shown, error))?;
        if !before.is_file() {
            return Err(Error::config("the reference is not a file").on(shown));
        }
        let reading = read_once(&mut file, shown, keys, take, stamp(&before));
        let after = std::fs::metadata(path).map_err(|error| no_file(shown, error))?;
        if stamp(&before) == stamp(&after) {
            return reading;
        }
    }
    Err(Error::new(ErrorKind::NotYet, "the reference changes while it is read")
        .on(shown)
        .hint("write it beside and rename it; the work is tried again"))
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

fn read_once(
    file: &mut File,
    shown: &str,
    keys: &[String],
    take: &[String],
    stamp: Stamp,
) -> Result<Reading> {
    let mut input = Hashed(file, Sha256::new());
    let mut reader = RowReader::new(&mut input, None, &|| false);
    let wrong = |why: String| Error::config(format!("the reference {why}")).on(shown);
    let header = read_header(&mut reader)
        .map_err(|error| error.on(shown))?
        .map_err(|error| wrong(format!("cannot be used: {error}")))?;
    let columns = |names: &[String]| {
        names.iter().map(|name| column(&header.names, name, shown)).collect::<Result<Vec<_>>>()
    };
    let (key_columns, take_columns): (Vec<usize>, Vec<usize>) = (columns(keys)?, columns(take)?);
    let mut rows: HashMap<Box<[u8]>, Box<[Box<str>]>> = HashMap::new();
    let mut numbers: HashMap<Box<[u8]>, u64> = HashMap::new();
    let mut row_count = 0;
    while let Some(row) = reader.next_row().map_err(|error| error.on(shown))? {
        if row.is_empty() {
            continue;
        }
        row_count += 1;
        let number = row.number;
        if let Some(fault) = row.fault {
            return Err(wrong(format!("cannot be read at row {number}: {}", fault.message())));
        }
        if row.len() != header.names.len() {
            let (have, want) = (row.len(), header.names.len());
            return Err(wrong(format!("has {have} cells in row {number}, and its header {want}")));
        }
        let mut key = Vec::new();
        key_columns.iter().for_each(|column| push_key(&mut key, &row.cell(*column)));
        if let Some(first) = numbers.insert(key.clone().into(), number) {
            let values: Vec<String> = key_columns
                .iter()
                .map(|column| self::shown(&String::from_utf8_lossy(&row.cell(*column))))
                .collect();
            return Err(wrong(format!(
                "has the key {} ({}) twice: in row {first} and in row {number}",
                values.join(", "),
                keys.join(", ")
            ))
            .hint("a key must stand in one row only: mend the file or add a column to `key`"));
        }
        let cell = |column: &usize| match String::from_utf8(row.cell(*column).into_owned()) {
            Ok(text) => Ok(text.into_boxed_str()),
            Err(_) => Err(wrong(format!("is not UTF-8 in row {number}, column {:?}", header.names[*column]))),
        };
        rows.insert(key.into(), take_columns.iter().map(cell).collect::<Result<_>>()?);
    }
    Ok(Reading { stamp, rows, row_count, checksum: Checksum(input.1.finalize().into()) })
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
