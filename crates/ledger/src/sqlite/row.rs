//! A row as a delivery, and the texts in which SQLite keeps times and tables.
//!
//! Other programs write rows too. Whatever they write can be read: the tables refuse what is no time, number or
//! JSON, text that is not UTF-8 is shown with replacement characters, and JSON that SQLite takes and we cannot parse
//! (nested too deeply, a number out of range) is shown as text and never handed to an app.

use crate::api::Queue;
use handover_core::{Delivery, DeliveryId, HolderId, Json, LeaseToken};
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};
use serde_json::Value;

/// The columns of a delivery, in the order that [`delivery`] reads.
pub(super) const COLUMNS: &str = "id, kind, source_app, target_app, data, status, created_at, processed_at, updated_at, \
     created_by, deleted_at, flow, priority, run_at, attempts, max_attempts, lease_token, leased_by, lease_until, dedup_key, \
     order_key, parent_id, replay_of, last_error, trace, rescues, snoozes, result";

impl Queue {
    /// The table's name.
    pub(super) fn table(self) -> &'static str {
        match self {
            Queue::Deliveries => "deliveries",
            Queue::Records => "data_staging",
        }
    }

    /// What the names of its indexes begin with.
    pub(super) fn index(self) -> &'static str {
        match self {
            Queue::Deliveries => "idx_deliveries_",
            Queue::Records => "idx_",
        }
    }
}

/// Reads a delivery from the columns of [`COLUMNS`].
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    checked(row).map(|(delivery, _)| delivery)
}

/// The same, and why its data cannot be handed to an app, where that is so.
pub(super) fn checked(row: &Row<'_>) -> rusqlite::Result<(Delivery, Option<String>)> {
    let (data, unreadable) = json(row, 4)?;
    let delivery = Delivery {
        id: DeliveryId(row.get(0)?),
        kind: parsed(row, 1)?,
        source_app: text(row, 2)?.unwrap_or_default(),
        target_app: text(row, 3)?,
        data: data.unwrap_or_default(),
        status: parsed(row, 5)?,
        created_at: time(row, 6)?,
        processed_at: time_or_none(row, 7)?,
        updated_at: time(row, 8)?,
        created_by: text(row, 9)?,
        deleted_at: time_or_none(row, 10)?,
        flow: text(row, 11)?,
        priority: row.get(12)?,
        run_at: time(row, 13)?,
        attempts: row.get(14)?,
        max_attempts: row.get(15)?,
        lease_token: text(row, 16)?.map(LeaseToken),
        leased_by: text(row, 17)?.map(HolderId),
        lease_until: time_or_none(row, 18)?,
        dedup_key: text(row, 19)?,
        order_key: text(row, 20)?,
        parent_id: row.get::<_, Option<i64>>(21)?.map(DeliveryId),
        replay_of: row.get::<_, Option<i64>>(22)?.map(DeliveryId),
        last_error: text(row, 23)?,
        trace: text(row, 24)?,
        rescues: row.get(25)?,
        snoozes: row.get(26)?,
        result: json(row, 27)?.0.map(Value::from),
    };
    Ok((delivery, unreadable))
}

fn broken(column: usize, why: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.to_string().into())
}

/// A text column; what is not UTF-8 in it is replaced.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        }),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    })
}

/// A text column parsed as one of our types.
pub(super) fn parsed<T: std::str::FromStr<Err = handover_core::Error>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|e| broken(column, e))
}

/// A time column.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    parsed_time(row.get_ref(column)?.as_str()?, column)
}

/// A time as it is kept; one of SQLite's that is beyond ours as the nearest.
fn parsed_time(text: &str, column: usize) -> rusqlite::Result<Timestamp> {
    match text.parse() {
        Ok(time) => Ok(time),
        Err(_) if text.starts_with("9999-12-3") => Ok(Timestamp::MAX),
        Err(_) if text.starts_with('-') => Ok(Timestamp::MIN),
        Err(error) => Err(broken(column, error)),
    }
}

/// A time column that may be empty.
pub(super) fn time_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => parsed_time(text, column).map(Some),
        None => Ok(None),
    }
}

/// A number that is never below nothing.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|number| u64::try_from(number).unwrap_or(0)))
}

/// A JSON column; as text, and with the reason, where it cannot be parsed.
fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<(Option<Json>, Option<String>)> {
    // Most can be parsed where it lies.
    if let ValueRef::Text(bytes) = row.get_ref(column)?
        && let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(json) = Json::parse(text)
    {
        return Ok((Some(json), None));
    }
    let Some(text) = text(row, column)? else { return Ok((None, None)) };
    Ok(match Json::parse(text.as_str()) {
        Ok(json) => (Some(json), None),
        Err(error) => (Some(Value::String(text).into()), Some(error.to_string())),
    })
}
