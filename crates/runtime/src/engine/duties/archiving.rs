//! Archiving by age: files and jobs, where `archive: { after: … }` asks for it. For records see [`super::records`].
//!
//! It may take hours, so it is no part of anything else; after a crash the next round goes on.

use crate::context::Process;
use crate::operations::archive::by_age;
use crate::project::Project;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// How often to archive what has come of age.
const EVERY: Duration = Duration::from_secs(60);

/// Archives what comes of age until the process ends.
pub(crate) async fn archiving(project: Project, process: Arc<Process>, mut end: watch::Receiver<bool>) {
    let Some(after) = project.config.archive.after else { return };
    while super::pause(EVERY, &mut end).await {
        if let Err(e) = by_age(&project, &process.holder, after).await {
            warn!("cannot archive: {e}; it is tried again");
        }
    }
}
