//! Scratch files: room on the disk for what does not fit into memory while an app works.
//!
//! Invariant: a scratch file has no name once it is handed out, so it goes away with its handle; a crash leaves nothing
//! that anybody sees. (Where the file system has no nameless files, there is a name for the moment between two system
//! calls.)

use crate::layout::DataDir;
use crate::place::io_error;
use handover_core::Result;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nobody else may read what is in it.
const MODE: u32 = 0o600;

impl DataDir {
    /// A new scratch file in `.handover/tmp`.
    ///
    /// # Errors
    /// Where it cannot be created; [`handover_core::ErrorKind::NotYet`] where the disk is full.
    pub fn scratch(&self) -> Result<File> {
        scratch_in(self.tmp_dir())
    }
}

/// A new, empty file without a name on the file system of this folder, open to read and write.
///
/// # Errors
/// Where it cannot be created; [`handover_core::ErrorKind::NotYet`] where the disk is full.
pub fn scratch_in(folder: &Path) -> Result<File> {
    nameless(folder)
        .or_else(|_| unlinked(folder))
        .map_err(|e| io_error("create a temporary file in", folder, e))
}

#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).mode(MODE).custom_flags(libc::O_TMPFILE).open(folder)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> io::Result<File> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Creates a file and takes its name away.
fn unlinked(folder: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".handover-scratch-{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            // Left by a dead process that had our number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_scratch_file_is_in_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        for make in [scratch_in, |folder: &Path| unlinked(folder).map_err(|e| io_error("create", folder, e))]
        {
            let mut file = make(folder.path()).unwrap();
            file.write_all(b"rows").unwrap();
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), fs::read_dir(folder.path()).unwrap().count()), ("rows", 0));
        }
        assert!(scratch_in(&folder.path().join("missing")).is_err());
    }
}
