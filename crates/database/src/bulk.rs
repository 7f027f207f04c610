//! Bulk push: a source becomes records, in batches of bounded size, each one transaction.
//!
//! Reading is on a thread of its own, so that it goes on while a batch is committed; a source that pauses has what it gave
//! so far committed after a moment.
//!
//! Invariants: records enter in the order of the source. Without a key each push is new. With one the ledger knows the place in
//! the source, which counts its records, good and bad ones, and a push that was cut, however it was, goes on behind it; a
//! source whose load has ended is not taken again. Where what lies before the place is seen to be another, or would become
//! other records, the push is refused. A `whole` load appears at its end or not at all.
//!
//! On a crash what was committed is in; of a whole load nothing is seen, and what was put aside waits for its key.

use crate::record::Shape;
use crate::source::{Line, Refused, Source};
use handover_core::limits::{PUSH_BATCH_BYTES, PUSH_BATCH_RECORDS};
use handover_core::{Error, ErrorKind, NewDelivery, Result};
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
    /// Lines that were passed over, by an earlier push of the same load too.
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
    /// Why it could not go on with the load, where that is why: nothing was done.
    pub refused: Option<Unlike>,
}

/// In what a push is unlike the one that began its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlike {
    /// One is whole, and the other is not.
    Way,
    /// Its options make other records of the source.
    Options,
    /// The source is another, before the place to go on from.
    Source,
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
    let mut into =
        Pushing { ledger, actor, push, load: None, passed: 0, done: Done::default(), refused: None };
    match into.all(source, bad).await {
        Ok(()) => Ok(into.done),
        Err(error) => {
            // What was put aside of a whole load whose source is bad is of no use to anybody.
            if into.push.whole && error.kind() == ErrorKind::BadData {
                if let Some(key) = &into.push.key {
                    let _ = ledger.drop_load(actor, key).await;
                }
                into.done.records = 0;
            }
            Err(Cut { error, done: into.done, refused: into.refused })
        }
    }
}

struct Pushing<'a> {
    ledger: &'a dyn Ledger,
    actor: &'a str,
    push: Push,
    load: Option<Load>,
    /// So many lines were passed over since the last commit.
    passed: u64,
    done: Done,
    refused: Option<Unlike>,
}

/// What of the source an earlier push has seen, and is read over.
struct Behind {
    /// So many records, good and bad ones, are still to come.
    left: u64,
    /// So many of those that came were bad.
    bad: u64,
}

