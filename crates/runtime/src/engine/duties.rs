//! Duties that belong to no app, one file each: the rescue of what lost processes held ([`rescue`]), when a delayed delivery is due
//! ([`retries`]), archiving ([`archiving`], [`records`]), what is kept and for how long ([`retention`]), what was counted
//! ([`counting`]), a watch over the ledger's storage ([`storage`]), what is wrong and who is told ([`alerts`]), and how large
//! everything is ([`sizes`]).
//!
//! Each that runs is a task of its own, so that none waits for another, and each may be cut off anywhere.

pub(super) mod alerts;
mod archiving;
mod counting;
mod records;
pub(crate) mod rescue;
mod retention;
pub(crate) mod retries;
mod sizes;
mod storage;

use super::ended;
use crate::context::Process;
use crate::project::Project;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Begins them all.
pub(super) fn begin(
    project: &Project,
    process: &Arc<Process>,
    ending: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(super::held::renewing(project.clone(), process.clone(), ending.clone())),
        tokio::spawn(rescue::rescuing(project.clone(), process.clone(), ending.clone())),
        tokio::spawn(archiving::archiving(project.clone(), process.clone(), ending.clone())),
        tokio::spawn(records::keeping(project.clone(), process.clone(), ending.clone())),
        tokio::spawn(retention::keeping(project.clone(), ending.clone())),
        tokio::spawn(counting::counting(project.clone(), ending.clone())),
        tokio::spawn(storage::watching(project.clone(), ending.clone())),
        tokio::spawn(alerts::looking(project.clone(), process.clone(), ending.clone())),
        tokio::spawn(sizes::measuring(project.clone(), ending.clone())),
    ]
}

/// Waits for the next round. False at the end.
async fn pause(length: Duration, end: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = ended(end) => false,
        () = tokio::time::sleep(length) => true,
    }
}
