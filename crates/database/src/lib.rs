//! The database door: records go into the ledger in bulk and come out in batches, as lines of JSON.
//!
//! - [`bulk`]: **a source of any size becomes records**, in bounded batches, restartable, or all at once.
//! - [`source`]: NDJSON, a JSON array or CSV as records, each with its line.
//! - [`record`]: what a record may be, and what it becomes.
//! - [`pull`]: a claim, waited for.
//! - [`token`]: answers to a claim by its token alone.
//!
//! Invariants: memory is bounded by [`handover_core::limits`], whatever comes in; a line that is refused is named with its
//! number; what the ledger was told is what it holds, numbers included.
//!
//! On a crash what was committed stays, and a load with a key goes on behind it.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may"))]

pub mod bulk;
pub mod pull;
pub mod record;
pub mod source;
pub mod token;
