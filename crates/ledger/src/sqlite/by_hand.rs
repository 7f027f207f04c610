//! What a person does: retry, cancel, replay, pause, resume, restore.

use super::error::sql;
use super::moves::{Moved, moved};
use super::push::push;
use super::query::get;
use super::writer::Write;
use crate::api::Queue;
use handover_core::{Delivery, DeliveryId, Error, ErrorKind, NewDelivery, Result, Status};
use rusqlite::params;

pub(super) fn known(write: &Write<'_>, id: DeliveryId) -> Result<Delivery> {
    get(write.sql, id)?.ok_or_else(|| {
        Error::not_found(format!("there is no delivery {id}")).hint("`handover list` shows the deliveries")
    })
}

pub(super) fn not_from(delivery: &Delivery, what: &str, hint: &str) -> Error {
    let message = format!("delivery {} cannot be {what}: it is {}", delivery.id, delivery.status);
    Error::new(ErrorKind::IllegalTransition, message).hint(hint)
}

pub(super) fn retry(write: &Write<'_>, actor: &str, id: DeliveryId) -> Result<()> {
    let delivery = known(write, id)?;
    if delivery.status != Status::Failed {
        return Err(not_from(
            &delivery,
            "retried",
            "only a failed delivery is retried; `handover replay` runs an ended one again",
        ));
    }
    let text = format!(
        "UPDATE {} SET status = 'pending', attempts = 0, rescues = 0, snoozes = 0, run_at = ?2, updated_at = ?2, \
         processed_at = NULL, result = CASE ?3 WHEN true THEN NULL ELSE result END WHERE id = ?1",
        Queue::from(delivery.kind).table()
    );
    // What failed because somebody asked for it starts clean.
    let code = delivery.result.as_ref().and_then(|result| result.get("code"));
    let cancelled = code.is_some_and(|code| code == crate::jobs::CANCELLED);
    execute(write, &text, params![id.0, write.now, cancelled], "retry a delivery")?;
    moved(write, actor, &[from(&delivery, Status::Pending)])
}

/// A move of this delivery from where it stands.
fn from(delivery: &Delivery, to: Status) -> Moved {
    let app = delivery.target_app.as_deref().unwrap_or_default();
    Moved::new(delivery.id, app, delivery.kind, delivery.status, to)
}

pub(super) fn cancel(write: &Write<'_>, actor: &str, id: DeliveryId) -> Result<()> {
    let delivery = known(write, id)?;
    if !matches!(delivery.status, Status::Pending | Status::Processing) {
        return Err(not_from(&delivery, "cancelled", "it has ended already"));
    }
    let text = format!(
        "UPDATE {} SET status = 'failed', processed_at = ?2, updated_at = ?2, last_error = ?3, lease_token = NULL, \
         leased_by = NULL, lease_until = NULL WHERE id = ?1",
        Queue::from(delivery.kind).table()
    );
    let why = format!("cancelled by {actor}");
    execute(write, &text, params![id.0, write.now, why], "cancel a delivery")?;
    moved(write, actor, &[from(&delivery, Status::Failed).note(why)])
}

pub(super) fn replay(write: &Write<'_>, actor: &str, id: DeliveryId) -> Result<DeliveryId> {
    let old = known(write, id)?;
    if old.target_app.is_none() {
        return Err(Error::new(
            ErrorKind::IllegalTransition,
            format!("delivery {id} is the end of its flow: no app reads it"),
        )
        .hint(match old.parent_id {
            Some(parent) => format!("`handover replay {parent}` makes it again"),
            None => "replay the delivery that it was made from".to_owned(),
        }));
    }
    let new = NewDelivery {
        flow: old.flow,
        priority: old.priority,
        max_attempts: old.max_attempts,
        order_key: old.order_key,
        parent_id: old.parent_id,
        replay_of: Some(id),
        trace: old.trace,
        ..NewDelivery::new(old.kind, old.source_app, old.target_app, old.data)
    };
    push(write, actor, &new).map(crate::api::Pushed::id)
}

pub(super) fn pause(write: &Write<'_>, actor: &str, app: &str) -> Result<()> {
    let text = "INSERT INTO paused_apps VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    execute(write, text, params![app, write.now, actor], "pause an app").map(|_| ())
}

pub(super) fn resume(write: &Write<'_>, app: &str) -> Result<bool> {
    execute(write, "DELETE FROM paused_apps WHERE app = ?1", params![app], "resume an app").map(|n| n > 0)
}

pub(super) fn restore(write: &Write<'_>, id: DeliveryId) -> Result<bool> {
    let delivery = known(write, id)?;
    let text = format!(
        "UPDATE {} SET deleted_at = NULL, updated_at = ?2 WHERE id = ?1 AND deleted_at IS NOT NULL",
        Queue::from(delivery.kind).table()
    );
    execute(write, &text, params![id.0, write.now], "restore a delivery").map(|n| n > 0)
}

fn execute(
    write: &Write<'_>,
    text: &str,
    values: &[&dyn rusqlite::ToSql],
    doing: &'static str,
) -> Result<usize> {
    write.sql.prepare_cached(text).and_then(|mut statement| statement.execute(values)).map_err(sql(doing))
}
