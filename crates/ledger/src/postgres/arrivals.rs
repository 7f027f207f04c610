//! Arrivals: each state of each original is committed once, before it is taken; and whose a content is.
//!
//! Invariants: an arrival has one delivery at a time; one whose delivery ended without having read it is as if it had
//! never been seen. A content that was taken is its delivery's until that fails. Those who ask for the same at once wait
//! for each other: at a lock of the importer, or of the content, until the end of the transaction.

use super::PostgresLedger;
use super::claim::{stale, stands};
use super::error::{Attempt, Fault};
use super::finish::note_content;
use super::push::{Born, push};
use super::row::{bounded, get, id, time as time_of};
use super::tx::{Tx, Value, number, numbers, text, texts, time};
use crate::api::{Arrival, ArrivalKey, Arrived, Content, Held, NewArrival};
use handover_core::{Checksum, DeliveryId, Error, Result};
use std::collections::{BTreeSet, HashMap};
use tokio_postgres::Row;

/// Whether the delivery of a row of `arrivals` ended without having read the original ([`crate::api::NOT_TAKEN`]).
const GIVEN_UP: &str = "(\
    EXISTS (SELECT FROM integration.deliveries_live AS d WHERE d.id = arrivals.delivery_id \
            AND d.status IN ('completed', 'failed') AND d.result ->> 'not_taken' = 'true') \
    OR EXISTS (SELECT FROM integration.data_archive AS d WHERE d.id = arrivals.delivery_id \
               AND d.result ->> 'not_taken' = 'true'))";

/// Whether it brought the original in, or passed over it on purpose.
const IMPORTED: &str = "(\
    EXISTS (SELECT FROM integration.deliveries_live AS d WHERE d.id = arrivals.delivery_id AND d.status = 'completed' \
            AND d.result ->> 'not_taken' IS NULL) \
    OR EXISTS (SELECT FROM integration._archived AS d WHERE d.id = arrivals.delivery_id AND d.ended_as = 'completed' \
               AND d.result ->> 'not_taken' IS NULL))";

/// Waits for whoever holds this, and holds it to the end of the transaction.
async fn lock(tx: &mut Tx<'_>, what: &str) -> Attempt<()> {
    let call = "SELECT 1 FROM pg_advisory_xact_lock(hashtextextended($1, 0))";
    tx.rows("wait for another process", call, &[text(&what)]).await.map(|_| ())
}

/// The keys of arrivals as columns.
struct Keys<'a> {
    apps: Vec<&'a str>,
    paths: Vec<&'a str>,
    devices: Vec<i64>,
    inodes: Vec<i64>,
    sizes: Vec<i64>,
    mtimes: Vec<String>,
}

impl<'a> Keys<'a> {
    /// Numbers of 64 bits without a sign are kept as those with one that have the same bits.
    #[allow(clippy::cast_possible_wrap)]
    fn of(all: impl Iterator<Item = &'a ArrivalKey> + Clone) -> Self {
        Self {
            apps: all.clone().map(|key| key.app.as_str()).collect(),
            paths: all.clone().map(|key| key.path.as_str()).collect(),
            devices: all.clone().map(|key| key.device as i64).collect(),
            inodes: all.clone().map(|key| key.inode as i64).collect(),
            sizes: all.clone().map(|key| key.size as i64).collect(),
            mtimes: all.map(|key| key.mtime.to_string()).collect(),
        }
    }

    fn values(&self) -> [Value<'_>; 6] {
        [
            texts(&self.apps),
            texts(&self.paths),
            numbers(&self.devices),
            numbers(&self.inodes),
            numbers(&self.sizes),
            texts(&self.mtimes),
        ]
    }
}

