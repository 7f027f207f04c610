//! Alerts, and the notices made of them.

use super::SqliteLedger;
use super::error::sql;
use super::row::{parsed, time, time_or_none, unsigned};
use super::writer::{Step, Write};
use crate::alerts::{
    Alert, Alerts, Look, Looked, Notice, OPEN_MAX, Target, body, later, looked, parsed_json, to_tell,
};
use async_trait::async_trait;
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Result};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql, params};
use std::time::Duration;

#[async_trait]
impl Alerts for SqliteLedger {
    async fn look(&self, look: Look) -> Result<Looked> {
        self.writer.run(Step::Quiet, move |w| note(w, look)).await
    }

    async fn alerts(&self, ended_since: Option<Timestamp>) -> Result<Vec<Alert>> {
        let since = ended_since.map(rfc3339);
        let query = format!(
            "SELECT {COLUMNS} FROM alerts WHERE ended_at IS NULL OR ended_at >= ?1 \
             ORDER BY ended_at IS NOT NULL, verdict, iif(ended_at IS NULL, since, '') , ended_at DESC, key"
        );
        self.readers.run(move |c| read(c, &query, &[&since])).await
    }

    async fn mute_alert(&self, actor: &str, key: &str, until: Option<Timestamp>) -> Result<bool> {
        let (by, key) = (until.map(|_| actor.to_owned()), key.to_owned());
        let text = "UPDATE alerts SET muted_until = ?2, muted_by = ?3 WHERE key = ?1 AND ended_at IS NULL";
        let until = until.map(rfc3339);
        self.writer
            .run(Step::Quiet, move |w| execute(w, "mute an alert", text, params![key, until, by]))
            .await
            .map(|changed| changed > 0)
    }

    async fn make_notices(&self, targets: Vec<Target>) -> Result<usize> {
        self.writer.run(Step::Quiet, move |w| make(w, &targets)).await
    }

    async fn take_notice(&self, targets: Vec<String>, lease: Duration) -> Result<Option<Notice>> {
        let now = self.clock.now();
        // Nearly always there is none, and nothing is written.
        if notices(&self.readers, None).await?.iter().all(|notice| notice.due_at > now) {
            return Ok(None);
        }
        self.writer.run(Step::Quiet, move |w| take(w, &targets, lease)).await
    }

    async fn notice_delivered(&self, id: i64) -> Result<()> {
        self.writer.run(Step::Quiet, move |w| drop_notice(w, id)).await
    }

    async fn notice_failed(&self, id: i64, error: &str, again_after: Option<Duration>) -> Result<()> {
        let Some(after) = again_after else { return self.notice_delivered(id).await };
        let error = error.to_owned();
        let text = "UPDATE notices SET error = ?2, due_at = ?3 WHERE id = ?1";
        self.writer
            .run(Step::Quiet, move |w| {
                let due = rfc3339(later(w.at, after));
                execute(w, "note that a notice was not delivered", text, params![id, error, due])
            })
            .await
            .map(|_| ())
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>> {
        notices(&self.readers, Some(limit)).await
    }

    async fn forget_alerts(&self, ended_before: Timestamp) -> Result<u64> {
        let text = "DELETE FROM alerts WHERE ended_at < ?1";
        let gone = self.writer.run(Step::Quiet, move |w| {
            execute(w, "forget alerts that ended", text, params![rfc3339(ended_before)])
        });
        gone.await.map(|gone| gone as u64)
    }
}

const COLUMNS: &str = "key, kind, verdict, app, delivery_id, count, text, todo, seen_by, since, raised_at, seen_at, told_at, \
     muted_until, muted_by, ended_at, told";

pub(super) fn execute(
    write: &Write<'_>,
    doing: &'static str,
    text: &str,
    values: &[&dyn ToSql],
) -> Result<usize> {
    write.sql.prepare_cached(text).and_then(|mut statement| statement.execute(values)).map_err(sql(doing))
}

fn read(connection: &Connection, query: &str, values: &[&dyn ToSql]) -> Result<Vec<Alert>> {
    connection
        .prepare_cached(query)
        .and_then(|mut statement| statement.query_map(values, alert)?.collect())
        .map_err(sql("read the alerts"))
}

fn alert(row: &Row<'_>) -> rusqlite::Result<Alert> {
    Ok(Alert {
        key: row.get(0)?,
        kind: parsed(row, 1)?,
        verdict: parsed(row, 2)?,
        app: row.get(3)?,
        delivery_id: row.get::<_, Option<i64>>(4)?.map(DeliveryId),
        count: unsigned(row, 5)?.unwrap_or(0),
        text: row.get(6)?,
        todo: row.get(7)?,
        seen_by: row.get(8)?,
        since: time(row, 9)?,
        raised_at: time(row, 10)?,
        seen_at: time(row, 11)?,
        told_at: time_or_none(row, 12)?,
        muted_until: time_or_none(row, 13)?,
        muted_by: row.get(14)?,
        ended_at: time_or_none(row, 15)?,
        told: json(row, 16)?,
    })
}

fn json<T: for<'a> serde::Deserialize<'a>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parsed_json(row.get_ref(column)?.as_str()?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, e.into()))
}

