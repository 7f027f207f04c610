//! Archiving: files whose every reader has ended are compressed into `archive/YYYY-MM/`, and their deliveries are
//! moved to the ledger's archive.
//!
//! The file goes first, then the rows: a crash between the two leaves rows whose file is read through the archive,
//! and the next run moves them.

use crate::delivery::payload::FilePayload;
use crate::project::Project;
use handover_core::{Delivery, DeliveryId, Error, ErrorKind, HolderId, Kind, Result, Status, limits};
use handover_file::archive;
use handover_ledger::{Filter, Queue};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many deliveries are looked at in one round.
const ROUND: usize = 500;

/// What was archived, and what was left.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Archived {
    /// Files moved.
    pub files: u64,
    /// Deliveries moved.
    pub deliveries: u64,
    /// Deliveries deleted from the archive, because they were kept long enough.
    pub deleted: u64,
    /// What stays, with the reason.
    pub left: Vec<String>,
}

/// Archives files and jobs that ended longer ago than `age`; for records see [`records_by_age`].
///
/// # Errors
/// Where the ledger or the data directory cannot be used; what cannot be archived by itself is in `left`.
pub async fn by_age(project: &Project, holder: &HolderId, age: Duration) -> Result<Archived> {
    Round::new(project, Some(holder), age)?.all().await
}

/// Archives records that ended longer ago than `age`, or without one as the configuration says. Returns how many.
///
/// # Errors
/// Where the ledger cannot be used.
pub async fn records_by_age(project: &Project, holder: &HolderId, age: Option<Duration>) -> Result<u64> {
    let mut moved = 0;
    for (status, kept) in record_ages(project, age) {
        let before = before(project, kept)?;
        loop {
            let some = project
                .ledger
                .archive_ended(&holder.0, Queue::Records, status, before, limits::ARCHIVE_BATCH)
                .await?;
            moved += some as u64;
            if some < limits::ARCHIVE_BATCH {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(moved)
}

/// How many records [`records_by_age`] would archive now.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn would_records_by_age(project: &Project, age: Option<Duration>) -> Result<u64> {
    let mut found = 0;
    for (status, kept) in record_ages(project, age) {
        let ended_before = before(project, kept)?;
        let mut below: Option<DeliveryId> = None;
        loop {
            let filter = Filter {
                kind: Some(Kind::Record),
                status: Some(status),
                ended_before: Some(ended_before),
                before: below,
                limit: ROUND,
                ..Filter::default()
            };
            let page = project.ledger.list(filter).await?;
            found += page.len() as u64;
            let Some(last) = page.last() else { break };
            below = Some(last.id);
        }
    }
    Ok(found)
}

fn record_ages(project: &Project, age: Option<Duration>) -> [(Status, Duration); 2] {
    let usual = &project.config.archive;
    [
        (Status::Completed, age.unwrap_or(usual.records_completed)),
        (Status::Failed, age.unwrap_or(usual.records_failed)),
    ]
}

fn before(project: &Project, age: Duration) -> Result<Timestamp> {
    project.clock.now().checked_sub(age).map_err(|e| Error::config("the age is too large").because(e))
}

/// What [`by_age`] would archive now; nothing is done.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn would_by_age(project: &Project, age: Duration) -> Result<Archived> {
    Round::new(project, None, age)?.all().await
}

/// Archives these deliveries, whenever they ended; without a holder says what would be done, and does nothing.
///
/// # Errors
/// Where one is not there or has not ended; those before it are archived.
pub async fn these(project: &Project, holder: Option<&HolderId>, ids: &[DeliveryId]) -> Result<Archived> {
    these_for(project, None, holder, ids).await
}

/// The same for somebody who asks this process to do it: the audit names them.
///
/// # Errors
/// As [`these`].
pub async fn these_for(
    project: &Project,
    actor: Option<&str>,
    holder: Option<&HolderId>,
    ids: &[DeliveryId],
) -> Result<Archived> {
    let mut round = Round { actor, ..Round::new(project, holder, Duration::ZERO)? };
    for id in ids {
        let delivery = project.ledger.get(*id).await?.ok_or_else(|| {
            Error::not_found(format!("there is no delivery {id}"))
                .hint("`handover list` shows the deliveries")
        })?;
        match delivery.status {
            Status::Archived => round.done.left.push(format!("delivery {id} is in the archive already")),
            Status::Completed | Status::Failed => round.one(delivery).await?,
            Status::Pending | Status::Processing => {
                let message = format!("delivery {id} cannot be archived: it is {}", delivery.status);
                return Err(Error::new(ErrorKind::IllegalTransition, message)
                    .hint("only what has ended is archived; `handover cancel` ends it"));
            }
        }
    }
    Ok(round.done)
}

/// One round of archiving.
struct Round<'a> {
    project: &'a Project,
    /// Who does it; none where it is only said what would be done.
    holder: Option<&'a HolderId>,
    /// Whom the audit names, where that is not the holder.
    actor: Option<&'a str>,
    /// What ended before this is old enough.
    before: Timestamp,
    /// What was counted already.
    counted: BTreeSet<DeliveryId>,
    done: Archived,
}

