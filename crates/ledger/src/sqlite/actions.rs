//! What people did.

use super::SqliteLedger;
use super::alerts::execute;
use super::error::sql;
use super::moves::RUN_MAX;
use super::row::{parsed, time};
use super::writer::{Step, Write};
use crate::actions::{Actions, Deed, DeedFilter, Deeds, NewAction, PEOPLE, Place, called, page};
use async_trait::async_trait;
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, Result};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

#[async_trait]
impl Actions for SqliteLedger {
    async fn note_action(&self, action: NewAction) -> Result<()> {
        self.writer.run(Step::Quiet, move |w| add(w, &action)).await
    }

    async fn deeds(&self, filter: DeedFilter) -> Result<Deeds> {
        self.readers.run(move |c| deeds(c, &filter)).await
    }

    async fn forget_actions(&self, before: Timestamp) -> Result<u64> {
        let text = "DELETE FROM actions WHERE at < ?1";
        let forget = move |w: &Write<'_>| execute(w, "forget actions", text, params![rfc3339(before)]);
        self.writer.run(Step::Quiet, forget).await.map(|gone| gone as u64)
    }
}

fn add(write: &Write<'_>, action: &NewAction) -> Result<()> {
    let text = "INSERT INTO actions (at, actor, via, did, thing, app, delivery_id, last_id, note) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        write.now,
        action.actor,
        action.via,
        action.did,
        action.thing,
        action.app,
        action.delivery.map(|id| id.0),
        action.last.map(|id| id.0),
        action.note
    ];
    execute(write, "note what somebody did", text, values).map(|_| ())
}

/// A query's conditions and their values.
struct Where {
    text: String,
    values: Vec<Value>,
}

impl Where {
    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let place = format!("?{}", self.values.len());
        self.text = format!("{} AND {}", self.text, condition.replace("{}", &place));
    }

    /// What both tables have in common. `first` and `last` are the columns of a deed's deliveries.
    fn common(&mut self, filter: &DeedFilter) {
        if let Some(until) = filter.until {
            self.and("d.at < {}", rfc3339(until));
        }
        if let Some(who) = &filter.who {
            self.and("(d.actor = {} OR substr(d.actor, instr(d.actor, ':') + 1) = {})", who.clone());
        }
    }
}

/// The app of a delivery.
const APP: &str = "coalesce((SELECT target_app FROM deliveries WHERE id = d.delivery_id), \
     (SELECT target_app FROM data_staging WHERE id = d.delivery_id), \
     (SELECT target_app FROM data_archive WHERE id = d.delivery_id))";

/// The query of the audit log's part, and its values.
pub(super) fn of_entries(filter: &DeedFilter, place: Place) -> (String, Vec<Value>) {
    let people = if filter.workers || filter.delivery.is_some() {
        String::new()
    } else {
        format!("AND d.from_status IS NOT NULL AND substr(d.actor, 1, 4) IN {PEOPLE}")
    };
    let mut all = Where { text: people, values: Vec::new() };
    all.and("d.id < {}", place.entry);
    all.common(filter);
    if let Some(id) = filter.delivery {
        all.and("d.delivery_id <= {}", id.0);
        all.and("d.delivery_id > {}", id.0.saturating_sub(RUN_MAX));
        all.and("coalesce(d.last_id, d.delivery_id) >= {}", id.0);
    }
    if filter.delivery.is_some() && !filter.workers {
        all.text = format!("{} AND substr(d.actor, 1, 4) IN {PEOPLE}", all.text);
    }
    if let Some(app) = &filter.app {
        all.and(&format!("{APP} = {{}}"), app.clone());
    }
    all.and("true ORDER BY d.id DESC LIMIT {}", limit(filter));
    let text = format!(
        "SELECT d.id, d.at, d.actor, {APP}, d.delivery_id, d.last_id, d.from_status, d.to_status, d.note \
         FROM audit_log AS d WHERE true {}",
        all.text
    );
    (text, all.values)
}

fn of_actions(filter: &DeedFilter, place: Place) -> (String, Vec<Value>) {
    let mut all = Where { text: String::new(), values: Vec::new() };
    all.and("d.id < {}", place.action);
    all.common(filter);
    if let Some(id) = filter.delivery {
        all.and("d.delivery_id <= {} AND coalesce(d.last_id, d.delivery_id) >= {}", id.0);
    }
    if let Some(app) = &filter.app {
        all.and(&format!("coalesce(d.app, {APP}) = {{}}"), app.clone());
    }
    all.and("true ORDER BY d.id DESC LIMIT {}", limit(filter));
    let text = format!(
        "SELECT d.id, d.at, d.actor, d.via, d.did, d.thing, coalesce(d.app, {APP}), d.delivery_id, d.last_id, d.note \
         FROM actions AS d WHERE true {}",
        all.text
    );
    (text, all.values)
}

fn limit(filter: &DeedFilter) -> i64 {
    i64::try_from(filter.limit).unwrap_or(i64::MAX)
}

fn deeds(connection: &Connection, filter: &DeedFilter) -> Result<Deeds> {
    let place = Place::of(filter);
    let read = |(text, values): (String, Vec<Value>), deed: fn(&Row<'_>) -> rusqlite::Result<Deed>| {
        connection
            .prepare_cached(&text)
            .and_then(|mut statement| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, deed(row)?));
                statement.query_map(params_from_iter(values), row)?.collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(sql("read what people did"))
    };
    let entries = read(of_entries(filter, place), entry)?;
    Ok(page(filter, place, entries, read(of_actions(filter, place), action)?))
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DeliveryId>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(DeliveryId))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Deed> {
    let from = if row.get_ref(6)?.as_str_or_null()?.is_some() { Some(parsed(row, 6)?) } else { None };
    let to = parsed(row, 7)?;
    Ok(Deed {
        at: time(row, 1)?,
        actor: row.get(2)?,
        via: None,
        did: called(from, to).to_owned(),
        thing: None,
        app: row.get(3)?,
        delivery_id: number(row, 4)?,
        last_id: number(row, 5)?,
        from,
        to: Some(to),
        note: row.get(8)?,
    })
}

fn action(row: &Row<'_>) -> rusqlite::Result<Deed> {
    Ok(Deed {
        at: time(row, 1)?,
        actor: row.get(2)?,
        via: row.get(3)?,
        did: row.get(4)?,
        thing: row.get(5)?,
        app: row.get(6)?,
        delivery_id: number(row, 7)?,
        last_id: number(row, 8)?,
        from: None,
        to: None,
        note: row.get(9)?,
    })
}
