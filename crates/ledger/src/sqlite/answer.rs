//! Answers to a claimed batch: each delivery ends as `complete` or `fail` would end it, all in one transaction. Those
//! that ended alike, and hand nothing on, end in one statement.
//!
//! On a crash all answers of a batch count, or none.

use super::claim::stale;
use super::error::sql;
use super::finish::{fail, push_next};
use super::moves::{Moved, moved};
use super::row::parsed;
use super::writer::Write;
use crate::api::{Answer, Answered, Answers, Failure, Held, Outcome, Queue, Waiting};
use handover_core::{DeliveryId, Error, ErrorKind, Kind, LeaseToken, Result, Status};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;
use std::collections::HashMap;

pub(super) fn answer(write: &Write<'_>, answers: Answers) -> Result<Vec<Answered>> {
    let Answers { queue, token, answers, whole } = answers;
    let held = |id| Held { queue, id, token: token.clone() };
    let mut ended = complete_alike(write, queue, &token, &answers)?;
    let one = |Answer { id, outcome }| {
        let answered = match outcome {
            Outcome::Completed { next, .. } => match ended.remove(&id) {
                Some(actor) => push_next(write, &actor, &held(id), next).map(Answered::Completed),
                None => Err(stale(write.sql, &held(id))),
            },
            Outcome::Failed { error, verdict, result } => {
                let (held, next) = (held(id), Vec::new());
                fail(write, Failure { held, error, verdict, after: None, result, next }).map(Answered::Failed)
            }
        };
        match answered {
            Err(error) if error.kind() == ErrorKind::Stale && !whole => {
                Ok(Answered::Stale(error.to_string()))
            }
            answered => answered,
        }
    };
    answers.into_iter().map(one).collect()
}

/// Completes all that are to be completed, those with the same result in one statement. Returns which were, each with
/// the holder that had it.
fn complete_alike(
    write: &Write<'_>,
    queue: Queue,
    token: &LeaseToken,
    answers: &[Answer],
) -> Result<HashMap<DeliveryId, String>> {
    let mut alike: Vec<(Option<String>, Vec<i64>)> = Vec::new();
    let mut by_result: HashMap<Option<String>, usize> = HashMap::new();
    for answer in answers {
        let Outcome::Completed { result, .. } = &answer.outcome else { continue };
        let result = result.as_ref().map(Value::to_string);
        let group = *by_result.entry(result.clone()).or_insert_with(|| {
            alike.push((result, Vec::new()));
            alike.len() - 1
        });
        alike[group].1.push(answer.id.0);
    }
    let mut ended = HashMap::with_capacity(answers.len());
    for (result, mut ids) in alike {
        // In the order of their numbers, so that runs of them share a line of the log.
        ids.sort_unstable();
        let rows = complete_all(write, queue, token, result.as_deref(), &ids)?;
        let moves: Vec<Moved> = rows
            .iter()
            .map(|row| Moved::new(row.id, row.app.as_str(), row.kind, Status::Processing, Status::Completed))
            .collect();
        let Some(first) = rows.first() else { continue };
        moved(write, &first.actor, &moves)?;
        ended.extend(rows.into_iter().map(|row| (row.id, row.actor)));
    }
    Ok(ended)
}

struct Ended {
    id: DeliveryId,
    actor: String,
    app: String,
    kind: Kind,
}

fn complete_all(
    write: &Write<'_>,
    queue: Queue,
    token: &LeaseToken,
    result: Option<&str>,
    ids: &[i64],
) -> Result<Vec<Ended>> {
    let fail = sql("complete deliveries");
    let text = format!(
        "UPDATE {} SET status = 'completed', processed_at = ?3, updated_at = ?3, result = ?4, last_error = NULL, \
         lease_token = NULL, lease_until = NULL \
         WHERE id IN (SELECT value FROM json_each(?1)) AND lease_token = ?2 AND status = 'processing' \
         RETURNING id, coalesce(leased_by, 'handover'), coalesce(target_app, ''), kind, order_key IS NOT NULL",
        queue.table()
    );
    let ids = serde_json::to_string(ids).map_err(|e| Error::internal("numbers as JSON").because(e))?;
    let mut frees = false;
    let mut rows: Vec<Ended> = write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                frees |= row.get::<_, bool>(4)?;
                Ok(Ended {
                    id: DeliveryId(row.get(0)?),
                    actor: row.get(1)?,
                    app: row.get(2)?,
                    kind: parsed(row, 3)?,
                })
            };
            statement.query_map(params![ids, token.0, write.now, result], read)?.collect()
        })
        .map_err(fail)?;
    if frees {
        // The next of an order key waits for this end.
        write.frees_work.set(true);
    }
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

pub(super) fn held_by(connection: &Connection, token: &LeaseToken) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    for queue in [Queue::Deliveries, Queue::Records] {
        let text = format!(
            "SELECT id FROM {} WHERE status = 'processing' AND lease_token = ?1 ORDER BY id",
            queue.table()
        );
        let found = connection.prepare_cached(&text).and_then(|mut statement| {
            let rows = statement.query_map([&token.0], |row| row.get(0).map(DeliveryId))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let ids = found.map_err(sql("list what a token holds"))?;
        held.extend(ids.into_iter().map(|id| Held { queue, id, token: token.clone() }));
    }
    Ok(held)
}

/// What an app could claim, but for order keys: it is for those who decide whether to claim at all.
pub(super) fn waiting(
    connection: &Connection,
    queue: Queue,
    app: &str,
    now: &str,
    at_most: usize,
) -> Result<Waiting> {
    let text = format!(
        "SELECT count(*), min(created_at) FROM (SELECT created_at FROM {} WHERE status = 'pending' \
         AND target_app = ?1 AND run_at <= ?2 AND deleted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM paused_apps WHERE app = ?1) ORDER BY priority DESC, id LIMIT ?3)",
        queue.table()
    );
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let (count, oldest): (i64, Option<String>) = connection
        .prepare_cached(&text)
        .and_then(|mut statement| {
            statement.query_row(params![app, now, at_most], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .map_err(sql("count what waits"))?;
    Ok(Waiting {
        count: count.unsigned_abs(),
        oldest: oldest.and_then(|text| text.parse::<Timestamp>().ok()),
    })
}
