//! The embedded ledger: one SQLite file in WAL mode, for one machine.
//!
//! One thread writes ([`writer`]), in groups, each group one commit with one sync; readers have connections of their
//! own. Several processes may open the file at once; each wakes the others through the file's events ([`wake`]).
//!
//! On a crash SQLite's log brings the file back to its last commit when it is opened next.

mod arrivals;
mod by_hand;
mod claim;
mod error;
mod finish;
mod ledger_impl;
mod migrate;
mod names;
mod push;
mod query;
mod reader;
mod row;
mod schedules;
mod wake;
mod writer;

use error::sql;
use handover_core::{Clock, Result};
use reader::Readers;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use writer::Writer;

/// How long a command waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(30);

/// The embedded ledger.
pub struct SqliteLedger {
    writer: Writer,
    readers: Readers,
    wake: Arc<watch::Sender<u64>>,
    identity: String,
    file: PathBuf,
    clock: Arc<dyn Clock>,
    events: bool,
    _alive: Arc<()>,
}

impl SqliteLedger {
    /// Opens the ledger in this file, making it where there is none, and brings its schema up to date unless
    /// `migrate` is false. The folder must exist.
    ///
    /// # Errors
    /// Where the file cannot be opened or written, is no ledger, or has another version's schema.
    pub fn open(file: &Path, migrate: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
            .map_err(|e| e.on(file.display()))?;
        let now = handover_core::clock::rfc3339(clock.now());
        let identity = migrate::migrate(&mut connection, migrate, &now).map_err(|e| e.on(file.display()))?;
        let wake = Arc::new(watch::Sender::new(0));
        let alive = Arc::new(());
        let writer = Writer::start(connection, clock.clone(), wake.clone())?;
        let events = wake::start(writer.clone(), file, Arc::downgrade(&alive))?;
        Ok(Self {
            writer,
            readers: Readers::new(file),
            wake,
            identity,
            file: file.to_owned(),
            clock,
            events,
            _alive: alive,
        })
    }

    /// Opens a ledger that must exist already, as commands do that only read.
    ///
    /// # Errors
    /// As [`Self::open`], and where there is no such file.
    pub fn open_existing(file: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        if !file.exists() {
            return Err(handover_core::Error::not_found("there is no ledger yet")
                .on(file.display())
                .hint("`handover run` makes it when it first starts"));
        }
        Self::open(file, true, clock)
    }

    /// Whether the system tells of other processes' commits; otherwise the ledger looks ten times a second.
    pub fn events_delivered(&self) -> bool {
        self.events
    }
}

/// A connection with the settings that every one of ours has.
fn connect(file: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(sql("open the file"))?;
    connection.busy_timeout(BUSY).map_err(sql("open the file"))?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(sql("switch to write-ahead logging"))?;
    for (name, value) in [("synchronous", "full"), ("temp_store", "memory")] {
        connection.pragma_update(None, name, value).map_err(sql("open the file"))?;
    }
    for (name, value) in [("cache_size", -32_768), ("mmap_size", 268_435_456), ("wal_autocheckpoint", 4_000)]
    {
        connection.pragma_update(None, name, value).map_err(sql("open the file"))?;
    }
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}
