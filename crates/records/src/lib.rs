//! Rows and records as streams: CSV, NDJSON and JSON arrays, in and out, in any encoding and compression.
//!
//! - [`open_input`] and [`Output`] put the pieces together. Start there.
//! - [`format`](mod@format): which formats there are and how a file's extension names them.
//! - [`csv`]: rows as byte ranges, found 64 bytes at a time, in batches that can go from thread to thread.
//! - [`json`]: records as their own bytes, parsed where somebody asks.
//! - [`read_ahead`]: reading on a thread of its own, while the caller works.
//! - [`dialect`], [`encoding`], [`compress`]: how a file is written down. [`count`]: how many rows it has.
//!
//! Invariants:
//! - What passes unchanged passes byte for byte.
//! - Memory is bounded by [`handover_core::limits`], whatever comes in; no input makes anything panic.
//! - A bad row or record is told as such and the next one is read; a bad file is an error that says why.
//!
//! On a crash nothing is lost: nothing here is published, and whoever reads or writes does so again.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write as they like"))]

mod ahead;
pub mod compress;
pub mod count;
pub mod csv;
pub mod dialect;
pub mod encoding;
mod error;
pub mod format;
mod input;
pub mod json;
mod output;
mod watch;

pub use ahead::{Ahead, Batches, read_ahead};
pub use compress::Compression;
pub use count::RowCounter;
pub use dialect::{Dialect, LineEnd};
pub use encoding::Encoding;
pub use error::{read_error, write_error};
pub use format::{FileKind, Format};
pub use input::{Input, InputOptions, Records, Source, open_bytes, open_input};
pub use output::{Output, OutputOptions, Sink, open_output};
pub use watch::{Watch, Watched};
