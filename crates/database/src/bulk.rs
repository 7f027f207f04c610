//! Bulk push: a source becomes records, in batches of bounded size, each one transaction.
//!
//! Reading is on a thread of its own, so that it goes on while a batch is committed; a source that pauses has what it gave
//! so far committed after a moment.
//!
//! Invariants: records enter in the order of the source. Without a key each push is new. With one the ledger knows how
//! many records of the source are in, and a push that was cut, however it was, goes on behind them; a source whose load
//! has ended is not taken again. A `whole` load appears at its end or not at all.
//!
//! On a crash what was committed is in; of a whole load nothing is seen, and what was put aside waits for its key.

use crate::record::Shape;
use crate::source::{Line, Refused, Source};
use handover_core::limits::{PUSH_BATCH_BYTES, PUSH_BATCH_RECORDS};
use handover_core::{Error, NewDelivery, Result};
use handover_ledger::{Ledger, Load, Pushed};
use std::io::Read;
use std::time::Duration;
use tokio::sync::mpsc;

/// So long after a source has paused, what it gave is committed.
const PAUSE: Duration = Duration::from_millis(50);

/// A push.
#[derive(Debug, Clone)]
pub struct Push {
    /// What its records become.
    pub shape: Shape,
    /// The name of the load, by which it goes on after a cut.
    pub key: Option<String>,
    /// Whether all appear at once, at the end. It needs a key.
    pub whole: bool,
    /// Whether a bad line is passed over; otherwise it ends the push.
    pub skip: bool,
}

/// What came of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// Records that are in the ledger now, by this push.
    pub records: u64,
    /// Of these, how many were there already by their dedup key: they are no new records. Of a whole load all, of an
    /// earlier part of it too.
    pub duplicates: u64,
    /// Records that an earlier push of the same load had brought in.
    pub already: u64,
    /// Lines that were passed over.
    pub skipped: u64,
    /// The load's name, where it has one.
    pub key: Option<String>,
    /// Whether the load had ended before: nothing was done.
    pub ended_before: bool,
}

/// A push that ended before its source did.
#[derive(Debug)]
pub struct Cut {
    /// Why.
    pub error: Error,
    /// What it did until then.
    pub done: Done,
}

/// A line that was passed over, or that ended the push.
#[derive(Debug)]
pub struct Bad {
    /// Its line; of a JSON array the number of the record.
    pub number: u64,
    /// What the number counts: `line` or `record`.
    pub unit: &'static str,
    /// What is wrong, and what stood there.
    pub refused: Refused,
}

#[allow(clippy::large_enum_variant, reason = "nearly all are records")]
enum Item {
    Record(NewDelivery, usize),
    Bad(Bad),
    Failed(Error),
}

/// Pushes a source. `bad` is told of each line that is passed over.
///
/// # Errors
/// Those of reading the source and of the ledger, and without `skip` that of the first bad line; each with what was done
/// until then.
pub async fn push<R: Read + Send + 'static>(
    ledger: &dyn Ledger,
    actor: &str,
    source: Source<R>,
    push: Push,
    bad: &mut (dyn FnMut(&Bad) -> Result<()> + Send),
) -> std::result::Result<Done, Cut> {
    let mut into = Pushing { ledger, actor, push, load: None, done: Done::default() };
    match into.all(source, bad).await {
        Ok(()) => Ok(into.done),
        Err(error) => {
            // What was put aside of a whole load whose source is bad is of no use to anybody.
            if into.push.whole && error.kind() == handover_core::ErrorKind::BadData {
                if let Some(key) = &into.push.key {
                    let _ = ledger.drop_load(actor, key).await;
                }
                into.done.records = 0;
            }
            Err(Cut { error, done: into.done })
        }
    }
}

struct Pushing<'a> {
    ledger: &'a dyn Ledger,
    actor: &'a str,
    push: Push,
    load: Option<Load>,
    done: Done,
}

