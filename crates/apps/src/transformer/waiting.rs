//! The records that waited to be sorted, on their way to the output: read from the runs, framed and written block by
//! block.
//!
//! Invariant: one block at a time is in memory.

use super::write::Frame;
use crate::pipeline::{Batches, Flow, Step};
use crate::spill::Sorted;
use handover_core::{Error, ErrorKind, Result};

/// Records that waited, in the order in which they are written.
pub(super) struct Waiting {
    sorted: Sorted,
    frame: Frame,
}

impl Waiting {
    /// These records, in what stands around them.
    pub(super) fn new(sorted: Sorted, frame: Frame) -> Self {
        Self { sorted, frame }
    }
}

/// How much of them is written at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// A block of what is written; the last one ends the output.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    records: u64,
}

/// Gives the records that waited, block by block, and is asked to stop at each.
pub(super) struct Blocks<'c> {
    waiting: Waiting,
    cancelled: &'c (dyn Fn() -> bool + Sync),
    ended: bool,
}

impl<'c> Blocks<'c> {
    pub(super) fn new(waiting: Waiting, cancelled: &'c (dyn Fn() -> bool + Sync)) -> Self {
        Self { waiting, cancelled, ended: false }
    }
}

impl Batches for Blocks<'_> {
    type Batch = Block;

    fn fill(&mut self, block: &mut Block) -> Result<bool> {
        block.bytes.clear();
        block.records = 0;
        if (self.cancelled)() {
            return Err(Error::new(ErrorKind::Cancelled, "the work was cancelled"));
        }
        if self.ended {
            return Ok(false);
        }
        let Waiting { sorted, frame } = &mut self.waiting;
        while block.bytes.len() < BLOCK_BYTES {
            let Some(next) = sorted.next()? else {
                frame.end(&mut block.bytes);
                self.ended = true;
                break;
            };
            frame.before(&mut block.bytes);
            block.bytes.extend_from_slice(next.record);
            frame.after(&mut block.bytes);
            block.records += 1;
        }
        Ok(true)
    }
}

/// Passes the blocks on and counts their records.
#[derive(Default)]
pub(super) struct PassBlocks {
    pub(super) records: u64,
}

impl Step<Block> for PassBlocks {
    fn batch(&mut self, block: &Block, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<Flow> {
        out.extend_from_slice(&block.bytes);
        self.records += block.records;
        Ok(Flow::Go)
    }
}