pub(super) async fn arrive(tx: &mut Tx<'_>, actor: &str, arrivals: &[NewArrival]) -> Attempt<Vec<Arrived>> {
    let importers: BTreeSet<&str> = arrivals.iter().map(|arrival| arrival.key.app.as_str()).collect();
    for importer in importers {
        lock(tx, &format!("handover arrive {importer}")).await?;
    }
    let mut known = known(tx, arrivals).await?;
    // The first of each unknown state gets the delivery.
    let mut new: Vec<&NewArrival> = Vec::new();
    let mut is_new = vec![false; arrivals.len()];
    for (arrival, is_new) in arrivals.iter().zip(&mut is_new) {
        if !known.contains_key(&arrival.key) {
            known.insert(&arrival.key, DeliveryId(0));
            new.push(arrival);
            *is_new = true;
        }
    }
    let born: Vec<Born<'_>> =
        new.iter().map(|arrival| (&arrival.delivery, arrival.refused.as_deref().map(bounded))).collect();
    let pushed = push(tx, actor, &born).await?;
    for (arrival, pushed) in new.iter().zip(&pushed) {
        known.insert(&arrival.key, pushed.id());
    }
    note(tx, &new, &pushed.iter().map(|pushed| pushed.id().0).collect::<Vec<_>>()).await?;
    let came_to = |(arrival, is_new): (&NewArrival, bool)| {
        let id = known.get(&arrival.key).copied().unwrap_or(DeliveryId(0));
        if is_new { Arrived::New(id) } else { Arrived::Known(id) }
    };
    Ok(arrivals.iter().zip(is_new).map(came_to).collect())
}

/// Those that are known, but for those that nobody has read, which are forgotten.
async fn known<'a>(
    tx: &mut Tx<'_>,
    arrivals: &'a [NewArrival],
) -> Attempt<HashMap<&'a ArrivalKey, DeliveryId>> {
    let keys = Keys::of(arrivals.iter().map(|arrival| &arrival.key));
    let query = format!(
        "SELECT k.at, arrivals.delivery_id, {GIVEN_UP} FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY \
         AS k (app, path, device, inode, size, mtime, at) JOIN integration.arrivals USING (app, path, device, inode, size, mtime)"
    );
    let rows = tx.rows("look for arrivals", &query, &keys.values()).await?;
    let mut known = HashMap::new();
    let mut forgotten: Vec<i64> = Vec::new();
    for row in &rows {
        let at = usize::try_from(get::<i64>(row, 0)?).unwrap_or(0);
        let Some(arrival) = at.checked_sub(1).and_then(|at| arrivals.get(at)) else { continue };
        let delivery = id(row, 1)?;
        match get::<bool>(row, 2)? {
            true => forgotten.push(delivery.0),
            false => drop(known.insert(&arrival.key, delivery)),
        }
    }
    if !forgotten.is_empty() {
        let delete = "DELETE FROM integration.arrivals WHERE delivery_id = ANY ($1)";
        tx.rows("forget arrivals that nobody has read", delete, &[numbers(&forgotten)]).await?;
    }
    Ok(known)
}

