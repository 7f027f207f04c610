//! The archive: what has ended is moved to `data_archive`, with the same columns; what has been kept long enough is deleted for
//! good, and the audit log with it.
//!
//! On a crash a delivery is in its table or in the archive, and never in both or in neither: each call is one transaction.

use super::by_hand::{known, not_from};
use super::error::sql;
use super::moves::{Moved, Sources, deleted, moved};
use super::row::{COLUMNS, parsed};
use super::writer::Write;
use crate::api::{Forgotten, Queue};
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Kind, Result, Status};
use jiff::Timestamp;
use rusqlite::{Connection, ToSql, params};

/// Moves these, each of which must have ended.
pub(super) fn archive(write: &Write<'_>, actor: &str, ids: &[DeliveryId]) -> Result<usize> {
    let mut ended = Vec::with_capacity(ids.len());
    for id in ids {
        let delivery = known(write, *id)?;
        match delivery.status {
            Status::Archived => {}
            Status::Completed | Status::Failed => ended.push((Queue::from(delivery.kind), *id)),
            Status::Pending | Status::Processing => {
                return Err(not_from(
                    &delivery,
                    "archived",
                    "only what has ended is archived; `handover cancel` ends it",
                ));
            }
        }
    }
    let mut moved = 0;
    for queue in [Queue::Deliveries, Queue::Records] {
        let mut ids: Vec<i64> = ended.iter().filter(|(q, _)| *q == queue).map(|(_, id)| id.0).collect();
        ids.dedup();
        let ids = serde_json::to_string(&ids).unwrap_or_default();
        moved += take(write, actor, queue, "SELECT value FROM json_each(?1)", params![ids])?;
    }
    Ok(moved)
}

/// What ended before this time, oldest first.
pub(super) const ENDED: [&str; 2] = [
    "SELECT id FROM deliveries INDEXED BY idx_deliveries_ended \
     WHERE processed_at < ?1 AND status = ?2 ORDER BY processed_at LIMIT ?3",
    "SELECT id FROM data_staging INDEXED BY idx_ended \
     WHERE processed_at < ?1 AND status = ?2 ORDER BY processed_at LIMIT ?3",
];

fn ended(queue: Queue) -> &'static str {
    ENDED[usize::from(queue == Queue::Records)]
}

/// Whether there is anything that [`archive_ended`] would move.
pub(super) fn any_ended(
    connection: &Connection,
    queue: Queue,
    status: Status,
    before: Timestamp,
) -> Result<bool> {
    connection
        .prepare_cached(ended(queue))
        .and_then(|mut statement| statement.exists(params![rfc3339(before), status.as_str(), 1]))
        .map_err(sql("look for what has come of age"))
}

/// Moves what ended so before this time, at most so many.
pub(super) fn archive_ended(
    write: &Write<'_>,
    actor: &str,
    queue: Queue,
    status: Status,
    before: Timestamp,
    max: usize,
) -> Result<usize> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    take(write, actor, queue, ended(queue), params![rfc3339(before), status.as_str(), max])
}

pub(super) fn marked(queue: Queue) -> String {
    format!(
        "SELECT id FROM {} INDEXED BY {}archived WHERE status = 'archived' ORDER BY id LIMIT ?1",
        queue.table(),
        queue.index()
    )
}

