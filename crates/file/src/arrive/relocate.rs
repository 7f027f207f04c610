//! The small steps of moving somebody else's file: the names it may take, a comparison, and carrying a small file
//! over. What they add up to, and what a crash leaves, is told in [`super::original`].

use super::{hints, open_plain};
use crate::place::move_new;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// How many names are tried before a move gives up.
const NAMES_MAX: u32 = 100_000;
/// How much of two files is compared at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// The name in the folder, then the name with `-2`, `-3`, … before its extension.
pub(crate) fn names_in(name: &OsStr, folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let (name, folder) = (name.to_owned(), folder.to_owned());
    (1..=NAMES_MAX).map(move |n| folder.join(numbered(&name, n)))
}

fn numbered(name: &OsStr, n: u32) -> OsString {
    if n == 1 {
        return name.to_owned();
    }
    let bytes = name.as_bytes();
    let stem = hints::stem_of(bytes);
    let mut numbered = stem.to_vec();
    numbered.extend_from_slice(format!("-{n}").as_bytes());
    numbered.extend_from_slice(&bytes[stem.len()..]);
    OsString::from_vec(numbered)
}

/// Moves a small file to a name, also across file systems; tells whether it is there now. A name that is taken by
/// other content stays as it is.
pub(crate) fn carry(from: &Path, to: &Path) -> io::Result<bool> {
    let moved = match move_new(from, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => copy_small(from, to),
        Ok(()) => return Ok(true),
        other => other,
    };
    match moved {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && !same_content(from, to) => return Ok(false),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    fs::remove_file(from).map(|()| true)
}

fn copy_small(from: &Path, to: &Path) -> io::Result<()> {
    let mut content = Vec::new();
    open_plain(from)?.read_to_end(&mut content)?;
    let mut copy = File::create_new(to)?;
    copy.write_all(&content).and_then(|()| copy.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// Whether two files can be read and hold the same bytes.
pub(crate) fn same_content(a: &Path, b: &Path) -> bool {
    let (Ok(mut a), Ok(mut b)) = (open_plain(a), open_plain(b)) else { return false };
    let (mut block_a, mut block_b) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    loop {
        let (Ok(read_a), Ok(read_b)) = (fill(&mut a, &mut block_a), fill(&mut b, &mut block_b)) else {
            return false;
        };
        if block_a[..read_a] != block_b[..read_b] {
            return false;
        }
        if read_a == 0 {
            return true;
        }
    }
}

fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_before_the_extension() {
        for (name, second) in [
            ("a.csv", "a-2.csv"),
            ("a.csv.gz", "a-2.csv.gz"),
            ("README", "README-2"),
            ("a.2025-11-24", "a.2025-11-24-2"),
        ] {
            assert_eq!(numbered(OsStr::new(name), 2), OsStr::new(second));
        }
    }

    #[test]
    fn a_name_with_other_content_is_left_and_one_with_the_same_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "x").unwrap();
        fs::write(&b, "y").unwrap();
        assert!(!carry(&a, &b).unwrap());
        fs::write(&b, "x").unwrap();
        assert!(carry(&a, &b).unwrap() && !a.exists());
    }
}
