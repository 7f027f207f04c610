//! The ledger on a PostgreSQL server, for several machines and for programs that speak SQL.
//!
//! What its workers ask for are functions of the schema `integration`, one round trip each (`migrations/postgres`); the same
//! state machine, names and words as in the embedded ledger, whose modules these mirror. Several tasks share a few
//! connections ([`pool`]); every write is a transaction that counts once whatever happens to its connection ([`tx`]); new
//! work is told by LISTEN, or looked for where that cannot be had ([`wake`]).
//!
//! The server's clock rules, so that machines whose clocks differ agree. On a crash, of whichever side, a transaction is
//! there whole or not at all.

mod actions;
mod activity;
mod address;
mod alerts;
mod answer;
mod archive;
mod arrivals;
mod budgets;
mod bulk;
mod by_hand;
mod chores;
mod claim;
mod claimed;
mod clock;
mod error;
mod finish;
mod health;
mod hints;
mod jobs;
mod keys;
mod lanes;
mod ledger_impl;
mod loads;
mod migrate;
mod names;
mod pool;
mod push;
mod query;
mod row;
mod schedules;
mod search;
mod sizes;
mod tls;
mod transfer;
mod tx;
mod wake;

pub use migrate::SchemaState;

use crate::api::Queue;
use crate::ends::Ends;
use address::Address;
use clock::ServerClock;
use handover_core::{Clock, DeliveryId, Error, Result};
use jiff::Timestamp;
use pool::Connections;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use wake::Wake;

/// The ledger on a PostgreSQL server.
pub struct PostgresLedger {
    connections: Arc<Connections>,
    server: Arc<ServerClock>,
    wake: Wake,
    ends: Ends,
    hints: hints::Hints,
    lanes: lanes::Lanes,
    identity: String,
    /// Of tests; else the server's clock rules.
    clock: Option<Arc<dyn Clock>>,
    /// Where the connections live; none only while it is dropped.
    runtime: Option<Runtime>,
}

impl PostgresLedger {
    /// Opens the ledger at this address, `postgres://user:password@host:port/database`, making its schema where there is
    /// none, and brings it up to date unless `migrate` is false. It blocks until the server has answered.
    ///
    /// # Errors
    /// Where the server cannot be reached, lets the role not in or is too old, the database is missing, the role lacks
    /// rights, or the schema is another version's. No error has the password in it.
    pub fn open(url: &str, migrate: bool) -> Result<Self> {
        Self::open_at(url, migrate, None)
    }

    /// The same with a clock that a test turns, in place of the server's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_clock(url: &str, migrate: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_at(url, migrate, Some(clock))
    }

    fn open_at(url: &str, migrate: bool, clock: Option<Arc<dyn Clock>>) -> Result<Self> {
        let mut ledger = Self::connect(url, clock)?;
        let shown = ledger.connections.shown().to_owned();
        ledger.identity = ledger
            .block_on(async {
                let identity = migrate::migrate(&ledger, migrate).await?;
                ledger.server.set(&ledger.connections).await.map_err(|fault| fault.error)?;
                Ok(identity)
            })
            .map_err(|error| if error.to_string().contains(&shown) { error } else { error.on(&shown) })?;
        Ok(ledger)
    }

    /// How the schema at this address stands to this Handover. Nothing is changed.
    ///
    /// # Errors
    /// As [`Self::open`], but for the schema's version.
    pub fn schema_state(url: &str) -> Result<SchemaState> {
        let ledger = Self::connect(url, None)?;
        ledger.block_on(migrate::state(&ledger))
    }

    /// Whether the role may do what a schema that stands so asks of it; nothing is changed.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Denied`] where it may not, and as [`Self::schema_state`].
    pub fn check_rights(url: &str, state: SchemaState) -> Result<()> {
        let ledger = Self::connect(url, None)?;
        ledger.block_on(migrate::check_rights(&ledger, state))
    }

    /// An address as it may be shown: without its password.
    ///
    /// # Errors
    /// Where it is none.
    pub fn shown(url: &str) -> Result<String> {
        Address::parse(url).map(|address| address.shown)
    }

    /// The server's clock, for who reckons with the ledger's times.
    pub fn server_clock(&self) -> Arc<dyn Clock> {
        self.server.clone()
    }

    fn connect(url: &str, clock: Option<Arc<dyn Clock>>) -> Result<Self> {
        let address = Address::parse(url)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ledger-postgres")
            .enable_all()
            .build()
            .map_err(|e| Error::io("start the ledger's connections", "thread", e))?;
        let handle = runtime.handle().clone();
        let connections = Arc::new(Connections::new(address, handle.clone())?);
        let server = Arc::new(ServerClock::default());
        let ends = Ends::default();
        let wake = Wake::new(connections.clone(), server.clone(), ends.clone(), handle);
        Ok(Self {
            connections,
            server,
            wake,
            ends,
            hints: hints::Hints::default(),
            lanes: lanes::Lanes::default(),
            identity: String::new(),
            clock,
            runtime: Some(runtime),
        })
    }

    /// Runs something to its end, wherever this is called: also on a thread of another runtime.
    fn block_on<T: Send>(&self, future: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let Some(runtime) = &self.runtime else { return Err(Error::internal("the ledger is closed")) };
        // A runtime refuses to be waited for on a thread of its own kind, so another thread waits.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| runtime.block_on(future));
            waiting.join().unwrap_or_else(|_| Err(Error::internal("opening the ledger broke off")))
        })
    }

    /// These have ended, or failed for now: whoever waits for one hears, here and elsewhere.
    fn ended(&self, queue: Queue, ids: impl Iterator<Item = DeliveryId> + Clone) {
        self.ends.tell(queue, ids.clone());
        if queue == Queue::Deliveries {
            self.wake.ended(ids);
        }
    }

    /// Now as the ledger's functions take it: none is the server's clock.
    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}

impl Drop for PostgresLedger {
    fn drop(&mut self) {
        self.connections.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