impl<'a> Round<'a> {
    fn new(project: &'a Project, holder: Option<&'a HolderId>, age: Duration) -> Result<Self> {
        let before = before(project, age)?;
        Ok(Self { project, holder, actor: None, before, counted: BTreeSet::new(), done: Archived::default() })
    }

    async fn all(mut self) -> Result<Archived> {
        let ended =
            [Status::Completed, Status::Failed].map(|status| [(status, Kind::File), (status, Kind::Job)]);
        for (status, kind) in ended.into_iter().flatten() {
            let mut below: Option<DeliveryId> = None;
            loop {
                let filter = Filter {
                    status: Some(status),
                    kind: Some(kind),
                    ended_before: Some(self.before),
                    before: below,
                    limit: ROUND,
                    ..Filter::default()
                };
                let found = self.project.ledger.list(filter).await?;
                let Some(last) = found.last() else { break };
                below = Some(last.id);
                for delivery in found {
                    self.one(delivery).await?;
                }
            }
        }
        Ok(self.done)
    }

    /// Archives one delivery, and its file where nobody else needs it.
    async fn one(&mut self, delivery: Delivery) -> Result<()> {
        let id = delivery.id;
        if self.counted.contains(&id) {
            return Ok(());
        }
        let payload =
            (delivery.kind == Kind::File).then(|| FilePayload::from_value(&delivery.data)).flatten();
        let Some(payload) = payload.filter(|p| self.project.data.absolute(&p.path).is_ok()) else {
            // A job, an arrival or an export: there is no file of ours to move.
            return self.rows(vec![id]).await;
        };
        let filter = Filter { path: Some(payload.path.clone()), limit: 10_000, ..Filter::default() };
        let readers = self.project.ledger.list(filter).await?;
        if readers.is_empty() {
            return Ok(());
        }
        self.counted.extend(readers.iter().map(|reader| reader.id));
        if let Some(young) = readers.iter().find(|r| !self.is_old(r)) {
            let what = match young.status {
                Status::Completed | Status::Failed => "has ended only lately",
                _ => "still reads it",
            };
            self.done.left.push(format!("{}: delivery {} {what}", payload.path, young.id));
            return Ok(());
        }
        if self.file(&payload).await? {
            self.rows(readers.iter().map(|reader| reader.id).collect()).await?;
        }
        Ok(())
    }

    /// Moves the file; false where it cannot be, which is noted.
    async fn file(&mut self, payload: &FilePayload) -> Result<bool> {
        if let Some(holder) = self.holder {
            let (data, holder) = (self.project.data.clone(), holder.clone());
            let (path, manifest, now) =
                (payload.path.clone(), payload.manifest.clone(), self.project.clock.now());
            let moved =
                tokio::task::spawn_blocking(move || archive::archive(&data, &holder, &path, &manifest, now))
                    .await
                    .map_err(|e| Error::internal("archiving broke off").because(e))?;
            if let Err(e) = moved {
                self.done.left.push(format!("{}: {e}", payload.path));
                return Ok(false);
            }
        }
        self.done.files += 1;
        Ok(true)
    }

    async fn rows(&mut self, ids: Vec<DeliveryId>) -> Result<()> {
        self.done.deliveries += match self.holder {
            Some(holder) => self.project.ledger.archive(self.actor.unwrap_or(&holder.0), ids).await?,
            None => ids.len(),
        } as u64;
        Ok(())
    }

    fn is_old(&self, delivery: &Delivery) -> bool {
        matches!(delivery.status, Status::Completed | Status::Failed)
            && delivery.processed_at.is_some_and(|at| at < self.before)
    }
}
