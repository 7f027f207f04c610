//! How large everything is, measured every hour by one of all processes, so that its growth can be told.

use crate::operations::sizes::measure;
use crate::project::Project;
use handover_core::Result;
use std::time::Duration;
use tokio::sync::watch;
use tracing::debug;

/// How often to measure.
const EVERY: Duration = Duration::from_secs(3600);
/// How often to look whether it is time.
const LOOK: Duration = Duration::from_secs(300);

/// Measures until the process ends.
pub(crate) async fn measuring(project: Project, mut end: watch::Receiver<bool>) {
    loop {
        if let Err(e) = round(&project).await {
            debug!("cannot measure how large everything is: {e}; it is tried again");
        }
        if !super::pause(LOOK, &mut end).await {
            return;
        }
    }
}

async fn round(project: &Project) -> Result<()> {
    match project.ledger.sizes_due(EVERY).await? {
        true => project.ledger.add_sizes(measure(project).await?).await,
        false => Ok(()),
    }
}
