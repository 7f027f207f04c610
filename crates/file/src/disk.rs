//! What the disk under the data directory is like: how much room there is, and whether it is another machine's.
//!
//! Reads only; nothing to recover after a crash.

use crate::place::io_error;
use handover_core::Result;
#[cfg(target_os = "linux")]
use handover_core::network::{self, FUSE_MAGIC};
use std::path::Path;

const RESERVE_MIN_BYTES: u64 = 64 * 1024;
const RESERVE_MAX_BYTES: u64 = 64 * 1024 * 1024;
const INODES_RESERVE: u64 = 16;

/// The room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files that may still be made, where the file system has a limit.
    pub inodes_free: Option<u64>,
}

/// The room on the file system of this path.
///
/// # Errors
/// Where the path is not there or the system does not say.
pub fn space(path: &Path) -> Result<Space> {
    let stat = rustix::fs::statvfs(path).map_err(|e| io_error("ask for the room at", path, e.into()))?;
    Ok(Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        inodes_free: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

/// Whether there is so little room that no work should be begun: less than a hundredth of the whole, but at
/// least 64 KiB and at most 64 MiB; or hardly any file left to make.
pub fn low(space: &Space) -> bool {
    let reserve = (space.total / 100).clamp(RESERVE_MIN_BYTES, RESERVE_MAX_BYTES);
    space.free < reserve || space.inodes_free.is_some_and(|n| n < INODES_RESERVE)
}

/// The name of the network file system that the path, or the nearest folder above it that exists, lies on; none
/// where it is a local one.
///
/// # Errors
/// Where the system does not say.
pub fn network_mount(path: &Path) -> Result<Option<&'static str>> {
    let path = std::path::absolute(path).map_err(|e| io_error("find", path, e))?;
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    network_file_system(there)
}

#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Result<Option<&'static str>> {
    let stat =
        rustix::fs::statfs(path).map_err(|e| io_error("ask for the file system of", path, e.into()))?;
    // Magic numbers have 32 bits; the type's width differs between machines.
    let magic = u64::try_from(stat.f_type).unwrap_or_default() & 0xffff_ffff;
    Ok(match u32::try_from(magic).unwrap_or_default() {
        FUSE_MAGIC => fuse_network(path),
        other => network::by_magic(other),
    })
}

/// FUSE carries local and remote file systems alike; the mount table names which.
#[cfg(target_os = "linux")]
fn fuse_network(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(path).ok()?.dev();
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| fuse_in_line(line, &device))
}

/// Reads one line of mountinfo (proc(5)): `id parent major:minor root mount options … - type source options`.
#[cfg(target_os = "linux")]
fn fuse_in_line(line: &str, device: &str) -> Option<&'static str> {
    let (mount, file_system) = line.split_once(" - ")?;
    if mount.split(' ').nth(2)? != device {
        return None;
    }
    network::by_fuse_type(file_system.split(' ').next()?)
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(path: &Path) -> Result<Option<&'static str>> {
    let stat =
        rustix::fs::statfs(path).map_err(|e| io_error("ask for the file system of", path, e.into()))?;
    let kind: String =
        stat.f_fstypename.iter().take_while(|c| **c != 0).map(|c| char::from(c.to_ne_bytes()[0])).collect();
    Ok(match kind.as_str() {
        "nfs" => Some("NFS"),
        "smbfs" => Some("SMB"),
        "afpfs" => Some("AFP"),
        "webdav" => Some("WebDAV"),
        _ => None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_hundredth_within_bounds() {
        let at = |free, total| low(&Space { free, total, inodes_free: None });
        assert!(at(63 * 1024, 1 << 20) && !at(64 * 1024, 1 << 20));
        assert!(at(9 << 20, 1000 << 20) && !at(10 << 20, 1000 << 20));
        assert!(!at(64 << 20, 1 << 50));
        assert!(low(&Space { free: 1 << 30, total: 1 << 30, inodes_free: Some(0) }));
    }

    #[test]
    fn this_machine_answers() {
        let space = space(Path::new("/")).unwrap();
        assert!(space.total > 0 && space.free <= space.total);
        assert!(super::space(Path::new("/no/such/path")).is_err());
        assert_eq!(network_mount(Path::new("/proc/no/such/path")).unwrap(), None);
    }

    #[test]
    fn a_remote_file_system_is_known_by_its_line_of_the_mount_table() {
        let line = "36 35 0:49 / /mnt/x rw,noatime shared:1 - fuse.sshfs me@host:/x rw";
        assert_eq!(fuse_in_line(line, "0:49"), Some("sshfs"));
        assert_eq!(fuse_in_line(line, "0:50"), None);
        assert_eq!(fuse_in_line(&line.replace("fuse.sshfs", "fuse.ntfs-3g"), "0:49"), None);
        assert_eq!(fuse_in_line("rubbish", "0:49"), None);
    }
}
