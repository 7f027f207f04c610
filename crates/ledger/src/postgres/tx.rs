//! Transactions that count once, whatever happens to the connection.
//!
//! A transaction notes its own number (`pg_current_xact_id`) with its first statement. When the connection is lost after
//! COMMIT was sent, another connection asks the server what became of that number: committed, then the answers that were
//! read are right; aborted, then the whole is done again. Before COMMIT was sent nothing counts, and it is done again. So no
//! write is done twice, and none is reported as failed that was done.
//!
//! BEGIN and the number travel with the first statement, so that a transaction of one statement is two round trips.

use super::PostgresLedger;
use super::error::{Again, Attempt, Fault, fault, sql};
use super::pool::Connection;
use handover_core::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// A value and its type.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// For so long an operation is tried again while the server cannot be reached.
const LOST_FOR: Duration = Duration::from_secs(30);
/// So often where it met with other transactions.
const CONFLICTS: u32 = 20;
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A process that is stopped in the middle of a transaction does not hold its locks for ever.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                     SET LOCAL idle_in_transaction_session_timeout = '30s'";
const NUMBER: &str = "SELECT pg_current_xact_id()::text";

/// A transaction; dropped without an end it takes its connection with it, and so is rolled back.
pub(super) struct Tx<'a> {
    ledger: &'a PostgresLedger,
    connection: Option<Connection>,
    /// The transaction's number on the server, once it has begun.
    number: Option<String>,
    /// Whether there may be new work once it counts, and for whom as far as it is known.
    work: Option<BTreeSet<String>>,
    /// Whether older work may wait again once it counts.
    freed: bool,
}

impl<'a> Tx<'a> {
    /// Takes a connection. Nothing is sent yet.
    pub(super) async fn begin(ledger: &'a PostgresLedger) -> Attempt<Self> {
        Ok(Self {
            ledger,
            connection: Some(ledger.connections.get().await?),
            number: None,
            work: None,
            freed: false,
        })
    }

