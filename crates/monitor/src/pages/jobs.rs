//! Jobs: what people and programs asked for, how far each is, and what came of it.

use super::deliveries::query::Asked;
use super::deliveries::row::{Row, tone_of};
use super::frame::{Frame, Here};
use super::shown::{self, Cut};
use super::{Monitor, Page, Wrong};
use crate::Visitor;
use askama::Template;
use axum::extract::{Query, State};
use handover_core::{Delivery, DeliveryId, Kind, Status, WEBHOOK_APP};
use handover_ledger::Filter;
use handover_runtime::Project;
use handover_runtime::operations::search::search;
use std::collections::HashSet;

/// So many are on a page.
const PAGE: usize = 50;

/// The page.
#[derive(Debug, Template)]
#[template(path = "jobs.html")]
pub(super) struct JobsPage {
    frame: Frame,
    asked: Asked,
    counts: Vec<Count>,
    jobs: Vec<Job>,
    running: bool,
    next: Option<String>,
}

/// How many jobs stand so.
#[derive(Debug)]
struct Count {
    status: &'static str,
    tone: &'static str,
    count: String,
    href: String,
}

/// A line.
#[derive(Debug)]
struct Job {
    row: Row,
    by: Cut,
    /// What its program said last.
    progress: Option<Cut>,
    took: String,
    cancelling: bool,
    cancel: bool,
    result: Option<&'static str>,
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Page<JobsPage>, Wrong> {
    let project = monitor.project();
    let asked = Asked { kind: Kind::Job.to_string(), ..Asked::of(&pairs) };
    let filter = Filter { limit: PAGE, ..asked.filter(&project, &visitor)? };
    let mut found = search(&project, &filter).await?;
    // Calls of webhooks are jobs of our own: who asks for them by their app sees them.
    found.deliveries.retain(|one| one.target_app.as_deref() != Some(WEBHOOK_APP) || asked.app == WEBHOOK_APP);
    let cancelling: HashSet<DeliveryId> =
        project.ledger.cancellations().await?.iter().map(|asked| asked.id).collect();
    let mut jobs = Vec::new();
    for delivery in &found.deliveries {
        jobs.push(job(&project, &visitor, delivery, cancelling.contains(&delivery.id)).await?);
    }
    let next = found.next.map(|before| {
        Asked { before: before.to_string(), kind: String::new(), ..asked.clone() }.href("/jobs")
    });
    Ok(Page(JobsPage {
        frame: monitor.frame(&visitor, Here::Jobs, "Jobs").await?,
        counts: counts(&monitor, &project, &visitor).await?,
        running: found.deliveries.iter().any(is_open),
        jobs,
        next,
        asked,
    }))
}

fn is_open(delivery: &Delivery) -> bool {
    matches!(delivery.status, Status::Pending | Status::Processing)
}

async fn job(
    project: &Project,
    visitor: &Visitor,
    delivery: &Delivery,
    cancelling: bool,
) -> Result<Job, Wrong> {
    let now = project.clock.now();
    let app = delivery.target_app.as_deref().unwrap_or_default();
    let took = match (delivery.status, delivery.processed_at) {
        (Status::Pending, _) => String::new(),
        (_, ended) => shown::age(delivery.created_at, ended.unwrap_or(now)),
    };
    let output = delivery.result.as_ref().is_some_and(|result| result.pointer("/output/text").is_some());
    Ok(Job {
        row: Row::of(project, delivery),
        by: shown::cut(delivery.created_by.as_deref().unwrap_or_default(), 64),
        progress: if delivery.status == Status::Processing {
            last_line(project, delivery.id).await?
        } else {
            None
        },
        took,
        cancelling: cancelling && is_open(delivery),
        cancel: is_open(delivery) && !cancelling && visitor.must_operate().is_ok() && visitor.sees(app),
        result: if output && visitor.sees(app) { Some("output") } else { None },
    })
}

/// What a job's program said last.
async fn last_line(project: &Project, id: DeliveryId) -> Result<Option<Cut>, Wrong> {
    let standing = project.ledger.standing(vec![id]).await?;
    let Some(lines) = standing.first().map(|standing| standing.lines).filter(|lines| *lines > 0) else {
        return Ok(None);
    };
    let last = project.ledger.progress(id, lines - 1, 1).await?;
    Ok(last.first().map(|line| shown::line(&line.line)))
}

async fn counts(monitor: &Monitor, project: &Project, visitor: &Visitor) -> Result<Vec<Count>, Wrong> {
    let glance = monitor.glances().of(project).await?;
    let of = |status: Status| {
        let these = glance.counts.iter().filter(|one| {
            one.kind == Kind::Job && one.status == status && one.app != WEBHOOK_APP && visitor.sees(&one.app)
        });
        let count: u64 = these.map(|one| one.count).sum();
        Count {
            status: status.as_str(),
            tone: if count > 0 { tone_of(status) } else { "quiet" },
            count: shown::number(count),
            href: shown::link("/jobs", &[("status", status.as_str())]),
        }
    };
    Ok(Status::ALL.into_iter().map(of).collect())
}
