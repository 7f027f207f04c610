//! The archive and what is counted of it: what has come of age, what plain SQL has set to `archived`, and whether everything
//! that was pushed is accounted for; and what has been kept long enough is deleted for good, a month at a time.
//!
//! On a crash a delivery is in its table or in the archive, and never in both or in neither: each call is one transaction.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, parsed};
use super::tx::{Tx, Value, number, text, time};
use crate::api::{Conserved, Forgotten, Queue};
use handover_core::{Error, Result, Status};
use jiff::Timestamp;
use tokio_postgres::Row;

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

fn moved(row: Option<&Row>) -> Attempt<usize> {
    let moved: i64 = row.map(|row| get(row, 0)).transpose()?.unwrap_or(0);
    Ok(usize::try_from(moved).unwrap_or(0))
}

/// The parts of the next months.
pub(super) async fn prepare(ledger: &PostgresLedger) -> Result<Vec<String>> {
    let now = ledger.now();
    let call = "SELECT integration._make_partitions($1)";
    let rows = once(ledger, "make the archive's parts", call, &[time(&now)]).await?;
    each(&rows, |row| get(row, 0))
}

/// One month, or where there is none some rows that lie in no month's part; and some entries of the audit log. Each is a
/// statement of its own: after a crash what is left goes with the next.
pub(super) async fn forget(
    ledger: &PostgresLedger,
    archived: Timestamp,
    entries: Timestamp,
    max: usize,
) -> Result<Forgotten> {
    let (archived, entries) = (Some(archived), Some(entries));
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let doing = "delete what was kept long enough";
    let count = async |call: &str, values: &[Value<'_>]| {
        let rows = once(ledger, doing, call, values).await?;
        let counts: Vec<Option<i64>> = each(&rows, |row| get(row, 0))?;
        Ok::<_, Error>(counts.first().copied().flatten().map(|count| u64::try_from(count).unwrap_or(0)))
    };
    let month = count("SELECT integration._drop_partition($1)", &[time(&archived)]).await?;
    let rest = match month {
        Some(_) => None,
        None => count("SELECT integration._trim_archive($1, $2)", &[time(&archived), number(&limit)]).await?,
    };
    let trimmed = count("SELECT integration._trim_audit($1, $2)", &[time(&entries), number(&limit)]).await?;
    let full = |count: Option<u64>| count.is_some_and(|count| count >= max as u64);
    Ok(Forgotten {
        deliveries: month.or(rest).unwrap_or(0),
        entries: trimmed.unwrap_or(0),
        more: month.is_some() || full(rest) || full(trimmed),
    })
}

/// Asked once: where somebody is in the way, another time will do.
async fn once(
    ledger: &PostgresLedger,
    doing: &'static str,
    call: &str,
    values: &[Value<'_>],
) -> Result<Vec<Row>> {
    ledger.rows(doing, call, values).await.map_err(|fault| fault.error)
}

pub(super) async fn conservation(ledger: &PostgresLedger) -> Result<Vec<Conserved>> {
    let query = "SELECT source_app, kind, pushed, live, archived, deleted, expired FROM integration.v_conservation \
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
            expired: count(6)?,
        })
    })
}
