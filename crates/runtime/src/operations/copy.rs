//! Moving a whole history from one ledger to another: `handover ledger copy`.

use crate::config::LedgerAddress;
use handover_core::{Error, Result, SystemClock};
use handover_ledger::Ledger;
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::sqlite::SqliteLedger;
use handover_ledger::transfer;
pub use handover_ledger::transfer::Copied;
use std::sync::Arc;

/// What was copied, and between which ledgers, for people.
pub struct Done {
    /// The ledger that was copied.
    pub from: String,
    /// The copy.
    pub to: String,
    /// How much of each part.
    pub copied: Copied,
}

/// Copies a ledger. The new one is made only when the other can be copied.
///
/// # Errors
/// Where there is none to copy, either cannot be opened, and as [`transfer::copy`].
pub async fn copy(from: &LedgerAddress, to: &LedgerAddress) -> Result<Done> {
    if let LedgerAddress::Sqlite(file) = from
        && !file.exists()
    {
        return Err(Error::not_found("there is no ledger to copy").on(file.display()));
    }
    let from = opened(from)?;
    transfer::is_at_rest(from.as_ref()).await?;
    let to = opened(to)?;
    let copied = transfer::copy(from.as_ref(), to.as_ref(), |_, _| {}).await?;
    Ok(Done { from: from.location(), to: to.location(), copied })
}

fn opened(address: &LedgerAddress) -> Result<Arc<dyn Ledger>> {
    Ok(match address {
        LedgerAddress::Sqlite(file) => Arc::new(SqliteLedger::open(file, true, Arc::new(SystemClock))?),
        LedgerAddress::Postgres(url) => Arc::new(PostgresLedger::open(url.expose(), true)?),
    })
}
