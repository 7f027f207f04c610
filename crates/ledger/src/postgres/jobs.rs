//! Jobs: submitting, asking for an end, progress. What belongs to the end of a delivery the schema's triggers do
//! (`migrations/postgres/0011_jobs.sql`), so that no way to an end is missed.

use super::PostgresLedger;
use super::error::Attempt;
use super::push::{Columns, size, some};
use super::query::{ARCHIVE, PARTS, each};
use super::row::{get, id as id_of, parsed, time as time_of};
use super::tx::{Tx, in_transaction, number, numbers, text, texts, time, times};
use crate::api::Queue;
use crate::jobs::{
    Cancellation, Cancelled, IdempotencyKey, Jobs, NewJob, ProgressLine, Standing, Submitted, check,
    kept_line,
};
use async_trait::async_trait;
use handover_core::limits::PROGRESS_LINES_MAX;
use handover_core::{DeliveryId, Error, Result};
use jiff::Timestamp;
use std::time::Duration;
use tokio_postgres::Row;

/// One statement takes so many jobs at most, and begins none after so many bytes of data.
const JOBS_MAX: usize = 1_000;
/// As `commit_delay` of the server: the clients that one transaction answers ask again, and make the next one.
const BETWEEN: Duration = Duration::from_millis(1);
const BYTES_MAX: usize = 16 * 1024 * 1024;

#[async_trait]
impl Jobs for PostgresLedger {
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        check(&jobs)?;
        in_transaction!(self, |tx| submit(tx, &jobs))
    }

    fn between_submissions(&self) -> Duration {
        BETWEEN
    }

    async fn known_key(&self, key: &IdempotencyKey) -> Result<Option<Submitted>> {
        let query = "SELECT fingerprint = $3, delivery_id, created_at FROM integration.idempotency_keys WHERE owner = $1 AND key = $2";
        let values = [text(&key.owner), text(&key.key), text(&key.fingerprint)];
        let rows = self.read("look for an idempotency key", query, &values).await?;
        let known = each(&rows, |row| {
            let (same, id, at): (bool, _, _) = (get(row, 0)?, id_of(row, 1)?, time_of(row, 2)?);
            Ok(if same { Submitted::Known { id, at } } else { Submitted::Differs(id) })
        });
        Ok(known?.into_iter().next())
    }

    async fn ask_to_cancel(&self, actor: &str, id: DeliveryId) -> Result<Cancelled> {
        let asked = in_transaction!(self, |tx| ask_to_cancel(tx, actor, id))?;
        self.ended(Queue::Deliveries, std::iter::once(id));
        Ok(asked)
    }

    async fn cancellations(&self) -> Result<Vec<Cancellation>> {
        let query = "SELECT delivery_id, at, by FROM integration.cancellations ORDER BY delivery_id";
        let rows = self.read("list what is to end", query, &[]).await?;
        each(&rows, |row| Ok(Cancellation { id: id_of(row, 0)?, at: time_of(row, 1)?, by: get(row, 2)? }))
    }

    async fn end_cancelled(&self, actor: &str) -> Result<u64> {
        if self.cancellations().await?.is_empty() {
            return Ok(0);
        }
        in_transaction!(self, |tx| end_cancelled(tx, actor))
    }

    async fn add_progress(&self, id: DeliveryId, lines: Vec<(Timestamp, String)>) -> Result<u64> {
        let (at, lines): (Vec<Timestamp>, Vec<String>) =
            lines.into_iter().map(|(at, line)| (at, kept_line(&line))).unzip();
        in_transaction!(self, |tx| add_progress(tx, id, &at, &lines))
    }

    async fn progress(&self, id: DeliveryId, after: u64, max: usize) -> Result<Vec<ProgressLine>> {
        let query = "SELECT seq, at, line FROM integration.progress WHERE delivery_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let (after, max) = (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(max).unwrap_or(i64::MAX));
        let values = [number(&id.0), number(&after), number(&max)];
        each(&self.read("read progress", query, &values).await?, |row| {
            let seq = get::<i64>(row, 0)?.unsigned_abs();
            Ok(ProgressLine { seq, at: time_of(row, 1)?, line: get(row, 2)? })
        })
    }

    async fn standing(&self, ids: Vec<DeliveryId>) -> Result<Vec<Standing>> {
        let mut ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        // Nearly all that are asked for live, and the archive has many parts to plan for.
        let live = standing(self, &PARTS[..1], &ids).await?;
        ids.retain(|id| !live.iter().any(|one| one.id.0 == *id));
        let others: Vec<_> = PARTS[1..].iter().copied().chain([ARCHIVE]).collect();
        let rest = if ids.is_empty() { Vec::new() } else { standing(self, &others, &ids).await? };
        Ok(live.into_iter().chain(rest).collect())
    }

    async fn forget_jobs(&self, ended_before: Timestamp, max: usize) -> Result<u64> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        in_transaction!(self, |tx| forget(tx, ended_before, max))
    }
}

async fn submit(tx: &mut Tx<'_>, jobs: &[NewJob]) -> Attempt<Vec<Submitted>> {
    let mut came_to = Vec::with_capacity(jobs.len());
    let mut rest = jobs;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(JOBS_MAX).take_while(|job| {
            let fits = bytes < BYTES_MAX;
            bytes += size(&job.delivery.data);
            fits
        });
        let (some, after) = rest.split_at(fits.count().max(1));
        came_to.extend(submit_some(tx, some).await?);
        rest = after;
    }
    Ok(came_to)
}

