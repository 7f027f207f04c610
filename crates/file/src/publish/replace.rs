//! Replacing what an earlier attempt of the same reservation has left.
//!
//! Invariants: nothing is replaced that is not ours, which [`super::Owner`] tells, before the exchange and after it;
//! nothing is replaced unless the ledger says, just before, that the lease is ours, and it stays replaced only if the
//! ledger says so again just after; a manifest never describes a file that was exchanged
//! under it, because it is taken away first; what was taken away is put back if the lease turns out lost.
//!
//! A crash in here leaves a data file without a manifest: unfinished work, which the same reservation replaces
//! when it is tried again.

use super::group::{Job, Placed};
use super::{AskLease, Stands};
use crate::layout::exists;
use crate::place::{exchange, io_error, is_same, move_new, open_regular, sync_dir};
use crate::temp::TempPath;
use handover_core::{Error, Result, fault};
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Asks for the lease; a panic of the caller's is an error of the caller's.
pub(super) fn ask(lease: &mut AskLease) -> Result<bool> {
    catch_unwind(AssertUnwindSafe(lease))
        .unwrap_or_else(|_| Err(Error::internal("asking for the lease panicked")))
}

impl Job {
    fn require_lease(&mut self) -> Result<()> {
        if ask(&mut self.may_replace)? { Ok(()) } else { Err(self.stale()) }
    }

    /// The manifest that stands at the name: refused where it is not ours, taken away where it has lost its data file.
    pub(super) fn look_at_earlier_attempt(&mut self) -> Result<()> {
        let there = self.our_manifest_is_there()?;
        if there && !exists(&self.target)? {
            self.require_lease()?;
            self.take_manifest_away()?;
        }
        Ok(())
    }

    /// Whether our manifest stands at the name; refused where it is somebody else's.
    fn our_manifest_is_there(&mut self) -> Result<bool> {
        match self.owner.manifest_at(&self.manifest_path)? {
            Stands::Nothing => return Ok(false),
            Stands::Ours => {}
            Stands::Unmarked | Stands::Anothers => return Err(self.taken()),
        }
        let Ok(there) = crate::read::read_manifest(&self.manifest_path) else { return Ok(true) };
        let same_stem =
            there.filename.strip_prefix(self.stem.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if there.filename != self.manifest.filename && same_stem {
            self.old_data = Some(self.folder.join(&there.filename));
        }
        Ok(true)
    }

    /// Puts our data file in the place of an earlier attempt's.
    pub(super) fn exchange_data(&mut self) -> Result<()> {
        let before = self.what_is_replaced()?;
        self.require_lease()?;
        fault::point("publish.replacing")?;
        self.take_manifest_away()?;
        match exchange(self.written.path(), &self.target) {
            Ok(()) => self.placed = Placed::Exchanged,
            // A late attempt has taken its own back meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.move_data().map_err(|e| io_error("move a file to its place", &self.target, e))?;
                self.placed = Placed::New;
            }
            Err(e) => return Err(io_error("exchange a file for its new version", &self.target, e)),
        }
        self.replaced = true;
        fault::point("publish.replaced")?;
        self.require_lease()?;
        if self.placed == Placed::Exchanged && !is_same(self.written.path(), &before) {
            // Another file has come to stand there between the look and the exchange: it goes back.
            return Err(self.taken());
        }
        Ok(())
    }

    /// The file at the name, which is ours to replace; refused where it is not.
    fn what_is_replaced(&mut self) -> Result<File> {
        let (size, checksum) = (self.manifest.file_size, self.manifest.checksum);
        let ours = self.owner.manifest_at(&self.manifest_path)? == Stands::Ours
            || self.owner.data_is_ours(&self.target, size, checksum)?;
        if !ours {
            return Err(self.taken());
        }
        open_regular(&self.target).map(|(file, _)| file).map_err(|_| self.taken())
    }

    fn take_manifest_away(&mut self) -> Result<()> {
        let mut aside = self.aside();
        match move_new(&self.manifest_path, aside.path()) {
            Ok(()) => {
                let ours = self.owner.manifest_at(aside.path())? == Stands::Ours;
                self.old_manifest = Some(aside);
                self.replaced = true;
                // Another's that has appeared since the look: it is put back.
                if ours { sync_dir(&self.folder) } else { Err(self.taken()) }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                aside.moved();
                Ok(())
            }
            Err(e) => Err(io_error("take away the manifest of an earlier attempt", &self.manifest_path, e)),
        }
    }

    fn aside(&self) -> TempPath {
        self.written.names.next("meta.json")
    }

    /// A manifest has appeared at the name since: another holder's, or an earlier one that had lost its data
    /// file. With the lease still ours, it gives way.
    pub(super) fn replace_manifest(&mut self, new: &Path) -> Result<()> {
        if self.fresh {
            return Err(self.taken());
        }
        self.our_manifest_is_there()?;
        self.require_lease()?;
        let failed = |e| io_error("move a manifest to its place", &self.manifest_path, e);
        exchange(new, &self.manifest_path).map_err(failed)?;
        if let Err(error) = self.require_lease() {
            // Another holder's manifest it was, and it stands again.
            exchange(new, &self.manifest_path)
                .map_err(|e| io_error("put a manifest back", &self.manifest_path, e))?;
            return Err(error);
        }
        self.replaced = true;
        crate::temp::remove_whatever(new);
        Ok(())
    }

    /// Puts the manifest of an earlier attempt back, with the data file that it describes.
    pub(super) fn restore_manifest(&mut self) {
        let Some(mut old) = self.old_manifest.take() else { return };
        match move_new(old.path(), &self.manifest_path) {
            Ok(()) => drop(old.moved()),
            // Another holder has put its own there: that one stands.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => {
                tracing::warn!(file = crate::place::show(&self.manifest_path), error = %e, "a manifest could not be put back");
            }
        }
    }
}
