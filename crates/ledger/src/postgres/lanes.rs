//! Claims by lanes (`claim: lanes`): what is in flight stays pending, is noted in one row of `integration.lanes`, and is moved to the
//! archive when it is done. The schema's functions see to it whoever calls (`migrations/postgres/0010_lanes.sql`); here is the short way
//! for workers, one round trip for a claim and one for an answer.
//!
//! Invariants:
//! - Whether an app is claimed by lanes is the ledger's to say. What this process remembers is a hint: where it is wrong, the
//!   usual way is taken, which comes to the same.
//! - A claim's lock is gone before its records are read, so that a slow reader holds nobody up.
//! - An answer counts once. Its COMMIT is on its way before anything of it was heard, so where the connection is lost it is asked
//!   again, and finds what it did before by its token in the audit log.
//!
//! On a crash a claim may be undone, as if its holder had died a moment earlier; what was answered is on the server's disk.

use super::PostgresLedger;
use super::claim::{
    BEGIN as BEGIN_CLAIM, Taken, batch, held_by, keep_readable, last_usual, lease_seconds, put_off, release,
};
use super::claimed;
use super::error::{Again, Attempt};
use super::finish::refuse;
use super::push::results;
use super::row::get;
use super::tx::{
    BEGIN, Tx, Value, flag, in_transaction, number, numbers, seconds, text, texts, time, until_known,
};
use crate::api::{Answer, Answered, Answers, Claim, Outcome, Queue};
use handover_core::{Delivery, LeaseToken, Result};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio_postgres::types::Type;

/// How the tokens of such claims begin, so that an answer knows its way. Another token that begins so goes the usual way.
const MARK: &str = "1a4e1a4e";
/// Whether the lease of any lane has run out, or its holder ($2) is lost.
pub(super) const ANY_LOST: &str = "EXISTS (SELECT FROM integration.lanes WHERE lease_until <= coalesce($1, clock_timestamp()) OR holder = ANY ($2))";

/// The apps that this process knows to be claimed by lanes.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashSet<String>>);

