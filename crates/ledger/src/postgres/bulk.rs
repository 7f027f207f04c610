//! Entering in bulk: binary COPY into the queue's own table, and then the counts and the audit of the whole batch in one
//! statement. It is for rows without dedup keys, set-aside numbers and errors, which COPY could not look up.

use super::error::{Attempt, sql};
use super::push::Json;
use super::row::{get, time as time_of};
use super::tx::{Tx, number, numbers, text, texts, time};
use crate::api::{Pushed, Queue};
use handover_core::{DeliveryId, Error, NewDelivery};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::pin::pin;
use tokio_postgres::types::{ToSql, Type};

const COLUMNS: &str = "id, source_app, target_app, data, status, created_at, processed_at, kind, updated_at, created_by, flow, \
     priority, run_at, max_attempts, order_key, parent_id, replay_of, trace";
const TYPES: [Type; 18] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::JSON,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::INT4,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
];

/// How many of an app, a kind and a status.
type Counts<'a> = BTreeMap<(&'a str, &'a str, &'a str), i64>;

fn status(new: &NewDelivery) -> &'static str {
    if new.target_app.is_some() { "pending" } else { "completed" }
}

/// Pushes deliveries that all go to this queue.
pub(super) async fn copy(
    tx: &mut Tx<'_>,
    queue: Queue,
    actor: &str,
    new: &[&NewDelivery],
) -> Attempt<Vec<Pushed>> {
    let (now, count) = (tx.ledger().now(), i64::try_from(new.len()).unwrap_or(i64::MAX));
    let begin = "SELECT integration._next_ids($1), coalesce($2, clock_timestamp())";
    let row = tx.row("set numbers aside", begin, &[number(&count), time(&now)]).await?;
    let (ids, now): (Vec<i64>, Timestamp) = (get(&row, 0)?, time_of(&row, 1)?);
    let written = write(tx, queue, actor, new, &ids, now).await?;
    if written != new.len() as u64 {
        return Err(Error::internal(format!("{written} of {count} rows were copied")).into());
    }
    note(tx, actor, new, &ids, now).await?;
    Ok(ids.into_iter().map(|id| Pushed::New(DeliveryId(id))).collect())
}

async fn write(
    tx: &mut Tx<'_>,
    queue: Queue,
    actor: &str,
    new: &[&NewDelivery],
    ids: &[i64],
    now: Timestamp,
) -> Attempt<u64> {
    let fail = sql("push deliveries");
    let copy = format!("COPY integration.{}_live ({COLUMNS}) FROM STDIN (FORMAT binary)", queue.named());
    let mut writer = pin!(tx.connection().await?.copy_in(&copy, &TYPES).await.map_err(&fail)?);
    for (new, id) in new.iter().zip(ids) {
        let ended = new.target_app.is_none().then_some(now);
        let run_at = new.run_at.unwrap_or(now);
        let (parent, replay_of) = (new.parent_id.map(|id| id.0), new.replay_of.map(|id| id.0));
        let (data, max_attempts) = (Json(new.data.to_string()), i64::from(new.max_attempts));
        let row: [&(dyn ToSql + Sync); 18] = [
            id,
            &new.source_app,
            &new.target_app,
            &data,
            &status(new),
            &now,
            &ended,
            &new.kind.as_str(),
            &now,
            &actor,
            &new.flow,
            &new.priority,
            &run_at,
            &max_attempts,
            &new.order_key,
            &parent,
            &replay_of,
            &new.trace,
        ];
        writer.as_mut().write(&row).await.map_err(&fail)?;
    }
    writer.as_mut().finish().await.map_err(&fail)
}

/// The counts and the audit of what was copied, which no trigger has seen.
async fn note(
    tx: &mut Tx<'_>,
    actor: &str,
    new: &[&NewDelivery],
    ids: &[i64],
    now: Timestamp,
) -> Attempt<()> {
    let mut counts = Counts::new();
    let mut sources: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let (mut pending, mut completed) = (Vec::new(), Vec::new());
    for (new, id) in new.iter().zip(ids) {
        let app = new.target_app.as_deref().unwrap_or_default();
        *counts.entry((app, new.kind.as_str(), status(new))).or_default() += 1;
        *sources.entry((&new.source_app, new.kind.as_str())).or_default() += 1;
        if new.target_app.is_some() { pending.push(*id) } else { completed.push(*id) }
    }
    let apps: Vec<&str> = counts.keys().map(|(app, ..)| *app).collect();
    let kinds: Vec<&str> = counts.keys().map(|(_, kind, _)| *kind).collect();
    let statuses: Vec<&str> = counts.keys().map(|(.., status)| *status).collect();
    let counted: Vec<i64> = counts.values().copied().collect();
    let names: Vec<&str> = sources.keys().map(|(source, _)| *source).collect();
    let of_kinds: Vec<&str> = sources.keys().map(|(_, kind)| *kind).collect();
    let passed: Vec<i64> = sources.values().copied().collect();
    let statement = "WITH counted AS (INSERT INTO integration.tally \
             SELECT u.app, u.kind, u.status, u.n FROM unnest($1, $2, $3, $4) AS u (app, kind, status, n)), \
         passed AS (INSERT INTO integration.source_tally \
             SELECT u.source, u.kind, w.what, u.n FROM unnest($5, $6, $11) AS u (source, n, kind), \
             (VALUES ('pushed'), ('live')) AS w (what)) \
         SELECT integration._audit($7, $8, $9, NULL, 'pending')::text, \
                integration._audit($7, $8, $10, NULL, 'completed')::text";
    let values = [
        texts(&apps),
        texts(&kinds),
        texts(&statuses),
        numbers(&counted),
        texts(&names),
        numbers(&passed),
        time(&now),
        text(&actor),
        numbers(&pending),
        numbers(&completed),
        texts(&of_kinds),
    ];
    tx.rows("push deliveries", statement, &values).await.map(|_| ())
}
