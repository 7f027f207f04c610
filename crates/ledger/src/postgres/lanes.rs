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
use super::claim::{BEGIN as BEGIN_CLAIM, Taken, batch};
use super::claimed;
use super::error::{Again, Attempt, sql};
use super::push::results;
use super::row::get;
use super::tx::{BEGIN, Tries, Tx, Value, flag, in_transaction, number, numbers, seconds, text, texts, time};
use crate::api::{Answer, Answered, Answers, Claim, Outcome, Queue};
use handover_core::{LeaseToken, Result};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;

/// How the tokens of such claims begin, so that an answer knows its way. Another token that begins so goes the usual way.
const MARK: &str = "1a4e1a4e";
/// Claims of at least so many look for their records from where the last one ended.
const HINTED: usize = 64;
/// For so long; then from the start again, where late commits and retries lie.
const HINT_FOR: Duration = Duration::from_secs(1);

/// Whether the lease of any lane has run out, or its holder ($2) is lost.
pub(super) const ANY_LOST: &str = "EXISTS (SELECT FROM integration.lanes WHERE lease_until <= coalesce($1, clock_timestamp()) OR holder = ANY ($2))";

/// The apps that this process knows to be claimed by lanes.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Hint>>);

/// From which number on an app's records are looked for, and since when.
struct Hint {
    from: i64,
    since: Instant,
}

impl Hint {
    fn none() -> Self {
        Self { from: 0, since: Instant::now() }
    }
}

impl Lanes {
    fn apps(&self) -> MutexGuard<'_, HashMap<String, Hint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token for this claim.
    pub(super) fn token(&self, claim: &Claim) -> LeaseToken {
        let LeaseToken(token) = LeaseToken::random();
        let by_lanes = claim.queue == Queue::Records && self.apps().contains_key(&claim.app);
        LeaseToken(if by_lanes { format!("{MARK}{}", &token[MARK.len()..]) } else { token })
    }

    /// From where on this app's records are looked for; none where it is not known to be claimed by lanes.
    fn from(&self, app: &str) -> Option<i64> {
        let mut apps = self.apps();
        let hint = apps.get_mut(app)?;
        if hint.since.elapsed() >= HINT_FOR {
            *hint = Hint::none();
        }
        Some(hint.from)
    }

    /// Notes where a claim ended. One that was not filled has seen all there is.
    fn ended(&self, app: &str, filled: bool, last: Option<i64>) {
        if let Some(hint) = self.apps().get_mut(app) {
            match last {
                Some(last) if filled => hint.from = hint.from.max(last + 1),
                _ if filled => {}
                _ => *hint = Hint::none(),
            }
        }
    }
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
    for app in lanes {
        apps.entry(app).or_insert_with(Hint::none);
    }
    Ok(())
}

async fn register(tx: &mut Tx<'_>, actor: &str, lanes: &[String], usual: &[String]) -> Attempt<()> {
    let now = tx.ledger().now();
    let call = "SELECT 1 FROM integration._claim_by($1, $2, $3, $4)";
    let values = [text(&actor), texts(&lanes), texts(&usual), time(&now)];
    tx.rows("say how apps are claimed", call, &values).await.map(|_| ())
}

/// Claims, once, where this app is claimed by lanes; else none.
pub(super) async fn take_once(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    max: i64,
) -> Attempt<Option<Vec<Taken>>> {
    if claim.queue != Queue::Records {
        return Ok(None);
    }
    let Some(from) = ledger.lanes.from(&claim.app) else { return Ok(None) };
    let taken = take_from(ledger, claim, token, lease, max, from).await?;
    let Some(taken) = taken else {
        // Another process has said so.
        ledger.lanes.apps().remove(&claim.app);
        return Ok(None);
    };
    let filled = i64::try_from(taken.len()).is_ok_and(|n| n >= max);
    let last = taken.iter().rev().find(|(delivery, _)| delivery.priority == 0);
    let last = last.map(|(delivery, _)| delivery.id.0).filter(|_| taken.len() >= HINTED);
    ledger.lanes.ended(&claim.app, filled, last);
    if taken.is_empty() && from > 0 {
        return take_from(ledger, claim, token, lease, max, 0).await;
    }
    Ok(Some(taken))
}

