//! The archive and what is counted of it: what has come of age, what plain SQL has set to `archived`, and whether everything
//! that was pushed is accounted for.
//!
//! On a crash a delivery is in its table or in the archive, and never in both or in neither: each call is one transaction.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, parsed};
use super::tx::{Tx, number, text, time};
use crate::api::{Conserved, Queue};
use handover_core::{Result, Status};
use jiff::Timestamp;

/// Moves what is in this status and ended before this time, oldest first.
pub(super) async fn archive_ended(
    tx: &mut Tx<'_>,
    actor: &str,
    queue: Queue,
    status: Status,
    before: Timestamp,
    max: usize,
) -> Attempt<usize> {
    let (table, status) = (queue.named(), status.as_str());
    let (before, max, now) = (Some(before), i64::try_from(max).unwrap_or(i64::MAX), tx.ledger().now());
    let call = "SELECT integration._archive_ended($1, $2, $3, $4, $5, $6)";
    let values = [text(&table), text(&actor), text(&status), time(&before), number(&max), time(&now)];
    moved(tx.rows("archive what has come of age", call, &values).await?.first())
}

/// Moves what plain SQL has set to `archived`.
pub(super) async fn move_archived(tx: &mut Tx<'_>, max: usize) -> Attempt<usize> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let now = tx.ledger().now();
    let call = "SELECT integration._move_archived($1, $2)";
    moved(tx.rows("move what was archived by hand", call, &[time(&now), number(&max)]).await?.first())
}

fn moved(row: Option<&tokio_postgres::Row>) -> Attempt<usize> {
    let moved: i64 = row.map(|row| get(row, 0)).transpose()?.unwrap_or(0);
    Ok(usize::try_from(moved).unwrap_or(0))
}

pub(super) async fn conservation(ledger: &PostgresLedger) -> Result<Vec<Conserved>> {
    let query = "SELECT source_app, kind, pushed, live, archived, deleted FROM integration.v_conservation \
                 WHERE pushed > 0 OR live > 0 OR archived > 0 OR deleted > 0 ORDER BY source_app, kind";
    let rows = ledger.read("count what the sources handed over", query, &[]).await?;
    each(&rows, |row| {
        let count = |column| get::<i64>(row, column).map(|n| u64::try_from(n).unwrap_or(0));
        Ok(Conserved {
            source: get(row, 0)?,
            kind: parsed(row, 1)?,
            pushed: count(2)?,
            live: count(3)?,
            archived: count(4)?,
            deleted: count(5)?,
        })
    })
}
