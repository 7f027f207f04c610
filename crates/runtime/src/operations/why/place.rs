//! A path as a person gives it, and the absolute paths that it may mean: from here, from the configuration's folder,
//! or from the data directory; and however a watched folder is spelled in the configuration.

use crate::project::Project;
use handover_core::path_text;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// What was asked about.
pub(super) struct Place {
    /// The absolute paths that it may mean, the likelier first; without `.` and `..`.
    pub(super) spellings: Vec<PathBuf>,
    /// As the ledger would write what was given.
    pub(super) text: String,
}

impl Place {
    pub(super) fn new(project: &Project, asked: &OsStr, from: &Path) -> Self {
        let given = Path::new(asked);
        let mut paths = vec![given.to_owned()];
        // As lists and logs show a name with bytes that are no text.
        if let Some(text) = asked.to_str().filter(|text| text.contains('\\')) {
            paths.push(path_text::from_text(text));
        }
        let mut spellings = Vec::new();
        for path in &paths {
            for base in [from, &project.config.base, project.data.root()] {
                let path = plain(&base.join(path));
                let real = real(&path);
                for spelling in std::iter::once(path).chain(real) {
                    if !spellings.contains(&spelling) {
                        spellings.push(spelling);
                    }
                }
            }
        }
        // What is there goes before what is not.
        spellings.sort_by_key(|path| path.symlink_metadata().is_err());
        let text = path_text::to_text(paths.last().unwrap_or(&paths[0]));
        Self { spellings, text: text.trim_start_matches("./").to_owned() }
    }
}

/// A path without `.` and, as far as its text says, without `..`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// The same with the links of its folder resolved; the last part stays what it is.
pub(super) fn real(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?.canonicalize().ok()?;
    Some(folder.join(path.file_name()?))
}
