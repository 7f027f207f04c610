//! Claiming and leases. Whoever has not the token changes nothing.
//!
//! A claim is one round trip: its transaction's beginning, the claim and its end travel together. It is not synced to the
//! disk by itself, as losing it is as if its holder had died; and it names its token itself, so that where the answer is
//! lost with the connection, the next attempt finds what the first one claimed.

use super::PostgresLedger;
use super::claimed;
use super::error::{Again, Attempt, Fault};
use super::hints::Next;
use super::lanes;
use super::row::{bounded, get, id};
use super::tx::{Tx, number, numbers, seconds, text, texts, time, until_known};
use crate::api::{Claim, Held, Queue, Rescued};
use handover_core::limits::RESCUES_MAX;
use handover_core::{Delivery, DeliveryId, Error, ErrorKind, HolderId, LeaseToken, Result, Status};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use tokio_postgres::Row;

/// A claimed delivery, and why its data cannot be handed to an app, where that is so.
pub(super) type Taken = (Delivery, Option<String>);

const QUEUES: [Queue; 2] = [Queue::Deliveries, Queue::Records];
/// Losing a claim with the server is as if its holder had died, so it is not waited for on the disk.
pub(super) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = off";
/// What the indexes of leases know: files and jobs, and of records what plain SQL claimed.
pub(super) const LEASED: [&str; 2] = [
    "deliveries_live WHERE status = 'processing'",
    "data_staging_live WHERE coalesce(lease_token, status) = 'processing'",
];
/// A rescue takes so many at a time.
const RESCUED_MAX: i64 = 5_000;

pub(super) async fn claim(ledger: &PostgresLedger, claim: &Claim) -> Result<Vec<Delivery>> {
    let lease = lease_seconds(claim.lease)?;
    let token = LeaseToken::random();
    let mut claimed = Vec::new();
    loop {
        let max = i64::try_from(claim.max - claimed.len()).unwrap_or(i64::MAX);
        let mut taken = take(ledger, claim, &token, lease, max).await?;
        // Looked for after a lost connection, what an earlier round took is found with it.
        taken.retain(|(delivery, _)| !claimed.iter().any(|one: &Delivery| one.id == delivery.id));
        let unreadable = keep_readable(taken, &mut claimed);
        // What takes the place of those that were refused.
        if unreadable.is_empty() {
            break;
        }
        super::finish::refuse(ledger, claim.queue, &token, unreadable).await?;
        if claimed.len() >= claim.max {
            break;
        }
    }
    claimed.sort_by_key(|d| (std::cmp::Reverse(d.priority), d.id));
    Ok(claimed)
}

/// Adds what can be handed to an app to what is claimed; gives the rest back, with its reasons.
pub(super) fn keep_readable(taken: Vec<Taken>, claimed: &mut Vec<Delivery>) -> Vec<(DeliveryId, String)> {
    let mut unreadable = Vec::new();
    for (delivery, why) in taken {
        match why {
            None => claimed.push(delivery),
            Some(why) => unreadable.push((delivery.id, why)),
        }
    }
    unreadable
}

/// A lease in seconds, where a time that far off can be written.
pub(super) fn lease_seconds(lease: Duration) -> Result<f64> {
    match Timestamp::now().checked_add(lease) {
        Ok(_) => Ok(lease.as_secs_f64()),
        Err(error) => Err(Error::config("the lease is too long").because(error)),
    }
}

async fn take(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    max: i64,
) -> Result<Vec<Taken>> {
    until_known!(|unsure| {
        let found = if unsure { found(ledger, claim, token).await? } else { Vec::new() };
        match found.is_empty() {
            true => take_once(ledger, claim, token, lease, max).await,
            false => Ok(found),
        }
    })
}

