//! Jobs: asking for an end, progress; and what belongs to the end of every delivery. Submitting is in [`super::submit`].
//!
//! Invariant: whatever ends a delivery goes through [`ended`], which forgets that its end was asked for and makes the delivery
//! that tells of it.

use super::SqliteLedger;
use super::by_hand::{cancel, known, not_from};
use super::error::sql;
use super::moves::{Moved, moved};
use super::push::push_all;
use super::row::{parsed, time};
use super::submit::{known_key, submit};
use super::writer::{Step, Write};
use crate::api::Queue;
use crate::jobs::{
    Cancellation, Cancelled, IdempotencyKey, Jobs, NewJob, ProgressLine, Standing, Submitted, cancelled_by,
    cancelled_result, check, kept_line,
};
use async_trait::async_trait;
use handover_core::clock::rfc3339;
use handover_core::limits::{PROGRESS_LINES_MAX, WEBHOOK_ATTEMPTS};
use handover_core::{DeliveryId, Kind, NewDelivery, Result, Status, WEBHOOK_APP};
use jiff::Timestamp;
use rusqlite::{Connection, Params, Row, ToSql, params};
use serde_json::{Value, json};

#[async_trait]
impl Jobs for SqliteLedger {
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        check(&jobs)?;
        self.writer.run(Step::Other, move |w| submit(w, jobs)).await
    }

    async fn known_key(&self, key: &IdempotencyKey) -> Result<Option<Submitted>> {
        let key = key.clone();
        self.readers.run(move |c| known_key(c, &key)).await
    }

    async fn ask_to_cancel(&self, actor: &str, id: DeliveryId) -> Result<Cancelled> {
        let by = actor.to_owned();
        let asked = self.writer.run(Step::Other, move |w| ask_to_cancel(w, &by, id)).await?;
        self.ends.tell(Queue::Deliveries, std::iter::once(id));
        Ok(asked)
    }

    async fn cancellations(&self) -> Result<Vec<Cancellation>> {
        self.readers.run(cancellations).await
    }

    async fn end_cancelled(&self, actor: &str) -> Result<u64> {
        if self.readers.run(|c| any(c, CANCELLATIONS)).await? {
            let by = actor.to_owned();
            return self.writer.run(Step::Quiet, move |w| end_cancelled(w, &by)).await;
        }
        Ok(0)
    }

    async fn add_progress(&self, id: DeliveryId, lines: Vec<(Timestamp, String)>) -> Result<u64> {
        self.writer.run(Step::Quiet, move |w| add_progress(w, id, &lines)).await
    }

    async fn progress(&self, id: DeliveryId, after: u64, max: usize) -> Result<Vec<ProgressLine>> {
        self.readers.run(move |c| progress(c, id, after, max)).await
    }

    async fn standing(&self, ids: Vec<DeliveryId>) -> Result<Vec<Standing>> {
        self.readers.run(move |c| standing(c, &ids)).await
    }

    async fn forget_jobs(&self, ended_before: Timestamp, max: usize) -> Result<u64> {
        let (before, max) = (rfc3339(ended_before), i64::try_from(max).unwrap_or(i64::MAX));
        let look = before.clone();
        let any_to_forget = move |c: &Connection| {
            Ok(read(c, OLD_KEYS, params![look, 1], |_| Ok(()))?.len()
                + read(c, OLD_LINES, params![look, 1], |_| Ok(()))?.len()
                > 0)
        };
        if !self.readers.run(any_to_forget).await? {
            return Ok(0);
        }
        self.writer.run(Step::Quiet, move |w| forget(w, &before, max)).await
    }
}

const DOING: &str = "keep what belongs to jobs";

/// All rows of a query.
pub(super) fn read<T>(
    connection: &Connection,
    text: &str,
    values: impl Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    connection
        .prepare_cached(text)
        .and_then(|mut statement| statement.query_map(values, row)?.collect())
        .map_err(sql(DOING))
}

pub(super) fn execute(write: &Write<'_>, text: &str, values: &[&dyn ToSql]) -> Result<usize> {
    write.sql.prepare_cached(text).and_then(|mut statement| statement.execute(values)).map_err(sql(DOING))
}

fn any(connection: &Connection, text: &str) -> Result<bool> {
    connection.prepare_cached(text).and_then(|mut statement| statement.exists([])).map_err(sql(DOING))
}

// --- ends ---------------------------------------------------------------------------------------------------------

