//! The records that wait, by app, and what a run would do with them.

use super::Plan;
use crate::config::Enters;
use crate::project::Project;
use handover_core::{Kind, Result, Status};
use handover_ledger::{Queue, Waiting};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashSet;

/// Records that wait for an app.
#[derive(Debug, Clone, Serialize)]
pub struct RecordQueue {
    /// The app.
    pub app: String,
    /// How many could be claimed now, those of one order key one after the other; where any can, also what an older one of its key
    /// holds up that waits for a later time. Of a paused app all that wait.
    pub pending: u64,
    /// How many wait for a later time.
    pub later: u64,
    /// Since when the oldest of those waits that could be claimed now.
    pub oldest: Option<Timestamp>,
    /// Whether the app is paused, so that none is.
    pub paused: bool,
    /// What would become of them.
    pub fate: RecordFate,
}

/// What would become of records that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFate {
    /// The app's program gets them.
    WorkedOn,
    /// They are gathered into files, of so many each at most.
    Gathered {
        /// So many.
        rows: usize,
        /// And so many bytes.
        size: u64,
    },
    /// Nobody works on them: the app is declared for others, who pull them or claim them by SQL.
    Left,
    /// The app is not declared: they wait until it is, or until somebody pulls them.
    NotDeclared,
}

impl RecordQueue {
    /// Whether a run would claim any.
    pub(super) fn is_runnable(&self) -> bool {
        let wanted = matches!(self.fate, RecordFate::WorkedOn | RecordFate::Gathered { .. });
        wanted && self.pending > 0 && !self.paused
    }
}

impl Plan {
    /// Records may be millions: they are counted by the ledger, and not read.
    pub(super) async fn records(&mut self, project: &Project) -> Result<()> {
        let (config, ledger) = (&project.config, &project.ledger);
        let doors = config.doors();
        let paused: HashSet<String> = ledger.paused().await?.into_iter().map(|pause| pause.app).collect();
        let waiting = ledger.counts().await?.into_iter().filter(|count| {
            count.kind == Kind::Record && count.status == Status::Pending && !count.app.is_empty()
        });
        for count in waiting.filter(|count| count.count > 0) {
            let at_most = usize::try_from(count.count).unwrap_or(usize::MAX);
            let mut now = ledger.waiting(Queue::Records, &count.app, at_most).await?;
            if !ledger.claimable(Queue::Records, &count.app).await? {
                // All of them are held up by older ones of their order keys.
                now = Waiting { count: 0, oldest: None };
            }
            let paused = paused.contains(&count.app);
            let fate = match config.app(&count.app).map(|app| doors.enters(&app.name)) {
                None => RecordFate::NotDeclared,
                Some(Enters::Program | Enters::Stream) => RecordFate::WorkedOn,
                Some(Enters::Gathered(gather)) => {
                    RecordFate::Gathered { rows: gather.rows, size: gather.size }
                }
                Some(Enters::Waits) => RecordFate::Left,
            };
            self.records.push(RecordQueue {
                app: count.app,
                pending: if paused { count.count } else { now.count },
                later: if paused { 0 } else { count.count.saturating_sub(now.count) },
                oldest: now.oldest,
                paused,
                fate,
            });
        }
        Ok(())
    }
}
