//! Submitting jobs: which of a batch are known by their keys, which are one too many, and making the rest.
//!
//! Invariants: an idempotency key and its job are one transaction; nobody comes between the look at a key or a limit and what
//! follows from it, as the transaction has the right to write from its beginning.

use super::by_hand::known;
use super::jobs::{execute, read};
use super::push::push_all;
use super::row::time;
use super::writer::Write;
use crate::api::Pushed;
use crate::jobs::{IdempotencyKey, NewJob, Submitted};
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Error, NewDelivery, Result};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// What becomes of a job of a batch.
enum Fate {
    /// It is settled.
    Is(Submitted),
    /// It is the next that is made.
    Made,
    /// One before it in the batch has its key.
    As(usize),
}

pub(super) fn submit(write: &Write<'_>, jobs: Vec<NewJob>) -> Result<Vec<Submitted>> {
    let mut limits = Limits::default();
    let mut by_key: HashMap<(&str, &str), usize> = HashMap::new();
    let mut fates = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        let key = job.key.as_ref().map(|key| (key.owner.as_str(), key.key.as_str()));
        let fate = match (
            key.and_then(|key| by_key.get(&key)),
            job.key.as_ref().map(|key| known_key(write.sql, key)).transpose()?.flatten(),
        ) {
            (Some(earlier), _) => Fate::As(*earlier),
            (None, Some(known)) => Fate::Is(known),
            (None, None) => limits.beyond(write, job)?.map_or(Fate::Made, Fate::Is),
        };
        if matches!(fate, Fate::Made) {
            by_key.extend(key.map(|key| (key, index)));
        }
        fates.push(fate);
    }
    let mut made = make(write, &jobs, &fates)?.into_iter();
    let mut came_to: Vec<Submitted> = Vec::with_capacity(jobs.len());
    for (job, fate) in jobs.iter().zip(fates) {
        came_to.push(match fate {
            Fate::Is(known) => known,
            Fate::Made => made.next().ok_or_else(|| Error::internal("a submission gave no number"))?,
            Fate::As(earlier) => same_as(&came_to[earlier], job, &jobs[earlier]),
        });
    }
    Ok(came_to)
}

/// What becomes of a job that has the key of one before it.
fn same_as(came_to: &Submitted, job: &NewJob, earlier: &NewJob) -> Submitted {
    let same =
        job.key.as_ref().map(|key| &key.fingerprint) == earlier.key.as_ref().map(|key| &key.fingerprint);
    match came_to {
        Submitted::New { id, .. } | Submitted::Known { id, .. } if !same => Submitted::Differs(*id),
        Submitted::New { id, at } => Submitted::Known { id: *id, at: *at },
        other => other.clone(),
    }
}

/// The job that was asked for under the same key.
pub(super) fn known_key(connection: &Connection, key: &IdempotencyKey) -> Result<Option<Submitted>> {
    let text =
        "SELECT fingerprint, delivery_id, created_at FROM idempotency_keys WHERE owner = ?1 AND key = ?2";
    let found = read(connection, text, params![key.owner, key.key], |row| {
        let (id, at) = (DeliveryId(row.get(1)?), time(row, 2)?);
        let same = row.get_ref(0)?.as_str()? == key.fingerprint;
        Ok(if same { Submitted::Known { id, at } } else { Submitted::Differs(id) })
    })?;
    Ok(found.into_iter().next())
}

/// How many unended jobs the callers of a batch have, and how many deliveries are pending for its apps, this batch among them.
#[derive(Default)]
struct Limits<'a> {
    of_all: Option<u64>,
    of_caller: HashMap<&'a str, u64>,
    of_app: HashMap<&'a str, u64>,
    /// Those of this batch, of whoever has not been counted.
    taken: HashMap<(bool, &'a str), u64>,
}

/// A caller's jobs that have not ended.
pub(super) const UNENDED: &str = "SELECT count(*) FROM deliveries INDEXED BY idx_deliveries_unended \
     WHERE created_by = ?1 AND kind = 'job' AND (status = 'pending' OR status = 'processing')";
/// All callers' jobs that have not ended; these are counted anyway.
const ALL_UNENDED: &str =
    "SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'job' AND status IN ('pending', 'processing')";
