//! Retention: what has been in the archive for as long as `archive: { keep: … }` says is deleted for good, and the audit log with
//! it. Without `keep` nothing is ever deleted.
//!
//! Of the audit log nothing goes that speaks of anything younger than the oldest delivery that is still there, wherever it is:
//! without `after` a file stays in its table until somebody archives it.
//!
//! Some rows go at a time, so that nothing waits for it; after a crash the next call goes on. The counts by source keep what went.

use crate::project::Project;
use handover_core::{Error, Result, limits};
use handover_ledger::Forgotten;
use jiff::Timestamp;
use std::time::Duration;

/// A server drops whole months: what was archived on the first goes with what was archived on the last.
const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// Deletes what has been kept long enough. Returns how much.
///
/// # Errors
/// With `NotYet` where somebody is in the way, and where the ledger cannot be used; what went by then is gone.
pub async fn forget_by_age(project: &Project) -> Result<Forgotten> {
    let mut gone = Forgotten::default();
    let Some(keep) = project.config.archive.keep else { return Ok(gone) };
    let archived = ago(project, keep)?;
    let entries = ago(project, keep.saturating_add(in_the_tables(project)).saturating_add(MONTH))?;
    loop {
        let some = project.ledger.forget(archived, entries, limits::ARCHIVE_BATCH).await?;
        gone.deliveries += some.deliveries;
        gone.entries += some.entries;
        if !some.more {
            return Ok(gone);
        }
        tokio::task::yield_now().await;
    }
}

/// For so long what has ended may stay in its table before it is archived: what the audit log says of it must not go before it.
fn in_the_tables(project: &Project) -> Duration {
    let archive = &project.config.archive;
    archive.after.unwrap_or_default().max(archive.records_completed).max(archive.records_failed)
}

fn ago(project: &Project, age: Duration) -> Result<Timestamp> {
    let before =
        jiff::SignedDuration::try_from(age).ok().and_then(|age| project.clock.now().checked_sub(age).ok());
    before.ok_or_else(|| {
        Error::config("`archive: { keep: … }` is too long").hint("leave it out, and everything is kept")
    })
}
