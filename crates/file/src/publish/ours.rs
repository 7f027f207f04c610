//! Whether what stands at a name is ours: the one place that answers it.
//!
//! A manifest says whose it is. A data file without one may be what an attempt of the same reservation left when it was
//! killed, or a file that somebody put there. Ours bears a mark, an extended attribute (xattr(7)) that is written before
//! it is synced and moved; where the file system keeps none, it is ours only if it holds what is published now.
//!
//! Invariants: a file of which it cannot be told that it is ours is somebody else's; nothing is ever replaced or removed
//! on a guess, such as by a time. On a crash the mark is as durable as the file's bytes.

use crate::layout::exists;
use crate::place::open_regular;
use crate::publish::manifest_name;
use crate::read::{hash_from, manifest_bytes};
use handover_core::{Checksum, Error, ErrorKind, Manifest, Result};
use std::fs::File;
use std::path::Path;

/// The attribute's name. Programs may set those that begin with `user.`.
const MARK: &str = "user.handover.reserved";
/// Longer than any mark of ours.
const MARK_MAX_BYTES: usize = 256;

/// Whose a file is: the delivery that it will be, in which ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The number set aside for the delivery.
    pub delivery_id: Option<String>,
    /// The ledger's identity.
    pub ledger: Option<String>,
}

/// What stands at a reserved name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// Nothing.
    Nothing,
    /// What an attempt of the same reservation left: its manifest or its mark says so.
    Ours,
    /// A data file that nothing is known of: ours only where it holds what is published.
    Unmarked,
    /// Somebody else's.
    Anothers,
}

impl Owner {
    /// The owner that a manifest names.
    pub fn of(manifest: &Manifest) -> Self {
        Self { delivery_id: manifest.delivery_id.clone(), ledger: manifest.ledger.clone() }
    }

    /// What stands at the name `{stem}.{ext}` or has its manifest's name.
    ///
    /// # Errors
    /// Where it may not be looked at.
    pub fn at(&self, folder: &Path, stem: &str, ext: &str) -> Result<Stands> {
        let manifest = self.manifest_at(&folder.join(manifest_name(stem)))?;
        if manifest != Stands::Nothing {
            return Ok(manifest);
        }
        self.data_at(&folder.join(format!("{stem}.{ext}")))
    }

    /// Whether the manifest at a path is ours. One that cannot be read is not: ours come there whole.
    pub(super) fn manifest_at(&self, path: &Path) -> Result<Stands> {
        match manifest_bytes(path).and_then(|bytes| Manifest::parse(&bytes)) {
            Ok(there) if self.owns(&there) => Ok(Stands::Ours),
            Ok(_) => Ok(Stands::Anothers),
            Err(_) if !exists(path)? => Ok(Stands::Nothing),
            Err(_) => Ok(Stands::Anothers),
        }
    }

    /// Whether the data file at a path, which has no manifest, is ours.
    pub(super) fn data_at(&self, path: &Path) -> Result<Stands> {
        let file = match open_regular(path) {
            Ok((file, _)) => file,
            Err(_) if !exists(path)? => return Ok(Stands::Nothing),
            // A folder, a link, or what we may not even read.
            Err(_) => return Ok(Stands::Anothers),
        };
        Ok(match mark_of(&file) {
            Some(mark) if mark == self.mark() => Stands::Ours,
            Some(_) => Stands::Anothers,
            None => Stands::Unmarked,
        })
    }

    /// The same where it is known what is to be published: then there is no doubt.
    pub(super) fn data_is_ours(&self, path: &Path, size: u64, checksum: Checksum) -> Result<bool> {
        Ok(match self.data_at(path)? {
            Stands::Ours => true,
            Stands::Nothing | Stands::Anothers => false,
            Stands::Unmarked => holds(path, size, checksum)?,
        })
    }

