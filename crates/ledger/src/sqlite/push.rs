//! Entering: rows are made here and nowhere else.

use super::error::sql;
use super::moves::{Moved, Sources, moved};
use super::writer::{Write, bounded};
use crate::api::{Pushed, Queue};
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Error, NewDelivery, Result, Status};
use rusqlite::{OptionalExtension as _, Statement, params};
use std::collections::HashMap;

/// Sets so many numbers aside, in a row and at least one, and gives the first: the tables share one sequence.
pub(super) fn next_ids(write: &Write<'_>, count: usize) -> Result<DeliveryId> {
    let fail = sql("set a number aside");
    let count = i64::try_from(count.max(1)).unwrap_or(1);
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
        .and_then(|mut statement| statement.execute([next + count - 1]))
        .map_err(fail)?;
    Ok(DeliveryId(next))
}

/// Pushes one delivery. One with a number that is there already is the same delivery, as is one with the same key.
pub(super) fn push(write: &Write<'_>, actor: &str, new: &NewDelivery) -> Result<Pushed> {
    one(push_all(write, actor, std::slice::from_ref(new))?)
}

/// Pushes one delivery that has failed already, for this reason.
pub(super) fn push_failed(write: &Write<'_>, actor: &str, new: &NewDelivery, why: &str) -> Result<Pushed> {
    one(all(write, actor, std::slice::from_ref(new), Some(&bounded(why)))?)
}

fn one(pushed: Vec<Pushed>) -> Result<Pushed> {
    pushed.into_iter().next().ok_or_else(|| Error::internal("a push gave no number"))
}

/// Pushes many, in their order: one set of numbers, one line of the audit log for a run of them.
pub(super) fn push_all(write: &Write<'_>, actor: &str, new: &[NewDelivery]) -> Result<Vec<Pushed>> {
    all(write, actor, new, None)
}

fn all(write: &Write<'_>, actor: &str, new: &[NewDelivery], failed: Option<&str>) -> Result<Vec<Pushed>> {
    if new.iter().any(|new| new.max_attempts == 0) {
        return Err(Error::config("a delivery needs at least one attempt"));
    }
    let mut pushed = numbers(write, new)?;
    let mut insert = Inserts::new(write, actor, failed);
    let mut moves = Vec::with_capacity(new.len());
    let mut sources = Sources::default();
    for (new, is) in new.iter().zip(&mut pushed) {
        let Pushed::New(id) = *is else { continue };
        let status = match (failed, &new.target_app) {
            (Some(_), _) => Status::Failed,
            (None, Some(_)) => Status::Pending,
            (None, None) => Status::Completed,
        };
        insert.row(id, new, status)?;
        sources.add(&new.source_app, new.kind);
        moves.push(Moved {
            id,
            app: new.target_app.clone().unwrap_or_default(),
            kind: new.kind,
            from: None,
            to: status,
            note: failed.map(str::to_owned),
        });
    }
    if let Some(given) = new.iter().filter_map(|new| new.id).max() {
        taken(write, given)?;
    }
    sources.pushed(write)?;
    moved(write, actor, &moves)?;
    Ok(pushed)
}

/// A number that was given is not given out again, by either table.
fn taken(write: &Write<'_>, id: DeliveryId) -> Result<()> {
    write
        .sql
        .prepare_cached(
            "UPDATE sqlite_sequence SET seq = ?1 WHERE name IN ('deliveries', 'data_staging') AND seq < ?1",
        )
        .and_then(|mut statement| statement.execute([id.0]))
        .map(|_| ())
        .map_err(sql("set a number aside"))
}

/// The number of each: an old one where it is known, in the ledger or earlier in the same call.
fn numbers(write: &Write<'_>, new: &[NewDelivery]) -> Result<Vec<Pushed>> {
    enum Is {
        Known(DeliveryId),
        Given(DeliveryId),
        SameAs(usize),
        Next,
    }
    let mut by_id: HashMap<DeliveryId, usize> = HashMap::new();
    let mut by_key: HashMap<(Queue, Option<&str>, &str), usize> = HashMap::new();
    let mut all = Vec::with_capacity(new.len());
    let mut wanted = 0;
    for (index, new) in new.iter().enumerate() {
        let queue = Queue::from(new.kind);
        let key = new.dedup_key.as_deref().map(|key| (queue, new.target_app.as_deref(), key));
        let earlier = new.id.and_then(|id| by_id.get(&id)).or_else(|| key.and_then(|key| by_key.get(&key)));
        if let Some(earlier) = earlier {
            all.push(Is::SameAs(*earlier));
            continue;
        }
        all.push(match (known(write, queue, new)?, new.id) {
            (Some(known), _) => Is::Known(known),
            (None, Some(id)) => Is::Given(id),
            (None, None) => {
                wanted += 1;
                Is::Next
            }
        });
        by_id.extend(new.id.map(|id| (id, index)));
        by_key.extend(key.map(|key| (key, index)));
    }
    let mut next = if wanted > 0 { next_ids(write, wanted)?.0 } else { 0 };
    let mut pushed: Vec<Pushed> = Vec::with_capacity(all.len());
    for is in all {
        pushed.push(match is {
            Is::Known(id) => Pushed::Duplicate(id),
            Is::Given(id) => Pushed::New(id),
            Is::SameAs(earlier) => Pushed::Duplicate(pushed[earlier].id()),
            Is::Next => {
                next += 1;
                Pushed::New(DeliveryId(next - 1))
            }
        });
    }
    Ok(pushed)
}

/// The statements that make rows, each prepared once for a call.
struct Inserts<'w> {
    write: &'w Write<'w>,
    actor: &'w str,
    failed: Option<&'w str>,
    delivery: Option<rusqlite::CachedStatement<'w>>,
    record: Option<rusqlite::CachedStatement<'w>>,
}

impl<'w> Inserts<'w> {
    fn new(write: &'w Write<'w>, actor: &'w str, failed: Option<&'w str>) -> Self {
        Self { write, actor, failed, delivery: None, record: None }
    }

    fn row(&mut self, id: DeliveryId, new: &NewDelivery, status: Status) -> Result<()> {
        let fail = sql("push a delivery");
        let (slot, text) = match Queue::from(new.kind) {
            Queue::Deliveries => (&mut self.delivery, INSERT_DELIVERY),
            Queue::Records => (&mut self.record, INSERT_RECORD),
        };
        let statement: &mut Statement<'w> = match slot {
            Some(statement) => statement,
            None => slot.insert(self.write.sql.prepare_cached(text).map_err(&fail)?),
        };
        let now = self.write.now.as_str();
        let later = new.run_at.map(rfc3339);
        statement
            .execute(params![
                id.0,
                new.kind.as_str(),
                new.source_app,
                new.target_app,
                new.data.to_string(),
                status.as_str(),
                now,
                (status != Status::Pending).then_some(now),
                self.actor,
                new.flow,
                new.priority,
                later.as_deref().unwrap_or(now),
                new.max_attempts,
                new.dedup_key,
                new.order_key,
                new.parent_id.map(|p| p.0),
                new.replay_of.map(|r| r.0),
                new.trace,
                self.failed
            ])
            .map(|_| ())
            .map_err(fail)
    }
}

macro_rules! insert {
    ($table:literal) => {
        concat!(
            "INSERT INTO ", $table, " (id, kind, source_app, target_app, data, status, created_at, updated_at, processed_at, \
             created_by, flow, priority, run_at, max_attempts, dedup_key, order_key, parent_id, replay_of, trace, last_error) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
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
