//! Searching with bounded work: each part of [`crate::search`] newest first and no further than its floor. It writes nothing.

use super::PostgresLedger;
use super::query::{ARCHIVE, Owned, PARTS, PROCESSING, conditions, each, number_of, values_of};
use super::row::{COLUMNS, delivery, get};
use super::tx::number;
use crate::api::{Filter, Searched};
use crate::search::{Part, Table, joined, parts};
use handover_core::{Delivery, DeliveryId, Result, Status};

pub(super) async fn search(ledger: &PostgresLedger, filter: &Filter, look: usize) -> Result<Searched> {
    let look = i64::try_from(look).unwrap_or(i64::MAX);
    let (mut found, mut floors) = (Vec::new(), Vec::new());
    for part in parts(filter) {
        for table in tables(&part) {
            let few = part.is_few() && is_no_more(ledger, table, &part.filter, look).await?;
            let floor = if few || part.is_all() { None } else { floor(ledger, table, &part, look).await? };
            found.extend(rows(ledger, table, &part.filter, few, floor).await?);
            floors.extend(floor);
        }
    }
    Ok(joined(found, &floors, filter.limit))
}

/// Where the rows of a part stand, with what belongs to the condition.
fn tables(part: &Part) -> &'static [(&'static str, &'static str)] {
    match part.table {
        Table::Deliveries => &PARTS[..1],
        Table::Records if part.filter.status == Some(Status::Processing) => &[PROCESSING, PARTS[2]],
        Table::Records => &PARTS[1..],
        Table::Archive => std::slice::from_ref(&ARCHIVE),
    }
}

/// Whether all that has the part's status is no more than may be looked at.
async fn is_no_more(
    ledger: &PostgresLedger,
    (table, seen): &(&str, &str),
    filter: &Filter,
    look: i64,
) -> Result<bool> {
    let Some(status) = filter.status else { return Ok(false) };
    let query = format!(
        "SELECT count(*) FROM (SELECT FROM integration.{table} WHERE status = '{status}' AND {seen} LIMIT $1) AS part"
    );
    let most = look.saturating_add(1);
    let counted = ledger.read("count what a search reads", &query, &[number(&most)]).await?;
    Ok(each(&counted, |row| get::<i64>(row, 0))?.first().is_some_and(|count| *count <= look))
}

/// The conditions whose index gives the newest first: those alone say how far is looked.
fn by_index(part: &Part) -> Filter {
    let filter = &part.filter;
    let narrow = filter.path.is_some() || filter.replay_of.is_some() || filter.parent.is_some();
    let aside = part.set_aside().filter(|_| !narrow);
    // Of what was archived there is no index by app, nor is there of all records.
    let by_app = match aside {
        Some(status) => status == Status::Failed,
        None => !narrow && part.table != Table::Records,
    };
    Filter {
        status: aside,
        app: filter.app.clone().filter(|_| by_app),
        kind: filter.kind.filter(|_| aside.is_none()),
        by: filter.by.clone().filter(|_| aside.is_none()),
        parent: filter.parent,
        replay_of: filter.replay_of,
        path: filter.path.clone(),
        before: filter.before,
        ..Filter::default()
    }
}

async fn floor(
    ledger: &PostgresLedger,
    (table, seen): &(&str, &str),
    part: &Part,
    look: i64,
) -> Result<Option<DeliveryId>> {
    let by_index = by_index(part);
    let (conditions, mut values) = conditions(&by_index);
    values.push(Owned::number(look.saturating_sub(1).max(0)));
    let (at, number) = (values.len(), number_of(&by_index));
    let query = format!(
        "SELECT id FROM integration.{table} WHERE {seen}{conditions} ORDER BY {number} DESC OFFSET ${at} LIMIT 1"
    );
    let found = ledger.read("see how far a search may look", &query, &values_of(&values)).await?;
    Ok(each(&found, |row| get::<i64>(row, 0))?.pop().map(DeliveryId))
}

async fn rows(
    ledger: &PostgresLedger,
    (table, seen): &(&str, &str),
    filter: &Filter,
    few: bool,
    floor: Option<DeliveryId>,
) -> Result<Vec<Delivery>> {
    let after = floor.map(|floor| DeliveryId(floor.0.saturating_sub(1))).max(filter.after);
    let (conditions, mut values) = conditions(&Filter { after, ..filter.clone() });
    values.push(Owned::number(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    // Few are sorted: by the primary key all others would be read that are newer.
    let order = if few { "id + 0" } else { number_of(filter) };
    let limit = values.len();
    let query = format!(
        "SELECT {COLUMNS} FROM integration.{table} WHERE {seen}{conditions} ORDER BY {order} DESC LIMIT ${limit}"
    );
    each(&ledger.read("search deliveries", &query, &values_of(&values)).await?, delivery)
}
