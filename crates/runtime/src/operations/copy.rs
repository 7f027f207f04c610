//! Moving a whole history from one ledger to another: `handover ledger copy`.

use crate::config::LedgerAddress;
use handover_core::{Error, Result, SystemClock};
use handover_ledger::Ledger;
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::sqlite::SqliteLedger;
pub use handover_ledger::transfer::copy;
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