    fn owns(&self, there: &Manifest) -> bool {
        let differ = matches!((&there.ledger, &self.ledger), (Some(a), Some(b)) if a != b);
        there.delivery_id == self.delivery_id && !differ
    }

    /// Marks a file that will be published; where the file system keeps no marks, its content must tell.
    pub(super) fn mark_file(&self, file: &File) {
        set_mark(file, self.mark().as_bytes());
    }

    fn mark(&self) -> String {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let mut mark = format!("{}:{}", text(&self.ledger), text(&self.delivery_id));
        // What others write as a manifest's numbers may be of any length.
        mark.truncate((0..=MARK_MAX_BYTES).rev().find(|end| mark.is_char_boundary(*end)).unwrap_or(0));
        mark
    }
}

fn holds(path: &Path, size: u64, checksum: Checksum) -> Result<bool> {
    let (mut file, meta) = match open_regular(path) {
        Ok(opened) => opened,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if meta.len() != size {
        return Ok(false);
    }
    let found = hash_from(&mut file).map_err(|e| Error::io("read", crate::place::show(path), e))?;
    Ok(found == (size, checksum))
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn set_mark(file: &File, mark: &[u8]) {
    let _ = rustix::fs::fsetxattr(file, MARK, mark, rustix::fs::XattrFlags::empty());
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn mark_of(file: &File) -> Option<String> {
    let mut buffer = [0u8; MARK_MAX_BYTES];
    let length = rustix::fs::fgetxattr(file, MARK, &mut buffer).ok()?;
    String::from_utf8(buffer.get(..length)?.to_vec()).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn set_mark(_file: &File, _mark: &[u8]) {}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn mark_of(_file: &File) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn owner(id: &str) -> Owner {
        Owner { delivery_id: Some(id.into()), ledger: Some("l1".into()) }
    }

    #[test]
    fn a_file_is_ours_by_its_mark_or_by_what_it_holds_and_else_another_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let at = |id: &str| owner(id).at(dir.path(), "a", "csv").unwrap();
        assert_eq!(at("7"), Stands::Nothing);
        fs::write(&path, "abc").unwrap();
        assert_eq!(at("7"), Stands::Unmarked);
        let right = crate::read::hash_of(b"abc");
        assert!(owner("7").data_is_ours(&path, 3, right).unwrap());
        assert!(!owner("7").data_is_ours(&path, 3, crate::read::hash_of(b"abd")).unwrap());
        owner("7").mark_file(&File::open(&path).unwrap());
        if at("7") == Stands::Unmarked {
            return; // No extended attributes here.
        }
        assert_eq!((at("7"), at("8")), (Stands::Ours, Stands::Anothers));
        let elsewhere = Owner { ledger: Some("l2".into()), ..owner("7") };
        assert_eq!(elsewhere.at(dir.path(), "a", "csv").unwrap(), Stands::Anothers);
        // A mark survives what changes the bytes, and not a file that takes its place.
        fs::write(&path, "changed").unwrap();
        assert_eq!(at("7"), Stands::Ours);
        fs::write(dir.path().join("b"), "abc").unwrap();
        fs::rename(dir.path().join("b"), &path).unwrap();
        assert_eq!(at("7"), Stands::Unmarked);
    }

    #[test]
    fn a_manifest_that_is_not_ours_or_cannot_be_read_is_another_s() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["{ half", r#"{"filename":"a.csv"}"#] {
            fs::write(dir.path().join("a.meta.json"), text).unwrap();
            assert_eq!(owner("7").at(dir.path(), "a", "csv").unwrap(), Stands::Anothers);
        }
        fs::remove_file(dir.path().join("a.meta.json")).unwrap();
        fs::create_dir(dir.path().join("a.csv")).unwrap();
        assert_eq!(owner("7").at(dir.path(), "a", "csv").unwrap(), Stands::Anothers);
        assert!(owner(&"x".repeat(1000)).mark().len() <= MARK_MAX_BYTES);
    }
}
