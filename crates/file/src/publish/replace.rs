//! Replacing what an earlier attempt of the same reservation has left.
//!
//! Invariants: nothing is replaced unless the ledger says, just before, that the lease is ours, and it stays
//! replaced only if the ledger says so again just after; a manifest never describes a file that was exchanged
//! under it, because it is taken away first; what was taken away is put back if the lease turns out lost.
//!
//! A crash in here leaves a data file without a manifest: unfinished work, which the same reservation replaces
//! when it is tried again.

use super::group::{Job, Placed};
use crate::layout::exists;
use crate::place::{exchange, io_error, move_new, sync_dir};
use crate::temp::TempPath;
use handover_core::{Error, Manifest, Result, fault};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

impl Job {
    /// Asks the ledger; a panic of the caller's is an error of the caller's.
    fn lease_holds(&mut self) -> Result<bool> {
        let ask = &mut self.may_replace;
        catch_unwind(AssertUnwindSafe(ask))
            .unwrap_or_else(|_| Err(Error::internal("asking for the lease panicked")))
    }

    fn require_lease(&mut self) -> Result<()> {
        if self.lease_holds()? { Ok(()) } else { Err(self.stale()) }
    }

    /// The manifest that stands at the name: refused where it says that it belongs to another delivery or ledger,
    /// taken away where it has lost its data file.
    pub(super) fn look_at_earlier_attempt(&mut self) -> Result<()> {
        let there = self.refuse_foreign_manifest()?;
        if there && !exists(&self.target)? {
            self.require_lease()?;
            self.take_manifest_away()?;
        }
        Ok(())
    }

    /// Whether a manifest stands at the name; refused where it is another delivery's or ledger's.
    fn refuse_foreign_manifest(&mut self) -> Result<bool> {
        let bytes = match crate::read::manifest_bytes(&self.manifest_path) {
            Ok(bytes) => bytes,
            Err(_) if !exists(&self.manifest_path)? => return Ok(false),
            Err(_) => return Err(self.taken()),
        };
        // One that cannot be parsed tells no owner; the lease decides.
        let Ok(there) = Manifest::parse(&bytes) else { return Ok(true) };
        let differ = |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
        if differ(&there.delivery_id, &self.manifest.delivery_id)
            || differ(&there.ledger, &self.manifest.ledger)
        {
            return Err(self.taken());
        }
        let same_stem =
            there.filename.strip_prefix(self.stem.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if there.filename != self.manifest.filename && same_stem {
            self.old_data = Some(self.folder.join(&there.filename));
        }
        Ok(true)
    }

    /// Puts our data file in the place of an earlier attempt's.
    pub(super) fn exchange_data(&mut self) -> Result<()> {
        match fs::symlink_metadata(&self.target) {
            Ok(meta) if !meta.is_file() => return Err(self.taken()),
            _ => {}
        }
        self.require_lease()?;
        fault::point("publish.replacing")?;
        self.take_manifest_away()?;
        exchange(self.written.path(), &self.target)
            .map_err(|e| io_error("exchange a file for its new version", &self.target, e))?;
        self.placed = Placed::Exchanged;
        self.replaced = true;
        fault::point("publish.replaced")?;
        self.require_lease()
    }

    fn take_manifest_away(&mut self) -> Result<()> {
        let mut aside = self.aside();
        match move_new(&self.manifest_path, aside.path()) {
            Ok(()) => {
                self.old_manifest = Some(aside);
                self.replaced = true;
                sync_dir(&self.folder)
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
        self.refuse_foreign_manifest()?;
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
