//! Taking a foreign file: reading it whole, sure that it is the file that was seen.
//!
//! Invariants:
//! - What was read is exactly the candidate: device, inode, size and modification time are the candidate's when the
//!   file is opened and when its last byte was read.
//! - Nothing is written but into `out`; the caller throws that away after any error. So a crash here costs a
//!   repetition.
//! - A file that is removed or replaced under its name while it is read has been read whole all the same, because
//!   it stays open: nothing is lost, and [`Taken::still_there`] says so.

use super::{Candidate, gone, open_error, open_plain, refuse_unless_regular, shown};
use handover_core::{Checksum, Error, ErrorKind, Manifest, Result};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;

/// How much is read at once.
const BLOCK_BYTES: usize = 1024 * 1024;

/// What a file must keep to.
#[derive(Debug, Default)]
pub struct TakeLimits<'a> {
    /// The most bytes that it may have; none is no limit.
    pub max_bytes: Option<u64>,
    /// The manifest that lies beside it: its size and checksum must be the file's.
    pub manifest: Option<&'a Manifest>,
}

/// A file that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its size.
    pub bytes: u64,
    /// Whether the original still lay under its name when its last byte had been read.
    pub still_there: bool,
}

/// Reads a file into `out`.
///
/// # Errors
/// - [`ErrorKind::NotYet`]: it changed, grew, shrank or was replaced since it was seen: look again. Also where `out`
///   has no room.
/// - [`ErrorKind::NotFound`]: it has gone.
/// - [`ErrorKind::BadData`]: it is larger than the limit, disagrees with its manifest, or is no regular file any more.
/// - [`ErrorKind::Denied`]: it may not be read.
pub fn take(candidate: &Candidate, limits: &TakeLimits<'_>, out: &mut dyn Write) -> Result<Taken> {
    let mut file = open(candidate)?;
    let before = metadata(candidate, &file)?;
    if let Some(error) = refuse_unless_regular(&candidate.path, &before) {
        return Err(error);
    }
    unchanged(candidate, &before)?;
    check_size(candidate, limits)?;
    let checksum = copy(candidate, &mut file, limits.manifest.is_some(), out)?;
    let after = metadata(candidate, &file)?;
    unchanged(candidate, &after)?;
    let still_there =
        std::fs::symlink_metadata(&candidate.path).is_ok_and(|there| candidate.is_same_file(&there));
    if still_there && (before.ctime(), before.ctime_nsec()) != (after.ctime(), after.ctime_nsec()) {
        return Err(not_yet(candidate, "the file was touched while it was read".to_owned()));
    }
    if let (Some(manifest), Some(checksum)) = (limits.manifest, checksum) {
        check_checksum(candidate, manifest, checksum)?;
    }
    Ok(Taken { bytes: candidate.size, still_there })
}

fn open(candidate: &Candidate) -> Result<File> {
    open_plain(&candidate.path).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => {
            not_yet(candidate, "a program keeps others from opening the file".to_owned())
        }
        _ => open_error(&candidate.path, e),
    })
}

fn metadata(candidate: &Candidate, file: &File) -> Result<Metadata> {
    file.metadata().map_err(|e| Error::io("look at the file", candidate.path_text(), e))
}

fn unchanged(candidate: &Candidate, seen: &Metadata) -> Result<()> {
    if candidate.is_still(seen) {
        return Ok(());
    }
    let what = if !candidate.is_same_file(seen) {
        "the file was replaced by another since it was seen".to_owned()
    } else if seen.size() > candidate.size {
        format!("the file grew from {} to {} bytes since it was seen", candidate.size, seen.size())
    } else if seen.size() < candidate.size {
        format!("the file shrank from {} to {} bytes since it was seen", candidate.size, seen.size())
    } else {
        "the file was written again since it was seen".to_owned()
    };
    Err(not_yet(candidate, what))
}

fn check_size(candidate: &Candidate, limits: &TakeLimits<'_>) -> Result<()> {
    if let Some(max) = limits.max_bytes.filter(|max| candidate.size > *max) {
        return Err(Error::bad_data(format!(
            "the file has {} bytes, and the limit is {max}",
            candidate.size
        ))
        .on(candidate.path_text())
        .hint("split the file, or raise `max_size` of the source"));
    }
    if let Some(manifest) = limits.manifest.filter(|manifest| manifest.file_size != candidate.size) {
        return Err(disagrees(
            candidate,
            format!("it has {} bytes, and its manifest says {}", candidate.size, manifest.file_size),
        ));
    }
    Ok(())
}

fn check_checksum(candidate: &Candidate, manifest: &Manifest, checksum: Checksum) -> Result<()> {
    if manifest.checksum == checksum {
        return Ok(());
    }
    Err(disagrees(
        candidate,
        format!("its checksum is {checksum}, and its manifest says {}", manifest.checksum),
    ))
}

fn disagrees(candidate: &Candidate, how: String) -> Error {
    Error::bad_data(format!("the file disagrees with the manifest beside it: {how}"))
        .on(candidate.path_text())
        .hint("send the file again, or correct its manifest")
}

/// Copies exactly as many bytes as the candidate has, and gives their checksum where it is wanted.
fn copy(
    candidate: &Candidate,
    file: &mut File,
    hashed: bool,
    out: &mut dyn Write,
) -> Result<Option<Checksum>> {
    let wanted = usize::try_from(candidate.size).unwrap_or(usize::MAX);
    // One byte more than the file has, so that one read finds its end or that it grew.
    let mut block = vec![0u8; wanted.saturating_add(1).min(BLOCK_BYTES)];
    let mut hasher = hashed.then(Sha256::new);
    let mut left = candidate.size;
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io("read the file", candidate.path_text(), e)),
        };
        left = match left.checked_sub(read as u64) {
            Some(left) => left,
            None => return Err(not_yet(candidate, "the file grew while it was read".to_owned())),
        };
        if let Some(hasher) = &mut hasher {
            hasher.update(&block[..read]);
        }
        out.write_all(&block[..read])
            .map_err(|e| Error::io("write the copy of the file", candidate.path_text(), e))?;
    }
    if left > 0 {
        return Err(not_yet(candidate, "the file shrank while it was read".to_owned()));
    }
    Ok(hasher.map(|hasher| Checksum(hasher.finalize().into())))
}

fn not_yet(candidate: &Candidate, what: String) -> Error {
    // It may have gone altogether by now, which is the clearer word.
    if let Err(e) = std::fs::symlink_metadata(&candidate.path)
        && e.kind() == std::io::ErrorKind::NotFound
    {
        return gone(&candidate.path);
    }
    Error::new(ErrorKind::NotYet, what)
        .on(shown(&candidate.path))
        .hint("nothing was taken: it is looked at again, and taken when it is complete")
}
