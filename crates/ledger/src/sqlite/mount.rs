//! Whether a folder lies on a network mount, where SQLite's write-ahead log cannot work: its readers and writers
//! share memory, which machines do not.
//!
//! The answer is the file system's own (`statfs`). A FUSE mount says only that it is one; its kind is then read from
//! `/proc/self/mountinfo`, and only the kinds that are known to be remote are refused.

#[cfg_attr(not(target_os = "linux"), allow(unused_imports))]
use handover_core::network::{FUSE_MAGIC, by_fuse_type, by_magic};
use std::path::Path;

/// The kind of network file system that this folder is on; none for a local one, or where it cannot be told.
pub(super) fn network(folder: &Path) -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    {
        let status = rustix::fs::statfs(folder).ok()?;
        // The field's width differs between machines; magic numbers have 32 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::unnecessary_cast)]
        let magic = status.f_type as u32;
        if magic == FUSE_MAGIC {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
            return remote_fuse(&mounts, &std::fs::canonicalize(folder).ok()?);
        }
        by_magic(magic)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// The FUSE kind of the innermost mount that holds this folder, where it is a remote one.
fn remote_fuse(mountinfo: &str, folder: &Path) -> Option<&'static str> {
    let (_, kind) = mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = before.split(' ').nth(4)?.replace("\\040", " ");
            folder.starts_with(&point).then(|| (point.len(), after.split(' ').next().unwrap_or_default()))
        })
        .max_by_key(|(length, _)| *length)?;
    by_fuse_type(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_for_temporary_files_is_local() {
        assert_eq!(network(&std::env::temp_dir()), None);
    }

    #[test]
    fn a_fuse_mount_counts_by_its_kind_and_the_innermost_mount_decides() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      40 22 0:50 / /mnt/far\\040away rw shared:1 - fuse.sshfs host:/x rw\n\
                      41 22 0:51 / /mnt/pool rw - fuse.mergerfs a:b rw\n\
                      42 40 8:2 / /mnt/far\\040away/near rw - ext4 /dev/sdb1 rw\n";
        let ask = |path: &str| remote_fuse(mounts, Path::new(path));
        assert_eq!(ask("/mnt/far away/data"), Some("sshfs"));
        assert_eq!(ask("/mnt/pool/data"), None);
        assert_eq!(ask("/mnt/far away/near/data"), None);
        assert_eq!(ask("/home"), None);
    }
}
