//! The files of the data directory as a person looks through them: folders, their dates, and the files of one date with what
//! their manifests say. Every list is bounded and says where it was cut.
//!
//! It reads the directory, not the ledger; it blocks; it changes nothing.

use crate::project::Project;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Error, Manifest, Result};
use handover_file::archive;
use handover_file::layout::ARCHIVE_FOLDER;
use handover_file::read;
use jiff::Timestamp;
use std::path::Path;

/// So many folders are shown.
const FOLDERS_MAX: usize = 500;
/// So many dates of one folder are shown, the newest.
pub const DATES_MAX: usize = 60;
/// So many entries of a folder are looked at.
const ENTRIES_MAX: usize = 200_000;

/// A folder with its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path: an app's folder, or a month of the archive.
    pub path: String,
    /// The folders in it, the newest first: dates; in a month of the archive, the apps' folders.
    pub dates: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// A file of one date.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The path that the ledger keeps.
    pub path: String,
    /// Its size on the disk.
    pub stored_bytes: u64,
    /// When it was last written.
    pub written_at: Option<Timestamp>,
    /// Its manifest; none where there is none, so that it does not exist for anyone.
    pub manifest: Option<Manifest>,
}

/// The files of one date, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// So many as were asked for.
    pub files: Vec<Listed>,
    /// How many there are in all.
    pub count: usize,
    /// Whether there are more than anybody looked at.
    pub cut: bool,
}

/// The folders of the data directory, each with its newest dates.
///
/// # Errors
/// Where it cannot be read.
pub fn folders(project: &Project) -> Result<Vec<Folder>> {
    let root = project.data.root();
    let mut found = Vec::new();
    for name in subfolders(root)? {
        if name == ARCHIVE_FOLDER {
            let mut months = subfolders(&root.join(&name))?;
            months.reverse();
            for month in months.into_iter().take(DATES_MAX) {
                found.push(folder(root, format!("{name}/{month}"))?);
            }
        } else {
            found.push(folder(root, name)?);
        }
        if found.len() >= FOLDERS_MAX {
            break;
        }
    }
    Ok(found)
}

fn folder(root: &Path, path: String) -> Result<Folder> {
    let mut dates = subfolders(&root.join(&path))?;
    dates.reverse();
    let more = dates.len().saturating_sub(DATES_MAX);
    dates.truncate(DATES_MAX);
    Ok(Folder { path, dates, more })
}

/// The names of the folders in a folder that are not hidden, sorted.
fn subfolders(folder: &Path) -> Result<Vec<String>> {
    let mut names = names(folder, |kind| kind.is_dir())?.0;
    names.sort();
    Ok(names)
}

/// The names in a folder that are not hidden and of this kind; and whether there are more.
fn names(folder: &Path, kind: impl Fn(&std::fs::FileType) -> bool) -> Result<(Vec<String>, bool)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        Err(e) => return Err(Error::io("list", folder.display().to_string(), e)),
    };
    let mut found = Vec::new();
    for (seen, entry) in entries.flatten().enumerate() {
        if seen == ENTRIES_MAX {
            return Ok((found, true));
        }
        let is_kind = entry.file_type().is_ok_and(|file_type| kind(&file_type));
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'));
        found.extend(name.filter(|_| is_kind));
    }
    Ok((found, false))
}

/// The files in a folder of a date, from the one at `from` on, so many at most.
///
/// # Errors
/// [`handover_core::ErrorKind::BadData`] or the like for a path that is none; where it cannot be read.
pub fn listing(project: &Project, folder: &str, from: usize, most: usize) -> Result<Listing> {
    let path = project.data.absolute(folder)?;
    let (mut names, cut) = names(&path, |kind| kind.is_file())?;
    names.retain(|name| !name.ends_with(MANIFEST_SUFFIX));
    names.sort();
    let files = names.iter().skip(from).take(most).map(|name| listed(&path, folder, name)).collect();
    Ok(Listing { files, count: names.len(), cut })
}

fn listed(within: &Path, folder: &str, name: &str) -> Listed {
    let file = within.join(name);
    let manifest =
        read::manifest_path_of(&file).ok().flatten().and_then(|path| read::read_manifest(&path).ok());
    let meta = file.symlink_metadata().ok();
    let original = manifest.as_ref().and_then(archive::original_of);
    Listed {
        path: original.map_or_else(|| format!("{folder}/{name}"), |original| original.path),
        name: name.to_owned(),
        stored_bytes: meta.as_ref().map_or(0, std::fs::Metadata::len),
        written_at: meta
            .and_then(|meta| meta.modified().ok())
            .and_then(|time| Timestamp::try_from(time).ok()),
        manifest,
    }
}
