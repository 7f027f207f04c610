//! Which states of which originals the ledger knows, as far as an importer remembers: it saves asking again, and no more.
//!
//! Invariants: one state a path, the last one that the ledger answered for, so that a state which comes back after
//! another is asked about again; memory is bounded by what lies in the folders, because each scan that saw everything
//! lets go of what it did not see.

use handover_file::arrive::Candidate;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A state of an original, in short: device, inode, size in bytes, modification time in nanoseconds since the epoch.
type State = (u64, u64, u64, i128);

fn state(candidate: &Candidate) -> State {
    (candidate.device, candidate.inode, candidate.size, candidate.mtime.as_nanosecond())
}

/// What is known, by path.
#[derive(Default)]
pub(super) struct Known {
    states: HashMap<PathBuf, (State, AtomicU64)>,
    round: u64,
}

impl Known {
    /// Whether the ledger knows this state.
    pub(super) fn has(&self, candidate: &Candidate) -> bool {
        self.states.get(&candidate.path).is_some_and(|(known, seen)| {
            seen.store(self.round, Ordering::Relaxed);
            *known == state(candidate)
        })
    }

    /// Notes that it does.
    pub(super) fn insert(&mut self, candidate: &Candidate) {
        let seen = AtomicU64::new(self.round);
        self.states.insert(candidate.path.clone(), (state(candidate), seen));
    }

    /// Forgets a path: somebody was at it.
    pub(super) fn forget(&mut self, path: &Path) {
        self.states.remove(path);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.states.clear();
    }

    /// Begins to look at everything.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Lets go of what was not seen since [`Known::begin_round`].
    pub(super) fn end_round(&mut self) {
        let round = self.round;
        self.states.retain(|_, (_, seen)| seen.load(Ordering::Relaxed) >= round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn candidate(path: &str, size: u64) -> Candidate {
        let time = Timestamp::UNIX_EPOCH;
        Candidate { path: path.into(), device: 1, inode: 2, size, mtime: time, ctime: time }
    }

    #[test]
    fn a_state_that_comes_back_after_another_is_not_known() {
        let mut known = Known::default();
        known.insert(&candidate("/in/a", 1));
        assert!(known.has(&candidate("/in/a", 1)) && !known.has(&candidate("/in/a", 2)));
        known.insert(&candidate("/in/a", 2));
        assert!(!known.has(&candidate("/in/a", 1)));
        known.forget(Path::new("/in/a"));
        assert!(!known.has(&candidate("/in/a", 2)));
    }

    #[test]
    fn what_no_round_sees_is_let_go() {
        let mut known = Known::default();
        ["/in/a", "/in/b"].into_iter().for_each(|path| known.insert(&candidate(path, 1)));
        known.begin_round();
        assert!(known.has(&candidate("/in/a", 1)));
        known.insert(&candidate("/in/c", 1));
        known.end_round();
        assert_eq!(known.states.len(), 2);
        assert!(!known.has(&candidate("/in/b", 1)));
    }
}
