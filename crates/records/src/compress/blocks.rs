//! Compressing in blocks on all processors.
//!
//! Whoever writes fills a block; a full one goes to the worker threads; what they make of it is written in the order of
//! the blocks, by the one who writes, once enough blocks are under way. Blocks go round: nothing is allocated after the
//! first few.
//!
//! Invariants:
//! - Where blocks begin depends on the bytes alone, so the output does not depend on threads or on how the bytes came.
//! - At most [`IN_FLIGHT_PER_WORKER`] blocks a worker are under way.
//! - Dropping a writer ends its threads.

use super::Compression;
use super::deflate::Deflater;
use crate::error::{carried, write_error};
use handover_core::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How many bytes a gzip block holds: each begins with an empty window of 32 KiB, which costs 0.6 % of the size here.
const GZIP_BLOCK_BYTES: usize = 1024 * 1024;
/// How many bytes a zstd block holds: its window is larger.
const ZSTD_BLOCK_BYTES: usize = 2 * 1024 * 1024;
const IN_FLIGHT_PER_WORKER: usize = 2;
/// More threads would hold more blocks than they are worth.
const WORKERS_MAX: usize = 8;

/// A block on its way: the bytes, and what they were compressed to.
#[derive(Default)]
struct Block {
    plain: Vec<u8>,
    packed: Vec<u8>,
}

struct Job {
    block: Block,
    done: SyncSender<Result<Block>>,
}

/// Compresses what is written to it. [`BlockWriter::finish`] has to be called at the end.
pub struct BlockWriter<W: Write> {
    out: W,
    block_bytes: usize,
    block: Block,
    /// Blocks under way, in their order.
    under_way: VecDeque<Receiver<Result<Block>>>,
    under_way_max: usize,
    spare: Vec<Block>,
    workers: Workers,
    bytes_written: u64,
    any: bool,
}

/// The threads, and the queue that they take their work from.
struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(packer: Packer, count: usize) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self { jobs: Some(jobs), threads: Vec::with_capacity(count) };
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new()
                .name("compress".to_owned())
                .spawn(move || work(packer, &queue))
                .map_err(|error| Error::io("start", "a thread that compresses", error))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl<W: Write> BlockWriter<W> {
    /// A writer that uses all processors.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a level that the compression does not have, or for no compression.
    pub fn new(out: W, compression: Compression, level: i32) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_workers(out, compression, level, processors.min(WORKERS_MAX))
    }

    /// A writer with so many worker threads, at least one.
    ///
    /// # Errors
    /// As [`BlockWriter::new`], and where a thread cannot be started.
    pub fn with_workers(out: W, compression: Compression, level: i32, workers: usize) -> Result<Self> {
        Self::start(out, Packer::new(compression, level)?, workers)
    }

    /// A writer that uses all processors, and unpacks each block again and compares it with what went in.
    ///
    /// # Errors
    /// As [`BlockWriter::new`].
    pub fn checked(out: W, compression: Compression, level: i32) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let packer = Packer { check: true, ..Packer::new(compression, level)? };
        Self::start(out, packer, processors.min(WORKERS_MAX))
    }

    fn start(out: W, packer: Packer, workers: usize) -> Result<Self> {
        let workers = workers.max(1);
        Ok(Self {
            out,
            block_bytes: packer.block_bytes(),
            block: Block::default(),
            under_way: VecDeque::new(),
            under_way_max: workers * IN_FLIGHT_PER_WORKER,
            spare: Vec::new(),
            workers: Workers::start(packer, workers)?,
            bytes_written: 0,
            any: false,
        })
    }

    /// How many compressed bytes were written so far.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    fn send_block(&mut self) -> std::io::Result<()> {
        while self.under_way.len() >= self.under_way_max {
            self.write_first()?;
        }
        let next = self.spare.pop().unwrap_or_default();
        let block = std::mem::replace(&mut self.block, next);
        let (done, receiver) = sync_channel(1);
        let jobs = self.workers.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(Job { block, done }).map_err(|_| stopped())?;
        self.under_way.push_back(receiver);
        self.any = true;
        Ok(())
    }

    /// Waits for the first block under way and writes it.
    fn write_first(&mut self) -> std::io::Result<()> {
        let Some(first) = self.under_way.pop_front() else { return Ok(()) };
        let mut block = first.recv().map_err(|_| stopped())?.map_err(carried)?;
        self.out.write_all(&block.packed)?;
        self.bytes_written += block.packed.len() as u64;
        block.plain.clear();
        self.spare.push(block);
        Ok(())
    }

    /// Compresses what is still held, writes it all and gives the output back, flushed.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        // Nothing at all is one empty block, so that the file is a file of its format.
        if !self.block.plain.is_empty() || !self.any {
            self.send_block().map_err(write_error)?;
        }
        while !self.under_way.is_empty() {
            self.write_first().map_err(write_error)?;
        }
        self.out.flush().map_err(write_error)?;
        Ok(self.out)
    }
}

fn stopped() -> std::io::Error {
    carried(Error::internal("a thread that compresses has stopped"))
}

impl<W: Write> Write for BlockWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(self.block_bytes - self.block.plain.len());
        if self.block.plain.capacity() == 0 {
            self.block.plain.reserve_exact(self.block_bytes);
        }
        self.block.plain.extend_from_slice(&bytes[..count]);
        if self.block.plain.len() == self.block_bytes {
            self.send_block()?;
        }
        Ok(count)
    }

    /// Writes the blocks that are full. The block under way stays, because blocks are cut by their size alone.
    fn flush(&mut self) -> std::io::Result<()> {
        while !self.under_way.is_empty() {
            self.write_first()?;
        }
        self.out.flush()
    }
}

