//! The manifests in the data directory: which folders hold them, and a rescan that costs one look at each folder.
//!
//! Invariant: a manifest that was there when a scan began and that no earlier scan with this cache returned is
//! returned by it. A folder's modification time changes with each name that is added to it, but only as finely as its
//! file system keeps time; so a folder that had changed shortly before it was listed is listed again next time.
//!
//! The cache is in memory alone: after a crash everything is listed once.

use super::{Lease, read_lease, shown, timestamp};
use crate::place::open_regular;
use crate::read::read_manifest;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Error, ErrorKind, Manifest, Result};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Folders of the data directory in which nothing arrives.
const NOT_APPS: [&str; 2] = ["errors", "archive"];
/// A folder that changed so shortly before it was listed may have changed again unseen: FAT keeps time to 2 s.
const TIME_GRAIN: SignedDuration = SignedDuration::from_secs(2);

/// What earlier scans saw of the folders.
#[derive(Debug, Default)]
pub struct FolderCache(HashMap<PathBuf, Seen>);

#[derive(Debug)]
struct Seen {
    device: u64,
    inode: u64,
    mtime: Timestamp,
    listed: Timestamp,
    scan: u64,
    /// The date folders inside, where it is an app's folder.
    inside: Vec<PathBuf>,
}

impl FolderCache {
    /// A cache that has seen nothing: the next scan lists every folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets one date folder, so that the next scan lists it whatever its time, such as where a manifest in it could
    /// not be dealt with.
    pub fn forget(&mut self, folder: &Path) {
        self.0.remove(folder);
    }

    /// What was seen of the folder, where it cannot have changed since.
    fn unchanged(&self, folder: &Path, now: &Metadata) -> Option<&Seen> {
        self.0.get(folder).filter(|seen| {
            seen.device == now.dev()
                && seen.inode == now.ino()
                && seen.mtime == mtime(now)
                && seen.listed.duration_since(seen.mtime) > TIME_GRAIN
        })
    }

    fn note(&mut self, folder: &Path, seen: &Metadata, listed: Timestamp, scan: u64, inside: Vec<PathBuf>) {
        let (device, inode, mtime) = (seen.dev(), seen.ino(), mtime(seen));
        self.0.insert(folder.to_owned(), Seen { device, inode, mtime, listed, scan, inside });
    }
}

fn mtime(metadata: &Metadata) -> Timestamp {
    timestamp(metadata.mtime(), metadata.mtime_nsec())
}

/// The manifests in those date folders that may have changed since the cache saw them, by path.
///
/// # Errors
/// Where a folder cannot be read; what the cache knows stays right.
pub fn scan_manifests(data_root: &Path, cache: &mut FolderCache) -> Result<Vec<PathBuf>> {
    let scan = cache.0.values().map(|seen| seen.scan).max().unwrap_or(0) + 1;
    let mut found = Vec::new();
    for app in app_folders(data_root)? {
        for folder in cached_date_folders(&app, cache, scan)? {
            scan_folder(&folder, cache, scan, &mut found)?;
        }
    }
    cache.0.retain(|_, seen| seen.scan == scan);
    found.sort();
    Ok(found)
}

fn cached_date_folders(app: &Path, cache: &mut FolderCache, scan: u64) -> Result<Vec<PathBuf>> {
    let Some(metadata) = folder_metadata(app)? else { return Ok(Vec::new()) };
    if cache.unchanged(app, &metadata).is_none() {
        let listed = Timestamp::now();
        let inside = date_folders(app)?;
        cache.note(app, &metadata, listed, scan, inside);
    }
    let Some(seen) = cache.0.get_mut(app) else { return Ok(Vec::new()) };
    seen.scan = scan;
    Ok(seen.inside.clone())
}

fn scan_folder(folder: &Path, cache: &mut FolderCache, scan: u64, found: &mut Vec<PathBuf>) -> Result<()> {
    // The time is taken before the listing: what is added during it changes the time, or is within the grain.
    let Some(metadata) = folder_metadata(folder)? else { return Ok(()) };
    if cache.unchanged(folder, &metadata).is_some() {
        if let Some(seen) = cache.0.get_mut(folder) {
            seen.scan = scan;
        }
        return Ok(());
    }
    let listed = Timestamp::now();
    names(folder, |name| {
        if is_manifest_name(name) {
            found.push(folder.join(name));
        }
    })?;
    cache.note(folder, &metadata, listed, scan, Vec::new());
    Ok(())
}

