//! Sizes over time.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, time as time_of};
use super::tx::{Tx, in_transaction, numbers, seconds, text, texts, time};
use crate::sizes::{Size, Sizes, bounds};
use async_trait::async_trait;
use handover_core::{Error, Result};
use jiff::Timestamp;
use std::time::Duration;

#[async_trait]
impl Sizes for PostgresLedger {
    async fn sizes_due(&self, every: Duration) -> Result<bool> {
        // What was measured before the clock was set back tells nothing.
        let query = "WITH clock AS MATERIALIZED (SELECT coalesce($1, clock_timestamp()) AS now) \
                     SELECT coalesce(max(at) <= min(clock.now) - make_interval(secs => $2), true) \
                     FROM clock LEFT JOIN integration.sizes ON at <= clock.now";
        let (now, every) = (self.now(), every.as_secs_f64());
        let rows = self.read("look at the sizes", query, &[time(&now), seconds(&every)]).await?;
        let due = each(&rows, |row| get(row, 0))?;
        due.first().copied().ok_or_else(|| Error::internal("PostgreSQL gave no row"))
    }

    async fn add_sizes(&self, sizes: Vec<(String, u64, Option<u64>)>) -> Result<()> {
        in_transaction!(self, |tx| add(tx, &sizes))
    }

    async fn sizes(&self, what: &str, since: Timestamp) -> Result<Vec<Size>> {
        let query = "SELECT what, at, bytes, entries FROM integration.sizes \
                     WHERE left(what, length($1)) = $1 AND at >= $2 ORDER BY what, at";
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        each(&self.read("read the sizes", query, &[text(&what), time(&since)]).await?, |row| {
            Ok(Size {
                what: get(row, 0)?,
                at: time_of(row, 1)?,
                bytes: unsigned(get(row, 2)?),
                entries: get::<Option<i64>>(row, 3)?.map(unsigned),
            })
        })
    }

    async fn thin_sizes(&self) -> Result<u64> {
        in_transaction!(self, |tx| thin(tx))
    }
}

async fn add(tx: &mut Tx<'_>, sizes: &[(String, u64, Option<u64>)]) -> Attempt<()> {
    let kept = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let what: Vec<&str> = sizes.iter().map(|(what, ..)| what.as_str()).collect();
    let bytes: Vec<i64> = sizes.iter().map(|(_, bytes, _)| kept(*bytes)).collect();
    let entries: Vec<Option<i64>> = sizes.iter().map(|(.., entries)| entries.map(kept)).collect();
    let now = tx.ledger().now();
    let insert = "INSERT INTO integration.sizes (what, at, bytes, entries) \
                  SELECT what, coalesce($4, now()), bytes, entries FROM unnest($1, $2, $3) AS u (what, bytes, entries) \
                  ON CONFLICT DO NOTHING";
    let values = [texts(&what), numbers(&bytes), numbers(&entries), time(&now)];
    tx.rows("note sizes", insert, &values).await.map(|_| ())
}

async fn thin(tx: &mut Tx<'_>) -> Attempt<u64> {
    let (all, daily) = bounds(super::alerts::now(tx).await?);
    let delete = "WITH gone AS (DELETE FROM integration.sizes AS o WHERE at < $2 OR at < $1 AND EXISTS ( \
                      SELECT FROM integration.sizes AS s WHERE s.what = o.what AND s.at > o.at \
                      AND s.at < (date_trunc('day', o.at AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC') RETURNING 1) \
                  SELECT count(*) FROM gone";
    let row = tx.row("thin out sizes", delete, &[time(&all), time(&daily)]).await?;
    Ok(u64::try_from(get::<i64>(&row, 0)?).unwrap_or(0))
}
