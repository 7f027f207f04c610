//! Database: how the records of each app stand, what each source handed over and what became of it, and how the ledger's
//! storage keeps up.

use super::frame::{Frame, Here};
use super::growth::Growing;
use super::shown::{self, Cut};
use super::{Monitor, Page, Wrong};
use crate::Visitor;
use askama::Template;
use axum::extract::State;
use handover_core::{Kind, Status};
use handover_ledger::health::Health;
use handover_ledger::{AppCount, Conserved};
use handover_runtime::Project;
use handover_runtime::operations::storage::concerns;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Growth is what came in so long.
const GROWTH: SignedDuration = SignedDuration::from_hours(24);
/// In steps of so many seconds.
const STEP_SECONDS: u32 = 3_600;

/// The page.
#[derive(Debug, Template)]
#[template(path = "database.html")]
pub(super) struct DatabasePage {
    frame: Frame,
    queues: Vec<Queue>,
    sources: Vec<Source>,
    tables: Vec<Table>,
    file: Option<(String, String)>,
    concerns: Vec<String>,
    ledger: String,
    lost: bool,
    growth: Option<Growing>,
}

/// The records of an app.
#[derive(Debug)]
struct Queue {
    app: Cut,
    pending: Number,
    processing: Number,
    dead: Number,
    completed: Number,
    archived: Number,
    oldest: Option<String>,
    /// What ended in the last day.
    day: Number,
    paused: bool,
}

/// A number and what makes it up.
#[derive(Debug, Default)]
struct Number {
    text: String,
    href: String,
    bad: bool,
}

/// What a source handed over.
#[derive(Debug)]
struct Source {
    name: Cut,
    kind: &'static str,
    pushed: Number,
    live: Number,
    archived: Number,
    deleted: String,
    holds: bool,
}

/// A table of a server.
#[derive(Debug)]
struct Table {
    name: String,
    rows: String,
    dead: String,
    bytes: String,
    vacuumed: String,
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
) -> Result<Page<DatabasePage>, Wrong> {
    let project = monitor.project();
    let glance = monitor.glances().of(&project).await?;
    let seen: Vec<&AppCount> = glance.counts.iter().filter(|one| visitor.sees(&one.app)).collect();
    let day = ended_in_a_day(&project).await?;
    let mut queues = Vec::new();
    for (app, counts) in by_app(&seen) {
        let paused = glance.paused.iter().any(|pause| pause.app == app);
        queues.push(queue(&project, &app, &counts, day.get(&app).copied().unwrap_or(0), paused).await?);
    }
    let sources: Vec<Conserved> = project.ledger.conservation().await?;
    let sources: Vec<Source> = sources.iter().filter(|one| visitor.sees(&one.source)).map(source).collect();
    // What is of the whole ledger is for who sees all of it.
    let health = if visitor.sees_all() { project.ledger.health().await? } else { Health::default() };
    Ok(Page(DatabasePage {
        frame: monitor.frame(&visitor, Here::Database, "Database").await?,
        queues,
        lost: sources.iter().any(|source| !source.holds),
        sources,
        concerns: if visitor.sees_all() {
            concerns(&health).into_iter().map(|concern| concern.text).collect()
        } else {
            Vec::new()
        },
        file: health.file.map(|file| (shown::size(file.bytes), shown::size(file.log_bytes))),
        tables: health.tables.iter().map(table).collect(),
        growth: if visitor.sees_all() { Some(Growing::of_the_ledger(&monitor).await?) } else { None },
        ledger: if visitor.sees_all() { project.ledger.location() } else { String::new() },
    }))
}

type ByStatus = BTreeMap<&'static str, u64>;

/// How many records of each app stand where, of apps that ever had any.
fn by_app(counts: &[&AppCount]) -> BTreeMap<String, ByStatus> {
    let mut apps: BTreeMap<String, ByStatus> = BTreeMap::new();
    for count in counts.iter().filter(|one| one.kind == Kind::Record && !one.app.is_empty()) {
        *apps.entry(count.app.clone()).or_default().entry(count.status.as_str()).or_default() += count.count;
    }
    apps
}

async fn queue(
    project: &Project,
    app: &str,
    counts: &ByStatus,
    day: u64,
    paused: bool,
) -> Result<Queue, Wrong> {
    let found = |statuses: &str| {
        shown::link("/deliveries", &[("app", app), ("kind", "record"), ("status", statuses)])
    };
    let number = |status: Status| {
        let count = counts.get(status.as_str()).copied().unwrap_or(0);
        Number {
            text: shown::number(count),
            href: found(status.as_str()),
            bad: status == Status::Failed && count > 0,
        }
    };
    let waits = counts.get(Status::Pending.as_str()).is_some_and(|count| *count > 0);
    let oldest = if waits { project.ledger.oldest_pending(app).await? } else { None };
    Ok(Queue {
        app: shown::cut(app, 64),
        pending: number(Status::Pending),
        processing: number(Status::Processing),
        dead: number(Status::Failed),
        completed: number(Status::Completed),
        archived: number(Status::Archived),
        oldest: oldest.map(|oldest| shown::age(oldest, project.clock.now())),
        day: Number { text: shown::number(day), href: found("completed,failed,archived"), bad: false },
        paused,
    })
}

/// How many records of each app ended in the last day, as the processes counted.
async fn ended_in_a_day(project: &Project) -> Result<BTreeMap<String, u64>, Wrong> {
    let now = project.clock.now();
    let since = now.saturating_sub(GROWTH).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut apps = BTreeMap::new();
    for one in project.ledger.activity(since, now, STEP_SECONDS, None).await? {
        if one.kind == Kind::Record {
            *apps.entry(one.app).or_default() += one.counts.completed + one.counts.failed;
        }
    }
    Ok(apps)
}

fn source(one: &Conserved) -> Source {
    let found = |statuses: &str| {
        let asked = [("from", one.source.as_str()), ("kind", one.kind.as_str()), ("status", statuses)];
        shown::link("/deliveries", &asked)
    };
    let number = |count, href| Number { text: shown::number(count), href, bad: false };
    Source {
        name: shown::cut(&one.source, 64),
        kind: one.kind.as_str(),
        pushed: number(one.pushed, found("")),
        live: number(one.live, found("pending,processing,completed,failed")),
        archived: number(one.archived, found("archived")),
        deleted: shown::number(one.deleted),
        holds: one.holds(),
    }
}

fn table(table: &handover_ledger::health::TableHealth) -> Table {
    let vacuumed = SignedDuration::from_secs(i64::try_from(table.vacuumed_seconds).unwrap_or(i64::MAX));
    Table {
        name: table.table.clone(),
        rows: shown::number(table.live),
        dead: shown::number(table.dead),
        bytes: shown::size(table.bytes),
        vacuumed: format!("{} ago", handover_runtime::operations::times::length(vacuumed)),
    }
}
