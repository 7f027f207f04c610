//! What a run would do now, found out by looking alone: nothing is claimed, committed, moved or made.
//!
//! A project that has never run has no ledger: then only the folders are looked at.

mod arrivals;
mod records;

pub use arrivals::Found;
pub use records::{RecordFate, RecordQueue};

use crate::built::Built;
use crate::config::{App, Config};
use crate::engine::{Assessed, assess, copied};
use crate::project::Project;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Delivery, DeliveryId, ErrorKind, Kind, Result, Status, path_text};
use handover_file::arrive::{self, FolderCache};
use handover_file::{lock, read};
use handover_ledger::Filter;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// So many deliveries are read at a time.
const PAGE: usize = 1_000;
/// Of so many records that are being worked on, the latest, it is looked whether somebody does.
const HELD_LOOKED_AT: usize = 10_000;

/// What a run would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// Files that lie in watched folders and are not known.
    pub arrivals: Vec<Found>,
    /// How many more there are than are listed.
    pub arrivals_more: u64,
    /// Files that are known, and left.
    pub known: u64,
    /// Folders that cannot be looked at, with the reason.
    pub unreadable: Vec<String>,
    /// Manifests in the data directory that other programs put there.
    pub adoptions: Vec<Adoption>,
    /// Files and jobs that would be claimed, by app.
    pub queues: Vec<AppQueue>,
    /// Records that would be claimed, by app.
    pub records: Vec<RecordQueue>,
    /// What is tried again later.
    pub later: Vec<Later>,
    /// Deliveries of processes that are gone, to be taken back; of more than ten thousand records that are being worked on, those
    /// among the latest ten thousand.
    pub rescues: u64,
    /// Schedules with their next time.
    pub schedules: Vec<Due>,
}

/// A manifest that another program put into the data directory.
#[derive(Debug, Clone, Serialize)]
pub struct Adoption {
    /// The manifest, within the data directory.
    pub path: String,
    /// What would become of it: `taken` is adopted.
    pub fate: Fate,
    /// What it waits for, or why it is refused.
    pub reason: Option<String>,
}

/// What would become of a file in a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is complete.
    Taken,
    /// It may not be complete yet.
    Waits,
    /// It is refused, with a reason in `errors/`.
    Refused,
}

/// What waits for an app.
#[derive(Debug, Clone, Serialize)]
pub struct AppQueue {
    /// The app.
    pub app: String,
    /// How many deliveries could be claimed now.
    pub pending: u64,
    /// The oldest of them.
    pub oldest: Option<Timestamp>,
    /// Whether the app is paused, so that none is.
    pub paused: bool,
    /// Whether the app is declared; deliveries of one that is not wait until it is.
    pub declared: bool,
}

/// A delivery that is tried again later.
#[derive(Debug, Clone, Serialize)]
pub struct Later {
    /// The delivery.
    pub id: DeliveryId,
    /// Its app.
    pub app: String,
    /// When.
    pub run_at: Timestamp,
    /// Why it did not go well so far.
    pub error: Option<String>,
}

/// A schedule.
#[derive(Debug, Clone, Serialize)]
pub struct Due {
    /// The app.
    pub app: String,
    /// Its pattern.
    pub schedule: String,
    /// The next time.
    pub next: Option<Timestamp>,
    /// Whether a run is due now: one that came while nothing ran is made by `run --once`.
    pub due_now: bool,
}

/// Looks at everything that a run would look at.
///
/// # Errors
/// Where the built-in apps cannot be made, or the ledger cannot be read.
pub async fn plan(config: &Config, project: Option<&Project>, now: Timestamp) -> Result<Plan> {
    let mut plan = in_front(config, project, now).await?;
    for app in &config.apps {
        plan.schedule(app, project, now).await?;
    }
    if let Some(project) = project {
        plan.adoptions(project, now).await?;
        plan.pending(project, now).await?;
        plan.records(project).await?;
    }
    Ok(plan)
}

/// Looks into the watched folders alone.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn in_front(config: &Config, project: Option<&Project>, now: Timestamp) -> Result<Plan> {
    let mut plan = Plan::default();
    let built = Built::new(config)?;
    for app in &config.apps {
        if let Some(sources) = built.importers.get(&app.name) {
            plan.sources(app, sources, project, now).await?;
        }
    }
    Ok(plan)
}

impl Plan {
    /// Whether a run would do nothing at all now.
    pub fn is_idle(&self) -> bool {
        self.arrivals.is_empty()
            && self.adoptions.iter().all(|adoption| adoption.fate == Fate::Waits)
            && self.rescues == 0
            && self.queues.iter().all(|queue| queue.paused || !queue.declared)
            && !self.records.iter().any(RecordQueue::is_runnable)
            && !self.schedules.iter().any(|schedule| schedule.due_now)
    }

