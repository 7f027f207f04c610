//! What people did.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, id_or_none, parsed, time as time_of};
use super::tx::{Tx, Value, in_transaction, number, text, time};
use crate::actions::{Actions, Deed, DeedFilter, Deeds, NewAction, PEOPLE, Place, called, page};
use async_trait::async_trait;
use handover_core::Result;
use jiff::Timestamp;
use tokio_postgres::Row;

#[async_trait]
impl Actions for PostgresLedger {
    async fn note_action(&self, action: NewAction) -> Result<()> {
        in_transaction!(self, |tx| add(tx, &action))
    }

    async fn deeds(&self, filter: DeedFilter) -> Result<Deeds> {
        let place = Place::of(&filter);
        let id = filter.delivery.map(|id| id.0);
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let values = |before| -> [Value<'_>; 6] {
            let (until, who, app) = (time(&filter.until), text(&filter.who), text(&filter.app));
            [number(before), until, who, number(&id), app, number(&limit)]
        };
        let doing = "read what people did";
        let entries = self.read(doing, &of_entries(&filter), &values(&place.entry)).await?;
        let actions = self.read(doing, &of_actions(), &values(&place.action)).await?;
        Ok(page(&filter, place, each(&entries, entry)?, each(&actions, action)?))
    }

    async fn forget_actions(&self, before: Timestamp) -> Result<u64> {
        in_transaction!(self, |tx| forget(tx, before))
    }
}

async fn add(tx: &mut Tx<'_>, action: &NewAction) -> Attempt<()> {
    let (delivery, last) = (action.delivery.map(|id| id.0), action.last.map(|id| id.0));
    let now = tx.ledger().now();
    let insert = "INSERT INTO integration.actions (at, actor, via, did, thing, app, delivery_id, last_id, note) \
                  VALUES (coalesce($1, clock_timestamp()), $2, $3, $4, $5, $6, $7, $8, $9)";
    let values = [
        time(&now),
        text(&action.actor),
        text(&action.via),
        text(&action.did),
        text(&action.thing),
        text(&action.app),
        number(&delivery),
        number(&last),
        text(&action.note),
    ];
    tx.rows("note what somebody did", insert, &values).await.map(|_| ())
}

/// The app of the delivery with this number.
fn app_of(id: &str) -> String {
    let one = |table: &str| format!("(SELECT target_app FROM integration.{table} WHERE id = {id} LIMIT 1)");
    format!("coalesce({}, {}, {})", one("deliveries_live"), one("data_staging_live"), one("data_archive"))
}

/// What both parts ask alike; `$4` is a delivery, `$5` an app.
const COMMON: &str = "d.id < $1 AND ($2 IS NULL OR d.at < $2) \
     AND ($3 IS NULL OR d.actor = $3 OR substr(d.actor, strpos(d.actor, ':') + 1) = $3)";

fn of_entries(filter: &DeedFilter) -> String {
    let people = format!("AND left(d.actor, 4) IN {PEOPLE}");
    let whose = match (filter.workers, filter.delivery) {
        (true, _) => String::new(),
        (false, Some(_)) => people,
        (false, None) => format!("AND d.from_status IS NOT NULL {people}"),
    };
    // By the index of spans, however long the log.
    let which = match filter.delivery {
        Some(_) => "AND d.span @> $4 AND (d.ids IS NULL OR $4 = ANY (d.ids))",
        None => "AND $4 IS NULL",
    };
    let app = app_of("lower(d.span)");
    format!(
        "SELECT d.id, d.at, d.actor, {app}, lower(d.span), nullif(upper(d.span) - 1, lower(d.span)), d.from_status, \
         d.to_status, d.note FROM integration.audit_log AS d WHERE {COMMON} {whose} {which} \
         AND ($5 IS NULL OR {app} = $5) ORDER BY d.id DESC LIMIT $6"
    )
}

fn of_actions() -> String {
    let app = format!("coalesce(d.app, {})", app_of("d.delivery_id"));
    format!(
        "SELECT d.id, d.at, d.actor, d.via, d.did, d.thing, {app}, d.delivery_id, d.last_id, d.note \
         FROM integration.actions AS d WHERE {COMMON} \
         AND ($4 IS NULL OR d.delivery_id <= $4 AND coalesce(d.last_id, d.delivery_id) >= $4) \
         AND ($5 IS NULL OR {app} = $5) ORDER BY d.id DESC LIMIT $6"
    )
}

fn entry(row: &Row) -> Attempt<(i64, Deed)> {
    let from = get::<Option<&str>>(row, 6)?.map(str::parse).transpose()?;
    let to = parsed(row, 7)?;
    let deed = Deed {
        at: time_of(row, 1)?,
        actor: get(row, 2)?,
        via: None,
        did: called(from, to).to_owned(),
        thing: None,
        app: get(row, 3)?,
        delivery_id: id_or_none(row, 4)?,
        last_id: id_or_none(row, 5)?,
        from,
        to: Some(to),
        note: get(row, 8)?,
    };
    Ok((get(row, 0)?, deed))
}

fn action(row: &Row) -> Attempt<(i64, Deed)> {
    let deed = Deed {
        at: time_of(row, 1)?,
        actor: get(row, 2)?,
        via: get(row, 3)?,
        did: get(row, 4)?,
        thing: get(row, 5)?,
        app: get(row, 6)?,
        delivery_id: id_or_none(row, 7)?,
        last_id: id_or_none(row, 8)?,
        from: None,
        to: None,
        note: get(row, 9)?,
    };
    Ok((get(row, 0)?, deed))
}

async fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Attempt<u64> {
    let delete =
        "WITH gone AS (DELETE FROM integration.actions WHERE at < $1 RETURNING 1) SELECT count(*) FROM gone";
    let row = tx.row("forget actions", delete, &[time(&before)]).await?;
    Ok(u64::try_from(get::<i64>(&row, 0)?).unwrap_or(0))
}
