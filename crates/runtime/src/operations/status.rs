//! How things stand: one look at the ledger's counts, the locks and the disk. Cheap however long the past.

use super::balance::{RecordCount, balance};
use super::growth::{Growth, growth};
use super::running::{Running, running};
use super::storage::{Concern, concerns};
use crate::config::LedgerAddress;
use crate::project::Project;
use handover_core::{Result, Status as Stands};
use handover_file::disk;
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{AppCount, Conserved, Filter, Pause};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// So many of the newest deliveries are looked at for the last activity.
const NEWEST: usize = 50;

/// How an app stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AppStatus {
    /// Its name.
    pub app: String,
    /// Whether the configuration declares it.
    pub declared: bool,
    /// Deliveries that wait.
    pub pending: u64,
    /// Deliveries that are being worked on.
    pub processing: u64,
    /// Deliveries that are done.
    pub completed: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// Deliveries in the archive.
    pub archived: u64,
    /// Who paused it, and since when.
    pub paused: Option<Pause>,
    /// Since when the oldest delivery waits that could be worked on now.
    pub oldest_pending: Option<Timestamp>,
}

/// A flow's name and apps.
#[derive(Debug, Clone, Serialize)]
pub struct FlowStatus {
    /// Its name.
    pub name: String,
    /// Its apps in their order.
    pub apps: Vec<String>,
    /// Its links in a line or more.
    pub picture: Vec<String>,
}

/// What a source has handed over.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// What became of it.
    #[serde(flatten)]
    pub counts: Conserved,
    /// Whether all is accounted for.
    pub conserved: bool,
}

/// How everything stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// When this was looked at.
    pub at: Timestamp,
    /// The flows.
    pub flows: Vec<FlowStatus>,
    /// The apps in the order of the flows; then those that only the ledger knows.
    pub apps: Vec<AppStatus>,
    /// How the records of each app stand.
    pub records: Vec<RecordCount>,
    /// Files at the end of their flow: exports, reports, rejected rows, quarantined files.
    pub ended: u64,
    /// What each source has handed over, and what became of it: pushed = live + archived + deleted.
    pub sources: Vec<Source>,
    /// When the ledger last changed, as far as its newest deliveries tell.
    pub last_activity: Option<Timestamp>,
    /// When the next delayed delivery is due, or the next lease runs out.
    pub next_due: Option<Timestamp>,
    /// The processes that work now.
    pub running: Vec<Running>,
    /// The data directory.
    pub data: String,
    /// What may still be written there, in bytes.
    pub free_bytes: Option<u64>,
    /// What its disk holds in all, in bytes.
    pub total_bytes: Option<u64>,
    /// Whether there is too little room to begin anything.
    pub disk_low: bool,
    /// Where the ledger is.
    pub ledger: String,
    /// What is wrong with its storage, and what to do.
    pub storage: Vec<Concern>,
    /// How folders, tables and the disk grow, and when the disk is full.
    pub growth: Growth,
}

/// Looks how everything stands.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn status(project: &Project) -> Result<Status> {
    let ledger = &project.ledger;
    let counts = ledger.counts().await?;
    let (mut apps, ended) = count(project, &counts);
    for pause in ledger.paused().await? {
        if let Some(app) = apps.iter_mut().find(|app| app.app == pause.app) {
            app.paused = Some(pause);
        }
    }
    for app in apps.iter_mut().filter(|app| app.pending > 0) {
        app.oldest_pending = ledger.oldest_pending(&app.app).await?;
    }
    let newest = ledger.list(Filter { limit: NEWEST, archived: true, ..Filter::default() }).await?;
    let space = disk::space(project.data.root()).ok();
    let flows = &project.config.flows;
    Ok(Status {
        at: project.clock.now(),
        flows: flows
            .iter()
            .map(|flow| FlowStatus {
                name: flow.name.clone(),
                apps: flow.apps().iter().map(ToString::to_string).collect(),
                picture: super::picture::picture(flow),
            })
            .collect(),
        apps,
        records: balance(&counts),
        ended,
        sources: ledger
            .conservation()
            .await?
            .into_iter()
            .map(|counts| Source { conserved: counts.holds(), counts })
            .collect(),
        last_activity: newest.iter().map(|d| d.updated_at).max(),
        next_due: ledger.next_due().await?,
        running: running(&project.data),
        data: handover_core::path_text::to_text(project.data.root()),
        free_bytes: space.map(|space| space.free),
        total_bytes: space.map(|space| space.total),
        disk_low: space.is_some_and(|space| disk::low(&space)),
        ledger: match &project.config.ledger {
            LedgerAddress::Sqlite(file) if project.never_ran() => handover_core::path_text::to_text(file),
            LedgerAddress::Postgres(url) if project.never_ran() => PostgresLedger::shown(url.expose())?,
            _ => ledger.location(),
        },
        storage: concerns(&ledger.health().await?),
        growth: growth(project, project.clock.now()).await?,
    })
}

/// The apps with their counts, and how many files stand at the end of their flow.
fn count(project: &Project, counts: &[AppCount]) -> (Vec<AppStatus>, u64) {
    let config = &project.config;
    let in_flows = config.flows.iter().flat_map(|flow| flow.apps().iter());
    let declared = in_flows.chain(config.apps.iter().map(|app| &app.name));
    let mut apps: Vec<AppStatus> = Vec::new();
    for name in declared {
        if apps.iter().all(|app| app.app != name.as_str()) {
            apps.push(AppStatus { app: name.to_string(), declared: true, ..AppStatus::default() });
        }
    }
    let mut others: BTreeMap<String, AppStatus> = BTreeMap::new();
    let mut ended = 0;
    for count in counts.iter().filter(|count| count.count > 0) {
        if count.app.is_empty() {
            ended += count.count;
            continue;
        }
        let app = match apps.iter_mut().find(|app| app.app == count.app) {
            Some(app) => app,
            None => others
                .entry(count.app.clone())
                .or_insert_with(|| AppStatus { app: count.app.clone(), ..AppStatus::default() }),
        };
        match count.status {
            Stands::Pending => app.pending += count.count,
            Stands::Processing => app.processing += count.count,
            Stands::Completed => app.completed += count.count,
            Stands::Failed => app.failed += count.count,
            Stands::Archived => app.archived += count.count,
        }
    }
    apps.extend(others.into_values());
    (apps, ended)
}