    async fn schedule(&mut self, app: &Arc<App>, project: Option<&Project>, now: Timestamp) -> Result<()> {
        let Some(schedule) = &app.schedule else { return Ok(()) };
        let mark = match project {
            Some(project) => project.ledger.schedule_mark(app.name.as_str()).await?,
            None => None,
        };
        let due_now = mark.is_some_and(|mark| !schedule.missed_between(mark.last_due, now, 1).is_empty());
        let next = schedule.next_after(now);
        self.schedules.push(Due {
            app: app.name.to_string(),
            schedule: schedule.pattern().to_owned(),
            next,
            due_now,
        });
        Ok(())
    }

    async fn adoptions(&mut self, project: &Project, now: Timestamp) -> Result<()> {
        let root = project.data.root();
        let mut names: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        for path in arrive::scan_manifests(root, &mut FolderCache::new())? {
            let Some(relative) = project.data.relative(&path) else { continue };
            let Some((folder, name)) = relative.rsplit_once('/') else { continue };
            let stem = name.strip_suffix(MANIFEST_SUFFIX).unwrap_or(name);
            if !names.contains_key(folder) {
                names.insert(folder.to_owned(), project.ledger.names_in(folder).await?.into_iter().collect());
            }
            let ours = names.get(folder).is_some_and(|names| names.contains(stem));
            let refused = !ours && !project.ledger.arrivals_at(&path_text::to_text(&path)).await?.is_empty();
            if !ours
                && !refused
                && let Some((fate, reason)) = fate_of(project, now, &path, stem).await?
            {
                self.adoptions.push(Adoption { path: relative, fate, reason });
            }
        }
        Ok(())
    }

    async fn pending(&mut self, project: &Project, now: Timestamp) -> Result<()> {
        let mut queues: BTreeMap<String, AppQueue> = BTreeMap::new();
        let paused: HashSet<String> =
            project.ledger.paused().await?.into_iter().map(|pause| pause.app).collect();
        for delivery in all(project, Status::Pending).await? {
            let Some(app) = delivery.target_app else { continue };
            if delivery.run_at > now {
                self.later.push(Later {
                    id: delivery.id,
                    app,
                    run_at: delivery.run_at,
                    error: delivery.last_error,
                });
                continue;
            }
            let queue = queues.entry(app.clone()).or_insert_with(|| AppQueue {
                paused: paused.contains(&app),
                declared: project.config.app(&app).is_some(),
                app,
                pending: 0,
                oldest: None,
            });
            queue.pending += 1;
            queue.oldest =
                Some(queue.oldest.map_or(delivery.created_at, |oldest| oldest.min(delivery.created_at)));
        }
        for delivery in all(project, Status::Processing).await? {
            self.rescues += u64::from(is_lost(project, &delivery, now));
        }
        let held = some_of(project, Kind::Record, Status::Processing, HELD_LOOKED_AT).await?;
        self.rescues += held.iter().filter(|record| is_lost(project, record, now)).count() as u64;
        self.later.sort_by_key(|later| later.run_at);
        self.queues = queues.into_values().collect();
        Ok(())
    }
}

/// What would become of a manifest; none where nothing would.
async fn fate_of(
    project: &Project,
    now: Timestamp,
    path: &Path,
    stem: &str,
) -> Result<Option<(Fate, Option<String>)>> {
    let manifest = match read::read_manifest(path) {
        Ok(manifest) => manifest,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == ErrorKind::BadData => return Ok(Some((Fate::Refused, Some(e.to_string())))),
        Err(e) => return Ok(Some((Fate::Waits, Some(e.to_string())))),
    };
    if copied(project.ledger.as_ref(), &manifest).await?.is_some() {
        return Ok(None);
    }
    Ok(Some(match assess(&project.config, now, path, stem, &manifest) {
        Assessed::Fine(_) => (Fate::Taken, None),
        Assessed::Waits(what, _) => (Fate::Waits, Some(what)),
        Assessed::Refused(error) => (Fate::Refused, Some(error.to_string())),
    }))
}

/// Whether nobody has it any more who was given it.
fn is_lost(project: &Project, delivery: &Delivery, now: Timestamp) -> bool {
    let holder = delivery.leased_by.as_ref();
    holder.is_some_and(|holder| holder.is_process() && !lock::is_alive(&project.data, holder))
        || delivery.lease_until.is_some_and(|until| until < now)
}

/// All files and jobs that stand here and are not deleted.
async fn all(project: &Project, status: Status) -> Result<Vec<Delivery>> {
    let mut found = some_of(project, Kind::File, status, usize::MAX).await?;
    found.extend(some_of(project, Kind::Job, status, usize::MAX).await?);
    Ok(found)
}

/// The latest that stand here and are not deleted, about so many at most.
async fn some_of(project: &Project, kind: Kind, status: Status, at_most: usize) -> Result<Vec<Delivery>> {
    let (mut found, mut before) = (Vec::new(), None);
    while found.len() < at_most {
        let filter =
            Filter { status: Some(status), kind: Some(kind), before, limit: PAGE, ..Filter::default() };
        let page = project.ledger.list(filter).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        found.extend(page.into_iter().filter(|delivery| delivery.deleted_at.is_none()));
    }
    Ok(found)
}
