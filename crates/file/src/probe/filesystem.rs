//! Which file system a path is on, how much room it has, and whether it is a network mount.
//!
//! It only asks. What cannot be told is none, or an "unknown" file system that is no network mount.

use crate::disk;
use serde::Serialize;
use std::path::Path;

/// The file system under a path.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Filesystem {
    /// Its kind, such as `ext4`; `unknown` where it cannot be told.
    #[serde(rename = "filesystem")]
    pub kind: String,
    /// Whether other machines share it.
    pub network: bool,
    /// How many bytes this user may still write.
    pub free_bytes: Option<u64>,
    /// How many bytes it holds in all.
    pub total_bytes: Option<u64>,
}

impl Filesystem {
    /// The file system of a path, or of the nearest folder above it that exists.
    pub fn of(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let there = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
        let remote = disk::network_mount(there).ok().flatten();
        let room = disk::space(there).ok();
        Self {
            kind: remote.map_or_else(|| local_kind(there), str::to_owned),
            network: remote.is_some(),
            free_bytes: room.map(|room| room.free),
            total_bytes: room.map(|room| room.total),
        }
    }
}

/// Numbers of file systems on disks and in memory (statfs(2), linux/magic.h).
#[cfg(target_os = "linux")]
const LOCAL: [(u64, &str); 12] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xca45_1a4e, "bcachefs"),
    (0xf2f5_2010, "f2fs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlay"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x7366_746e, "ntfs3"),
];

#[cfg(target_os = "linux")]
fn local_kind(path: &Path) -> String {
    let number = rustix::fs::statfs(path).ok().and_then(|answer| u64::try_from(answer.f_type).ok());
    let known = number.and_then(|number| LOCAL.iter().find(|(known, _)| *known == number & 0xffff_ffff));
    known.map_or_else(
        || mounted_as(path).unwrap_or_else(|| "unknown".to_owned()),
        |(_, name)| (*name).to_owned(),
    )
}

#[cfg(not(target_os = "linux"))]
fn local_kind(_path: &Path) -> String {
    "unknown".to_owned()
}

/// The kind under which the mount above the path stands in the list of mounts (proc_pid_mountinfo(5)).
#[cfg(target_os = "linux")]
fn mounted_as(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let mounts = std::fs::read("/proc/self/mountinfo").ok()?;
    let mounts = String::from_utf8_lossy(&mounts).into_owned();
    kind_in(&mounts, &real)
}

#[cfg(target_os = "linux")]
fn kind_in(mounts: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = unescape(point);
        // A later mount on the same point hides the earlier.
        if path.starts_with(&point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// Spaces and their like stand as `\040` in the list.
#[cfg(target_os = "linux")]
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_gives_the_kind() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      40 22 0:50 / /mnt/my\\040share rw shared:1 - fuse.sshfs me@host:/ rw\n\
                      41 22 0:51 / /mnt/my rw - xfs /dev/sdb rw\n";
        let kind = |path: &str| kind_in(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/mnt/my share/in"), "fuse.sshfs");
        assert_eq!(kind("/mnt/my/in"), "xfs");
        assert_eq!(kind("/mnt/mysterious"), "ext4");
    }

    #[test]
    fn a_path_that_does_not_exist_is_on_the_file_system_of_what_is_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let above = Filesystem::of(dir.path());
        let below = Filesystem::of(&dir.path().join("a/b/c"));
        assert_eq!((above.kind, above.total_bytes), (below.kind, below.total_bytes));
        assert!(above.total_bytes.is_some_and(|bytes| bytes > 0));
    }
}
