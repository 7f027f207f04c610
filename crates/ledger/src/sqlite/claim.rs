//! Claiming and leases. One claim query; whoever has not the token changes nothing.

use super::error::sql;
use super::jobs::{asked_by, end_as_cancelled};
use super::moves::{Moved, moved};
use super::query::get;
use super::row::{COLUMNS, checked, parsed};
use super::writer::{Write, bounded};
use crate::api::{Claim, Held, Queue, Rescued};
use crate::backoff::places_of_age;
use handover_core::clock::rfc3339;
use handover_core::limits::{AGED_AFTER_MS, AGED_LOOK_AT, AGED_PRIORITIES_MAX, RESCUES_MAX};
use handover_core::{Delivery, DeliveryId, Error, HolderId, Kind, LeaseToken, Result, Status};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;

/// The claim query: what this app may do now, highest priority first, then oldest; within an order key one at a
/// time, oldest first, and a delayed one holds up those behind it; nothing deleted, delayed or paused.
pub(super) fn candidates(queue: Queue) -> String {
    runnable(queue, queue.table(), "ORDER BY priority DESC, id")
}

/// The same of one priority, oldest first, for the places of what has waited longest: `?2` is so long ago that it has. Only the
/// first `?6` of what may run at `?5` are looked at, so that young ones are not all read at each claim: what lies behind them has
/// its turn when they have had theirs.
pub(super) fn aged(queue: Queue) -> String {
    let first = format!(
        "(SELECT id, status, target_app, run_at, deleted_at, order_key FROM {} \
         WHERE status = 'pending' AND target_app = ?1 AND priority = ?4 AND run_at <= ?5 AND deleted_at IS NULL \
         ORDER BY id LIMIT ?6)",
        queue.table()
    );
    runnable(queue, &first, "")
}

/// Those of these rows of a queue that may run now.
fn runnable(queue: Queue, rows: &str, which: &str) -> String {
    let table = queue.table();
    format!(
        "SELECT id FROM {rows} AS d WHERE status = 'pending' AND target_app = ?1 AND run_at <= ?2 AND deleted_at IS NULL \
         AND (order_key IS NULL OR (\
              NOT EXISTS (SELECT 1 FROM {table} AS e WHERE e.target_app = d.target_app AND e.order_key = d.order_key \
                          AND e.status = 'processing') \
              AND NOT EXISTS (SELECT 1 FROM {table} AS e WHERE e.target_app = d.target_app AND e.order_key = d.order_key \
                          AND e.status = 'pending' AND e.id < d.id AND e.deleted_at IS NULL))) \
         AND NOT EXISTS (SELECT 1 FROM paused_apps WHERE app = ?1) \
         {which} LIMIT ?3"
    )
}

/// The next priority above this one of what waits for an app.
pub(super) fn next_priority(queue: Queue) -> String {
    format!(
        "SELECT priority FROM {} WHERE status = 'pending' AND target_app = ?1 AND priority > ?2 ORDER BY priority LIMIT 1",
        queue.table()
    )
}

/// Whether a claim would find anything: asked before, so that an idle process does not write.
pub(super) fn any(connection: &Connection, queue: Queue, app: &str, now: &str) -> Result<bool> {
    // Of a paused app the query would look at all that waits, and find nothing.
    let paused = connection
        .prepare_cached("SELECT 1 FROM paused_apps WHERE app = ?1")
        .and_then(|mut statement| statement.exists([app]))
        .map_err(sql("look for paused apps"))?;
    if paused {
        return Ok(false);
    }
    connection
        .prepare_cached(&candidates(queue))
        .and_then(|mut statement| statement.exists(params![app, now, 1]))
        .map_err(sql("look for work"))
}

pub(super) fn claim(write: &Write<'_>, claim: &Claim) -> Result<Vec<Delivery>> {
    let until = rfc3339(later(write.at, claim.lease)?);
    let token = LeaseToken::random();
    let mut claimed: Vec<Delivery> = Vec::new();
    loop {
        let max = claim.max - claimed.len();
        let mut found = take_aged(write, claim, &token, &until, places_of_age(max, &token))?;
        found.extend(take(write, claim, &token, &until, max - found.len())?);
        found.sort_by_key(|(delivery, _)| delivery.id);
        let moves: Vec<Moved> = found
            .iter()
            .map(|(d, _)| Moved::new(d.id, app_of(d), d.kind, Status::Pending, Status::Processing))
            .collect();
        moved(write, &claim.holder.0, &moves)?;
        let mut unreadable = 0;
        for (delivery, why) in found {
            match why {
                None => claimed.push(delivery),
                Some(why) => {
                    refuse(write, claim, &delivery, &why)?;
                    unreadable += 1;
                }
            }
        }
        // What takes the place of those that were refused.
        if unreadable == 0 || claimed.len() >= claim.max {
            break;
        }
    }
    claimed.sort_by_key(|d| (std::cmp::Reverse(d.priority), d.id));
    Ok(claimed)
}

