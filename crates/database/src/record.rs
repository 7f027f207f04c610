//! What a record becomes in the ledger; what one may be is `records`' to say.

use handover_core::{Json, Kind, NewDelivery};
use jiff::Timestamp;
use serde_json::Value;

/// A record from its JSON, with its text as it came.
///
/// # Errors
/// Why it is none, for people.
pub fn from_json(raw: &[u8]) -> Result<Json, String> {
    let value = handover_records::json::record(raw)?;
    Ok(match std::str::from_utf8(raw) {
        Ok(text) => Json::read_from(text, value),
        Err(_) => value.into(),
    })
}

/// How records are handed over.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Who hands them over.
    pub from: String,
    /// The app that they go to.
    pub to: String,
    /// The flow that they belong to.
    pub flow: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// After so many attempts one has failed.
    pub max_attempts: u32,
    /// The field whose value is the dedup key; `a.b` is `b` in `a`.
    pub dedup: Option<String>,
    /// The field whose value is the order key.
    pub order: Option<String>,
}

impl Shape {
    /// Records that go from one app to another, and nothing more.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            flow: None,
            priority: 0,
            run_at: None,
            max_attempts: handover_core::limits::RETRIES_DEFAULT + 1,
            dedup: None,
            order: None,
        }
    }

    /// The delivery of this record.
    ///
    /// # Errors
    /// Why it cannot be one, for people: a key's field is missing or no plain value.
    pub fn delivery(&self, data: impl Into<Json>) -> Result<NewDelivery, String> {
        let data: Json = data.into();
        let dedup_key = self.dedup.as_deref().map(|field| key(&data, field)).transpose()?;
        let order_key = self.order.as_deref().map(|field| key(&data, field)).transpose()?;
        Ok(NewDelivery {
            flow: self.flow.clone(),
            priority: self.priority,
            run_at: self.run_at,
            max_attempts: self.max_attempts,
            dedup_key,
            order_key,
            ..NewDelivery::new(Kind::Record, self.from.clone(), Some(self.to.clone()), data)
        })
    }
}

/// The value of a field as a key.
fn key(data: &Value, field: &str) -> Result<String, String> {
    // A field of just this name goes before a way into the record.
    let mut found = data.get(field);
    if found.is_none() {
        found = field.split('.').try_fold(data, |value, part| value.get(part));
    }
    match found {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(value)) => Ok(value.to_string()),
        Some(Value::String(_)) => Err(format!("the field `{field}` is to be a key, and is empty")),
        Some(Value::Null) | None => Err(format!("it has no field `{field}`, which is to be a key")),
        Some(_) => Err(format!("the field `{field}` is to be a key, and is no text or number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_come_from_fields() {
        let shape =
            Shape { dedup: Some("order.id".into()), order: Some("customer".into()), ..Shape::new("a", "b") };
        let new = shape.delivery(json!({"order": {"id": 17}, "customer": "ann"})).unwrap();
        assert_eq!((new.dedup_key.as_deref(), new.order_key.as_deref()), (Some("17"), Some("ann")));
        let dotted = Shape { dedup: Some("a.b".into()), ..Shape::new("a", "b") };
        assert_eq!(dotted.delivery(json!({"a.b": true})).unwrap().dedup_key.as_deref(), Some("true"));
        for (data, says) in [
            (json!({"customer": "ann"}), "has no field `order.id`"),
            (json!({"order": {"id": []}, "customer": "ann"}), "no text or number"),
            (json!({"order": {"id": ""}, "customer": "ann"}), "is empty"),
            (json!([1]), "has no field"),
        ] {
            let why = shape.delivery(data).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
