//! Runs an app over batches of rows or records on up to three threads: reading and scanning, the app's own step, and
//! writing (which compresses, where the output does).
//!
//! A small input, which two blocks hold, is worked on by the calling thread alone. Batches and output buffers go round:
//! nothing is allocated for a batch once the round is full.
//!
//! Invariants:
//! - The outputs are written in the order of their batches.
//! - A few batches are under way at most, whatever the input's size.
//! - The stream of rejected rows is not touched while there is none.
//! - Whatever fails, all threads have ended when [`run`] returns; a panic in one of them goes on in the caller.
//!
//! On a crash nothing is lost: nothing here is published.

#[cfg(test)]
mod tests;

use handover_core::{Error, Result};
use handover_records::{csv, json, write_error};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::ScopedJoinHandle;

/// What so many batches hold is worked on by the calling thread alone.
const SMALL_BATCHES: usize = 2;
/// How many batches wait between two threads: enough to go on with while the disk keeps one of them for a moment.
const WAITING_BATCHES: usize = 6;
/// What an output buffer keeps of its room, in bytes, when it comes back to be filled again.
const BUFFER_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Whether to go on after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// On to the next batch.
    Go,
    /// The rest of the input is not wanted: a limit is reached, or the file is refused.
    Stop,
}

/// What an app does with a batch of rows (or of records: `Step<json::Batch>`).
pub(crate) trait Step<B = csv::Batch>: Send {
    /// Works on the next batch: appends to `out` what passes and to `rejected` what does not.
    ///
    /// # Errors
    /// Where the run has to end. Bad rows are no error.
    fn batch(&mut self, batch: &B, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow>;

    /// Called once when there are no more batches, or [`Flow::Stop`] was answered: what is written here comes last.
    ///
    /// # Errors
    /// Where the run has to end.
    fn end(&mut self, _out: &mut Vec<u8>, _rejected: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// Where batches come from: a reader of rows or of records.
pub(crate) trait Batches: Send {
    /// What it fills.
    type Batch: Default + Send;

    /// Fills a batch; false at the end.
    ///
    /// # Errors
    /// Where the input cannot be read, or the work was cancelled.
    fn fill(&mut self, batch: &mut Self::Batch) -> Result<bool>;
}

impl<R: Read + Send> Batches for csv::Reader<R> {
    type Batch = csv::Batch;

    fn fill(&mut self, batch: &mut csv::Batch) -> Result<bool> {
        csv::Reader::fill(self, batch)
    }
}

impl<R: Read + Send> Batches for json::Reader<R> {
    type Batch = json::Batch;

    fn fill(&mut self, batch: &mut json::Batch) -> Result<bool> {
        json::Reader::fill(self, batch)
    }
}

/// What one batch came to.
#[derive(Default)]
struct Made {
    out: Vec<u8>,
    rejected: Vec<u8>,
}

impl Made {
    fn clear(&mut self) {
        for buffer in [&mut self.out, &mut self.rejected] {
            buffer.clear();
            buffer.shrink_to(BUFFER_KEPT_BYTES);
        }
    }
}

/// The two streams of an app.
struct Streams<'a> {
    output: &'a mut (dyn Write + Send),
    rejected: &'a mut (dyn Write + Send),
    any_rejected: bool,
}

impl Streams<'_> {
    fn write(&mut self, made: &Made) -> Result<()> {
        if !made.out.is_empty() {
            self.output.write_all(&made.out).map_err(write_error)?;
        }
        if !made.rejected.is_empty() {
            self.any_rejected = true;
            self.rejected.write_all(&made.rejected).map_err(write_error)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(write_error)?;
        if self.any_rejected {
            self.rejected.flush().map_err(write_error)?;
        }
        Ok(())
    }
}

/// Runs `step` over all batches of `reader`; what was read of it before (a header) does not come again. Both streams
/// are flushed at the end.
///
/// # Errors
/// Where the input cannot be read or an output not be written, where the work was cancelled, and what `step` gives.
pub(crate) fn run<S: Batches>(
    mut reader: S,
    output: &mut (dyn Write + Send),
    rejected: &mut (dyn Write + Send),
    step: &mut impl Step<S::Batch>,
) -> Result<()> {
    let mut streams = Streams { output, rejected, any_rejected: false };
    let mut first: Vec<S::Batch> = Vec::new();
    while first.len() < SMALL_BATCHES {
        let mut batch = S::Batch::default();
        if !reader.fill(&mut batch)? {
            return small(&first, &mut streams, step);
        }
        first.push(batch);
    }
    large(reader, first, &mut streams, step)
}

/// The whole input is in these batches.
fn small<B>(batches: &[B], streams: &mut Streams<'_>, step: &mut impl Step<B>) -> Result<()> {
    let mut made = Made::default();
    for batch in batches {
        let flow = step.batch(batch, &mut made.out, &mut made.rejected)?;
        streams.write(&made)?;
        made.clear();
        if flow == Flow::Stop {
            break;
        }
    }
    step.end(&mut made.out, &mut made.rejected)?;
    streams.write(&made)?;
    streams.flush()
}

/// Reads and writes on threads of their own.
fn large<S: Batches>(
    reader: S,
    first: Vec<S::Batch>,
    streams: &mut Streams<'_>,
    step: &mut impl Step<S::Batch>,
) -> Result<()> {
    let (batches_in, batches) = sync_channel(WAITING_BATCHES);
    let (spent, spent_in) = channel();
    let (made_in, made) = sync_channel(WAITING_BATCHES);
    let (written, written_in) = channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(reader, first, &batches_in, &spent_in));
        let writing = scope.spawn(move || write(streams, &made, &written));
        let stepped = work(step, batches, spent, made_in, &written_in);
        // The channels are closed: both threads end.
        let wrote = joined(writing);
        joined(reading);
        // Where writing failed, that is why the step was stopped.
        wrote.and(stepped)
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The reading thread. It ends when nobody wants more.
fn read<S: Batches>(
    mut reader: S,
    first: Vec<S::Batch>,
    batches: &SyncSender<Result<S::Batch>>,
    spent: &Receiver<S::Batch>,
) {
    for batch in first {
        if batches.send(Ok(batch)).is_err() {
            return;
        }
    }
    loop {
        let mut batch = spent.try_recv().unwrap_or_default();
        let filled = match reader.fill(&mut batch) {
            Ok(true) => Ok(batch),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        let failed = filled.is_err();
        if batches.send(filled).is_err() || failed {
            return;
        }
    }
}

/// The writing thread. It ends when there is nothing more to write.
fn write(streams: &mut Streams<'_>, made: &Receiver<Made>, written: &Sender<Made>) -> Result<()> {
    for mut made in made {
        streams.write(&made)?;
        made.clear();
        // Nobody wants it back once the last batch is done.
        let _ = written.send(made);
    }
    streams.flush()
}

/// The calling thread: the app's step. Its ends of the channels are dropped when it is done.
fn work<B>(
    step: &mut impl Step<B>,
    batches: Receiver<Result<B>>,
    spent: Sender<B>,
    made: SyncSender<Made>,
    written: &Receiver<Made>,
) -> Result<()> {
    // Writing fails with its own error, which is told instead of this one.
    let stopped = || Error::internal("the writing thread ended before its time");
    for batch in batches {
        let batch = batch?;
        let mut into = written.try_recv().unwrap_or_default();
        let flow = step.batch(&batch, &mut into.out, &mut into.rejected)?;
        // At the end of the input nobody wants it back.
        let _ = spent.send(batch);
        made.send(into).map_err(|_| stopped())?;
        if flow == Flow::Stop {
            break;
        }
    }
    let mut last = Made::default();
    step.end(&mut last.out, &mut last.rejected)?;
    made.send(last).map_err(|_| stopped())
}
