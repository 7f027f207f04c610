//! The file door: files and manifests in the data directory, written by one protocol and read with one check.
//!
//! - [`layout`]: where things lie. [`draft`]: a file being written. [`measure`]: size, checksum, rows in one pass.
//! - [`publish`]: the only way a file comes to its place. [`lock`]: who lives, and the sweep after who does not.
//! - [`read`]: checked against the manifest, through the archive. [`archive`]: out of the way, compressed.
//! - [`quarantine`]: bad files with their reasons. [`verify`]: any directory, ours or not.
//! - [`disk`]: room and network mounts. [`atomic`]: plain outputs of console programs.
//! - [`scratch`]: files without a name, for what does not fit into memory.
//!
//! This crate is synchronous and knows no ledger: where the ledger has a say (may this be replaced?), it is asked
//! by a function that the caller gives.

// The one crate in which files are written: everywhere else clippy.toml bans the calls.
#![allow(clippy::disallowed_methods)]

mod aside;
mod checked;
mod place;
mod temp;
mod writeback;

pub mod archive;
pub mod arrive;
pub mod atomic;
mod binding;
pub mod disk;
pub mod draft;
pub mod layout;
pub mod lock;
pub mod measure;
pub mod probe;
pub mod publish;
pub mod quarantine;
pub mod read;
pub mod scratch;
pub mod verify;

pub use atomic::AtomicFile;
pub use checked::Checked;
pub use draft::{Draft, Written};
pub use layout::DataDir;
pub use lock::HolderLock;
pub use publish::{PublishRequest, Published, Publisher, Unpublished};

/// Creates a folder, and those above it, where they are missing.
///
/// # Errors
/// Where the system refuses it, or a file is in its place.
pub fn make_dirs(folder: &std::path::Path) -> handover_core::Result<()> {
    place::create_dirs(folder).map(|_| ())
}

/// Removes a file by its path: one that a person asked to remove, never one of the data directory.
///
/// # Errors
/// Where the system refuses it.
pub fn remove_file(path: &std::path::Path) -> handover_core::Result<()> {
    std::fs::remove_file(path).map_err(|e| place::io_error("remove", path, e))
}