/// An app's pending files and jobs; these are counted anyway.
const QUEUE: &str =
    "SELECT coalesce(sum(n), 0) FROM tally WHERE app = ?1 AND kind IN ('file', 'job') AND status = 'pending'";

impl<'a> Limits<'a> {
    /// Why a job is one too many; where it is not, it counts from now on.
    fn beyond(&mut self, write: &Write<'_>, job: &'a NewJob) -> Result<Option<Submitted>> {
        let (caller, app) = (job.caller.as_str(), job.delivery.target_app.as_deref().unwrap_or_default());
        if let Some(max) = job.caller_max
            && self.may_have(write, max)?
        {
            let has = Self::count(write, &mut self.of_caller, UNENDED, caller)?
                + self.taken.get(&(true, caller)).copied().unwrap_or(0);
            if has >= max {
                return Ok(Some(Submitted::CallerHas(max)));
            }
        }
        if let Some(max) = job.queue_max {
            let has = Self::count(write, &mut self.of_app, QUEUE, app)?
                + self.taken.get(&(false, app)).copied().unwrap_or(0);
            if has >= max {
                return Ok(Some(Submitted::QueueHas(max)));
            }
        }
        *self.taken.entry((true, caller)).or_default() += 1;
        *self.taken.entry((false, app)).or_default() += 1;
        Ok(None)
    }

    /// Whether a caller may have so many unended jobs at all: where all callers together have fewer, none is counted by itself.
    fn may_have(&mut self, write: &Write<'_>, max: u64) -> Result<bool> {
        let all = match self.of_all {
            Some(all) => all,
            None => {
                let counted: Vec<i64> = read(write.sql, ALL_UNENDED, params![], |row| row.get(0))?;
                counted.first().map_or(0, |count| count.max(&0).unsigned_abs())
            }
        };
        self.of_all = Some(all);
        let taken: u64 =
            self.taken.iter().filter(|((of_caller, _), _)| *of_caller).map(|(_, count)| count).sum();
        Ok(all + taken >= max)
    }

    /// What the ledger has of one, read once for a batch.
    fn count(write: &Write<'_>, known: &mut HashMap<&'a str, u64>, text: &str, name: &'a str) -> Result<u64> {
        if let Some(count) = known.get(name) {
            return Ok(*count);
        }
        let counted: Vec<i64> = read(write.sql, text, params![name], |row| row.get(0))?;
        let count = counted.first().map_or(0, |count| count.max(&0).unsigned_abs());
        known.insert(name, count);
        Ok(count)
    }
}

/// Makes those of a batch that are to be made, with their keys; those of one caller that follow one another in one go.
fn make(write: &Write<'_>, jobs: &[NewJob], fates: &[Fate]) -> Result<Vec<Submitted>> {
    let made: Vec<&NewJob> =
        jobs.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::Made)).map(|(job, _)| job).collect();
    let now: Timestamp =
        write.now.parse().map_err(|e| Error::internal("the time cannot be read").because(e))?;
    let mut came_to = Vec::with_capacity(made.len());
    for run in made.chunk_by(|one, next| one.caller == next.caller) {
        let new: Vec<NewDelivery> = run.iter().map(|job| job.delivery.clone()).collect();
        let caller = run.first().map_or("", |job| job.caller.as_str());
        for (job, pushed) in run.iter().zip(push_all(write, caller, &new)?) {
            let submitted = match pushed {
                Pushed::New(id) => Submitted::New { id, at: now },
                // By its dedup key.
                Pushed::Duplicate(id) => Submitted::Known { id, at: known(write, id)?.created_at },
            };
            keep_key(write, job, &submitted)?;
            came_to.push(submitted);
        }
    }
    Ok(came_to)
}

fn keep_key(write: &Write<'_>, job: &NewJob, submitted: &Submitted) -> Result<()> {
    let (Some(key), Submitted::New { id, at } | Submitted::Known { id, at }) = (&job.key, submitted) else {
        return Ok(());
    };
    let text = "INSERT INTO idempotency_keys (owner, key, fingerprint, delivery_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    execute(write, text, params![key.owner, key.key, key.fingerprint, id.0, rfc3339(*at)]).map(|_| ())
}
