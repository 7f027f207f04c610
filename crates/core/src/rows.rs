//! Counting rows in bytes that pass: what the file door is given by those who know the formats.

use std::fmt;

/// Counts rows in bytes that come in chunks of any size. It does not fail or panic on any bytes.
pub trait CountRows: fmt::Debug + Send {
    /// The next bytes.
    fn push(&mut self, bytes: &[u8]);

    /// The number of rows; none where the bytes are not what they should be.
    fn finish(self: Box<Self>) -> Option<u64>;
}
