//! The same action on all that fit a filter: counted first, up to a bound, then done one by one, newest first.
//!
//! Invariants: what came after the question was shown is not touched; what was done is not done twice, however often the same
//! question is answered: a retried delivery is no longer failed, and a replay since then is known by its number. Each is a
//! transaction of its own: after a crash those that were done stand, and the answer given again does the rest.

use super::{Act, By, Done, done};
use crate::operations::alerts::deliveries;
use crate::operations::search::sees;
use crate::project::Project;
use futures_util::{StreamExt as _, stream};
use handover_core::{Delivery, DeliveryId, Result, Status};
use handover_ledger::{Filter, NewAction};
use std::collections::BTreeMap;
use tracing::warn;

/// So many are counted, and done for one answer.
pub const MANY_MAX: usize = 1_000;
/// So many rows of each table are looked at for a part of them.
const LOOK_MAX: usize = 50_000;
/// So many parts are read at the most, so that what fits nothing ends.
const PARTS_MAX: usize = 40;
/// So many are read at a time.
const AT_ONCE: usize = 100;
/// So many transactions are under way at the same time: they share the ledger's syncs.
const UNDER_WAY: usize = 32;

/// What an action would be done to.
#[derive(Debug, Clone, Default)]
pub struct Many {
    /// Those that it can be done to, newest first; [`MANY_MAX`] at most.
    pub ids: Vec<DeliveryId>,
    /// How many of them each app gets.
    pub apps: BTreeMap<String, u64>,
    /// How many fit the filter, and it cannot be done to them.
    pub others: u64,
    /// The oldest that was looked at, where there may be more below.
    pub below: Option<DeliveryId>,
}

/// What fits a filter; nothing is done. `apps` are those that somebody may act on, where that is not all.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn fitting(project: &Project, act: Act, filter: &Filter, apps: Option<&[String]>) -> Result<Many> {
    let mut many = Many::default();
    let mut filter = Filter { limit: AT_ONCE, ..filter.clone() };
    // Only what has failed is retried: it has an index.
    if act == Act::Retry {
        filter.status = Some(Status::Failed);
    }
    for _ in 0..PARTS_MAX {
        let page = project.ledger.search(filter.clone(), LOOK_MAX).await?;
        for delivery in page.deliveries {
            if many.ids.len() == MANY_MAX {
                return Ok(many);
            }
            many.below = Some(delivery.id);
            if sees(filter.seen_by.as_deref(), &delivery) && may(act, &delivery, apps) {
                *many.apps.entry(delivery.target_app.clone().unwrap_or_default()).or_default() += 1;
                many.ids.push(delivery.id);
            } else {
                many.others += 1;
            }
        }
        many.below = page.below;
        match page.below {
            Some(below) => filter.before = Some(below),
            None => break,
        }
    }
    Ok(many)
}

fn may(act: Act, delivery: &Delivery, apps: Option<&[String]>) -> bool {
    let target = delivery.target_app.as_deref();
    let theirs = apps.is_none_or(|apps| target.is_some_and(|app| apps.iter().any(|one| one == app)));
    // What has not ended is left alone, as is what nobody reads.
    let ended = !matches!(delivery.status, Status::Pending | Status::Processing);
    theirs && act.refused(delivery).is_none() && (act != Act::Replay || ended)
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct DidMany {
    /// How many it was done to.
    pub done: u64,
    /// Those that it could not be done to, with the reason, the first of them.
    pub left: Vec<(DeliveryId, String)>,
    /// How many those are in all.
    pub left_count: u64,
}

/// So many reasons are kept.
const REASONS_MAX: usize = 20;

/// Does it to these. Who replayed is noted once for all of them, with `asked`, the search that found them.
pub async fn perform_many(
    project: &Project,
    by: By<'_>,
    act: Act,
    ids: &[DeliveryId],
    asked_when: DeliveryId,
    asked: &str,
) -> DidMany {
    let (mut did, mut replayed) = (DidMany::default(), Vec::new());
    let mut under_way = stream::iter(ids.iter().copied())
        .map(|id| async move { (id, done(project, by, act, id, Some(asked_when)).await) })
        .buffer_unordered(UNDER_WAY);
    while let Some((id, done)) = under_way.next().await {
        let left = match done {
            Ok(Done::Left(why)) => why,
            Ok(done) => {
                did.done += 1;
                replayed.extend(matches!(done, Done::Replayed(_)).then_some(id));
                continue;
            }
            Err(e) => e.to_string(),
        };
        did.left_count += 1;
        if did.left.len() < REASONS_MAX {
            did.left.push((id, left));
        }
    }
    did.left.sort_by_key(|(id, _)| *id);
    if !replayed.is_empty()
        && let Err(e) = note(project, by, act, &replayed, asked).await
    {
        warn!("what was replayed could not be noted for the audit: {e}");
    }
    did
}

async fn note(project: &Project, by: By<'_>, act: Act, ids: &[DeliveryId], asked: &str) -> Result<()> {
    let action = NewAction {
        actor: by.actor.to_owned(),
        via: by.via.to_owned(),
        did: format!("{} all", act.word()),
        thing: Some(asked.to_owned()),
        delivery: ids.iter().min().copied(),
        last: ids.iter().max().copied(),
        note: Some(format!("{} replayed", deliveries(ids.len() as u64))),
        ..NewAction::default()
    };
    project.ledger.note_action(action).await
}
