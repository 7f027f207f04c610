//! Copying: bytes as they stand, or text that is only compressed anew. Rows are counted on the way and never changed.
//!
//! Invariant: every byte that comes in goes out, but for the encoding where another is asked for. Reading has a thread
//! of its own once the input is larger than a few blocks.

use super::parts::{Content, Parts};
use crate::app::Outcome;
use crate::pipeline::{self, Batches, Flow, Step};
use handover_core::{Checksum, Error, Result};
use handover_records::{InputOptions, RowCounter, Watch, Watched, open_bytes, read_error};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// An input in chunks of bytes.
struct Chunks<R>(R);

/// Bytes, and how many of them are filled.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    filled: usize,
}

impl<R: Read + Send> Batches for Chunks<R> {
    type Batch = Chunk;

    fn fill(&mut self, chunk: &mut Chunk) -> Result<bool> {
        chunk.bytes.resize(CHUNK_BYTES, 0);
        chunk.filled = 0;
        while chunk.filled < CHUNK_BYTES {
            match self.0.read(&mut chunk.bytes[chunk.filled..]) {
                Ok(0) => break,
                Ok(count) => chunk.filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        Ok(chunk.filled > 0)
    }
}

/// Counts and writes chunks.
struct Copying<'p, 'a, W: Write> {
    parts: &'p mut Parts<'a, W>,
    rows: Option<RowCounter>,
}

impl<W: Write + Send> Step<Chunk> for Copying<'_, '_, W> {
    fn batch(&mut self, chunk: &Chunk, _: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<Flow> {
        let bytes = &chunk.bytes[..chunk.filled];
        if let Some(rows) = &mut self.rows {
            rows.push(bytes);
        }
        self.parts.raw(bytes)?;
        Ok(Flow::Go)
    }
}

fn copy<W: Write + Send>(
    input: impl Read + Send,
    rows: Option<RowCounter>,
    parts: &mut Parts<'_, W>,
) -> Result<Outcome> {
    let mut step = Copying { parts, rows };
    pipeline::run(Chunks(input), &mut std::io::sink(), &mut std::io::sink(), &mut step)?;
    let rows = step.rows.and_then(RowCounter::finish).unwrap_or(0);
    parts.counted(rows, None)?;
    Ok(Outcome { rows_in: rows, rows_out: rows, ..Outcome::default() })
}

/// Copies bytes of which nothing is known.
pub(super) fn raw<W: Write + Send>(
    input: impl Read + Send,
    watch: Watch<'_>,
    parts: &mut Parts<'_, W>,
) -> Result<Outcome> {
    copy(Watched::new(input, watch), None, parts)
}

/// Copies text, which the parts compress; `counts` is whether it has rows.
pub(super) fn text<W: Write + Send>(
    input: impl Read + Send,
    options: &InputOptions<'_>,
    counts: bool,
    parts: &mut Parts<'_, W>,
) -> Result<Outcome> {
    let mut dialect = options.dialect.clone();
    let source = open_bytes(input, options, &mut dialect)?;
    copy(source, counts.then(|| RowCounter::new(options.format, &dialect)), parts)
}

/// The input, copied as it is read.
struct Copied<'p, 'a, R, W: Write> {
    input: R,
    parts: &'p mut Parts<'a, W>,
    /// Why writing failed: whoever reads must not take it for a fault of the input.
    failed: Option<Error>,
}

impl<R: Read, W: Write> Read for Copied<'_, '_, R, W> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(into)?;
        if let Err(error) = self.parts.raw(&into[..count]) {
            self.failed = Some(error);
            return Err(std::io::Error::other("the output cannot be written"));
        }
        Ok(count)
    }
}

/// Copies bytes as they stand, and counts the rows in what they expand to; with `hash`, the checksum of that is found.
pub(super) fn counted<W: Write + Send>(
    input: impl Read + Send,
    options: &InputOptions<'_>,
    hash: bool,
    parts: &mut Parts<'_, W>,
) -> Result<Outcome> {
    let mut copied = Copied { input, parts, failed: None };
    let counted = count(&mut copied, options, hash);
    if let Some(error) = copied.failed {
        return Err(error);
    }
    let (rows, content) = counted?;
    parts.counted(rows, content)?;
    Ok(Outcome { rows_in: rows, rows_out: rows, ..Outcome::default() })
}

fn count(copied: &mut impl Read, options: &InputOptions<'_>, hash: bool) -> Result<(u64, Option<Content>)> {
    let mut dialect = options.dialect.clone();
    let mut source = open_bytes(copied, options, &mut dialect)?;
    let mut rows = RowCounter::new(options.format, &dialect);
    let mut hasher = hash.then(Sha256::new);
    let mut bytes = 0;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(error)),
        };
        rows.push(&buffer[..count]);
        if let Some(hasher) = &mut hasher {
            hasher.update(&buffer[..count]);
        }
        bytes += count as u64;
    }
    let content = hasher.map(|hasher| Content { checksum: Checksum(hasher.finalize().into()), bytes });
    Ok((rows.finish().unwrap_or(0), content))
}
