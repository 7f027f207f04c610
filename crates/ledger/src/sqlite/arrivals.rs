//! Arrivals: each state of each original is committed once, before it is taken; and whose a content is.
//!
//! Invariants: an arrival has one delivery at a time; one whose delivery ended without having read it is as if it had
//! never been seen. A content that was taken is its delivery's until that fails.

use super::claim::{holds, stale};
use super::error::sql;
use super::push::{push, push_failed};
use super::row::time;
use super::writer::Write;
use crate::api::{Arrival, ArrivalKey, Arrived, Content, Held, NewArrival};
use handover_core::{Checksum, DeliveryId, Result};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) fn arrive(write: &Write<'_>, actor: &str, arrivals: &[NewArrival]) -> Result<Vec<Arrived>> {
    arrivals.iter().map(|arrival| one(write, actor, arrival)).collect()
}

fn one(write: &Write<'_>, actor: &str, arrival: &NewArrival) -> Result<Arrived> {
    let key = &arrival.key;
    let known: Option<i64> = write
        .sql
        .prepare_cached(
            "SELECT delivery_id FROM arrivals WHERE path = ?1 AND app = ?2 AND device = ?3 AND inode = ?4 AND size = ?5 AND mtime = ?6",
        )
        .and_then(|mut statement| {
            let values = params![key.path, key.app, key.device as i64, key.inode as i64, key.size as i64, key.mtime.to_string()];
            statement.query_row(values, |row| row.get(0)).optional()
        })
        .map_err(sql("look for an arrival"))?;
    if let Some(id) = known
        && forget_unless_taken(write, id)? == 0
    {
        return Ok(Arrived::Known(DeliveryId(id)));
    }
    let id = match &arrival.refused {
        Some(why) => push_failed(write, actor, &arrival.delivery, why)?.id(),
        None => push(write, actor, &arrival.delivery)?.id(),
    };
    write
        .sql
        .prepare_cached(
            "INSERT INTO arrivals (app, path, device, inode, size, mtime, delivery_id, proof, arrived_at, name) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                key.app,
                key.path,
                key.device as i64,
                key.inode as i64,
                key.size as i64,
                key.mtime.to_string(),
                id.0,
                arrival.proof,
                write.now,
                last_part(&key.path)
            ])
        })
        .map_err(sql("commit an arrival"))?;
    Ok(Arrived::New(id))
}

/// Whether the delivery of a row of `arrivals` ended without having read the original ([`crate::api::NOT_TAKEN`]).
const GIVEN_UP: &str = "(\
    EXISTS (SELECT 1 FROM deliveries AS d WHERE d.id = arrivals.delivery_id AND d.status IN ('completed', 'failed') \
            AND json_extract(d.result, '$.not_taken')) \
    OR EXISTS (SELECT 1 FROM data_archive AS d WHERE d.id = arrivals.delivery_id AND json_extract(d.result, '$.not_taken')))";

/// Whether it brought the original in, or passed over it on purpose.
const IMPORTED: &str = "(\
    EXISTS (SELECT 1 FROM deliveries AS d WHERE d.id = arrivals.delivery_id AND d.status = 'completed' \
            AND json_extract(d.result, '$.not_taken') IS NULL) \
    OR EXISTS (SELECT 1 FROM _archived AS d WHERE d.id = arrivals.delivery_id AND d.ended_as = 'completed' \
               AND json_extract(d.result, '$.not_taken') IS NULL))";

