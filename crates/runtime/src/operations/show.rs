//! Everything that is known of one delivery, archived or not.

use super::facts::{Facts, Role};
use super::lineage::{Lineage, NODES_MAX, lineage_within};
use crate::delivery::payload::FilePayload;
use crate::project::Project;
use handover_core::{Delivery, DeliveryId, Error, Result, path_text};
use handover_file::read;
use handover_ledger::{AuditEntry, Filter};
use serde::Serialize;
use std::collections::BTreeMap;

/// So many outputs are shown.
const OUTPUTS_MAX: usize = 1_000;

/// A file that a delivery made, or reads.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// What it is and how large.
    #[serde(flatten)]
    pub facts: Facts,
    /// Where it is now: its own place, or in the archive; none where it is in neither.
    pub file: Option<String>,
    /// Whether that is in the archive.
    pub archived: bool,
    /// The deliveries that it is.
    pub deliveries: Vec<DeliveryId>,
    /// The apps that it goes to.
    pub to: Vec<String>,
}

/// All of one delivery.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The row of the ledger.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Its input, where it is a file.
    pub input: Option<File>,
    /// What was made from it.
    pub outputs: Vec<File>,
    /// Its history.
    pub history: Vec<AuditEntry>,
    /// Its family.
    pub lineage: Lineage,
}

/// Gathers it.
///
/// # Errors
/// [`handover_core::ErrorKind::NotFound`] for a number that no delivery has; others where the ledger cannot be read.
pub async fn show(project: &Project, id: DeliveryId) -> Result<Shown> {
    show_within(project, id, Bounds { outputs: OUTPUTS_MAX, family: NODES_MAX }).await
}

/// How much of a delivery is gathered.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// So many of the newest deliveries that were made from it.
    pub outputs: usize,
    /// So many of its family below it.
    pub family: usize,
}

/// The same within bounds.
///
/// # Errors
/// As [`show`].
pub async fn show_within(project: &Project, id: DeliveryId, bounds: Bounds) -> Result<Shown> {
    let ledger = project.ledger.as_ref();
    let delivery = ledger.get(id).await?.ok_or_else(|| {
        Error::not_found(format!("there is no delivery {id}")).hint("`handover list` shows the newest")
    })?;
    let filter = Filter { parent: Some(id), archived: true, limit: bounds.outputs, ..Filter::default() };
    let mut children = ledger.list(filter).await?;
    children.reverse();
    let outputs = outputs(project, &children, &delivery);
    let input = Facts::of(&delivery).path.is_some().then(|| file(project, &delivery));
    let history = ledger.audit(id).await?;
    let lineage = lineage_within(ledger, &delivery, bounds.family).await?;
    Ok(Shown { delivery, input, outputs, history, lineage })
}

/// The files that a delivery made: each once, in the order of the result, the way on first.
fn outputs(project: &Project, children: &[Delivery], made_by: &Delivery) -> Vec<File> {
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    for child in children {
        // A replay of an output has the same maker, and is no second output.
        let Some(path) = FilePayload::in_delivery(child).map(|payload| payload.path) else { continue };
        let known = files.entry(path).or_insert_with(|| {
            let mut file = file(project, child);
            (file.deliveries, file.to) = (Vec::new(), Vec::new());
            file
        });
        known.deliveries.push(child.id);
        if let Some(app) = child.target_app.clone().filter(|app| !known.to.contains(app)) {
            known.to.push(app);
        }
    }
    let named = made_by.result.as_ref().and_then(|result| result.get("outputs")).and_then(|o| o.as_array());
    let order: Vec<&str> = named.into_iter().flatten().filter_map(|path| path.as_str()).collect();
    let place = |path: &str| order.iter().position(|named| *named == path).unwrap_or(order.len());
    let mut files: Vec<(String, File)> = files.into_iter().collect();
    files.sort_by_key(|(path, _)| place(path));
    files.into_iter().map(|(_, file)| file).collect()
}

fn file(project: &Project, delivery: &Delivery) -> File {
    let facts = Facts::of(delivery);
    let path = facts.path.as_deref().unwrap_or_default();
    let (found, archived) = match facts.role {
        Role::Export | Role::Arrival => {
            let path = path_text::from_text(path);
            (path.symlink_metadata().is_ok().then_some(path), false)
        }
        _ => match read::retained(&project.data, path) {
            Ok(kept) => (Some(kept.stored_path().to_owned()), kept.is_archived()),
            Err(_) => (None, false),
        },
    };
    File {
        file: found.as_deref().map(path_text::to_text),
        archived,
        deliveries: vec![delivery.id],
        to: delivery.target_app.iter().cloned().collect(),
        facts,
    }
}
