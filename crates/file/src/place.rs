//! Moving a file to its place without replacing, exchanging two files, syncing folders: the system calls that
//! the publish protocol stands on, with what is done where a file system lacks them.
//!
//! Invariant: [`move_new`] never replaces anything, whatever the file system. A crash inside one of the
//! fallbacks can leave a second name of a temporary file, an empty file or no file at a reserved name; none of
//! them has a manifest, so none of them exists for anyone.

use handover_core::{Error, ErrorKind, Result, path_text};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The path as messages show it.
pub(crate) fn show(path: &Path) -> String {
    path_text::to_text(path)
}

/// An operating system error on a path.
pub(crate) fn io_error(doing: &str, path: &Path, source: io::Error) -> Error {
    Error::io(doing, show(path), source)
}

/// Whether the file system lacks this way of moving, rather than refusing this move.
fn unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}

/// Moves `from` to `to` unless something is there already.
///
/// # Errors
/// `AlreadyExists` where something is at `to`; `CrossesDevices` where they are on different file systems.
pub(crate) fn move_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
        Err(error) if unsupported(&error) => move_by_link(from, to),
        other => other,
    }
}

/// [`move_new`] by a second name; where there are no hard links, by an empty file of ours that holds the place.
fn move_by_link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if unsupported(&error) || error.raw_os_error() == Some(libc::EPERM) => {
            move_by_placeholder(from, to)
        }
        Err(error) => Err(error),
    }
}

fn move_by_placeholder(from: &Path, to: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(to)?;
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// Exchanges two files.
///
/// # Errors
/// What the system says; then both are where they were.
pub(crate) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(io::Error::from) {
        Err(error) if unsupported(&error) => exchange_by_steps(a, b),
        other => other,
    }
}

/// [`exchange`] in three moves; `a` is a temporary file of ours, so its name can be extended.
fn exchange_by_steps(a: &Path, b: &Path) -> io::Result<()> {
    let mut aside = a.as_os_str().to_owned();
    aside.push(".old.tmp");
    let aside = PathBuf::from(aside);
    move_new(b, &aside)?;
    if let Err(error) = move_new(a, b) {
        let _ = move_new(&aside, b);
        return Err(error);
    }
    move_new(&aside, a)
}

/// Makes the names in a folder durable. A file system that cannot sync a folder (`EINVAL`) has nothing to sync.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|folder| match folder.sync_all() {
        Err(error) if unsupported(&error) => Ok(()),
        other => other,
    });
    synced.map_err(|e| io_error("sync the folder", dir, e))
}

/// Creates a folder and those above it. Returns the folders whose names are new, the topmost first.
pub(crate) fn create_dirs(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(vec![dir.to_owned()]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                let mut created = create_dirs(parent)?;
                created.extend(create_dirs(dir)?);
                Ok(created)
            }
            _ => Err(io_error("create the folder", dir, error)),
        },
        // Whatever the reason for the refusal, a folder that is there already is what was asked for.
        Err(_) if dir.is_dir() => Ok(Vec::new()),
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) => {
            Err(Error::new(ErrorKind::Denied, "cannot create the folder, because a file is in its place")
                .on(show(dir))
                .hint("move that file away or configure another folder"))
        }
        Err(error) => Err(io_error("create the folder", dir, error)),
    }
}

/// The folders that this process has seen to be durable.
///
/// A folder that another process has just created may not be on the disk yet, so the parents are synced the
/// first time this process uses a folder, not only when it creates one.
#[derive(Debug, Default)]
pub(crate) struct KnownFolders(HashSet<PathBuf>);

impl KnownFolders {
    const MAX: usize = 1024;

    /// Sees to it that the folder is there and durable.
    pub(crate) fn ready(&mut self, dir: &Path) -> Result<()> {
        let created = create_dirs(dir)?;
        if created.is_empty() && self.0.contains(dir) {
            return Ok(());
        }
        for new in &created {
            if let Some(parent) = new.parent() {
                sync_dir(parent)?;
            }
        }
        // Of those above that were there already, two may be another process's work of just now; one that we
        // may not even open is none of ours.
        for above in dir.ancestors().skip(1 + created.len()).take(2) {
            let _ = sync_dir(above);
        }
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(dir.to_owned());
        Ok(())
    }
}

/// Opens a regular file to read, without waiting on a pipe and without following a symbolic link.
///
/// # Errors
/// [`ErrorKind::BadData`] where it is something else than a regular file.
pub(crate) fn open_regular(path: &Path) -> Result<(File, fs::Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(|e| match e.raw_os_error() {
            Some(libc::ELOOP) => {
                Error::bad_data("it is a symbolic link, and a file is wanted").on(show(path))
            }
            Some(libc::ENXIO) => Error::bad_data("it is a socket, and a file is wanted").on(show(path)),
            _ => io_error("open", path, e),
        })?;
    let meta = file.metadata().map_err(|e| io_error("look at", path, e))?;
    match meta.is_file() {
        true => Ok((file, meta)),
        false => {
            let what = if meta.is_dir() { "a folder" } else { "a pipe or a device" };
            Err(Error::bad_data(format!("it is {what}, and a file is wanted")).on(show(path)))
        }
    }
}

/// Whether the path names this very file now.
pub(crate) fn is_same(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(ours)) => there.dev() == ours.dev() && there.ino() == ours.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "new").unwrap();
        (dir, a, b)
    }

    #[test]
    fn no_way_of_moving_replaces() {
        for way in [move_new, move_by_link, move_by_placeholder] {
            let (_dir, a, b) = two();
            fs::write(&b, "old").unwrap();
            assert_eq!(way(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"new".to_vec(), b"old".to_vec()));
            fs::remove_file(&b).unwrap();
            way(&a, &b).unwrap();
            assert!(!a.exists());
            assert_eq!(fs::read(&b).unwrap(), b"new");
        }
    }

    #[test]
    fn both_ways_of_exchanging_exchange() {
        for way in [exchange, exchange_by_steps] {
            let (_dir, a, b) = two();
            fs::write(&b, "old").unwrap();
            way(&a, &b).unwrap();
            assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"old".to_vec(), b"new".to_vec()));
        }
    }

    #[test]
    fn a_file_in_a_folders_place_is_said_and_never_taken_for_a_name_that_is_taken() {
        let (_dir, a, _b) = two();
        for path in [a.clone(), a.join("x"), a.join("x/y")] {
            let error = create_dirs(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        }
    }

    #[test]
    fn folders_are_created_from_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        assert_eq!(create_dirs(&deep).unwrap().len(), 3);
        assert!(create_dirs(&deep).unwrap().is_empty());
        KnownFolders::default().ready(&deep).unwrap();
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let (dir, a, b) = two();
        assert!(open_regular(&a).is_ok());
        std::os::unix::fs::symlink(&a, &b).unwrap();
        assert_eq!(open_regular(&b).unwrap_err().kind(), ErrorKind::BadData);
        assert_eq!(open_regular(dir.path()).unwrap_err().kind(), ErrorKind::BadData);
    }
}
