//! Errors on their way through [`std::io`]: an [`Error`] of ours that a stream carries as [`std::io::Error`] comes out
//! as what it was.

use handover_core::{Error, ErrorKind, Result};
use std::io::Read;

/// An error of ours, to be carried by a stream.
pub(crate) fn carried(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}

fn unpacked(doing: &str, on: &str, error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => Error::io(doing, on, error),
    }
}

/// Why the input could not be read.
pub fn read_error(error: std::io::Error) -> Error {
    unpacked("read", "the input", error)
}

/// Reads once, whatever interrupts it; 0 is the end.
pub(crate) fn read_once(input: &mut impl Read, into: &mut [u8]) -> Result<usize> {
    loop {
        match input.read(into) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.map_err(read_error),
        }
    }
}

/// Why the output could not be written.
pub fn write_error(error: std::io::Error) -> Error {
    unpacked("write", "the output", error)
}

/// The work was cancelled.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the work was cancelled")
}
