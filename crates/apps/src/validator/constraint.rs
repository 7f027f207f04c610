//! Reading a field's constraints; judging cells by them is [`super::field`]'s.

use super::field::{Constraints, FieldType, Value};
use super::schema::{check_constraints, schema_error};
use handover_core::Result;
use regex::Regex;
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
    let bound = |key: &str| map.get(key).map(|value| read_value(on, key, kind, value)).transpose();
    Ok(Constraints {
        required: flag("required")?,
        unique: flag("unique")?,
        minimum: bound("minimum")?,
        maximum: bound("maximum")?,
        min_length: length("minLength")?,
        max_length: length("maxLength")?,
        pattern: map.get("pattern").map(|value| pattern(on, value)).transpose()?,
        allowed: map.get("enum").map(|value| allowed(on, kind, value)).transpose()?,
    })
}

/// Which constraint goes with which type, by the standard.
fn applies(constraint: &str, kind: &FieldType) -> bool {
    match constraint {
        "minimum" | "maximum" => matches!(
            kind,
            FieldType::Integer(_)
                | FieldType::Number(_)
                | FieldType::Moment(..)
                | FieldType::Year
                | FieldType::YearMonth
        ),
        "minLength" | "maxLength" => {
            matches!(kind, FieldType::String(_) | FieldType::Array | FieldType::Object)
        }
        "pattern" => matches!(kind, FieldType::String(_)),
        _ => true,
    }
}

/// The text that a JSON value of the schema would be as a cell.
fn as_cell(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value of the schema may be written as a cell of the field is, or as JSON's own number or boolean.
fn read_value(on: &str, key: &str, kind: &FieldType, value: &Json) -> Result<(String, Value)> {
    let text = as_cell(value);
    let plain = match (kind, value) {
        (FieldType::Integer(format) | FieldType::Number(format), Json::Number(_)) => {
            let mut json = format.clone();
            json.group = None;
            json.decimal = json.decimal.map(|_| ".".to_owned());
            json.read(&text).map(Value::Number)
        }
        (FieldType::Boolean { .. }, Json::Bool(yes)) => Some(Value::Bool(*yes)),
        _ => kind.read(&text, true),
    };
    match plain {
        Some(value) => Ok((text, value)),
        None => Err(schema_error(on, format!("{key} has {text:?}, which is not {}", kind.expected()))),
    }
}

fn pattern(on: &str, value: &Json) -> Result<(String, Regex)> {
    let text = value.as_str().ok_or_else(|| schema_error(on, "pattern is not a text"))?;
    let regex = Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        schema_error(on, format!("the pattern {text:?} cannot be used: {error}"))
            .hint("patterns have no look-around and no back-references")
    })?;
    Ok((text.to_owned(), regex))
}

fn allowed(on: &str, kind: &FieldType, value: &Json) -> Result<(String, HashSet<Vec<u8>>)> {
    let list = value.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| schema_error(on, "enum is not a list of one value or more"))?;
    let mut keys = HashSet::with_capacity(list.len());
    let mut written = Vec::new();
    for item in list {
        let (text, value) = read_value(on, "enum", kind, item)?;
        let mut key = Vec::new();
        value.key(&text, &mut key);
        keys.insert(key);
        written.push(text);
    }
    Ok((written.join(", "), keys))
}
