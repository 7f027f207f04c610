//! What becomes of a foreign file after it was taken: it is left, moved away or deleted.
//!
//! Invariants:
//! - Only the file that was taken is touched: device, inode, size and modification time are the candidate's, and that
//!   is looked at again after it was renamed out of reach and before it is removed. Anything else stays, with a reason.
//! - Nothing is replaced: a taken name gets `-2`, `-3`, … before its extension.
//! - Content is removed only when it is on the disk elsewhere, or was to be deleted.
//!
//! On a crash: every step can be repeated. A move within one file system is one rename. Across file systems the copy
//! is written under a name made from the device and inode (`.handover-moving-…`), synced, given its name, synced;
//! then the original is renamed to `.handover-removing-…` beside itself, looked at, and removed. A repetition finds
//! whichever of these there is and goes on. A rename or a deletion that a power cut undid is harmless: the ledger
//! knows the arrival, and the caller repeats this.

use super::beside::{self, Companion};
use super::relocate::{carry, names_in, same_content};
use super::{Candidate, TakeLimits, shown, take};
use crate::place::{create_dirs, move_new, sync_dir};
use handover_core::{Error, ErrorKind, Result, fault};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What is to become of an original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposal {
    /// It stays where it is.
    Leave,
    /// It goes into this folder, which is made where it is missing.
    Move(PathBuf),
    /// It is removed.
    Delete,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stays; why, where that was not asked for.
    Left(Option<String>),
    /// It lies here now, moved just now or by an earlier attempt.
    Moved(PathBuf),
    /// It is gone.
    Deleted,
    /// It was not there any more.
    Gone,
}

/// Does with an original what is to become of it, and with the done marker and manifest beside it.
///
/// # Errors
/// What the system says, such as [`ErrorKind::Denied`]; [`ErrorKind::NotYet`] where another process is at it or the
/// disk is full. Repeat it later.
pub fn settle_original(candidate: &Candidate, disposal: &Disposal) -> Result<Outcome> {
    if *disposal == Disposal::Leave {
        return Ok(Outcome::Left(None));
    }
    let source = match find(candidate)? {
        Source::There(path) => path,
        Source::Gone => return after_the_end(candidate, disposal),
        Source::Other(why) => return Ok(Outcome::Left(Some(why))),
    };
    match disposal {
        Disposal::Leave => Ok(Outcome::Left(None)),
        Disposal::Delete => match remove(candidate, &source)? {
            Some(why) => Ok(Outcome::Left(Some(why))),
            None => {
                for companion in companions(candidate) {
                    remove_companion(&companion)?;
                }
                Ok(Outcome::Deleted)
            }
        },
        Disposal::Move(folder) => {
            create_dirs(folder)?;
            match move_into(candidate, &source, folder)? {
                Ok(target) => {
                    move_companions(candidate, &target)?;
                    Ok(Outcome::Moved(target))
                }
                Err(why) => Ok(Outcome::Left(Some(why))),
            }
        }
    }
}

/// Whether a crash, or an error, left the original out of reach between its renaming and its removal: then no scan
/// finds it, and [`settle_original`] goes on from there.
pub fn is_left_aside(candidate: &Candidate) -> bool {
    fs::symlink_metadata(aside(candidate)).is_ok()
}

enum Source {
    There(PathBuf),
    Gone,
    Other(String),
}

/// Where the original lies: under its own name, or out of reach where a crash left it.
fn find(candidate: &Candidate) -> Result<Source> {
    let aside = aside(candidate);
    if let Some(metadata) = look(&aside)? {
        if candidate.is_still(&metadata) {
            return Ok(Source::There(aside));
        }
        put_back(&aside, &candidate.path);
    }
    Ok(match look(&candidate.path)? {
        None => Source::Gone,
        Some(metadata) if candidate.is_still(&metadata) => Source::There(candidate.path.clone()),
        Some(metadata) => Source::Other(other(candidate, &metadata)),
    })
}

fn other(candidate: &Candidate, metadata: &Metadata) -> String {
    if candidate.is_same_file(metadata) {
        "the original was written again after it was taken, so it stays and is a new arrival".to_owned()
    } else {
        "another file has taken the original's place since, so it stays".to_owned()
    }
}