fn forget_unless_taken(write: &Write<'_>, id: i64) -> Result<usize> {
    write
        .sql
        .prepare_cached(&format!("DELETE FROM arrivals WHERE delivery_id = ?1 AND {GIVEN_UP}"))
        .and_then(|mut statement| statement.execute([id]))
        .map_err(sql("look for an arrival's end"))
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn arrival(row: &Row<'_>) -> rusqlite::Result<Arrival> {
    Ok(Arrival {
        key: ArrivalKey {
            app: row.get(0)?,
            path: row.get(1)?,
            device: row.get::<_, i64>(2)? as u64,
            inode: row.get::<_, i64>(3)? as u64,
            size: row.get::<_, i64>(4)? as u64,
            mtime: time(row, 5)?,
        },
        delivery_id: DeliveryId(row.get(6)?),
        proof: row.get(7)?,
        checksum: row.get(8)?,
        arrived_at: time(row, 9)?,
    })
}

/// The query of some arrivals.
pub(super) fn query(rest: &str) -> String {
    let columns = "app, path, device, inode, size, mtime, delivery_id, proof";
    let checksum = format!("CASE WHEN checksum IS NOT NULL AND {IMPORTED} THEN checksum END");
    format!("SELECT {columns}, {checksum}, arrived_at FROM arrivals {rest}")
}

fn select(connection: &Connection, rest: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Arrival>> {
    connection
        .prepare_cached(&query(rest))
        .and_then(|mut statement| statement.query_map(values, arrival)?.collect())
        .map_err(sql("list arrivals"))
}

pub(super) fn of_app(connection: &Connection, app: &str, limit: usize) -> Result<Vec<Arrival>> {
    select(
        connection,
        &format!("WHERE app = ?1 AND NOT {GIVEN_UP} ORDER BY id DESC LIMIT ?2"),
        params![app, i64::try_from(limit).unwrap_or(i64::MAX)],
    )
}

/// Those at the paths that this JSON lists.
pub(super) fn of_paths(connection: &Connection, app: &str, paths: &str) -> Result<Vec<Arrival>> {
    select(connection, &of_paths_where(), params![app, paths])
}

pub(super) fn of_paths_where() -> String {
    format!("WHERE path IN (SELECT value FROM json_each(?2)) AND app = ?1 AND NOT {GIVEN_UP}")
}

pub(super) fn at(connection: &Connection, path: &str) -> Result<Vec<Arrival>> {
    let exact = select(connection, "WHERE path = ?1 ORDER BY id DESC LIMIT 100", params![path])?;
    if !exact.is_empty() {
        return Ok(exact);
    }
    select(
        connection,
        "WHERE name = ?2 AND substr(path, -length(?1) - 1) = '/' || ?1 ORDER BY id DESC LIMIT 100",
        params![path, last_part(path)],
    )
}

pub(super) fn same_content(
    connection: &Connection,
    app: &str,
    checksum: Checksum,
    except: DeliveryId,
) -> Result<Vec<Arrival>> {
    let values = params![checksum.to_string(), app, except.0];
    select(connection, &of_content(), values)
}

/// Those of a content that was imported.
pub(super) fn of_content() -> String {
    format!("WHERE checksum = ?1 AND app = ?2 AND delivery_id <> ?3 AND {IMPORTED} ORDER BY id LIMIT 100")
}

/// A content that another has is its own as soon as that one's delivery is completed; until then nobody can tell.
pub(super) fn take_content(write: &Write<'_>, held: &Held, app: &str, checksum: Checksum) -> Result<Content> {
    if !holds(write.sql, held)? {
        return Err(stale(write.sql, held));
    }
    let imported = same_content(write.sql, app, checksum, held.id)?;
    if !imported.is_empty() {
        return Ok(Content::Imported(imported));
    }
    let text = "SELECT delivery_id FROM arrivals WHERE checksum = ?1 AND app = ?2 AND delivery_id <> ?3 \
                AND EXISTS (SELECT 1 FROM deliveries AS d WHERE d.id = arrivals.delivery_id \
                            AND d.status IN ('pending', 'processing') AND d.deleted_at IS NULL) ORDER BY id LIMIT 1";
    let undecided: Option<i64> = write
        .sql
        .prepare_cached(text)
        .and_then(|mut statement| {
            statement.query_row(params![checksum.to_string(), app, held.id.0], |row| row.get(0)).optional()
        })
        .map_err(sql("look for the same content"))?;
    if let Some(id) = undecided {
        return Ok(Content::Undecided(DeliveryId(id)));
    }
    write
        .sql
        .prepare_cached("UPDATE arrivals SET checksum = ?2 WHERE delivery_id = ?1")
        .and_then(|mut statement| statement.execute(params![held.id.0, checksum.to_string()]))
        .map_err(sql("note an arrival's content"))?;
    Ok(Content::Ours)
}
