//! A project: a configuration with its data directory and ledger, opened.

use crate::config::{Config, LedgerAddress};
use handover_core::{Clock, Error, Result, SystemClock};
use handover_file::layout::DataDir;
use handover_ledger::Ledger;
use handover_ledger::sqlite::SqliteLedger;
use std::sync::Arc;

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
            LedgerAddress::Sqlite(file) => Arc::new(SqliteLedger::open(file, config.migrate, clock.clone())?),
            LedgerAddress::Postgres(_) => return Err(postgres()),
        };
        data.bind(ledger.identity())?;
        Ok(Self { config: Arc::new(config), data, ledger, clock })
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

fn postgres() -> Error {
    Error::config("a ledger on PostgreSQL comes with a later version")
        .hint("remove `ledger:`; the embedded ledger serves every process of one machine")
}
