//! A hint that a file's bytes will be synced soon (`sync_file_range(2)`), so that those of many files are on their way
//! to the disk together before the first of them is waited for. It promises nothing: the sync that follows does. There
//! is no safe wrapper of it.
//!
//! A crash after it is a crash before the sync.
#![allow(unsafe_code)]

use std::fs::File;

/// Begins to write `bytes` bytes from `from` on to the disk, 0 for all that follow, and does not wait.
#[cfg(target_os = "linux")]
pub(crate) fn begin(file: &File, from: u64, bytes: u64) {
    use std::os::fd::AsRawFd;
    let (Ok(from), Ok(bytes)) = (i64::try_from(from), i64::try_from(bytes)) else { return };
    // SAFETY: the descriptor is open; no memory is touched. An error means that the sync does all of the work.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Elsewhere there is no such hint.
#[cfg(not(target_os = "linux"))]
pub(crate) fn begin(_file: &File, _from: u64, _bytes: u64) {}
