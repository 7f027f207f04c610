//! How large the ledger's file and its write-ahead log are. The log begins anew when all of it is in the file and nobody reads it
//! any more; it stays small (`journal_size_limit`) unless a reader never ends.

use crate::health::{FileHealth, Health};
use handover_core::{Error, Result};
use std::io::ErrorKind;
use std::path::Path;

pub(super) fn health(file: &Path) -> Result<Health> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let file = FileHealth { bytes: size(file)?, log_bytes: size(Path::new(&log))? };
    Ok(Health { file: Some(file), ..Health::default() })
}

/// A file that is not there has no size.
fn size(file: &Path) -> Result<u64> {
    match std::fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io("look at", file.display(), e)),
    }
}
