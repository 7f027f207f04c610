//! Reading a field's constraints; judging cells by them is [`super::field`]'s.
//!
//! Invariant: a constraint that the type does not have, or that can never hold, is an error; nothing is ignored.

use super::field::{Bound, Constraints, FieldType, Value, as_text, json_number};
use super::json_schema;
use super::schema::{check_constraints, schema_error};
use handover_core::Result;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value as Json};
use std::collections::HashSet;

/// Reads the constraints of a field of this type. A constraint that the type does not have is an error.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] naming the field and the constraint.
pub(super) fn read(
    on: &str,
    kind_name: &str,
    kind: &FieldType,
    map: &Map<String, Json>,
) -> Result<Constraints> {
    check_constraints(on, map)?;
    for key in map.keys() {
        if !applies(key, kind) {
            return Err(schema_error(on, format!("the constraint {key} does not apply to type {kind_name}")));
        }
    }
    let flag = |key: &str| match map.get(key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| schema_error(on, format!("{key} is not true or false"))),
    };
    let length = |key: &str| match map.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|length| usize::try_from(length).ok())
            .map(Some)
            .ok_or_else(|| schema_error(on, format!("{key} is not a whole number of 0 or more"))),
    };
    let bound = |key: &str| -> Result<Bound> {
        map.get(key).map(|value| read_value(on, key, kind, value)).transpose()
    };
    Ok(Constraints {
        required: flag("required")?,
        unique: flag("unique")?,
        minimum: bound("minimum")?,
        maximum: bound("maximum")?,
        above: bound("exclusiveMinimum")?,
        below: bound("exclusiveMaximum")?,
        min_length: length("minLength")?,
        max_length: length("maxLength")?,
        pattern: map.get("pattern").map(|value| pattern(on, value)).transpose()?,
        allowed: map.get("enum").map(|value| allowed(on, "enum", kind, value)).transpose()?,
        json_schema: map.get("jsonSchema").map(|value| nested(on, value)).transpose()?,
    })
}

fn nested(on: &str, value: &Json) -> Result<jsonschema::Validator> {
    json_schema::compile(value).map_err(|error| schema_error(on, format!("jsonSchema: {error}")))
}

/// Which constraint goes with which type, by the standard.
fn applies(constraint: &str, kind: &FieldType) -> bool {
    match constraint {
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => matches!(
            kind,
            FieldType::Integer(_)
                | FieldType::Number(_)
                | FieldType::Moment(..)
                | FieldType::Year
                | FieldType::YearMonth
                | FieldType::Duration
        ),
        "minLength" | "maxLength" => matches!(
            kind,
            FieldType::String(_) | FieldType::Array | FieldType::Object | FieldType::List { .. }
        ),
        "jsonSchema" => matches!(kind, FieldType::Array | FieldType::Object | FieldType::GeoJson { .. }),
        "pattern" => matches!(kind, FieldType::String(_)),
        _ => true,
    }
}

/// A value of the schema may be written as a cell of the field is, or as JSON's own number, boolean, list or object.
fn read_value(on: &str, key: &str, kind: &FieldType, value: &Json) -> Result<(String, Value)> {
    let text = as_text(value);
    let read = match (kind, value) {
        (FieldType::Integer(format) | FieldType::Number(format), Json::Number(_)) => {
            json_number(format.decimal.is_some()).read(&text).map(Value::Number)
        }
        // A year is a number of four digits in JSON too.
        (FieldType::Year, Json::Number(_)) | (_, Json::String(_)) => kind.read(&text, true),
        (FieldType::Any | FieldType::String(_), value) if !value.is_null() => Some(Value::Text),
        (_, value) => kind.read_json(value),
    };
    match read {
        Some(value) => Ok((text.into_owned(), value)),
        None => Err(schema_error(on, format!("{key} has {text:?}, which is not {}", kind.expected()))),
    }
}

/// How large a compiled pattern may be.
const PATTERN_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A pattern that has to match the whole cell.
pub(super) fn anchored(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

fn pattern(on: &str, value: &Json) -> Result<(String, Regex)> {
    let text = value.as_str().ok_or_else(|| schema_error(on, "pattern is not a text"))?;
    let regex =
        RegexBuilder::new(&anchored(text)).size_limit(PATTERN_MAX_BYTES).build().map_err(|error| {
            schema_error(on, format!("the pattern {text:?} cannot be used: {error}")).hint(
            "patterns have no look-around and no back-references, which could take for ever on some cells",
        )
        })?;
    Ok((text.to_owned(), regex))
}

/// Values of which a cell has to be one: as they were written, and by key.
pub(super) fn allowed(
    on: &str,
    what: &str,
    kind: &FieldType,
    value: &Json,
) -> Result<(String, HashSet<Vec<u8>>)> {
    let list = value.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| schema_error(on, format!("{what} is not a list of one value or more")))?;
    let mut keys = HashSet::with_capacity(list.len());
    let mut written = Vec::new();
    for item in list {
        let (text, value) = read_value(on, what, kind, item)?;
        let mut key = Vec::new();
        value.key(&text, &mut key);
        keys.insert(key);
        written.push(text);
    }
    Ok((written.join(", "), keys))
}
