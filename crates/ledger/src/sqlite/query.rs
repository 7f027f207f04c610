//! Reading: one delivery, lists, counts, history. Nothing here writes.

use super::error::sql;
use super::moves::RUN_MAX;
use super::row::{COLUMNS, delivery, parsed, time};
use crate::api::{AppCount, AuditEntry, Conserved, Filter, Pause, Queue};
use crate::links::{self, LinkRows, Links, Parents};
use crate::search::patterns;
use handover_core::clock::rfc3339;
use handover_core::limits::SEARCHED_DATA_MAX_BYTES;
use handover_core::{Delivery, DeliveryId, Kind, Result, Status};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

pub(super) fn get(connection: &Connection, id: DeliveryId) -> Result<Option<Delivery>> {
    let text = ["deliveries", "data_staging", "data_archive"]
        .map(|table| format!("SELECT {COLUMNS} FROM {table} WHERE id = ?1"))
        .join(" UNION ALL ");
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_row([id.0], delivery).optional())
        .map_err(sql("read a delivery"))
}

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Delivery>> {
    let (text, values) = list_query(filter);
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_map(params_from_iter(values), delivery)?.collect())
        .map_err(sql("list deliveries"))
}

/// The oldest that wait; the index gives them in this order.
pub(super) const WAITING_SINCE: &str = concat!(
    "SELECT id FROM deliveries INDEXED BY idx_deliveries_status_created ",
    "WHERE status = 'pending' AND created_at <= ?1 AND deleted_at IS NULL ORDER BY created_at LIMIT ?2"
);

pub(super) fn waiting_since(
    connection: &Connection,
    before: Timestamp,
    at_most: usize,
) -> Result<Vec<Delivery>> {
    let text =
        format!("SELECT {COLUMNS} FROM deliveries WHERE id IN ({WAITING_SINCE}) ORDER BY created_at, id");
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_map(params![rfc3339(before), at_most], delivery)?.collect())
        .map_err(sql("list what waits longest"))
}

/// The latest that failed, of one table; the index gives them in this order.
pub(super) fn lately_query(queue: Queue) -> String {
    format!(
        "SELECT id FROM {} INDEXED BY {}status_created WHERE status = 'failed' AND deleted_at IS NULL \
         ORDER BY created_at DESC LIMIT ?1",
        queue.table(),
        queue.index()
    )
}

pub(super) fn failed_lately(connection: &Connection, at_most: usize) -> Result<Vec<Delivery>> {
    let tables = [Queue::Deliveries, Queue::Records].map(|queue| {
        format!("SELECT {COLUMNS} FROM {} WHERE id IN ({})", queue.table(), lately_query(queue))
    });
    let text = format!("{} ORDER BY created_at DESC, id DESC LIMIT ?1", tables.join(" UNION ALL "));
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_map([at_most], delivery)?.collect())
        .map_err(sql("list what failed lately"))
}

/// The query of those that were replayed.
pub(super) fn replayed_query() -> String {
    let live = [Queue::Deliveries, Queue::Records].map(|queue| (queue.table(), queue.index()));
    let tables = live.into_iter().chain([("data_archive", "idx_archive_")]).map(|(table, index)| {
        format!(
            "SELECT replay_of FROM {table} INDEXED BY {index}replay \
             WHERE replay_of IN (SELECT value FROM json_each(?1)) AND replay_of IS NOT NULL"
        )
    });
    format!("{} ORDER BY replay_of", tables.collect::<Vec<_>>().join(" UNION "))
}

/// Those of these that were replayed.
pub(super) fn replayed(connection: &Connection, of: &[DeliveryId]) -> Result<Vec<DeliveryId>> {
    let of = serde_json::Value::from(of.iter().map(|id| id.0).collect::<Vec<_>>()).to_string();
    connection
        .prepare_cached(&replayed_query())
        .and_then(|mut statement| statement.query_map([of], |row| row.get(0).map(DeliveryId))?.collect())
        .map_err(sql("look what was replayed"))
}

