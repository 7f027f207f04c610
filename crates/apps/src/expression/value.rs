//! What an expression gives, and how it is written: as the text of a cell or as JSON.
//!
//! Numbers are written as the shortest text that reads back as the same (`3`, `0.1`, `1e21`), booleans as `true` and
//! `false`, null as an empty cell, timestamps as RFC 3339 and durations in seconds. NaN, an infinity, and in a cell a
//! list or a map, are faults of the row.

use super::number;
use handover_records::json::push_string;
use std::borrow::Cow;
use std::fmt;

/// Why an expression has no value in a row, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(String);

impl Fault {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'v> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    UInt(u64),
    /// Any number.
    Double(f64),
    /// Text; timestamps and durations are texts by now.
    Text(Cow<'v, str>),
    /// A list or a map.
    Json(serde_json::Value),
}

impl Value<'_> {
    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::UInt(_) => "an integer",
            Value::Double(_) => "a double",
            Value::Text(_) => "text",
            Value::Json(serde_json::Value::Array(_)) => "a list",
            Value::Json(_) => "a map",
        }
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// Where it is neither true nor false.
    #[inline]
    pub(crate) fn truth(&self) -> Result<bool, Fault> {
        match self {
            Value::Bool(yes) => Ok(*yes),
            other => Err(Fault::new(format!("the result is {}, and true or false is wanted", other.kind()))),
        }
    }

    /// Appends the text of a cell, without quotes.
    ///
    /// # Errors
    /// Where no cell can hold it; nothing is appended then.
    #[inline]
    pub(crate) fn write_csv(&self, into: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Value::Null => {}
            Value::Bool(yes) => into.extend_from_slice(if *yes { b"true" } else { b"false" }),
            Value::Int(number) => number::push_int(into, *number),
            Value::UInt(number) => number::push_uint(into, *number),
            Value::Double(number) if number.is_finite() => number::push_double(into, *number),
            Value::Double(_) => return Err(not_finite()),
            Value::Text(text) => into.extend_from_slice(text.as_bytes()),
            Value::Json(_) => {
                return Err(Fault::new(format!(
                    "the result is {}, and a cell holds text or a number",
                    self.kind()
                )));
            }
        }
        Ok(())
    }

    /// Appends it as JSON.
    ///
    /// # Errors
    /// Where JSON has no such number; nothing is appended then.
    pub(crate) fn write_json(&self, into: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Value::Null => into.extend_from_slice(b"null"),
            Value::Text(text) => push_string(into, text),
            Value::Json(value) => into.extend_from_slice(value.to_string().as_bytes()),
            other => return other.write_csv(into),
        }
        Ok(())
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// Where JSON has no such number.
    pub(crate) fn into_json(self) -> Result<serde_json::Value, Fault> {
        Ok(match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(yes) => yes.into(),
            Value::Int(number) => number.into(),
            Value::UInt(number) => number.into(),
            // A whole double is written without a point, as in a cell.
            #[allow(clippy::cast_possible_truncation)]
            Value::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => (number as i64).into(),
            Value::Double(number) => serde_json::Number::from_f64(number).ok_or_else(not_finite)?.into(),
            Value::Text(text) => text.into_owned().into(),
            Value::Json(value) => value,
        })
    }
}

fn not_finite() -> Fault {
    Fault::new("the result is not a finite number")
}

/// A text as a message shows it: in quotes, its control characters escaped, at most 80 characters.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", short(text))
}

/// At most 80 characters.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