impl Pushing<'_> {
    async fn all<R: Read + Send + 'static>(
        &mut self,
        source: Source<R>,
        bad: &mut (dyn FnMut(&Bad) -> Result<()> + Send),
    ) -> Result<()> {
        if let Some(key) = self.push.key.clone() {
            let load = self.begin(&key, source.kind()).await?;
            self.done.key = Some(key);
            self.done.already = load.rows;
            if load.ended {
                self.done.ended_before = true;
                return Ok(());
            }
            self.load = Some(load);
        }
        let place = self.load.as_ref().map_or(0, |load| load.rows + load.skipped);
        let (items, mut read) = mpsc::channel(2);
        let shape = self.push.shape.clone();
        // A bad line that an earlier push has passed over ends none.
        let stop_after = (!self.push.skip).then_some(place);
        let reading = tokio::task::spawn_blocking(move || reading(source, &shape, stop_after, &items));
        let mut batch = Batch::default();
        let mut behind = Behind { left: place, bad: 0 };
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
                    Item::Record(..) if behind.left > 0 => {
                        behind.left -= 1;
                        self.is_as_before(&behind)?;
                    }
                    Item::Bad(line) if behind.left > 0 => {
                        behind.left -= 1;
                        behind.bad += 1;
                        self.is_as_before(&behind)?;
                        if self.push.skip {
                            self.done.skipped += 1;
                            bad(&line)?;
                        }
                    }
                    Item::Record(new, bytes) => {
                        batch.add(new, bytes);
                        if batch.is_full() {
                            self.commit(&mut batch).await?;
                        }
                    }
                    Item::Bad(line) if self.push.skip => {
                        self.done.skipped += 1;
                        self.passed += 1;
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
        self.end(behind.left).await
    }

    /// Begins the load, or finds how far it has come, if it was begun as this push would.
    async fn begin(&mut self, key: &str, kind: &str) -> Result<Load> {
        let mut load = match self.ledger.begin_load(self.actor, key, self.push.whole).await {
            Err(error) if error.kind() == ErrorKind::Config => {
                self.refused = Some(Unlike::Way);
                return Err(error);
            }
            other => other?,
        };
        let by = made_by(&self.push.shape, kind);
        if !load.ended && load.made_by.as_ref() != Some(&by) {
            load = self.ledger.load_is_made_by(key, Some(&by)).await?;
        }
        match &load.made_by {
            Some(was) if !load.ended && *was != by => {
                self.refused = Some(Unlike::Options);
                let is_in = load.rows;
                Err(Error::config(format!(
                    "{is_in} records of this load are in by other options than these: {was}, and not {by}"
                ))
                .on(key)
                .hint("push it with the options that it was begun with to go on, or give it another key to begin anew"))
            }
            _ => Ok(load),
        }
    }

    /// Whether just as many lines before the place are bad as when they were passed over: otherwise one was mended, which is not
    /// in and would be lost, or the source is another.
    fn is_as_before(&mut self, behind: &Behind) -> Result<()> {
        let Some((load, key)) = self.load.as_ref().zip(self.push.key.as_ref()) else { return Ok(()) };
        if behind.left > 0 || behind.bad == load.skipped {
            return Ok(());
        }
        self.refused = Some(Unlike::Source);
        let (place, was, is) = (load.rows + load.skipped, load.skipped, behind.bad);
        Err(Error::config(format!(
            "of the first {place} records of this source {was} were bad when they were pushed, and now {is} are: it was changed \
             before the place to go on from, and a record would be lost or taken twice"
        ))
        .on(key)
        .hint("push it as it was to go on, and what was mended as a load with a key of its own"))
    }

    async fn commit(&mut self, batch: &mut Batch) -> Result<()> {
        let rows = std::mem::take(batch).rows;
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len() as u64;
        match (&mut self.load, &self.push.key) {
            (Some(load), Some(key)) => {
                let now = self.ledger.load(self.actor, key, load.rows, self.passed, rows).await?;
                self.passed = 0;
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
            self.refused = Some(Unlike::Source);
            let place = load.rows + load.skipped;
            let message =
                format!("{place} records of this load were pushed before, and this source has fewer");
            return Err(Error::config(message)
                .on(key)
                .hint("another source was loaded under this key: give this one a key of its own"));
        }
        let ended = self.ledger.end_load(self.actor, key).await?;
        self.done.duplicates += ended.duplicates - load.duplicates;
        Ok(())
    }
}

/// What makes others of the source's records, or puts them elsewhere, for whoever goes on with the load.
fn made_by(shape: &Shape, kind: &str) -> String {
    let mut all = format!("{kind} from {} to {}", shape.from, shape.to);
    let named = [("dedup", &shape.dedup), ("order", &shape.order), ("flow", &shape.flow)];
    for (name, value) in named {
        if let Some(value) = value {
            all.push_str(&format!(" {name} {value}"));
        }
    }
    if shape.priority != 0 {
        all.push_str(&format!(" priority {}", shape.priority));
    }
    all
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

/// Reads the source to its end, or to its first bad line after so many records. Who takes what it reads may go away: then it ends.
fn reading<R: Read>(
    mut source: Source<R>,
    shape: &Shape,
    stop_after: Option<u64>,
    items: &mpsc::Sender<Vec<Item>>,
) {
    let unit = source.unit();
    let mut seen = 0;
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
        seen += 1;
        let ends = stop_after.is_some_and(|place| seen > place) && matches!(item, Item::Bad(_));
        chunk.push(item);
        if ends {
            break;
        }
    }
    let _ = items.blocking_send(chunk);
}
