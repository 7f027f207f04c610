//! Size, checksum and row count of bytes as they pass, in one pass.
//!
//! What a row is depends on the format, which is not known here: whoever makes a draft gives it a counter
//! ([`handover_core::CountRows`]), or counts by themselves.
//!
//! Invariants:
//! - From [`ASIDE_FROM`] bytes on they are hashed and counted on a thread of the measure's own ([`Aside`]), so that whoever
//!   reads or writes them goes on meanwhile, and beside those of another measure ([`lanes`]); where no thread can be had, by the
//!   caller.
//! - A few chunks are under way at most, and go round. The thread ends with its measure, finished or dropped.
//!
//! Nothing here fails or panics on any bytes. There is no I/O, so a crash leaves nothing.

mod lanes;
mod sha256;
mod sha256_x86;

use handover_core::{Checksum, CountRows};
use lanes::Stream;
use sha256::Sha256;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// From so many bytes on a thread is worth its start.
const ASIDE_FROM: u64 = 2 * 1024 * 1024;
/// How many bytes go to the thread at once: what fits into a processor's own cache.
const CHUNK_BYTES: usize = 256 * 1024;
/// How many chunks may wait for the thread.
const CHUNKS_WAITING: usize = 4;

/// What a manifest says of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// In bytes.
    pub file_size: u64,
    /// SHA-256.
    pub checksum: Checksum,
    /// Rows, where somebody counted them.
    pub row_count: Option<u64>,
}

/// Takes bytes in chunks of any size and says their size, checksum and row count at the end.
#[derive(Debug, Default)]
pub struct Measure {
    file_size: u64,
    tally: Tally,
    /// Has the tally instead, once it is begun.
    aside: Option<Aside>,
    no_thread: bool,
}

impl Measure {
    /// A measure that counts rows with this counter.
    pub fn counting(rows: Option<Box<dyn CountRows>>) -> Self {
        Self { tally: Tally { rows, ..Tally::default() }, ..Self::default() }
    }

    /// A measure that stays on the thread of its caller.
    pub(crate) fn here() -> Self {
        Self { no_thread: true, ..Self::default() }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.file_size += bytes.len() as u64;
        if self.aside.is_none() && self.file_size >= ASIDE_FROM && !self.no_thread {
            self.aside = Aside::begin(&mut self.tally);
            self.no_thread = self.aside.is_none();
        }
        match &mut self.aside {
            Some(aside) => aside.push(bytes),
            None => self.tally.push(bytes),
        }
    }

    /// How many bytes there were so far.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// What they were.
    pub fn finish(self) -> Measured {
        let tally = self.aside.map_or(self.tally, Aside::finish);
        Measured {
            file_size: self.file_size,
            checksum: tally.digest.finish(),
            row_count: tally.rows.and_then(CountRows::finish),
        }
    }
}

/// The checksum and the rows so far.
#[derive(Debug, Default)]
struct Tally {
    digest: Sha256,
    rows: Option<Box<dyn CountRows>>,
}

impl Tally {
    fn push(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        if let Some(rows) = &mut self.rows {
            rows.push(bytes);
        }
    }
}

/// A tally on a thread of its own.
#[derive(Debug)]
struct Aside {
    /// What was not sent yet.
    chunk: Vec<u8>,
    /// None once there are no more.
    chunks: Option<SyncSender<Vec<u8>>>,
    /// The way back for chunks that are counted.
    spare: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Tally>>,
}

impl Aside {
    /// Takes the tally to a new thread; none where there is no thread to be had, and then the tally stays.
    fn begin(tally: &mut Tally) -> Option<Self> {
        let (chunks, to_count) = sync_channel::<Vec<u8>>(CHUNKS_WAITING);
        let (counted, spare) = channel();
        let (give, given) = sync_channel::<Tally>(1);
        let count = move || {
            let Tally { digest, mut rows } = given.recv().unwrap_or_default();
            let stream = Stream::begin(digest, counted);
            for chunk in to_count {
                if let Some(rows) = &mut rows {
                    rows.push(&chunk);
                }
                stream.push(chunk);
            }
            Tally { digest: stream.finish(), rows }
        };
        let thread = std::thread::Builder::new().name("measure".to_owned()).spawn(count).ok()?;
        // It waits for this, so it is there.
        let _ = give.send(std::mem::take(tally));
        Some(Self {
            chunk: Vec::with_capacity(CHUNK_BYTES),
            chunks: Some(chunks),
            spare,
            thread: Some(thread),
        })
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK_BYTES {
                let next = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
                self.send(next);
            }
        }
    }

    fn send(&mut self, next: Vec<u8>) {
        let chunk = std::mem::replace(&mut self.chunk, next);
        // It goes nowhere where the thread has panicked, which is told at the end.
        let _ = self.chunks.as_ref().map(|chunks| chunks.send(chunk));
    }

    fn finish(mut self) -> Tally {
        self.send(Vec::new());
        self.chunks = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(tally)) => tally,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Tally::default(),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.chunks = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Counts line feeds.
    #[derive(Debug, Default)]
    pub(crate) struct Lines(u64);

    impl CountRows for Lines {
        fn push(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }

        fn finish(self: Box<Self>) -> Option<u64> {
            Some(self.0)
        }
    }

    #[test]
    fn a_measure_says_size_checksum_and_rows() {
        let mut measure = Measure::counting(Some(Box::new(Lines::default())));
        measure.push(b"h\n");
        measure.push(b"1\n");
        let measured = measure.finish();
        assert_eq!((measured.file_size, measured.row_count), (4, Some(2)));
        // printf 'h\n1\n' | sha256sum
        assert_eq!(measured.checksum, crate::read::hash_of(b"h\n1\n"));
        let nothing = Measure::default().finish();
        assert_eq!(
            nothing.checksum.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(nothing.row_count, None);
    }

    #[test]
    fn a_large_measure_is_the_same_in_chunks_of_any_size() {
        let bytes: Vec<u8> =
            (0..3 * ASIDE_FROM).map(|i| if i % 61 == 0 { b'\n' } else { i as u8 | 64 }).collect();
        let rows = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        for size in [4099, CHUNK_BYTES, bytes.len()] {
            let mut measure = Measure::counting(Some(Box::new(Lines::default())));
            bytes.chunks(size).for_each(|chunk| measure.push(chunk));
            let measured = measure.finish();
            assert_eq!((measured.file_size, measured.row_count), (bytes.len() as u64, Some(rows)), "{size}");
            assert_eq!(measured.checksum, crate::read::hash_of(&bytes), "{size}");
        }
        // One that is given up ends its thread.
        let mut dropped = Measure::default();
        dropped.push(&bytes);
        assert!(dropped.aside.is_some());
    }
}