async fn take_once(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    max: i64,
) -> Attempt<Vec<Taken>> {
    let (from, began) = (ledger.hints.from(claim), Instant::now());
    let taken = match take_from(ledger, claim, token, lease, max, from).await {
        // A batch is one row on the server, which holds a gigabyte: large records are claimed by fewer.
        Err(fault) if fault.again == Again::Less && max > 1 => {
            return Box::pin(take_once(ledger, claim, token, lease, max / 2)).await;
        }
        taken => taken?,
    };
    ledger.hints.ended(claim, from, taken.len(), last_usual(&taken), began);
    if !taken.is_empty() || from == 0 || put_off(ledger, claim) {
        return Ok(taken);
    }
    let began = Instant::now();
    let taken = take_from(ledger, claim, token, lease, max, 0).await?;
    ledger.hints.ended(claim, 0, taken.len(), last_usual(&taken), began);
    Ok(taken)
}

/// Whether a claim that found nothing from its hint on leaves it at that; then the app's workers are woken in time.
pub(super) fn put_off(ledger: &PostgresLedger, claim: &Claim) -> bool {
    match ledger.hints.after_nothing(claim) {
        Next::All => false,
        Next::Later(wait) => {
            if let Some(wait) = wait {
                ledger.wake.later(claim.app.clone(), wait);
            }
            true
        }
    }
}

async fn take_from(
    ledger: &PostgresLedger,
    claim: &Claim,
    token: &LeaseToken,
    lease: f64,
    max: i64,
    from: i64,
) -> Attempt<Vec<Taken>> {
    let now = ledger.now();
    let call = claimed::query(&format!(
        "integration._claim_{}($1, $2, $3, $4, make_interval(secs => $5), $6, $7)",
        claim.queue.named()
    ));
    let values = [
        text(&claim.app),
        number(&max),
        text(&claim.holder.0),
        text(&token.0),
        seconds(&lease),
        time(&now),
        number(&from),
    ];
    let (rows, _) = ledger.one_trip(BEGIN, "claim", (&call, &values), None).await?;
    batch(&rows, claim, token)
}

/// The last that was taken of those with the usual priority.
pub(super) fn last_usual(taken: &[Taken]) -> Option<i64> {
    let usual = taken.iter().filter(|(delivery, _)| delivery.priority == 0);
    usual.map(|(delivery, _)| delivery.id.0).max()
}

/// The deliveries of a batch; it came as one row.
pub(super) fn batch(rows: &[Row], claim: &Claim, token: &LeaseToken) -> Attempt<Vec<Taken>> {
    rows.first().map_or(Ok(Vec::new()), |row| claimed::deliveries(row, claim, token))
}

/// What a claim whose answer was lost has taken.
pub(super) async fn found(ledger: &PostgresLedger, claim: &Claim, token: &LeaseToken) -> Attempt<Vec<Taken>> {
    let query = claimed::query(&format!(
        "(SELECT * FROM integration.{} WHERE status = 'processing' AND lease_token = $1 \
         UNION ALL SELECT * FROM integration._in_flight WHERE lease_token = $1) AS found",
        claim.queue.claimed()
    ));
    let rows = ledger.rows("look for what was claimed", &query, &[text(&token.0)]).await?;
    batch(&rows, claim, token)
}

/// The claims of one token in one queue; a token is one claim's.
fn by_token(held: &[Held]) -> Vec<(Queue, &LeaseToken, Vec<i64>)> {
    let mut groups: Vec<(Queue, &LeaseToken, Vec<i64>)> = Vec::new();
    for one in held {
        match groups.iter_mut().find(|(queue, token, _)| *queue == one.queue && **token == one.token) {
            Some((_, _, ids)) => ids.push(one.id.0),
            None => groups.push((one.queue, &one.token, vec![one.id.0])),
        }
    }
    groups
}

/// Those whose numbers are not among these of their token.
fn without(held: &[Held], standing: &[(Queue, LeaseToken, Vec<i64>)]) -> Vec<Held> {
    let stands = |one: &Held| {
        standing
            .iter()
            .any(|(queue, token, ids)| *queue == one.queue && *token == one.token && ids.contains(&one.id.0))
    };
    held.iter().filter(|one| !stands(one)).cloned().collect()
}

