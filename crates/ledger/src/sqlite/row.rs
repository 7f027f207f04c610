//! A row as a delivery, and the texts in which SQLite keeps times and tables.

use crate::api::Queue;
use handover_core::{Delivery, DeliveryId, HolderId, LeaseToken};
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

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
}

/// Reads a delivery from the columns of [`COLUMNS`].
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId(row.get(0)?),
        kind: parsed(row, 1)?,
        source_app: row.get(2)?,
        target_app: row.get(3)?,
        data: json(row, 4)?.unwrap_or_default(),
        status: parsed(row, 5)?,
        created_at: time(row, 6)?,
        processed_at: time_or_none(row, 7)?,
        updated_at: time(row, 8)?,
        created_by: row.get(9)?,
        deleted_at: time_or_none(row, 10)?,
        flow: row.get(11)?,
        priority: row.get(12)?,
        run_at: time(row, 13)?,
        attempts: row.get(14)?,
        max_attempts: row.get(15)?,
        lease_token: row.get::<_, Option<String>>(16)?.map(LeaseToken),
        leased_by: row.get::<_, Option<String>>(17)?.map(HolderId),
        lease_until: time_or_none(row, 18)?,
        dedup_key: row.get(19)?,
        order_key: row.get(20)?,
        parent_id: row.get::<_, Option<i64>>(21)?.map(DeliveryId),
        replay_of: row.get::<_, Option<i64>>(22)?.map(DeliveryId),
        last_error: row.get(23)?,
        trace: row.get(24)?,
        rescues: row.get(25)?,
        snoozes: row.get(26)?,
        result: json(row, 27)?,
    })
}

fn broken(column: usize, why: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.to_string().into())
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
    row.get_ref(column)?.as_str()?.parse().map_err(|e| broken(column, e))
}

/// A time column that may be empty.
pub(super) fn time_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => text.parse().map(Some).map_err(|e| broken(column, e)),
        None => Ok(None),
    }
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<serde_json::Value>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => serde_json::from_str(text).map(Some).map_err(|e| broken(column, e)),
        None => Ok(None),
    }
}
