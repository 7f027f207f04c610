//! Calling service apps, which speak HTTP themselves: the gateway does, and links `by: api`.
//!
//! A [`Service`] is one app with its upstreams; [`Services`] are those of a configuration. This knows HTTP as a client and
//! nothing else: no configuration's text, no ledger, no callers.
//!
//! `service` is where to start: a request, its tries, its end · `balance` which upstream · `upstream` one of them, with its `pool` of
//! connections, its `breaker`, its `tls` · `http1` requests without a body · `head`, `body` what is sent, and can be taken back, `received`
//! what is answered · `fields` heads as bytes · `budget` how much may be tried again · `alarm` a timer for one wait after another ·
//! `watch` whether they are well · `post` how deliveries are posted · `client` what asks others that are no service apps.

mod alarm;
mod balance;
mod body;
mod breaker;
mod budget;
pub mod client;
mod failure;
pub mod fields;
mod head;
mod http1;
mod pool;
mod post;
mod received;
mod service;
mod services;
mod settings;
mod tls;
mod upstream;
mod watch;

pub use alarm::Alarm;
pub use body::{Body, BoxError};
pub use breaker::BreakerState;
pub use failure::Failure;
pub use head::Head;
pub use post::{Answer, of_file, whole};
pub use received::Received;
pub use service::Service;
pub use services::Services;
pub use settings::{Group, HealthCheck, Settings, TlsFiles, UPSTREAMS_MAX};
pub use tls::distrusted;
pub use upstream::UpstreamState;
pub use watch::{GroupState, Look};
