//! Answers to a claimed batch: each delivery ends as `complete` or `fail` would end it, all in one transaction, with one
//! statement for all that end well and one for all that end badly.
//!
//! On a crash all answers of a batch count, or none.

use super::PostgresLedger;
use super::claim::stale;
use super::error::{Attempt, Fault};
use super::finish::{Ends, Fails, complete_all, fail_all, standing};
use super::push::push;
use super::row::{get, kept, time_or_none};
use super::tx::{Tx, number, text, time};
use crate::api::{Answer, Answered, Answers, Failed, Held, Outcome, Pushed, Queue, Waiting};
use handover_core::{DeliveryId, Error, NewDelivery, Result};
use std::collections::{HashMap, HashSet};

pub(super) async fn answer(tx: &mut Tx<'_>, answers: &Answers) -> Attempt<Vec<Answered>> {
    // Of several for one delivery the first counts, and ends the claim that the others would need.
    let mut answered_for = HashSet::new();
    let first: Vec<&Answer> =
        answers.answers.iter().filter(|answer| answered_for.insert(answer.id)).collect();
    let (mut done, actor) = complete(tx, answers, &first).await?;
    let mut failed = fail(tx, answers, &first).await?;
    let mut next = hand_over(tx, &first, &done, &actor).await?;
    let mut answered = Vec::with_capacity(answers.answers.len());
    for answer in &answers.answers {
        let id = answer.id.0;
        let came_to = match &answer.outcome {
            Outcome::Completed { .. } if done.remove(&id) => {
                Some(Answered::Completed(next.remove(&id).unwrap_or_default()))
            }
            Outcome::Failed { .. } => failed.remove(&id).map(Answered::Failed),
            Outcome::Completed { .. } => None,
        };
        answered.push(match came_to {
            Some(came_to) => came_to,
            None => {
                let held = Held { queue: answers.queue, id: answer.id, token: answers.token.clone() };
                let Fault { error, again } = stale(tx, &held).await;
                if answers.whole || error.kind() != handover_core::ErrorKind::Stale {
                    return Err(Fault { error, again });
                }
                Answered::Stale(error.to_string())
            }
        });
    }
    Ok(answered)
}

/// Completes those that end well; which did, and who held them.
async fn complete(tx: &mut Tx<'_>, answers: &Answers, first: &[&Answer]) -> Attempt<(HashSet<i64>, String)> {
    let ends = first.iter().filter_map(|answer| match &answer.outcome {
        Outcome::Completed { result, .. } => Some(Ends { id: answer.id, result: result.as_ref().map(kept) }),
        Outcome::Failed { .. } => None,
    });
    let ends: Vec<Ends> = ends.collect();
    if ends.is_empty() {
        return Ok((HashSet::new(), String::new()));
    }
    let done = complete_all(tx, answers.queue, &answers.token, &ends).await?;
    Ok((done.ids.into_iter().collect(), done.actor))
}

async fn fail(tx: &mut Tx<'_>, answers: &Answers, first: &[&Answer]) -> Attempt<HashMap<i64, Failed>> {
    let bad: HashMap<i64, &Outcome> = first
        .iter()
        .filter(|answer| matches!(answer.outcome, Outcome::Failed { .. }))
        .map(|answer| (answer.id.0, &answer.outcome))
        .collect();
    if bad.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<i64> = bad.keys().copied().collect();
    let standing = standing(tx, answers.queue, &answers.token, &ids).await?;
    let fails = standing.iter().filter_map(|standing| match bad.get(&standing.id) {
        Some(Outcome::Failed { error, verdict, result }) => {
            Some(Fails { standing, error, verdict: *verdict, after: None, result: result.as_ref() })
        }
        _ => None,
    });
    let fails: Vec<Fails<'_>> = fails.collect();
    let failed = fail_all(tx, answers.queue, &answers.token, &fails).await?;
    Ok(standing.iter().map(|one| one.id).zip(failed).collect())
}

/// Hands over what follows from those that ended well, in the order of the answers.
async fn hand_over(
    tx: &mut Tx<'_>,
    first: &[&Answer],
    done: &HashSet<i64>,
    actor: &str,
) -> Attempt<HashMap<i64, Vec<DeliveryId>>> {
    let mut parents = Vec::new();
    let mut all: Vec<NewDelivery> = Vec::new();
    for answer in first {
        let Outcome::Completed { next, .. } = &answer.outcome else { continue };
        if done.contains(&answer.id.0) {
            parents.extend(next.iter().map(|_| answer.id));
            all.extend(
                next.iter()
                    .map(|new| NewDelivery { parent_id: new.parent_id.or(Some(answer.id)), ..new.clone() }),
            );
        }
    }
    let born: Vec<_> = all.iter().map(|new| (new, None)).collect();
    let pushed = push(tx, actor, &born).await?;
    let mut of: HashMap<i64, Vec<DeliveryId>> = HashMap::new();
    for (parent, pushed) in parents.into_iter().zip(pushed) {
        of.entry(parent.0).or_default().push(Pushed::id(pushed));
    }
    Ok(of)
}

/// Whether a claim would find anything: what it would take next, as one that holds the lock of claims would ask. No place goes to age.
pub(super) async fn claimable(ledger: &PostgresLedger, queue: Queue, app: &str) -> Result<bool> {
    let lanes = |what: &str| match queue {
        Queue::Records => format!("ARRAY(SELECT {what} WHERE app = $1)"),
        Queue::Deliveries => "'{}'".to_owned(),
    };
    let query = format!(
        "SELECT coalesce(cardinality((integration._next_{}($1, 1, '', coalesce($2, clock_timestamp()), true, 0, {}, {})).ids), 0) > 0 \
         AND NOT EXISTS (SELECT FROM integration.paused_apps WHERE app = $1)",
        queue.named(),
        lanes("unnest(ids) FROM integration.lanes"),
        lanes("k FROM integration.lanes, unnest(array_remove(keys, NULL)) AS k")
    );
    let now = ledger.now();
    let rows = ledger.read("look for work", &query, &[text(&app), time(&now)]).await?;
    let Some(row) = rows.first() else { return Err(Error::internal("a question gave no row")) };
    get(row, 0).map_err(|fault| fault.error)
}

/// What an app could claim, but for order keys: it is for those who decide whether to claim at all.
pub(super) async fn waiting(
    ledger: &PostgresLedger,
    queue: Queue,
    app: &str,
    at_most: usize,
) -> Result<Waiting> {
    let query = format!(
        "SELECT count(*), min(created_at) FROM (SELECT created_at FROM integration.{}_live WHERE status = 'pending' AND {} \
         AND target_app = $1 AND run_at <= coalesce($2, clock_timestamp()) AND deleted_at IS NULL \
         AND NOT EXISTS (SELECT FROM integration.paused_apps WHERE app = $1) ORDER BY priority DESC, id + 0 LIMIT $3) AS waiting",
        queue.named(),
        queue.not_in_flight()
    );
    let (now, at_most) = (ledger.now(), i64::try_from(at_most).unwrap_or(i64::MAX));
    let rows = ledger.read("count what waits", &query, &[text(&app), time(&now), number(&at_most)]).await?;
    let Some(row) = rows.first() else { return Err(Error::internal("a count gave no row")) };
    let read = || Ok::<_, Fault>((get::<i64>(row, 0)?, time_or_none(row, 1)?));
    let (count, oldest) = read().map_err(|fault| fault.error)?;
    Ok(Waiting { count: count.unsigned_abs(), oldest })
}
