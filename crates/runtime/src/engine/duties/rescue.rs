//! The rescue of what lost processes held: their programs are ended, what they left is removed, and their work is taken back;
//! what of it was asked to end is ended.
//!
//! A process that dies meanwhile leaves that to the next look, of whatever process.

use crate::context::Process;
use crate::engine::ended;
use crate::engine::events::Event;
use crate::program::{HolderState, sweep_leftovers};
use crate::project::Project;
use handover_core::{HolderId, Result, Status};
use handover_file::lock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// How often to look whether other holders still live. It costs one query, and a lock for each other holder.
const LOOK: Duration = Duration::from_secs(1);

/// Removes what a process has left that died since the last look: its lock tells of it, which nobody holds. Its
/// programs are ended before what they worked on is given to another.
async fn clean_up(project: &Project, process: &Process) -> Result<()> {
    let (project, ours) = (project.clone(), process.holder.clone());
    let look = move || {
        let names = std::fs::read_dir(project.data.locks_dir())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
        let holders =
            names.filter_map(|name| Some(HolderId(name.to_str()?.strip_suffix(".lock")?.to_owned())));
        match holders.filter(|holder| *holder != ours).any(|holder| !lock::is_alive(&project.data, &holder)) {
            true => crate::engine::clean_up(&project, &ours),
            false => Ok(()),
        }
    };
    crate::delivery::blocking(look).await
}

/// Ends what still runs of these holders' programs, where no guard has. Returns how many could not be ended.
async fn end_programs_of(lost: Vec<HolderId>) -> Result<usize> {
    let state =
        move |holder: &HolderId| if lost.contains(holder) { HolderState::Dead } else { HolderState::Unknown };
    let swept = crate::delivery::blocking(move || Ok(sweep_leftovers(state))).await?;
    if swept.killed > 0 {
        warn!("ended {} programs that a killed process had left running", swept.killed);
    }
    Ok(swept.left)
}

/// Takes back what lost holders held, now, when none of their programs runs any more. Our own leases are renewed first
/// where the machine has slept over their end.
pub(crate) async fn rescue(project: &Project, process: &Process) -> Result<()> {
    process.held.renew_overdue(project).await?;
    let holders = project.ledger.holders().await?;
    let mut lost: Vec<HolderId> = holders
        .into_iter()
        .filter(|holder| {
            // Of a program with plain SQL, and of a process on another machine, nothing but its lease's end tells.
            *holder != process.holder && lock::can_be_judged(holder) && !lock::is_alive(&project.data, holder)
        })
        .collect();
    if !lost.is_empty() {
        let left = end_programs_of(lost.clone()).await?;
        if left > 0 {
            warn!(
                "{left} programs of a killed process do not end: what they work on is not begun again before their leases end"
            );
            lost.clear();
        }
    }
    for rescued in project.ledger.rescue(&process.holder.0, lost).await? {
        let (id, app) = (rescued.id, &rescued.app);
        match rescued.status {
            Status::Failed => {
                error!(app = %app, delivery = id.0, "delivery {id} failed: its worker was lost too often");
                if let Ok(app) = app.parse() {
                    let error = "its worker was lost too often".to_owned();
                    process.observer.tell(Event::Failed { app, id, file: None, error, quarantined: false });
                }
            }
            _ => warn!(app = %app, delivery = id.0, "delivery {id} was taken back: its worker is gone"),
        }
    }
    match project.ledger.end_cancelled(&process.holder.0).await? {
        0 => {}
        count => {
            info!("ended {count} deliveries that somebody asked to end, and that nobody works on any more")
        }
    }
    Ok(())
}

/// Rescues until the process ends.
pub(crate) async fn rescuing(project: Project, process: Arc<Process>, mut end: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = ended(&mut end) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        process.lock.touch();
        if let Err(e) = clean_up(&project, &process).await {
            warn!("cannot remove what a dead process has left: {e}; it is tried again");
        }
        if let Err(e) = rescue(&project, &process).await {
            warn!("cannot look for lost work: {e}; it is tried again");
        }
    }
}
