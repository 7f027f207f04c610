//! The housekeeping of records: what programs set to `archived` by plain SQL is moved to the archive, and so is what has
//! come of age.
//!
//! Each round is some transactions of bounded size; after a crash the next round goes on. Where there is nothing to do,
//! nothing is written.

use crate::context::Process;
use crate::operations::archive::records_by_age;
use crate::project::Project;
use handover_core::{Result, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// How often to look: what was set to `archived` is to be moved within a minute.
const EVERY: Duration = Duration::from_secs(20);

/// Keeps house until the process ends.
pub(crate) async fn keeping(project: Project, process: Arc<Process>, mut end: watch::Receiver<bool>) {
    loop {
        if let Err(e) = keep(&project, &process).await {
            warn!("cannot archive records: {e}; it is tried again");
        }
        if !super::pause(EVERY, &mut end).await {
            return;
        }
    }
}

async fn keep(project: &Project, process: &Process) -> Result<()> {
    while project.ledger.move_archived(limits::ARCHIVE_BATCH).await? >= limits::ARCHIVE_BATCH {
        tokio::task::yield_now().await;
    }
    records_by_age(project, &process.holder, None).await.map(|_| ())
}