/// An earlier attempt, or somebody else, has removed the original: what is left to do.
fn after_the_end(candidate: &Candidate, disposal: &Disposal) -> Result<Outcome> {
    if let Disposal::Move(folder) = disposal
        && let Some(target) = moved_before(candidate, folder)?
    {
        move_companions(candidate, &target)?;
        return Ok(Outcome::Moved(target));
    }
    if *disposal == Disposal::Delete {
        for companion in companions(candidate) {
            remove_companion(&companion)?;
        }
    }
    Ok(Outcome::Gone)
}

/// Renames the original out of reach, makes sure that it is the one, and removes it; or says why not.
fn remove(candidate: &Candidate, source: &Path) -> Result<Option<String>> {
    fault::point("original.before_remove")?;
    let aside = aside(candidate);
    if source != aside {
        move_new(source, &aside).map_err(|e| failed("remove the original", source, e))?;
        if let Some(why) = not_the_one(candidate, &aside)? {
            return Ok(Some(why));
        }
    }
    fault::point("original.aside")?;
    fs::remove_file(&aside).map_err(|e| failed("remove the original", &aside, e))?;
    fault::point("original.removed")?;
    Ok(None)
}

/// Looks at what was just renamed; where it is not the original, it goes back to its name.
fn not_the_one(candidate: &Candidate, renamed: &Path) -> Result<Option<String>> {
    match look(renamed)? {
        Some(metadata) if !candidate.is_still(&metadata) => {
            put_back(renamed, &candidate.path);
            Ok(Some(other(candidate, &metadata)))
        }
        _ => Ok(None),
    }
}

fn put_back(from: &Path, to: &Path) {
    if let Err(error) = move_new(from, to) {
        tracing::warn!(file = shown(from), name = shown(to), %error, "a file could not be given its name back");
    }
}

/// Moves the original into a folder: where it lies then, or why it stays.
fn move_into(
    candidate: &Candidate,
    source: &Path,
    folder: &Path,
) -> Result<std::result::Result<PathBuf, String>> {
    let on_one_device = fs::metadata(folder).is_ok_and(|m| m.dev() == candidate.device);
    if on_one_device {
        fault::point("original.before_remove")?;
        match rename_into(candidate, source, folder) {
            // Two mounts of one file system have one device and yet no rename between them.
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
            Err(e) => return Err(failed("move the original", source, e)),
            Ok(target) => {
                if let Some(why) = not_the_one(candidate, &target)? {
                    return Ok(Err(why));
                }
                fault::point("original.removed")?;
                return Ok(Ok(target));
            }
        }
    }
    let target = copy_into(candidate, source, folder)?;
    Ok(match remove(candidate, source)? {
        None => Ok(target),
        Some(why) => Err(why),
    })
}

fn rename_into(candidate: &Candidate, source: &Path, folder: &Path) -> io::Result<PathBuf> {
    for target in names_in(candidate.name(), folder) {
        match move_new(source, &target) {
            Ok(()) => return Ok(target),
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            // Where a rename is a link and a removal, a crash between them leaves both names.
            Err(_) if fs::symlink_metadata(&target).is_ok_and(|there| candidate.is_still(&there)) => {
                fs::remove_file(source)?;
                return Ok(target);
            }
            Err(_) => {}
        }
    }
    Err(io::Error::other("every name is taken"))
}

