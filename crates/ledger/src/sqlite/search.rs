//! Searching with bounded work: each part of [`crate::search`] by the index that gives its rows newest first. It writes nothing.

use super::error::sql;
use super::query::conditions;
use super::row::{COLUMNS, delivery};
use crate::api::{Filter, Queue, Searched};
use crate::search::{Part, Table, joined, parts};
use handover_core::{Delivery, DeliveryId, Kind, Result, Status};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

pub(super) fn search(connection: &Connection, filter: &Filter, look: usize) -> Result<Searched> {
    let (mut found, mut floors) = (Vec::new(), Vec::new());
    for part in parts(filter) {
        let look = i64::try_from(look).unwrap_or(i64::MAX);
        let few = match few(&part) {
            Some(few) if is_no_more(connection, &few, look)? => Some(few),
            _ => None,
        };
        let way = few.map_or_else(|| newest_first(&part), |few| few.way);
        let floor =
            if way.ends || part.is_all() { None } else { floor(connection, &way, &part.filter, look)? };
        found.extend(rows(connection, &way, &part.filter, floor)?);
        floors.extend(floor);
    }
    Ok(joined(found, &floors, filter.limit))
}

/// How a part is read.
#[derive(Debug)]
pub(super) struct Way {
    /// The table, with its index named: SQLite, which has no statistics here, might take another.
    pub(super) from: String,
    /// What the index is searched by, with `?1` for its value.
    pub(super) by: Option<(&'static str, Value)>,
    /// Whether all of it is read, so that it has no floor.
    pub(super) ends: bool,
}

/// A part of which all may be read, and the query that counts it.
pub(super) struct Few {
    pub(super) way: Way,
    pub(super) count: String,
}

/// The way of what is usually few.
pub(super) fn few(part: &Part) -> Option<Few> {
    if !part.is_few()
        || part.filter.parent.is_some()
        || part.filter.replay_of.is_some()
        || part.filter.path.is_some()
    {
        return None;
    }
    let status = part.filter.status?;
    let queue = queue(part.table)?;
    let index = if status == Status::Processing { "leases" } else { "status_created" };
    let from = format!("{} INDEXED BY {}{index}", queue.table(), queue.index());
    let count = format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE status = '{status}' LIMIT ?1)");
    Some(Few { way: Way { from, by: None, ends: true }, count })
}

fn queue(table: Table) -> Option<Queue> {
    match table {
        Table::Deliveries => Some(Queue::Deliveries),
        Table::Records => Some(Queue::Records),
        Table::Archive => None,
    }
}

fn is_no_more(connection: &Connection, few: &Few, look: i64) -> Result<bool> {
    let count: i64 = connection
        .prepare_cached(&few.count)
        .and_then(|mut statement| statement.query_row([look.saturating_add(1)], |row| row.get(0)))
        .map_err(sql("count what a search reads"))?;
    Ok(count <= look)
}

/// The way that reads newest first: by the narrowest condition whose index gives that order, else by number.
pub(super) fn newest_first(part: &Part) -> Way {
    let filter = &part.filter;
    let (table, prefix) = match queue(part.table) {
        Some(queue) => (queue.table(), queue.index()),
        None => ("data_archive", "idx_archive_"),
    };
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let number = |id: Option<DeliveryId>| id.map(|id| Value::Integer(id.0));
    let jobs = filter.kind == Some(Kind::Job);
    let aside = |wanted| part.set_aside().filter(|status| *status == wanted);
    let (failed, archived) = (aside(Status::Failed), aside(Status::Archived));
    let status = |status: Option<Status>| status.map(|status| Value::Text(status.to_string()));
    let choices = [
        ("path", "kind = 'file' AND json_extract(data, '$.path') = ?1", text(&filter.path)),
        ("replay", "replay_of = ?1", number(filter.replay_of)),
        ("parent", "parent_id = ?1", number(filter.parent)),
        (
            "failed_app",
            "status = 'failed' AND target_app = ?1",
            text(&filter.app).filter(|_| failed.is_some()),
        ),
        ("failed", "status = 'failed' AND status = ?1", status(failed)),
        ("archived", "status = 'archived' AND status = ?1", status(archived)),
        ("by", "kind = 'job' AND created_by = ?1", text(&filter.by).filter(|_| jobs)),
        ("app", "target_app = ?1", text(&filter.app)),
        ("jobs", "kind = 'job' AND kind = ?1", jobs.then(|| Value::Text(Kind::Job.to_string()))),
    ];
    for (index, condition, value) in choices {
        if let Some(value) = value {
            let from = format!("{table} INDEXED BY {prefix}{index}");
            return Way { from, by: Some((condition, value)), ends: false };
        }
    }
    Way { from: format!("{table} NOT INDEXED"), by: None, ends: false }
}

/// The query of the lowest row that is looked at: the one after `look` newer ones.
pub(super) fn floor_query(way: &Way) -> String {
    let by = way.by.as_ref().map_or("?1 IS NULL", |(condition, _)| *condition);
    format!("SELECT id FROM {} WHERE {by} AND id < ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3", way.from)
}

fn floor(connection: &Connection, way: &Way, filter: &Filter, look: i64) -> Result<Option<DeliveryId>> {
    let value = way.by.as_ref().map_or(Value::Null, |(_, value)| value.clone());
    let below = filter.before.map_or(i64::MAX, |id| id.0);
    let found: Option<i64> = connection
        .prepare_cached(&floor_query(way))
        .and_then(|mut statement| {
            let values = rusqlite::params![value, below, look.saturating_sub(1).max(0)];
            statement.query_row(values, |row| row.get(0)).optional()
        })
        .map_err(sql("see how far a search may look"))?;
    Ok(found.map(DeliveryId))
}

/// The query of a part's rows, and its values.
pub(super) fn rows_query(way: &Way, filter: &Filter, floor: Option<DeliveryId>) -> (String, Vec<Value>) {
    let after = floor.map(|floor| DeliveryId(floor.0.saturating_sub(1))).max(filter.after);
    let (conditions, mut values) = conditions(&Filter { after, ..filter.clone() });
    values.push(Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    // What is read by its status is in no order by number, and is sorted.
    let order = if way.ends { "id + 0" } else { "id" };
    let limit = values.len();
    (format!("SELECT {COLUMNS} FROM {} {conditions} ORDER BY {order} DESC LIMIT ?{limit}", way.from), values)
}

fn rows(
    connection: &Connection,
    way: &Way,
    filter: &Filter,
    floor: Option<DeliveryId>,
) -> Result<Vec<Delivery>> {
    let (text, values) = rows_query(way, filter, floor);
    connection
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_map(params_from_iter(values), delivery)?.collect())
        .map_err(sql("search deliveries"))
}
