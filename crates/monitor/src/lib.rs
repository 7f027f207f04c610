//! Monitoring: what a person sees of a running Handover, and what a machine is told of it.
//!
//! - [`pages`]: the dashboard, HTML that is made here and works without script. **Start with [`pages::router`].**
//! - [`metrics`]: what /metrics answers.
//! - [`visitor`]: who looks, and what they may. The door that listens knows keys; this crate does not.
//! - [`stream`]: a file on its way out, as the API and pages send it.
//! - [`keyring`]: who makes keys, where a page asks for one.
//! - [`health`]: one look at health for all who ask at the same time. [`fresh`]: the same of anything.
//!
//! Invariants: a page shows whatever it is given as text; a visitor sees the apps of their key alone; whatever changes
//! something is a POST of this site's own pages.
//!
//! On a crash nothing is lost: nothing is kept here.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may"))]

mod fresh;
mod health;
pub mod keyring;
pub mod metrics;
pub mod pages;
pub mod stream;
pub mod visitor;

pub use visitor::{Guest, Stay, Visitor};