/// The folders of the data directory in which files arrive, by name.
pub(crate) fn app_folders(data_root: &Path) -> Result<Vec<PathBuf>> {
    folders(data_root, |name| !name.as_bytes().starts_with(b".") && !NOT_APPS.iter().any(|not| name == *not))
}

/// The date folders in an app's folder, by name.
pub(crate) fn date_folders(app: &Path) -> Result<Vec<PathBuf>> {
    folders(app, is_date_name)
}

/// Whether a manifest may have this name.
pub(crate) fn is_manifest_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.ends_with(MANIFEST_SUFFIX.as_bytes()) && !bytes.starts_with(b".")
}

fn is_date_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|text| text.len() == 10 && text.parse::<Date>().is_ok())
}

fn folders(folder: &Path, fits: impl Fn(&OsStr) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    names(folder, |name| {
        if fits(name) {
            found.push(folder.join(name));
        }
    })?;
    // A link to a folder is a folder here: the data directory is ours, and a part of it may lie on another disk.
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

/// Each name in the folder; none where it has gone.
fn names(folder: &Path, mut each: impl FnMut(&OsStr)) -> Result<()> {
    let failed = |e| Error::io("read the folder", shown(folder), e);
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    for entry in entries {
        each(&entry.map_err(failed)?.file_name());
    }
    Ok(())
}

fn folder_metadata(folder: &Path) -> Result<Option<Metadata>> {
    match fs::metadata(folder) {
        Ok(metadata) => Ok(metadata.is_dir().then_some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("look at the folder", shown(folder), e)),
    }
}

/// Reads a manifest that another program may still be writing: none while it cannot be read as one and is open for
/// writing, or, where that cannot be told, was last written within `grace` of `now`.
///
/// # Errors
/// As [`read_manifest`]; [`handover_core::ErrorKind::BadData`] only where nobody writes it any more.
pub fn read_written(path: &Path, now: Timestamp, grace: SignedDuration) -> Result<Option<Manifest>> {
    match read_manifest(path) {
        Err(e) if e.kind() == ErrorKind::BadData => {}
        other => return other.map(Some),
    }
    let (file, metadata) = open_regular(path)?;
    let is_young = || now.duration_since(mtime(&metadata)) < grace;
    match read_lease(&file) {
        Lease::Writer => Ok(None),
        Lease::Impossible if is_young() => Ok(None),
        // What was written between the two looks is read now.
        Lease::Impossible | Lease::Granted => read_manifest(path).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::time::{Duration, SystemTime};

    fn age(folder: &Path) {
        let times = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(60));
        File::open(folder).unwrap().set_times(times).unwrap();
    }

    #[test]
    fn a_folder_is_listed_when_it_changed_and_again_while_its_time_is_young() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("imports/2025-11-24");
        for folder in ["imports/2025-11-24", "imports/2025-13-01", "errors/2025-11-24", ".handover/tmp"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("a.meta.json"), "").unwrap();
        }
        fs::write(day.join("a.csv"), "").unwrap();
        fs::write(day.join(".b.meta.json"), "").unwrap();
        let mut cache = FolderCache::new();
        let mut scan = || scan_manifests(dir.path(), &mut cache).unwrap();
        assert_eq!(scan(), [day.join("a.meta.json")]);
        assert_eq!(scan(), [day.join("a.meta.json")], "its time is young");
        age(&day);
        assert_eq!(scan(), [day.join("a.meta.json")], "its time is another");
        assert!(scan().is_empty());
        fs::write(day.join("b.meta.json"), "").unwrap();
        assert_eq!(scan().len(), 2);
        age(&day);
        assert_eq!((scan().len(), scan().len()), (2, 0));
        let next = dir.path().join("imports/2025-11-25");
        fs::create_dir(&next).unwrap();
        fs::write(next.join("c.meta.json"), "").unwrap();
        assert_eq!(scan(), [next.join("c.meta.json")]);
        fs::remove_dir_all(&day).unwrap();
        age(&next);
        assert_eq!((scan().len(), scan().len()), (1, 0));
        cache.forget(&next);
        assert_eq!(scan_manifests(dir.path(), &mut cache).unwrap().len(), 1);
    }

    #[test]
    fn no_data_directory_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(scan_manifests(&dir.path().join("none"), &mut FolderCache::new()).unwrap().is_empty());
    }
}
