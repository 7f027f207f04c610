//! The dashboard's pages: HTML made here, that works without script; a little script of our own keeps it live.
//!
//! - [`router`]: **all pages.** Each is a module: its handler, the type that its template is filled from.
//! - [`frame`]: what every page has: where one is, what is wrong, who looks. [`glance`]: the counts behind it.
//! - [`escape`]: what every text goes through. [`shown`]: times, ages, sizes, numbers and long texts for people.
//! - [`act`]: **what every form that changes something is taken by.** [`wrong`]: the pages' errors.
//! - [`deliveries`]: **search, one delivery, every action on it.** [`jobs`], [`database`], [`files`]: the pages of these.
//! - [`growth`]: how things grow, on the pages of the database and the files. [`spark`]: a small line.
//! - [`assets`]: the style, the script and the icon; [`guard`]: the headers of every page.
//!
//! How to add a page: a module with a handler `async fn page(State(monitor), visitor: Visitor, …) -> Result<Page<T>, Wrong>`,
//! a template that `extends "base.html"` and whose type has the field `frame: Frame`, a line in [`router`], a place in
//! [`frame::Here`]. An action is a handler that takes [`act::Act`].
//!
//! Invariants: nothing is shown that did not go through [`escape`]; no page has script or style in its own text, or anything of
//! another site; a page is made within [`PATIENCE`], or says what does not answer.

pub mod act;
mod assets;
mod audit;
mod database;
mod deliveries;
pub mod escape;
mod files;
mod flows;
pub mod frame;
mod glance;
mod growth;
mod guard;
mod health;
mod jobs;
mod keys;
mod live;
mod login;
mod monitor;
mod mute;
mod page;
pub mod shown;
mod spark;
mod wrong;

pub use assets::is_asset;
pub use guard::harden;
pub use login::{LoginPage, Ways};
pub use monitor::{Monitor, Setup};
pub use page::Page;
pub use wrong::{ErrorPage, Wrong, to_login};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use std::time::Duration;

/// So long a page may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long what a form asks for may take.
const ACT_PATIENCE: Duration = Duration::from_secs(60);
/// Where pages hear what has changed: an answer that goes on.
pub const EVENTS: &str = "/pages/events";
/// So large a form may be.
const FORM_MAX_BYTES: usize = 256 * 1024;

/// All pages.
pub fn router(monitor: Monitor) -> Router {
    Router::new()
        .route("/", get(flows::page))
        .route("/checks", get(health::page))
        .route("/audit", get(audit::page))
        .route("/alerts/mute", post(mute::mute))
        .route("/keys", get(keys::page).post(keys::create))
        .route("/keys/{id}/revoke", post(keys::revoke))
        .route("/jobs", get(jobs::page))
        .route("/database", get(database::page))
        .route("/files", get(files::page))
        .merge(deliveries::router())
        .route(EVENTS, get(live::events))
        .route("/pages/assets/{name}", get(assets::asset))
        .layer(DefaultBodyLimit::max(FORM_MAX_BYTES))
        .layer(middleware::from_fn(guard::pass))
        .with_state(monitor)
}

/// Whether a path is for a person: one below which there are pages alone. What the API has is not.
pub fn is_page(path: &str) -> bool {
    let machine = matches!(path, "/api" | "/livez" | "/readyz" | "/health" | "/metrics");
    !machine && !path.starts_with("/api/")
}
