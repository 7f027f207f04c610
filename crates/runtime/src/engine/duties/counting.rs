//! What this process has counted goes to the ledger every few seconds; and what all have counted is kept small: minutes are
//! folded into hours after two days, and hours go after 400 days.
//!
//! A crash loses what was not yet added: some seconds of rows, bytes and latencies ([`crate::meter`]). What is cut off while it
//! folds is there as before, and the next round goes on.

use crate::project::Project;
use handover_core::Result;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, warn};

/// How often to add.
const EVERY: Duration = Duration::from_secs(2);
/// How often to fold: once in so many rounds, and in the first.
const FOLD_EVERY: u32 = 300;
/// Minutes are kept for so long.
const MINUTES_KEPT: Duration = Duration::from_secs(2 * 86_400);
/// And hours.
const HOURS_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// Adds and folds until the process ends.
pub(crate) async fn counting(project: Project, mut end: watch::Receiver<bool>) {
    let mut rounds: u32 = 0;
    loop {
        if rounds.is_multiple_of(FOLD_EVERY)
            && let Err(e) = keep_small(&project).await
        {
            warn!("cannot fold what was counted: {e}; it is tried again");
        }
        rounds = rounds.wrapping_add(1);
        if !super::pause(EVERY, &mut end).await {
            return;
        }
        project.add_counts().await;
    }
}

async fn keep_small(project: &Project) -> Result<()> {
    let now = project.clock.now();
    let (Ok(minutes), Ok(hours)) = (now.checked_sub(MINUTES_KEPT), now.checked_sub(HOURS_KEPT)) else {
        return Ok(());
    };
    loop {
        match project.ledger.fold_activity(minutes).await? {
            0 => break,
            rows => debug!("folded {rows} minutes of what was counted into hours"),
        }
    }
    project.ledger.forget_activity(hours).await.map(|_| ())
}
