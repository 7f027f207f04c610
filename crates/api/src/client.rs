//! What this door asks others with: webhooks, and the keys of who issues tokens.

pub(crate) use handover_service::client::{Http, USER_AGENT, connect};
