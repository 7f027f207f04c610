//! The ledger on PostgreSQL passes the conformance suite, and does what only a server can be asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[macro_use]
mod conformance;
#[path = "postgres/budgets.rs"]
mod budgets;
#[path = "postgres/chaos.rs"]
mod chaos;
#[path = "postgres/claims.rs"]
mod claims;
#[path = "postgres/faults.rs"]
mod faults;
#[path = "postgres/keeping.rs"]
mod keeping;
#[path = "postgres/lanes.rs"]
mod lanes;
#[path = "postgres/lanes_together.rs"]
mod lanes_together;
#[path = "postgres/locks.rs"]
mod locks;
#[path = "postgres/moving.rs"]
mod moving;
#[path = "postgres/opening.rs"]
mod opening;
#[path = "postgres/plain_sql.rs"]
mod plain_sql;
#[path = "postgres/plans.rs"]
mod plans;
#[path = "postgres/pooler.rs"]
mod pooler;
#[path = "postgres/speed.rs"]
mod speed;
#[path = "postgres/telling.rs"]
mod telling;
#[path = "postgres/tls.rs"]
mod tls;

use async_trait::async_trait;
use conformance::Backend;
use handover_ledger::Ledger;
use handover_ledger::postgres::PostgresLedger;
use handover_testkit::{FakeClock, TemporaryPostgres};
use std::sync::Arc;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A ledger in a database of its own.
struct Postgres {
    pub(crate) server: TemporaryPostgres,
    clock: Arc<FakeClock>,
}

impl Postgres {
    /// A connection as any other program has it; it names itself as the embedded ledger's foreign programs are named.
    pub(crate) async fn foreign(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("SET search_path = integration; SET handover.actor = 'sql'; SET TimeZone = 'UTC'")
            .await
            .unwrap();
        client
    }
}

#[async_trait]
impl Backend for Postgres {
    const NOT_JSON: &'static str = "invalid input syntax for type json";
    /// Records that a worker holds and no claim knows of, and claims that think less open, or a lease longer, than it is.
    const NEVER: Option<&'static str> = Some(
        "SELECT 'unknown', id::text FROM data_staging_live WHERE status = 'processing' AND lease_token IS NOT NULL \
             AND id NOT IN (SELECT id FROM _claimed) \
         UNION ALL SELECT 'twice', id::text FROM _claimed GROUP BY id HAVING count(*) > 1 \
         UNION ALL SELECT 'of claim', token FROM claims AS c WHERE open < (SELECT count(*) FROM _claimed WHERE lease_token = c.token) \
             OR lease_until > (SELECT min(lease_until) FROM _claimed WHERE lease_token = c.token)",
    );

    async fn fresh(clock: Arc<FakeClock>) -> Self {
        Self { server: TemporaryPostgres::new(), clock }
    }

    async fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(PostgresLedger::open_with_clock(&self.server.url(), true, self.clock.clone()).unwrap())
    }

    async fn sql(&self, text: &str) -> Result<usize, String> {
        let said =
            self.foreign().await.simple_query(text).await.map_err(|error| match error.as_db_error() {
                Some(said) => said.message().to_owned(),
                None => error.to_string(),
            })?;
        let count = said.into_iter().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(count),
            _ => None,
        });
        Ok(usize::try_from(count.unwrap_or(0)).unwrap())
    }

    async fn compact(&self) {
        self.rows("SELECT integration._compact_tally()").await;
    }

    async fn rows(&self, text: &str) -> Vec<Vec<String>> {
        let said = self.foreign().await.simple_query(text).await.unwrap();
        let rows = said.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|n| row.get(n).unwrap_or_default().to_owned()).collect()).collect()
    }
}

conformance!(crate::Postgres);
