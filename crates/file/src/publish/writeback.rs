//! A hint that a file's bytes will be synced soon (`sync_file_range(2)`), so that those of many files are on their way
//! to the disk together before the first of them is waited for. It promises nothing: the sync that follows does. There
//! is no safe wrapper of it.
//!
//! A crash after it is a crash before the sync.
#![allow(unsafe_code)]

use std::fs::File;

/// Begins to write the file's bytes to the disk, and does not wait.
#[cfg(target_os = "linux")]
pub(super) fn begin(file: &File) {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open; no memory is touched. An error means that the sync does all of the work.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Elsewhere there is no such hint.
#[cfg(not(target_os = "linux"))]
pub(super) fn begin(_file: &File) {}
