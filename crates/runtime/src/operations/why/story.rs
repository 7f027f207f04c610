//! The way that a file went: from the delivery that was asked about, along all that was made from it.
//!
//! Where something on the way failed or waits, that is the answer; where all is done, the steps are.

use super::{Asking, Explanation, State, Step};
use crate::operations::facts::{Facts, Role};
use crate::operations::lineage::descend;
use handover_core::{Delivery, Result, Status};
use serde_json::Value;
use std::collections::HashSet;

impl Asking<'_> {
    /// Explains a delivery with all that followed.
    pub(super) async fn story(&self, delivery: &Delivery, subject: String) -> Result<Explanation> {
        let mut own = self.delivery(delivery, subject.clone()).await?;
        if own.state != State::Done || delivery.target_app.is_none() {
            return Ok(own);
        }
        let (below, _) = descend(self.project.ledger.as_ref(), delivery).await?;
        let all: Vec<&Delivery> = below.iter().map(|(delivery, _)| delivery).collect();
        let steps: Vec<Step> = all.iter().filter_map(|delivery| step(delivery)).collect();
        let Some(stuck) = worst(&all[1..]) else {
            own.sentences.extend(self.ends(&all));
            if steps.len() > 1 {
                own.sentences.remove(0);
                own.sentences
                    .insert(0, format!("It went its whole way, to the end of {}.", flow_of(delivery)));
                // What the first app noted is in `show`.
                own.sentences.retain(|sentence| !sentence.contains(" says: "));
                own.since = all.iter().filter_map(|delivery| delivery.processed_at).max();
            }
            own.steps = steps;
            return Ok(own);
        };
        let mut answer = self.delivery(stuck, subject).await?;
        let app = stuck.target_app.as_deref().unwrap_or_default();
        answer.sentences.insert(0, format!("It got as far as {app}, as delivery {}.", stuck.id));
        answer.steps = steps;
        Ok(answer)
    }

    /// Where a finished way ended: exports, rejected rows.
    fn ends(&self, all: &[&Delivery]) -> Vec<String> {
        let mut said = Vec::new();
        for delivery in all.iter().filter(|delivery| delivery.target_app.is_none()) {
            let facts = Facts::of(delivery);
            let Some(path) = facts.path.as_deref().map(|path| self.shown_text(path)) else { continue };
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
}

fn flow_of(delivery: &Delivery) -> String {
    delivery.flow.as_deref().map_or_else(|| "its flow".to_owned(), |flow| format!("the flow {flow}"))
}

/// What an app that has ended well did.
fn step(delivery: &Delivery) -> Option<Step> {
    let done = matches!(delivery.status, Status::Completed | Status::Archived);
    let (result, app) = (delivery.result.as_ref()?, delivery.target_app.clone()?);
    let rows = |key: &str| result.get(key).and_then(Value::as_u64);
    let output = result.get("outputs").and_then(|outputs| outputs.get(0)).and_then(Value::as_str);
    done.then(|| Step {
        delivery: delivery.id,
        app,
        replay_of: delivery.replay_of,
        output: output.map(str::to_owned),
        rows_in: rows("rows_in"),
        rows_out: rows("rows_out"),
        rows_rejected: rows("rows_rejected"),
    })
}

/// The delivery that most wants a word: one that failed and was not replayed, else one that has not ended.
fn worst<'a>(all: &[&'a Delivery]) -> Option<&'a Delivery> {
    let replayed: HashSet<_> = all.iter().filter_map(|delivery| delivery.replay_of).collect();
    let open = |wanted: &[Status]| {
        all.iter()
            .copied()
            .find(|delivery| wanted.contains(&delivery.status) && !replayed.contains(&delivery.id))
    };
    open(&[Status::Failed]).or_else(|| open(&[Status::Processing])).or_else(|| open(&[Status::Pending]))
}
