//! Sorting more than fits into memory: records with their keys are gathered up to a limit, sorted and written to a
//! scratch file as a **run**; at the end all runs are merged.
//!
//! Keys are compared as bytes, so whoever makes them encodes the order into them. Records with equal keys keep the order
//! in which they came.
//!
//! Invariants:
//! - Memory is bounded by the limit and one buffer a run, of which there are at most [`FAN_IN`] a level: whenever there
//!   are so many, they are merged into one of the next level. An input of any practical size has three levels at most.
//! - What fits into the limit touches no disk.
//!
//! On a crash nothing is left: scratch files have no name.

mod run;

#[cfg(test)]
mod tests;

use crate::app::Scratch;
use handover_core::Result;
use run::{Record, Run, RunReader, RunWriter};
use std::cmp::Ordering;

/// How many runs of one level are merged at once.
const FAN_IN: usize = 32;
/// What a record takes beside its bytes: its lengths and its [`Entry`].
const RECORD_EXTRA_BYTES: usize = run::LENGTHS_BYTES + size_of::<Entry>();

/// Where a record stands in the arena. The beginning of its key decides most comparisons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    prefix: u64,
    at: u32,
}

/// The first eight bytes of a key as a number that compares as they do.
fn prefix_of(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let count = key.len().min(8);
    first[..count].copy_from_slice(&key[..count]);
    u64::from_be_bytes(first)
}

/// Gathers records, to give them back sorted.
pub(crate) struct Sorter<'a> {
    scratch: &'a Scratch<'a>,
    memory_bytes: usize,
    /// Framed as in a run.
    arena: Vec<u8>,
    entries: Vec<Entry>,
    levels: Vec<Vec<Run>>,
}

impl<'a> Sorter<'a> {
    /// A sorter that keeps about so many bytes in memory, and the rest in scratch files.
    pub(crate) fn new(scratch: &'a Scratch<'a>, memory_bytes: usize) -> Self {
        // What stands in the arena is found by 32 bits.
        let memory_bytes = memory_bytes.min(u32::MAX as usize / 2);
        Self { scratch, memory_bytes, arena: Vec::new(), entries: Vec::new(), levels: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Where a scratch file cannot be written.
    pub(crate) fn push(&mut self, key: &[u8], record: &[u8]) -> Result<()> {
        let used = self.arena.len() + self.entries.len() * size_of::<Entry>();
        if used + key.len() + record.len() + RECORD_EXTRA_BYTES > self.memory_bytes
            && !self.entries.is_empty()
        {
            self.spill()?;
        }
        // The arena is as long as the limit at most, and one record.
        let at = u32::try_from(self.arena.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { prefix: prefix_of(key), at });
        run::push_framed(&mut self.arena, key, record);
        Ok(())
    }

    /// Sorts what is in memory.
    fn sort(&mut self) {
        let arena = &self.arena;
        self.entries.sort_unstable_by(|one, other| {
            one.prefix
                .cmp(&other.prefix)
                .then_with(|| key_at(arena, one.at).cmp(key_at(arena, other.at)))
                .then(one.at.cmp(&other.at))
        });
    }

    /// Writes what is in memory as a run.
    fn spill(&mut self) -> Result<()> {
        self.sort();
        let mut writer = RunWriter::new((self.scratch)()?);
        for entry in &self.entries {
            writer.push(run::framed_at(&self.arena, entry.at as usize))?;
        }
        self.arena.clear();
        self.entries.clear();
        let run = writer.finish()?;
        self.add(run)
    }

    /// Adds a run, and merges the level that is full by it.
    fn add(&mut self, mut run: Run) -> Result<()> {
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(run);
            if self.levels[level].len() < FAN_IN {
                break;
            }
            let group = std::mem::take(&mut self.levels[level]);
            let mut merged = Merge::new(group)?;
            let mut writer = RunWriter::new((self.scratch)()?);
            while let Some(record) = merged.next()? {
                writer.push(record.framed)?;
            }
            run = writer.finish()?;
        }
        Ok(())
    }

    /// All records in their order.
    ///
    /// # Errors
    /// Where a scratch file cannot be written or read.
    pub(crate) fn sorted(mut self) -> Result<Sorted> {
        if self.levels.is_empty() {
            self.sort();
            return Ok(Sorted::Memory { arena: self.arena, entries: self.entries, next: 0 });
        }
        if !self.entries.is_empty() {
            self.spill()?;
        }
        // A higher level came earlier.
        Ok(Sorted::Files(Merge::new(self.levels.into_iter().rev().flatten().collect())?))
    }
}

fn key_at(arena: &[u8], at: u32) -> &[u8] {
    Record::of(run::framed_at(arena, at as usize)).key
}

/// Sorted records.
pub(crate) enum Sorted {
    /// All of them are in memory.
    Memory {
        /// The records, framed.
        arena: Vec<u8>,
        /// Their order.
        entries: Vec<Entry>,
        /// The next of them.
        next: usize,
    },
    /// They are in scratch files.
    Files(Merge),
}

impl Sorted {
    /// The next record; none at the end.
    ///
    /// # Errors
    /// Where a scratch file cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>> {
        match self {
            Sorted::Memory { arena, entries, next } => {
                let Some(entry) = entries.get(*next) else { return Ok(None) };
                *next += 1;
                Ok(Some(Record::of(run::framed_at(arena, entry.at as usize))))
            }
            Sorted::Files(merge) => merge.next(),
        }
    }
}

/// Runs being merged: a heap of them by their current records.
pub(crate) struct Merge {
    runs: Vec<RunReader>,
    /// Indices of runs that have a record, the smallest record's first.
    heap: Vec<usize>,
    /// Whether the first of the heap was handed out.
    taken: bool,
}

impl Merge {
    fn new(runs: Vec<Run>) -> Result<Self> {
        let mut merge = Self { runs: Vec::with_capacity(runs.len()), heap: Vec::new(), taken: false };
        for run in runs {
            let mut reader = RunReader::new(run)?;
            if reader.advance()? {
                merge.heap.push(merge.runs.len());
            }
            merge.runs.push(reader);
        }
        for index in (0..merge.heap.len()).rev() {
            merge.sift_down(index);
        }
        Ok(merge)
    }

    /// Equal keys in the order of their runs, which is that of their coming.
    fn before(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.runs[one], &self.runs[other]);
        let order = a.prefix().cmp(&b.prefix()).then_with(|| a.record().key.cmp(b.record().key));
        order.then(one.cmp(&other)) == Ordering::Less
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut least = at;
            for child in [left, right] {
                if child < self.heap.len() && self.before(self.heap[child], self.heap[least]) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    fn next(&mut self) -> Result<Option<Record<'_>>> {
        if std::mem::replace(&mut self.taken, true)
            && let Some(first) = self.heap.first().copied()
        {
            if !self.runs[first].advance()? {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(self.heap.first().map(|first| self.runs[*first].record()))
    }
}
