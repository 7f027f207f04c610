//! The tables that foreign keys refer to: reference files, or the validated table itself.
//!
//! A reference file is read when the validator is made, and again when its size or time of change is another. Only the
//! hashes of its keys are kept. A table that refers to itself is read twice: first for its keys, with a copy in a
//! temporary file without a name, then from that copy.
//!
//! On a crash nothing is lost: it only reads, and the temporary file goes away with the process.

use super::keys::{KeySet, hash, push_key};
use super::schema::{ForeignKey, Schema};
use crate::config::resolve;
use crate::streams::InputConfig;
use crate::table::read_header;
use handover_core::limits::KEYS_REMEMBERED_MAX;
use handover_core::{Error, Result};
use handover_records::{Dialect, InputOptions, Records, Watch, csv, json, open_input, write_error};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The state of a file: its size and time of change.
type Stamp = (u64, Option<SystemTime>);

/// A reference file and the keys that were last read from it.
#[derive(Debug)]
struct Reference {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<KeySet>)>>,
}

/// The references of a schema, one for each of its foreign keys; none for those that refer to the table itself.
#[derive(Debug, Default)]
pub(super) struct References(Vec<Option<Reference>>);

impl References {
    /// Finds and reads the files of all foreign keys.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a reference that is not given, or one that no key refers to; what reading
    /// a file gives.
    pub(super) fn new(schema: &Schema, paths: &BTreeMap<String, PathBuf>, base: &Path) -> Result<Self> {
        let wanted = |name: &String| schema.foreign.iter().any(|key| key.resource.as_ref() == Some(name));
        if let Some(name) = paths.keys().find(|name| !wanted(name)) {
            return Err(Error::config(format!(
                "no foreign key of the schema refers to the reference {name:?}"
            )));
        }
        let find = |key: &ForeignKey| {
            let Some(name) = &key.resource else { return Ok(None) };
            let path = paths.get(name).ok_or_else(|| {
                Error::config(format!(
                    "a foreign key of the schema refers to {name:?}, of which no file is given"
                ))
                .hint(format!("references: {{ {name}: reference/{name}.csv }}"))
            })?;
            Ok(Some(Reference { path: resolve(base, path), read: Mutex::new(None) }))
        };
        let references = Self(schema.foreign.iter().map(find).collect::<Result<_>>()?);
        references.key_sets(schema, &[])?;
        Ok(references)
    }

    /// Whether the table refers to itself.
    pub(super) fn to_itself(&self) -> bool {
        self.0.iter().any(Option::is_none)
    }

    /// The keys for each foreign key, read again where a file has changed; `own` are those of the table itself, in their
    /// order.
    ///
    /// # Errors
    /// What reading a file gives.
    pub(super) fn key_sets(&self, schema: &Schema, own: &[Arc<KeySet>]) -> Result<Vec<Arc<KeySet>>> {
        let mut own = own.iter();
        let set = |(key, reference): (&ForeignKey, &Option<Reference>)| match reference {
            Some(reference) => reference.keys(schema, key),
            None => Ok(own.next().cloned().unwrap_or_default()),
        };
        schema.foreign.iter().zip(&self.0).map(set).collect()
    }
}

impl Reference {
    fn keys(&self, schema: &Schema, key: &ForeignKey) -> Result<Arc<KeySet>> {
        let cannot = |error| {
            Error::io("read the reference", self.path.display(), error)
                .hint("`references:` has paths relative to the configuration's folder")
        };
        let mut file = File::open(&self.path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        let stamp = (metadata.len(), metadata.modified().ok());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, set)) = read.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(set));
        }
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ext = name.split_once('.').map_or("", |(_, ext)| ext);
        let options = InputConfig::default().options(ext, Watch::default());
        let mut sets =
            read_keys(schema, &[key], &mut file, &options).map_err(|error| error.on(self.path.display()))?;
        let set = Arc::new(sets.pop().unwrap_or_default());
        *read = Some((stamp, Arc::clone(&set)));
        Ok(set)
    }
}

/// A table that refers to itself, read once: its keys, and a copy of it to be read again.
pub(super) struct Copied {
    pub(super) keys: Vec<Arc<KeySet>>,
    pub(super) copy: File,
}

/// Reads a table that refers to itself.
///
/// # Errors
/// Where it cannot be read, or not be copied.
pub(super) fn copy(
    schema: &Schema,
    input: &mut (dyn Read + Send),
    options: &InputOptions<'_>,
    scratch: &dyn Fn() -> Result<File>,
) -> Result<Copied> {
    let own: Vec<&ForeignKey> = schema.foreign.iter().filter(|key| key.resource.is_none()).collect();
    let mut copying = Copying { input, copy: BufWriter::with_capacity(256 * 1024, scratch()?) };
    let keys = match read_keys(schema, &own, &mut copying, options) {
        Ok(keys) => keys,
        // What is wrong with its header or its bytes is found, and said better, when it is read again.
        Err(error) if error.kind() == handover_core::ErrorKind::BadData => Vec::new(),
        Err(error) => return Err(error),
    };
    std::io::copy(&mut copying, &mut std::io::sink()).map_err(handover_records::read_error)?;
    let mut copy = copying.copy.into_inner().map_err(|error| write_error(error.into_error()))?;
    copy.seek(SeekFrom::Start(0)).map_err(handover_records::read_error)?;
    Ok(Copied { keys: keys.into_iter().map(Arc::new).collect(), copy })
}