/// What a worker compresses with.
#[derive(Debug, Clone, Copy)]
struct Packer {
    compression: Compression,
    level: i32,
    /// Whether each block is unpacked again and compared.
    check: bool,
}

impl Packer {
    fn new(compression: Compression, level: i32) -> Result<Self> {
        let levels = compression.levels();
        if compression == Compression::None || !levels.contains(&level) {
            return Err(Error::config(format!(
                "level {level} of {compression:?} is not between {} and {}",
                levels.start(),
                levels.end()
            )));
        }
        Ok(Self { compression, level, check: false })
    }

    fn block_bytes(self) -> usize {
        match self.compression {
            Compression::Zstd => ZSTD_BLOCK_BYTES,
            _ => GZIP_BLOCK_BYTES,
        }
    }
}

/// What one worker uses for block after block.
struct Tools {
    engine: Engine,
    /// Unpacks again, where that is asked for.
    checker: Option<Checker>,
}

impl Tools {
    fn new(packer: Packer) -> Result<Self> {
        let checker = packer.check.then(|| Checker::new(packer)).transpose()?;
        Ok(Self { engine: Engine::new(packer)?, checker })
    }

    fn pack(&mut self, block: &mut Block) -> Result<()> {
        self.engine.pack(block)?;
        self.checker.as_mut().map_or(Ok(()), |checker| checker.check(block))
    }
}

/// Unpacks blocks again.
struct Checker {
    engine: Unpacker,
    unpacked: Vec<u8>,
}

enum Unpacker {
    Gzip(libdeflater::Decompressor),
    Zstd(zstd::bulk::Decompressor<'static>),
}

impl Checker {
    fn new(packer: Packer) -> Result<Self> {
        let engine = if packer.compression == Compression::Zstd {
            let zstd = zstd::bulk::Decompressor::new()
                .map_err(|error| Error::internal("cannot make a decompressor").because(error))?;
            Unpacker::Zstd(zstd)
        } else {
            Unpacker::Gzip(libdeflater::Decompressor::new())
        };
        Ok(Self { engine, unpacked: Vec::new() })
    }

    /// Compares what the block was packed to with what it was.
    fn check(&mut self, block: &Block) -> Result<()> {
        self.unpacked.resize(block.plain.len(), 0);
        let length = match &mut self.engine {
            Unpacker::Gzip(gzip) => gzip.gzip_decompress(&block.packed, &mut self.unpacked).ok(),
            Unpacker::Zstd(zstd) => zstd.decompress_to_buffer(&block.packed, &mut self.unpacked[..]).ok(),
        };
        if length == Some(block.plain.len()) && self.unpacked == block.plain {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "what was compressed does not come out as it went in")
            .hint("the memory of this machine may be at fault; trying again writes it anew"))
    }
}

/// One worker's compressor.
enum Engine {
    Tables(Deflater),
    Gzip(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Engine {
    fn new(packer: Packer) -> Result<Self> {
        let broken = |what: String| Error::internal(format!("cannot make a compressor: {what}"));
        if packer.compression == Compression::Zstd {
            let mut zstd =
                zstd::bulk::Compressor::new(packer.level).map_err(|error| broken(error.to_string()))?;
            zstd.include_checksum(true).map_err(|error| broken(error.to_string()))?;
            return Ok(Engine::Zstd(zstd));
        }
        if packer.level == Compression::Gzip.usual_level() {
            return Ok(Engine::Tables(Deflater::new()));
        }
        let level =
            libdeflater::CompressionLvl::new(packer.level).map_err(|error| broken(format!("{error:?}")))?;
        Ok(Engine::Gzip(libdeflater::Compressor::new(level)))
    }

    fn pack(&mut self, block: &mut Block) -> Result<()> {
        let failed = |what: String| Error::internal(format!("cannot compress: {what}"));
        let Block { plain, packed } = block;
        match self {
            Engine::Tables(tables) => tables.gzip(plain, packed),
            Engine::Gzip(gzip) => {
                make_room(packed, gzip.gzip_compress_bound(plain.len()));
                let length =
                    gzip.gzip_compress(plain, packed).map_err(|error| failed(format!("{error:?}")))?;
                packed.truncate(length);
            }
            Engine::Zstd(zstd) => {
                make_room(packed, zstd::zstd_safe::compress_bound(plain.len()));
                let length = zstd
                    .compress_to_buffer(plain, &mut packed[..])
                    .map_err(|error| failed(error.to_string()))?;
                packed.truncate(length);
            }
        }
        Ok(())
    }
}

/// Makes a buffer so long; what it holds is written over.
fn make_room(buffer: &mut Vec<u8>, room: usize) {
    if buffer.len() < room {
        buffer.resize(room, 0);
    }
}

/// A worker thread: block after block, until there are no more.
fn work(packer: Packer, queue: &Mutex<Receiver<Job>>) {
    let mut tools = Tools::new(packer);
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { mut block, done }) = job else { return };
        let result = match &mut tools {
            Ok(tools) => tools.pack(&mut block).map(|()| block),
            Err(error) => Err(Error::internal(error.to_string())),
        };
        // The writer may have been dropped meanwhile.
        let _ = done.send(result);
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
