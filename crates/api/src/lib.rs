//! The API door: apps as services over HTTP.
//!
//! - [`server`]: **listening, and the way of a request**: connections, limits, headers, graceful end. [`tls`]: their encryption. [`begun`]: their first bytes.
//! - [`door`]: what every request passes: its id, authentication, limits, the access log, errors in one form. [`visit`]: the same of pages.
//! - [`auth`]: API keys, access tokens, and what they may do.
//! - [`rates`]: how much a caller may ask in a time.
//! - [`fault`]: the one error of this door, as an envelope or as problem details.
//! - [`submitter`]: submissions, gathered into transactions. [`house`]: whether a limit is near. [`hub`]: who follows a delivery hears what becomes of it.
//! - [`routes`]: one module a resource. [`document`]: the OpenAPI document, made from them.
//! - [`gateway`]: requests to service apps. [`access`]: the access log.
//! - [`webhook`]: others are told of ended jobs.
//!
//! Invariants: what was answered with 2xx is durable; whatever a client sends is answered in one form, with a request id
//! that the log has too; nothing that a client sends makes this panic or use memory without bound; a secret is neither
//! logged nor answered.
//!
//! On a crash what was accepted is in the ledger, and any process goes on with it; who was waiting asks again, with the same
//! idempotency key.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may"))]

mod access;
pub mod auth;
mod begun;
mod body;
pub mod document;
mod door;
mod fault;
mod gateway;
mod house;
mod hub;
mod idempotency;
mod metrics;
mod model;
mod places;
mod prefer;
mod random;
mod rates;
mod routes;
mod server;
mod state;
mod submitter;
mod tls;
mod trace;
mod transfer;
mod upload;
mod visit;
mod webhook;

pub use server::{Bound, Server};
