//! Answers to a claimed batch: each delivery ends as `complete` or `fail` would end it, all in one transaction.
//!
//! On a crash all answers of a batch count, or none.

use super::error::sql;
use super::finish::{complete, fail};
use super::writer::Write;
use crate::api::{Answer, Answered, Answers, Completion, Failure, Held, Outcome, Queue, Waiting};
use handover_core::{DeliveryId, ErrorKind, LeaseToken, Result};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;

pub(super) fn answer(write: &Write<'_>, answers: Answers) -> Result<Vec<Answered>> {
    let Answers { queue, token, answers, whole } = answers;
    let one = |answer: Answer| {
        let held = Held { queue, id: answer.id, token: token.clone() };
        match end(write, held, answer.outcome) {
            Err(error) if error.kind() == ErrorKind::Stale && !whole => {
                Ok(Answered::Stale(error.to_string()))
            }
            ended => ended,
        }
    };
    answers.into_iter().map(one).collect()
}

fn end(write: &Write<'_>, held: Held, outcome: Outcome) -> Result<Answered> {
    match outcome {
        Outcome::Completed { result, next } => {
            let result = result.unwrap_or(Value::Null);
            complete(write, Completion { held, result, next, checksum: None }).map(Answered::Completed)
        }
        Outcome::Failed { error, verdict, result } => {
            fail(write, Failure { held, error, verdict, result, next: Vec::new() }).map(Answered::Failed)
        }
    }
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
