//! Entering: rows are made here and nowhere else.

use super::error::sql;
use super::writer::{Write, bounded};
use crate::api::{Pushed, Queue};
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Error, NewDelivery, Result, Status};
use rusqlite::{OptionalExtension as _, named_params, params};

/// Sets a number aside: the tables share one sequence.
pub(super) fn next_id(write: &Write<'_>) -> Result<DeliveryId> {
    next_ids(write, 1)
}

/// Sets so many numbers aside, in a row, and gives the first.
pub(super) fn next_ids(write: &Write<'_>, count: usize) -> Result<DeliveryId> {
    let fail = sql("set a number aside");
    // Two statements are cheaper than one with RETURNING, which SQLite gives a table of its own each time. Nobody comes
    // between them: the transaction has the right to write from its beginning.
    let next: i64 = write
        .sql
        .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'deliveries' OR name = 'data_staging'")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(&fail)?;
    write
        .sql
        .prepare_cached(
            "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'deliveries' OR name = 'data_staging'",
        )
        .and_then(|mut statement| statement.execute([next + i64::try_from(count).unwrap_or(1) - 1]))
        .map_err(fail)?;
    Ok(DeliveryId(next))
}

/// Pushes one delivery. One with a number that is there already is the same delivery, as is one with the same key.
pub(super) fn push(write: &Write<'_>, actor: &str, new: &NewDelivery) -> Result<Pushed> {
    let born = if new.target_app.is_some() { Status::Pending } else { Status::Completed };
    born_as(write, actor, new, born, None)
}

/// Pushes one delivery that has failed already, for this reason.
pub(super) fn push_failed(write: &Write<'_>, actor: &str, new: &NewDelivery, why: &str) -> Result<Pushed> {
    born_as(write, actor, new, Status::Failed, Some(bounded(why)))
}

fn born_as(
    write: &Write<'_>,
    actor: &str,
    new: &NewDelivery,
    status: Status,
    error: Option<String>,
) -> Result<Pushed> {
    if new.max_attempts == 0 {
        return Err(Error::config("a delivery needs at least one attempt"));
    }
    let queue = Queue::from(new.kind);
    if let Some(known) = known(write, queue, new)? {
        return Ok(Pushed::Duplicate(known));
    }
    let id = match new.id {
        Some(id) => id,
        None => next_id(write)?,
    };
    let statement = match queue {
        Queue::Deliveries => INSERT_DELIVERY,
        Queue::Records => INSERT_RECORD,
    };
    write
        .sql
        .prepare_cached(statement)
        .and_then(|mut statement| {
            statement.execute(named_params! {
                ":id": id.0, ":kind": new.kind.as_str(), ":source": new.source_app, ":target": new.target_app,
                ":data": new.data.to_string(), ":status": status.as_str(), ":now": write.now,
                ":ended": (status != Status::Pending).then_some(&write.now), ":by": actor, ":flow": new.flow,
                ":priority": new.priority, ":run_at": new.run_at.map_or_else(|| write.now.clone(), rfc3339),
                ":max": new.max_attempts, ":dedup": new.dedup_key, ":order": new.order_key,
                ":parent": new.parent_id.map(|p| p.0), ":replay": new.replay_of.map(|r| r.0), ":trace": new.trace,
                ":error": error,
            })
        })
        .map_err(sql("push a delivery"))?;
    Ok(Pushed::New(id))
}

macro_rules! insert {
    ($table:literal) => {
        concat!(
            "INSERT INTO ", $table, " (id, kind, source_app, target_app, data, status, created_at, processed_at, updated_at, \
             created_by, flow, priority, run_at, max_attempts, dedup_key, order_key, parent_id, replay_of, trace, last_error) \
             VALUES (:id, :kind, :source, :target, :data, :status, :now, :ended, :now, :by, :flow, :priority, :run_at, :max, \
             :dedup, :order, :parent, :replay, :trace, :error)"
        )
    };
}
const INSERT_DELIVERY: &str = insert!("deliveries");
const INSERT_RECORD: &str = insert!("data_staging");

fn known(write: &Write<'_>, queue: Queue, new: &NewDelivery) -> Result<Option<DeliveryId>> {
    let fail = sql("look for a known delivery");
    let one = |text: &str, values: &[&dyn rusqlite::ToSql]| {
        write
            .sql
            .prepare_cached(text)
            .and_then(|mut s| s.query_row(values, |row| row.get(0)).optional())
            .map_err(&fail)
    };
    let mut found: Option<i64> = None;
    if let Some(id) = new.id {
        let text =
            "SELECT id FROM v_deliveries WHERE id = ?1 UNION ALL SELECT id FROM data_archive WHERE id = ?1";
        found = one(text, params![id.0])?;
    }
    if let (None, Some(key)) = (found, &new.dedup_key) {
        let text = match queue {
            Queue::Deliveries => same_key!("deliveries", "<>"),
            Queue::Records => same_key!("data_staging", "="),
        };
        found = one(text, params![new.target_app, key])?;
    }
    Ok(found.map(DeliveryId))
}

/// The delivery of one table, or of its part of the archive, with this key to this app.
macro_rules! same_key {
    ($table:literal, $record:literal) => {
        concat!(
            "SELECT id FROM ",
            $table,
            " WHERE target_app IS ?1 AND dedup_key = ?2 UNION ALL \
             SELECT id FROM data_archive WHERE target_app IS ?1 AND dedup_key = ?2 AND kind ",
            $record,
            " 'record' LIMIT 1"
        )
    };
}
use same_key;
