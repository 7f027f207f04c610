//! Reading what was published: checked against its manifest, and through the archive where it has gone there.
//!
//! Invariants: size and checksum are looked at before anybody is told that a file is whole; a file is opened
//! without following a symbolic link and without waiting on a pipe. Reading changes nothing; a copy taken out of
//! the archive is a temporary file of its holder, which a crash leaves to [`crate::lock::sweep`].

use crate::archive;
use crate::draft::Draft;
pub(crate) use crate::draft::read_chunks;
use crate::layout::DataDir;
use crate::measure::Measure;
use crate::place::{io_error, open_regular, show};
use crate::publish::manifest_name;
use handover_core::limits::MANIFEST_MAX_BYTES;
use handover_core::{Checksum, Error, ErrorKind, HolderId, Manifest, Result};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) fn hash_of(bytes: &[u8]) -> Checksum {
    let mut measure = Measure::default();
    measure.push(bytes);
    measure.finish().checksum
}

/// The size in bytes and the checksum of a file.
///
/// # Errors
/// Where it cannot be read; [`ErrorKind::BadData`] where it is no regular file.
pub fn check_hash(path: &Path) -> Result<(u64, Checksum)> {
    let (mut file, _) = open_regular(path)?;
    hash_from(&mut file).map_err(|e| io_error("read", path, e))
}

pub(crate) fn hash_from(source: &mut impl Read) -> io::Result<(u64, Checksum)> {
    let mut measure = Measure::default();
    read_chunks(source, |bytes| measure.push(bytes))?;
    let measured = measure.finish();
    Ok((measured.file_size, measured.checksum))
}

/// How a file differs from its manifest: in size, or in checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The size found, in bytes.
    Size(u64),
    /// The checksum found.
    Checksum(Checksum),
}

/// How a file differs from its manifest, if it does: the size is looked at first, then, where that is right, the
/// checksum.
pub(crate) fn compare(path: &Path, manifest: &Manifest) -> Result<Option<Difference>> {
    let (mut file, meta) = open_regular(path)?;
    differs(&mut file, meta.len(), path, manifest)
}

fn differs(file: &mut File, length: u64, path: &Path, manifest: &Manifest) -> Result<Option<Difference>> {
    if length != manifest.file_size {
        return Ok(Some(Difference::Size(length)));
    }
    let (size, checksum) = hash_from(file).map_err(|e| io_error("read", path, e))?;
    Ok(if size != manifest.file_size {
        Some(Difference::Size(size))
    } else {
        (checksum != manifest.checksum).then_some(Difference::Checksum(checksum))
    })
}

impl Difference {
    /// The error that it is, with both values.
    pub(crate) fn into_error(self, path: &Path, manifest: &Manifest) -> Error {
        let message = match self {
            Self::Size(found) => {
                format!("the size is {found} bytes, and the manifest says {}", manifest.file_size)
            }
            Self::Checksum(found) => {
                format!("the checksum is {found}, and the manifest says {}", manifest.checksum)
            }
        };
        Error::bad_data(message).on(show(path)).hint(
            "the file was changed after it was published, or came here damaged: get it again from its source",
        )
    }
}

/// Checks a file against its manifest: the size first, then, where that is right, the checksum.
///
/// # Errors
/// [`ErrorKind::BadData`] with both values where they differ; others where the file cannot be read.
pub fn verify(path: &Path, manifest: &Manifest) -> Result<()> {
    match compare(path, manifest)? {
        None => Ok(()),
        Some(difference) => Err(difference.into_error(path, manifest)),
    }
}

/// Opens a file and checks it as [`verify`] does. What is given stands at its beginning again: whoever reads it reads the
/// very file that was checked.
///
/// # Errors
/// As [`verify`].
pub fn open_verified(path: &Path, manifest: &Manifest) -> Result<File> {
    let (mut file, meta) = open_regular(path)?;
    if let Some(difference) = differs(&mut file, meta.len(), path, manifest)? {
        return Err(difference.into_error(path, manifest));
    }
    file.rewind().map_err(|e| io_error("read", path, e))?;
    // It was opened so that it would not wait on a pipe; a program gets it as any other file.
    rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::empty())
        .map_err(|e| io_error("open", path, e.into()))?;
    Ok(file)
}

