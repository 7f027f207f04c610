//! Bulk loads: a source's rows in batches, each known by its place, so that what was cut goes on where it stopped.
//!
//! Invariants: the place (`rows` and `skipped`) moves in the transaction that takes the rows, so that after a crash it is just behind the
//! last row that is in. The rows of a `whole` load lie in a table of their own, which no query of deliveries reads, until
//! one transaction moves them; after a crash in it they lie there still.

use super::error::sql;
use super::push::push_all;
use super::row::parsed;
use super::writer::Write;
use crate::api::{Load, Pushed};
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Error, ErrorKind, Json, NewDelivery, Result};
use rusqlite::{OptionalExtension as _, Row, params};

/// So many rows of a whole load are moved at a time; all in one transaction.
const MOVED_AT_ONCE: i64 = 1_000;

fn find(write: &Write<'_>, key: &str) -> Result<Option<Load>> {
    write
        .sql
        .prepare_cached("SELECT whole, rows, skipped, duplicates, ended, made_by FROM loads WHERE key = ?1")
        .and_then(|mut statement| {
            let read = |row: &Row<'_>| {
                Ok(Load {
                    key: key.to_owned(),
                    whole: row.get(0)?,
                    rows: row.get::<_, i64>(1)?.unsigned_abs(),
                    skipped: row.get::<_, i64>(2)?.unsigned_abs(),
                    duplicates: row.get::<_, i64>(3)?.unsigned_abs(),
                    ended: row.get(4)?,
                    made_by: row.get(5)?,
                })
            };
            statement.query_row([key], read).optional()
        })
        .map_err(sql("look for a load"))
}

fn known(write: &Write<'_>, key: &str) -> Result<Load> {
    find(write, key)?.ok_or_else(|| {
        Error::not_found("there is no such load").on(key).hint("it was given up meanwhile: begin it anew")
    })
}

pub(super) fn begin(write: &Write<'_>, actor: &str, key: &str, whole: bool) -> Result<Load> {
    if let Some(load) = find(write, key)? {
        if load.whole != whole {
            let (was, is) = if load.whole { ("whole", "in batches") } else { ("in batches", "whole") };
            return Err(Error::config(format!("a load of this name was begun {was}, and this one is {is}"))
                .on(key)
                .hint("load it as it was begun, or give it another name"));
        }
        return Ok(load);
    }
    write
        .sql
        .prepare_cached(
            "INSERT INTO loads (key, whole, actor, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
        )
        .and_then(|mut statement| statement.execute(params![key, whole, actor, write.now]))
        .map_err(sql("begin a load"))?;
    Ok(Load { key: key.to_owned(), whole, rows: 0, skipped: 0, duplicates: 0, ended: false, made_by: None })
}

pub(super) fn is_made_by(write: &Write<'_>, key: &str, made_by: Option<String>) -> Result<Load> {
    let mut load = known(write, key)?;
    if load.rows > 0 || load.ended {
        return Ok(load);
    }
    write
        .sql
        .prepare_cached("UPDATE loads SET made_by = ?2 WHERE key = ?1")
        .and_then(|mut statement| statement.execute(params![key, made_by]))
        .map_err(sql("say by what a load is made"))?;
    load.made_by = made_by;
    Ok(load)
}

pub(super) fn load(
    write: &Write<'_>,
    actor: &str,
    key: &str,
    (at, skipped): (u64, u64),
    rows: &[NewDelivery],
) -> Result<Load> {
    let mut load = known(write, key)?;
    if load.ended || load.rows != at {
        let what = if load.ended {
            "it has ended".to_owned()
        } else {
            format!("{} rows are in, and these begin at row {at}", load.rows)
        };
        return Err(Error::new(
            ErrorKind::Stale,
            format!("the load no longer stands where it stood: {what}"),
        )
        .on(key)
        .hint("another process loads the same source: let it end, and run this again to see"));
    }
    let duplicates = if load.whole {
        put_aside(write, key, at, rows)?;
        0
    } else {
        count_duplicates(&push_all(write, actor, rows)?)
    };
    load.rows += rows.len() as u64;
    load.skipped += skipped;
    load.duplicates += duplicates;
    keep(write, &load)?;
    Ok(load)
}

fn count_duplicates(pushed: &[Pushed]) -> u64 {
    pushed.iter().filter(|pushed| matches!(pushed, Pushed::Duplicate(_))).count() as u64
}

