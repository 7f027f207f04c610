//! Originals that this process did not take because they had gone or become another: should one come back as it was,
//! its importer is to ask the ledger about it again.
//!
//! Memory is bounded: beyond the bound everything counts as untaken. A crash forgets what the next start asks anyway.

use handover_core::AppName;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// So many are kept for one importer.
const UNTAKEN_MAX: usize = 1_000;

/// By importer.
#[derive(Default)]
pub(crate) struct Untaken(Mutex<HashMap<AppName, HashSet<PathBuf>>>);

/// What an importer is to forget.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forget {
    /// These paths.
    These(HashSet<PathBuf>),
    /// There were too many.
    All,
}

impl Untaken {
    /// Notes an original that was not taken.
    pub(crate) fn note(&self, app: &AppName, path: &Path) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = all.entry(app.clone()).or_default();
        if paths.len() <= UNTAKEN_MAX {
            paths.insert(path.to_owned());
        }
    }

    /// What was noted for this importer since it asked before.
    pub(crate) fn take(&self, app: &AppName) -> Forget {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = all.get_mut(app).map(std::mem::take).unwrap_or_default();
        if paths.len() > UNTAKEN_MAX { Forget::All } else { Forget::These(paths) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_forgets_nothing() {
        let (untaken, app) = (Untaken::default(), AppName::new("a").unwrap());
        assert_eq!(untaken.take(&app), Forget::These(HashSet::new()));
        untaken.note(&app, Path::new("/in/a"));
        assert_eq!(untaken.take(&app), Forget::These(HashSet::from([PathBuf::from("/in/a")])));
        assert_eq!(untaken.take(&app), Forget::These(HashSet::new()));
        (0..5 * UNTAKEN_MAX).for_each(|n| untaken.note(&app, Path::new(&n.to_string())));
        assert_eq!(untaken.take(&app), Forget::All);
        assert_eq!(untaken.take(&app), Forget::These(HashSet::new()));
    }
}
