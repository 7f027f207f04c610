//! The runtime: what makes files and manifests flow through apps.
//!
//! - [`config`]: handover.yaml, read and checked. [`project`]: a configuration with its data directory and ledger.
//! - [`engine`]: what `handover run` is: pools, sources, schedules, duties. [`program`]: running console programs.
//! - `stream`: programs that go on running and are given records.
//! - `delivery`: one delivery from claim to end. [`operations`]: what a person does by hand.
//!
//! It flows one way: `engine` claims and calls `delivery`, which runs an app, publishes through the file door and
//! tells the ledger. Only `project` knows which ledger there is.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write as they like"))]

mod built;
pub mod config;
mod context;
pub mod delivery;
pub mod engine;
pub mod meter;
mod notices;
pub mod operations;
pub mod program;
pub mod project;
mod stream;
pub mod traces;

pub use built::Built;
pub use engine::{Engine, Options};
pub use project::Project;
