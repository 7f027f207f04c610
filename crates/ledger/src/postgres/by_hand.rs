//! What a person does: retry, cancel, replay, pause, resume, restore, archive. Most of it is a function of the schema, which
//! says by its own error code what is not to be done.

use super::error::Attempt;
use super::push::push;
use super::query::get_in;
use super::row::get;
use super::tx::{Tx, number, numbers, text, time};
use crate::api::Pushed;
use handover_core::{DeliveryId, Error, ErrorKind, NewDelivery};

pub(super) async fn retry(tx: &mut Tx<'_>, actor: &str, id: DeliveryId) -> Attempt<()> {
    let now = tx.ledger().now();
    let call = "SELECT 1 FROM integration._retry($1, $2, $3, false)";
    tx.rows("retry a delivery", call, &[text(&actor), number(&id.0), time(&now)]).await?;
    tx.frees_work();
    Ok(())
}

pub(super) async fn cancel(tx: &mut Tx<'_>, actor: &str, id: DeliveryId) -> Attempt<()> {
    let now = tx.ledger().now();
    let call = "SELECT 1 FROM integration._cancel($1, $2, $3, false)";
    tx.rows("cancel a delivery", call, &[text(&actor), number(&id.0), time(&now)]).await?;
    // The next of its order key may go on.
    tx.frees_work();
    Ok(())
}

pub(super) async fn replay(tx: &mut Tx<'_>, actor: &str, id: DeliveryId) -> Attempt<DeliveryId> {
    let Some(old) = get_in(tx, id).await? else {
        let error = Error::not_found(format!("there is no delivery {id}"));
        return Err(error.hint("`handover list` shows the deliveries").into());
    };
    if old.target_app.is_none() {
        let message = format!("delivery {id} is the end of its flow: no app reads it");
        let hint = match old.parent_id {
            Some(parent) => format!("`handover replay {parent}` makes it again"),
            None => "replay the delivery that it was made from".to_owned(),
        };
        return Err(Error::new(ErrorKind::IllegalTransition, message).hint(hint).into());
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
    let pushed = push(tx, actor, &[(&new, None)]).await?;
    pushed.first().copied().map(Pushed::id).ok_or_else(|| Error::internal("a push gave no number").into())
}

pub(super) async fn pause(tx: &mut Tx<'_>, actor: &str, app: &str) -> Attempt<()> {
    let now = tx.ledger().now();
    let call = "SELECT 1 FROM integration._pause($1, $2, $3)";
    tx.rows("pause an app", call, &[text(&actor), text(&app), time(&now)]).await.map(|_| ())
}

pub(super) async fn resume(tx: &mut Tx<'_>, app: &str) -> Attempt<bool> {
    let row = tx.row("resume an app", "SELECT integration._resume($1, false)", &[text(&app)]).await?;
    let resumed: bool = get(&row, 0)?;
    if resumed {
        tx.makes_work([app].into_iter());
    }
    Ok(resumed)
}

pub(super) async fn restore(tx: &mut Tx<'_>, id: DeliveryId) -> Attempt<bool> {
    let now = tx.ledger().now();
    let call = "SELECT integration._restore($1, $2, false)";
    let row = tx.row("restore a delivery", call, &[number(&id.0), time(&now)]).await?;
    let restored: bool = get(&row, 0)?;
    if restored {
        tx.frees_work();
    }
    Ok(restored)
}

pub(super) async fn archive(tx: &mut Tx<'_>, actor: &str, ids: &[DeliveryId]) -> Attempt<usize> {
    let (now, ids): (_, Vec<i64>) = (tx.ledger().now(), ids.iter().map(|id| id.0).collect());
    let call = "SELECT integration._archive($1, $2, $3)";
    let row = tx.row("archive deliveries", call, &[text(&actor), numbers(&ids), time(&now)]).await?;
    Ok(usize::try_from(get::<i64>(&row, 0)?).unwrap_or(0))
}