/// The query of a list and its values. What has status `archived` is in the archive, asked for or not.
pub(super) fn list_query(filter: &Filter) -> (String, Vec<Value>) {
    let (conditions, mut values) = conditions(filter);
    values.push(Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let limit = format!("?{}", values.len());
    // A table is left out that does not hold the kind.
    let queues = match filter.kind {
        None => vec![Queue::Deliveries, Queue::Records],
        Some(kind) => vec![Queue::from(kind)],
    };
    let mut tables: Vec<String> = queues.into_iter().map(|queue| from(queue, filter)).collect();
    if filter.archived || filter.status == Some(Status::Archived) {
        let by = of_jobs(filter).map(|index| format!(" INDEXED BY idx_archive_{index}"));
        tables.push(format!("data_archive{}", by.unwrap_or_default()));
    }
    // Each table gives its own newest first, by its own index; only those few are merged.
    let text = tables
        .iter()
        .map(|table| {
            format!(
                "SELECT * FROM (SELECT {COLUMNS} FROM {table} {conditions} ORDER BY id DESC LIMIT {limit})"
            )
        })
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    (format!("{text} ORDER BY id DESC LIMIT {limit}"), values)
}

/// A table, and the index for what ended long ago or is being worked on, which SQLite would look for from the newest
/// backwards. Pages after the first do go backwards, from where the one before ended.
fn from(queue: Queue, filter: &Filter) -> String {
    let narrow = filter.parent.is_some()
        || filter.replay_of.is_some()
        || filter.path.is_some()
        || filter.order_key.is_some()
        || filter.before.is_some();
    if let Some(index) = of_jobs(filter).filter(|_| queue == Queue::Deliveries) {
        return format!("{} INDEXED BY {}{index}", queue.table(), queue.index());
    }
    match (filter.ended_before, filter.status) {
        (Some(_), _) if !narrow => format!("{} INDEXED BY {}ended", queue.table(), queue.index()),
        (None, Some(Status::Processing)) if !narrow => {
            format!("{} INDEXED BY {}leases", queue.table(), queue.index())
        }
        _ => queue.table().to_owned(),
    }
}

/// The end of the name of the index that gives jobs, or one caller's, newest first; none where another is narrower.
fn of_jobs(filter: &Filter) -> Option<&'static str> {
    let narrower = filter.parent.is_some() || filter.replay_of.is_some() || filter.path.is_some();
    if filter.kind != Some(Kind::Job) || narrower || filter.ended_before.is_some() {
        return None;
    }
    let few = matches!(filter.status, Some(Status::Pending | Status::Processing | Status::Failed));
    match (&filter.by, &filter.app) {
        (Some(_), _) => Some("by"),
        (None, None) if !few => Some("jobs"),
        (None, _) => None,
    }
}

/// The filter as SQL with numbered parameters, which all tables of a union share.
pub(super) fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let text = |t: &Option<String>| t.clone().map(Value::Text);
    let wanted: [(&str, Option<Value>); 13] = [
        ("target_app = ", text(&filter.app)),
        ("source_app = ", text(&filter.source)),
        ("created_by = ", text(&filter.by)),
        ("flow = ", text(&filter.flow)),
        ("created_at >= ", filter.since.map(|t| Value::Text(rfc3339(t)))),
        ("created_at < ", filter.until.map(|t| Value::Text(rfc3339(t)))),
        ("processed_at < ", filter.ended_before.map(|t| Value::Text(rfc3339(t)))),
        ("id < ", filter.before.map(|id| Value::Integer(id.0))),
        ("id > ", filter.after.map(|id| Value::Integer(id.0))),
        ("parent_id = ", filter.parent.map(|id| Value::Integer(id.0))),
        ("replay_of = ", filter.replay_of.map(|id| Value::Integer(id.0))),
        ("order_key = ", text(&filter.order_key)),
        ("kind = 'file' AND json_extract(data, '$.path') = ", text(&filter.path)),
    ];
    let mut values = Vec::new();
    let mut parts = Vec::new();
    // Written out, or SQLite could not see that an index of some statuses, or of one kind, serves.
    parts.extend(filter.status.map(|status| format!("status = '{status}'")));
    parts.extend(filter.kind.map(|kind| format!("kind = '{kind}'")));
    if !filter.statuses.is_empty() {
        let any: Vec<String> = filter.statuses.iter().map(|status| format!("'{status}'")).collect();
        parts.push(format!("status IN ({})", any.join(", ")));
    }
    for (condition, value) in wanted {
        if let Some(value) = value {
            values.push(value);
            parts.push(format!("{condition}?{}", values.len()));
        }
    }
    if let Some(apps) = &filter.seen_by {
        values.push(Value::Text(serde_json::Value::from(apps.as_slice()).to_string()));
        let any = format!("IN (SELECT value FROM json_each(?{}))", values.len());
        parts.push(format!("(target_app {any} OR (kind <> 'job' AND source_app {any}))"));
    }
    if let Some(text) = &filter.text {
        values.extend(patterns(text).map(Value::Text));
        let (plain, in_json) = (values.len() - 1, values.len());
        parts.push(format!(
            "(last_error LIKE ?{plain} ESCAPE '\\' OR dedup_key LIKE ?{plain} ESCAPE '\\' \
             OR (octet_length(data) <= {SEARCHED_DATA_MAX_BYTES} AND data LIKE ?{in_json} ESCAPE '\\'))"
        ));
    }
    let all = if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) };
    (all, values)
}