/// An input that is written to a file as it is read.
struct Copying<'a> {
    input: &'a mut (dyn Read + Send),
    copy: BufWriter<File>,
}

impl Read for Copying<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(into)?;
        self.copy.write_all(&into[..count])?;
        Ok(count)
    }
}

/// Reads the sets of these keys from a table or records.
fn read_keys<R: Read>(
    schema: &Schema,
    keys: &[&ForeignKey],
    input: R,
    options: &InputOptions<'_>,
) -> Result<Vec<KeySet>> {
    let opened = open_input(input, options)?;
    let mut sets = vec![KeySet::default(); keys.len()];
    match opened.records {
        Records::Rows(reader) => of_rows(schema, keys, reader, &opened.dialect, &mut sets)?,
        Records::Json(reader) => of_records(schema, keys, reader, &mut sets)?,
    }
    Ok(sets)
}

fn of_rows<R: Read>(
    schema: &Schema,
    keys: &[&ForeignKey],
    mut reader: csv::Reader<R>,
    dialect: &Dialect,
    sets: &mut [KeySet],
) -> Result<()> {
    let header = read_header(&mut reader, dialect)??;
    let own: Vec<String>;
    let names = if header.is_written {
        &header.names
    } else {
        own = schema.fields.iter().map(|field| field.name.clone()).collect();
        &own
    };
    let find = |name: &String| {
        names.iter().position(|column| column == name).ok_or_else(|| {
            Error::bad_data(format!("there is no column {name:?}"))
                .hint(format!("there are: {}", names.join(", ")))
        })
    };
    let columns: Vec<Vec<usize>> =
        keys.iter().map(|key| key.fields.iter().map(find).collect()).collect::<Result<_>>()?;
    let mut batch = csv::Batch::default();
    while reader.fill(&mut batch)? {
        for row in batch.rows().filter(|row| !row.is_blank() && row.fault().is_none()) {
            for ((key, columns), set) in keys.iter().zip(&columns).zip(&mut *sets) {
                insert(schema, key, set, |part, into| {
                    let cell = row.cell(columns[part]);
                    push(schema, key, part, &String::from_utf8_lossy(&cell), into)
                })?;
            }
        }
    }
    Ok(())
}

fn of_records<R: Read>(
    schema: &Schema,
    keys: &[&ForeignKey],
    mut reader: json::Reader<R>,
    sets: &mut [KeySet],
) -> Result<()> {
    let mut batch = json::Batch::default();
    while reader.fill(&mut batch)? {
        for value in batch.records().filter_map(|record| record.parse().ok()) {
            for (key, set) in keys.iter().zip(&mut *sets) {
                insert(schema, key, set, |part, into| {
                    let field = &schema.fields[key.columns[part]];
                    match value.get(&key.fields[part]) {
                        Some(serde_json::Value::String(text)) => push(schema, key, part, text, into),
                        Some(value) => match field.kind.read_json(value) {
                            Some(read) => {
                                read.key(&super::field::as_text(value), into);
                                true
                            }
                            None => false,
                        },
                        None => false,
                    }
                })?;
            }
        }
    }
    Ok(())
}

fn push(schema: &Schema, key: &ForeignKey, part: usize, text: &str, into: &mut Vec<u8>) -> bool {
    let field = &schema.fields[key.columns[part]];
    !field.is_missing(text) && push_key(field, text, into)
}

/// Adds the key of a row, if all its parts are there.
fn insert(
    schema: &Schema,
    key: &ForeignKey,
    set: &mut KeySet,
    write: impl Fn(usize, &mut Vec<u8>) -> bool,
) -> Result<()> {
    debug_assert!(key.columns.iter().all(|column| *column < schema.fields.len()));
    let mut parts = Vec::with_capacity(key.columns.len());
    for part in 0..key.columns.len() {
        let mut bytes = Vec::with_capacity(16);
        if !write(part, &mut bytes) {
            return Ok(());
        }
        parts.push(bytes);
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    set.insert(hash(&parts));
    if set.len() > KEYS_REMEMBERED_MAX {
        return Err(Error::config(format!(
            "it has more than {KEYS_REMEMBERED_MAX} keys, too many to remember"
        )));
    }
    Ok(())
}
