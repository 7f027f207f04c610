//! Reading a draft back while it is still being written, on a thread of its own, and comparing it with what was written.
//!
//! Invariants:
//! - Every byte is read after it was written, through another handle, from where any reader would get it.
//! - The thread ends with the draft, finished or dropped.
//!
//! On a crash nothing is lost: it only reads.

use crate::aside::{Aside, CHUNK_BYTES};
use crate::place::open_regular;
use handover_core::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};

/// A draft that is read behind its writer.
#[derive(Debug)]
pub(super) struct ReadBack(Aside<io::Result<bool>>);

impl ReadBack {
    /// Begins to read the file at this path, in which nothing stands yet.
    ///
    /// # Errors
    /// Where it cannot be opened, or there is no thread to be had.
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let (file, _) = open_regular(path)?;
        Aside::begin("read-back", move |written, back| is_there(file, written, &back))
            .map(Self)
            .map_err(|error| Error::io("start", "a thread that reads back", error))
    }

    /// These bytes stand in the file, behind those before.
    pub(super) fn written(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    /// Whether what was written came back, all of it and nothing else.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn finish(self) -> io::Result<bool> {
        self.0.finish().unwrap_or_else(|| Err(io::Error::other("nothing was read back")))
    }
}

fn is_there(mut file: File, written: Receiver<Vec<u8>>, back: &Sender<Vec<u8>>) -> io::Result<bool> {
    let mut buffer = vec![0u8; CHUNK_BYTES];
    for chunk in written {
        let found = &mut buffer[..chunk.len()];
        match file.read_exact(found) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if *found != chunk[..] {
            return Ok(false);
        }
        // At the end nobody wants it back.
        let _ = back.send(chunk);
    }
    // What stands behind that is not ours, and is to be seen.
    Ok(io::copy(&mut file.take(1), &mut io::sink())? == 0)
}
