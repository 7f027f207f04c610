//! A project: a configuration with its data directory and ledger, opened.

use crate::config::{Config, LedgerAddress, Runs};
use crate::meter::Meter;
use crate::traces::Tracer;
use handover_core::{Clock, Error, ErrorKind, HolderId, Result, SystemClock};
use handover_file::layout::DataDir;
use handover_file::{disk, lock};
use handover_ledger::Ledger;
use handover_ledger::postgres::{PostgresLedger, SchemaState};
use handover_ledger::sqlite::SqliteLedger;
use handover_service::{Services, Settings};
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
    /// Its service apps.
    pub services: Arc<Services>,
    /// What this process counts of what it ends.
    pub meter: Arc<Meter>,
    /// Sends spans.
    pub tracer: Tracer,
    /// Of a project that never ran: the folder of the empty ledger that stands in for its own.
    stand_in: Option<Arc<TempDir>>,
}

impl Project {
    /// Opens the data directory and the ledger, making them where they are missing, and binds the one to the other.
    ///
    /// It blocks until both are open.
    ///
    /// # Errors
    /// Where either cannot be opened, or another ledger wrote the data directory.
    pub fn open(config: Config) -> Result<Self> {
        let data = DataDir::open(&config.data)?;
        let (ledger, clock): (Arc<dyn Ledger>, Arc<dyn Clock>) = match &config.ledger {
            LedgerAddress::Sqlite(file) => {
                not_lost(&data, file)?;
                let ledger = SqliteLedger::open(file, config.migrate, Arc::new(SystemClock));
                (Arc::new(ledger.map_err(|e| for_want_of_room(&data, e))?), Arc::new(SystemClock))
            }
            LedgerAddress::Postgres(url) => {
                if let Some(bound) = data.bound_to()?
                    && PostgresLedger::schema_state(url.expose())? == SchemaState::Missing
                {
                    return Err(lost(&data, &bound, &PostgresLedger::shown(url.expose())?));
                }
                let ledger = PostgresLedger::open(url.expose(), config.migrate)?;
                let clock = ledger.server_clock();
                (Arc::new(ledger), clock)
            }
        };
        data.bind(ledger.identity())?;
        let services = Arc::new(Services::new(declared(&config)));
        let meter = Arc::new(Meter::new(config.metrics));
        let tracer = Tracer::new(config.traces.as_ref(), ledger.identity());
        Ok(Self { config: Arc::new(config), data, ledger, clock, services, meter, tracer, stand_in: None })
    }

    /// Opens a project for a command that only looks: nothing of it is made. One that never ran gets an empty ledger
    /// of its own, in a temporary folder that goes with it.
    ///
    /// # Errors
    /// Where the ledger cannot be opened, or another one wrote the data directory.
    pub fn look(config: Config) -> Result<Self> {
        let data = DataDir::look(&config.data)?;
        let mut clock: Arc<dyn Clock> = Arc::new(SystemClock);
        if let LedgerAddress::Sqlite(file) = &config.ledger {
            not_lost(&data, file)?;
        }
        let (ledger, stand_in): (Arc<dyn Ledger>, _) = match &config.ledger {
            _ if !Self::has_run(&config)? => {
                let folder = TempDir::with_prefix("handover-").map_err(|e| {
                    Error::io("make", "a temporary folder", e).hint("TMPDIR may name another place for it")
                })?;
                let file = folder.path().join("ledger.db");
                (Arc::new(SqliteLedger::open(&file, true, clock.clone())?), Some(Arc::new(folder)))
            }
            LedgerAddress::Sqlite(file) => {
                (Arc::new(SqliteLedger::open(file, config.migrate, clock.clone())?), None)
            }
            LedgerAddress::Postgres(url) => {
                let ledger = PostgresLedger::open(url.expose(), config.migrate)?;
                // Times of the ledger are its server's.
                clock = ledger.server_clock();
                (Arc::new(ledger), None)
            }
        };
        if data.bound_to()?.is_some() {
            data.bind(ledger.identity())?;
        }
        let services = Arc::new(Services::new(declared(&config)));
        let meter = Arc::new(Meter::new(config.metrics));
        let tracer = Tracer::new(config.traces.as_ref(), ledger.identity());
        Ok(Self { config: Arc::new(config), data, ledger, clock, services, meter, tracer, stand_in })
    }

