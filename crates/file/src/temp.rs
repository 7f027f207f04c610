//! Temporary files: how they are named, and that they go away.
//!
//! Invariants: a temporary name carries the holder that made it, so that another process can tell a living
//! writer's file from a dead one's; two names of one process never meet; the guard removes the file unless it
//! was moved to its place. On a crash the file stays until [`crate::lock::sweep`] finds its holder dead.

use handover_core::HolderId;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a temporary file beside its target begins with.
pub(crate) const BESIDE_PREFIX: &str = ".handover-";
const BESIDE_SUFFIX: &str = ".tmp";

/// Gives temporary names in one folder for one holder.
#[derive(Debug, Clone)]
pub(crate) struct TempNames(Arc<Names>);

#[derive(Debug)]
struct Names {
    dir: PathBuf,
    holder: HolderId,
    beside: bool,
}

impl TempNames {
    /// Names in a folder of temporary files alone: `{holder}-{n}.{ext}`, so that programs that look at an
    /// extension see the right one.
    pub(crate) fn apart(dir: &Path, holder: &HolderId) -> Self {
        Self(Arc::new(Names { dir: dir.to_owned(), holder: holder.clone(), beside: false }))
    }

    /// Names in a folder that others look at: `.handover-{holder}-{n}.tmp`.
    pub(crate) fn beside(dir: &Path, holder: &HolderId) -> Self {
        Self(Arc::new(Names { dir: dir.to_owned(), holder: holder.clone(), beside: true }))
    }

    /// The holder that the names carry.
    pub(crate) fn holder(&self) -> &HolderId {
        &self.0.holder
    }

    /// A name that nobody has. The file is not made; the guard removes what is there when it is dropped.
    pub(crate) fn next(&self, ext: &str) -> TempPath {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let Names { dir, holder, beside } = &*self.0;
        let name = match (beside, ext) {
            (true, _) => format!("{BESIDE_PREFIX}{holder}-{n}{BESIDE_SUFFIX}"),
            (false, "") => format!("{holder}-{n}"),
            (false, ext) => format!("{holder}-{n}.{ext}"),
        };
        TempPath { path: Some(dir.join(name)) }
    }
}

/// Whether a holder's name can stand in a file's name.
pub(crate) fn holder_is_plain(holder: &HolderId) -> bool {
    !holder.0.is_empty()
        && holder.0.len() <= 128
        && holder.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The holder that made a temporary file of this name, where it is one: `apart` in a folder of temporary files
/// alone, else by its dot name.
pub(crate) fn holder_of(name: &OsStr, apart: bool) -> Option<HolderId> {
    let name = name.to_str()?;
    let name = match apart {
        true => name.split('.').next()?,
        false => name.strip_prefix(BESIDE_PREFIX)?.strip_suffix(BESIDE_SUFFIX)?,
    };
    let (holder, n) = name.rsplit_once('-')?;
    let holder = HolderId(holder.to_owned());
    (n.bytes().all(|b| b.is_ascii_digit()) && !n.is_empty() && holder_is_plain(&holder)).then_some(holder)
}

/// A temporary path; dropping it removes what is there.
#[derive(Debug)]
pub(crate) struct TempPath {
    path: Option<PathBuf>,
}

impl TempPath {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Forgets it: nothing is there any more, because it was moved.
    pub(crate) fn moved(&mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            remove_whatever(path);
        }
    }
}

/// Removes what is at a path that is ours: a file, a link, or the directory that a program made there. Nothing
/// to remove is fine; what cannot be removed is left to the next sweep. Returns whether something was removed.
pub(crate) fn remove_whatever(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).is_ok(),
        Ok(_) => fs::remove_file(path).is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_holder_and_a_stranger_tells_none() {
        let holder = HolderId::new(7);
        let names = TempNames::apart(Path::new("/t"), &holder);
        let temp = names.next("csv.gz");
        assert_eq!(holder_of(temp.path().file_name().unwrap(), true), Some(holder.clone()));
        let temp = TempNames::beside(Path::new("/t"), &holder).next("csv");
        assert_eq!(holder_of(temp.path().file_name().unwrap(), false), Some(holder.clone()));
        assert_eq!(holder_of(temp.path().file_name().unwrap(), true), None);
        for stranger in ["sales.csv", ".handover-x.tmp", ".handover-a_b-1.tmp", ".handover-7-ab-1.tmp2", "-1"]
        {
            assert_eq!(holder_of(OsStr::new(stranger), false), None, "{stranger}");
        }
        assert_eq!(holder_of(OsStr::new("-1"), true), None);
    }

    #[test]
    fn the_guard_removes_what_is_there_even_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let names = TempNames::apart(dir.path(), &HolderId::new(7));
        let temp = names.next("csv");
        fs::create_dir(temp.path()).unwrap();
        fs::write(temp.path().join("inside"), "x").unwrap();
        drop(temp);
        let mut temp = names.next("csv");
        fs::write(temp.path(), "x").unwrap();
        let kept = temp.moved();
        drop(temp);
        assert!(kept.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