fn app_of(delivery: &Delivery) -> &str {
    delivery.target_app.as_deref().unwrap_or_default()
}

type Found = (Delivery, Option<String>);

/// What has waited longest, and for over a minute: at most so many, oldest first, whatever their priority. Without it a steady
/// flow of high priority would starve the rest. It looks at the oldest of each priority by the claim's own index; where all have
/// the same it gives nothing: that is the usual order.
fn waited_longest(write: &Write<'_>, claim: &Claim, places: usize) -> Result<Vec<i64>> {
    let Ok(since) = write.at.checked_sub(Duration::from_millis(AGED_AFTER_MS)) else { return Ok(Vec::new()) };
    let read = || {
        let mut priorities: Vec<i64> = Vec::new();
        let mut next = write.sql.prepare_cached(&next_priority(claim.queue))?;
        while priorities.len() < AGED_PRIORITIES_MAX {
            let above = priorities.last().copied().unwrap_or(i64::MIN);
            let Some(priority) = next.query_row(params![claim.app, above], |row| row.get(0)).optional()?
            else {
                break;
            };
            priorities.push(priority);
        }
        let mut ids: Vec<i64> = Vec::new();
        if priorities.len() > 1 {
            let mut oldest = write.sql.prepare_cached(&aged(claim.queue))?;
            let look_at = places.saturating_mul(4).max(AGED_LOOK_AT);
            let [places, look_at] = [places, look_at].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
            for priority in priorities {
                let values = params![claim.app, rfc3339(since), places, priority, write.now, look_at];
                for id in oldest.query_map(values, |row| row.get(0))? {
                    ids.push(id?);
                }
            }
        }
        Ok(ids)
    };
    let mut ids = read().map_err(sql("look for what has waited longest"))?;
    ids.sort_unstable();
    ids.truncate(places);
    Ok(ids)
}

/// Takes what has waited longest, whatever its priority.
fn take_aged(
    write: &Write<'_>,
    claim: &Claim,
    token: &LeaseToken,
    until: &str,
    places: usize,
) -> Result<Vec<Found>> {
    let ids = match places {
        0 => Vec::new(),
        _ => waited_longest(write, claim, places)?,
    };
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = serde_json::json!(ids).to_string();
    mark(write, claim, (token, until), "SELECT value FROM json_each(?1)", &ids, places)
}

fn take(write: &Write<'_>, claim: &Claim, token: &LeaseToken, until: &str, max: usize) -> Result<Vec<Found>> {
    mark(write, claim, (token, until), &candidates(claim.queue), &claim.app, max)
}

/// Marks as claimed what this query gives for its `?1` and, at most, `?3`.
fn mark(
    write: &Write<'_>,
    claim: &Claim,
    (token, until): (&LeaseToken, &str),
    which: &str,
    of: &str,
    max: usize,
) -> Result<Vec<Found>> {
    let text = format!(
        "UPDATE {} SET status = 'processing', attempts = attempts + 1, lease_token = ?4, leased_by = ?5, lease_until = ?6, \
         updated_at = ?2 WHERE id IN ({which}) RETURNING {COLUMNS}",
        claim.queue.table()
    );
    write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let values = params![of, write.now, max, token.0, claim.holder.0, until];
            statement.query_map(values, checked)?.collect()
        })
        .map_err(sql("claim"))
}

/// Gives up a record that another program wrote as JSON that SQLite takes and we cannot parse.
fn refuse(write: &Write<'_>, claim: &Claim, delivery: &Delivery, why: &str) -> Result<()> {
    let text = format!(
        "UPDATE {} SET status = 'failed', processed_at = ?2, updated_at = ?2, last_error = ?3, lease_token = NULL, \
         leased_by = NULL, lease_until = NULL WHERE id = ?1",
        claim.queue.table()
    );
    let why = bounded(&format!("its data cannot be read: {why}"));
    write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| statement.execute(params![delivery.id.0, write.now, why]))
        .map_err(sql("refuse a record"))?;
    let one = Moved::new(delivery.id, app_of(delivery), delivery.kind, Status::Processing, Status::Failed);
    moved(write, &claim.holder.0, &[one.note(why)])
}

