//! The way that a file went: from the delivery that was asked about, along all that was made from it.
//!
//! Where something on the way failed or waits, that is the answer; where all is done, the steps are. A file that goes
//! to several apps may be stuck on several of its ways: the answer is about the worst, and counts the others.

use super::{Asking, Explanation, State, Step};
use crate::operations::facts::{Facts, Role};
use crate::operations::lineage::descend;
use crate::operations::times::number;
use handover_core::{Delivery, Result, Status, path_text};
use serde_json::Value;
use std::collections::HashSet;

/// So many other failures are named as commands.
const OTHERS_NAMED: usize = 3;

impl Asking<'_> {
    /// Explains a delivery with all that followed.
    pub(super) async fn story(&self, delivery: &Delivery, subject: String) -> Result<Explanation> {
        let mut own = self.delivery(delivery, subject.clone()).await?;
        if own.state != State::Done || delivery.target_app.is_none() {
            return Ok(own);
        }
        let (below, _) = descend(self.project.ledger.as_ref(), delivery).await?;
        let all: Vec<&Delivery> = below.iter().map(|(delivery, _)| delivery).collect();
        let steps: Vec<Step> = all.iter().filter_map(|delivery| self.step(delivery)).collect();
        let stuck = stuck(&all[1..]);
        let Some(worst) = stuck.first() else {
            own.sentences.extend(self.ends(&all));
            if steps.len() > 1 {
                own.sentences.remove(0);
                own.sentences
                    .insert(0, format!("It went its whole way, to the end of {}.", flow_of(delivery)));
                // What an importer noted is a warning; what another app noted is in `show`.
                let imported = Facts::of(delivery).role == Role::Arrival;
                own.sentences.retain(|sentence| imported || !sentence.contains(" says: "));
                own.since = all.iter().filter_map(|delivery| delivery.processed_at).max();
            }
            own.steps = steps;
            return Ok(own);
        };
        let mut answer = self.delivery(worst, subject).await?;
        let app = worst.target_app.as_deref().unwrap_or_default();
        answer.sentences.insert(0, format!("It got as far as {app}, as delivery {}.", worst.id));
        if let Some(others) = others(&stuck[1..]) {
            answer.sentences.push(others);
            let failed = stuck[1..].iter().filter(|delivery| delivery.status == Status::Failed);
            answer.todo.extend(failed.take(OTHERS_NAMED).map(|other| format!("handover why {}", other.id)));
        }
        answer.steps = steps;
        Ok(answer)
    }

    /// Where a finished way ended: exports, rejected rows.
    fn ends(&self, all: &[&Delivery]) -> Vec<String> {
        let mut said = Vec::new();
        for delivery in all.iter().filter(|delivery| delivery.target_app.is_none()) {
            let facts = Facts::of(delivery);
            let Some(path) = facts.path.as_deref().map(|path| self.where_now(path)) else { continue };
            let rows = facts
                .rows
                .map(|rows| format!(" ({})", crate::operations::times::count(rows, "row")))
                .unwrap_or_default();
            match facts.role {
                Role::Export | Role::File => said.push(format!("It ended as {path}{rows}.")),
                Role::RejectedRows => {
                    said.push(format!("Rejected rows, each with its reason, are in {path}{rows}."))
                }
                _ => {}
            }
        }
        said
    }

    /// What an app did, or is to do.
    fn step(&self, delivery: &Delivery) -> Option<Step> {
        let app = delivery.target_app.clone()?;
        let done = matches!(delivery.status, Status::Completed | Status::Archived);
        // What a failed attempt left is no output.
        let result = delivery.result.as_ref().filter(|_| done);
        let rows = |key: &str| result?.get(key).and_then(Value::as_u64);
        let output = result.and_then(|r| r.get("outputs")?.get(0)?.as_str()).map(str::to_owned);
        let archived_as = output.as_deref().and_then(|path| self.archived_as(path));
        Some(Step {
            delivery: delivery.id,
            app,
            status: delivery.status,
            replay_of: delivery.replay_of,
            archived_as: archived_as.map(|path| path_text::to_text(&path)),
            output,
            rows_in: rows("rows_in"),
            rows_out: rows("rows_out"),
            rows_rejected: rows("rows_rejected"),
            rows_filtered: rows("rows_filtered"),
        })
    }
}

fn flow_of(delivery: &Delivery) -> String {
    delivery.flow.as_deref().map_or_else(|| "its flow".to_owned(), |flow| format!("the flow {flow}"))
}

/// The deliveries that want a word, the worst first: those that failed and were not replayed, then those that have
/// not ended.
fn stuck<'a>(all: &[&'a Delivery]) -> Vec<&'a Delivery> {
    let replayed: HashSet<_> = all.iter().filter_map(|delivery| delivery.replay_of).collect();
    let open = |wanted: Status| {
        let replayed = &replayed;
        all.iter()
            .copied()
            .filter(move |delivery| delivery.status == wanted && !replayed.contains(&delivery.id))
    };
    [Status::Failed, Status::Processing, Status::Pending].into_iter().flat_map(open).collect()
}

/// How it stands on the other ways, in a sentence; none where there are no others.
fn others(stuck: &[&Delivery]) -> Option<String> {
    let of = |wanted: Status| stuck.iter().filter(|delivery| delivery.status == wanted).count() as u64;
    let parts: Vec<String> = [
        (of(Status::Failed), "failed", "failed"),
        (of(Status::Processing), "is being worked on", "are being worked on"),
        (of(Status::Pending), "waits", "wait"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, more)| format!("{} more {}", number(count), if count == 1 { one } else { more }))
    .collect();
    (!parts.is_empty()).then(|| format!("On its other ways {}: the table has each.", parts.join(", ")))
}
