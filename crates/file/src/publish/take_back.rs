//! Taking back what was published for an attempt that has turned out late: its delivery was ended by somebody else, so
//! nothing in the ledger speaks of the file.
//!
//! Invariants: only the very files that were published are removed, known by device and inode; the manifest goes first.
//! Whatever somebody else has put at the names since stays. A crash in here leaves a published file that no ledger
//! knows, as a crash before it does, or a data file without a manifest.

use super::{Owner, Published, Stands};
use crate::place::{io_error, move_new, show, sync_dir};
use handover_core::Result;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file's device and inode.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(file: &File) -> Option<Identity> {
    file.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Owner {
    /// Removes what was published under a name that its delivery, which has not ended, shall not have any more. What is
    /// not ours stays.
    ///
    /// # Errors
    /// Where the system refuses it; it may be repeated.
    pub fn withdraw(&self, folder: &Path, stem: &str) -> Result<()> {
        let manifest_path = folder.join(super::manifest_name(stem));
        if self.manifest_at(&manifest_path)? != Stands::Ours {
            return Ok(());
        }
        let manifest = crate::read::read_manifest(&manifest_path)?;
        let remove = |path: &Path| fs::remove_file(path).map_err(|e| io_error("take back", path, e));
        remove(&manifest_path)?;
        sync_dir(folder)?;
        let data = folder.join(&manifest.filename);
        let named = manifest.filename.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.'));
        if named && self.data_is_ours(&data, manifest.file_size, manifest.checksum)? {
            remove(&data)?;
        }
        sync_dir(folder)
    }
}

impl Published {
    /// Removes the file and its manifest, where they are still those that were published. Tells whether the file was
    /// removed.
    ///
    /// # Errors
    /// Where the system refuses it; it may be repeated.
    pub fn take_back(&self) -> Result<bool> {
        if !self.remove(&self.manifest_path, self.identities.1)?
            && crate::layout::exists(&self.manifest_path)?
        {
            return Ok(false);
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        sync_dir(folder)?;
        let removed = self.remove(&self.path, self.identities.0)?;
        sync_dir(folder)?;
        Ok(removed)
    }

    /// Moves what is at the path out of sight, looks whether it is the one, and removes it; anything else goes back.
    fn remove(&self, path: &Path, wanted: Option<Identity>) -> Result<bool> {
        let is_it = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|meta| wanted == Some((meta.dev(), meta.ino())))
        };
        if !is_it(path) {
            return Ok(false);
        }
        let mut aside = self.names.next("");
        match move_new(path, aside.path()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(io_error("take back", path, e)),
        }
        if is_it(aside.path()) {
            return Ok(true);
        }
        match move_new(aside.path(), path) {
            Ok(()) => drop(aside.moved()),
            Err(e) => {
                tracing::warn!(file = show(path), aside = show(aside.path()), error = %e, "a file could not be given its name back");
                aside.moved();
            }
        }
        Ok(false)
    }
}
