//! Readers: a few connections that only read, each used by one caller at a time, off the async threads but for the
//! quickest queries. They are opened when they are first needed and kept.

use super::error::sql;
use handover_core::{Error, Result};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How many may read at once; others wait for their turn. Opening a connection costs more than a short wait.
const READERS: usize = 8;

/// The idle reading connections of one ledger.
#[derive(Clone)]
pub(super) struct Readers {
    file: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: Arc::new(file.to_owned()),
            idle: Arc::default(),
            turns: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs a query on a connection of its own.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let broken = "a query of the ledger broke off";
        let turn =
            self.turns.clone().acquire_owned().await.map_err(|e| Error::internal(broken).because(e))?;
        let readers = self.clone();
        let work = move || {
            // Held for as long as the query runs, even where its caller has gone.
            let _turn = turn;
            readers.run_here(query)
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal(broken).because(e))?
    }

    /// Runs a query that looks at a few rows by an index: here, where a connection is idle, because that takes less long
    /// than waking another thread for it.
    pub(super) async fn quick<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.has_idle()
            && let Ok(_turn) = self.turns.try_acquire()
        {
            return self.run_here(query);
        }
        self.run(query).await
    }

    fn has_idle(&self) -> bool {
        !self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn run_here<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let result = query(&connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    fn open(&self) -> Result<Connection> {
        let connection = super::connect(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true).map_err(sql("open a reader"))?;
        Ok(connection)
    }
}
