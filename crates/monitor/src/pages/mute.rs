//! Muting an alert: for a day nobody is told of it, and the flows do not show it.

use super::act::Act;
use super::{Monitor, Wrong, deliveries};
use axum::extract::State;
use axum::response::Redirect;
use handover_ledger::NewAction;
use jiff::SignedDuration;
use serde::Deserialize;

/// So long.
const MUTED: SignedDuration = SignedDuration::from_hours(24);

/// Which alert.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    key: String,
}

/// Does it, and leads back to the flows.
pub(super) async fn mute(
    State(monitor): State<Monitor>,
    Act { visitor, form: Asked { key } }: Act<Asked>,
) -> Result<Redirect, Wrong> {
    let project = monitor.project();
    let open = project.ledger.alerts(None).await?;
    let alert = open.into_iter().find(|alert| alert.key == key);
    let alert = alert.ok_or_else(|| Wrong::not_found("that is no longer wrong, or was never"))?;
    match &alert.app {
        Some(app) => visitor.must_see(app)?,
        None => visitor.must_see_all()?,
    }
    let until = project.clock.now().checked_add(MUTED).ok();
    let actor = deliveries::actor(&visitor);
    project.ledger.mute_alert(&actor, &key, until).await?;
    let action = NewAction {
        actor,
        via: "the page of flows".into(),
        did: "mute".into(),
        thing: Some(format!("alert {key}")),
        app: alert.app,
        note: Some("for a day".into()),
        ..NewAction::default()
    };
    project.ledger.note_action(action).await?;
    Ok(Redirect::to("/"))
}
