//! What this process published of late, so that the data directory's events about it are passed over.
//!
//! It only saves work: what it has forgotten is looked up in the ledger. Memory is bounded by two generations.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const GENERATION_MAX: usize = 100_000;

/// The manifests' paths, as hashes.
#[derive(Default)]
pub(crate) struct Published(Mutex<[HashSet<u64>; 2]>);

impl Published {
    /// Notes a path that is about to be published.
    pub(crate) fn add(&self, path: &Path) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations[0].len() >= GENERATION_MAX {
            generations[1] = std::mem::take(&mut generations[0]);
        }
        generations[0].insert(hash(path));
    }

    /// Whether it was noted.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter().any(|generation| generation.contains(&hash(path)))
    }
}

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_latest_and_stays_bounded() {
        let published = Published::default();
        for i in 0..3 * GENERATION_MAX {
            published.add(Path::new(&i.to_string()));
        }
        assert!(published.contains(Path::new(&(3 * GENERATION_MAX - 1).to_string())));
        assert!(!published.contains(Path::new("0")));
        let kept: usize = published.0.lock().unwrap().iter().map(HashSet::len).sum();
        assert!(kept <= 2 * GENERATION_MAX);
    }
}