/// The bytes of a manifest, bounded.
pub(crate) fn manifest_bytes(path: &Path) -> Result<Vec<u8>> {
    let (file, meta) = open_regular(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(MANIFEST_MAX_BYTES)).unwrap_or(0));
    file.take(MANIFEST_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| io_error("read", path, e))?;
    if bytes.len() as u64 > MANIFEST_MAX_BYTES {
        return Err(
            Error::bad_data(format!("the manifest is larger than {MANIFEST_MAX_BYTES} bytes")).on(show(path))
        );
    }
    Ok(bytes)
}

/// Reads the manifest at this path.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::BadData`] where it is malformed, too large or from
/// a newer version.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    Manifest::parse(&manifest_bytes(path)?).map_err(|e| {
        let on = e.hint_text().map(str::to_owned);
        let error = Error::bad_data(e.to_string()).on(show(path));
        match on {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

/// The manifest that lies beside a data file and names it; none where there is none. By the convention a name's
/// extension begins at its first dot; names given by a pattern may have dots before it, so every dot is tried.
///
/// # Errors
/// Where the folder refuses to be looked at.
pub fn manifest_path_of(path: &Path) -> Result<Option<PathBuf>> {
    Ok(manifest_beside(path)?.map(|(found, _)| found))
}

/// The manifest that lies beside a data file and names it, with where it lies.
fn manifest_beside(path: &Path) -> Result<Option<(PathBuf, Manifest)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let ends = name.char_indices().filter(|(_, c)| *c == '.').map(|(i, _)| i).chain([name.len()]);
    for end in ends.filter(|end| *end > 0) {
        let candidate = path.with_file_name(manifest_name(&name[..end]));
        match read_manifest(&candidate) {
            Ok(manifest) if manifest.filename == name => return Ok(Some((candidate, manifest))),
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::BadData) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// A file of the past: where it was published, or in the archive.
#[derive(Debug)]
pub struct Retained {
    path: PathBuf,
    manifest_path: Option<PathBuf>,
    manifest: Manifest,
    archived: bool,
}

/// A path at which a retained file can be read. Dropping it removes the copy, if it was one.
#[derive(Debug)]
pub struct RetainedPath {
    path: PathBuf,
    manifest_path: Option<PathBuf>,
    _copy: Option<crate::draft::Written>,
}

impl RetainedPath {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest that lies beside it, where it is where it was published.
    pub fn manifest_path(&self) -> Option<&Path> {
        self.manifest_path.as_deref()
    }
}

/// Finds a file of the past by the path that the ledger keeps, where it was published or in the archive.
///
/// # Errors
/// [`ErrorKind::NotFound`] where it is in neither place with its manifest.
pub fn retained(data: &DataDir, relative: &str) -> Result<Retained> {
    // An archive run may move it between two looks, so the first place is looked at again.
    for look in [find_in_place, find_archived, find_in_place] {
        if let Some(found) = look(data, relative)? {
            return Ok(found);
        }
    }
    Err(Error::not_found("the file is neither where it was published nor in the archive")
        .on(relative)
        .hint("was it removed by hand? `handover verify` says what is missing"))
}

/// Finds an export, which lies outside the data directory and is never archived.
///
/// # Errors
/// [`ErrorKind::NotFound`] where it is not there with its manifest.
pub fn exported(path: &Path) -> Result<Retained> {
    find_at(path)?.ok_or_else(|| {
        Error::not_found("the export is not where it was published, or its manifest is gone")
            .on(show(path))
            .hint("what comes after an exporter reads its exports where they are: leave them there until it has")
    })
}

fn find_in_place(data: &DataDir, relative: &str) -> Result<Option<Retained>> {
    find_at(&data.absolute(relative)?)
}

fn find_at(path: &Path) -> Result<Option<Retained>> {
    let Some((manifest_path, manifest)) = manifest_beside(path)? else { return Ok(None) };
    Ok(crate::layout::exists(path)?.then_some(Retained {
        path: path.to_owned(),
        manifest_path: Some(manifest_path),
        manifest,
        archived: false,
    }))
}

fn find_archived(data: &DataDir, relative: &str) -> Result<Option<Retained>> {
    let found = archive::find(data, relative)?;
    Ok(found.map(|(path, manifest)| Retained { path, manifest_path: None, manifest, archived: true }))
}

impl Retained {
    /// Whether it lies in the archive.
    pub fn is_archived(&self) -> bool {
        self.archived
    }

    /// Where its bytes lie; in the archive they may be compressed there.
    pub fn stored_path(&self) -> &Path {
        &self.path
    }

    /// What its manifest says: in the archive, the manifest of what lies there.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The checksum of the file as it was published.
    pub fn checksum(&self) -> Checksum {
        archive::original_of(&self.manifest).map_or(self.manifest.checksum, |original| original.checksum)
    }

    /// Its bytes as they were published, not yet checked.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        let (file, _) = open_regular(&self.path)?;
        if !archive::is_compressed_here(&self.manifest) {
            return Ok(Box::new(file));
        }
        Ok(Box::new(decoder(file).map_err(|e| io_error("decompress", &self.path, e))?))
    }

    /// A path at which it can be read as it was published: its own, or that of a copy of this holder's. The
    /// copy has been checked; a file in its place has not.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] where what is in the archive is damaged; [`ErrorKind::NotYet`] for a full disk.
    pub fn path(&self, data: &DataDir, holder: &HolderId) -> Result<RetainedPath> {
        if !archive::is_compressed_here(&self.manifest) {
            return Ok(RetainedPath {
                path: self.path.clone(),
                manifest_path: self.manifest_path.clone(),
                _copy: None,
            });
        }
        let ext = archive::original_of(&self.manifest).and_then(|o| o.ext()).unwrap_or_default();
        let mut draft: Draft = data.draft(holder, if ext.is_empty() { "dat" } else { &ext })?;
        io::copy(&mut self.open()?, &mut draft).map_err(|e| io_error("decompress", &self.path, e))?;
        let copy = draft.finish()?;
        if copy.checksum != self.checksum() {
            return Err(Difference::Checksum(copy.checksum).into_error(&self.path, &self.manifest));
        }
        Ok(RetainedPath { path: copy.path().to_owned(), manifest_path: None, _copy: Some(copy) })
    }
}

pub(crate) fn decoder(file: File) -> io::Result<impl Read + Send> {
    zstd::stream::read::Decoder::new(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn manifest(size: u64, checksum: Checksum) -> Manifest {
        let text = format!(
            r#"{{"filename":"a.csv","created_at":"2025-11-24T10:30:00Z","created_by":"a","file_size":{size},"checksum":"{checksum}"}}"#
        );
        Manifest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_difference_is_said_with_both_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, "abc").unwrap();
        let right = hash_of(b"abc");
        assert_eq!(check_hash(&path).unwrap(), (3, right));
        verify(&path, &manifest(3, right)).unwrap();
        let size = verify(&path, &manifest(4, right)).unwrap_err();
        assert_eq!(size.kind(), ErrorKind::BadData);
        assert!(size.to_string().contains("is 3") && size.to_string().contains("says 4"), "{size}");
        let wrong = hash_of(b"abd");
        let text = verify(&path, &manifest(3, wrong)).unwrap_err().to_string();
        assert!(text.contains(&right.to_string()) && text.contains(&wrong.to_string()), "{text}");
        assert_eq!(
            verify(&dir.path().join("b"), &manifest(3, right)).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(verify(dir.path(), &manifest(3, right)).unwrap_err().kind(), ErrorKind::BadData);
    }

    #[test]
    fn a_manifest_that_is_too_large_or_rubbish_is_refused_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.meta.json");
        for text in [" ".repeat(MANIFEST_MAX_BYTES as usize + 1), "{".to_owned()] {
            fs::write(&path, text).unwrap();
            let error = read_manifest(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadData);
            assert!(error.to_string().contains("a.meta.json"), "{error}");
        }
    }
}