async fn submit_some(tx: &mut Tx<'_>, jobs: &[NewJob]) -> Attempt<Vec<Submitted>> {
    const CALL: &str = "SELECT came_to, numbers, since FROM integration._submit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
         $12, $13, $14, $15, $16, $17, $18, $19, $20, false)";
    let callers: Vec<&str> = jobs.iter().map(|job| job.caller.as_str()).collect();
    let keys = || jobs.iter().map(|job| job.key.as_ref());
    let owners = some(keys().map(|key| key.map(|key| key.owner.as_str())));
    let words = some(keys().map(|key| key.map(|key| key.key.as_str())));
    let fingerprints = some(keys().map(|key| key.map(|key| key.fingerprint.as_str())));
    let at_most = |max: Option<u64>| max.map(|max| i64::try_from(max).unwrap_or(i64::MAX));
    let caller_max = some(jobs.iter().map(|job| at_most(job.caller_max)));
    let queue_max = some(jobs.iter().map(|job| at_most(job.queue_max)));
    let columns = Columns::of(jobs.iter().map(|job| &job.delivery));
    let now = tx.ledger().now();
    let mut values = vec![
        texts(&callers),
        texts(&owners),
        texts(&words),
        texts(&fingerprints),
        numbers(&caller_max),
        numbers(&queue_max),
    ];
    values.extend(columns.values());
    values.push(time(&now));
    let row = tx.row("submit jobs", CALL, &values).await?;
    let came_to = read_submitted(&row)?;
    let new = jobs.iter().zip(&came_to).filter(|(_, came_to)| matches!(came_to, Submitted::New { .. }));
    let apps: Vec<&str> = new.filter_map(|(job, _)| job.delivery.target_app.as_deref()).collect();
    if !apps.is_empty() {
        tx.makes_work(apps.into_iter());
    }
    Ok(came_to)
}

fn read_submitted(row: &Row) -> Attempt<Vec<Submitted>> {
    let (words, numbers): (Vec<&str>, Vec<i64>) = (get(row, 0)?, get(row, 1)?);
    let since: Vec<Option<super::row::Time>> = get(row, 2)?;
    let all = words.into_iter().zip(numbers).zip(since);
    let read = |((word, number), at): ((&str, i64), Option<super::row::Time>)| {
        let id = DeliveryId(number);
        Ok(match (word, at) {
            ("new", Some(at)) => Submitted::New { id, at: at.0 },
            ("known", Some(at)) => Submitted::Known { id, at: at.0 },
            ("differs", _) => Submitted::Differs(id),
            ("caller", _) => Submitted::CallerHas(number.unsigned_abs()),
            ("queue", _) => Submitted::QueueHas(number.unsigned_abs()),
            _ => return Err(Error::internal(format!("a submission came to {word:?}")).into()),
        })
    };
    all.map(read).collect()
}

async fn ask_to_cancel(tx: &mut Tx<'_>, actor: &str, id: DeliveryId) -> Attempt<Cancelled> {
    let now = tx.ledger().now();
    let call = "SELECT integration._ask_to_cancel($1, $2, $3, false)";
    let row = tx.row("cancel a delivery", call, &[text(&actor), number(&id.0), time(&now)]).await?;
    // The next of its order key may go on, or its holder looks.
    tx.frees_work();
    Ok(if get(&row, 0)? { Cancelled::Ended } else { Cancelled::Asked })
}

async fn end_cancelled(tx: &mut Tx<'_>, actor: &str) -> Attempt<u64> {
    let now = tx.ledger().now();
    let call = "SELECT integration._end_cancelled($1, $2)";
    let row = tx.row("end what was asked to end", call, &[text(&actor), time(&now)]).await?;
    let ended = get::<i64>(&row, 0)?.unsigned_abs();
    if ended > 0 {
        tx.frees_work();
    }
    Ok(ended)
}

async fn add_progress(tx: &mut Tx<'_>, id: DeliveryId, at: &[Timestamp], lines: &[String]) -> Attempt<u64> {
    let max = i64::try_from(PROGRESS_LINES_MAX).unwrap_or(i64::MAX);
    let call = "SELECT integration._add_progress($1, $2, $3, $4)";
    let values = [number(&id.0), times(&at), texts(&lines), number(&max)];
    Ok(get::<i64>(&tx.row("keep progress", call, &values).await?, 0)?.unsigned_abs())
}

/// How far these are of which there are rows in these tables.
async fn standing(ledger: &PostgresLedger, tables: &[(&str, &str)], ids: &[i64]) -> Result<Vec<Standing>> {
    let of = |(table, seen): (&str, &str)| {
        format!("SELECT id, status, updated_at FROM integration.{table} WHERE id = ANY ($1) AND {seen}")
    };
    let all = tables.iter().copied().map(of).collect::<Vec<_>>().join(" UNION ALL ");
    let query = format!(
        "SELECT d.id, d.status, d.updated_at, \
         (SELECT coalesce(max(p.seq), 0) FROM integration.progress AS p WHERE p.delivery_id = d.id), \
         EXISTS (SELECT FROM integration.cancellations AS c WHERE c.delivery_id = d.id) FROM ({all}) AS d"
    );
    each(&ledger.read("look how far deliveries are", &query, &[numbers(&ids)]).await?, |row| {
        Ok(Standing {
            id: id_of(row, 0)?,
            status: parsed(row, 1)?,
            updated_at: time_of(row, 2)?,
            lines: get::<i64>(row, 3)?.unsigned_abs(),
            cancelling: get(row, 4)?,
        })
    })
}

async fn forget(tx: &mut Tx<'_>, before: Timestamp, max: i64) -> Attempt<u64> {
    let call = "SELECT integration._forget_jobs($1, $2)";
    let row = tx.row("forget what belongs to ended jobs", call, &[time(&before), number(&max)]).await?;
    Ok(get::<i64>(&row, 0)?.unsigned_abs())
}
