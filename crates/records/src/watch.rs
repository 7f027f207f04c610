//! Watching an input: progress is told, and cancelling ends the reading, at each read.

use crate::error::{cancelled, carried};
use std::io::Read;

/// Who is told of the bytes read so far, and who is asked whether to stop.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Told the bytes of the input read so far, compressed as they came, at each read.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Asked at each read whether to stop.
    pub cancelled: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// An input that is watched.
pub struct Watched<'a, R> {
    input: R,
    watch: Watch<'a>,
    bytes_read: u64,
}

impl<'a, R> Watched<'a, R> {
    /// This input, watched.
    pub fn new(input: R, watch: Watch<'a>) -> Self {
        Self { input, watch, bytes_read: 0 }
    }

    /// How many bytes were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.watch.cancelled.is_some_and(|cancelled| cancelled()) {
            return Err(carried(cancelled()));
        }
        let count = self.input.read(into)?;
        self.bytes_read += count as u64;
        if let Some(progress) = self.watch.progress {
            progress(self.bytes_read);
        }
        Ok(count)
    }
}