async fn take_from(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    max: i64,
    from: i64,
) -> Attempt<Option<Vec<Taken>>> {
    let take = "SELECT integration._take_lane($1, $2, $3, $4, make_interval(secs => $5), $6, $7)";
    let read = format!("SELECT {} FROM integration._lane_rows($1, $2)", claimed::COLUMNS);
    // What the claim has already, where some of it could not be read and others take its place.
    let had = i64::try_from(claim.max).unwrap_or(i64::MAX).saturating_sub(max);
    let now = ledger.now();
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
    let connection = ledger.connections.get().await?;
    connection.prepare(take, &taking).await.map_err(sql("claim"))?;
    connection.prepare(&read, &reading).await.map_err(sql("claim"))?;
    let (begun, taken, committed, rows) = tokio::join!(
        connection.execute(BEGIN_CLAIM),
        connection.rows(take, &taking),
        connection.execute("COMMIT"),
        connection.rows(&read, &reading),
    );
    if begun.is_err() || committed.is_err() {
        // Whatever state it is in, nobody needs it.
        connection.close();
    }
    begun.map_err(sql("begin a claim"))?;
    let taken = taken.map_err(sql("claim"))?;
    committed.map_err(sql("commit a claim"))?;
    let rows = rows.map_err(sql("claim"))?;
    let taken = taken.first().map(|row| get::<Option<i64>>(row, 0)).transpose()?.flatten();
    if taken.is_none() {
        return Ok(None);
    }
    batch(&rows, claim, token).map(Some)
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
    let mut tries = Tries::new();
    let mut again = false;
    loop {
        match complete_once(ledger, answers, again).await {
            Ok(done) => return Ok(done),
            Err(fault) => {
                again |= fault.again == Again::Lost;
                tries.wait(fault).await.map_err(|fault| fault.error)?;
            }
        }
    }
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
    let connection = ledger.connections.get().await?;
    connection.prepare(call, &values).await.map_err(sql("complete records"))?;
    let (begun, rows, committed) =
        tokio::join!(connection.execute(BEGIN), connection.rows(call, &values), connection.execute("COMMIT"));
    if begun.is_err() || committed.is_err() {
        // Whatever state it is in, nobody needs it.
        connection.close();
    }
    begun.map_err(sql("begin a transaction"))?;
    let rows = rows.map_err(sql("complete records"))?;
    committed.map_err(sql("commit"))?;
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
    use handover_core::HolderId;

    fn claim(app: &str, queue: Queue) -> Claim {
        let (max, lease, holder) = (1, Duration::from_secs(60), HolderId("1-w".into()));
        Claim { queue, app: app.into(), max, lease, holder }
    }

    #[test]
    fn a_hint_moves_on_and_goes_where_a_claim_was_not_filled() {
        let lanes = Lanes::default();
        assert_eq!(lanes.from("a"), None);
        lanes.apps().insert("a".into(), Hint::none());
        lanes.ended("a", true, Some(70));
        lanes.ended("a", true, Some(9));
        lanes.ended("a", true, None);
        assert_eq!(lanes.from("a"), Some(71));
        lanes.ended("a", false, Some(80));
        assert_eq!(lanes.from("a"), Some(0));
        lanes.apps().insert("a".into(), Hint { from: 7, since: Instant::now() - HINT_FOR });
        assert_eq!(lanes.from("a"), Some(0), "from the start every so often");
    }

    #[test]
    fn a_token_says_that_it_is_of_a_lane() {
        let lanes = Lanes::default();
        lanes.apps().insert("a".into(), Hint::none());
        let token = lanes.token(&claim("a", Queue::Records)).0;
        assert!(token.starts_with(MARK) && token.len() == 32);
        for other in [claim("a", Queue::Deliveries), claim("b", Queue::Records)] {
            assert!(!lanes.token(&other).0.starts_with(MARK));
        }
    }
}
