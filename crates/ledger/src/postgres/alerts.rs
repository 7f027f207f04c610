//! Alerts, and the notices made of them. Whoever changes them holds a lock of the server, so that one at a time decides.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, id_or_none, parsed, time as time_of, time_or_none};
use super::tx::{Tx, in_transaction, number, seconds, text, texts, time};
use crate::alerts::{
    Alert, Alerts, Look, Looked, Notice, Target, body, looked, parsed_json, row as as_row, to_tell,
};
use async_trait::async_trait;
use handover_core::Result;
use jiff::Timestamp;
use std::time::Duration;
use tokio_postgres::Row;

#[async_trait]
impl Alerts for PostgresLedger {
    async fn look(&self, look: Look) -> Result<Looked> {
        in_transaction!(self, |tx| note(tx, look.clone()))
    }

    async fn alerts(&self, ended_since: Option<Timestamp>) -> Result<Vec<Alert>> {
        let query = format!(
            "SELECT {COLUMNS} FROM integration.alerts WHERE ended_at IS NULL OR ended_at >= $1 \
             ORDER BY ended_at IS NOT NULL, verdict, CASE WHEN ended_at IS NULL THEN since END, ended_at DESC, key"
        );
        each(&self.read("read the alerts", &query, &[time(&ended_since)]).await?, alert)
    }

    async fn mute_alert(&self, actor: &str, key: &str, until: Option<Timestamp>) -> Result<bool> {
        let by = until.map(|_| actor);
        in_transaction!(self, |tx| mute(tx, key, until, by))
    }

    async fn make_notices(&self, targets: Vec<Target>) -> Result<usize> {
        if targets.is_empty() {
            return Ok(0);
        }
        in_transaction!(self, |tx| make(tx, &targets))
    }

    async fn take_notice(&self, targets: Vec<String>, lease: Duration) -> Result<Option<Notice>> {
        in_transaction!(self, |tx| take(tx, &targets, lease))
    }

    async fn notice_delivered(&self, id: i64) -> Result<()> {
        in_transaction!(self, |tx| drop_notice(tx, id))
    }

