//! Audit: who did what to which delivery, and besides; newest first.

use super::deliveries::query::time;
use super::frame::{Frame, Here};
use super::shown::{self, Moment};
use super::{Monitor, Page, Wrong};
use crate::Visitor;
use askama::Template;
use axum::extract::{Query, State};
use handover_core::DeliveryId;
use handover_ledger::{Deed, DeedFilter};
use handover_runtime::Project;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// So many are on a page.
const PAGE: usize = 100;

/// What is asked for, as it was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    who: String,
    app: String,
    delivery: String,
    since: String,
    until: String,
    workers: String,
    after: String,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "audit.html")]
pub(super) struct AuditPage {
    frame: Frame,
    asked: Asked,
    workers: bool,
    deeds: Vec<Row>,
    next: Option<String>,
}

#[derive(Debug)]
struct Row {
    at: Moment,
    actor: String,
    did: String,
    thing: String,
    app: String,
    delivery: Option<(String, String)>,
    moved: String,
    note: String,
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Page<AuditPage>, Wrong> {
    visitor.must_see_all()?;
    let project = monitor.project();
    let frame = monitor.frame(&visitor, Here::Audit, "Audit").await?;
    let found = project.ledger.deeds(filter(&project, &asked)?).await?;
    let (zone, now) = (&project.config.timezone, project.clock.now());
    let next = found.next.as_deref().map(|next| {
        let workers = if asked.workers.is_empty() { "" } else { "yes" };
        let query = [
            ("who", asked.who.as_str()),
            ("app", &asked.app),
            ("delivery", &asked.delivery),
            ("since", &asked.since),
            ("until", &asked.until),
            ("workers", workers),
            ("after", next),
        ];
        shown::link("/audit", &query)
    });
    let workers = !asked.workers.is_empty();
    let deeds = found.deeds.into_iter().map(|deed| row(deed, zone, now)).collect();
    Ok(Page(AuditPage { frame, asked, workers, deeds, next }))
}

fn filter(project: &Project, asked: &Asked) -> Result<DeedFilter, Wrong> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let delivery = given(&asked.delivery).map(|text| {
        let number = text.trim_start_matches('#').parse().map(DeliveryId);
        number.map_err(|_| Wrong::bad(format!("{} is no number of a delivery", shown::cut(&text, 40).text)))
    });
    Ok(DeedFilter {
        since: time(project, &asked.since)?,
        until: time(project, &asked.until)?,
        who: given(&asked.who),
        delivery: delivery.transpose()?,
        app: given(&asked.app),
        workers: !asked.workers.is_empty(),
        after: given(&asked.after),
        limit: PAGE,
    })
}

fn row(deed: Deed, zone: &TimeZone, now: Timestamp) -> Row {
    let delivery = deed.delivery_id.map(|id| {
        let shown = match deed.last_id.filter(|last| *last != id) {
            Some(last) => format!("#{id} to #{last}"),
            None => format!("#{id}"),
        };
        (format!("/deliveries/{id}"), shown)
    });
    let moved = match (deed.from, deed.to) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (None, Some(to)) => to.to_string(),
        _ => String::new(),
    };
    let said: Vec<String> = deed.note.into_iter().chain(deed.via.map(|via| format!("by {via}"))).collect();
    Row {
        at: shown::past(deed.at, zone, now),
        actor: shown::cut(&deed.actor, 80).text,
        did: deed.did,
        thing: shown::cut(&deed.thing.unwrap_or_default(), shown::LINE_MAX_CHARS).text,
        app: deed.app.unwrap_or_default(),
        delivery,
        moved,
        note: shown::cut(&said.join("; "), shown::LINE_MAX_CHARS * 2).text,
    }
}
