//! The archive: `archive/YYYY-MM/{folder}/{name}.zst` with a manifest, for files that nobody needs soon.
//!
//! Invariants: a file leaves its place only when its copy in the archive is published by the usual protocol and
//! has been read back to the original's checksum; the manifest in the archive describes what lies beside it and
//! keeps the original's name, size, checksum and path; months are those of the file's date; formats that are
//! compressed already are stored as they are.
//! Only one process archives at a time.
//!
//! Every step can be repeated. After a crash the file is in its place, or in both, or in the archive with its
//! data still in place but without a manifest; archiving it again finishes what is left.

mod place;

use crate::draft::{Draft, Written, read_chunks};
use crate::layout::DataDir;
use crate::lock;
use crate::measure::Measure;
use crate::place::{io_error, open_regular, show, sync_dir};
use crate::publish::{PublishRequest, publish_now};
use crate::read::{decoder, hash_from, manifest_path_of, read_manifest, verify};
use handover_core::clock::rfc3339;
use handover_core::{Checksum, Error, ErrorKind, HolderId, Manifest, Result};
use jiff::Timestamp;
use place::Place;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const LEVEL: i32 = 3;

/// The manifest's keys in the archive, beyond those of every manifest.
mod key {
    pub(super) const FROM: &str = "archived_from";
    pub(super) const AT: &str = "archived_at";
    pub(super) const COMPRESSION: &str = "compression";
    pub(super) const NAME: &str = "original_filename";
    pub(super) const SIZE: &str = "original_size";
    pub(super) const CHECKSUM: &str = "original_checksum";
}

/// A file in the archive.
#[derive(Debug)]
pub struct Archived {
    /// Where it is, relative to the data directory.
    pub path: String,
    /// Its manifest there.
    pub manifest: Manifest,
    /// The file's own size, in bytes.
    pub size_before: u64,
    /// Its size in the archive, in bytes.
    pub size_after: u64,
    /// Whether an earlier run had put it there.
    pub already: bool,
}

/// What an archived file was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its path relative to the data directory.
    pub path: String,
    /// Its name.
    pub filename: String,
    /// Its size in bytes.
    pub file_size: u64,
    /// Its checksum.
    pub checksum: Checksum,
}

impl Original {
    /// The extension of its name.
    pub fn ext(&self) -> Option<String> {
        self.filename.split_once('.').map(|(_, ext)| ext.to_owned())
    }
}

/// What the manifest of an archived file says of the original; none for any other manifest.
pub fn original_of(manifest: &Manifest) -> Option<Original> {
    let text = |key: &str| manifest.more.get(key).and_then(Value::as_str);
    Some(Original {
        path: text(key::FROM)?.to_owned(),
        filename: text(key::NAME)?.to_owned(),
        file_size: manifest.more.get(key::SIZE).and_then(Value::as_u64)?,
        checksum: text(key::CHECKSUM)?.parse().ok()?,
    })
}

/// Whether the archive compressed it, so that reading has to undo that.
pub(crate) fn is_compressed_here(manifest: &Manifest) -> bool {
    manifest.more.get(key::COMPRESSION).and_then(Value::as_str) == Some("zstd")
        && original_of(manifest).is_some()
}

/// Moves a published file into the archive; `relative` is its path as the ledger keeps it, `manifest` what it
/// was published with, `at` the time now. Repeating it finishes what a crash interrupted, and is harmless.
///
/// # Errors
/// [`ErrorKind::BadData`] where the file is not what the manifest says: it stays where it is;
/// [`ErrorKind::NotFound`] where it is in neither place; [`ErrorKind::Exists`] where another file has its name in
/// the archive; [`ErrorKind::NotYet`] where the disk is full.
pub fn archive(
    data: &DataDir,
    holder: &HolderId,
    relative: &str,
    manifest: &Manifest,
    at: Timestamp,
) -> Result<Archived> {
    let source = data.absolute(relative)?;
    let place = Place::new(data, &source, &manifest.filename, Some(manifest.created_at))?;
    // Of two processes that archive the same file, the second finds what the first has done.
    let _alone = lock::alone(data, "archive")?;
    if let Some((path, found)) = find_at(&place, relative)? {
        verify(&path, &found)?;
        check_original(&path, &found)?;
        remove_original(data, &source, manifest)?;
        return described(data, &path, found, true);
    }
    let written = compress(data, holder, &source, manifest, &place)?;
    check_compressed(&written, manifest, place.compressed)?;
    let stored = stored_manifest(&written, relative, manifest, &place, at);
    let request =
        PublishRequest::new(written, place.folder.clone(), place.name.clone(), place.stem.clone(), stored);
    // A manifest at this name was looked for above, and nobody else archives now; a data file without one, which bears
    // this file's mark or holds the same, is an earlier run's.
    let published = publish_now(request.replacing(|| Ok(true)))?;
    remove_original(data, &source, manifest)?;
    described(data, &published.path, published.manifest, false)
}

fn described(data: &DataDir, path: &Path, manifest: Manifest, already: bool) -> Result<Archived> {
    let path =
        data.relative(path).ok_or_else(|| Error::internal("the archive is not in the data directory"))?;
    let size_before = original_of(&manifest).map_or(manifest.file_size, |o| o.file_size);
    Ok(Archived { path, size_before, size_after: manifest.file_size, manifest, already })
}

