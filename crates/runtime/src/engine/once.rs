//! `run --once`: works until nothing is runnable now.
//!
//! It ends when every source was looked at, nothing goes on in this process, no file waits to settle, and no app has
//! a delivery that could be claimed. What waits for a later time is listed, not waited for.

use super::events::{Event, Observer};
use super::generation::Generation;
use handover_core::{AppName, DeliveryId, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a file that is still being written is waited for.
const SETTLING_MAX: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(10);

/// Returns when nothing is runnable.
pub(crate) async fn until_idle(generation: &Generation) -> Result<()> {
    let began = Instant::now();
    let mut wake = generation.ctx.project.ledger.wake();
    loop {
        tokio::time::sleep(LOOK).await;
        if !quiet(generation) || (settling(generation) && began.elapsed() < SETTLING_MAX) {
            continue;
        }
        wake.mark_unchanged();
        if !runnable(generation).await? && quiet(generation) && !wake.has_changed().unwrap_or(false) {
            say_unsettled(generation);
            return Ok(());
        }
    }
}

fn quiet(generation: &Generation) -> bool {
    generation.rounds.iter().all(|rounds| rounds.load(Ordering::SeqCst) > 0)
        && generation.busy.load(Ordering::SeqCst) == 0
}

/// Whether a file waits to be complete.
fn settling(generation: &Generation) -> bool {
    generation
        .importers
        .iter()
        .any(|(_, state)| !state.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
}

async fn runnable(generation: &Generation) -> Result<bool> {
    let ledger = &generation.ctx.project.ledger;
    let paused = ledger.paused().await?;
    for app in &generation.pools {
        if paused.iter().all(|p| p.app != app.as_str())
            && ledger.oldest_pending(app.as_str()).await?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn say_unsettled(generation: &Generation) {
    for (app, state) in &generation.importers {
        for waiting in state.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let text = format!(
                "{} {}: it is left for the next run",
                handover_core::path_text::to_text(&waiting.path),
                waiting.reason
            );
            warn!(app = %app, "{text}");
            generation.ctx.process.observer.tell(Event::Notice(text));
        }
    }
}

/// What one run did, for its last lines and its exit code.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// By app: completed, rows in, out and rejected.
    pub apps: BTreeMap<AppName, AppSummary>,
    /// What failed for good.
    pub failed: Vec<(DeliveryId, AppName, String)>,
    /// What is tried again later, with when.
    pub later: BTreeMap<DeliveryId, (AppName, String, Option<jiff::Timestamp>)>,
    /// Files that arrived.
    pub arrived: u64,
    /// Files that were refused as they stand.
    pub refused: Vec<(DeliveryId, String, String)>,
    /// What could not be begun, with the reason.
    pub hindered: BTreeSet<String>,
    /// What was worth saying.
    pub notices: Vec<String>,
}

/// What one app did in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct AppSummary {
    /// Deliveries completed.
    pub completed: u64,
    /// Deliveries failed.
    pub failed: u64,
    /// Rows of their inputs.
    pub rows_in: u64,
    /// Rows of their outputs.
    pub rows_out: u64,
    /// Rows rejected.
    pub rows_rejected: u64,
    /// Bytes of their outputs.
    pub bytes_out: u64,
}

impl Summary {
    /// A summary that listens from now on.
    pub fn listen(observer: &Observer) -> Arc<Mutex<Self>> {
        let summary = Arc::new(Mutex::new(Self::default()));
        let listening = summary.clone();
        observer.listen(move |event| listening.lock().unwrap_or_else(PoisonError::into_inner).note(event));
        summary
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Arrived { .. } => self.arrived += 1,
            Event::Refused { id, original, error, .. } => {
                self.refused.push((*id, original.clone(), error.clone()))
            }
            Event::Completed { app, id, rows_in, rows_out, rows_rejected, bytes_out, .. } => {
                self.later.remove(id);
                let sums = self.apps.entry(app.clone()).or_default();
                sums.completed += 1;
                sums.rows_in += rows_in.unwrap_or(0);
                sums.rows_out += rows_out.unwrap_or(0);
                sums.rows_rejected += rows_rejected.unwrap_or(0);
                sums.bytes_out += bytes_out.unwrap_or(0);
            }
            Event::Failed { app, id, file, error, .. } => {
                self.later.remove(id);
                let error = match file {
                    Some(file) if !error.contains(file.as_str()) => format!("{file}: {error}"),
                    _ => error.clone(),
                };
                self.apps.entry(app.clone()).or_default().failed += 1;
                self.failed.push((*id, app.clone(), error));
            }
            Event::Retrying { app, id, error, run_at } => {
                self.later.insert(*id, (app.clone(), error.clone(), *run_at));
            }
            Event::Hindered(text) => {
                self.hindered.insert(text.clone());
            }
            Event::Notice(text) => self.notices.push(text.clone()),
            Event::Late { app, id } => {
                self.notices.push(format!(
                    "{app}: delivery {id} lost its lease while it was worked on: its result was dropped"
                ));
            }
        }
    }
}
