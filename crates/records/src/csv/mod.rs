//! CSV as rows of bytes: reading in batches, and writing.
//!
//! A row is found by its quotes and line ends and kept as it stands, so that whoever lets it pass writes the very bytes
//! that came in: quoting, line ends and header unchanged.
//!
//! What a dialect leaves open is read so: a row ends at LF, CRLF or CR; a byte order mark before the first row is
//! passed over and kept; a quote is special only at the start of a cell, and what follows a closing quote belongs to
//! the cell; an empty line holds no row: it is not counted, and passes. For the default dialect these are the rules of
//! the `csv` crate, by which manifests count their rows, and of Python's `csv` module; tests/python.rs and
//! tests/spectrum.rs compare. On purpose different from Python:
//! - A quote that is never closed, a NUL and bytes that are not UTF-8 are faults of their row, not silently cells.
//! - There are comment marks, if the dialect asks for them.
//! - An escape character as the very last byte of the input stands for nothing, of which Python makes a line feed.
//!
//! Invariants:
//! - The rows, empty lines and comments, with their line ends, are the input: nothing between them is dropped.
//! - Memory is bounded by one block and [`handover_core::limits::ROW_MAX_BYTES`], whatever comes in: of a longer row
//!   only its beginning is kept, and the row says so ([`Fault::TooLong`]).
//! - No input makes it panic. A crash leaves nothing behind: reading only reads.

mod batch;
mod cell;
pub(crate) mod kernel;
pub(crate) mod machine;
mod reader;
mod scan;
pub(crate) mod simd;
mod writer;

#[cfg(test)]
mod tests;

use handover_core::limits::{FIELD_MAX_BYTES, ROW_MAX_BYTES};

pub use batch::{Batch, RowRef, Rows};
pub use reader::{BLOCK_BYTES, Reader};
pub use writer::{CellWriter, Quoting, Writer};

/// How much of a row that is too long is kept, for a person to recognise it, in bytes.
pub const KEPT_BYTES: usize = 1024;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A quote was opened and never closed: the row goes to the end of the file.
    UnclosedQuote,
    /// A cell or the row is longer than the limits allow; only its beginning was kept.
    TooLong,
    /// A byte is not UTF-8, or the characters could not be read in the declared encoding. The cells stand as they are.
    NotUtf8,
    /// It holds a NUL byte. The cells stand as they are.
    Nul,
}

impl Fault {
    /// What is wrong, for people.
    pub fn message(self) -> String {
        match self {
            Fault::UnclosedQuote => {
                "a quote is opened and never closed, so the row goes to the end of the file".to_owned()
            }
            Fault::TooLong => format!(
                "a cell is longer than {FIELD_MAX_BYTES} bytes or the row longer than {ROW_MAX_BYTES}; only its beginning is kept here"
            ),
            Fault::NotUtf8 => "it holds characters that cannot be read in the file's encoding".to_owned(),
            Fault::Nul => "it holds a NUL byte".to_owned(),
        }
    }

    /// Whether the row's cells are known: it is its characters that are bad.
    pub fn cells_known(self) -> bool {
        matches!(self, Fault::NotUtf8 | Fault::Nul)
    }
}
