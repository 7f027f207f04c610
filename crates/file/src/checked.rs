//! Reading a published file while it is checked against its manifest: one pass instead of two.
//!
//! Invariants:
//! - The size is looked at before the first byte is given out, where the file lies as it was published.
//! - What was read is worth something only when [`Checked::finish`] has said so: it reads what the reader left, and
//!   compares size and checksum.
//!
//! On a crash nothing is lost: it only reads.

use crate::archive;
use crate::measure::Measure;
use crate::place::{io_error, open_regular};
use crate::read::{Difference, Retained, decoder, read_chunks};
use handover_core::{Manifest, Result};
use std::io::{self, Read};
use std::path::PathBuf;

/// A file that is being read and checked.
pub struct Checked {
    source: Box<dyn Read + Send>,
    measure: Measure,
    path: PathBuf,
    manifest: Manifest,
}

impl Retained {
    /// Opens it to be read as it was published, out of the archive where it has gone there. `manifest` is what it
    /// has to be.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] where the size is another; others where it cannot be opened.
    pub fn open_checked(&self, manifest: &Manifest) -> Result<Checked> {
        let path = self.stored_path().to_owned();
        let (file, meta) = open_regular(&path)?;
        let source: Box<dyn Read + Send> = if archive::is_compressed_here(self.manifest()) {
            Box::new(decoder(file).map_err(|e| io_error("decompress", &path, e))?)
        } else if meta.len() != manifest.file_size {
            return Err(Difference::Size(meta.len()).into_error(&path, manifest));
        } else {
            Box::new(file)
        };
        Ok(Checked { source, measure: Measure::default(), path, manifest: manifest.clone() })
    }
}

impl Checked {
    /// Reads what is left, and compares all with the manifest.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] with both values where they differ; others where the file cannot be read.
    pub fn finish(self) -> Result<()> {
        let Self { mut source, mut measure, path, manifest } = self;
        read_chunks(&mut source, |bytes| measure.push(bytes)).map_err(|e| io_error("read", &path, e))?;
        let found = measure.finish();
        if found.file_size != manifest.file_size {
            return Err(Difference::Size(found.file_size).into_error(&path, &manifest));
        }
        if found.checksum != manifest.checksum {
            return Err(Difference::Checksum(found.checksum).into_error(&path, &manifest));
        }
        Ok(())
    }
}

impl Read for Checked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.measure.push(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use crate::read::{hash_of, retained};
    use handover_core::ErrorKind;
    use serde_json::json;
    use std::fs;
    use std::io::Read as _;

    #[test]
    fn what_was_changed_is_found_at_the_latest_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let data = crate::layout::DataDir::open(&dir.path().join("data")).unwrap();
        let folder = data.root().join("imports/2025-11-24");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a_b_2025-11-24_001.csv");
        let manifest = json!({
            "filename": "a_b_2025-11-24_001.csv", "created_at": "2025-11-24T10:30:00Z", "created_by": "a",
            "file_size": 4, "checksum": hash_of(b"a\n1\n"),
        });
        fs::write(folder.join("a_b_2025-11-24_001.meta.json"), manifest.to_string()).unwrap();
        for (text, read, whole) in
            [("a\n1\n", 4, true), ("a\n1\n", 1, true), ("a\n2\n", 4, false), ("a\n2\n", 0, false)]
        {
            fs::write(&path, text).unwrap();
            let found = retained(&data, "imports/2025-11-24/a_b_2025-11-24_001.csv").unwrap();
            let mut checked = found.open_checked(found.manifest()).unwrap();
            let mut some = vec![0; read];
            checked.read_exact(&mut some).unwrap();
            assert_eq!(some, text.as_bytes()[..read]);
            match checked.finish() {
                Ok(()) => assert!(whole, "{text:?}"),
                Err(error) => assert!(!whole && error.kind() == ErrorKind::BadData, "{error}"),
            }
        }
        fs::write(&path, "longer\n").unwrap();
        let found = retained(&data, "imports/2025-11-24/a_b_2025-11-24_001.csv").unwrap();
        let error = found.open_checked(found.manifest()).err().unwrap();
        assert!(error.to_string().contains("the size is 7 bytes"), "{error}");
    }
}
