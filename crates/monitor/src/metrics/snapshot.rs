//! What the ledger says of its counts, asked at most once a second, whoever scrapes.

use handover_core::{Kind, Result, Status};
use handover_ledger::{Activity, AppCount, Queue};
use handover_runtime::Project;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// So old at most is what a scrape says of the ledger.
const FRESH: Duration = Duration::from_secs(1);
/// How large the ledger's tables are, and how old what a paused app has, is asked less often: a server looks at its files for
/// the one, and the other may be found behind all that older apps have.
const SLOW_FRESH: Duration = Duration::from_secs(15);
/// So long the ledger may take; then it counts as down, and is asked again by the next scrape after [`FRESH`].
const PATIENCE: Duration = Duration::from_secs(3);

/// What the ledger said at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) counts: Vec<AppCount>,
    pub(super) totals: Vec<Activity>,
    /// When the oldest that waits was handed over, by app and kind.
    pub(super) oldest: BTreeMap<(String, &'static str), Timestamp>,
    pub(super) paused: BTreeSet<String>,
    pub(super) sizes: Sizes,
    pub(super) at: Timestamp,
}

/// How large it is, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    /// Of the table of records; of an embedded ledger the whole file with its log, whose tables have no size of their own.
    pub(super) staging: u64,
    /// Of all tables.
    pub(super) all: u64,
}

#[derive(Default)]
struct Known {
    /// None where the ledger did not answer.
    snapshot: Option<(Instant, Option<Arc<Snapshot>>)>,
    slow: Slow,
}

/// What is asked less often.
#[derive(Default)]
struct Slow {
    sizes: Option<(Instant, Sizes)>,
    /// Of paused apps.
    oldest: BTreeMap<String, (Instant, Option<Timestamp>)>,
}

/// The latest snapshot.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Known>);

impl Snapshots {
    /// What the ledger says now, or said within the last second; none where it does not answer.
    pub(super) async fn of(&self, project: &Project) -> Option<Arc<Snapshot>> {
        let mut known = self.0.lock().await;
        if let Some((_, snapshot)) = known.snapshot.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return snapshot.clone();
        }
        let asked = tokio::time::timeout(PATIENCE, ask(project, &mut known.slow)).await;
        let snapshot = match asked {
            Ok(Ok(snapshot)) => Some(Arc::new(snapshot)),
            Ok(Err(e)) => {
                tracing::warn!(
                    "the ledger cannot be asked for its counts: {e}; /metrics says that it is down"
                );
                None
            }
            Err(_) => {
                tracing::warn!("the ledger does not answer; /metrics says that it is down");
                None
            }
        };
        known.snapshot = Some((Instant::now(), snapshot.clone()));
        snapshot
    }
}

async fn ask(project: &Project, slow: &mut Slow) -> Result<Snapshot> {
    let ledger = &project.ledger;
    let counts = ledger.counts().await?;
    let totals = ledger.activity_totals().await?;
    let paused: BTreeSet<String> = ledger.paused().await?.into_iter().map(|pause| pause.app).collect();
    let mut oldest = BTreeMap::new();
    let waits = |count: &&AppCount| count.status == Status::Pending && count.count > 0;
    for count in counts.iter().filter(waits).filter(|count| project.config.app(&count.app).is_some()) {
        let at = match paused.contains(&count.app) {
            // Nothing of it can be claimed; it waits nevertheless.
            true => slow.oldest(project, &count.app).await?,
            false => ledger.waiting(Queue::from(count.kind), &count.app, 1).await?.oldest,
        };
        oldest.extend(at.map(|at| ((count.app.clone(), count.kind.as_str()), at)));
    }
    let sizes = slow.sizes(project).await?;
    Ok(Snapshot { counts, totals, oldest, paused, sizes, at: project.clock.now() })
}

impl Slow {
    async fn oldest(&mut self, project: &Project, app: &str) -> Result<Option<Timestamp>> {
        if let Some((_, oldest)) = self.oldest.get(app).filter(|(at, _)| at.elapsed() < SLOW_FRESH) {
            return Ok(*oldest);
        }
        let oldest = project.ledger.oldest_pending(app).await?;
        self.oldest.insert(app.to_owned(), (Instant::now(), oldest));
        Ok(oldest)
    }

    async fn sizes(&mut self, project: &Project) -> Result<Sizes> {
        if let Some((_, sizes)) = self.sizes.as_ref().filter(|(at, _)| at.elapsed() < SLOW_FRESH) {
            return Ok(*sizes);
        }
        let sizes = measure(project).await?;
        self.sizes = Some((Instant::now(), sizes));
        Ok(sizes)
    }
}

async fn measure(project: &Project) -> Result<Sizes> {
    let health = project.ledger.health().await?;
    if let Some(file) = health.file {
        let all = file.bytes + file.log_bytes;
        return Ok(Sizes { staging: all, all });
    }
    let of =
        |table: &str| health.tables.iter().filter(|one| one.table == table).map(|one| one.bytes).sum::<u64>();
    let staging: u64 = ["data_staging", "data_staging_live"].into_iter().map(of).sum();
    Ok(Sizes { staging, all: health.tables.iter().map(|table| table.bytes).sum() })
}

/// How many records stand in the table of records.
pub(super) fn staging_rows(counts: &[AppCount]) -> u64 {
    let there = counts.iter().filter(|one| one.kind == Kind::Record && one.status != Status::Archived);
    there.map(|one| one.count).sum()
}
