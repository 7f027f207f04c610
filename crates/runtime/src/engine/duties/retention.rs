//! Retention: on PostgreSQL the archive's parts of the next months are made, and on every backend what has been kept for as long
//! as `archive: { keep: … }` says is deleted for good.
//!
//! Nobody waits for it: where somebody is in its way it gives up at once, and the next round tries again. After a crash what
//! went is counted as gone, and the next round goes on.

use crate::operations::forget::forget_by_age;
use crate::project::Project;
use handover_core::{ErrorKind, Result};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// How often to look.
const EVERY: Duration = Duration::from_secs(600);
/// A notice that is older was for a target that nobody has any more: what can be tried is given up sooner.
const NOTICES_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// So many notices are looked at.
const NOTICES_MAX: usize = 1_000;
/// So long after it ended an alert is forgotten.
const ALERTS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Keeps the archive until the process ends.
pub(crate) async fn keeping(project: Project, mut end: watch::Receiver<bool>) {
    loop {
        match project.ledger.prepare_archive().await {
            Ok(made) if made.is_empty() => {}
            Ok(made) => info!("made the archive's parts {}", made.join(", ")),
            Err(e) => hindered("make the archive's next parts", &e),
        }
        match forget_by_age(&project).await {
            Ok(gone) if gone.deliveries + gone.entries > 0 => info!(
                "deleted {} archived deliveries and {} entries of the audit log: they were kept long enough",
                gone.deliveries, gone.entries
            ),
            Ok(_) => {}
            Err(e) => hindered("delete what was kept long enough", &e),
        }
        if let Err(e) = forget_watched(&project).await {
            hindered("forget old alerts, sizes and actions", &e);
        }
        if !super::pause(EVERY, &mut end).await {
            return;
        }
    }
}

/// Alerts that ended long ago, sizes of long ago, and, where the audit log is not kept for ever, actions as old as it.
async fn forget_watched(project: &Project) -> Result<()> {
    let now = project.clock.now();
    let before = |length: Duration| now.checked_sub(length).unwrap_or(jiff::Timestamp::MIN);
    project.ledger.forget_alerts(before(ALERTS_KEPT)).await?;
    project.ledger.thin_sizes().await?;
    for notice in project.ledger.notices(NOTICES_MAX).await? {
        if notice.made_at < before(NOTICES_KEPT) {
            warn!("gave up a notice to {}, which no configuration names any more", notice.target);
            project.ledger.notice_failed(notice.id, "nobody tells this target", None).await?;
        }
    }
    if let Some(keep) = project.config.archive.keep {
        project.ledger.forget_actions(before(keep)).await?;
    }
    Ok(())
}

/// That somebody reads the archive just now is no fault.
fn hindered(what: &str, error: &handover_core::Error) {
    match error.kind() {
        ErrorKind::NotYet => debug!("cannot {what} now: {error}; it is tried again"),
        _ => warn!("cannot {what}: {error}; it is tried again"),
    }
}
