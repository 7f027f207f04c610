//! The API as its clients meet it: the real binary serves on this machine, and every exchange is held against its own OpenAPI
//! document ([`document`]).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod apart;
mod bad_input;
mod browsers;
mod cancel;
mod covered;
mod death;
mod document;
mod events;
mod exposition;
mod files;
mod http;
mod keys;
mod kit;
mod limits;
mod metrics;
mod monitoring;
mod oauth;
mod once;
mod promql;
mod provider;
mod results;
mod rules;
mod same;
mod service_documents;
mod shared_limits;
mod staging;
mod tls;
mod traces;
mod webhooks;
