//! Replaying: new deliveries from old ones' retained inputs.
//!
//! A flow is replayed from its first checkpoint: what its heads handed over in a time is handed over again, and the
//! rest of the flow follows by itself. What has not ended is left alone, as is what was itself a replay. Nothing of the
//! past changes. Each replay is one transaction: after a crash those that were begun stand, and a repetition adds more.

use crate::config::{Config, Flow};
use crate::delivery::payload::FilePayload;
use crate::project::Project;
use handover_core::{Delivery, DeliveryId, Error, Result, Status};
use handover_ledger::Filter;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// So many deliveries are read at a time.
const PAGE: usize = 500;

/// What is, or would be, replayed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replayed {
    /// Each with the new delivery, where it is done.
    pub replayed: Vec<One>,
    /// How many have not ended, and are left alone.
    pub unended: u64,
    /// Other flows that the same files belong to: they run again too.
    pub also_flows: BTreeSet<String>,
}

/// One that is, or would be, replayed.
#[derive(Debug, Clone, Serialize)]
pub struct One {
    /// The old one.
    pub replay_of: DeliveryId,
    /// The new one; none where nothing was done.
    pub id: Option<DeliveryId>,
    /// The app that gets it.
    pub app: String,
    /// Its file, where it has one.
    pub path: Option<String>,
}

impl One {
    fn of(delivery: &Delivery, id: Option<DeliveryId>) -> Self {
        let path = FilePayload::in_delivery(delivery).map(|payload| payload.path);
        let original = delivery.data.get("original").and_then(|o| o.as_str()).map(str::to_owned);
        Self {
            replay_of: delivery.id,
            id,
            app: delivery.target_app.clone().unwrap_or_default(),
            path: path.or(original),
        }
    }
}

/// Replays these deliveries; with `dry_run` says what would be.
///
/// # Errors
/// That of the first that is not there or that no app reads; those before it are replayed.
pub async fn these(project: &Project, actor: &str, ids: &[DeliveryId], dry_run: bool) -> Result<Replayed> {
    let mut done = Replayed::default();
    for id in ids {
        let old = project.ledger.get(*id).await?.ok_or_else(|| {
            Error::not_found(format!("there is no delivery {id}"))
                .hint("`handover list` shows the deliveries")
        })?;
        let new = if dry_run { None } else { Some(project.ledger.replay(actor, *id).await?) };
        done.replayed.push(One::of(&old, new));
    }
    Ok(done)
}

/// The flow of this name.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] naming the nearest where there is none.
pub fn require_flow<'c>(config: &'c Config, flow: &str) -> Result<&'c Flow> {
    config.flow(flow).ok_or_else(|| {
        let names = || config.flows.iter().map(|flow| flow.name.as_str());
        let hint = match handover_core::suggest::nearest(flow, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the flows are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Error::config(format!("there is no flow `{flow}`")).hint(hint)
    })
}

/// Replays what entered a flow from `since` on, and before `until`.
///
/// # Errors
/// Where there is no such flow, or the ledger cannot be used.
pub async fn flow(
    project: &Project,
    actor: &str,
    flow: &str,
    since: Timestamp,
    until: Option<Timestamp>,
    dry_run: bool,
) -> Result<Replayed> {
    let known = require_flow(&project.config, flow)?;
    let heads: BTreeSet<&str> = known.heads().map(|app| app.as_str()).collect();
    let targets: BTreeSet<&str> = known
        .links
        .iter()
        .filter(|link| heads.contains(link.from.as_str()))
        .map(|link| link.to.as_str())
        .collect();
    let mut found = Vec::new();
    let mut done = Replayed::default();
    for target in targets {
        entered(project, flow, &heads, target, (since, until), &mut found, &mut done).await?;
    }
    // In the order in which they came.
    found.sort_by_key(|delivery: &Delivery| delivery.id);
    for old in &found {
        let new = if dry_run { None } else { Some(project.ledger.replay(actor, old.id).await?) };
        done.replayed.push(One::of(old, new));
    }
    Ok(done)
}

/// What the heads handed to one app.
async fn entered(
    project: &Project,
    flow: &str,
    heads: &BTreeSet<&str>,
    target: &str,
    (since, until): (Timestamp, Option<Timestamp>),
    found: &mut Vec<Delivery>,
    done: &mut Replayed,
) -> Result<()> {
    let mut before = None;
    loop {
        let filter = Filter {
            app: Some(target.to_owned()),
            since: Some(since),
            before,
            archived: true,
            limit: PAGE,
            ..Filter::default()
        };
        let page = project.ledger.list(filter).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.id);
        for delivery in page {
            let Some(payload) = FilePayload::in_delivery(&delivery) else { continue };
            let flows = &payload.manifest.flows;
            let first_run = delivery.replay_of.is_none() && payload.manifest.replay_of.is_none();
            let in_time = until.is_none_or(|until| delivery.created_at < until);
            let here = heads.contains(delivery.source_app.as_str()) && flows.iter().any(|f| f == flow);
            if !first_run || !in_time || !here || delivery.deleted_at.is_some() {
                continue;
            }
            if matches!(delivery.status, Status::Pending | Status::Processing) {
                done.unended += 1;
                continue;
            }
            done.also_flows.extend(flows.iter().filter(|f| *f != flow).cloned());
            found.push(delivery);
        }
    }
}
