//! Deliveries: searched, looked at, acted upon.
//!
//! - [`query`]: what is asked for, as it stands in the address. [`list`]: the page of results.
//! - [`one`]: **one delivery**, in parts ([`parts`]); [`full`]: what was cut there, and downloads.
//! - [`action`]: one action, its effect first; [`many`]: the same for all that fit a search.
//!
//! Invariants: a visitor whose key is for some apps sees what goes to these or came from them, and acts on what goes to them;
//! what they may not see is not there for them; a GET changes nothing.

mod action;
mod data;
mod full;
mod list;
mod many;
mod one;
mod parts;
pub(super) mod query;
pub(super) mod row;

use super::{Monitor, Wrong};
use crate::Visitor;
use axum::Router;
use axum::routing::get;
use handover_core::{Delivery, DeliveryId};
use handover_runtime::Project;
use handover_runtime::operations::search::sees;

/// The pages of deliveries.
pub(super) fn router() -> Router<Monitor> {
    Router::new()
        .route("/deliveries", get(list::page))
        .route("/deliveries/all/{act}", get(many::ask).post(many::act))
        .route("/deliveries/{id}", get(one::page))
        .route("/deliveries/{id}/file", get(full::file))
        .route("/deliveries/{id}/text/{part}", get(full::text))
        .route("/deliveries/{id}/{act}", get(action::ask).post(action::act))
}

/// The delivery of this number, where the visitor sees it.
async fn visible(project: &Project, visitor: &Visitor, id: &str) -> Result<Delivery, Wrong> {
    let found = match id.parse::<DeliveryId>() {
        Ok(id) => project.ledger.get(id).await?,
        Err(_) => None,
    };
    let seen = found.filter(|one| sees(visitor.apps.as_deref(), one));
    seen.ok_or_else(|| Wrong::not_found(format!("there is no delivery {id} that you may see")))
}

/// The app on which somebody acts who acts on a delivery.
fn acted_on(delivery: &Delivery) -> &str {
    delivery.target_app.as_deref().unwrap_or(&delivery.source_app)
}

/// Whether a visitor may act on a delivery.
fn may_act(visitor: &Visitor, delivery: &Delivery) -> bool {
    visitor.must_operate().is_ok() && visitor.sees(acted_on(delivery))
}

/// By what they act, as the audit names it.
const VIA: &str = "the page of deliveries";

/// Who acts, as the audit names them: somebody at a page, by their key.
pub(super) fn actor(visitor: &Visitor) -> String {
    format!("page:{}", visitor.name)
}
