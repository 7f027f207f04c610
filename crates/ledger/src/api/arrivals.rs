//! Files from outside, as the ledger knows them.

use handover_core::{DeliveryId, NewDelivery};
use jiff::Timestamp;
use serde::Serialize;

/// What makes one state of one original: a changed file is a new arrival.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ArrivalKey {
    /// The importer.
    pub app: String,
    /// The original's path, as [`handover_core::path_text`].
    pub path: String,
    /// The device it is on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written.
    pub mtime: Timestamp,
}

/// A foreign file that is to be taken, or that was refused.
#[derive(Debug, Clone)]
pub struct NewArrival {
    /// Which state of which file.
    pub key: ArrivalKey,
    /// The proof that it is complete.
    pub proof: String,
    /// The importer's delivery.
    pub delivery: NewDelivery,
    /// Where it is refused at once: why. The delivery is then born failed.
    pub refused: Option<String>,
}

/// What became of a new arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It has a delivery now.
    New(DeliveryId),
    /// This very state of the file was known: its delivery.
    Known(DeliveryId),
}

/// The key of a result that says so where an attempt ended without having read the original: it had gone, or had become
/// another. The same state of it then arrives anew, should it come back.
pub const NOT_TAKEN: &str = "not_taken";

/// Whose a content is, where duplicates are not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nobody had it: from now on this delivery has it, unless it fails.
    Ours,
    /// It was imported before: by these, oldest first.
    Imported(Vec<Arrival>),
    /// This delivery has it, and has not ended yet: ask again.
    Undecided(DeliveryId),
}

/// A known arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// Which state of which file.
    #[serde(flatten)]
    pub key: ArrivalKey,
    /// The importer's delivery.
    pub delivery_id: DeliveryId,
    /// The proof that it was complete.
    pub proof: String,
    /// Its content, once it was imported.
    pub checksum: Option<String>,
    /// When it was noticed.
    pub arrived_at: Timestamp,
}
