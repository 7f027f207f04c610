//! JSON records: one a line (NDJSON), or the elements of one array, each as its own bytes.
//!
//! A record is found by its line end, or by the brackets and commas of the array, and handed out unparsed: who lets it
//! pass writes the very bytes that came in, numbers of any length included. [`RecordRef::parse`] and
//! [`RecordRef::fields`] read it where somebody asks.
//!
//! What a reader is strict about: a name that comes twice in an object is a fault (RFC 8259 leaves open what it means,
//! and one of the two values would be lost), as is nesting of more than [`handover_core::limits::JSON_DEPTH_MAX`]
//! levels. Blank lines between NDJSON records are no records. A byte order mark is passed over.
//!
//! Invariants:
//! - One bad record is one fault; the next record is read.
//! - Memory is bounded by one block and [`handover_core::limits::ROW_MAX_BYTES`]: of a longer record only the beginning
//!   is kept.
//! - No input makes it panic or recurse without bound. A crash leaves nothing behind.

mod number;
mod parse;
mod reader;
mod record;
mod split;
mod writer;

#[cfg(test)]
mod tests;

pub use number::{first_inexact, is_exact};
pub use parse::{Fault, Fields, Problem, check, fields, parse};
pub use reader::{Batch, Reader, RecordRef};
pub use record::{has_nul, record};
pub use split::Shape;
pub use writer::{Writer, push_string};