fn keep(write: &Write<'_>, load: &Load) -> Result<()> {
    write
        .sql
        .prepare_cached(
            "UPDATE loads SET rows = ?2, skipped = ?3, duplicates = ?4, ended = ?5, updated_at = ?6 WHERE key = ?1",
        )
        .and_then(|mut statement| {
            let (rows, skipped) = (load.rows.cast_signed(), load.skipped.cast_signed());
            let duplicates = load.duplicates.cast_signed();
            statement.execute(params![load.key, rows, skipped, duplicates, load.ended, write.now])
        })
        .map(|_| ())
        .map_err(sql("note how far a load has come"))
}

fn put_aside(write: &Write<'_>, key: &str, at: u64, rows: &[NewDelivery]) -> Result<()> {
    let fail = sql("put a load's rows aside");
    let text = "INSERT INTO load_rows (load_key, kind, source_app, target_app, data, flow, priority, run_at, max_attempts, \
                dedup_key, order_key, parent_id, replay_of, trace, at) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let mut statement = write.sql.prepare_cached(text).map_err(&fail)?;
    for (at, new) in (at.cast_signed()..).zip(rows) {
        if new.max_attempts == 0 {
            return Err(Error::config("a delivery needs at least one attempt"));
        }
        statement
            .execute(params![
                key,
                new.kind.as_str(),
                new.source_app,
                new.target_app,
                new.data.to_string(),
                new.flow,
                new.priority,
                new.run_at.map(rfc3339),
                new.max_attempts,
                new.dedup_key,
                new.order_key,
                new.parent_id.map(|p| p.0),
                new.replay_of.map(|r| r.0),
                new.trace,
                at
            ])
            .map_err(&fail)?;
    }
    Ok(())
}

pub(super) fn end(write: &Write<'_>, actor: &str, key: &str) -> Result<Load> {
    let mut load = known(write, key)?;
    if load.ended {
        return Ok(load);
    }
    if load.whole {
        load.duplicates = appear(write, actor, key)?;
        forget_rows(write, key)?;
    }
    load.ended = true;
    keep(write, &load)?;
    Ok(load)
}

/// Pushes the rows that were put aside. Returns how many were known already.
fn appear(write: &Write<'_>, actor: &str, key: &str) -> Result<u64> {
    let fail = sql("end a load");
    let text = "SELECT at, kind, source_app, target_app, data, flow, priority, run_at, max_attempts, dedup_key, order_key, \
                parent_id, replay_of, trace FROM load_rows WHERE load_key = ?1 AND at > ?2 ORDER BY at LIMIT ?3";
    let (mut last, mut duplicates) = (i64::MIN, 0);
    loop {
        let mut statement = write.sql.prepare_cached(text).map_err(&fail)?;
        let rows: Vec<(i64, NewDelivery)> = statement
            .query_map(params![key, last, MOVED_AT_ONCE], put_aside_row)
            .and_then(Iterator::collect)
            .map_err(&fail)?;
        let Some((end, _)) = rows.last() else { return Ok(duplicates) };
        last = *end;
        let rows: Vec<NewDelivery> = rows.into_iter().map(|(_, new)| new).collect();
        duplicates += count_duplicates(&push_all(write, actor, &rows)?);
    }
}

fn put_aside_row(row: &Row<'_>) -> rusqlite::Result<(i64, NewDelivery)> {
    let broken = |why: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, why.into())
    };
    let data = Json::parse(row.get_ref(4)?.as_str()?).map_err(broken)?;
    let id = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(DeliveryId));
    let new = NewDelivery {
        flow: row.get(5)?,
        priority: row.get(6)?,
        run_at: row.get::<_, Option<String>>(7)?.and_then(|text| text.parse().ok()),
        max_attempts: row.get(8)?,
        dedup_key: row.get(9)?,
        order_key: row.get(10)?,
        parent_id: id(11)?,
        replay_of: id(12)?,
        trace: row.get(13)?,
        ..NewDelivery::new(parsed(row, 1)?, row.get::<_, String>(2)?, row.get(3)?, data)
    };
    Ok((row.get(0)?, new))
}

fn forget_rows(write: &Write<'_>, key: &str) -> Result<()> {
    write
        .sql
        .prepare_cached("DELETE FROM load_rows WHERE load_key = ?1")
        .and_then(|mut statement| statement.execute([key]))
        .map(|_| ())
        .map_err(sql("end a load"))
}

/// Gives up a whole load that has not ended.
pub(super) fn give_up(write: &Write<'_>, key: &str) -> Result<bool> {
    match find(write, key)? {
        Some(load) if load.whole && !load.ended => {}
        _ => return Ok(false),
    }
    forget_rows(write, key)?;
    write
        .sql
        .prepare_cached("DELETE FROM loads WHERE key = ?1")
        .and_then(|mut statement| statement.execute([key]))
        .map(|gone| gone > 0)
        .map_err(sql("give up a load"))
}
