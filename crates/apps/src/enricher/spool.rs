//! An input that is read twice: what is read the first time is kept, in memory while it is small, else in a temporary
//! file without a name.
//!
//! Invariant: the second reading gives the bytes of the first. On a crash nothing is left: the file has no name.

use crate::app::Scratch;
use handover_core::{Error, Result};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// So much is kept in memory.
const MEMORY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Keeps what is read.
pub(super) struct Spool<'a> {
    input: &'a mut (dyn Read + Send),
    scratch: &'a Scratch<'a>,
    memory: Vec<u8>,
    file: Option<File>,
}

impl<'a> Spool<'a> {
    pub(super) fn new(input: &'a mut (dyn Read + Send), scratch: &'a Scratch<'a>) -> Self {
        Self { input, scratch, memory: Vec::new(), file: None }
    }

    /// What was read, from its beginning.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn again(self) -> Result<Box<dyn Read + Send>> {
        let Some(mut file) = self.file else { return Ok(Box::new(Cursor::new(self.memory))) };
        file.seek(SeekFrom::Start(0)).map_err(|error| Error::io("read again", "the input", error))?;
        Ok(Box::new(file))
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > MEMORY_MAX_BYTES {
            let mut file = (self.scratch)().map_err(io::Error::other)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl Read for Spool<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.keep(&into[..count])?;
        Ok(count)
    }
}
