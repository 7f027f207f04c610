//! Connections: a few, shared by all tasks, made when they are needed and again when they are lost.
//!
//! They live on a runtime of their own, so that a ledger outlives the runtime that it was opened in, and can be opened
//! where there is none. No connection keeps any state between two transactions but its prepared statements, and those only
//! where notifications come through: what is between us and the server may be a pooler that gives each transaction another
//! one.

use super::address::Address;
use super::error::{Again, Attempt, Fault, no_connection};
use super::tls::Connector;
use super::tx::Value;
use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use handover_core::{Error, ErrorKind, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

/// At most so many for a process; others wait for their turn. The server's own group commit makes one sync of the
/// commits of all of them.
const CONNECTIONS: usize = 12;
/// How long making one may take, and waiting for one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The connections of one ledger.
pub(super) struct Connections {
    pool: Pool,
    address: Address,
    /// Whether a connection stays the same from one transaction to the next, so that it can keep statements. It is known
    /// once something listens.
    sessions: AtomicBool,
}

/// Makes connections on the ledger's own runtime.
struct On {
    runtime: Handle,
    connector: Connector,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for On {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let (config, handle, connector) = (config.clone(), self.runtime.clone(), self.connector.clone());
        Box::pin(async move {
            let (client, connection) =
                Within { handle: handle.clone(), inner: Box::pin(connector.connect(&config)) }.await?;
            let serving = handle.spawn(async move {
                // How it ended, whoever asks on it is told.
                let _ = connection.await;
            });
            Ok((client, serving))
        })
    }
}

/// A future whose sockets and timers belong to this runtime, whoever awaits it.
struct Within<F> {
    handle: Handle,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self.handle.clone();
        let _entered = handle.enter();
        self.inner.as_mut().poll(context)
    }
}

impl Connections {
    /// None is made yet.
    pub(super) fn new(address: Address, handle: Handle) -> Result<Self> {
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(
            address.config.clone(),
            On { runtime: handle, connector: address.connector.clone() },
            how,
        );
        let timeouts = Timeouts { wait: Some(TIMEOUT), create: Some(TIMEOUT), recycle: Some(TIMEOUT) };
        let pool =
            Pool::builder(manager).max_size(CONNECTIONS).timeouts(timeouts).runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|e| Error::internal("the connections cannot be prepared").because(e))?;
        Ok(Self { pool, address, sessions: AtomicBool::new(false) })
    }

    /// Where they go, for people.
    pub(super) fn shown(&self) -> &str {
        &self.address.shown
    }

    /// What they are made with.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Notes whether connections stay the same from one transaction to the next.
    pub(super) fn keep_statements(&self, sessions: bool) {
        self.sessions.store(sessions, Ordering::Relaxed);
    }

    /// One of them, for as long as it is kept.
    pub(super) async fn get(&self) -> Attempt<Connection> {
        let keeps = self.sessions.load(Ordering::Relaxed);
        let connection = self.pool.get().await;
        connection.map(|object| Connection { object, keeps }).map_err(|error| match error {
            PoolError::Backend(error) => {
                no_connection(&self.address.shown, self.address.config.get_user(), &error)
            }
            PoolError::Timeout(what) => Fault {
                error: Error::new(
                    ErrorKind::Io,
                    format!("PostgreSQL does not answer within {TIMEOUT:?} ({what:?})"),
                )
                .on(&self.address.shown)
                .hint("look at the server: pg_stat_activity shows what it waits for"),
                again: Again::Lost,
            },
            other => Error::new(ErrorKind::Cancelled, "the ledger is closed").because(other).into(),
        })
    }

    /// No more of them.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// A connection; it goes back to the others when it is dropped.
pub(super) struct Connection {
    object: Object,
    /// Whether it keeps statements, which saves the server their planning.
    keeps: bool,
}

impl Connection {
    /// Prepares a statement, where that serves: what follows then sends it at once.
    pub(super) async fn prepare(
        &self,
        text: &str,
        values: &[Value<'_>],
    ) -> Result<(), tokio_postgres::Error> {
        if self.keeps {
            self.object.prepare_typed_cached(text, &types(values)).await?;
        }
        Ok(())
    }

    /// Runs a statement.
    pub(super) async fn rows(
        &self,
        text: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if !self.keeps {
            return self.object.query_typed(text, values).await;
        }
        let statement = self.object.prepare_typed_cached(text, &types(values)).await?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|(value, _)| *value).collect();
        self.object.query(&statement, &values).await
    }

    /// Runs statements without values.
    pub(super) async fn execute(&self, text: &str) -> Result<(), tokio_postgres::Error> {
        self.object.batch_execute(text).await
    }

    /// Begins a binary COPY of rows with these types.
    pub(super) async fn copy_in(
        &self,
        text: &str,
        types: &[Type],
    ) -> Result<BinaryCopyInWriter, tokio_postgres::Error> {
        Ok(BinaryCopyInWriter::new(self.object.copy_in(text).await?, types))
    }

    /// Takes it out of the pool: whatever it was in the middle of ends with it.
    pub(super) fn close(self) {
        drop(Object::take(self.object));
    }
}

fn types(values: &[Value<'_>]) -> Vec<Type> {
    values.iter().map(|(_, ty)| ty.clone()).collect()
}
