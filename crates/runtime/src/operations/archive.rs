//! Archiving: files whose every reader has ended are compressed into `archive/YYYY-MM/`, and their deliveries are
//! moved to the ledger's archive.
//!
//! The file goes first, then the rows: a crash between the two leaves rows whose file is read through the archive,
//! and the next run moves them.

use crate::delivery::payload::FilePayload;
use crate::project::Project;
use handover_core::{Delivery, DeliveryId, Error, HolderId, Kind, Result, Status};
use handover_file::archive;
use handover_ledger::Filter;
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
    /// What stays, with the reason.
    pub left: Vec<String>,
}

/// Archives what ended longer ago than `age`.
///
/// # Errors
/// Where the ledger or the data directory cannot be used; what cannot be archived by itself is in `left`.
pub async fn by_age(project: &Project, holder: &HolderId, age: Duration) -> Result<Archived> {
    let before = project.clock.now().checked_sub(age).map_err(|e| Error::config("the age is too large").because(e))?;
    let mut done = Archived::default();
    for status in [Status::Completed, Status::Failed] {
        let mut below: Option<DeliveryId> = None;
        loop {
            let filter = Filter { status: Some(status), ended_before: Some(before), before: below, limit: ROUND, ..Filter::default() };
            let found = project.ledger.list(filter).await?;
            let Some(last) = found.last() else { break };
            below = Some(last.id);
            for delivery in found {
                one(project, holder, delivery, before, &mut done).await?;
            }
        }
    }
    Ok(done)
}

/// Archives one delivery, and its file where nobody else needs it.
async fn one(project: &Project, holder: &HolderId, delivery: Delivery, before: Timestamp, done: &mut Archived) -> Result<()> {
    let id = delivery.id;
    let payload = (delivery.kind == Kind::File).then(|| FilePayload::from_value(&delivery.data)).flatten();
    let Some(payload) = payload.filter(|p| project.data.absolute(&p.path).is_ok()) else {
        // A job, an arrival or an export: there is no file of ours to move.
        done.deliveries += project.ledger.archive(&holder.0, vec![id]).await? as u64;
        return Ok(());
    };
    let readers = project.ledger.list(Filter { path: Some(payload.path.clone()), limit: 10_000, ..Filter::default() }).await?;
    if readers.is_empty() {
        return Ok(());
    }
    if let Some(young) = readers.iter().find(|r| !ended_before(r, before)) {
        done.left.push(format!("{}: delivery {} still reads it ({})", payload.path, young.id, young.status));
        return Ok(());
    }
    let (data, holder_id, path, manifest) = (project.data.clone(), holder.clone(), payload.path.clone(), payload.manifest.clone());
    let now = project.clock.now();
    let moved = tokio::task::spawn_blocking(move || archive::archive(&data, &holder_id, &path, &manifest, now))
        .await
        .map_err(|e| Error::internal("archiving broke off").because(e))?;
    match moved {
        Ok(_) => done.files += 1,
        Err(e) => {
            done.left.push(format!("{}: {e}", payload.path));
            return Ok(());
        }
    }
    let ids: BTreeSet<DeliveryId> = readers.iter().map(|r| r.id).collect();
    done.deliveries += project.ledger.archive(&holder.0, ids.into_iter().collect()).await? as u64;
    Ok(())
}

fn ended_before(delivery: &Delivery, before: Timestamp) -> bool {
    matches!(delivery.status, Status::Completed | Status::Failed) && delivery.processed_at.is_some_and(|at| at < before)
}