    /// Whether the data directory is that of the ledger, as [`Self::open`] wants it. Nothing is made or migrated.
    ///
    /// # Errors
    /// Where another ledger wrote it, or the ledger cannot be asked.
    pub(crate) fn check_bound(config: &Config) -> Result<()> {
        // A root that is no directory is said where the disk is tried out.
        let Ok(data) = DataDir::look(&config.data) else { return Ok(()) };
        let Some(bound) = data.bound_to()? else { return Ok(()) };
        let (identity, place) = match &config.ledger {
            LedgerAddress::Sqlite(file) => {
                not_lost(&data, file)?;
                (SqliteLedger::identity_in(file)?, file.display().to_string())
            }
            LedgerAddress::Postgres(url) => {
                let identity = match PostgresLedger::schema_state(url.expose())? {
                    SchemaState::Missing => None,
                    SchemaState::Current => {
                        Some(PostgresLedger::open(url.expose(), false)?.identity().to_owned())
                    }
                    // Whose it is can be asked once the schema is as it should be; how it is has been said.
                    SchemaState::Behind(_) | SchemaState::Ahead { .. } => return Ok(()),
                };
                (identity, PostgresLedger::shown(url.expose())?)
            }
        };
        match identity {
            Some(identity) => data.check_bound(&identity),
            None => Err(lost(&data, &bound, &place)),
        }
    }

    /// Whether there is a ledger where the configuration says.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn has_run(config: &Config) -> Result<bool> {
        match &config.ledger {
            LedgerAddress::Sqlite(file) => Ok(file.exists()),
            LedgerAddress::Postgres(url) => {
                Ok(PostgresLedger::schema_state(url.expose())? != SchemaState::Missing)
            }
        }
    }

    /// A name for this process as a holder. Where processes of other machines share the ledger, it says on which
    /// machine its lock can be believed.
    pub fn new_holder(&self) -> HolderId {
        lock::new_holder(matches!(self.config.ledger, LedgerAddress::Postgres(_)))
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
        if !Self::has_run(&config)? {
            let place = match &config.ledger {
                LedgerAddress::Sqlite(file) => file.display().to_string(),
                LedgerAddress::Postgres(url) => PostgresLedger::shown(url.expose())?,
            };
            return Err(Error::not_found("this project has never run: it has no ledger yet")
                .on(place)
                .hint("`handover run` starts it, `handover run --once` runs it once"));
        }
        Self::open(config)
    }

    /// Adds what this process has counted to the ledger. That it does not succeed is said in the log: nobody's work depends on it.
    pub async fn add_counts(&self) {
        if let Err(e) = self.meter.add_to(self.ledger.as_ref(), self.clock.now()).await {
            tracing::warn!("cannot add what was counted to the ledger: {e}; it is tried again");
        }
    }

    /// The same project with another configuration, after a reload. Whether anything is counted, and
    /// where spans go, stays as it was.
    #[must_use]
    pub fn with_config(&self, config: Config) -> Self {
        let services = Arc::new(self.services.renewed(declared(&config)));
        Self { config: Arc::new(config), services, ..self.clone() }
    }
}

/// The service apps that a configuration declares.
fn declared(config: &Config) -> impl Iterator<Item = Settings> {
    config.apps.iter().filter_map(|app| match &app.runs {
        Runs::Service(settings) => Some(settings.clone()),
        _ => None,
    })
}

/// A data directory whose ledger is not there gets no new one: that would not know the names in it.
fn not_lost(data: &DataDir, file: &Path) -> Result<()> {
    match data.bound_to()? {
        Some(bound) if !file.exists() => Err(lost(data, &bound, &file.display().to_string())),
        _ => Ok(()),
    }
}

fn lost(data: &DataDir, bound: &str, place: &str) -> Error {
    let message = format!(
        "another ledger wrote the data directory {}: {bound}, and there is none here",
        data.root().display()
    );
    Error::config(message).on(place).hint(
        "put the ledger back from a backup, let `ledger:` name where it is, or begin anew in another data directory",
    )
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
