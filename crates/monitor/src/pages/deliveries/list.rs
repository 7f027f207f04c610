//! The page of results.

use super::super::frame::{Frame, Here};
use super::super::shown::{self, Moment};
use super::super::{Monitor, Page, Wrong};
use super::query::Asked;
use super::row::Row;
use crate::Visitor;
use askama::Template;
use axum::extract::{Query, State};
use handover_core::{Kind, Status};
use handover_ledger::Filter;
use handover_runtime::Project;
use handover_runtime::operations::search::search;

/// So many are on a page.
const PAGE: usize = 50;

/// The page.
#[derive(Debug, Template)]
#[template(path = "deliveries.html")]
pub(super) struct ListPage {
    frame: Frame,
    asked: Asked,
    choices: Choices,
    named: Vec<Row>,
    rows: Vec<Row>,
    next: Option<String>,
    looked_back_to: Option<Moment>,
    acts: Vec<(&'static str, String)>,
}

/// What may be chosen in the form.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Choices {
    pub(in crate::pages) apps: Vec<String>,
    pub(in crate::pages) flows: Vec<String>,
    pub(in crate::pages) kinds: [&'static str; 3],
    pub(in crate::pages) statuses: Vec<&'static str>,
}

impl Choices {
    pub(in crate::pages) fn of(project: &Project, visitor: &Visitor) -> Self {
        let apps = project.config.apps.iter().map(|app| app.name.to_string());
        Self {
            apps: apps.filter(|app| visitor.sees(app)).collect(),
            flows: project.config.flows.iter().map(|flow| flow.name.clone()).collect(),
            kinds: [Kind::File, Kind::Record, Kind::Job].map(Kind::as_str),
            statuses: Status::ALL.iter().map(|status| status.as_str()).collect(),
        }
    }
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Page<ListPage>, Wrong> {
    let project = monitor.project();
    let asked = Asked::of(&pairs);
    let filter = Filter { limit: PAGE, ..asked.filter(&project, &visitor)? };
    let found = search(&project, &filter).await?;
    let row = |delivery| Row::of(&project, delivery);
    let next =
        found.next.map(|before| Asked { before: before.to_string(), ..asked.clone() }.href("/deliveries"));
    let now = project.clock.now();
    let acts = match visitor.must_operate() {
        Ok(()) if !found.deliveries.is_empty() => acts(&asked, &found.deliveries),
        _ => Vec::new(),
    };
    Ok(Page(ListPage {
        frame: monitor.frame(&visitor, Here::Deliveries, "Deliveries").await?,
        choices: Choices::of(&project, &visitor),
        named: found.named.iter().map(row).collect(),
        rows: found.deliveries.iter().map(row).collect(),
        next,
        looked_back_to: found.looked_back_to.map(|at| shown::past(at, &project.config.timezone, now)),
        acts,
        asked,
    }))
}

/// What may be done to all that fit: retrying where some of them failed, replaying where some ended.
fn acts(asked: &Asked, found: &[handover_core::Delivery]) -> Vec<(&'static str, String)> {
    let all = Asked { before: String::new(), ..asked.clone() };
    let failed = found.iter().any(|one| one.status == Status::Failed);
    let ended = |one: &handover_core::Delivery| {
        one.target_app.is_some() && !matches!(one.status, Status::Pending | Status::Processing)
    };
    let mut acts = Vec::new();
    if failed {
        acts.push(("Retry all that failed", all.href("/deliveries/all/retry")));
    }
    // Everything there ever was is replayed by nobody: something must be asked for.
    if found.iter().any(ended) && !asked.is_all() {
        acts.push(("Replay all", all.href("/deliveries/all/replay")));
    }
    acts
}
