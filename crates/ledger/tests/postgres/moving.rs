//! A history moves between the backends, either way.

use super::Postgres;
use super::conformance::copying::{copied, lived_in, texts_are_copied};
use super::conformance::{Backend, World};
use async_trait::async_trait;
use handover_ledger::Ledger;
use handover_ledger::sqlite::SqliteLedger;
use handover_testkit::{FakeClock, Folder};
use std::sync::Arc;

/// The embedded ledger, as far as copying asks for it.
struct Embedded(Folder, Arc<FakeClock>);

#[async_trait]
impl Backend for Embedded {
    const NOT_JSON: &'static str = "data must be JSON text";

    async fn fresh(clock: Arc<FakeClock>) -> Self {
        Self(Folder::new(), clock)
    }

    async fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(&self.0.join("ledger.db"), true, self.1.clone()).unwrap())
    }

    async fn sql(&self, text: &str) -> Result<usize, String> {
        let connection = rusqlite::Connection::open(self.0.join("ledger.db")).unwrap();
        connection.execute(text, []).map_err(|e| e.to_string())
    }

    async fn rows(&self, text: &str) -> Vec<Vec<String>> {
        let connection = rusqlite::Connection::open(self.0.join("ledger.db")).unwrap();
        let mut statement = connection.prepare(text).unwrap();
        let columns = statement.column_count();
        let value = |row: &rusqlite::Row<'_>, column| match row.get::<_, rusqlite::types::Value>(column)? {
            rusqlite::types::Value::Text(text) => Ok(text),
            rusqlite::types::Value::Integer(number) => Ok(number.to_string()),
            other => Ok(format!("{other:?}")),
        };
        let rows = statement.query_map([], |row| (0..columns).map(|column| value(row, column)).collect());
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_ledger_moves_to_a_server() {
    let from = lived_in::<Embedded>().await;
    copied(&from, &World::<Postgres>::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_s_ledger_becomes_an_embedded_one() {
    let from = lived_in::<Postgres>().await;
    copied(&from, &World::<Embedded>::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_move_as_they_are_either_way() {
    texts_are_copied(&World::<Embedded>::new().await, &World::<Postgres>::new().await).await;
    texts_are_copied(&World::<Postgres>::new().await, &World::<Embedded>::new().await).await;
}
