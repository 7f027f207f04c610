//! Sizes over time.

use super::SqliteLedger;
use super::alerts::execute;
use super::error::sql;
use super::row::{time, unsigned};
use super::writer::{Step, Write};
use crate::sizes::{Size, Sizes, bounds};
use async_trait::async_trait;
use handover_core::Result;
use handover_core::clock::rfc3339;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use std::time::Duration;

#[async_trait]
impl Sizes for SqliteLedger {
    async fn sizes_due(&self, every: Duration) -> Result<bool> {
        let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
        let now = self.clock.now();
        let before = now.checked_sub(every).unwrap_or(Timestamp::UNIX_EPOCH);
        // What was measured before the clock was set back tells nothing.
        let query = "SELECT coalesce(max(at), '') <= ?1 FROM sizes WHERE at <= ?2";
        let due = move |c: &Connection| {
            c.query_row(query, [rfc3339(before), rfc3339(now)], |row| row.get(0))
                .map_err(sql("look at the sizes"))
        };
        self.readers.run(due).await
    }

    async fn add_sizes(&self, sizes: Vec<(String, u64, Option<u64>)>) -> Result<()> {
        self.writer.run(Step::Quiet, move |w| add(w, &sizes)).await
    }

    async fn sizes(&self, what: &str, since: Timestamp) -> Result<Vec<Size>> {
        let (what, since) = (what.to_owned(), rfc3339(since));
        let query = "SELECT what, at, bytes, entries FROM sizes \
                     WHERE substr(what, 1, length(?1)) = ?1 AND at >= ?2 ORDER BY what, at";
        let read = move |c: &Connection| {
            c.prepare_cached(query)
                .and_then(|mut statement| {
                    let size = |row: &rusqlite::Row<'_>| {
                        Ok(Size {
                            what: row.get(0)?,
                            at: time(row, 1)?,
                            bytes: unsigned(row, 2)?.unwrap_or(0),
                            entries: unsigned(row, 3)?,
                        })
                    };
                    statement.query_map(params![what, since], size)?.collect()
                })
                .map_err(sql("read the sizes"))
        };
        self.readers.run(read).await
    }

    async fn thin_sizes(&self) -> Result<u64> {
        self.writer.run(Step::Quiet, thin).await
    }
}

fn add(write: &Write<'_>, sizes: &[(String, u64, Option<u64>)]) -> Result<()> {
    let kept = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let text = "INSERT INTO sizes VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    for (what, bytes, entries) in sizes {
        let values = params![what, write.now, kept(*bytes), entries.map(kept)];
        execute(write, "note sizes", text, values)?;
    }
    Ok(())
}

fn thin(write: &Write<'_>) -> Result<u64> {
    let (all, daily) = bounds(write.at);
    let old = execute(write, "thin out sizes", "DELETE FROM sizes WHERE at < ?1", params![rfc3339(daily)])?;
    let text = "DELETE FROM sizes WHERE at < ?1 AND EXISTS (SELECT 1 FROM sizes AS s WHERE s.what = sizes.what \
                AND s.at > sizes.at AND s.at < substr(sizes.at, 1, 10) || 'U')";
    let thinned = execute(write, "thin out sizes", text, params![rfc3339(all)])?;
    Ok((old + thinned) as u64)
}
