//! Which ledger a data directory belongs to: `.handover/ledger-id` holds the identity of the one that writes it.
//!
//! Invariant: it is written once and never replaced, so that two ledgers can never both believe that the names in a
//! data directory are theirs. On a crash it is there whole or not at all.

use crate::layout::DataDir;
use crate::place::{io_error, move_new, show, sync_dir};
use handover_core::{Error, ErrorKind, Result, id::random_hex};
use std::fs::{self, File};
use std::io::Write;

const FILE: &str = "ledger-id";

impl DataDir {
    /// The ledger that it is bound to; none before the first run.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn bound_to(&self) -> Result<Option<String>> {
        let path = self.state_dir().join(FILE);
        match fs::read_to_string(&path) {
            Ok(bound) => Ok(Some(bound.trim().to_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io_error("read", &path, e)),
        }
    }

    /// Checks that the directory is bound to this ledger, or to none yet. Nothing is written.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where another ledger wrote it.
    pub fn check_bound(&self, ledger: &str) -> Result<()> {
        match self.bound_to()? {
            Some(bound) if bound != ledger => Err(other(&show(self.root()), &bound, ledger)),
            _ => Ok(()),
        }
    }

    /// Binds the directory to this ledger, or checks that it is bound to it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where another ledger wrote it.
    pub fn bind(&self, ledger: &str) -> Result<()> {
        let path = self.state_dir().join(FILE);
        match self.bound_to()? {
            Some(bound) if bound == ledger => return Ok(()),
            Some(bound) => return Err(other(&show(self.root()), &bound, ledger)),
            None => {}
        }
        let temp = self.state_dir().join(format!(".{FILE}-{}", &random_hex()[..8]));
        let written = File::create_new(&temp).and_then(|mut file| {
            file.write_all(format!("{ledger}\n").as_bytes())?;
            file.sync_all()
        });
        let bound = written
            .map_err(|e| io_error("write", &temp, e))
            .and_then(|()| move_new(&temp, &path).map_err(|e| io_error("write", &path, e)));
        let _ = fs::remove_file(&temp);
        match bound {
            Ok(()) => sync_dir(self.state_dir()),
            // Another process was first: it must have been for the same ledger.
            Err(e) if e.kind() == ErrorKind::Exists => self.bind(ledger),
            Err(e) => Err(e),
        }
    }
}

fn other(root: &str, bound: &str, ledger: &str) -> Error {
    Error::config(format!("another ledger wrote the data directory {root}: {bound}, and this one is {ledger}"))
        .hint("use the ledger that belongs to it, or another data directory; `handover ledger copy` will move a ledger's history")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_ledger_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert_eq!(data.bound_to().unwrap(), None);
        data.bind("one").unwrap();
        data.bind("one").unwrap();
        assert_eq!(data.bound_to().unwrap().as_deref(), Some("one"));
        let error = data.bind("two").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("one, and this one is two"), "{error}");
    }
}