async fn note(tx: &mut Tx<'_>, new: &[&NewArrival], ids: &[i64]) -> Attempt<()> {
    if new.is_empty() {
        return Ok(());
    }
    let keys = Keys::of(new.iter().map(|arrival| &arrival.key));
    let names: Vec<&str> = new.iter().map(|arrival| last_part(&arrival.key.path)).collect();
    let proofs: Vec<&str> = new.iter().map(|arrival| arrival.proof.as_str()).collect();
    let insert = "INSERT INTO integration.arrivals \
                  (app, path, device, inode, size, mtime, name, proof, delivery_id, arrived_at) \
                  SELECT k.app, k.path, k.device, k.inode, k.size, k.mtime, k.name, k.proof, k.delivery_id, \
                         coalesce($10, clock_timestamp()) \
                  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY \
                  AS k (app, path, device, inode, size, mtime, name, proof, delivery_id, at) ORDER BY k.at";
    let now = tx.ledger().now();
    let mut values = keys.values().to_vec();
    values.extend([texts(&names), texts(&proofs), numbers(&ids), time(&now)]);
    tx.rows("commit arrivals", insert, &values).await.map(|_| ())
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// See [`Keys::of`].
#[allow(clippy::cast_sign_loss)]
fn arrival(row: &Row) -> Attempt<Arrival> {
    let mtime = get::<&str>(row, 5)?.parse();
    Ok(Arrival {
        key: ArrivalKey {
            app: get(row, 0)?,
            path: get(row, 1)?,
            device: get::<i64>(row, 2)? as u64,
            inode: get::<i64>(row, 3)? as u64,
            size: get::<i64>(row, 4)? as u64,
            mtime: mtime.map_err(|e| Error::internal("an arrival's time cannot be read").because(e))?,
        },
        delivery_id: id(row, 6)?,
        proof: get(row, 7)?,
        checksum: get(row, 8)?,
        arrived_at: time_of(row, 9)?,
    })
}

fn query(rest: &str) -> String {
    format!(
        "SELECT app, path, device, inode, size, mtime, delivery_id, proof, \
         CASE WHEN checksum IS NOT NULL AND {IMPORTED} THEN checksum END, arrived_at FROM integration.arrivals {rest}"
    )
}

async fn select(ledger: &PostgresLedger, rest: &str, values: &[Value<'_>]) -> Result<Vec<Arrival>> {
    let rows = ledger.read("list arrivals", &query(rest), values).await?;
    rows.iter().map(arrival).collect::<Attempt<_>>().map_err(|fault: Fault| fault.error)
}

pub(super) async fn of_app(ledger: &PostgresLedger, app: &str, limit: usize) -> Result<Vec<Arrival>> {
    let rest = format!("WHERE app = $1 AND NOT {GIVEN_UP} ORDER BY id DESC LIMIT $2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    select(ledger, &rest, &[text(&app), number(&limit)]).await
}

pub(super) async fn of_paths(ledger: &PostgresLedger, app: &str, paths: &[String]) -> Result<Vec<Arrival>> {
    let rest = format!("WHERE path = ANY($2) AND app = $1 AND NOT {GIVEN_UP}");
    select(ledger, &rest, &[text(&app), texts(&paths)]).await
}

pub(super) async fn at(ledger: &PostgresLedger, path: &str) -> Result<Vec<Arrival>> {
    let exact = select(ledger, "WHERE path = $1 ORDER BY id DESC LIMIT 100", &[text(&path)]).await?;
    if !exact.is_empty() {
        return Ok(exact);
    }
    let rest = "WHERE name = $2 AND right(path, length($1) + 1) = '/' || $1 ORDER BY id DESC LIMIT 100";
    select(ledger, rest, &[text(&path), text(&last_part(path))]).await
}

fn of_content() -> String {
    format!("WHERE checksum = $1 AND app = $2 AND delivery_id <> $3 AND {IMPORTED} ORDER BY id LIMIT 100")
}

pub(super) async fn same_content(
    ledger: &PostgresLedger,
    app: &str,
    checksum: Checksum,
    except: DeliveryId,
) -> Result<Vec<Arrival>> {
    let checksum = checksum.to_string();
    select(ledger, &of_content(), &[text(&checksum), text(&app), number(&except.0)]).await
}

/// A content that another has is its own as soon as that one's delivery is completed; until then nobody can tell.
pub(super) async fn take_content(
    tx: &mut Tx<'_>,
    held: &Held,
    app: &str,
    checksum: Checksum,
) -> Attempt<Content> {
    let checksum = checksum.to_string();
    lock(tx, &format!("handover content {app} {checksum}")).await?;
    if !stands(tx, held).await? {
        return Err(stale(tx, held).await);
    }
    let values = [text(&checksum), text(&app), number(&held.id.0)];
    let rows = tx.rows("look for the same content", &query(&of_content()), &values).await?;
    let imported = rows.iter().map(arrival).collect::<Attempt<Vec<_>>>()?;
    if !imported.is_empty() {
        return Ok(Content::Imported(imported));
    }
    let query = "SELECT delivery_id FROM integration.arrivals WHERE checksum = $1 AND app = $2 AND delivery_id <> $3 \
                 AND EXISTS (SELECT FROM integration.deliveries_live AS d WHERE d.id = arrivals.delivery_id \
                             AND d.status IN ('pending', 'processing') AND d.deleted_at IS NULL) ORDER BY id LIMIT 1";
    let rows = tx.rows("look for the same content", query, &values).await?;
    if let Some(row) = rows.first() {
        return Ok(Content::Undecided(id(row, 0)?));
    }
    note_content(tx, held.id, &checksum).await?;
    Ok(Content::Ours)
}