fn later(at: Timestamp, by: Duration) -> Result<Timestamp> {
    at.checked_add(by).map_err(|e| Error::config("the lease is too long").because(e))
}

pub(super) fn renew(write: &Write<'_>, held: Vec<Held>, lease: Duration) -> Result<Vec<Held>> {
    let until = rfc3339(later(write.at, lease)?);
    let mut lost = Vec::new();
    for claim in held {
        let text = format!(
            "UPDATE {} SET lease_until = ?3 WHERE id = ?1 AND lease_token = ?2 AND status = 'processing'",
            claim.queue.table()
        );
        let changed = write
            .sql
            .prepare_cached(&text)
            .and_then(|mut statement| statement.execute(params![claim.id.0, claim.token.0, until]))
            .map_err(sql("renew a lease"))?;
        if changed == 0 {
            lost.push(claim);
        }
    }
    Ok(lost)
}

/// Whether the claim stands.
pub(super) fn holds(connection: &Connection, held: &Held) -> Result<bool> {
    let text = format!(
        "SELECT 1 FROM {} WHERE id = ?1 AND lease_token = ?2 AND status = 'processing'",
        held.queue.table()
    );
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.exists(params![held.id.0, held.token.0]))
        .map_err(sql("check a lease"))
}

/// The error for a claim that no longer stands, with what became of the delivery.
pub(super) fn stale(connection: &Connection, held: &Held) -> Error {
    let what = match get(connection, held.id) {
        Ok(Some(now)) => match (now.status, now.leased_by) {
            (Status::Processing, Some(holder)) => format!("it is processing, held by {holder}"),
            (Status::Completed, Some(holder)) => format!("it is completed, by {holder}"),
            (status, _) => format!("it is {status}"),
        },
        Ok(None) => "it is not in this ledger".to_owned(),
        Err(error) => return error,
    };
    Error::new(
        handover_core::ErrorKind::Stale,
        format!("the lease on delivery {} is no longer ours: {what}", held.id),
    )
    .hint("the work was done again elsewhere, or it was cancelled; nothing was changed")
}

/// Gives work back untouched; what was asked to end has ended.
pub(super) fn release(write: &Write<'_>, held: &[Held], why: Option<&str>) -> Result<usize> {
    let mut released = 0;
    for claim in held {
        // The old holder is read first: RETURNING gives the row as it is afterwards.
        let Some((actor, app, kind)) = holder_of(write, claim)? else { continue };
        if let Some(by) = asked_by(write, claim.queue, claim.id)? {
            end_as_cancelled(write, &actor, claim.id, &by)?;
            released += 1;
            continue;
        }
        let text = format!(
            "UPDATE {} SET status = 'pending', attempts = max(attempts - 1, 0), lease_token = NULL, leased_by = NULL, \
             lease_until = NULL, updated_at = ?3, last_error = coalesce(?4, last_error) \
             WHERE id = ?1 AND lease_token = ?2 AND status = 'processing'",
            claim.queue.table()
        );
        released += write
            .sql
            .prepare_cached(&text)
            .and_then(|mut statement| statement.execute(params![claim.id.0, claim.token.0, write.now, why]))
            .map_err(sql("give work back"))?;
        let back = Moved::new(claim.id, app, kind, Status::Processing, Status::Pending);
        moved(write, &actor, &[Moved { note: why.map(str::to_owned), ..back }])?;
    }
    Ok(released)
}

/// Who has it, the app and the kind, where the claim stands.
fn holder_of(write: &Write<'_>, held: &Held) -> Result<Option<(String, String, Kind)>> {
    let text = format!(
        "SELECT coalesce(leased_by, 'handover'), coalesce(target_app, ''), kind FROM {} \
         WHERE id = ?1 AND lease_token = ?2 AND status = 'processing'",
        held.queue.table()
    );
    write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            let values = params![held.id.0, held.token.0];
            statement.query_row(values, |row| Ok((row.get(0)?, row.get(1)?, parsed(row, 2)?))).optional()
        })
        .map_err(sql("check a lease"))
}

