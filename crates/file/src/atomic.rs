//! A plain output file of a console program: whole or not at all.
//!
//! Invariants: what was at the path stays until the new file is complete and on the disk, and then gives way in
//! one step; without [`AtomicFile::commit`] nothing changes. What is no regular file (`/dev/stdout`, a pipe) is
//! written to directly. A crash leaves a dot-named temporary file beside the target, which no sweep touches,
//! since the program that wrote it holds no lock.

use crate::draft::create_file;
use crate::place::{io_error, move_new, show, sync_dir};
use handover_core::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A file that appears under its name when it is committed.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    temp: Option<PathBuf>,
    writer: BufWriter<File>,
}

impl AtomicFile {
    /// Begins to write `path`, which may exist. A symbolic link is followed: what it points to is replaced.
    ///
    /// # Errors
    /// Where a file cannot be created there.
    pub fn create(path: &Path) -> Result<Self> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&target) {
            Ok(meta) if meta.is_dir() => {
                Err(Error::config("the output is a folder, and a file is wanted").on(show(path)))
            }
            Ok(meta) if !meta.is_file() => Self::directly(target),
            _ => Self::beside(target),
        }
    }

    fn directly(target: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().write(true).open(&target).map_err(|e| io_error("open", &target, e))?;
        Ok(Self { target, temp: None, writer: BufWriter::new(file) })
    }

    fn beside(target: PathBuf) -> Result<Self> {
        if target.file_name().is_none() {
            return Err(Error::config("the output has no file name").on(show(&target)));
        }
        let temp = target.with_file_name(format!(".handover-out.{}.tmp", handover_core::id::random_hex()));
        let file = create_file(&temp).map_err(|e| io_error("create a file beside", &target, e))?;
        let this = Self { target, temp: Some(temp), writer: BufWriter::new(file) };
        if let Ok(meta) = fs::metadata(&this.target) {
            this.writer
                .get_ref()
                .set_permissions(meta.permissions())
                .map_err(|e| io_error("set the permissions of", &this.target, e))?;
        }
        Ok(this)
    }

    /// Lets its owner alone read and write it.
    ///
    /// # Errors
    /// Where its permissions cannot be set.
    pub fn private(self) -> Result<Self> {
        self.writer
            .get_ref()
            .set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(|e| io_error("set the permissions of", &self.target, e))?;
        Ok(self)
    }

    /// Makes the file durable and gives it its name, if nothing has that name: what is there stays. Tells whether the
    /// file is there now.
    ///
    /// # Errors
    /// Where it cannot be written out.
    pub fn commit_new(mut self) -> Result<bool> {
        self.writer.flush().map_err(|e| io_error("write", &self.target, e))?;
        let Some(temp) = self.temp.as_deref() else { return Ok(false) };
        self.writer.get_ref().sync_all().map_err(|e| io_error("sync", &self.target, e))?;
        match move_new(temp, &self.target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(io_error("move the output to", &self.target, e)),
        }
        self.temp = None;
        self.sync_folder().map(|()| true)
    }

    fn sync_folder(&self) -> Result<()> {
        match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
            _ => sync_dir(Path::new(".")),
        }
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// Where it cannot be written out; what was at the path is then untouched.
    pub fn commit(mut self) -> Result<()> {
        self.writer.flush().map_err(|e| io_error("write", &self.target, e))?;
        let Some(temp) = self.temp.as_deref() else { return Ok(()) };
        self.writer.get_ref().sync_all().map_err(|e| io_error("sync", &self.target, e))?;
        fs::rename(temp, &self.target).map_err(|e| io_error("move the output to", &self.target, e))?;
        self.temp = None;
        self.sync_folder()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            let _ = fs::remove_file(temp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        for (text, is_new) in [("first", true), ("second", false)] {
            let mut file = AtomicFile::create(&path).unwrap().private().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(file.commit_new().unwrap(), is_new);
            assert_eq!(fs::read(&path).unwrap(), b"first");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_a_device_stays_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut file = AtomicFile::create(&link).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mut null = AtomicFile::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_folder_and_a_full_device_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(AtomicFile::create(dir.path()).is_err());
        assert!(AtomicFile::create(&dir.path().join("no/such/folder/x")).is_err());
        let mut full = AtomicFile::create(Path::new("/dev/full")).unwrap();
        full.write_all(b"x").unwrap();
        assert_eq!(full.commit().unwrap_err().kind(), handover_core::ErrorKind::NotYet);
    }
}
