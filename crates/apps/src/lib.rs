//! The built-in apps: each is an ordinary console program too (`handover app NAME`).
//!
//! An app reads one input and writes one output, one stream of rejected rows and at most one report, through
//! [`std::io`] alone: it knows nothing of folders, names, manifests or the ledger. Its configuration is compiled
//! once and serves every file after that.
//!
//! Invariants:
//! - **Row conservation**: rows in = rows out + rows rejected + rows filtered, checked at the end of every run.
//! - A row that an app lets pass unchanged is passed byte for byte.
//! - Memory does not grow with the input, but for what `unique` asks to be remembered.
//!
//! On a crash: nothing is lost, because nothing here is published; whoever runs the app throws the unfinished
//! output away and runs it again.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write as they like"))]

mod app;
mod config;
pub mod enricher;
pub mod exporter;
mod expression;
pub mod importer;
mod pipeline;
mod registry;
mod reject;
mod spill;
mod streams;
mod table;
pub mod transformer;
pub mod validator;

pub use app::{AppIo, Outcome, RowApp, RunOptions, Scratch, no_scratch};
pub use config::{TextMap, parse_config};
pub use enricher::Enricher;
pub use exporter::Exporter;
pub use importer::Importer;
pub use registry::{BuiltIn, built_in};
pub use streams::{FormatName, InputConfig, OutputConfig};
pub use transformer::Transformer;
pub use validator::Validator;
