//! The embedded ledger passes the conformance suite, and does what only a file can be asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[macro_use]
mod conformance;
#[path = "sqlite/crash.rs"]
mod crash;
#[path = "sqlite/growth.rs"]
mod growth;
#[path = "sqlite/opening.rs"]
mod opening;
#[path = "sqlite/replacing.rs"]
mod replacing;

use async_trait::async_trait;
use conformance::Backend;
use handover_ledger::Ledger;
use handover_ledger::sqlite::SqliteLedger;
use handover_testkit::{FakeClock, Folder};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The embedded ledger in a folder of its own.
struct Sqlite {
    folder: Folder,
    clock: Arc<FakeClock>,
}

impl Sqlite {
    fn file(&self) -> PathBuf {
        self.folder.join("ledger.db")
    }

    /// A connection as any other program has it.
    fn foreign(&self) -> Connection {
        let connection = Connection::open(self.file()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
    }
}

#[async_trait]
impl Backend for Sqlite {
    const NOT_JSON: &'static str = "data must be JSON";

    async fn fresh(clock: Arc<FakeClock>) -> Self {
        Self { folder: Folder::new(), clock }
    }

    async fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(&self.file(), true, self.clock.clone()).unwrap())
    }

    async fn sql(&self, text: &str) -> Result<usize, String> {
        self.foreign().execute(text, []).map_err(|e| e.to_string())
    }

    async fn rows(&self, text: &str) -> Vec<Vec<String>> {
        let connection = self.foreign();
        let mut statement = connection.prepare(text).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Null => String::new(),
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Real(number) => number.to_string(),
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                            String::from_utf8_lossy(bytes).into_owned()
                        }
                    })
                })
                .collect::<rusqlite::Result<Vec<String>>>()
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }
}

conformance!(crate::Sqlite);