/// Copies the original into the folder, durable and under its name, unless an earlier attempt has.
fn copy_into(candidate: &Candidate, source: &Path, folder: &Path) -> Result<PathBuf> {
    let temporary = folder.join(format!(".handover-moving-{}-{}", candidate.device, candidate.inode));
    let mut copy = open_alone(&temporary)?;
    if let Some(target) = copied_before(candidate, source, folder)? {
        let _ = fs::remove_file(&temporary);
        return Ok(target);
    }
    let doing = |e| Error::io("copy the original", shown(&temporary), e);
    let original = Candidate { path: source.to_owned(), ..candidate.clone() };
    let copied = copy.set_len(0).map_err(doing).and_then(|()| {
        take(&original, &TakeLimits::default(), &mut copy)?;
        let metadata = fs::symlink_metadata(source).map_err(doing)?;
        copy.set_permissions(metadata.permissions()).map_err(doing)?;
        let times = metadata.modified().map(|time| FileTimes::new().set_modified(time)).map_err(doing)?;
        copy.set_times(times).and_then(|()| copy.sync_all()).map_err(doing)
    });
    if let Err(error) = copied {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    for target in names_in(candidate.name(), folder) {
        match move_new(&temporary, &target) {
            Ok(()) => return sync_dir(folder).map(|()| target),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed("name the copy of the original", &target, e)),
        }
    }
    Err(Error::new(ErrorKind::Exists, "every name for the original is taken").on(shown(folder)))
}

/// Opens the temporary copy so that no other process writes it at the same time.
fn open_alone(path: &Path) -> Result<File> {
    use rustix::fs::{FlockOperation, flock};
    let busy = || Error::new(ErrorKind::NotYet, "another process is moving this original").on(shown(path));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|e| Error::io("copy the original", shown(path), e))?;
    // Where there are no locks, the name, which no other original has, must do.
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
        return Err(busy());
    }
    // It may have been finished and renamed between the two calls.
    if crate::place::is_same(path, &file) { Ok(file) } else { Err(busy()) }
}

/// Where an earlier attempt put the original before the crash, where the original itself has gone: the same file,
/// or by size and time its copy.
fn moved_before(candidate: &Candidate, folder: &Path) -> Result<Option<PathBuf>> {
    taken_names(candidate, folder, |_, metadata| {
        candidate.is_still(metadata) || metadata.is_file() && looks_like_copy(candidate, metadata)
    })
}

/// Where an earlier attempt copied the original before the crash: the same size, time and content.
fn copied_before(candidate: &Candidate, source: &Path, folder: &Path) -> Result<Option<PathBuf>> {
    taken_names(candidate, folder, |target, metadata| {
        metadata.is_file() && looks_like_copy(candidate, metadata) && same_content(source, target)
    })
}

fn taken_names(
    candidate: &Candidate,
    folder: &Path,
    fits: impl Fn(&Path, &Metadata) -> bool,
) -> Result<Option<PathBuf>> {
    for target in names_in(candidate.name(), folder) {
        match look(&target)? {
            None => return Ok(None),
            Some(metadata) if fits(&target, &metadata) => return Ok(Some(target)),
            Some(_) => {}
        }
    }
    Ok(None)
}

/// A copy has the original's size and its modification time, as exactly as its file system keeps times (FAT: 2 s).
fn looks_like_copy(candidate: &Candidate, metadata: &Metadata) -> bool {
    metadata.size() == candidate.size && metadata.mtime().abs_diff(candidate.mtime.as_second()) <= 2
}

/// What lies beside the original, where its name is free: otherwise it may speak for the file that is there now.
fn companions(candidate: &Candidate) -> Vec<Companion> {
    match look(&candidate.path) {
        Ok(None) => beside::companions(&candidate.path, candidate.size),
        _ => Vec::new(),
    }
}

fn remove_companion(companion: &Companion) -> Result<()> {
    match fs::remove_file(&companion.path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove what lies beside the original", &companion.path, e))
        }
        _ => Ok(()),
    }
}

fn move_companions(candidate: &Candidate, target: &Path) -> Result<()> {
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else { return Ok(()) };
    for companion in companions(candidate) {
        for to in names_in(&companion.name_beside(name), folder) {
            if carry(&companion.path, &to)
                .map_err(|e| failed("move what lies beside the original", &companion.path, e))?
            {
                break;
            }
        }
    }
    Ok(())
}

fn aside(candidate: &Candidate) -> PathBuf {
    candidate.path.with_file_name(format!(".handover-removing-{}-{}", candidate.device, candidate.inode))
}

fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("look at the original", shown(path), e)),
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let error = Error::io(doing, shown(path), error);
    if denied {
        return error.hint(
            "give the user that runs handover the right to write in that folder, or say original: leave",
        );
    }
    error
}
