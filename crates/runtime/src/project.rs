//! A project: a configuration with its data directory and ledger, opened.

use crate::config::{Config, LedgerAddress};
use handover_core::{Clock, Error, ErrorKind, Result, SystemClock};
use handover_file::disk;
use handover_file::layout::DataDir;
use handover_ledger::Ledger;
use handover_ledger::sqlite::SqliteLedger;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// An opened project. Clones share everything.
#[derive(Clone)]
pub struct Project {
    /// The configuration.
    pub config: Arc<Config>,
    /// The data directory.
    pub data: DataDir,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Of a project that never ran: the folder of the empty ledger that stands in for its own.
    stand_in: Option<Arc<TempDir>>,
}

impl Project {
    /// Opens the data directory and the ledger, making them where they are missing, and binds the one to the other.
    ///
    /// # Errors
    /// Where either cannot be opened, or another ledger wrote the data directory.
    pub fn open(config: Config) -> Result<Self> {
        let data = DataDir::open(&config.data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger: Arc<dyn Ledger> = match &config.ledger {
            LedgerAddress::Sqlite(file) => {
                not_lost(&data, file)?;
                let ledger = SqliteLedger::open(file, config.migrate, clock.clone());
                Arc::new(ledger.map_err(|e| for_want_of_room(&data, e))?)
            }
            LedgerAddress::Postgres(_) => return Err(postgres()),
        };
        data.bind(ledger.identity())?;
        Ok(Self { config: Arc::new(config), data, ledger, clock, stand_in: None })
    }

    /// Opens a project for a command that only looks: nothing of it is made. One that never ran gets an empty ledger
    /// of its own, in a temporary folder that goes with it.
    ///
    /// # Errors
    /// Where the ledger cannot be opened, or another one wrote the data directory.
    pub fn look(config: Config) -> Result<Self> {
        let data = DataDir::look(&config.data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let LedgerAddress::Sqlite(file) = &config.ledger else { return Err(postgres()) };
        not_lost(&data, file)?;
        let (ledger, stand_in) = if file.exists() {
            (SqliteLedger::open(file, config.migrate, clock.clone())?, None)
        } else {
            let folder = TempDir::with_prefix("handover-").map_err(|e| {
                Error::io("make", "a temporary folder", e).hint("TMPDIR may name another place for it")
            })?;
            let file = folder.path().join("ledger.db");
            (SqliteLedger::open(&file, true, clock.clone())?, Some(Arc::new(folder)))
        };
        if data.bound_to()?.is_some() {
            data.bind(ledger.identity())?;
        }
        Ok(Self { config: Arc::new(config), data, ledger: Arc::new(ledger), clock, stand_in })
    }

    /// Whether this project never ran, so that there is nothing to know of it yet.
    pub fn never_ran(&self) -> bool {
        self.stand_in.is_some()
    }

    /// Opens a project that must have run before, for commands that only look.
    ///
    /// # Errors
    /// As [`Self::open`], and where it never ran.
    pub fn open_existing(config: Config) -> Result<Self> {
        if let LedgerAddress::Sqlite(file) = &config.ledger
            && !file.exists()
        {
            return Err(Error::not_found("this project has never run: it has no ledger yet")
                .on(file.display())
                .hint("`handover run` starts it, `handover run --once` runs it once"));
        }
        Self::open(config)
    }

    /// The same project with another configuration, after a reload.
    #[must_use]
    pub fn with_config(&self, config: Config) -> Self {
        Self { config: Arc::new(config), ..self.clone() }
    }
}

/// A data directory whose ledger is not there gets no new one: that would not know the names in it.
fn not_lost(data: &DataDir, file: &Path) -> Result<()> {
    match data.bound_to()? {
        Some(bound) if !file.exists() => {
            let message = format!(
                "another ledger wrote the data directory {}: {bound}, and there is none here",
                data.root().display()
            );
            Err(Error::config(message).on(file.display()).hint(
                "put the ledger back from a backup, let `ledger:` name its file, or begin anew in another data directory",
            ))
        }
        _ => Ok(()),
    }
}

/// With no room left the ledger fails to open in many words, of which this is the clear one.
fn for_want_of_room(data: &DataDir, error: Error) -> Error {
    match disk::space(data.tmp_dir()) {
        Ok(space) if disk::low(&space) => Error::new(ErrorKind::NotYet, "the disk is full")
            .on(data.root().display())
            .because(error)
            .hint("make room, and run it again"),
        _ => error,
    }
}

fn postgres() -> Error {
    Error::config("a ledger on PostgreSQL comes with a later version")
        .hint("remove `ledger:`; the embedded ledger serves every process of one machine")
}
