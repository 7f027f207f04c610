//! Size, checksum and row count of bytes as they pass, in one pass.
//!
//! What a row is depends on the format, which is not known here: whoever makes a draft gives it a counter
//! ([`handover_core::CountRows`]), or counts by themselves.
//!
//! Nothing here fails or panics on any bytes. There is no I/O, so a crash leaves nothing.

use handover_core::{Checksum, CountRows};
use sha2::{Digest, Sha256};

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
    hasher: Sha256,
    file_size: u64,
    rows: Option<Box<dyn CountRows>>,
}

impl Measure {
    /// A measure that counts rows with this counter.
    pub fn counting(rows: Option<Box<dyn CountRows>>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.file_size += bytes.len() as u64;
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
        Measured {
            file_size: self.file_size,
            checksum: Checksum(self.hasher.finalize().into()),
            row_count: self.rows.and_then(CountRows::finish),
        }
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
}