impl Pushing<'_> {
    async fn all<R: Read + Send + 'static>(
        &mut self,
        source: Source<R>,
        bad: &mut (dyn FnMut(&Bad) -> Result<()> + Send),
    ) -> Result<()> {
        if let Some(key) = &self.push.key {
            let load = self.ledger.begin_load(self.actor, key, self.push.whole).await?;
            self.done.key = Some(key.clone());
            self.done.already = load.rows;
            if load.ended {
                self.done.ended_before = true;
                return Ok(());
            }
            self.load = Some(load);
        }
        let (items, mut read) = mpsc::channel(2);
        let shape = self.push.shape.clone();
        let stop = !self.push.skip;
        let reading = tokio::task::spawn_blocking(move || reading(source, &shape, stop, &items));
        let mut batch = Batch::default();
        let mut behind = self.done.already;
        loop {
            let chunk = if batch.is_empty() {
                read.recv().await
            } else {
                match tokio::time::timeout(PAUSE, read.recv()).await {
                    Ok(chunk) => chunk,
                    Err(_) => {
                        self.commit(&mut batch).await?;
                        continue;
                    }
                }
            };
            let Some(chunk) = chunk else { break };
            for item in chunk {
                match item {
                    // What an earlier push has brought in.
                    Item::Record(..) if behind > 0 => behind -= 1,
                    Item::Record(new, bytes) => {
                        batch.add(new, bytes);
                        if batch.is_full() {
                            self.commit(&mut batch).await?;
                        }
                    }
                    Item::Bad(line) if self.push.skip => {
                        self.done.skipped += 1;
                        bad(&line)?;
                    }
                    Item::Bad(line) => {
                        self.commit(&mut batch).await?;
                        return Err(bad_line(&line));
                    }
                    Item::Failed(error) => {
                        self.commit(&mut batch).await?;
                        return Err(error);
                    }
                }
            }
        }
        reading.await.map_err(|e| Error::internal("reading the source broke off").because(e))?;
        self.commit(&mut batch).await?;
        self.end(behind).await
    }

    async fn commit(&mut self, batch: &mut Batch) -> Result<()> {
        let rows = std::mem::take(batch).rows;
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len() as u64;
        match (&mut self.load, &self.push.key) {
            (Some(load), Some(key)) => {
                let now = self.ledger.load(self.actor, key, load.rows, rows).await?;
                self.done.duplicates += now.duplicates - load.duplicates;
                *load = now;
            }
            _ => {
                let pushed = self.ledger.push(self.actor, rows).await?;
                let known = pushed.iter().filter(|one| matches!(one, Pushed::Duplicate(_))).count();
                self.done.duplicates += known as u64;
            }
        }
        self.done.records += count;
        Ok(())
    }

    async fn end(&mut self, behind: u64) -> Result<()> {
        let (Some(key), Some(load)) = (&self.push.key, &self.load) else { return Ok(()) };
        if behind > 0 {
            let message = format!("{} records of this load are in, and this source has fewer", load.rows);
            return Err(Error::config(message)
                .on(key)
                .hint("another source was loaded under this key: give this one a key of its own"));
        }
        let ended = self.ledger.end_load(self.actor, key).await?;
        self.done.duplicates += ended.duplicates - load.duplicates;
        Ok(())
    }
}

fn bad_line(line: &Bad) -> Error {
    Error::bad_data(format!("{} {}: {}", line.unit, line.number, line.refused.why))
}

/// Records that are committed together.
#[derive(Default)]
struct Batch {
    rows: Vec<NewDelivery>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, new: NewDelivery, bytes: usize) {
        self.rows.push(new);
        self.bytes += bytes;
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= PUSH_BATCH_RECORDS || self.bytes >= PUSH_BATCH_BYTES
    }
}

/// Reads the source to its end, or to its first bad line. Who takes what it reads may go away: then it ends.
fn reading<R: Read>(mut source: Source<R>, shape: &Shape, stop: bool, items: &mpsc::Sender<Vec<Item>>) {
    let unit = source.unit();
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    loop {
        let full = chunk.len() >= PUSH_BATCH_RECORDS || bytes >= PUSH_BATCH_BYTES;
        if !chunk.is_empty() && (full || source.may_wait()) {
            if items.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return;
            }
            bytes = 0;
        }
        let line = match source.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                chunk.push(Item::Failed(error));
                break;
            }
        };
        let Line { number, bytes: size, value } = line;
        bytes += size;
        let item = match value {
            Err(refused) => Item::Bad(Bad { number, unit, refused }),
            Ok(value) => {
                let kept = if shape.dedup.is_some() || shape.order.is_some() {
                    value.to_string()
                } else {
                    String::new()
                };
                match shape.delivery(value) {
                    Ok(new) => Item::Record(new, size),
                    Err(why) => Item::Bad(Bad { number, unit, refused: Refused::new(why, kept.as_bytes()) }),
                }
            }
        };
        let ends = stop && matches!(item, Item::Bad(_));
        chunk.push(item);
        if ends {
            break;
        }
    }
    let _ = items.blocking_send(chunk);
}
