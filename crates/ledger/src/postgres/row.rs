//! A row as a delivery.
//!
//! Other programs write rows too. Whatever they write can be read: JSON that PostgreSQL takes and we cannot parse (nested
//! too deeply, a number out of range) is shown as text and never handed to an app, and times beyond all bounds are shown
//! as the first or the last that there is.

use super::error::{Attempt, sql};
use crate::api::Queue;
use handover_core::limits::ERROR_TEXT_MAX_BYTES;
use handover_core::{Delivery, DeliveryId, Error, HolderId, Json, LeaseToken};
use jiff::Timestamp;
use serde_json::Value;
use std::error::Error as StdError;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// The columns of a delivery, in the order that [`delivery`] reads.
pub(super) const COLUMNS: &str = "id, kind, source_app, target_app, data::text, status, created_at, processed_at, updated_at, \
     created_by, deleted_at, flow, priority, run_at, attempts, max_attempts, lease_token, leased_by, lease_until, dedup_key, \
     order_key, parent_id, replay_of, last_error, trace, rescues, snoozes, result::text";

/// Of the records that are pending in their table, those that are in flight by lanes stand elsewhere: in `_in_flight`.
pub(super) const NOT_IN_FLIGHT: &str = "id NOT IN (SELECT unnest(ids) FROM integration.lanes)";

impl Queue {
    /// The table's name within the schema; Handover's own functions end in it.
    pub(super) fn named(self) -> &'static str {
        match self {
            Queue::Deliveries => "deliveries",
            Queue::Records => "data_staging",
        }
    }

    /// Where what a worker has claimed is found by its token.
    pub(super) fn claimed(self) -> &'static str {
        match self {
            Queue::Deliveries => "deliveries_live",
            Queue::Records => "_claimed",
        }
    }

    /// What keeps its table from showing as pending what is in flight by lanes.
    pub(super) fn not_in_flight(self) -> &'static str {
        match self {
            Queue::Deliveries => "true",
            Queue::Records => NOT_IN_FLIGHT,
        }
    }
}

/// A time of the server, kept within ours. Seconds before and after 2000 beyond all bounds are its infinities.
pub(super) struct Time(pub(super) Timestamp);

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        /// Between our beginning of time and the server's.
        const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
        let raw: [u8; 8] = raw.try_into().map_err(|_| "a time of another length")?;
        let microseconds = i64::from_be_bytes(raw).saturating_add(EPOCH_MICROSECONDS);
        let nearest = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Ok(Self(Timestamp::from_microsecond(microseconds).unwrap_or(nearest)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

const READ: &str = "read a row";

/// A column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Attempt<T> {
    row.try_get(column).map_err(sql(READ))
}

/// A time column.
pub(super) fn time(row: &Row, column: usize) -> Attempt<Timestamp> {
    get::<Time>(row, column).map(|time| time.0)
}

/// A time column that may be empty.
pub(super) fn time_or_none(row: &Row, column: usize) -> Attempt<Option<Timestamp>> {
    get::<Option<Time>>(row, column).map(|time| time.map(|time| time.0))
}

/// A text column parsed as one of our types.
pub(super) fn parsed<T: std::str::FromStr<Err = Error>>(row: &Row, column: usize) -> Attempt<T> {
    Ok(get::<&str>(row, column)?.parse()?)
}

/// A delivery's number that may be missing.
pub(super) fn id_or_none(row: &Row, column: usize) -> Attempt<Option<DeliveryId>> {
    Ok(get::<Option<i64>>(row, column)?.map(DeliveryId))
}

/// A delivery's number.
pub(super) fn id(row: &Row, column: usize) -> Attempt<DeliveryId> {
    get(row, column).map(DeliveryId)
}

/// A count that the table keeps within 32 bits.
pub(super) fn count(row: &Row, column: usize) -> Attempt<u32> {
    get::<i64>(row, column).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// JSON; as a text, and with the reason, where it cannot be parsed.
pub(super) fn json_of(text: &str) -> (Json, Option<String>) {
    match Json::parse(text) {
        Ok(json) => (json, None),
        Err(error) => (Value::String(text.to_owned()).into(), Some(error.to_string())),
    }
}

/// A JSON column.
fn json(row: &Row, column: usize) -> Attempt<Option<Json>> {
    Ok(get::<Option<&str>>(row, column)?.map(|text| json_of(text).0))
}

/// Reads a delivery from the columns of [`COLUMNS`].
pub(super) fn delivery(row: &Row) -> Attempt<Delivery> {
    Ok(Delivery {
        id: id(row, 0)?,
        kind: parsed(row, 1)?,
        source_app: get(row, 2)?,
        target_app: get(row, 3)?,
        data: json(row, 4)?.unwrap_or_default(),
        status: parsed(row, 5)?,
        created_at: time(row, 6)?,
        processed_at: time_or_none(row, 7)?,
        updated_at: time(row, 8)?,
        created_by: get(row, 9)?,
        deleted_at: time_or_none(row, 10)?,
        flow: get(row, 11)?,
        priority: get(row, 12)?,
        run_at: time(row, 13)?,
        attempts: count(row, 14)?,
        max_attempts: count(row, 15)?,
        lease_token: get::<Option<String>>(row, 16)?.map(LeaseToken),
        leased_by: get::<Option<String>>(row, 17)?.map(HolderId),
        lease_until: time_or_none(row, 18)?,
        dedup_key: get(row, 19)?,
        order_key: get(row, 20)?,
        parent_id: get::<Option<i64>>(row, 21)?.map(DeliveryId),
        replay_of: get::<Option<i64>>(row, 22)?.map(DeliveryId),
        last_error: get(row, 23)?,
        trace: get(row, 24)?,
        rescues: count(row, 25)?,
        snoozes: count(row, 26)?,
        result: json(row, 27)?.map(Value::from),
    })
}

/// A text for people, cut to what the ledger keeps, without the one character that PostgreSQL does not.
pub(super) fn bounded(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    if text.len() <= ERROR_TEXT_MAX_BYTES {
        return text;
    }
    let mut end = ERROR_TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// A result as it is kept: no NUL in it, or PostgreSQL could not look into it.
pub(super) fn kept(result: &Value) -> String {
    let text = result.to_string();
    if !text.contains("\\u0000") {
        return text;
    }
    without_nul(result).to_string()
}

fn without_nul(value: &Value) -> Value {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(all) => Value::Array(all.iter().map(without_nul).collect()),
        Value::Object(all) => {
            Value::Object(all.iter().map(|(key, value)| (clean(key), without_nul(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_has_no_nul() {
        let result = json!({"stderr": "a\0b", "n": ["\\u0000", 1]});
        assert_eq!(kept(&result), json!({"stderr": "a\u{fffd}b", "n": ["\\u0000", 1]}).to_string());
        assert_eq!(bounded("a\0"), "a\u{fffd}");
        let long = bounded(&"ä".repeat(ERROR_TEXT_MAX_BYTES));
        assert!(long.len() <= ERROR_TEXT_MAX_BYTES + '…'.len_utf8() && long.ends_with('…'));
    }
}