    async fn notice_failed(&self, id: i64, error: &str, again_after: Option<Duration>) -> Result<()> {
        match again_after {
            Some(after) => in_transaction!(self, |tx| again(tx, id, error, after)),
            None => self.notice_delivered(id).await,
        }
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>> {
        let query = format!("SELECT {NOTICE} FROM integration.notices ORDER BY due_at, id LIMIT $1");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        each(&self.read("read the notices", &query, &[number(&limit)]).await?, notice)
    }

    async fn forget_alerts(&self, ended_before: Timestamp) -> Result<u64> {
        in_transaction!(self, |tx| forget(tx, ended_before))
    }
}

const COLUMNS: &str = "key, kind, verdict, app, delivery_id, count, text, todo, seen_by, since, raised_at, seen_at, told_at, \
     muted_until, muted_by, ended_at, told::text";
/// "ALERTS" in ASCII.
const LOCK: &str = "SELECT 1 FROM pg_advisory_xact_lock(71752852194387)";

fn alert(row: &Row) -> Attempt<Alert> {
    Ok(Alert {
        key: get(row, 0)?,
        kind: parsed(row, 1)?,
        verdict: parsed(row, 2)?,
        app: get(row, 3)?,
        delivery_id: id_or_none(row, 4)?,
        count: u64::try_from(get::<i64>(row, 5)?).unwrap_or(0),
        text: get(row, 6)?,
        todo: get(row, 7)?,
        seen_by: get(row, 8)?,
        since: time_of(row, 9)?,
        raised_at: time_of(row, 10)?,
        seen_at: time_of(row, 11)?,
        told_at: time_or_none(row, 12)?,
        muted_until: time_or_none(row, 13)?,
        muted_by: get(row, 14)?,
        ended_at: time_or_none(row, 15)?,
        told: parsed_json(get(row, 16)?)?,
    })
}

/// Now, and the alerts, which nobody else changes until this transaction has ended.
async fn known(tx: &mut Tx<'_>) -> Attempt<(Timestamp, Vec<Alert>)> {
    tx.rows("wait for others who look at alerts", LOCK, &[]).await?;
    let now = now(tx).await?;
    let rows = tx.rows("read the alerts", &format!("SELECT {COLUMNS} FROM integration.alerts"), &[]).await?;
    Ok((now, rows.iter().map(alert).collect::<Attempt<_>>()?))
}

/// The server's time, or the test's.
pub(super) async fn now(tx: &mut Tx<'_>) -> Attempt<Timestamp> {
    let ours = tx.ledger().now();
    let row = tx.row("read its clock", "SELECT coalesce($1, clock_timestamp())", &[time(&ours)]).await?;
    time_of(&row, 0)
}

async fn save(tx: &mut Tx<'_>, alerts: &[Alert]) -> Attempt<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    let rows = alerts.iter().map(as_row).collect::<Result<Vec<_>>>()?;
    let write = "INSERT INTO integration.alerts SELECT r.* FROM unnest($1) AS u (row), \
                 LATERAL json_populate_record(NULL::integration.alerts, u.row::json) AS r \
                 ON CONFLICT (key) DO UPDATE SET (kind, verdict, app, delivery_id, count, text, todo, seen_by, since, raised_at, \
                 seen_at, told_at, muted_until, muted_by, ended_at, told) = (excluded.kind, excluded.verdict, excluded.app, \
                 excluded.delivery_id, excluded.count, excluded.text, excluded.todo, excluded.seen_by, excluded.since, \
                 excluded.raised_at, excluded.seen_at, excluded.told_at, excluded.muted_until, excluded.muted_by, \
                 excluded.ended_at, excluded.told)";
    tx.rows("write alerts", write, &[texts(&rows)]).await.map(|_| ())
}

async fn note(tx: &mut Tx<'_>, look: Look) -> Attempt<Looked> {
    let (now, known) = known(tx).await?;
    let (rows, done) = looked(now, known, look);
    save(tx, &rows).await?;
    Ok(done)
}

async fn mute(tx: &mut Tx<'_>, key: &str, until: Option<Timestamp>, by: Option<&str>) -> Attempt<bool> {
    tx.rows("wait for others who look at alerts", LOCK, &[]).await?;
    let update = "UPDATE integration.alerts SET muted_until = $2, muted_by = $3 WHERE key = $1 AND ended_at IS NULL RETURNING 1";
    let values = [text(&key), time(&until), text(&by)];
    Ok(!tx.rows("mute an alert", update, &values).await?.is_empty())
}

async fn make(tx: &mut Tx<'_>, targets: &[Target]) -> Attempt<usize> {
    let (now, mut alerts) = known(tx).await?;
    let mut made = 0;
    for target in targets {
        let (lines, told) = to_tell(now, &alerts, target);
        if lines.is_empty() {
            continue;
        }
        let insert = "INSERT INTO integration.notices (target, made_at, due_at, body) VALUES ($1, $2, $2, $3::text::json)";
        let body = body(&lines)?;
        tx.rows("make a notice", insert, &[text(&target.name), time(&now), text(&body)]).await?;
        save(tx, &told).await?;
        made += 1;
        for after in told {
            if let Some(alert) = alerts.iter_mut().find(|alert| alert.key == after.key) {
                *alert = after;
            }
        }
    }
    Ok(made)
}

const NOTICE: &str = "id, target, made_at, due_at, attempts, error, body::text";

fn notice(row: &Row) -> Attempt<Notice> {
    Ok(Notice {
        id: get(row, 0)?,
        target: get(row, 1)?,
        made_at: time_of(row, 2)?,
        due_at: time_of(row, 3)?,
        attempts: u32::try_from(get::<i64>(row, 4)?).unwrap_or(u32::MAX),
        error: get(row, 5)?,
        lines: parsed_json(get(row, 6)?)?,
    })
}

async fn take(tx: &mut Tx<'_>, targets: &[String], lease: Duration) -> Attempt<Option<Notice>> {
    let (now, lease) = (tx.ledger().now(), lease.as_secs_f64());
    let update = format!(
        "UPDATE integration.notices SET attempts = attempts + 1, \
         due_at = coalesce($2, clock_timestamp()) + make_interval(secs => $3) \
         WHERE id = (SELECT id FROM integration.notices WHERE due_at <= coalesce($2, clock_timestamp()) AND target = ANY ($1) \
                     ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING {NOTICE}"
    );
    let values = [texts(&targets), time(&now), seconds(&lease)];
    tx.rows("take a notice", &update, &values).await?.first().map(notice).transpose()
}

async fn drop_notice(tx: &mut Tx<'_>, id: i64) -> Attempt<()> {
    let delete = "DELETE FROM integration.notices WHERE id = $1";
    tx.rows("end a notice", delete, &[number(&id)]).await.map(|_| ())
}

async fn again(tx: &mut Tx<'_>, id: i64, error: &str, after: Duration) -> Attempt<()> {
    let (now, after) = (tx.ledger().now(), after.as_secs_f64());
    let update = "UPDATE integration.notices SET error = $2, \
                  due_at = coalesce($3, clock_timestamp()) + make_interval(secs => $4) WHERE id = $1";
    let values = [number(&id), text(&error), time(&now), seconds(&after)];
    tx.rows("note that a notice was not delivered", update, &values).await.map(|_| ())
}

async fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Attempt<u64> {
    let delete = "WITH gone AS (DELETE FROM integration.alerts WHERE ended_at < $1 RETURNING 1) SELECT count(*) FROM gone";
    let row = tx.row("forget alerts that ended", delete, &[time(&before)]).await?;
    Ok(u64::try_from(get::<i64>(&row, 0)?).unwrap_or(0))
}