/// Lengthens leases; gives back those that are lost.
pub(super) async fn renew(tx: &mut Tx<'_>, held: &[Held], lease: f64) -> Attempt<Vec<Held>> {
    let mut standing = Vec::new();
    let now = tx.ledger().now();
    for (queue, token, ids) in by_token(held) {
        let call =
            format!("SELECT integration._renew_{}($1, $2, make_interval(secs => $3), $4)", queue.named());
        let values = [text(&token.0), numbers(&ids), seconds(&lease), time(&now)];
        let row = tx.row("renew a lease", &call, &values).await?;
        standing.push((queue, token.clone(), get(&row, 0)?));
    }
    Ok(without(held, &standing))
}

/// Those of these claims that no longer stand.
pub(super) async fn lost(ledger: &PostgresLedger, held: &[Held]) -> Result<Vec<Held>> {
    let mut standing = Vec::new();
    for queue in QUEUES {
        let (ids, tokens): (Vec<i64>, Vec<&str>) =
            held.iter().filter(|one| one.queue == queue).map(|one| (one.id.0, one.token.0.as_str())).unzip();
        if ids.is_empty() {
            continue;
        }
        let query = format!(
            "SELECT d.id, d.lease_token FROM unnest($1, $2) AS h (id, token) \
             JOIN integration.{}_live AS d ON d.id = h.id AND d.lease_token = h.token AND d.status = 'processing' \
             UNION ALL SELECT h.id, h.token FROM unnest($1, $2) AS h (id, token) \
             JOIN integration.lanes AS l ON l.token = h.token AND h.id = ANY (l.ids)",
            queue.named()
        );
        let rows = ledger.read("check leases", &query, &[numbers(&ids), texts(&tokens)]).await?;
        for row in &rows {
            let (id, token): (i64, String) =
                (get(row, 0).map_err(|f| f.error)?, get(row, 1).map_err(|f| f.error)?);
            standing.push((queue, LeaseToken(token), vec![id]));
        }
    }
    Ok(without(held, &standing))
}

/// Whether the claim stands, in this transaction and to its end.
pub(super) async fn stands(tx: &mut Tx<'_>, held: &Held) -> Attempt<bool> {
    let query = format!(
        "SELECT FROM (SELECT FROM integration.{}_live WHERE id = $1 AND lease_token = $2 AND status = 'processing' \
         FOR NO KEY UPDATE) AS usual \
         UNION ALL SELECT FROM (SELECT FROM integration.lanes WHERE token = $2 AND $1 = ANY (ids) FOR UPDATE) AS lane",
        held.queue.named()
    );
    let rows = tx.rows("check a lease", &query, &[number(&held.id.0), text(&held.token.0)]).await?;
    Ok(!rows.is_empty())
}

/// The error for a claim that no longer stands, with what became of the delivery.
pub(super) async fn stale(tx: &mut Tx<'_>, held: &Held) -> Fault {
    let now = match super::query::get_in(tx, held.id).await {
        Ok(now) => now,
        Err(fault) => return fault,
    };
    let what = match now {
        Some(now) => match (now.status, now.leased_by) {
            (Status::Processing, Some(holder)) => format!("it is processing, held by {holder}"),
            (Status::Completed, Some(holder)) => format!("it is completed, by {holder}"),
            (status, _) => format!("it is {status}"),
        },
        None => "it is not in this ledger".to_owned(),
    };
    Error::new(ErrorKind::Stale, format!("the lease on delivery {} is no longer ours: {what}", held.id))
        .hint("the work was done again elsewhere, or it was cancelled; nothing was changed")
        .into()
}

/// Gives work back untouched.
pub(super) async fn release(tx: &mut Tx<'_>, held: &[Held], why: Option<&str>) -> Attempt<usize> {
    let mut released = 0;
    let now = tx.ledger().now();
    for (queue, token, ids) in by_token(held) {
        let call = format!("SELECT integration._release_{}($1, $2, $3, false, $4)", queue.named());
        let row =
            tx.row("give work back", &call, &[text(&token.0), numbers(&ids), time(&now), text(&why)]).await?;
        released += get::<Vec<i64>>(&row, 0)?.len();
    }
    if released > 0 {
        tx.frees_work();
    }
    Ok(released)
}

