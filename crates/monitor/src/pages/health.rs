//! Health: the checks, with what was seen and what to do, and the files that wait for too long.

use super::frame::{Frame, Here};
use super::shown::{self, Cut, Moment};
use super::{Monitor, Page, Wrong};
use crate::Visitor;
use askama::Template;
use axum::extract::State;
use handover_runtime::operations::health::{Check, Health, Stuck, Verdict};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

/// So long the look may take, and what stands above the page.
const LOOKED: Duration = Duration::from_secs(3);
const FRAMED: Duration = Duration::from_secs(1);
/// So many stuck files are listed.
const STUCK_MAX: usize = 200;

/// The page.
#[derive(Debug, Template)]
#[template(path = "health.html")]
pub(super) struct HealthPage {
    frame: Frame,
    at: Moment,
    verdict: Word,
    checks: Vec<CheckRow>,
    stuck: Vec<StuckRow>,
    stuck_more: usize,
}

/// A verdict as a pill.
#[derive(Debug, Clone, Copy)]
struct Word {
    tone: &'static str,
    text: &'static str,
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self { tone: "", text: "pass" },
            Verdict::Warn => Self { tone: "warn", text: "warn" },
            Verdict::Fail => Self { tone: "bad", text: "fail" },
        }
    }
}

#[derive(Debug)]
struct CheckRow {
    name: &'static str,
    /// What makes up its numbers, where something is wrong.
    href: Option<&'static str>,
    verdict: Word,
    text: String,
    todo: Option<String>,
}

#[derive(Debug)]
struct StuckRow {
    path: String,
    app: String,
    href: Option<String>,
    age: String,
    reason: Cut,
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
) -> Result<Page<HealthPage>, Wrong> {
    visitor.must_see_all()?;
    // The page that says what is wrong must be there when the ledger is not.
    let framed = timeout(FRAMED, monitor.frame(&visitor, Here::Health, "Health")).await;
    let frame = framed.ok().and_then(Result::ok).unwrap_or_else(|| {
        let bare = Frame::bare("Health");
        Frame { here: Here::Health, visitor: Some(visitor), ..bare }
    });
    let project = monitor.project();
    let (zone, now) = (&project.config.timezone, project.clock.now());
    match timeout(LOOKED, monitor.health()).await {
        Ok(seen) => {
            let seen = seen?;
            Ok(Page(made(frame, &seen, shown::moment(seen.at, zone, now))))
        }
        Err(_) => Ok(Page(unseen(frame, shown::moment(now, zone, now)))),
    }
}

/// Where the look itself does not end: the ledger, or a folder on another machine, does not answer.
fn unseen(frame: Frame, at: Moment) -> HealthPage {
    let text = format!(
        "nobody could look at everything within {} s: the ledger or a folder does not answer",
        LOOKED.as_secs()
    );
    let todo = Some("look into the log; it is tried again with every look".to_owned());
    let check = CheckRow { name: "ledger", href: None, verdict: Verdict::Fail.into(), text, todo };
    HealthPage {
        frame,
        at,
        verdict: Verdict::Fail.into(),
        checks: vec![check],
        stuck: Vec::new(),
        stuck_more: 0,
    }
}

fn made(frame: Frame, seen: &Health, at: Moment) -> HealthPage {
    HealthPage {
        frame,
        at,
        verdict: seen.verdict.into(),
        checks: worst_first(&seen.checks),
        stuck: seen.stuck.iter().take(STUCK_MAX).map(|one| stuck_row(one, seen.at)).collect(),
        stuck_more: seen.stuck.len().saturating_sub(STUCK_MAX),
    }
}

fn worst_first(checks: &[Check]) -> Vec<CheckRow> {
    let mut sorted: Vec<&Check> = checks.iter().collect();
    sorted.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    let row = |check: &Check| CheckRow {
        name: check.name,
        href: leads_to(check),
        verdict: check.verdict.into(),
        text: check.text.clone(),
        todo: check.todo.clone(),
    };
    sorted.into_iter().map(row).collect()
}

/// The page of what a check found.
fn leads_to(check: &Check) -> Option<&'static str> {
    match check.name {
        _ if check.verdict == Verdict::Pass => None,
        "failed" => Some("/deliveries?status=failed"),
        "stuck files" | "unknown" => Some("#stuck"),
        "records" => Some("/deliveries?kind=record&status=pending"),
        "leases" => Some("/deliveries?status=processing"),
        "expected" | "paused" => Some("/#needs"),
        "storage" => Some("/database"),
        _ => None,
    }
}

fn stuck_row(stuck: &Stuck, now: Timestamp) -> StuckRow {
    StuckRow {
        path: stuck.path.clone(),
        app: stuck.app.clone(),
        href: stuck.delivery.map(|id| format!("/deliveries/{id}")),
        age: shown::age(stuck.since, now),
        reason: shown::cut(&stuck.reason, shown::LINE_MAX_CHARS * 2),
    }
}
