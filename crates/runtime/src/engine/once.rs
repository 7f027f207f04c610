//! `run --once`: works until nothing is runnable now.
//!
//! It ends when every source was looked at, nothing goes on in this process, no file waits to settle, and no app has
//! a delivery that could be claimed; records that wait for others to be gathered with are gathered then. What waits for a later time, or for a paused app, is listed, not waited for:
//! [`Summary::ask`] looks it up in the ledger, since an earlier run may have left it.

use super::events::{Event, Observer};
use super::generation::Generation;
use crate::operations::balance::RecordCount;
use crate::project::Project;
use handover_core::{AppName, DeliveryId, Kind, Result, Status};
use handover_ledger::{AppCount, Filter, Pause, Queue};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a file that is still being written is waited for.
const SETTLING_MAX: Duration = Duration::from_secs(30);
/// So many delayed deliveries of an app are listed.
const LATER_MAX: usize = 1_000;
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
        if runnable(generation).await? || !quiet(generation) || wake.has_changed().unwrap_or(false) {
            continue;
        }
        if to_gather(generation).await? {
            // Nothing more will come to it: what is there becomes a file.
            generation.flush.send_modify(|count| *count += 1);
        } else if quiet(generation) && !wake.has_changed().unwrap_or(false) {
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
    let streams = generation.streams.iter().filter(|(_, health)| !health.is_broken());
    let records = streams.map(|(app, _)| (app, Queue::Records));
    for (app, queue) in generation.pools.iter().map(|(app, queue)| (app, *queue)).chain(records) {
        if ledger.claimable(queue, app.as_str()).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether records wait to be gathered.
async fn to_gather(generation: &Generation) -> Result<bool> {
    let ledger = &generation.ctx.project.ledger;
    for app in &generation.gathering {
        if ledger.claimable(Queue::Records, app.as_str()).await? {
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
    /// What waits for somebody: deliveries of a paused app, or of one that is not declared.
    pub waiting: Vec<WaitingApp>,
    /// By app: files that became records for it.
    pub split: BTreeMap<AppName, Moved>,
    /// By app: records that became files for it.
    pub gathered: BTreeMap<AppName, Moved>,
    /// How the records of each app stand, whichever run left them.
    pub records: Vec<RecordCount>,
    /// Files that arrived.
    pub arrived: u64,
    /// Files that were refused as they stand.
    pub refused: Vec<(DeliveryId, String, String)>,
    /// What could not be begun, with the reason.
    pub hindered: BTreeSet<String>,
    /// What was worth saying.
    pub notices: Vec<String>,
}

/// What changed doors on its way to one app, in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// How many files.
    pub files: u64,
    /// How many records.
    pub records: u64,
    /// How many rows of the files were rejected.
    pub rejected: u64,
}

/// What one app did in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct AppSummary {
    /// Deliveries completed, those that were skipped among them.
    pub completed: u64,
    /// Files that an importer passed over on purpose.
    pub skipped: u64,
    /// Deliveries failed.
    pub failed: u64,
    /// Rows of their inputs.
    pub rows_in: u64,
    /// Rows of their outputs.
    pub rows_out: u64,
    /// Rows rejected.
    pub rows_rejected: u64,
    /// Rows that the configuration leaves out.
    pub rows_filtered: u64,
    /// Bytes of their outputs.
    pub bytes_out: u64,
}

/// An app whose deliveries wait for somebody.
#[derive(Debug, Clone, serde::Serialize)]
pub struct WaitingApp {
    /// The app.
    pub app: String,
    /// How many deliveries.
    pub pending: u64,
    /// Who paused it, and since when; none where it is not declared.
    pub paused: Option<Pause>,
}

impl Summary {
    /// Adds what waits when a run has ended, whichever run left it: of one app, or of all.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn ask(&mut self, project: &Project, only: Option<&str>) -> Result<()> {
        let ledger = &project.ledger;
        let paused = ledger.paused().await?;
        let mut pending: BTreeMap<String, u64> = BTreeMap::new();
        let counts = ledger.counts().await?;
        self.records = crate::operations::balance::balance(&counts);
        self.records.retain(|records| only.is_none_or(|only| only == records.app));
        let waits = |count: &AppCount| count.status == Status::Pending && count.count > 0;
        for count in counts.into_iter().filter(waits) {
            *pending.entry(count.app).or_default() += count.count;
        }
        for (app, count) in pending.into_iter().filter(|(app, _)| only.is_none_or(|only| only == app)) {
            let pause = paused.iter().find(|pause| pause.app == app).cloned();
            self.ask_unwanted(project, &app).await?;
            if pause.is_some() || project.config.app(&app).is_none() {
                self.waiting.push(WaitingApp { app, pending: count, paused: pause });
            } else {
                self.ask_later(project, &app).await?;
            }
        }
        Ok(())
    }

    /// Records of a declared app that nobody works on.
    async fn ask_unwanted(&mut self, project: &Project, app: &str) -> Result<()> {
        if project.config.app(app).is_none() || project.config.takes_records(app) {
            return Ok(());
        }
        let pending = project.ledger.waiting(Queue::Records, app, LATER_MAX).await?.count;
        if pending > 0 {
            self.waiting.push(WaitingApp { app: app.to_owned(), pending, paused: None });
        }
        Ok(())
    }

    async fn ask_later(&mut self, project: &Project, app: &str) -> Result<()> {
        let name = AppName::new(app)?;
        let filter = Filter {
            app: Some(app.to_owned()),
            status: Some(Status::Pending),
            limit: LATER_MAX,
            ..Filter::default()
        };
        let now = project.clock.now();
        let takes_records = project.config.takes_records(app);
        for delivery in project.ledger.list(filter).await? {
            if delivery.kind == Kind::Record && !takes_records {
                continue;
            }
            if delivery.run_at > now && delivery.deleted_at.is_none() {
                let error = delivery.last_error.unwrap_or_default();
                self.later.insert(delivery.id, (name.clone(), error, Some(delivery.run_at)));
            }
        }
        Ok(())
    }

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
            Event::Completed {
                app,
                id,
                rows_in,
                rows_out,
                rows_rejected,
                rows_filtered,
                bytes_out,
                skipped,
                ..
            } => {
                self.later.remove(id);
                let sums = self.apps.entry(app.clone()).or_default();
                sums.completed += 1;
                sums.skipped += u64::from(*skipped);
                sums.rows_in += rows_in.unwrap_or(0);
                sums.rows_out += rows_out.unwrap_or(0);
                sums.rows_rejected += rows_rejected.unwrap_or(0);
                sums.rows_filtered += rows_filtered.unwrap_or(0);
                sums.bytes_out += bytes_out.unwrap_or(0);
            }
            Event::Split { app, id, records, rejected, .. } => {
                self.later.remove(id);
                let moved = self.split.entry(app.clone()).or_default();
                moved.files += 1;
                moved.records += records;
                moved.rejected += rejected;
            }
            Event::Gathered { app, records, .. } => {
                let moved = self.gathered.entry(app.clone()).or_default();
                moved.files += 1;
                moved.records += records;
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
