//! Whether a folder lies on a network mount, where SQLite's write-ahead log cannot work: its readers and writers
//! share memory, which machines do not.
//!
//! The answer is the file system's own (`statfs`). A FUSE mount says only that it is one; its kind is then read from
//! `/proc/self/mountinfo`, and only the kinds that are known to be remote are refused.

use std::path::Path;

/// The magic numbers of network file systems (statfs(2) and the kernel's `linux/magic.h`).
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x00c3_6400, "Ceph"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x4750_4653, "GPFS"),
];
const FUSE: u32 = 0x6573_5546;

/// FUSE file systems whose files are elsewhere, as `mountinfo` names them after `fuse.`.
const REMOTE_FUSE: &[&str] = &[
    "sshfs",
    "s3fs",
    "s3ql",
    "goofys",
    "gcsfuse",
    "blobfuse",
    "blobfuse2",
    "rclone",
    "glusterfs",
    "ceph",
    "davfs",
    "davfs2",
    "juicefs",
    "JuiceFS",
    "moosefs",
    "mfs",
    "curlftpfs",
    "smbnetfs",
    "lizardfs",
    "seaweedfs",
    "mount-s3",
];

/// The kind of network file system that this folder is on; none for a local one, or where it cannot be told.
pub(super) fn network(folder: &Path) -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        let status = rustix::fs::statfs(folder).ok()?;
        // The field's width differs between machines; magic numbers have 32 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::unnecessary_cast)]
        let magic = status.f_type as u32;
        if magic == FUSE {
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

fn by_magic(magic: u32) -> Option<String> {
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned())
}

/// The FUSE kind of the innermost mount that holds this folder, where it is a remote one.
fn remote_fuse(mountinfo: &str, folder: &Path) -> Option<String> {
    let (_, kind) = mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = before.split(' ').nth(4)?.replace("\\040", " ");
            folder.starts_with(&point).then(|| (point.len(), after.split(' ').next().unwrap_or_default()))
        })
        .max_by_key(|(length, _)| *length)?;
    let kind = kind.strip_prefix("fuse.")?;
    REMOTE_FUSE.contains(&kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_are_not() {
        assert_eq!(by_magic(0x6969).as_deref(), Some("NFS"));
        assert_eq!(by_magic(0xff53_4d42).as_deref(), Some("CIFS"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(by_magic(local), None, "{local:x}");
        }
        assert_eq!(network(&std::env::temp_dir()), None);
    }

    #[test]
    fn a_fuse_mount_counts_by_its_kind_and_the_innermost_mount_decides() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      40 22 0:50 / /mnt/far\\040away rw shared:1 - fuse.sshfs host:/x rw\n\
                      41 22 0:51 / /mnt/pool rw - fuse.mergerfs a:b rw\n\
                      42 40 8:2 / /mnt/far\\040away/near rw - ext4 /dev/sdb1 rw\n";
        let ask = |path: &str| remote_fuse(mounts, Path::new(path));
        assert_eq!(ask("/mnt/far away/data").as_deref(), Some("sshfs"));
        assert_eq!(ask("/mnt/pool/data"), None);
        assert_eq!(ask("/mnt/far away/near/data"), None);
        assert_eq!(ask("/home"), None);
    }
}