    /// The ledger that it writes to.
    pub(super) fn ledger(&self) -> &'a PostgresLedger {
        self.ledger
    }

    /// There is new work for these apps, once this counts.
    pub(super) fn makes_work<'b>(&mut self, apps: impl Iterator<Item = &'b str>) {
        for app in apps {
            let known = self.work.get_or_insert_default();
            if !known.contains(app) {
                known.insert(app.to_owned());
            }
        }
    }

    /// Waiting work may go on, once this counts.
    pub(super) fn frees_work(&mut self) {
        self.freed = true;
        self.work.get_or_insert_default().insert(String::new());
    }

    /// The connection, in the transaction.
    pub(super) async fn connection(&mut self) -> Attempt<&Connection> {
        if self.number.is_none() {
            self.rows("begin a transaction", "SELECT 1", &[]).await?;
        }
        self.connection.as_ref().ok_or_else(ended)
    }

    /// Runs a statement.
    pub(super) async fn rows(
        &mut self,
        doing: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Attempt<Vec<Row>> {
        let connection = self.connection.as_ref().ok_or_else(ended)?;
        if self.number.is_some() {
            return connection.rows(text, values).await.map_err(sql(doing));
        }
        connection.prepare(NUMBER, &[]).await.map_err(sql("begin a transaction"))?;
        connection.prepare(text, values).await.map_err(sql(doing))?;
        let (begun, number, rows) = tokio::join!(
            connection.execute(BEGIN),
            connection.rows(NUMBER, &[]),
            connection.rows(text, values)
        );
        let number = begun.and(number).and_then(|rows| rows.first().map(|row| row.try_get(0)).transpose());
        match number {
            Ok(number) => self.number = Some(number.unwrap_or_default()),
            Err(error) => {
                // Whatever state it is in, nobody needs it.
                if let Some(connection) = self.connection.take() {
                    connection.close();
                }
                return Err(fault("begin a transaction", &error));
            }
        }
        rows.map_err(sql(doing))
    }

    /// Runs a statement that gives one row.
    pub(super) async fn row(
        &mut self,
        doing: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Attempt<Row> {
        self.rows(doing, text, values).await?.pop().ok_or_else(|| {
            Error::internal(format!("the ledger cannot {doing}: PostgreSQL gave no row")).into()
        })
    }

    /// Commits. After it everything counts, and is on the server's disk; whoever waits for work is told.
    pub(super) async fn commit(mut self) -> Attempt<()> {
        let work = self.work.take();
        if let Some(apps) = work.as_ref().filter(|_| self.ledger.wake.by_transaction()) {
            self.tell(apps).await?;
        }
        self.commit_quietly().await?;
        if self.freed {
            self.ledger.hints.forget();
        }
        if let Some(apps) = work {
            self.ledger.wake.ring(apps);
        }
        Ok(())
    }

    /// Tells others of new work by the transaction itself.
    async fn tell(&mut self, apps: &BTreeSet<String>) -> Attempt<()> {
        let apps: Vec<&str> =
            if apps.is_empty() { vec![""] } else { apps.iter().map(String::as_str).collect() };
        let call = "SELECT pg_notify('handover', app) FROM unnest($1) AS app";
        self.rows("tell of new work", call, &[texts(&apps)]).await.map(|_| ())
    }

    async fn commit_quietly(&mut self) -> Attempt<()> {
        let Some(connection) = self.connection.take() else { return Err(ended()) };
        let Some(number) = self.number.take() else { return Ok(()) };
        match connection.execute("COMMIT").await {
            Ok(()) => Ok(()),
            Err(error) => {
                let fault = fault("commit", &error);
                connection.close();
                match fault.again {
                    Again::Lost => self.ledger.became(&number, fault).await,
                    _ => Err(fault),
                }
            }
        }
    }

    /// Undoes it; the connection serves on.
    pub(super) async fn rollback(mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.number.is_some() && connection.execute("ROLLBACK").await.is_err() {
            connection.close();
        }
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}

fn ended() -> Fault {
    Error::internal("a transaction of the ledger is used after its end").into()
}

impl PostgresLedger {
    /// What became of a transaction whose COMMIT was sent into a connection that was lost.
    async fn became(&self, number: &str, lost: Fault) -> Attempt<()> {
        let mut tries = Tries::new();
        loop {
            let asked = self
                .rows(
                    "ask what became of a transaction",
                    "SELECT pg_xact_status($1::text::xid8)",
                    &[text(&number)],
                )
                .await
                .and_then(|rows| {
                    let status: Option<Option<String>> =
                        rows.first().map(|row| row.try_get(0)).transpose().map_err(sql("ask"))?;
                    Ok(status.flatten().unwrap_or_default())
                });
            let again = match asked.as_deref() {
                Ok("committed") => return Ok(()),
                Ok("aborted") => return Err(lost),
                // The server has not noticed yet that we have gone.
                Ok("in progress") => Fault { error: unknown(), again: Again::Lost },
                // So old that it is forgotten: nobody can tell.
                Ok(_) => return Err(unknown().into()),
                Err(_) => Fault { error: unknown(), again: Again::Lost },
            };
            tries.wait(again).await?;
        }
    }

    /// Runs a query by itself, once.
    pub(super) async fn rows(
        &self,
        doing: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Attempt<Vec<Row>> {
        let connection = self.connections.get().await?;
        connection.rows(text, values).await.map_err(sql(doing))
    }

    /// Runs a statement in a transaction of its own, and another behind it where there is one, in one round trip: beginning,
    /// statement and COMMIT travel together. So where the connection is lost, it may have counted.
    pub(super) async fn one_trip(
        &self,
        begin: &str,
        doing: &'static str,
        (text, values): (&str, &[Value<'_>]),
        behind: Option<(&str, &[Value<'_>])>,
    ) -> Attempt<(Vec<Row>, Vec<Row>)> {
        let connection = self.connections.get().await?;
        connection.prepare(text, values).await.map_err(sql(doing))?;
        if let Some((text, values)) = behind {
            connection.prepare(text, values).await.map_err(sql(doing))?;
        }
        let last = async {
            match behind {
                Some((text, values)) => connection.rows(text, values).await,
                None => Ok(Vec::new()),
            }
        };
        let (begun, rows, committed, behind) = tokio::join!(
            connection.execute(begin),
            connection.rows(text, values),
            connection.execute("COMMIT"),
            last
        );
        if begun.is_err() || committed.is_err() {
            // Whatever state it is in, nobody needs it.
            connection.close();
        }
        begun.map_err(sql("begin a transaction"))?;
        let rows = rows.map_err(sql(doing))?;
        committed.map_err(sql("commit"))?;
        Ok((rows, behind.map_err(sql(doing))?))
    }

    /// Reads: runs a query by itself, again where the connection was lost.
    pub(super) async fn read(
        &self,
        doing: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>> {
        let mut tries = Tries::new();
        loop {
            match self.rows(doing, text, values).await {
                Ok(rows) => return Ok(rows),
                Err(fault) => tries.wait(fault).await.map_err(|fault| fault.error)?,
            }
        }
    }
}

fn unknown() -> Error {
    Error::new(
        ErrorKind::Io,
        "the connection to PostgreSQL was lost, and it cannot be asked what became of the transaction",
    )
    .hint("look whether it counted (`handover show`) before it is done again")
}

/// Counts attempts and waits between them.
pub(super) struct Tries {
    began: Instant,
    conflicts: u32,
    wait: Duration,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), conflicts: 0, wait: FIRST_WAIT }
    }

    /// Waits before the next attempt; gives the fault back where there is none.
    pub(super) async fn wait(&mut self, fault: Fault) -> Attempt<()> {
        match fault.again {
            Again::No | Again::Less => return Err(fault),
            Again::Conflict if self.conflicts >= CONFLICTS => return Err(fault),
            Again::Conflict => self.conflicts += 1,
            Again::Lost if self.began.elapsed() >= LOST_FOR => return Err(fault),
            Again::Lost => {}
        }
        // Those who met must not meet again.
        let spread = handover_core::id::random_hex().bytes().next().map_or(0, u32::from) % 16;
        tokio::time::sleep(self.wait + self.wait * spread / 16).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

/// Runs `$body`, which may use the transaction `$tx`, commits, and does it all again as long as that helps.
macro_rules! in_transaction {
    ($ledger:expr, |$tx:ident| $body:expr) => {{
        let mut tries = $crate::postgres::tx::Tries::new();
        loop {
            let attempt = async {
                let mut transaction = $crate::postgres::tx::Tx::begin($ledger).await?;
                let $tx = &mut transaction;
                match $body.await {
                    Ok(value) => transaction.commit().await.map(|()| value),
                    Err(fault) => {
                        transaction.rollback().await;
                        Err(fault)
                    }
                }
            };
            let attempt: $crate::postgres::error::Attempt<_> = attempt.await;
            match attempt {
                Ok(value) => break Ok(value),
                Err(fault) => {
                    if let Err(fault) = tries.wait(fault).await {
                        break Err(fault.error);
                    }
                }
            }
        }
    }};
}
pub(super) use in_transaction;

/// Asks by `$body`, and again as long as that helps. `$unsure` says whether an earlier attempt may have counted: its COMMIT was on
/// its way when the connection was lost.
macro_rules! until_known {
    (|$unsure:ident| $body:expr) => {{
        let mut tries = $crate::postgres::tx::Tries::new();
        let mut $unsure = false;
        loop {
            let attempt: $crate::postgres::error::Attempt<_> = async { $body }.await;
            match attempt {
                Ok(known) => break Ok(known),
                Err(fault) => {
                    $unsure |= fault.again == $crate::postgres::error::Again::Lost;
                    if let Err(fault) = tries.wait(fault).await {
                        break Err(fault.error);
                    }
                }
            }
        }
    }};
}
pub(super) use until_known;

/// A text, or none.
pub(super) fn text<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::TEXT)
}

/// Texts.
pub(super) fn texts<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::TEXT_ARRAY)
}

/// A number of 64 bits, or none.
pub(super) fn number<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::INT8)
}

/// Numbers of 64 bits.
pub(super) fn numbers<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::INT8_ARRAY)
}

/// Numbers of 32 bits.
pub(super) fn small_numbers<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::INT4_ARRAY)
}

/// Numbers with fractions.
pub(super) fn doubles<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::FLOAT8_ARRAY)
}

/// A time, or none.
pub(super) fn time<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::TIMESTAMPTZ)
}

/// Times.
pub(super) fn times<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::TIMESTAMPTZ_ARRAY)
}

/// A number of seconds.
pub(super) fn seconds<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::FLOAT8)
}

/// Yes or no.
pub(super) fn flag<T: ToSql + Sync>(value: &T) -> Value<'_> {
    (value, Type::BOOL)
}
