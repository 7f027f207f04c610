//! What enters the ledger, and into which table.

use handover_core::{DeliveryId, Kind};
use serde::Serialize;

/// Which of the two tables: records have one of their own, which other programs may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// `deliveries`: files and jobs.
    Deliveries,
    /// `data_staging`: records.
    Records,
}

impl From<Kind> for Queue {
    fn from(kind: Kind) -> Self {
        if kind == Kind::Record { Queue::Records } else { Queue::Deliveries }
    }
}

/// What became of a pushed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the ledger under this number.
    New(DeliveryId),
    /// One with the same dedup key was there already: this one.
    Duplicate(DeliveryId),
}

impl Pushed {
    /// The number, new or old.
    pub fn id(self) -> DeliveryId {
        let (Pushed::New(id) | Pushed::Duplicate(id)) = self;
        id
    }
}

/// A bulk load: rows that go into a queue in batches, and are known by their place in their source, so that a load that
/// was cut goes on where it stopped, and is never taken twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Its name, which the loader chooses: the same source has the same name.
    pub key: String,
    /// Whether its rows stay unseen until its end, and then appear all at once.
    pub whole: bool,
    /// How many rows of the source are in the ledger.
    pub rows: u64,
    /// How many records of the source were passed over before the last of these: its place in the source is just behind both.
    pub skipped: u64,
    /// How many of the rows were known already by their dedup key.
    pub duplicates: u64,
    /// Whether it has ended: then nothing more is taken under this name.
    pub ended: bool,
    /// By what its rows are made of their source, where that was said ([`crate::Ledger::load_is_made_by`]).
    pub made_by: Option<String>,
}
