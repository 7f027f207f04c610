//! `Idempotency-Key` (the IETF's draft draft-ietf-httpapi-idempotency-key-header): what makes asking twice one job.
//!
//! The key is a structured text, or the text as it stands, which most clients send. Equal keys of two callers are two keys. The
//! fingerprint is of what was asked for, as it was understood: the same JSON in other spaces is the same.

use crate::fault::Fault;
use handover_core::id::hex;
use handover_core::limits::IDEMPOTENCY_KEY_MAX_BYTES;
use handover_ledger::IdempotencyKey;
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The name of the header.
pub(crate) const HEADER: &str = "idempotency-key";

/// The key of a request, and of what it asks for; none where it gives none.
///
/// # Errors
/// 400 for a key that is none, or for several.
pub(crate) fn key(
    headers: &HeaderMap,
    owner: &str,
    app: &str,
    asked: &Value,
) -> Result<Option<IdempotencyKey>, Fault> {
    let wrong =
        |issue: &str| Fault::bad_request("IDEMPOTENCY_KEY_INVALID", format!("Idempotency-Key {issue}"));
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("is given twice"));
    }
    let text = value.to_str().map_err(|_| wrong("must be of visible ASCII characters"))?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => rest
            .strip_suffix('"')
            .filter(|_| !rest.is_empty())
            .ok_or_else(|| wrong("begins with a quote and does not end with one"))?,
        None => text,
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX_BYTES {
        return Err(wrong(&format!("must have 1 to {IDEMPOTENCY_KEY_MAX_BYTES} characters")));
    }
    let mut digest = Sha256::new();
    digest.update(app.as_bytes());
    digest.update([0]);
    digest.update(sorted(asked).to_string().as_bytes());
    let fingerprint = hex(&digest.finalize());
    Ok(Some(IdempotencyKey { owner: owner.to_owned(), key: key.to_owned(), fingerprint }))
}

/// Refuses a key where it would do nothing: a client that sends one relies on it.
///
/// # Errors
/// 400 where there is one.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Fault> {
    if !headers.contains_key(HEADER) {
        return Ok(());
    }
    let message = "Idempotency-Key does nothing here: jobs are submitted with one, files are uploaded once by PUT under their name";
    Err(Fault::bad_request("IDEMPOTENCY_KEY_INVALID", message))
}

/// The same value with the names of each object in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            Value::Object(entries.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(text: &str, asked: Value) -> Result<Option<IdempotencyKey>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, text.parse().unwrap());
        key(&headers, "key:a", "scorer", &asked).map_err(|fault| fault.status().as_u16())
    }

    #[test]
    fn a_quoted_key_and_the_same_without_quotes_are_one() {
        let quoted = of("\"8e03978e-40d5\"", json!({"a": 1, "b": [2, {"c": 3, "d": 4}]})).unwrap().unwrap();
        let plain = of("8e03978e-40d5", json!({"b": [2, {"d": 4, "c": 3}], "a": 1})).unwrap().unwrap();
        assert_eq!(quoted, plain);
        assert_ne!(quoted.fingerprint, of("8e03978e-40d5", json!({"a": 2})).unwrap().unwrap().fingerprint);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(of("\"abc", json!({})), Err(400));
        assert_eq!(of("\"", json!({})), Err(400));
        assert_eq!(of("\"\"", json!({})), Err(400));
        assert_eq!(of(&"x".repeat(256), json!({})), Err(400));
        assert_eq!(key(&HeaderMap::new(), "a", "b", &json!({})).unwrap(), None);
    }
}