pub(super) fn counts(connection: &Connection) -> Result<Vec<AppCount>> {
    connection
        .prepare_cached(COUNTS)
        .and_then(|mut statement| {
            statement
                .query_map([], |row| {
                    Ok(AppCount {
                        app: row.get(0)?,
                        kind: parsed(row, 1)?,
                        status: parsed(row, 2)?,
                        count: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                        entered: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
                    })
                })?
                .collect()
        })
        .map_err(sql("count deliveries"))
}

/// The smallest time that a query gives, if it gives one.
fn smallest(
    connection: &Connection,
    text: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Option<Timestamp>> {
    let found: Option<Option<String>> = connection
        .prepare_cached(text)
        .and_then(|mut statement| statement.query_row(values, |row| row.get(0)).optional())
        .map_err(sql("look for the next time"))?;
    Ok(found.flatten().and_then(|text| text.parse().ok()))
}

/// The indexes are named where SQLite would take one that holds all that is pending.
macro_rules! oldest {
    ($table:literal, $index:literal) => {
        concat!(
            "SELECT * FROM (SELECT created_at AS t FROM ",
            $table,
            " INDEXED BY ",
            $index,
            "status_created WHERE status = 'pending' \
             AND target_app = ?1 AND run_at <= ?2 AND deleted_at IS NULL ORDER BY created_at LIMIT 1)"
        )
    };
}
pub(super) const OLDEST_PENDING: &str = concat!(
    "SELECT min(t) FROM (",
    oldest!("deliveries", "idx_deliveries_"),
    " UNION ALL ",
    oldest!("data_staging", "idx_"),
    ")"
);

macro_rules! due {
    ($table:literal, $index:literal) => {
        concat!(
            "SELECT min(run_at) AS t FROM ",
            $table,
            " INDEXED BY ",
            $index,
            "due WHERE status = 'pending' AND run_at > created_at AND run_at > ?1 \
             UNION ALL SELECT min(lease_until) FROM ",
            $table,
            " INDEXED BY ",
            $index,
            "leases \
             WHERE status = 'processing' AND lease_until > ?1"
        )
    };
}
pub(super) const NEXT_DUE: &str = concat!(
    "SELECT min(t) FROM (",
    due!("deliveries", "idx_deliveries_"),
    " UNION ALL ",
    due!("data_staging", "idx_"),
    ")"
);

pub(super) const COUNTS: &str = "SELECT app, kind, status, n, entered FROM tally ORDER BY app, kind, status";

pub(super) fn oldest_pending(connection: &Connection, app: &str, now: &str) -> Result<Option<Timestamp>> {
    smallest(connection, OLDEST_PENDING, &[&app, &now])
}

/// What went along each link.
pub(super) fn links(connection: &Connection) -> Result<Links> {
    fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
        row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0))
    }
    let read = |row: &rusqlite::Row<'_>| {
        let count = |column| number(row, column);
        Ok(LinkRows {
            source: row.get(0)?,
            target: row.get(1)?,
            kind: parsed(row, 2)?,
            status: parsed(row, 3)?,
            replay: row.get(4)?,
            rows: count(5)?,
            rows_in: count(6)?,
            rows_out: count(7)?,
            rejected: count(8)?,
            filtered: count(9)?,
            records: count(10)?,
        })
    };
    let parents = |row: &rusqlite::Row<'_>| {
        Ok(Parents {
            source: row.get(0)?,
            target: row.get(1)?,
            count: number(row, 2)?,
            gone: number(row, 3)?,
        })
    };
    let fail = sql("count what went along the links");
    Ok(Links {
        rows: connection
            .prepare(&links::query(""))
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .map_err(&fail)?,
        parents: connection
            .prepare(&links::parents_query(""))
            .and_then(|mut statement| statement.query_map([], parents)?.collect())
            .map_err(&fail)?,
    })
}

