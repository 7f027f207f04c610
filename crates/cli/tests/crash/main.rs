//! Crashes, on the real binary: wherever it is killed or stopped, every input row is exactly once in the outputs or
//! the rejects, and nothing is left lying or running.
//!
//! - `points`: killed at each step of its protocols, then run again.
//! - `storm`: two daemons at once, killed at random while files keep arriving.
//! - `stopped`: a worker stopped past its lease, another finishes, the first is woken.
//! - `diamond`: one import, two apps, one exporter, also under kills.
//! - `records`: files that become records, stream programs, records that become files.
//! - `shutdown`: SIGTERM, SIGINT and SIGHUP. `once`: `run --once` beside others.
//!
//! What all of them check is in `account`; the project that they run is in `flow`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![cfg(target_os = "linux")]

mod account;
mod diamond;
mod flow;
mod once;
mod points;
mod records;
mod shutdown;
mod stopped;
mod storm;
