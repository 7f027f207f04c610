//! The file systems that are another machine's, by what a system says of a mount. Asking the system is for those who may
//! do I/O; this is the one list that they look the answer up in.

/// The magic numbers of network file systems (statfs(2) and the kernel's `linux/magic.h`).
const BY_MAGIC: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
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
    (0x786f_4256, "VirtualBox shared folder"),
];

/// The magic number of FUSE, which carries local and remote file systems alike: the mount table names which.
pub const FUSE_MAGIC: u32 = 0x6573_5546;

/// FUSE file systems whose files are elsewhere, by what the mount table has after `fuse.`.
const BY_FUSE_KIND: &[(&str, &str)] = &[
    ("sshfs", "sshfs"),
    ("s3fs", "s3fs"),
    ("s3ql", "s3ql"),
    ("goofys", "goofys"),
    ("gcsfuse", "gcsfuse"),
    ("blobfuse", "blobfuse"),
    ("blobfuse2", "blobfuse2"),
    ("rclone", "rclone mount"),
    ("glusterfs", "GlusterFS"),
    ("ceph", "Ceph"),
    ("ceph-fuse", "Ceph"),
    ("davfs", "WebDAV"),
    ("davfs2", "WebDAV"),
    ("juicefs", "JuiceFS"),
    ("JuiceFS", "JuiceFS"),
    ("moosefs", "MooseFS"),
    ("mfs", "MooseFS"),
    ("curlftpfs", "curlftpfs"),
    ("smbnetfs", "smbnetfs"),
    ("lizardfs", "LizardFS"),
    ("seaweedfs", "SeaweedFS"),
    ("mount-s3", "Mountpoint for S3"),
];

/// The network file system that has this magic number; none for a local one, and none for FUSE.
pub fn by_magic(magic: u32) -> Option<&'static str> {
    BY_MAGIC.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

/// The network file system that the mount table calls so (`fuse.sshfs`).
pub fn by_fuse_type(kind: &str) -> Option<&'static str> {
    let kind = kind.strip_prefix("fuse.")?;
    BY_FUSE_KIND.iter().find(|(name, _)| *name == kind).map(|(_, said)| *said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not() {
        assert_eq!(
            (by_magic(0x6969), by_magic(0x786f_4256)),
            (Some("NFS"), Some("VirtualBox shared folder"))
        );
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, FUSE_MAGIC] {
            assert_eq!(by_magic(local), None, "{local:x}");
        }
        assert_eq!(by_fuse_type("fuse.glusterfs"), Some("GlusterFS"));
        assert_eq!(
            (by_fuse_type("fuse.mergerfs"), by_fuse_type("ext4"), by_fuse_type("sshfs")),
            (None, None, None)
        );
    }
}
