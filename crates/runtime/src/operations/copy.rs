//! Moving a whole history from one ledger to another: `handover ledger copy`.

use crate::config::LedgerAddress;
use handover_core::{Error, Result, SystemClock};
use handover_ledger::Ledger;
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::sqlite::SqliteLedger;
use handover_ledger::transfer::{self, Copied, Part};
use std::sync::Arc;

/// Opens both; the one to copy from must be there.
///
/// # Errors
/// Where either cannot be opened.
pub fn open(from: &LedgerAddress, to: &LedgerAddress) -> Result<(Arc<dyn Ledger>, Arc<dyn Ledger>)> {
    if let LedgerAddress::Sqlite(file) = from
        && !file.exists()
    {
        return Err(Error::not_found("there is no ledger to copy").on(file.display()));
    }
    Ok((opened(from)?, opened(to)?))
}

fn opened(address: &LedgerAddress) -> Result<Arc<dyn Ledger>> {
    Ok(match address {
        LedgerAddress::Sqlite(file) => Arc::new(SqliteLedger::open(file, true, Arc::new(SystemClock))?),
        LedgerAddress::Postgres(url) => Arc::new(PostgresLedger::open(url.expose(), true)?),
    })
}

/// Copies everything; `progress` hears how many rows of a part have gone.
///
/// # Errors
/// Where the target is not empty, the source is at work or changes meanwhile, or either fails.
pub async fn copy(from: &dyn Ledger, to: &dyn Ledger, progress: impl FnMut(Part, u64)) -> Result<Copied> {
    transfer::copy(from, to, progress).await
}