pub(super) async fn holders(ledger: &PostgresLedger) -> Result<Vec<HolderId>> {
    let query = "SELECT leased_by FROM integration.deliveries_live WHERE status = 'processing' AND leased_by IS NOT NULL \
                 UNION SELECT leased_by FROM integration.data_staging_live \
                 WHERE coalesce(lease_token, status) = 'processing' AND leased_by IS NOT NULL \
                 UNION SELECT holder FROM integration.claims AS c \
                 WHERE EXISTS (SELECT FROM integration._claimed WHERE lease_token = c.token) \
                 UNION SELECT holder FROM integration.lanes ORDER BY 1";
    let rows = ledger.read("list the holders", query, &[]).await?;
    rows.iter().map(|row| get(row, 0).map(HolderId).map_err(|fault| fault.error)).collect()
}

/// Whether a rescue would find anything: asked before, so that an idle process begins no transaction.
pub(super) async fn any_lost(ledger: &PostgresLedger, lost: &[HolderId]) -> Result<bool> {
    let (now, lost) = (ledger.now(), names(lost));
    let one = |leased: &str| {
        format!(
            "EXISTS (SELECT FROM integration.{leased} AND lease_until <= coalesce($1, clock_timestamp())) \
             OR EXISTS (SELECT FROM integration.{leased} AND leased_by = ANY ($2))"
        )
    };
    let query = format!(
        "SELECT {} OR {} OR EXISTS (SELECT FROM integration.claims WHERE lease_until <= coalesce($1, clock_timestamp()) \
         OR holder = ANY ($2)) OR EXISTS (SELECT FROM integration.uncounted_ends) OR {}",
        one(LEASED[0]),
        one(LEASED[1]),
        lanes::ANY_LOST
    );
    let rows = ledger.read("look for lost work", &query, &[time(&now), texts(&lost)]).await?;
    rows.first().map_or(Ok(false), |row| get(row, 0).map_err(|fault| fault.error))
}

fn names(holders: &[HolderId]) -> Vec<&str> {
    holders.iter().map(|holder| holder.0.as_str()).collect()
}

pub(super) async fn rescue(tx: &mut Tx<'_>, actor: &str, lost: &[HolderId]) -> Attempt<Vec<Rescued>> {
    let mut rescued = Vec::new();
    let (now, lost, rescues) = (tx.ledger().now(), names(lost), i64::from(RESCUES_MAX));
    for queue in QUEUES {
        let call = format!(
            "SELECT id, app, holder, status FROM integration._rescue_{}($1, $2, $3, $4, $5, false)",
            queue.named()
        );
        let values = [text(&actor), texts(&lost), number(&rescues), time(&now), number(&RESCUED_MAX)];
        loop {
            let rows = tx.rows("rescue lost work", &call, &values).await?;
            for row in &rows {
                rescued.push(Rescued {
                    id: id(row, 0)?,
                    app: get(row, 1)?,
                    holder: get::<Option<String>>(row, 2)?.map(HolderId),
                    status: super::row::parsed(row, 3)?,
                });
            }
            if i64::try_from(rows.len()).is_ok_and(|n| n < RESCUED_MAX) {
                break;
            }
        }
    }
    if !rescued.is_empty() {
        tx.frees_work();
    }
    Ok(rescued)
}

/// What stands under a token, oldest first.
pub(super) async fn held_by(ledger: &PostgresLedger, token: &LeaseToken) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    for queue in QUEUES {
        let query = format!("SELECT id FROM integration._held_{}($1) ORDER BY id", queue.named());
        for row in &ledger.read("list what a token holds", &query, &[text(&token.0)]).await? {
            let id: i64 = get(row, 0).map_err(|fault| fault.error)?;
            held.push(Held { queue, id: DeliveryId(id), token: token.clone() });
        }
    }
    Ok(held)
}

/// An error's text within bounds.
pub(super) fn cannot_be_read(why: &str) -> String {
    bounded(&format!("its data cannot be read: {why}"))
}
