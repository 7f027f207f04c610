//! Walking a tree, folder by folder, and judging a folder's names together.

use super::{Finding, Grade, Subject, check_manifest};
use crate::layout::STATE_FOLDER;
use crate::lock::alive_in;
use crate::temp::holder_of;
use handover_core::FileName;
use handover_core::name::MANIFEST_SUFFIX;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Tells the findings of a directory and all below it.
pub(super) fn walk(root: &Path, tell: &mut dyn FnMut(Finding)) {
    let locks = locks_near(root);
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let names = match Names::of(&dir) {
            Ok(names) => names,
            Err(e) => {
                tell(Finding::unreadable(&dir, e));
                continue;
            }
        };
        if dir.file_name().is_some_and(|name| name == STATE_FOLDER) {
            judge_temporaries(&dir.join("tmp"), true, locks.as_deref(), tell);
            continue;
        }
        judge(&dir, &names, tell);
        names.tell_temporaries(&dir, false, locks.as_deref(), tell);
        waiting.extend(names.folders.iter().rev().map(|name| dir.join(name)));
    }
}

/// The locks of the data directory that the path is, lies in, or holds.
fn locks_near(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    path.ancestors()
        .map(|above| match above.file_name() {
            Some(name) if name == STATE_FOLDER => above.join("locks"),
            _ => above.join(STATE_FOLDER).join("locks"),
        })
        .find(|locks| locks.is_dir())
}

#[derive(Default)]
struct Names {
    folders: BTreeSet<OsString>,
    manifests: BTreeSet<String>,
    files: BTreeSet<String>,
    /// Names that are no text.
    others: Vec<OsString>,
}

impl Names {
    fn of(dir: &Path) -> std::io::Result<Self> {
        let mut names = Self::default();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            match entry.file_name().into_string() {
                _ if kind.is_dir() => drop(names.folders.insert(entry.file_name())),
                Ok(name) if name.ends_with(MANIFEST_SUFFIX) => drop(names.manifests.insert(name)),
                Ok(name) => drop(names.files.insert(name)),
                Err(name) => names.others.push(name),
            }
        }
        Ok(names)
    }

    fn tell_temporaries(&self, dir: &Path, apart: bool, locks: Option<&Path>, tell: &mut dyn FnMut(Finding)) {
        let files = self.files.iter().chain(&self.manifests).map(OsString::from);
        for name in files.chain(self.others.iter().cloned()) {
            let Some(holder) = holder_of(&name, apart) else { continue };
            if locks.is_some_and(|locks| alive_in(locks, &holder)) {
                continue;
            }
            tell(Finding::new(
                &dir.join(name),
                Grade::Warn,
                Subject::OrphanTemporary,
                "a temporary file whose writer has ended; `handover run` removes it, and it can be deleted",
            ));
        }
    }
}

fn judge_temporaries(tmp: &Path, apart: bool, locks: Option<&Path>, tell: &mut dyn FnMut(Finding)) {
    if let Ok(names) = Names::of(tmp) {
        names.tell_temporaries(tmp, apart, locks, tell);
    }
}

/// Judges a folder's manifests, then the files that none of them describes.
fn judge(dir: &Path, names: &Names, tell: &mut dyn FnMut(Finding)) {
    let mut described = HashSet::new();
    let mut stems = HashSet::new();
    let mut unread = HashSet::new();
    for name in &names.manifests {
        let stem = name.strip_suffix(MANIFEST_SUFFIX).unwrap_or(name);
        match check_manifest(&dir.join(name), tell) {
            Some(file) => drop((described.insert(file), stems.insert(stem))),
            None => drop(unread.insert(stem)),
        }
    }
    let mut undescribed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names.files.iter().filter(|name| !described.contains(name.as_str())) {
        if let Ok(parsed) = name.parse::<FileName>() {
            undescribed.entry(parsed.stem()).or_default().push(name);
        }
    }
    // Of a manifest that cannot be read enough was said: its file may be whole.
    undescribed.retain(|stem, _| !unread.contains(stem.as_str()));
    for (stem, files) in undescribed {
        let doubled = files.len() > 1 || stems.contains(stem.as_str());
        for name in files {
            let (what, message) = match doubled {
                true => (
                    Subject::DuplicateName,
                    "another file here has the same name but for its extension, and no manifest describes this one",
                ),
                false => (
                    Subject::NoManifest,
                    "it has no manifest: unfinished work, which the next run takes up, or a foreign file",
                ),
            };
            tell(Finding::new(&dir.join(name), Grade::Warn, what, message));
        }
    }
}