/// How many of what waits make up so many bytes with the one that goes beyond.
pub(super) fn filling(
    connection: &Connection,
    queue: Queue,
    app: &str,
    now: &str,
    rows: usize,
    bytes: u64,
) -> Result<Option<usize>> {
    let text = format!(
        "SELECT nth FROM (SELECT row_number() OVER line AS nth, sum(bytes) OVER line AS total FROM (\
         SELECT id, priority, length(CAST(data AS BLOB)) + 1 AS bytes FROM {} WHERE status = 'pending' \
         AND target_app = ?1 AND run_at <= ?2 AND deleted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM paused_apps WHERE app = ?1) ORDER BY priority DESC, id LIMIT ?3) \
         WINDOW line AS (ORDER BY priority DESC, id ROWS UNBOUNDED PRECEDING)) WHERE total > ?4 ORDER BY nth LIMIT 1",
        queue.table()
    );
    let (rows, bytes) = (i64::try_from(rows).unwrap_or(i64::MAX), i64::try_from(bytes).unwrap_or(i64::MAX));
    let nth: Option<i64> = connection
        .prepare_cached(&text)
        .and_then(|mut statement| {
            statement.query_row(rusqlite::params![app, now, rows, bytes], |row| row.get(0)).optional()
        })
        .map_err(sql("measure what waits"))?;
    Ok(nth.map(|nth| usize::try_from(nth - 1).unwrap_or(1).max(1)))
}

pub(super) fn next_due(connection: &Connection, now: &str) -> Result<Option<Timestamp>> {
    smallest(connection, NEXT_DUE, &[&now])
}

/// What `v_audit` has of one delivery: its own rows, and those of the runs that it lies in.
pub(super) const AUDIT: &str = "SELECT at, actor, from_status, to_status, note, id FROM audit_log INDEXED BY idx_audit_delivery \
     WHERE delivery_id = ?1 AND last_id IS NULL \
     UNION ALL SELECT at, actor, from_status, to_status, note, id FROM audit_log INDEXED BY idx_audit_run \
     WHERE last_id IS NOT NULL AND delivery_id > ?1 - ?2 AND delivery_id <= ?1 AND last_id >= ?1 ORDER BY id";

pub(super) fn audit(connection: &Connection, id: DeliveryId) -> Result<Vec<AuditEntry>> {
    connection
        .prepare_cached(AUDIT)
        .and_then(|mut statement| {
            statement
                .query_map([id.0, RUN_MAX], |row| {
                    Ok(AuditEntry {
                        at: time(row, 0)?,
                        actor: row.get(1)?,
                        from: if row.get_ref(2)?.as_str_or_null()?.is_some() {
                            Some(parsed(row, 2)?)
                        } else {
                            None
                        },
                        to: parsed(row, 3)?,
                        note: row.get(4)?,
                    })
                })?
                .collect()
        })
        .map_err(sql("read a delivery's history"))
}

pub(super) fn paused(connection: &Connection) -> Result<Vec<Pause>> {
    connection
        .prepare_cached("SELECT app, since, by FROM paused_apps ORDER BY app")
        .and_then(|mut statement| {
            statement
                .query_map([], |row| Ok(Pause { app: row.get(0)?, since: time(row, 1)?, by: row.get(2)? }))?
                .collect()
        })
        .map_err(sql("list the paused apps"))
}

const CONSERVATION: &str = "SELECT s.source, s.kind, s.pushed, s.live - coalesce(d.n, 0), s.archived, s.deleted + coalesce(d.n, 0), s.expired \
     FROM sources AS s LEFT JOIN (\
         SELECT source_app, kind, count(*) AS n FROM deliveries INDEXED BY idx_deliveries_deleted \
         WHERE deleted_at IS NOT NULL GROUP BY source_app, kind \
         UNION ALL SELECT source_app, kind, count(*) FROM data_staging INDEXED BY idx_deleted \
         WHERE deleted_at IS NOT NULL GROUP BY source_app, kind) AS d \
     ON d.source_app = s.source AND d.kind = s.kind ORDER BY s.source, s.kind";

/// What each source has handed over and what became of it; cheap however long the past.
pub(super) fn conservation(connection: &Connection) -> Result<Vec<Conserved>> {
    let count = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(|n| n.max(0).unsigned_abs());
    connection
        .prepare_cached(CONSERVATION)
        .and_then(|mut statement| {
            statement
                .query_map([], |row| {
                    Ok(Conserved {
                        source: row.get(0)?,
                        kind: parsed(row, 1)?,
                        pushed: count(row, 2)?,
                        live: count(row, 3)?,
                        archived: count(row, 4)?,
                        deleted: count(row, 5)?,
                        expired: count(row, 6)?,
                    })
                })?
                .collect()
        })
        .map_err(sql("add up what the sources handed over"))
}