fn known(write: &Write<'_>) -> Result<Vec<Alert>> {
    read(write.sql, &format!("SELECT {COLUMNS} FROM alerts"), &[])
}

fn save(write: &Write<'_>, alerts: &[Alert]) -> Result<()> {
    let text = format!(
        "INSERT OR REPLACE INTO alerts ({COLUMNS}) VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
    );
    for alert in alerts {
        let told = serde_json::to_string(&alert.told).unwrap_or_default();
        let values = params![
            alert.key,
            alert.kind.as_str(),
            alert.verdict.as_str(),
            alert.app,
            alert.delivery_id.map(|id| id.0),
            i64::try_from(alert.count).unwrap_or(i64::MAX),
            alert.text,
            alert.todo,
            alert.seen_by,
            rfc3339(alert.since),
            rfc3339(alert.raised_at),
            rfc3339(alert.seen_at),
            alert.told_at.map(rfc3339),
            alert.muted_until.map(rfc3339),
            alert.muted_by,
            alert.ended_at.map(rfc3339),
            told
        ];
        execute(write, "write an alert", &text, values)?;
    }
    Ok(())
}

fn note(write: &Write<'_>, look: Look) -> Result<Looked> {
    let (rows, done) = looked(write.at, known(write)?, look);
    save(write, &rows)?;
    Ok(done)
}

fn make(write: &Write<'_>, targets: &[Target]) -> Result<usize> {
    let mut alerts = known(write)?;
    let mut made = 0;
    for target in targets {
        let (lines, told) = to_tell(write.at, &alerts, target);
        if lines.is_empty() {
            continue;
        }
        let text = "INSERT INTO notices (target, made_at, due_at, body) VALUES (?1, ?2, ?2, ?3)";
        execute(write, "make a notice", text, params![target.name, write.now, body(&lines)?])?;
        save(write, &told)?;
        made += 1;
        for after in told {
            if let Some(alert) = alerts.iter_mut().find(|alert| alert.key == after.key) {
                *alert = after;
            }
        }
    }
    Ok(made)
}

const NOTICE: &str = "SELECT id, target, made_at, due_at, attempts, error, body FROM notices";

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        id: row.get(0)?,
        target: row.get(1)?,
        made_at: time(row, 2)?,
        due_at: time(row, 3)?,
        attempts: row.get(4)?,
        error: row.get(5)?,
        lines: json(row, 6)?,
    })
}

async fn notices(readers: &super::reader::Readers, limit: Option<usize>) -> Result<Vec<Notice>> {
    let limit = i64::try_from(limit.unwrap_or(OPEN_MAX)).unwrap_or(i64::MAX);
    let query = format!("{NOTICE} ORDER BY due_at, id LIMIT ?1");
    let read = move |c: &Connection| {
        c.prepare_cached(&query)
            .and_then(|mut statement| statement.query_map([limit], notice)?.collect())
            .map_err(sql("read the notices"))
    };
    readers.run(read).await
}

fn take(write: &Write<'_>, targets: &[String], lease: Duration) -> Result<Option<Notice>> {
    let query = format!(
        "{NOTICE} WHERE due_at <= ?1 AND target IN (SELECT value FROM json_each(?2)) ORDER BY due_at, id LIMIT 1"
    );
    let targets = serde_json::to_string(targets).unwrap_or_default();
    let found: Option<Notice> = write
        .sql
        .prepare_cached(&query)
        .and_then(|mut statement| {
            statement.query_map(params![write.now, targets], notice)?.next().transpose()
        })
        .map_err(sql("take a notice"))?;
    let Some(mut notice) = found else { return Ok(None) };
    notice.attempts += 1;
    notice.due_at = later(write.at, lease);
    let text = "UPDATE notices SET attempts = ?2, due_at = ?3 WHERE id = ?1";
    execute(write, "take a notice", text, params![notice.id, notice.attempts, rfc3339(notice.due_at)])?;
    Ok(Some(notice))
}

fn drop_notice(write: &Write<'_>, id: i64) -> Result<()> {
    execute(write, "end a notice", "DELETE FROM notices WHERE id = ?1", params![id]).map(|_| ())
}
