//! How well a ledger's storage keeps up with what is done to it: what a backend measures. What of it is worth saying, and
//! what to do then, the runtime judges.

use serde::Serialize;

/// What was measured at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The tables of a server.
    pub tables: Vec<TableHealth>,
    /// Whether a server's autovacuum is on.
    pub autovacuum: bool,
    /// What keeps a server from clearing away dead rows, the oldest first.
    pub open: Vec<OpenTransaction>,
    /// The file of an embedded ledger.
    pub file: Option<FileHealth>,
}

/// A table of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableHealth {
    /// Its name within the schema.
    pub table: String,
    /// How large it is, without indexes and what is kept beside it.
    pub bytes: u64,
    /// How long its average row is, as far as the server's statistics know.
    pub row_bytes: Option<u64>,
    /// Its rows, about.
    pub live: u64,
    /// Rows that nobody sees any more and that still take room, about.
    pub dead: u64,
    /// Whether autovacuum is on for it.
    pub autovacuum: bool,
    /// How long ago it was vacuumed, or could have been for the first time.
    pub vacuumed_seconds: u64,
}

/// Something that has held back a server's vacuum since it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenTransaction {
    /// What it is: a session by its process, a prepared transaction or a replication slot by its name.
    pub holder: OpenHolder,
    /// How long it has been open; none where the ledger's role may not see that.
    pub seconds: Option<u64>,
    /// How many transactions have begun since; none where it holds nothing back yet.
    pub transactions: Option<u64>,
}

/// Who holds a transaction open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum OpenHolder {
    /// A session.
    Session {
        /// Its process on the server.
        pid: i32,
        /// What the program calls itself.
        application: String,
        /// The role that it came as.
        role: String,
    },
    /// A prepared transaction.
    Prepared(String),
    /// A replication slot.
    Slot(String),
}

/// The file of an embedded ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileHealth {
    /// Its size.
    pub bytes: u64,
    /// The size of its write-ahead log.
    pub log_bytes: u64,
}
