//! Reading a draft back while it is still being written, on a thread of its own.
//!
//! Invariants:
//! - Every byte is read after it was written, through another handle, from where any reader would get it.
//! - The thread ends with the draft, finished or dropped.
//!
//! On a crash nothing is lost: it only reads.

use crate::measure::{Measure, Measured};
use crate::place::open_regular;
use handover_core::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

const BUFFER_BYTES: usize = 256 * 1024;

/// A draft that is read behind its writer.
#[derive(Debug)]
pub(super) struct ReadBack {
    /// How many bytes stand in the file; closed when there are no more to come.
    standing: Option<Sender<u64>>,
    thread: Option<JoinHandle<io::Result<Measured>>>,
}

impl ReadBack {
    /// Begins to read the file at this path. `beside` is whether it is hashed beside what else is hashed: where the writer does
    /// not hash it too.
    ///
    /// # Errors
    /// Where it cannot be opened, or there is no thread to be had.
    pub(super) fn begin(path: &Path, beside: bool) -> Result<Self> {
        let (file, _) = open_regular(path)?;
        let (standing, until) = channel();
        let thread = std::thread::Builder::new()
            .name("read-back".to_owned())
            .spawn(move || read(file, &until, beside))
            .map_err(|error| Error::io("start", "a thread that reads back", error))?;
        Ok(Self { standing: Some(standing), thread: Some(thread) })
    }

    /// So many bytes stand in the file.
    pub(super) fn written(&self, bytes: u64) {
        // One that has failed says so at the end.
        let _ = self.standing.as_ref().map(|standing| standing.send(bytes));
    }

    /// What was read, once all is.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn finish(mut self) -> io::Result<Measured> {
        self.standing = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(measured)) => measured,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(io::Error::other("nothing was read back")),
        }
    }
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        self.standing = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn read(mut file: File, until: &Receiver<u64>, beside: bool) -> io::Result<Measured> {
    let mut measure = if beside { Measure::default() } else { Measure::here() };
    let mut buffer = vec![0u8; BUFFER_BYTES];
    for standing in until {
        while measure.file_size() < standing && read_some(&mut file, &mut buffer, &mut measure)? {}
    }
    // What stands behind that is not ours, and is to be seen.
    while read_some(&mut file, &mut buffer, &mut measure)? {}
    Ok(measure.finish())
}

/// Reads once; false at the end.
fn read_some(file: &mut File, buffer: &mut [u8], measure: &mut Measure) -> io::Result<bool> {
    match file.read(buffer) {
        Ok(count) => {
            measure.push(&buffer[..count]);
            Ok(count > 0)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}