/// What belongs to the ends among these moves of deliveries: that they were asked for is forgotten, and a job's webhook has a
/// delivery.
pub(super) fn ended(write: &Write<'_>, moves: &[Moved]) -> Result<()> {
    let unended = |from| matches!(from, Some(Status::Pending | Status::Processing));
    for one in moves.iter().filter(|one| unended(one.from) && one.kind != Kind::Record) {
        if !matches!(one.to, Status::Completed | Status::Failed) {
            continue;
        }
        execute(write, "DELETE FROM cancellations WHERE delivery_id = ?1", params![one.id.0])?;
        if one.kind == Kind::Job {
            tell(write, one)?;
        }
    }
    Ok(())
}

/// Makes the delivery that tells of a job's end, where somebody is to be told.
fn tell(write: &Write<'_>, ended: &Moved) -> Result<()> {
    let text = "SELECT coalesce(target_app, source_app), json_extract(data, '$.webhook') FROM deliveries \
                WHERE id = ?1 AND json_type(data, '$.webhook') = 'text'";
    let to =
        read(write.sql, text, [ended.id.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for (app, url) in to {
        let data = json!({"job": ended.id, "status": ended.to.as_str(), "url": url});
        let new = NewDelivery {
            parent_id: Some(ended.id),
            max_attempts: WEBHOOK_ATTEMPTS,
            ..NewDelivery::new(Kind::Job, app, Some(WEBHOOK_APP.to_owned()), data)
        };
        push_all(write, "handover", &[new])?;
        write.frees_work.set(true);
    }
    Ok(())
}

/// Who asked for the end of what somebody works on.
pub(super) fn asked_by(write: &Write<'_>, queue: Queue, id: DeliveryId) -> Result<Option<String>> {
    if queue == Queue::Records {
        return Ok(None);
    }
    let text = "SELECT by FROM cancellations WHERE delivery_id = ?1";
    Ok(read(write.sql, text, [id.0], |row| row.get(0))?.into_iter().next())
}

/// Ends a delivery of `deliveries` because somebody asked for it, whoever has it.
pub(super) fn end_as_cancelled(write: &Write<'_>, actor: &str, id: DeliveryId, by: &str) -> Result<()> {
    let delivery = known(write, id)?;
    let why = cancelled_by(by);
    let text = "UPDATE deliveries SET status = 'failed', processed_at = ?2, updated_at = ?2, last_error = ?3, result = ?4, \
                lease_token = NULL, leased_by = NULL, lease_until = NULL WHERE id = ?1";
    let result = cancelled_result(delivery.result.as_ref()).to_string();
    execute(write, text, params![id.0, write.now, why, result])?;
    let app = delivery.target_app.as_deref().unwrap_or_default();
    let one = Moved::new(id, app, delivery.kind, delivery.status, Status::Failed);
    moved(write, actor, &[one.note(why)])
}

fn ask_to_cancel(write: &Write<'_>, actor: &str, id: DeliveryId) -> Result<Cancelled> {
    let delivery = known(write, id)?;
    match (Queue::from(delivery.kind), delivery.status) {
        (_, Status::Completed | Status::Failed | Status::Archived) => {
            Err(not_from(&delivery, "cancelled", "it has ended already"))
        }
        (Queue::Records, _) => cancel(write, actor, id).map(|()| Cancelled::Ended),
        (Queue::Deliveries, Status::Pending) => {
            end_as_cancelled(write, actor, id, actor).map(|()| Cancelled::Ended)
        }
        (Queue::Deliveries, Status::Processing) => {
            let text = "INSERT INTO cancellations VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            execute(write, text, params![id.0, write.now, actor]).map(|_| Cancelled::Asked)
        }
    }
}

const CANCELLATIONS: &str = "SELECT delivery_id, at, by FROM cancellations ORDER BY delivery_id";

fn cancellations(connection: &Connection) -> Result<Vec<Cancellation>> {
    read(connection, CANCELLATIONS, [], |row| {
        Ok(Cancellation { id: DeliveryId(row.get(0)?), at: time(row, 1)?, by: row.get(2)? })
    })
}

fn end_cancelled(write: &Write<'_>, actor: &str) -> Result<u64> {
    let text = "SELECT c.delivery_id, c.by FROM cancellations AS c JOIN deliveries AS d ON d.id = c.delivery_id \
                WHERE d.status = 'pending' ORDER BY 1";
    let pending: Vec<(i64, String)> = read(write.sql, text, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, by) in &pending {
        end_as_cancelled(write, actor, DeliveryId(*id), by)?;
        write.frees_work.set(true);
    }
    let gone = "DELETE FROM cancellations WHERE NOT EXISTS (SELECT 1 FROM deliveries AS d \
                WHERE d.id = cancellations.delivery_id AND d.status IN ('pending', 'processing'))";
    execute(write, gone, &[])?;
    Ok(pending.len() as u64)
}

// --- progress -----------------------------------------------------------------------------------------------------

fn add_progress(write: &Write<'_>, id: DeliveryId, lines: &[(Timestamp, String)]) -> Result<u64> {
    let text = "SELECT coalesce(max(seq), 0) FROM progress WHERE delivery_id = ?1";
    let before: Vec<i64> = read(write.sql, text, [id.0], |row| row.get(0))?;
    let mut kept = before.first().copied().unwrap_or(0);
    let room = PROGRESS_LINES_MAX.saturating_sub(kept.unsigned_abs());
    for (at, line) in lines.iter().take(usize::try_from(room).unwrap_or(usize::MAX)) {
        kept += 1;
        let text = "INSERT INTO progress VALUES (?1, ?2, ?3, ?4)";
        execute(write, text, params![id.0, kept, rfc3339(*at), kept_line(line)])?;
    }
    Ok(kept.unsigned_abs())
}

fn progress(connection: &Connection, id: DeliveryId, after: u64, max: usize) -> Result<Vec<ProgressLine>> {
    let text = "SELECT seq, at, line FROM progress WHERE delivery_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    let (after, max) = (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(max).unwrap_or(i64::MAX));
    read(connection, text, params![id.0, after, max], |row| {
        Ok(ProgressLine { seq: row.get::<_, i64>(0)?.unsigned_abs(), at: time(row, 1)?, line: row.get(2)? })
    })
}

/// How far the deliveries of the JSON array `?1` are.
pub(super) fn standing_query() -> String {
    let of = |table: &str| {
        format!(
            "SELECT d.id, d.status, d.updated_at, (SELECT coalesce(max(seq), 0) FROM progress AS p WHERE p.delivery_id = d.id), \
             EXISTS (SELECT 1 FROM cancellations AS c WHERE c.delivery_id = d.id) \
             FROM {table} AS d WHERE d.id IN (SELECT value FROM json_each(?1))"
        )
    };
    ["deliveries", "data_staging", "data_archive"].map(of).join(" UNION ALL ")
}

fn standing(connection: &Connection, ids: &[DeliveryId]) -> Result<Vec<Standing>> {
    let ids = Value::from_iter(ids.iter().map(|id| id.0)).to_string();
    read(connection, &standing_query(), [ids], |row| {
        Ok(Standing {
            id: DeliveryId(row.get(0)?),
            status: parsed(row, 1)?,
            updated_at: time(row, 2)?,
            lines: row.get::<_, i64>(3)?.unsigned_abs(),
            cancelling: row.get(4)?,
        })
    })
}

// --- forgetting ---------------------------------------------------------------------------------------------------

/// Whether the delivery of this column ended before `?1`, or is gone.
macro_rules! ended_before {
    ($id:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.id = ",
            $id,
            " AND (d.status IN ('pending', 'processing') OR d.processed_at >= ?1)) \
             AND NOT EXISTS (SELECT 1 FROM data_staging AS d WHERE d.id = ",
            $id,
            ") AND NOT EXISTS (SELECT 1 FROM data_archive AS d WHERE d.id = ",
            $id,
            " AND d.processed_at >= ?1)"
        )
    };
}
pub(super) const OLD_KEYS: &str = concat!(
    "SELECT owner, key FROM idempotency_keys INDEXED BY idx_idempotency_age WHERE created_at < ?1 AND ",
    ended_before!("delivery_id"),
    " ORDER BY created_at LIMIT ?2"
);
/// Deliveries that have lines, by the first of them.
pub(super) const OLD_LINES: &str = concat!(
    "SELECT delivery_id FROM progress INDEXED BY idx_progress_age WHERE seq = 1 AND at < ?1 AND ",
    ended_before!("delivery_id"),
    " ORDER BY at LIMIT ?2"
);

/// A delivery's lines go from its last to its first, by which they are found.
fn forget(write: &Write<'_>, before: &str, max: i64) -> Result<u64> {
    let keys = format!("DELETE FROM idempotency_keys WHERE (owner, key) IN ({OLD_KEYS})");
    let lines = format!(
        "DELETE FROM progress WHERE (delivery_id, seq) IN (SELECT delivery_id, seq FROM progress \
         WHERE delivery_id IN ({OLD_LINES}) ORDER BY delivery_id, seq DESC LIMIT ?2)"
    );
    let gone = execute(write, &keys, params![before, max])? + execute(write, &lines, params![before, max])?;
    Ok(gone as u64)
}
