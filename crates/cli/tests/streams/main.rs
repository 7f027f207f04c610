//! Records through the real binary: stream programs that behave and such that do not, programs that run once for each
//! record, files that become records and records that become files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![cfg(target_os = "linux")]

mod accounts;
mod behaving;
mod gathering;
mod kit;
mod misbehaving;
mod once;
mod splitting;
mod why;
