//! The embedded ledger: one SQLite file in WAL mode, for one machine.
//!
//! One thread writes ([`writer`]), in groups, each group one commit with one sync; readers have connections of their
//! own. Several processes may open the file at once; each wakes the others through the file's events ([`wake`]).
//!
//! On a crash SQLite's log brings the file back to its last commit when it is opened next.

mod actions;
mod activity;
mod alerts;
mod answer;
mod archive;
mod arrivals;
mod by_hand;
mod claim;
mod error;
mod finish;
mod health;
mod jobs;
mod keys;
mod ledger_impl;
mod loads;
mod migrate;
mod mount;
mod moves;
mod names;
mod open;
#[cfg(test)]
mod plans;
mod push;
mod query;
mod reader;
mod row;
mod schedules;
mod search;
mod sizes;
mod submit;
mod transfer;
mod wake;
mod writer;
#[cfg(test)]
mod writer_tests;

use crate::ends::Ends;
use handover_core::{Clock, Error, Result};
use open::connect;
use reader::Readers;
use rusqlite::OpenFlags;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use writer::Writer;

/// The embedded ledger.
pub struct SqliteLedger {
    writer: Writer,
    readers: Readers,
    wake: Arc<watch::Sender<u64>>,
    ends: Ends,
    identity: String,
    file: PathBuf,
    clock: Arc<dyn Clock>,
    watching: wake::Watching,
}

impl SqliteLedger {
    /// Opens the ledger in this file, making it where there is none, and brings its schema up to date unless
    /// `migrate` is false. The folder must exist.
    ///
    /// # Errors
    /// Where the file cannot be opened or written, is no ledger, has another version's schema, or is on a network
    /// mount.
    pub fn open(file: &Path, migrate: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        open::check_place(file, migrate)?;
        let mut connection =
            connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let now = handover_core::clock::rfc3339(clock.now());
        let identity = migrate::migrate(&mut connection, migrate, &now).map_err(|e| e.on(file.display()))?;
        let wake = Arc::new(watch::Sender::new(0));
        let writer = Writer::start(connection, clock.clone(), wake.clone(), wake::Touch::open(file))?;
        let watching = wake::start(writer.clone(), file)?;
        Ok(Self {
            writer,
            readers: Readers::new(file),
            wake,
            ends: Ends::default(),
            identity,
            file: file.to_owned(),
            clock,
            watching,
        })
    }

    /// Opens a ledger that must exist already, as commands do that only read.
    ///
    /// # Errors
    /// As [`Self::open`], and where there is no such file.
    pub fn open_existing(file: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        if !file.exists() {
            return Err(Error::not_found("there is no ledger yet")
                .on(file.display())
                .hint("`handover run` makes it when it first starts"));
        }
        Self::open(file, true, clock)
    }

    /// The identity of the ledger in this file; none where the file is empty. Nothing is made or migrated.
    ///
    /// # Errors
    /// Where the file cannot be opened or is no ledger.
    pub fn identity_in(file: &Path) -> Result<Option<String>> {
        open::look(file)
            .and_then(|connection| migrate::identity(&connection))
            .map_err(|e| e.on(file.display()))
    }

    /// Whether the system tells of other processes' commits; otherwise the ledger looks ten times a second.
    pub fn events_delivered(&self) -> bool {
        self.watching.events
    }
}
