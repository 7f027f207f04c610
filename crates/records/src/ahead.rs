//! Reading ahead: one thread reads and finds the rows of the next batches while the caller works on this one.
//!
//! Invariants:
//! - Batches come in their order, and go round: at most [`BATCHES_AHEAD`] wait, one is read and one is worked on.
//! - The thread ends before the function returns. Where the work ends early, that is after the read under way.
//! - The end of the input is told by the thread: one that stopped for another reason is an error, never an end.

use crate::{csv, json};
use handover_core::{Error, Result};
use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How many batches may wait for the work.
const BATCHES_AHEAD: usize = 2;

/// What gives batches: [`csv::Reader`] and [`json::Reader`].
pub trait Batches {
    /// What it fills.
    type Batch: Default + Send;

    /// Fills a batch; false at the end.
    ///
    /// # Errors
    /// What the reader gives.
    fn fill(&mut self, batch: &mut Self::Batch) -> Result<bool>;
}

impl<R: Read> Batches for csv::Reader<R> {
    type Batch = csv::Batch;
    fn fill(&mut self, batch: &mut csv::Batch) -> Result<bool> {
        csv::Reader::fill(self, batch)
    }
}

impl<R: Read> Batches for json::Reader<R> {
    type Batch = json::Batch;
    fn fill(&mut self, batch: &mut json::Batch) -> Result<bool> {
        json::Reader::fill(self, batch)
    }
}

enum Message<B> {
    Batch(B),
    End,
    Failed(Error),
}

/// The batches that another thread reads.
pub struct Ahead<B> {
    messages: Receiver<Message<B>>,
    /// The way back for batches that are done with.
    spare: Sender<B>,
    current: Option<B>,
    ended: bool,
}

impl<B> Ahead<B> {
    /// The next batch; none at the end. The one before goes back to be filled again.
    ///
    /// # Errors
    /// What the reader gave.
    pub fn next_batch(&mut self) -> Result<Option<&B>> {
        if let Some(done) = self.current.take() {
            // The thread may have ended, and needs no more.
            let _ = self.spare.send(done);
        }
        if self.ended {
            return Ok(None);
        }
        match self.messages.recv() {
            Ok(Message::Batch(batch)) => Ok(Some(self.current.insert(batch))),
            Ok(Message::End) => {
                self.ended = true;
                Ok(None)
            }
            Ok(Message::Failed(error)) => {
                self.ended = true;
                Err(error)
            }
            Err(_) => Err(Error::internal("the thread that reads ahead has stopped")),
        }
    }
}

/// Works on the batches of a reader while the next ones are read on another thread. What [`csv::Reader::next_row`] gave
/// before, such as the header, does not come again.
///
/// # Errors
/// What the work gives.
pub fn read_ahead<S: Batches + Send, T>(
    reader: &mut S,
    work: impl FnOnce(&mut Ahead<S::Batch>) -> Result<T>,
) -> Result<T> {
    let (send, messages) = sync_channel(BATCHES_AHEAD);
    let (spare, returned) = channel();
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn_scoped(scope, move || read(reader, &send, &returned))
            .map_err(|error| Error::io("start", "a thread that reads", error))?;
        work(&mut Ahead { messages, spare, current: None, ended: false })
    })
}

/// The thread: batch after batch, until there are no more or nobody wants them.
fn read<S: Batches>(reader: &mut S, send: &SyncSender<Message<S::Batch>>, returned: &Receiver<S::Batch>) {
    loop {
        let mut batch = returned.try_recv().unwrap_or_default();
        let (message, last) = match reader.fill(&mut batch) {
            Ok(true) => (Message::Batch(batch), false),
            Ok(false) => (Message::End, true),
            Err(error) => (Message::Failed(error), true),
        };
        if send.send(message).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;
    use handover_core::ErrorKind;

    #[test]
    fn batches_come_in_their_order_and_the_header_not_again() {
        let text: String = (0..50_000).map(|number| format!("{number}\n")).collect();
        let mut reader = csv::Reader::new(text.as_bytes(), &Dialect::default()).block_bytes(1000);
        reader.next_row().unwrap();
        let mut expected = 1;
        read_ahead(&mut reader, |ahead| {
            while let Some(batch) = ahead.next_batch()? {
                for row in batch.rows() {
                    assert_eq!(row.content(), expected.to_string().as_bytes());
                    expected += 1;
                }
            }
            assert!(ahead.next_batch()?.is_none());
            Ok(())
        })
        .unwrap();
        assert_eq!(expected, 50_000);
    }

    #[test]
    fn an_error_comes_after_the_records_before_it() {
        let mut reader = json::Reader::new(&b"[1, 2, "[..], json::Shape::Array);
        let mut records = 0;
        let error = read_ahead(&mut reader, |ahead| {
            while let Some(batch) = ahead.next_batch()? {
                records += batch.len();
            }
            Ok(())
        })
        .unwrap_err();
        assert_eq!((error.kind(), records), (ErrorKind::BadData, 2));
    }

    #[test]
    fn work_that_ends_early_ends_the_thread() {
        let text = b"a\n".repeat(1_000_000);
        let mut reader = csv::Reader::new(&text[..], &Dialect::default());
        let rows = read_ahead(&mut reader, |ahead| Ok(ahead.next_batch()?.map(csv::Batch::len))).unwrap();
        assert!(rows.is_some_and(|rows| rows > 0));
    }
}
