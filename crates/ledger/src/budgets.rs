//! Limits of rates that several processes hold together, by blocks: a process takes some of a limit ahead, and spends them by
//! itself. What is here is forgotten when the ledger's server crashes; a limit then begins full.

use async_trait::async_trait;
use handover_core::Result;
use std::time::Duration;

/// What a process asks of one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseAsk {
    /// Which limit, and whose.
    pub key: String,
    /// There is another in so long.
    pub each: Duration,
    /// And so many at once.
    pub most: u32,
    /// So many were spent that were not taken before; less than nothing: so many were taken and are given back.
    pub owed: i32,
    /// So many more are wanted.
    pub wanted: u32,
}

/// What it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease {
    /// So many were taken for it: as many as it wanted, or as there were.
    pub taken: u32,
    /// So many are left, for whoever asks.
    pub remaining: u32,
    /// Where none is left: in so long there is one.
    pub again: Duration,
}

/// The limits that processes of a ledger share. A ledger has them where several processes serve callers at the same time.
///
/// # Errors
/// As [`crate::Ledger`], but nothing is tried again here: what is asked for is soon out of date.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// Settles and takes, of many limits at once; the answers stand in the order of what was asked. What is owed counts though
    /// there is not as much, and is then paid back before anybody gets more. Each key is to be asked for once.
    async fn lease(&self, asks: Vec<LeaseAsk>) -> Result<Vec<Lease>>;

    /// Notes that a process shares the limits, which is to be done every few seconds. Returns how many do.
    async fn share(&self, process: &str) -> Result<u32>;
}
