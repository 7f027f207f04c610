//! Which folders ought to be watched now, worked out from what is wanted and what there is.
//!
//! A folder that is wanted and exists is watched; one that does not exist yet is waited for in the nearest folder
//! above it that does. Of a data directory its root, the apps' folders and their date folders are watched, the newest
//! first, should the system not allow that many.
//!
//! Invariant: folders are known by their real path, because the system reports one folder under one path only,
//! however many lead to it; events are given back under each path that was asked for.

use super::manifests;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is wanted of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// The files directly in it.
    Files,
    /// The manifests in its date folders: it is a data directory.
    Manifests,
}

/// A watched folder whose files are reported.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its path as it was asked for.
    pub(crate) given: PathBuf,
    pub(crate) want: Want,
}

/// What ought to be watched.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Real paths, in the order in which to begin, each with its device and inode.
    order: Vec<PathBuf>,
    identities: HashMap<PathBuf, (u64, u64)>,
    contents: HashMap<PathBuf, Vec<Content>>,
    /// Folders watched for the folders that come and go in them.
    structure: HashMap<PathBuf, ()>,
}

impl Plan {
    /// Works it out.
    pub(crate) fn of(wanted: &BTreeMap<PathBuf, Want>) -> Self {
        let mut plan = Self::default();
        for (given, want) in wanted {
            match (real_folder(given), want) {
                (Some((real, identity)), Want::Files) => plan.content_at(real, identity, given, Want::Files),
                (Some((real, identity)), Want::Manifests) => {
                    plan.structure_at(real, identity);
                    plan.data(given);
                }
                (None, _) => plan.wait_above(given),
            }
        }
        plan
    }

    fn data(&mut self, root: &Path) {
        let mut dates = Vec::new();
        // A folder that cannot be read is left to the scan, which says so.
        for app in manifests::app_folders(root).unwrap_or_default() {
            if let Some((real, identity)) = real_folder(&app) {
                self.structure_at(real, identity);
            }
            dates.extend(manifests::date_folders(&app).unwrap_or_default());
        }
        dates.sort_by(|a, b| b.file_name().cmp(&a.file_name()).then_with(|| a.cmp(b)));
        for date in dates {
            if let Some((real, identity)) = real_folder(&date) {
                self.content_at(real, identity, &date, Want::Manifests);
            }
        }
    }

    fn wait_above(&mut self, given: &Path) {
        let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        let nearest = absolute.ancestors().skip(1).find_map(real_folder);
        if let Some((real, identity)) = nearest {
            self.structure_at(real, identity);
        }
    }

    fn content_at(&mut self, real: PathBuf, identity: (u64, u64), given: &Path, want: Want) {
        self.contents.entry(real.clone()).or_default().push(Content { given: given.to_owned(), want });
        self.add(real, identity);
    }

    fn structure_at(&mut self, real: PathBuf, identity: (u64, u64)) {
        self.structure.insert(real.clone(), ());
        self.add(real, identity);
    }

    fn add(&mut self, real: PathBuf, identity: (u64, u64)) {
        if self.identities.insert(real.clone(), identity).is_none() {
            self.order.push(real);
        }
    }

    /// The folders to watch, in order.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (&PathBuf, (u64, u64))> {
        self.order.iter().filter_map(|real| Some((real, *self.identities.get(real)?)))
    }

    /// The device and inode of a folder to watch.
    pub(crate) fn identity(&self, real: &Path) -> Option<(u64, u64)> {
        self.identities.get(real).copied()
    }

    /// Whether folders that come and go in this one matter.
    pub(crate) fn is_structure(&self, real: &Path) -> bool {
        self.structure.contains_key(real)
    }

    /// As what the files of a watched folder are reported.
    pub(crate) fn content(&self, real: &Path) -> &[Content] {
        self.contents.get(real).map_or(&[], Vec::as_slice)
    }

    /// All the folders whose files are reported.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&PathBuf, &Content)> {
        self.contents.iter().flat_map(|(real, all)| all.iter().map(move |content| (real, content)))
    }

    /// Whether the files of this folder are reported.
    pub(crate) fn has_content(&self, real: &Path) -> bool {
        self.contents.contains_key(real)
    }

    /// The folders, as they were asked for, whose files this plan reports and the other does not.
    pub(crate) fn contents_missing_in(&self, other: &Self) -> Vec<PathBuf> {
        let there: std::collections::HashSet<&Path> =
            other.contents().map(|(_, c)| c.given.as_path()).collect();
        self.contents()
            .filter(|(_, content)| !there.contains(content.given.as_path()))
            .map(|(_, content)| content.given.clone())
            .collect()
    }
}

/// The real path of a folder that exists, with its device and inode.
fn real_folder(path: &Path) -> Option<(PathBuf, (u64, u64))> {
    let real = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&real).ok().filter(fs::Metadata::is_dir)?;
    Some((real, (metadata.dev(), metadata.ino())))
}
