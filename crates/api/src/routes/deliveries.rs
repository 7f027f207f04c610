//! Deliveries of every kind: listed, looked at, explained, retried, replayed, cancelled.

use super::{cursor, page, read_page};
use crate::auth::{Caller, Scope};
use crate::body::{Id, Query};
use crate::fault::Fault;
use crate::model::{Cancelling, DeliveryPage, DeliveryView, ErrorEnvelope, Explained, ReplayedOne};
use crate::state::{Api, Current};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_core::{Delivery, DeliveryId, Kind, Status};
use handover_ledger::{Filter, NewAction};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

/// A delivery that this caller may see.
async fn visible(api: &Api, caller: &Caller, id: DeliveryId) -> Result<Delivery, Fault> {
    caller.require(Scope::Read)?;
    let found = api.current().ledger().get(id).await?;
    let seen = found.filter(|one| sees(caller, one));
    seen.ok_or_else(|| Fault::not_found(format!("there is no delivery {id} that this key may see")))
}

/// What goes to an app of the caller's, or came from one.
fn sees(caller: &Caller, delivery: &Delivery) -> bool {
    // Who hands over a job is a word for whoever asked, and no app.
    delivery.target_app.as_deref().is_some_and(|app| caller.is_for(app))
        || (delivery.kind != Kind::Job && caller.is_for(&delivery.source_app))
}

/// What may be changed by who may operate: what goes to an app of the caller's.
fn may_change(caller: &Caller, delivery: &Delivery) -> Result<(), Fault> {
    caller.require(Scope::Operate)?;
    caller.require_app(delivery.target_app.as_deref().unwrap_or(&delivery.source_app))
}

/// Which deliveries are listed: all conditions hold at once.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// To this app.
    app: Option<String>,
    /// Of this kind.
    #[param(value_type = Option<String>, pattern = "^(file|record|job)$")]
    kind: Option<Kind>,
    /// That stand here; `archived` too.
    #[param(value_type = Option<String>, pattern = "^(pending|processing|completed|failed|archived)$")]
    status: Option<Status>,
    /// Of this flow.
    flow: Option<String>,
    /// Handed over at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Made from this delivery.
    #[param(value_type = Option<i64>)]
    parent: Option<DeliveryId>,
    /// How many at most; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Deliveries, newest first, a page at a time.
#[utoipa::path(get, path = "/deliveries", tag = "deliveries", params(DeliveriesQuery), responses(
    (status = 200, body = DeliveryPage), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
    (status = 403, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<DeliveryPage>, Fault> {
    caller.require(Scope::Read)?;
    let limit = page(query.limit)?;
    if let Some(app) = &query.app {
        caller.require_app(app)?;
    }
    let filter = Filter {
        app: query.app,
        kind: query.kind,
        status: query.status,
        flow: query.flow,
        since: query.since,
        parent: query.parent,
        before: query.cursor.as_deref().map(cursor::read).transpose()?,
        archived: query.status == Some(Status::Archived),
        ..Filter::default()
    };
    let (mut found, more) = read_page(api.current().ledger(), filter, limit).await?;
    let next = found.last().filter(|_| more).map(|last| cursor::write(last.id));
    found.retain(|one| sees(&caller, one));
    Ok(Json(DeliveryPage { deliveries: found.into_iter().map(DeliveryView::from).collect(), next }))
}

/// A delivery.
#[utoipa::path(get, path = "/deliveries/{id}", tag = "deliveries", params(("id" = i64, Path, description = "The delivery's number")),
    responses(
        (status = 200, body = DeliveryView), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn get(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<DeliveryView>, Fault> {
    Ok(Json(visible(&api, &caller, id).await?.into()))
}

/// Why a delivery stands where it stands.
#[utoipa::path(get, path = "/deliveries/{id}/explain", tag = "deliveries", params(("id" = i64, Path, description = "The delivery's number")),
    responses(
        (status = 200, body = Explained), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn explain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Explained>, Fault> {
    visible(&api, &caller, id).await?;
    super::jobs::explained(&api.current(), id).await
}

/// Tries a failed delivery again, with all its attempts.
#[utoipa::path(post, path = "/deliveries/{id}/retry", tag = "deliveries", params(("id" = i64, Path, description = "The delivery's number")),
    responses(
        (status = 202, body = DeliveryView), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
        (status = 409, description = "It has not failed", body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn retry(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Fault> {
    may_change(&caller, &visible(&api, &caller, id).await?)?;
    api.current().ledger().retry(&caller.name, id).await?;
    let now = visible(&api, &caller, id).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryView::from(now))).into_response())
}

/// Makes a new delivery from an old one's retained input, whatever became of it.
#[utoipa::path(post, path = "/deliveries/{id}/replay", tag = "deliveries", params(("id" = i64, Path, description = "The delivery's number")),
    responses(
        (status = 202, body = ReplayedOne, headers(("Location" = String, description = "The new delivery"))),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 409, description = "No app reads it", body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    super::Version(version): super::Version,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    crate::idempotency::refuse(&headers)?;
    may_change(&caller, &visible(&api, &caller, id).await?)?;
    let new = replayed(&api, &caller, id, &format!("POST /api/{version}/deliveries/{id}/replay")).await?;
    let location = [(header::LOCATION, format!("/api/{version}/deliveries/{new}"))];
    Ok((StatusCode::ACCEPTED, location, Json(ReplayedOne { id: new, replay_of: id })).into_response())
}

/// Makes a new delivery of an old one, and notes who did.
pub(crate) async fn replayed(
    api: &Api,
    caller: &Caller,
    id: DeliveryId,
    via: &str,
) -> Result<DeliveryId, Fault> {
    let current = api.current();
    let new = current.ledger().replay(&caller.name, id).await?;
    let note = Some(format!("as delivery {new}"));
    noted(&current, caller, via, "replay", NewAction { delivery: Some(id), note, ..NewAction::default() })
        .await?;
    Ok(new)
}

/// Notes what a caller did that no move of a delivery says.
pub(crate) async fn noted(
    current: &Current,
    caller: &Caller,
    via: &str,
    did: &str,
    what: NewAction,
) -> Result<(), Fault> {
    let (actor, via, did) = (caller.name.clone(), via.to_owned(), did.to_owned());
    Ok(current.ledger().note_action(NewAction { actor, via, did, ..what }).await?)
}

/// Ends a delivery: at once where nobody works on it, else when the work is seen to have stopped.
#[utoipa::path(post, path = "/deliveries/{id}/cancel", tag = "deliveries", params(("id" = i64, Path, description = "The delivery's number")),
    responses(
        (status = 200, description = "It has ended", body = Cancelling), (status = 202, description = "It is ending", body = Cancelling),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 409, description = "It has ended before", body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Fault> {
    may_change(&caller, &visible(&api, &caller, id).await?)?;
    super::jobs::cancel_delivery(&api, &caller, id).await
}
