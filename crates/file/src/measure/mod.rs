//! Size, checksum and row count of bytes as they pass, in one pass.
//!
//! What a row is depends on the format, which is not known here: whoever makes a draft gives it a counter
//! ([`handover_core::CountRows`]), or counts by themselves.
//!
//! Invariants:
//! - From [`ASIDE_FROM`] bytes on they are hashed on a thread of the measure's own ([`Aside`]), so that whoever reads or writes
//!   them goes on meanwhile and counts rows, and beside those of another measure ([`lanes`]); where no thread can be had, by the
//!   caller.
//!
//! Nothing here fails or panics on any bytes. There is no I/O, so a crash leaves nothing.

mod lanes;
mod sha256;
mod sha256_x86;

use crate::aside::Aside;
use handover_core::{Checksum, CountRows};
use lanes::Stream;
use sha256::Sha256;

/// From so many bytes on a thread is worth its start.
const ASIDE_FROM: u64 = 2 * 1024 * 1024;

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
    rows: Option<Box<dyn CountRows>>,
    digest: Sha256,
    /// Goes on with the digest, once it is begun.
    aside: Option<Aside<Sha256>>,
    no_thread: bool,
}

impl Measure {
    /// A measure that counts rows with this counter.
    pub fn counting(rows: Option<Box<dyn CountRows>>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.file_size += bytes.len() as u64;
        if self.aside.is_none() && self.file_size >= ASIDE_FROM && !self.no_thread {
            self.aside = hash_aside(&self.digest);
            self.no_thread = self.aside.is_none();
        }
        match &mut self.aside {
            Some(aside) => aside.push(bytes),
            None => self.digest.update(bytes),
        }
        if let Some(rows) = &mut self.rows {
            rows.push(bytes);
        }
    }

    /// How many bytes there were so far.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// What they were.
    pub fn finish(self) -> Measured {
        let digest = self.aside.and_then(Aside::finish).unwrap_or(self.digest);
        Measured {
            file_size: self.file_size,
            checksum: digest.finish(),
            row_count: self.rows.and_then(CountRows::finish),
        }
    }
}

/// A thread that goes on with a digest; none where there is no thread to be had.
fn hash_aside(digest: &Sha256) -> Option<Aside<Sha256>> {
    let digest = digest.clone();
    Aside::begin("measure", |chunks, spare| {
        let stream = Stream::begin(digest, spare);
        chunks.into_iter().for_each(|chunk| stream.push(chunk));
        stream.finish()
    })
    .ok()
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
        for size in [4099, 256 * 1024, bytes.len()] {
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
