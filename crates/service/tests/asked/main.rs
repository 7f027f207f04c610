//! Services as they are asked: real servers on this machine that are down, slow, restarted, or answer badly.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod balancing;
mod calls;
mod http2;
mod kit;
mod tls;
