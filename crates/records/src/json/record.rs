//! What a record of a ledger may be.
//!
//! Invariant: a record that is refused here would not come out of some ledger as it went in: a NUL in a text (PostgreSQL
//! has none), a name twice in an object, a number that no double holds exactly, nesting beyond the limit.

use super::{first_inexact, parse};
use serde_json::Value;

/// A record from its JSON.
///
/// # Errors
/// Why it is refused, for people.
pub fn record(raw: &[u8]) -> Result<Value, String> {
    let value = parse(raw);
    // A number that no double holds is no JSON to the parser: its own word is clearer.
    let inexact = std::str::from_utf8(raw).ok().and_then(first_inexact);
    match (value, inexact) {
        (Ok(_), Some(number)) => Err(inexact_text(number)),
        (Err(problem), Some(number)) if problem.message.contains("number out of range") => {
            Err(inexact_text(number))
        }
        (Err(problem), _) => Err(problem.message),
        (Ok(value), None) if has_escaped_nul(raw) && has_nul(&value) => {
            Err("a text in it holds the character NUL (\\u0000), which not every ledger can keep".to_owned())
        }
        (Ok(value), None) => Ok(value),
    }
}

fn inexact_text(number: &str) -> String {
    let shown: String = number.chars().take(60).collect();
    format!("the number {shown} cannot be kept exactly as it is written: write it as a text, \"{shown}\"")
}

fn has_escaped_nul(raw: &[u8]) -> bool {
    raw.windows(6).any(|part| part == b"\\u0000")
}

/// Whether a text or a name in it holds the character NUL, which not every ledger can keep.
pub fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ledger_could_not_give_back_is_refused() {
        for (raw, says) in [
            (r#"{"a": "x\u0000y"}"#, "NUL"),
            (r#"{"a\u0000": 1}"#, "NUL"),
            (r#"{"a": 1, "a": 2}"#, "comes twice"),
            (r#"{"a": 1e400}"#, "cannot be kept exactly"),
            (r#"{"a": 12345678901234567890123}"#, "cannot be kept exactly"),
            (r#"{"a": }"#, "not JSON"),
            ("", "not JSON"),
            (r#"{"a": 1} {"b": 2}"#, "not JSON"),
        ] {
            let why = record(raw.as_bytes()).unwrap_err();
            assert!(why.contains(says), "{raw}: {why}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(record(deep.as_bytes()).unwrap_err().contains("levels deep"));
        assert!(record(b"\xff").is_err());
        assert_eq!(record(br#"{"a": "\\u0000", "n": 18446744073709551615}"#).unwrap()["a"], "\\u0000");
    }
}
