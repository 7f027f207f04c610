//! Arrival: how a file that somebody else wrote comes in.
//!
//! In the order in which a file passes them:
//! - [`watch`]: events, which are hints that a look is worth while.
//! - [`mod@scan`]: what lies in a folder, which is the truth.
//! - [`proof`]: whether a file is complete, and how that is known.
//! - [`mod@take`]: reading it, sure that it is still the file that was seen.
//! - [`original`]: what becomes of it afterwards.
//!
//! [`manifests`] finds what appears in the data directory itself, and [`hints`] reads a date and an extension
//! from a foreign name.
//!
//! Invariants:
//! - A file is known by its device, inode, size and modification time, its [`Candidate`]. Whatever is read,
//!   moved or removed is first shown to be that file still.
//! - Symbolic links are never followed, and nothing but a regular file is ever read.
//! - Nothing here writes to a ledger: the caller commits the arrival before it takes the file, so a crash
//!   anywhere in here costs a repetition and never a second import.

use handover_core::path_text;
use handover_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub mod beside;
pub mod hints;
mod lease_syscall;
pub mod manifests;
pub mod original;
pub mod proof;
mod relocate;
pub mod scan;
mod system;
pub mod take;
pub mod watch;
mod watch_plan;
mod writers;

pub use beside::DONE_SUFFIX;
pub use hints::{date_of, ext_of};
pub use manifests::{FolderCache, read_written, scan_manifests};
pub use original::{Disposal, Outcome, is_left_aside, settle_original};
pub use proof::{Hint, Inspector, Proof, Readiness};
pub use scan::{Cursor, Refusal, Scan, ScanOptions, Skipped, scan, why_passed_over};
pub use take::{TakeLimits, Taken, take};
pub use watch::{Event, EventKind, Watcher};

pub(crate) use lease_syscall::{Lease, read_lease};

/// What an arrival is keyed by: a file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it lies. Written as text without loss, see [`path_text`].
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    pub path: PathBuf,
    /// The number of the file system's device.
    pub device: u64,
    /// Its inode on that device.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, as its file system says; a program can set this time.
    pub mtime: Timestamp,
    /// When anything about it last changed; no program can set this time. It is no part of the key.
    pub ctime: Timestamp,
}

impl Candidate {
    /// Looks at one path, without following a symbolic link.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where nothing is there, [`ErrorKind::BadData`] where it is no regular file,
    /// [`ErrorKind::Denied`] where it may not be looked at.
    pub fn look(path: &Path) -> Result<Self> {
        let metadata =
            std::fs::symlink_metadata(path).map_err(|e| Error::io("look at the file", shown(path), e))?;
        if let Some(error) = refuse_unless_regular(path, &metadata) {
            return Err(error);
        }
        Ok(Self::from_metadata(path.to_owned(), &metadata))
    }

    pub(crate) fn from_metadata(path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: timestamp(metadata.mtime(), metadata.mtime_nsec()),
            ctime: timestamp(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The file's name without its folder.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// The path as text, without loss and on one line.
    pub fn path_text(&self) -> String {
        shown(&self.path)
    }

    /// Whether `metadata` is of this very file, unchanged.
    ///
    /// A modification time that was kept in milliseconds, as a ledger may, is compared in milliseconds.
    pub fn is_still(&self, metadata: &Metadata) -> bool {
        self.is_same_file(metadata)
            && self.size == metadata.size()
            && same_time(self.mtime, timestamp(metadata.mtime(), metadata.mtime_nsec()))
    }

    /// Whether another look at this file found it unchanged.
    pub(crate) fn is_unchanged_in(&self, later: &Self) -> bool {
        self.size == later.size && same_time(self.mtime, later.mtime)
    }

    /// Whether `metadata` is of this very file, changed or not.
    pub(crate) fn is_same_file(&self, metadata: &Metadata) -> bool {
        metadata.is_file() && self.device == metadata.dev() && self.inode == metadata.ino()
    }
}

fn same_time(kept: Timestamp, seen: Timestamp) -> bool {
    if kept.subsec_nanosecond() % 1_000_000 == 0 {
        return kept.as_millisecond() == seen.as_nanosecond().div_euclid(1_000_000) as i64;
    }
    kept == seen
}

/// A time of the file system; one beyond what the calendar holds counts as the nearest that it does hold.
pub(crate) fn timestamp(seconds: i64, nanoseconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).unwrap_or(nearest)
}

pub(crate) fn shown(path: &Path) -> String {
    path_text::to_text(path)
}

/// The reason to refuse anything but a regular file.
pub(crate) fn refuse_unless_regular(path: &Path, metadata: &Metadata) -> Option<Error> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return None;
    }
    if kind.is_symlink() {
        return Some(refuse_symlink(path));
    }
    let what = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let hint = if kind.is_dir() {
        "files inside folders are found with recursive: true"
    } else {
        "write the data to a regular file"
    };
    Some(Error::bad_data(format!("this is {what} and no file")).on(shown(path)).hint(hint))
}

/// The reason to refuse a symbolic link.
pub(crate) fn refuse_symlink(path: &Path) -> Error {
    let to = std::fs::read_link(path).map_or_else(|_| "elsewhere".to_owned(), |to| shown(&to));
    Error::bad_data(format!("this is a symbolic link to {to}, and links are not followed"))
        .on(shown(path))
        .hint("put the file itself there, or name the folder that holds it")
}

/// Opens a file to read it: never through a symbolic link, never waiting for the other end of a pipe.
pub(crate) fn open_plain(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// The error of a failed [`open_plain`], told apart: a link, a right that is missing, or whatever else.
pub(crate) fn open_error(path: &Path, error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ELOOP) => refuse_symlink(path),
        Some(libc::ENXIO) => Error::bad_data("this is a socket or a device and no file").on(shown(path)),
        _ if error.kind() == std::io::ErrorKind::NotFound => gone(path),
        _ if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Error::io("read the file", shown(path), error)
                .hint("give the user that runs handover the right to read it, such as by a common group")
        }
        _ => Error::io("open the file", shown(path), error),
    }
}

/// The error for a file that has gone since it was seen.
pub(crate) fn gone(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, "the file has gone since it was seen")
        .on(shown(path))
        .hint("it was removed or renamed; if it comes back it is a new arrival")
}

fn write_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(path))
}

fn read_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(path_text::from_text(&String::deserialize(deserializer)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_candidate_survives_json_whatever_its_name() {
        let candidate = Candidate {
            path: Path::new("/in").join(OsStr::from_bytes(b"a\nb\xff.csv")),
            device: 1,
            inode: 2,
            size: 3,
            mtime: timestamp(1_700_000_000, 123_456_789),
            ctime: timestamp(i64::MAX, 0),
        };
        let text = serde_json::to_string(&candidate).unwrap();
        assert_eq!(serde_json::from_str::<Candidate>(&text).unwrap(), candidate);
    }

    #[test]
    fn a_time_kept_in_milliseconds_still_matches_and_another_does_not() {
        let exact = timestamp(1_700_000_000, 123_456_789);
        assert!(same_time(timestamp(1_700_000_000, 123_000_000), exact));
        assert!(!same_time(timestamp(1_700_000_000, 124_000_000), exact));
        assert!(!same_time(timestamp(1_700_000_000, 123_456_788), exact));
    }
}
