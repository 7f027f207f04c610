//! Reading a field of a Table Schema: its type, its format and what goes with them.
//!
//! Invariant: no property is silently ignored ([`super::schema`]). There is no I/O.

use super::constraint;
use super::field::{Constraints, Field, FieldType, StringFormat};
use super::geo::GeoFormat;
use super::number::NumberFormat;
use super::schema::{check_keys, missing_values, texts, unknown, wrong};
use super::temporal::{Moment, TimeFormat};
use handover_core::Result;
use serde_json::{Map, Value};

const TYPES: &[&str] = &[
    "string",
    "integer",
    "number",
    "boolean",
    "date",
    "time",
    "datetime",
    "year",
    "yearmonth",
    "duration",
    "object",
    "array",
    "list",
    "geopoint",
    "geojson",
    "any",
];
/// The types that the items of a list may have.
const ITEM_TYPES: &[&str] = &["string", "integer", "boolean", "number", "datetime", "date", "time"];
const FIELD_DESCRIBES: &[&str] =
    &["title", "description", "example", "examples", "rdfType", "categoriesOrdered"];
const FIELD_MEANS: &[&str] = &["name", "type", "format", "constraints", "missingValues"];

/// Reads a field.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] naming the field and the property.
pub(super) fn read_field(index: usize, value: &Value, missing: &[String]) -> Result<Field> {
    let on = format!("field {}", index + 1);
    let field = value.as_object().ok_or_else(|| wrong(&on, "it is not an object"))?;
    let name = field.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong(&on, "it has no name"))?.to_owned();
    let on = format!("field {name:?}");
    let kind_name = match field.get("type") {
        None => "string",
        Some(value) => value.as_str().ok_or_else(|| wrong(&on, "its type is not a text"))?,
    };
    if !TYPES.contains(&kind_name) {
        return Err(unknown(&on, "type", kind_name, TYPES));
    }
    let known: Vec<&str> = FIELD_MEANS.iter().chain(own_properties(kind_name)).copied().collect();
    check_keys(&on, &format!("property of a field of type {kind_name}"), field, &known, FIELD_DESCRIBES)?;
    let kind = read_type(&on, kind_name, field)?;
    let missing = match field.get("missingValues") {
        Some(value) => missing_values(&on, value)?,
        None => missing.to_vec(),
    };
    let mut constraints = match field.get("constraints") {
        None => Constraints::default(),
        Some(value) => {
            let map = value.as_object().ok_or_else(|| wrong(&on, "its constraints are not an object"))?;
            constraint::read(&on, kind_name, &kind, map)?
        }
    };
    if let Some(value) = field.get("categories") {
        if constraints.allowed.is_some() {
            return Err(
                wrong(&on, "it has both categories and enum").hint("write the values once, in either")
            );
        }
        constraints.allowed =
            Some(constraint::allowed(&on, "categories", &kind, &category_values(&on, value)?)?);
    }
    Ok(Field { name, kind, constraints, missing, keyed: false })
}

/// The properties that only this type has.
fn own_properties(kind: &str) -> &'static [&'static str] {
    match kind {
        "integer" => &["bareNumber", "groupChar", "categories"],
        "number" => &["bareNumber", "groupChar", "decimalChar"],
        "boolean" => &["trueValues", "falseValues"],
        "string" => &["categories"],
        "list" => &["delimiter", "itemType"],
        _ => &[],
    }
}

/// The values of `categories`: values, or objects of value and label.
fn category_values(on: &str, value: &Value) -> Result<Value> {
    let list = value.as_array().ok_or_else(|| wrong(on, "its categories are not a list"))?;
    let value = |item: &Value| match item {
        Value::Object(map) => map.get("value").cloned(),
        other => Some(other.clone()),
    };
    let values: Option<Vec<Value>> = list.iter().map(value).collect();
    values.map(Value::Array).ok_or_else(|| wrong(on, "one of its categories has no value"))
}

