//! Calling service apps, which speak HTTP themselves: the gateway does, and links `by: api`.
//!
//! A [`Service`] is one app with its upstreams; [`Services`] are those of a configuration. This knows HTTP as a client and
//! nothing else: no configuration's text, no ledger, no callers.

mod failure;
mod service;
mod settings;

pub use failure::Failure;
pub use service::{Body, Service, Services};
pub use settings::{Group, Settings};
