//! What came to an end over time.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, parsed};
use super::tx::{Tx, Value, in_transaction, number, text};
use crate::activity::{self, Activities, Activity, COLUMN_COUNT, COLUMNS, Counts, HOUR, MINUTE};
use async_trait::async_trait;
use handover_core::Result;
use jiff::Timestamp;
use serde_json::json;
use tokio_postgres::Row;

#[async_trait]
impl Activities for PostgresLedger {
    async fn add_activity(&self, process: &str, number: u64, counted: Vec<Activity>) -> Result<()> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let now = self.now().map(activity::second);
        let rows: Vec<serde_json::Value> = activity::rows(&counted).iter().map(as_json).collect();
        let rows = serde_json::Value::Array(rows).to_string();
        in_transaction!(self, |tx| add(tx, process, number, now, &rows))
    }

    async fn activity(
        &self,
        from: Timestamp,
        until: Timestamp,
        step: u32,
        app: Option<&str>,
    ) -> Result<Vec<Activity>> {
        let query = format!(
            "SELECT at - at % $3::bigint AS step, app, kind, {} FROM integration.activity \
             WHERE seconds IN ({MINUTE}, {HOUR}) AND at >= $1 AND at < $2 AND ($4::text IS NULL OR app = $4) \
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            activity::sums()
        );
        let (from, until) = (activity::second(from), activity::second(until));
        let (step, app) = (i64::from(step.max(1)), app.map(ToOwned::to_owned));
        let values = [number(&from), number(&until), number(&step), text(&app)];
        each(&self.read("read what ended", &query, &values).await?, read)
    }

    async fn activity_totals(&self) -> Result<Vec<Activity>> {
        let query = format!(
            "SELECT at, app, kind, {} FROM integration.activity WHERE seconds = 0 ORDER BY app, kind",
            activity::columns()
        );
        each(&self.read("read what ended", &query, &[]).await?, read)
    }

    async fn fold_activity(&self, before: Timestamp) -> Result<u64> {
        let before = activity::second(before).div_euclid(HOUR) * HOUR;
        in_transaction!(self, |tx| fold(tx, before))
    }

    async fn forget_activity(&self, before: Timestamp) -> Result<u64> {
        let before = activity::second(before);
        let now = self.now().map(activity::second);
        in_transaction!(self, |tx| forget(tx, before, now))
    }
}

fn as_json(row: &activity::Row) -> serde_json::Value {
    let mut all = json!({"seconds": row.seconds, "at": row.at, "app": row.app, "kind": row.kind.as_str()});
    for (column, value) in COLUMNS.iter().zip(row.counts.values()) {
        all[*column] = value.into();
    }
    all
}

async fn add(tx: &mut Tx<'_>, process: &str, count: i64, now: Option<i64>, rows: &str) -> Attempt<()> {
    let columns = activity::columns();
    let statement = format!(
        "WITH new AS (INSERT INTO integration.activity_adds AS d \
                 VALUES ($1, $2, coalesce($3, extract(epoch FROM clock_timestamp())::bigint)) ON CONFLICT (process) \
                 DO UPDATE SET number = excluded.number, at = excluded.at WHERE excluded.number > d.number RETURNING 1) \
         INSERT INTO integration.activity AS a (seconds, at, app, kind, {columns}) \
         SELECT seconds, at, app, kind, {columns} FROM json_populate_recordset(NULL::integration.activity, $4::text::json) \
         WHERE EXISTS (SELECT FROM new) ORDER BY seconds, at, app, kind {}",
        activity::add_up("a")
    );
    let values = [text(&process), number(&count), number(&now), text(&rows)];
    tx.rows("count what ended", &statement, &values).await.map(|_| ())
}

fn read(row: &Row) -> Attempt<Activity> {
    let mut columns = [0; COLUMN_COUNT];
    for (place, column) in columns.iter_mut().enumerate() {
        *column = get(row, place + 3)?;
    }
    Ok(Activity {
        at: activity::time_of(get(row, 0)?),
        app: get(row, 1)?,
        kind: parsed(row, 2)?,
        counts: Counts::read(|place| columns[place]),
    })
}

/// What another adds meanwhile to a minute that goes is not lost: it waits for this, finds no row, and makes one.
async fn fold(tx: &mut Tx<'_>, before: i64) -> Attempt<u64> {
    let columns = activity::columns();
    let statement = format!(
        "WITH gone AS (DELETE FROM integration.activity WHERE seconds = {MINUTE} AND at < least($1, (SELECT \
                 min(at) / {HOUR} * {HOUR} + {HOUR} * 24 FROM integration.activity WHERE seconds = {MINUTE})) RETURNING *), \
         kept AS (INSERT INTO integration.activity AS a (seconds, at, app, kind, {columns}) \
             SELECT {HOUR}, at / {HOUR} * {HOUR}, app, kind, {} FROM gone GROUP BY 2, 3, 4 ORDER BY 2, 3, 4 {}) \
         SELECT count(*) FROM gone",
        activity::sums(),
        activity::add_up("a")
    );
    rows_of(tx, "fold minutes into hours", &statement, &[number(&before)]).await
}

async fn forget(tx: &mut Tx<'_>, before: i64, now: Option<i64>) -> Attempt<u64> {
    let statement = "WITH gone AS (DELETE FROM integration.activity WHERE seconds = 3600 AND at < $1 RETURNING 1), \
                     processes AS (DELETE FROM integration.activity_adds \
                         WHERE at < coalesce($2, extract(epoch FROM clock_timestamp())::bigint) - 86400) \
                     SELECT count(*) FROM gone";
    rows_of(tx, "forget old hours", statement, &[number(&before), number(&now)]).await
}

async fn rows_of(
    tx: &mut Tx<'_>,
    doing: &'static str,
    statement: &str,
    values: &[Value<'_>],
) -> Attempt<u64> {
    let rows = tx.rows(doing, statement, values).await?;
    let count: i64 = rows.first().map_or(Ok(0), |row| get(row, 0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
