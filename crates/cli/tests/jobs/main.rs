//! Jobs through the real binary: what is submitted is worked on by `handover run`, whose program, result, progress and end are
//! looked at in the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![cfg(target_os = "linux")]

mod builtin;
mod cancel;
mod contract;
mod kit;
mod once;
mod streams;