pub(super) const HOLDERS: &str = "SELECT leased_by FROM deliveries INDEXED BY idx_deliveries_leases WHERE status = 'processing' AND leased_by IS NOT NULL \
     UNION SELECT leased_by FROM data_staging INDEXED BY idx_leases WHERE status = 'processing' AND leased_by IS NOT NULL";

pub(super) fn holders(connection: &Connection) -> Result<Vec<HolderId>> {
    connection
        .prepare_cached(HOLDERS)
        .and_then(|mut statement| statement.query_map([], |row| row.get(0).map(HolderId))?.collect())
        .map_err(sql("list the holders"))
}

/// What a rescue takes: leases that have run out, and all of the holders in the JSON array `?2`.
pub(super) fn to_rescue(queue: Queue) -> String {
    let (table, index) = (queue.table(), queue.index());
    format!(
        "SELECT id, coalesce(target_app, ''), leased_by, rescues, kind FROM {table} INDEXED BY {index}leases \
         WHERE status = 'processing' AND lease_until <= ?1 \
         UNION SELECT id, coalesce(target_app, ''), leased_by, rescues, kind FROM {table} INDEXED BY {index}leases \
         WHERE status = 'processing' AND leased_by IN (SELECT value FROM json_each(?2)) ORDER BY id"
    )
}

fn as_json(holders: &[HolderId]) -> Result<String> {
    serde_json::to_string(holders)
        .map_err(|e| Error::internal("holders cannot be written as JSON").because(e))
}

/// Whether a rescue would find anything: asked before, so that an idle process does not write.
pub(super) fn any_lost(connection: &Connection, lost: &[HolderId], now: &str) -> Result<bool> {
    let lost = as_json(lost)?;
    for queue in [Queue::Deliveries, Queue::Records] {
        let found = connection
            .prepare_cached(&to_rescue(queue))
            .and_then(|mut statement| statement.exists(params![now, lost]))
            .map_err(sql("look for lost work"))?;
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn rescue(write: &Write<'_>, actor: &str, lost: &[HolderId]) -> Result<Vec<Rescued>> {
    let mut rescued = Vec::new();
    for queue in [Queue::Deliveries, Queue::Records] {
        for (id, app, holder, rescues, kind) in lost_work(write, queue, lost)? {
            if let Some(by) = asked_by(write, queue, id)? {
                end_as_cancelled(write, actor, id, &by)?;
                rescued.push(Rescued { id, app, holder, status: Status::Failed });
                continue;
            }
            let gone = holder.as_ref().is_some_and(|h| lost.contains(h));
            let why = if gone { "the process that worked on it ended" } else { "its lease ran out" };
            let too_often = rescues >= RESCUES_MAX;
            let status = if too_often { Status::Failed } else { Status::Pending };
            let said = if too_often {
                format!("given up after {rescues} rescues: {why} once more")
            } else {
                why.to_owned()
            };
            let text = format!(
                "UPDATE {} SET status = ?2, attempts = max(attempts - 1, 0), rescues = rescues + 1, lease_token = NULL, \
                 leased_by = NULL, lease_until = NULL, updated_at = ?3, last_error = ?4, \
                 processed_at = CASE ?2 WHEN 'failed' THEN ?3 END WHERE id = ?1",
                queue.table()
            );
            write
                .sql
                .prepare_cached(&text)
                .and_then(|mut statement| statement.execute(params![id.0, status.as_str(), write.now, said]))
                .map_err(sql("rescue a delivery"))?;
            moved(
                write,
                actor,
                &[Moved::new(id, app.as_str(), kind, Status::Processing, status).note(said)],
            )?;
            rescued.push(Rescued { id, app, holder, status });
        }
    }
    Ok(rescued)
}

type Lost = (DeliveryId, String, Option<HolderId>, u32, Kind);

fn lost_work(write: &Write<'_>, queue: Queue, lost: &[HolderId]) -> Result<Vec<Lost>> {
    let lost = as_json(lost)?;
    write
        .sql
        .prepare_cached(&to_rescue(queue))
        .and_then(|mut statement| {
            statement
                .query_map(params![write.now, lost], |row| {
                    Ok((
                        DeliveryId(row.get(0)?),
                        row.get(1)?,
                        row.get::<_, Option<String>>(2)?.map(HolderId),
                        row.get(3)?,
                        parsed(row, 4)?,
                    ))
                })?
                .collect()
        })
        .map_err(sql("look for lost work"))
}