/// Finds in the archive what was published at this path: its place and its manifest there.
pub(crate) fn find(data: &DataDir, relative: &str) -> Result<Option<(PathBuf, Manifest)>> {
    let source = data.absolute(relative)?;
    let Some(name) = source.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    for place in Place::candidates(data, &source, name)? {
        if let Ok(Some(found)) = find_at(&place, relative) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What lies at a place of the archive, if it is this file.
fn find_at(place: &Place, relative: &str) -> Result<Option<(PathBuf, Manifest)>> {
    let manifest = match read_manifest(&place.manifest_path()) {
        Ok(manifest) => manifest,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if original_of(&manifest).is_none_or(|original| original.path != relative) {
        return Err(Error::new(ErrorKind::Exists, "another file has this name in the archive")
            .on(show(&place.manifest_path()))
            .hint("the file stays where it is; move the other one out of the archive"));
    }
    Ok(Some((place.folder.join(&manifest.filename), manifest)))
}

/// Reads what is in the archive, which is what its manifest says, through to the original.
pub(crate) fn check_original(path: &Path, manifest: &Manifest) -> Result<()> {
    let Some(original) = original_of(manifest).filter(|_| is_compressed_here(manifest)) else {
        return Ok(());
    };
    let (file, _) = open_regular(path)?;
    let found = decoder(file).and_then(|mut plain| hash_from(&mut plain)).map_err(|e| {
        Error::bad_data("what is in the archive cannot be decompressed").on(show(path)).because(e)
    })?;
    match found == (original.file_size, original.checksum) {
        true => Ok(()),
        false => Err(Error::bad_data("what is in the archive is not the original: its checksum differs")
            .on(show(path))
            .hint("restore the archive folder from a backup")),
    }
}

/// Copies the file into a draft, compressed, and sees to it that what was read is what was published.
fn compress(
    data: &DataDir,
    holder: &HolderId,
    source: &Path,
    manifest: &Manifest,
    place: &Place,
) -> Result<Written> {
    let (mut file, _) = open_regular(source)?;
    let mut draft = data.draft(holder, &place.ext())?;
    let mut measure = Measure::default();
    let copied = match place.compressed {
        true => copy_compressed(&mut file, &mut draft, &mut measure),
        false => copy_plain(&mut file, &mut draft, &mut measure),
    };
    copied.map_err(|e| io_error("write to the archive", draft.path(), e))?;
    let read = measure.finish();
    if (read.file_size, read.checksum) != (manifest.file_size, manifest.checksum) {
        return Err(Error::bad_data(format!(
            "the file is not what its manifest says ({}, {} bytes, and not {}, {} bytes), so it is not archived",
            read.checksum, read.file_size, manifest.checksum, manifest.file_size
        ))
        .on(show(source))
        .hint("`handover verify` says what else is wrong there"));
    }
    draft.finish()
}

fn copy_compressed(file: &mut File, draft: &mut Draft, measure: &mut Measure) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(draft, LEVEL)?;
    encoder.include_checksum(true)?;
    copy_plain(file, &mut encoder, measure)?;
    encoder.finish().map(drop)
}

fn copy_plain(file: &mut File, to: &mut impl Write, measure: &mut Measure) -> io::Result<()> {
    let mut written = Ok(());
    read_chunks(file, |bytes| {
        measure.push(bytes);
        if written.is_ok() {
            written = to.write_all(bytes);
        }
    })?;
    written
}

/// Reads the draft back before it is published.
fn check_compressed(written: &Written, manifest: &Manifest, compressed: bool) -> Result<()> {
    let (mut file, _) = open_regular(written.path())?;
    let found = match compressed {
        true => decoder(file).and_then(|mut plain| hash_from(&mut plain)),
        false => hash_from(&mut file),
    };
    let found = found.map_err(|e| io_error("read back", written.path(), e))?;
    match found == (manifest.file_size, manifest.checksum) {
        true => Ok(()),
        false => {
            Err(Error::new(ErrorKind::Io, "what was written to the archive does not read back as it was")
                .on(show(written.path()))
                .hint("the file stays where it is; check the disk"))
        }
    }
}

fn stored_manifest(
    written: &Written,
    relative: &str,
    manifest: &Manifest,
    place: &Place,
    at: Timestamp,
) -> Manifest {
    let mut stored = manifest.clone();
    stored.filename.clone_from(&place.name);
    stored.file_size = written.file_size;
    stored.checksum = written.checksum;
    let compression = if place.compressed { "zstd" } else { "none" };
    stored.more.extend(Map::from_iter([
        (key::FROM.to_owned(), relative.into()),
        (key::AT.to_owned(), rfc3339(at).into()),
        (key::COMPRESSION.to_owned(), compression.into()),
        (key::NAME.to_owned(), manifest.filename.as_str().into()),
        (key::SIZE.to_owned(), manifest.file_size.into()),
        (key::CHECKSUM.to_owned(), manifest.checksum.to_string().into()),
    ]));
    stored
}

/// Removes the original: its manifest first, so that no manifest is ever without its file; then the file, if it
/// is still the one that was archived; then its date folder, if that is empty.
fn remove_original(data: &DataDir, source: &Path, manifest: &Manifest) -> Result<()> {
    match verify(source, manifest) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let Some(folder) = source.parent() else { return Ok(()) };
    if let Some(manifest_path) = manifest_path_of(source)? {
        remove(&manifest_path)?;
        sync_dir(folder)?;
    }
    remove(source)?;
    let is_date = folder.file_name().and_then(|n| n.to_str()).is_some_and(|n| place::date_of(n).is_some());
    if !is_date || folder == data.root() || fs::remove_dir(folder).is_err() {
        return match sync_dir(folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        };
    }
    folder.parent().map_or(Ok(()), sync_dir)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| io_error("remove", path, e)),
    }
}