/// Whether a program has set anything to `archived` by plain SQL.
pub(super) fn any_marked(connection: &Connection) -> Result<bool> {
    for queue in [Queue::Deliveries, Queue::Records] {
        let found = connection.prepare_cached(&marked(queue)).and_then(|mut statement| statement.exists([1]));
        if found.map_err(sql("look for what was archived"))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves what a program has set to `archived`, at most so many of each table.
pub(super) fn move_marked(write: &Write<'_>, max: usize) -> Result<usize> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut moved = 0;
    for queue in [Queue::Deliveries, Queue::Records] {
        moved += take(write, "handover", queue, &marked(queue), params![max])?;
    }
    Ok(moved)
}

/// What was archived before this time, longest ago first.
pub(super) const TO_FORGET: &str = "SELECT id, coalesce(target_app, ''), kind, source_app \
     FROM data_archive INDEXED BY idx_archive_age WHERE archived_at < ?1 ORDER BY archived_at LIMIT ?2";

/// Entries of the audit log from before this time, from the oldest entry on, that speak of nothing younger than the oldest
/// delivery that is still there.
pub(super) const OLD_ENTRIES: &str = "SELECT id FROM (\
         SELECT id, at, coalesce(last_id, delivery_id) AS last FROM audit_log ORDER BY id LIMIT ?2) \
     WHERE at < ?1 AND last < (SELECT coalesce(min(id), 9223372036854775807) FROM (\
         SELECT min(id) AS id FROM deliveries UNION ALL SELECT min(id) FROM data_staging \
         UNION ALL SELECT min(id) FROM data_archive))";

/// Forgets the arrivals of what is deleted, where nobody had taken the original: it is new where it comes back.
const NEVER_TAKEN: &str = "DELETE FROM arrivals WHERE delivery_id IN (\
     SELECT id FROM data_archive WHERE id IN (SELECT value FROM json_each(?1)) AND json_extract(result, '$.not_taken'))";

/// Whether there is anything that [`forget`] would delete.
pub(super) fn any_to_forget(
    connection: &Connection,
    archived: Timestamp,
    entries: Timestamp,
) -> Result<bool> {
    let any = |text: &str, before: Timestamp| {
        connection
            .prepare_cached(text)
            .and_then(|mut statement| statement.exists(params![rfc3339(before), 1]))
            .map_err(sql("look for what was kept long enough"))
    };
    Ok(any(TO_FORGET, archived)? || any(OLD_ENTRIES, entries)?)
}

/// Deletes what was archived before `archived`, and what the audit log says of before `entries`: of each so many at most.
pub(super) fn forget(
    write: &Write<'_>,
    archived: Timestamp,
    entries: Timestamp,
    max: usize,
) -> Result<Forgotten> {
    let fail = sql("delete what was kept long enough");
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let rows: Vec<(i64, (String, Kind, String))> = write
        .sql
        .prepare_cached(TO_FORGET)
        .and_then(|mut statement| {
            let read =
                |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, parsed(row, 2)?, row.get(3)?)));
            statement.query_map(params![rfc3339(archived), limit], read)?.collect()
        })
        .map_err(&fail)?;
    let (numbers, gone): (Vec<i64>, Vec<_>) = rows.into_iter().unzip();
    let execute = |text: &str, values: &[&dyn ToSql]| {
        write.sql.prepare_cached(text).and_then(|mut statement| statement.execute(values)).map_err(&fail)
    };
    let list = serde_json::to_string(&numbers).unwrap_or_default();
    execute(NEVER_TAKEN, params![list])?;
    execute("DELETE FROM data_archive WHERE id IN (SELECT value FROM json_each(?1))", params![list])?;
    deleted(write, &gone)?;
    let trim = format!("DELETE FROM audit_log WHERE id IN ({OLD_ENTRIES})");
    let trimmed = execute(&trim, params![rfc3339(entries), limit])?;
    Ok(Forgotten {
        deliveries: gone.len() as u64,
        entries: trimmed as u64,
        more: gone.len() >= max || trimmed >= max,
    })
}

/// Moves the rows whose numbers the query gives. One that bears the status already moves without a line in the log: that
/// was written when it got it.
fn take(write: &Write<'_>, actor: &str, queue: Queue, ids: &str, values: &[&dyn ToSql]) -> Result<usize> {
    let table = queue.table();
    let fail = sql("archive deliveries");
    let rows: Vec<(i64, String, Kind, Status, String)> = write
        .sql
        .prepare_cached(&format!(
            "SELECT id, coalesce(target_app, ''), kind, status, source_app FROM {table} WHERE id IN ({ids}) ORDER BY id"
        ))
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, row.get(1)?, parsed(row, 2)?, parsed(row, 3)?, row.get(4)?))
            };
            statement.query_map(values, read)?.collect()
        })
        .map_err(&fail)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let numbers =
        serde_json::to_string(&rows.iter().map(|row| row.0).collect::<Vec<_>>()).unwrap_or_default();
    // In the archive what failed has its last error, and what was completed has none: that tells them apart.
    let last_error = " CASE status WHEN 'completed' THEN NULL \
                      WHEN 'failed' THEN coalesce(last_error, 'it failed, and no reason was given') ELSE last_error END,";
    let columns = COLUMNS
        .replace(" status,", " 'archived',")
        .replace(" updated_at,", " ?2,")
        .replace(" last_error,", last_error);
    let copy = format!(
        "INSERT INTO data_archive ({COLUMNS}, archived_at) \
         SELECT {columns}, ?2 FROM {table} WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id"
    );
    let delete = format!("DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?1))");
    let execute = |text: &str, values: &[&dyn ToSql]| {
        write.sql.prepare_cached(text).and_then(|mut statement| statement.execute(values)).map_err(&fail)
    };
    execute(&copy, params![numbers, write.now])?;
    let count = execute(&delete, params![numbers])?;
    let mut sources = Sources::default();
    let mut moves = Vec::with_capacity(rows.len());
    for (id, app, kind, status, source) in rows {
        sources.add(&source, kind);
        if status != Status::Archived {
            moves.push(Moved::new(DeliveryId(id), app, kind, status, Status::Archived));
        }
    }
    sources.archived(write)?;
    moved(write, actor, &moves)?;
    Ok(count)
}
