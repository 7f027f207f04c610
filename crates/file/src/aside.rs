//! Bytes that go to a thread of their own, in chunks that go round.
//!
//! Invariants:
//! - The thread gets every byte, in order, and ends with its giver, finished or dropped.
//! - A few chunks are under way at most: who gives faster than the thread takes waits.
//!
//! There is no I/O but the thread's own, so a crash leaves nothing.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

/// How many bytes go to the thread at once: what fits into a processor's own cache.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;
/// How many chunks may wait for the thread.
const CHUNKS_WAITING: usize = 4;

/// What a thread makes of bytes.
#[derive(Debug)]
pub(crate) struct Aside<T> {
    /// What was not sent yet.
    chunk: Vec<u8>,
    /// None once there are no more.
    chunks: Option<SyncSender<Vec<u8>>>,
    /// The way back for chunks that are done with.
    spare: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Aside<T> {
    /// Begins a thread of this name; it gets the chunks and, emptied or not, gives them back by the sender.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn begin(
        name: &str,
        work: impl FnOnce(Receiver<Vec<u8>>, Sender<Vec<u8>>) -> T + Send + 'static,
    ) -> io::Result<Self> {
        let (chunks, given) = sync_channel(CHUNKS_WAITING);
        let (back, spare) = channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || work(given, back))?;
        let chunk = Vec::with_capacity(CHUNK_BYTES);
        Ok(Self { chunk, chunks: Some(chunks), spare, thread: Some(thread) })
    }
}

impl<T> Aside<T> {
    /// The next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK_BYTES {
                let mut next = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
                next.clear();
                self.send(next);
            }
        }
    }

    fn send(&mut self, next: Vec<u8>) {
        let chunk = std::mem::replace(&mut self.chunk, next);
        // It goes nowhere where the thread has ended early; what it says is told at the end.
        let _ = self.chunks.as_ref().map(|chunks| chunks.send(chunk));
    }

    /// What the thread made of all bytes; none where it is gone. A panic of it goes on here.
    pub(crate) fn finish(mut self) -> Option<T> {
        self.send(Vec::new());
        self.chunks = None;
        match self.thread.take()?.join() {
            Ok(made) => Some(made),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl<T> Drop for Aside<T> {
    fn drop(&mut self) {
        self.chunks = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_every_byte_in_order() {
        let bytes: Vec<u8> = (0..5 * CHUNK_BYTES + 7).map(|i| (i % 251) as u8).collect();
        for size in [4099, CHUNK_BYTES, bytes.len()] {
            let collect = |chunks: Receiver<Vec<u8>>, back: Sender<Vec<u8>>| {
                let mut all = Vec::new();
                for chunk in chunks {
                    all.extend_from_slice(&chunk);
                    let _ = back.send(chunk);
                }
                all
            };
            let mut aside = Aside::begin("collect", collect).unwrap();
            bytes.chunks(size).for_each(|chunk| aside.push(chunk));
            assert!(aside.finish().unwrap() == bytes, "{size}");
        }
    }

    #[test]
    fn a_thread_that_ends_early_hinders_nobody() {
        let mut aside = Aside::begin("early", |_, _| "ended").unwrap();
        (0..20).for_each(|_| aside.push(&[0; CHUNK_BYTES]));
        assert_eq!(aside.finish(), Some("ended"));
    }

    #[test]
    fn a_giver_that_is_dropped_ends_its_thread() {
        let (done, ended) = channel();
        let mut aside = Aside::begin("dropped", move |chunks, _| {
            let count = chunks.into_iter().count();
            let _ = done.send(count);
        })
        .unwrap();
        aside.push(&[0; CHUNK_BYTES + 1]);
        drop(aside);
        assert_eq!(ended.try_recv(), Ok(1));
    }
}
