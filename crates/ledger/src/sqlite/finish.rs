//! Ending an attempt: well, with what follows, or badly. Both are one transaction with all that belongs to them.

use super::claim::stale;
use super::error::sql;
use super::jobs::asked_by;
use super::moves::{Moved, moved};
use super::push::push_all;
use super::row::parsed;
use super::writer::{Write, bounded};
use crate::api::{Completion, Failed, Failure, Held, Verdict};
use crate::backoff::delay;
use crate::jobs::{cancelled_by, cancelled_result};
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Kind, NewDelivery, Result, Status};
use rusqlite::{OptionalExtension as _, params};

pub(super) fn complete(write: &Write<'_>, completion: Completion) -> Result<Vec<DeliveryId>> {
    let held = &completion.held;
    let text = format!(
        "SELECT coalesce(leased_by, 'handover'), order_key IS NOT NULL, coalesce(target_app, ''), kind FROM {} \
         WHERE id = ?1 AND lease_token = ?2 AND status = 'processing'",
        held.queue.table()
    );
    let ended: Option<(String, bool, String, Kind)> = write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            let values = params![held.id.0, held.token.0];
            statement
                .query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, parsed(row, 3)?)))
                .optional()
        })
        .map_err(sql("complete a delivery"))?;
    let Some((actor, ordered, app, kind)) = ended else { return Err(stale(write.sql, held)) };
    // Nobody comes between: the transaction has the right to write from its beginning.
    let text = format!(
        "UPDATE {} SET status = 'completed', processed_at = ?2, updated_at = ?2, result = ?3, last_error = NULL, \
         lease_token = NULL, lease_until = NULL WHERE id = ?1",
        held.queue.table()
    );
    write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            statement.execute(params![held.id.0, write.now, completion.result.to_string()])
        })
        .map_err(sql("complete a delivery"))?;
    moved(write, &actor, &[Moved::new(held.id, app, kind, Status::Processing, Status::Completed)])?;
    if ordered {
        // The next of its order key waits for this end.
        write.frees_work.set(true);
    }
    if let Some(checksum) = completion.checksum {
        write
            .sql
            .prepare_cached("UPDATE arrivals SET checksum = ?2 WHERE delivery_id = ?1")
            .and_then(|mut statement| statement.execute(params![held.id.0, checksum.to_string()]))
            .map_err(sql("note an arrival's content"))?;
    }
    push_next(write, &actor, held, completion.next)
}

/// Hands over what follows a delivery.
pub(super) fn push_next(
    write: &Write<'_>,
    actor: &str,
    held: &Held,
    mut next: Vec<NewDelivery>,
) -> Result<Vec<DeliveryId>> {
    if next.is_empty() {
        return Ok(Vec::new());
    }
    next.iter_mut().for_each(|new| new.parent_id = new.parent_id.or(Some(held.id)));
    Ok(push_all(write, actor, &next)?.into_iter().map(crate::api::Pushed::id).collect())
}

pub(super) fn fail(write: &Write<'_>, failure: Failure) -> Result<Failed> {
    let held = &failure.held;
    let text = format!(
        "SELECT attempts, max_attempts, snoozes, coalesce(leased_by, 'handover'), coalesce(target_app, ''), kind FROM {} \
         WHERE id = ?1 AND lease_token = ?2 AND status = 'processing'",
        held.queue.table()
    );
    let row: Option<(u32, u32, u32, String, String, Kind)> = write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            let values = params![held.id.0, held.token.0];
            statement
                .query_row(values, |r| {
                    Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, parsed(r, 5)?))
                })
                .optional()
        })
        .map_err(sql("fail a delivery"))?;
    let Some((attempts, max_attempts, snoozes, actor, app, kind)) = row else {
        return Err(stale(write.sql, held));
    };
    let asked = match failure.verdict {
        Verdict::Final => None,
        Verdict::Retry | Verdict::Later => asked_by(write, held.queue, held.id)?,
    };
    let said = asked.as_deref().map_or_else(|| bounded(&failure.error), cancelled_by);
    let result = match asked {
        Some(_) => Some(cancelled_result(failure.result.as_ref())),
        None => failure.result,
    };
    let (attempts, snoozes, wait) = match failure.verdict {
        _ if asked.is_some() => (attempts, snoozes, None),
        Verdict::Final => (attempts, snoozes, None),
        Verdict::Retry if attempts >= max_attempts => (attempts, snoozes, None),
        Verdict::Retry => (attempts, snoozes, Some(delay(held.id.0, attempts))),
        Verdict::Later => (attempts.saturating_sub(1), snoozes + 1, Some(delay(held.id.0, snoozes + 1))),
    };
    let wait = wait.map(|wait| wait.max(failure.after.unwrap_or_default()));
    let run_at = wait.and_then(|wait| write.at.checked_add(wait).ok());
    let status = if run_at.is_some() { Status::Pending } else { Status::Failed };
    let text = format!(
        "UPDATE {} SET status = ?2, attempts = ?3, snoozes = ?4, run_at = coalesce(?5, run_at), updated_at = ?6, \
         last_error = ?7, result = coalesce(?8, result), lease_token = NULL, leased_by = NULL, lease_until = NULL, \
         processed_at = CASE ?2 WHEN 'failed' THEN ?6 END WHERE id = ?1",
        held.queue.table()
    );
    write
        .sql
        .prepare_cached(&text)
        .and_then(|mut statement| {
            statement.execute(params![
                held.id.0,
                status.as_str(),
                attempts,
                snoozes,
                run_at.map(rfc3339),
                write.now,
                said,
                result.map(|r| r.to_string())
            ])
        })
        .map_err(sql("fail a delivery"))?;
    moved(write, &actor, &[Moved::new(held.id, app, kind, Status::Processing, status).note(said)])?;
    push_next(write, &actor, held, failure.next)?;
    Ok(Failed { status, run_at })
}
