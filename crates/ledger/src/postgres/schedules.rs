//! Schedules: which due times were seen to, so that each runs once however many processes watch the clock.

use super::PostgresLedger;
use super::error::Attempt;
use super::push::push;
use super::tx::{Tx, text, time};
use crate::api::{Pushed, ScheduleMark};
use handover_core::{DeliveryId, NewDelivery, Result};

pub(super) async fn mark(ledger: &PostgresLedger, app: &str) -> Result<Option<ScheduleMark>> {
    let query = "SELECT last_due FROM integration.schedules WHERE app = $1";
    let rows = ledger.read("read a schedule", query, &[text(&app)]).await?;
    let mark = rows.first().map(|row| super::row::time(row, 0)).transpose().map_err(|fault| fault.error)?;
    Ok(mark.map(|last_due| ScheduleMark { app: app.to_owned(), last_due }))
}

pub(super) async fn due(
    tx: &mut Tx<'_>,
    actor: &str,
    mark: &ScheduleMark,
    new: Option<&NewDelivery>,
) -> Attempt<Option<DeliveryId>> {
    let upsert = "INSERT INTO integration.schedules AS s VALUES ($1, $2) ON CONFLICT (app) DO UPDATE \
                  SET last_due = excluded.last_due WHERE excluded.last_due > s.last_due RETURNING 1";
    let moved = tx.rows("note a schedule's run", upsert, &[text(&mark.app), time(&mark.last_due)]).await?;
    match new {
        Some(new) if !moved.is_empty() => {
            Ok(push(tx, actor, &[(new, None)]).await?.first().copied().map(Pushed::id))
        }
        _ => Ok(None),
    }
}