fn read_type(on: &str, kind: &str, field: &Map<String, Value>) -> Result<FieldType> {
    let format = match field.get("format") {
        None => "default",
        Some(value) => value.as_str().ok_or_else(|| wrong(on, "its format is not a text"))?,
    };
    let one_of = |known: &[&str]| match known.iter().position(|word| *word == format) {
        Some(at) => Ok(at),
        None => Err(unknown(on, &format!("format of type {kind}"), format, known)),
    };
    let moment = |moment: Moment| Ok(FieldType::Moment(moment, time_format(on, moment, format)?));
    use StringFormat as S;
    match kind {
        "string" => Ok(FieldType::String(
            [S::Default, S::Email, S::Uri, S::Binary, S::Uuid]
                [one_of(&["default", "email", "uri", "binary", "uuid"])?],
        )),
        "date" => moment(Moment::Date),
        "time" => moment(Moment::Time),
        "datetime" => moment(Moment::DateTime),
        "geopoint" => Ok(FieldType::GeoPoint(
            [GeoFormat::Default, GeoFormat::Array, GeoFormat::Object]
                [one_of(&["default", "array", "object"])?],
        )),
        "geojson" => Ok(FieldType::GeoJson { topology: one_of(&["default", "topojson"])? == 1 }),
        _ => {
            one_of(&["default"])?;
            plain_type(on, kind, field)
        }
    }
}

/// A type that has no formats.
fn plain_type(on: &str, kind: &str, field: &Map<String, Value>) -> Result<FieldType> {
    Ok(match kind {
        "integer" => FieldType::Integer(number_format(on, field, false)?),
        "number" => FieldType::Number(number_format(on, field, true)?),
        "boolean" => boolean(on, field)?,
        "year" => FieldType::Year,
        "yearmonth" => FieldType::YearMonth,
        "duration" => FieldType::Duration,
        "object" => FieldType::Object,
        "array" => FieldType::Array,
        "list" => list(on, field)?,
        _ => FieldType::Any,
    })
}

fn list(on: &str, field: &Map<String, Value>) -> Result<FieldType> {
    let delimiter = match field.get("delimiter") {
        None => ",".to_owned(),
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(_) => return Err(wrong(on, "its delimiter is not a text")),
    };
    let item = match field.get("itemType") {
        None => "string",
        Some(value) => value.as_str().ok_or_else(|| wrong(on, "its itemType is not a text"))?,
    };
    if !ITEM_TYPES.contains(&item) {
        return Err(unknown(on, "type of items", item, ITEM_TYPES));
    }
    let item = read_type(on, item, &Map::new())?;
    Ok(FieldType::List { delimiter, item: Box::new(item) })
}

fn time_format(on: &str, moment: Moment, format: &str) -> Result<TimeFormat> {
    match format {
        "default" => Ok(TimeFormat::Default),
        "any" => Ok(TimeFormat::Any),
        pattern => {
            // The older form of the standard wrote `fmt:` before it.
            let pattern = pattern.strip_prefix("fmt:").unwrap_or(pattern);
            if !pattern.contains('%') {
                return Err(unknown(on, "format of a date or time", pattern, &["default", "any"])
                    .hint("a format is default, any, or a strptime pattern such as %d/%m/%Y"));
            }
            moment
                .check_pattern(pattern)
                .map_err(|why| wrong(on, format!("the format {pattern:?} cannot be used: {why}")))?;
            Ok(TimeFormat::Pattern(pattern.to_owned()))
        }
    }
}

fn number_format(on: &str, field: &Map<String, Value>, decimals: bool) -> Result<NumberFormat> {
    let text = |key: &str| match field.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && !text.bytes().any(|b| b.is_ascii_digit()) => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(wrong(on, format!("its {key} is not a text without digits"))),
    };
    let bare = match field.get("bareNumber") {
        None => true,
        Some(value) => value.as_bool().ok_or_else(|| wrong(on, "its bareNumber is not true or false"))?,
    };
    let group = text("groupChar")?;
    let decimal = if decimals { Some(text("decimalChar")?.unwrap_or_else(|| ".".to_owned())) } else { None };
    if group.is_some() && group == decimal {
        return Err(wrong(on, "groupChar and decimalChar are the same"));
    }
    Ok(NumberFormat { bare, group, decimal })
}

fn boolean(on: &str, field: &Map<String, Value>) -> Result<FieldType> {
    let words = |key: &str, usual: [&str; 4]| match field.get(key) {
        Some(value) => texts(on, value),
        None => Ok(usual.map(str::to_owned).to_vec()),
    };
    let yes = words("trueValues", ["true", "True", "TRUE", "1"])?;
    let no = words("falseValues", ["false", "False", "FALSE", "0"])?;
    match yes.iter().find(|word| no.contains(word)) {
        Some(word) => Err(wrong(on, format!("{word:?} is both true and false"))),
        None => Ok(FieldType::Boolean { yes, no }),
    }
}
