//! Lineage: where a delivery came from, up to the original, and what was made from it, down to the exports.
//!
//! Every walk is bounded: a tree that is larger is cut and says so.

use super::facts::{Facts, Role};
use handover_core::{Delivery, DeliveryId, Result, Status};
use handover_ledger::{Filter, Ledger};
use serde::Serialize;
use std::collections::HashSet;

/// So many steps up or down are followed.
const DEPTH_MAX: usize = 100;
/// So many deliveries of one parent are shown.
const CHILDREN_MAX: usize = 100;
/// So many deliveries a tree has at most.
pub(super) const NODES_MAX: usize = 500;

/// One delivery in a tree.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Its number.
    pub id: DeliveryId,
    /// The delivery that it was made from.
    pub parent: Option<DeliveryId>,
    /// How deep it stands; the root is 0.
    pub depth: usize,
    /// The app that it goes to; none at the end of a flow.
    pub app: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// What it is.
    #[serde(flatten)]
    pub facts: Facts,
    /// The delivery that it runs again.
    pub replay_of: Option<DeliveryId>,
    /// Whether it is the one that was asked about.
    pub here: bool,
}

/// A delivery's family.
#[derive(Debug, Clone, Serialize)]
pub struct Lineage {
    /// The tree in the order of its lines: each delivery before what was made from it.
    pub tree: Vec<Node>,
    /// Whether there is more than is shown.
    pub cut: bool,
    /// The delivery that it runs again.
    pub replays: Option<DeliveryId>,
    /// The deliveries that run it again, oldest first.
    pub replayed_by: Vec<DeliveryId>,
}

/// The family of a delivery: the way from the original to it, and everything that was made from it.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn lineage(ledger: &dyn Ledger, delivery: &Delivery) -> Result<Lineage> {
    lineage_within(ledger, delivery, NODES_MAX).await
}

/// The same with at most so many deliveries below the one that is asked about.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn lineage_within(ledger: &dyn Ledger, delivery: &Delivery, most: usize) -> Result<Lineage> {
    let mut way = Vec::new();
    let mut above = delivery.parent_id;
    while let Some(id) = above.filter(|_| way.len() < DEPTH_MAX) {
        let Some(parent) = ledger.get(id).await? else { break };
        above = parent.parent_id;
        way.push(parent);
    }
    way.reverse();
    let depth = way.len();
    let mut tree: Vec<Node> = way.iter().enumerate().map(|(i, d)| node(d, i, false)).collect();
    let (below, cut) = below(ledger, delivery, most).await?;
    tree.extend(below.iter().map(|(d, below)| node(d, depth + below, d.id == delivery.id)));
    let filter =
        Filter { replay_of: Some(delivery.id), archived: true, limit: CHILDREN_MAX, ..Filter::default() };
    let mut replayed_by: Vec<DeliveryId> = ledger.list(filter).await?.iter().map(|d| d.id).collect();
    replayed_by.reverse();
    Ok(Lineage { tree, cut, replays: delivery.replay_of, replayed_by })
}

fn node(delivery: &Delivery, depth: usize, here: bool) -> Node {
    Node {
        id: delivery.id,
        parent: delivery.parent_id,
        depth,
        app: delivery.target_app.clone(),
        status: delivery.status,
        facts: Facts::of(delivery),
        replay_of: delivery.replay_of,
        here,
    }
}

/// A delivery and all that was made from it, with how far below it each stands; and whether there is more.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn descend(ledger: &dyn Ledger, delivery: &Delivery) -> Result<(Vec<(Delivery, usize)>, bool)> {
    below(ledger, delivery, NODES_MAX).await
}

async fn below(
    ledger: &dyn Ledger,
    delivery: &Delivery,
    most: usize,
) -> Result<(Vec<(Delivery, usize)>, bool)> {
    let mut found = Vec::new();
    let mut cut = false;
    let mut seen = HashSet::new();
    let mut waiting = vec![(delivery.clone(), 0)];
    while let Some((next, depth)) = waiting.pop() {
        if !seen.insert(next.id) {
            continue;
        }
        if found.len() >= most || depth > DEPTH_MAX {
            cut = true;
            break;
        }
        let limit = CHILDREN_MAX.min(most);
        let filter = Filter { parent: Some(next.id), archived: true, limit, ..Filter::default() };
        let mut children = ledger.list(filter).await?;
        cut |= children.len() == limit;
        // The way on comes first, what was made beside it (a report, rejected rows) after it; the last pushed is next.
        children.sort_by_key(|child| std::cmp::Reverse((beside(child), child.id)));
        found.push((next, depth));
        waiting.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    Ok((found, cut))
}

fn beside(delivery: &Delivery) -> bool {
    matches!(Facts::of(delivery).role, Role::Report | Role::RejectedRows | Role::Quarantined)
}