impl Lanes {
    fn apps(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token for a claim by lanes.
fn token() -> LeaseToken {
    let LeaseToken(random) = LeaseToken::random();
    LeaseToken(format!("{MARK}{}", &random[MARK.len()..]))
}

/// Says how these apps are claimed, here and in the ledger.
pub(super) async fn claim_by(
    ledger: &PostgresLedger,
    actor: &str,
    lanes: Vec<String>,
    usual: Vec<String>,
) -> Result<()> {
    in_transaction!(ledger, |tx| register(tx, actor, &lanes, &usual))?;
    let mut apps = ledger.lanes.apps();
    for app in &usual {
        apps.remove(app);
    }
    apps.extend(lanes);
    Ok(())
}

async fn register(tx: &mut Tx<'_>, actor: &str, lanes: &[String], usual: &[String]) -> Attempt<()> {
    let now = tx.ledger().now();
    let call = "SELECT 1 FROM integration._claim_by($1, $2, $3, $4)";
    let values = [text(&actor), texts(&lanes), texts(&usual), time(&now)];
    tx.rows("say how apps are claimed", call, &values).await.map(|_| ())
}

/// Claims, where this process knows the app to be claimed by lanes, and the ledger says so too; else none.
pub(super) async fn claim(ledger: &PostgresLedger, claim: &Claim) -> Result<Option<Vec<Delivery>>> {
    if claim.queue != Queue::Records || !ledger.lanes.apps().contains(&claim.app) {
        return Ok(None);
    }
    let (lease, token) = (lease_seconds(claim.lease)?, token());
    let mut claimed: Vec<Delivery> = Vec::new();
    loop {
        let Some(taken) = take(ledger, claim, &token, lease, claimed.len()).await? else {
            // Another process has said so.
            ledger.lanes.apps().remove(&claim.app);
            return Ok((!claimed.is_empty()).then_some(claimed));
        };
        // What was looked for by its token may be had already.
        let new = taken.into_iter().filter(|(one, _)| !claimed.iter().any(|had| had.id == one.id)).collect();
        let unreadable = keep_readable(new, &mut claimed);
        // What takes the place of those that were refused.
        if unreadable.is_empty() {
            break;
        }
        refuse(ledger, claim.queue, &token, unreadable).await?;
        if claimed.len() >= claim.max {
            break;
        }
    }
    claimed.sort_by_key(|d| (std::cmp::Reverse(d.priority), d.id));
    Ok(Some(claimed))
}

/// Takes what there is beyond the first `had` of this claim; none where the app is not claimed by lanes.
async fn take(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    had: usize,
) -> Result<Option<Vec<Taken>>> {
    until_known!(|unsure| {
        let found = if unsure { found(ledger, claim, token, had).await? } else { Vec::new() };
        match found.is_empty() {
            true => take_once(ledger, claim, token, lease, had).await,
            false => Ok(Some(found)),
        }
    })
}

async fn take_once(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    had: usize,
) -> Attempt<Option<Vec<Taken>>> {
    let (from, began) = (ledger.hints.from(claim), Instant::now());
    let taken = match take_from(ledger, claim, token, lease, had, from).await {
        // What was taken could not be read. A batch is one row on the server, which holds a gigabyte: large records are claimed
        // by fewer.
        Err(fault) if matches!(fault.again, Again::Less | Again::No) && had == 0 => {
            let held = held_by(ledger, token).await?;
            in_transaction!(ledger, |tx| release(tx, &held, None))?;
            if fault.again == Again::No || claim.max <= 1 {
                return Err(fault);
            }
            let fewer = Claim { max: claim.max / 2, ..claim.clone() };
            return Box::pin(take_once(ledger, &fewer, token, lease, had)).await;
        }
        taken => taken?,
    };
    let Some(taken) = taken else { return Ok(None) };
    ledger.hints.ended(claim, from, had + taken.len(), last_usual(&taken), began);
    if !taken.is_empty() || from == 0 || put_off(ledger, claim) {
        return Ok(Some(taken));
    }
    let began = Instant::now();
    let taken = take_from(ledger, claim, token, lease, had, 0).await?;
    if let Some(taken) = &taken {
        ledger.hints.ended(claim, 0, had + taken.len(), last_usual(taken), began);
    }
    Ok(taken)
}

async fn take_from(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    had: usize,
    from: i64,
) -> Attempt<Option<Vec<Taken>>> {
    let take = "SELECT integration._take_lane($1, $2, $3, $4, make_interval(secs => $5), $6, $7)";
    let (now, max) = (ledger.now(), i64::try_from(claim.max - had).unwrap_or(i64::MAX));
    let had = i64::try_from(had).unwrap_or(i64::MAX);
    let taking = [
        text(&claim.app),
        number(&max),
        text(&claim.holder.0),
        text(&token.0),
        seconds(&lease),
        time(&now),
        number(&from),
    ];
    let reading = [text(&token.0), number(&had)];
    let (taken, rows) =
        ledger.one_trip(BEGIN_CLAIM, "claim", (take, &taking), Some((&read(), &reading))).await?;
    let taken = taken.first().map(|row| get::<Option<i64>>(row, 0)).transpose()?.flatten();
    let Some(taken) = taken else { return Ok(None) };
    let read = batch(&rows, claim, token)?;
    if usize::try_from(taken).is_ok_and(|taken| read.len() >= taken) {
        return Ok(Some(read));
    }
    // Some of it was landed before it was read: it is ours all the same, or nobody would have it before its lease has run out.
    super::claim::found(ledger, claim, token).await.map(Some)
}

/// What a claim whose answer was lost has taken.
async fn found(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    had: usize,
) -> Attempt<Vec<Taken>> {
    let had = i64::try_from(had).unwrap_or(i64::MAX);
    let rows = ledger.rows("look for what was claimed", &read(), &[text(&token.0), number(&had)]).await?;
    batch(&rows, claim, token)
}

/// Reads a lane's records beyond the first few, as a batch.
fn read() -> String {
    claimed::query("integration._lane_rows($1, $2)")
}

/// Answers a claim by lanes where all is well and nothing follows, which is one round trip; none where the usual way is to be
/// taken.
pub(super) async fn answer(ledger: &PostgresLedger, answers: &Answers) -> Result<Option<Vec<Answered>>> {
    let plain = |one: &Answer| matches!(&one.outcome, Outcome::Completed { next, .. } if next.is_empty());
    let mut known = HashSet::new();
    if answers.queue != Queue::Records
        || !answers.token.0.starts_with(MARK)
        || !answers.answers.iter().all(|one| plain(one) && known.insert(one.id))
    {
        return Ok(None);
    }
    let Some(done) = complete(ledger, answers).await? else { return Ok(None) };
    if done.len() == answers.answers.len() {
        return Ok(Some(vec![Answered::Completed(Vec::new()); done.len()]));
    }
    if answers.whole {
        return Ok(None);
    }
    let rest = answers.answers.iter().filter(|one| !done.contains(&one.id.0)).cloned().collect();
    let rest = Answers { answers: rest, token: answers.token.clone(), ..*answers };
    let told = in_transaction!(ledger, |tx| super::answer::answer(tx, &rest))?;
    let mut told = told.into_iter();
    let merged = answers.answers.iter().map(|one| match done.contains(&one.id.0) {
        true => Some(Answered::Completed(Vec::new())),
        false => told.next(),
    });
    Ok(merged.collect())
}

/// Completes what the token's lane holds of these; none where there is no such lane.
async fn complete(ledger: &PostgresLedger, answers: &Answers) -> Result<Option<HashSet<i64>>> {
    until_known!(|again| complete_once(ledger, answers, again).await)
}

async fn complete_once(
    ledger: &PostgresLedger,
    answers: &Answers,
    again: bool,
) -> Attempt<Option<HashSet<i64>>> {
    // The keys are asked for as they were before.
    let call = "SELECT integration._complete_lane($1, $2, $3, $4, $5, $6, $7), \
                (SELECT keys IS NOT NULL FROM integration.lanes WHERE token = $1)";
    let ids: Vec<i64> = answers.answers.iter().map(|one| one.id.0).collect();
    let kept = results(answers.answers.iter().map(|one| match &one.outcome {
        Outcome::Completed { result, .. } => result.as_ref(),
        Outcome::Failed { .. } => None,
    }));
    let (now, tells) = (ledger.now(), ledger.wake.by_transaction());
    let values: [Value<'_>; 7] = [
        text(&answers.token.0),
        numbers(&ids),
        (&kept, Type::JSON_ARRAY),
        time(&now),
        flag(&tells),
        flag(&answers.whole),
        flag(&again),
    ];
    let (rows, _) = ledger.one_trip(BEGIN, "complete records", (call, &values), None).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let done = get::<Option<Vec<i64>>>(row, 0)?;
    if get::<Option<bool>>(row, 1)?.unwrap_or(false) {
        // The next of an order key waits for this end.
        ledger.wake.ring(BTreeSet::new());
    }
    Ok(done.map(HashSet::from_iter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_that_it_is_of_a_lane() {
        let (one, other) = (token().0, token().0);
        assert!(one.starts_with(MARK) && one.len() == 32 && one != other);
    }
}
