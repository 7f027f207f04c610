//! What came to an end over time.

use super::SqliteLedger;
use super::error::sql;
use super::row::parsed;
use super::writer::{Step, Write};
use crate::activity::{self, Activities, Activity, COLUMN_COUNT, COLUMNS, Counts, HOUR, MINUTE};
use async_trait::async_trait;
use handover_core::Result;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

const DOING: &str = "count what ended";

#[async_trait]
impl Activities for SqliteLedger {
    async fn add_activity(&self, process: &str, number: u64, counted: Vec<Activity>) -> Result<()> {
        let process = process.to_owned();
        self.writer.run(Step::Quiet, move |w| add(w, &process, number, &counted)).await
    }

    async fn activity(
        &self,
        from: Timestamp,
        until: Timestamp,
        step: u32,
        app: Option<&str>,
    ) -> Result<Vec<Activity>> {
        let app = app.map(ToOwned::to_owned);
        self.readers.run(move |c| range(c, from, until, step, app.as_deref())).await
    }

    async fn activity_totals(&self) -> Result<Vec<Activity>> {
        self.readers.run(totals).await
    }

    async fn fold_activity(&self, before: Timestamp) -> Result<u64> {
        let before = activity::second(before).div_euclid(HOUR) * HOUR;
        match self.readers.run(move |c| oldest(c, before)).await? {
            None => Ok(0),
            Some(oldest) => {
                self.writer.run(Step::Quiet, move |w| fold(w, before.min(oldest + 24 * HOUR))).await
            }
        }
    }

    async fn forget_activity(&self, before: Timestamp) -> Result<u64> {
        self.writer.run(Step::Quiet, move |w| forget(w, activity::second(before))).await
    }
}

fn add(write: &Write<'_>, process: &str, number: u64, counted: &[Activity]) -> Result<()> {
    let note = "INSERT INTO activity_adds VALUES (?1, ?2, ?3) ON CONFLICT (process) \
                DO UPDATE SET number = excluded.number, at = excluded.at WHERE excluded.number > number";
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let new = write
        .sql
        .prepare_cached(note)
        .and_then(|mut statement| statement.execute(params![process, number, activity::second(write.at)]))
        .map_err(sql(DOING))?;
    if new == 0 {
        return Ok(());
    }
    let places: Vec<String> = (1..=COLUMN_COUNT + 4).map(|place| format!("?{place}")).collect();
    let text = format!(
        "INSERT INTO activity (seconds, at, app, kind, {}) VALUES ({}) {}",
        activity::columns(),
        places.join(", "),
        activity::add_up("activity")
    );
    let mut statement = write.sql.prepare_cached(&text).map_err(sql(DOING))?;
    for row in activity::rows(counted) {
        let key: [Value; 4] =
            [row.seconds.into(), row.at.into(), row.app.into(), row.kind.as_str().to_owned().into()];
        let values = key.into_iter().chain(row.counts.values().map(Value::from));
        statement.execute(params_from_iter(values)).map_err(sql(DOING))?;
    }
    Ok(())
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Activity> {
    let mut columns = [0; COLUMN_COUNT];
    for (place, column) in columns.iter_mut().enumerate() {
        *column = row.get(place + 3)?;
    }
    Ok(Activity {
        at: activity::time_of(row.get(0)?),
        app: row.get(1)?,
        kind: parsed(row, 2)?,
        counts: Counts::read(|place| columns[place]),
    })
}

fn range(
    connection: &Connection,
    from: Timestamp,
    until: Timestamp,
    step: u32,
    app: Option<&str>,
) -> Result<Vec<Activity>> {
    let text = format!(
        "SELECT at - at % ?3 AS step, app, kind, {} FROM activity \
         WHERE seconds IN ({MINUTE}, {HOUR}) AND at >= ?1 AND at < ?2 AND (?4 IS NULL OR app = ?4) \
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        activity::sums()
    );
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| {
            let values = params![activity::second(from), activity::second(until), step.max(1), app];
            statement.query_map(values, read)?.collect()
        })
        .map_err(sql("read what ended"))
}

fn totals(connection: &Connection) -> Result<Vec<Activity>> {
    let text = format!(
        "SELECT at, app, kind, {} FROM activity WHERE seconds = 0 ORDER BY app, kind",
        activity::columns()
    );
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_map([], read)?.collect())
        .map_err(sql("read what ended"))
}

/// The oldest hour that has minutes from before this time.
fn oldest(connection: &Connection, before: i64) -> Result<Option<i64>> {
    let text = "SELECT min(at) FROM activity WHERE seconds = 60 AND at < ?1";
    connection
        .prepare_cached(text)
        .and_then(|mut statement| statement.query_row([before], |row| row.get::<_, Option<i64>>(0)))
        .map(|oldest| oldest.map(|at| at.div_euclid(HOUR) * HOUR))
        .map_err(sql("look for old minutes"))
}

fn fold(write: &Write<'_>, before: i64) -> Result<u64> {
    let sums = COLUMNS.map(|column| format!("sum({column})")).join(", ");
    let text = format!(
        "INSERT INTO activity (seconds, at, app, kind, {}) SELECT {HOUR}, at - at % {HOUR}, app, kind, {sums} FROM activity \
         WHERE seconds = {MINUTE} AND at < ?1 GROUP BY 2, 3, 4 {}",
        activity::columns(),
        activity::add_up("activity")
    );
    let gone = "DELETE FROM activity WHERE seconds = 60 AND at < ?1";
    let folded = write.sql.execute(&text, [before]).and_then(|_| write.sql.execute(gone, [before]));
    folded.map(|rows| rows as u64).map_err(sql("fold minutes into hours"))
}

fn forget(write: &Write<'_>, before: i64) -> Result<u64> {
    let hours = "DELETE FROM activity WHERE seconds = 3600 AND at < ?1";
    let processes = "DELETE FROM activity_adds WHERE at < ?1";
    let idle = activity::second(write.at) - 24 * HOUR;
    let gone = write.sql.execute(hours, [before]);
    gone.and_then(|rows| write.sql.execute(processes, [idle]).map(|_| rows as u64))
        .map_err(sql("forget old hours"))
}
