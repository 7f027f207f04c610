//! Arrivals: each state of each original is committed once, before it is taken.

use super::error::sql;
use super::push::push;
use super::row::time;
use super::writer::{Write, bounded};
use crate::api::{Arrival, ArrivalKey, Arrived, NewArrival};
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
    if let Some(id) = known {
        return Ok(Arrived::Known(DeliveryId(id)));
    }
    let id = push(write, actor, &arrival.delivery)?.id();
    write
        .sql
        .prepare_cached(
            "INSERT INTO arrivals (app, path, device, inode, size, mtime, delivery_id, proof, arrived_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
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
                write.now
            ])
        })
        .map_err(sql("commit an arrival"))?;
    if let Some(why) = &arrival.refused {
        write
            .sql
            .prepare_cached("UPDATE deliveries SET status = 'failed', processed_at = ?2, updated_at = ?2, last_error = ?3 WHERE id = ?1")
            .and_then(|mut statement| statement.execute(params![id.0, write.now, bounded(why)]))
            .map_err(sql("refuse an arrival"))?;
    }
    Ok(Arrived::New(id))
}

const COLUMNS: &str = "app, path, device, inode, size, mtime, delivery_id, proof, checksum, arrived_at";

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

fn select(connection: &Connection, rest: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Arrival>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM arrivals {rest}"))
        .and_then(|mut statement| statement.query_map(values, arrival)?.collect())
        .map_err(sql("list arrivals"))
}

pub(super) fn of_app(connection: &Connection, app: &str, limit: usize) -> Result<Vec<Arrival>> {
    select(connection, "WHERE app = ?1 ORDER BY id DESC LIMIT ?2", params![app, limit as i64])
}

pub(super) fn at(connection: &Connection, path: &str) -> Result<Vec<Arrival>> {
    let exact = select(connection, "WHERE path = ?1 ORDER BY id DESC LIMIT 100", params![path])?;
    if !exact.is_empty() {
        return Ok(exact);
    }
    select(
        connection,
        "WHERE substr(path, -length(?1) - 1) = '/' || ?1 ORDER BY id DESC LIMIT 100",
        params![path],
    )
}

pub(super) fn same_content(
    connection: &Connection,
    app: &str,
    checksum: Checksum,
    except: DeliveryId,
) -> Result<Vec<Arrival>> {
    let values = params![checksum.to_string(), app, except.0];
    select(connection, "WHERE checksum = ?1 AND app = ?2 AND delivery_id <> ?3 ORDER BY id LIMIT 100", values)
}
