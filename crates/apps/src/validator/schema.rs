//! Reading a Frictionless Table Schema (<https://specs.frictionlessdata.io/table-schema/>).
//!
//! Invariant: no property is silently ignored. What only describes (title, description, …, and `x-…`) is taken; what
//! this version does not do, and what it does not know, is an error that names it and the nearest known word.

use super::field::{Constraints, Field, FieldType, StringFormat};
use super::number::NumberFormat;
use super::temporal::{Moment, TimeFormat};
use super::text::GeoFormat;
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use serde_json::{Map, Value};

/// Columns whose values together must not repeat.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) columns: Vec<usize>,
    /// Whether it is the primary key, of which no part may be missing.
    pub(crate) primary: bool,
}

/// A schema, ready to judge rows.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) fields: Vec<Field>,
    pub(crate) keys: Vec<Key>,
}

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
    "geopoint",
    "any",
];
const SCHEMA_DESCRIBES: &[&str] = &[
    "$schema",
    "name",
    "title",
    "description",
    "homepage",
    "version",
    "created",
    "keywords",
    "contributors",
    "licenses",
    "sources",
    "examples",
];
const SCHEMA_MEANS: &[&str] =
    &["fields", "missingValues", "primaryKey", "uniqueKeys", "fieldsMatch", "foreignKeys"];
const FIELD_DESCRIBES: &[&str] = &["title", "description", "example", "examples", "rdfType"];
const FIELD_MEANS: &[&str] = &["name", "type", "format", "constraints", "missingValues"];
const CONSTRAINTS: &[&str] =
    &["required", "unique", "minimum", "maximum", "minLength", "maxLength", "pattern", "enum"];

fn wrong(on: &str, why: impl std::fmt::Display) -> Error {
    Error::config(format!("the schema is wrong at {on}: {why}"))
}

fn unknown(on: &str, what: &str, word: &str, known: &[&str]) -> Error {
    let error = wrong(on, format!("{word:?} is not a {what} that this version knows"));
    match nearest(word, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("known are: {}", known.join(", "))),
    }
}

fn check_keys(
    on: &str,
    what: &str,
    map: &Map<String, Value>,
    means: &[&str],
    describes: &[&str],
) -> Result<()> {
    for key in map.keys() {
        let known = means.contains(&key.as_str()) || describes.contains(&key.as_str());
        if !known && !key.starts_with("x-") {
            return Err(unknown(on, what, key, means));
        }
    }
    Ok(())
}

impl Schema {
    /// Reads a schema and compiles what it asks for.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the field and the property.
    pub(crate) fn read(schema: &Map<String, Value>) -> Result<Self> {
        let Some(fields) = schema.get("fields") else { return Err(not_a_table_schema(schema)) };
        check_keys("the schema itself", "property", schema, SCHEMA_MEANS, SCHEMA_DESCRIBES)?;
        if schema.get("foreignKeys").is_some_and(|keys| keys.as_array().is_none_or(|keys| !keys.is_empty())) {
            return Err(wrong("foreignKeys", "checking foreign keys comes with a later version")
                .hint("take foreignKeys out of the schema; the enricher's `unmatched: reject` does the same for one lookup"));
        }
        check_match(schema.get("fieldsMatch"))?;
        let missing = match schema.get("missingValues") {
            Some(value) => texts("missingValues", value)?,
            None => vec![String::new()],
        };
        let fields = fields.as_array().filter(|fields| !fields.is_empty());
        let fields = fields.ok_or_else(|| wrong("fields", "it is not a list of one field or more"))?;
        let mut fields =
            fields.iter().enumerate().map(|(i, f)| read_field(i, f, &missing)).collect::<Result<Vec<_>>>()?;
        for (index, field) in fields.iter().enumerate() {
            if fields[..index].iter().any(|other| other.name == field.name) {
                return Err(wrong("fields", format!("two fields have the name {:?}", field.name)));
            }
        }
        let keys = read_keys(schema, &fields)?;
        for column in keys.iter().flat_map(|key| &key.columns) {
            fields[*column].keyed = true;
        }
        Ok(Self { fields, keys })
    }
}

fn not_a_table_schema(schema: &Map<String, Value>) -> Error {
    let is_json_schema =
        ["properties", "items", "$defs", "allOf", "required"].iter().any(|k| schema.contains_key(*k));
    if is_json_schema {
        wrong("the schema itself", "it is a JSON Schema, and those come with a later version")
            .hint("write a Frictionless Table Schema: {\"fields\": [{\"name\": …, \"type\": …}]}")
    } else {
        wrong("the schema itself", "it has no `fields`")
            .hint("a Table Schema is {\"fields\": [{\"name\": …, \"type\": …}]}")
    }
}

fn check_match(value: Option<&Value>) -> Result<()> {
    let word = match value {
        None => return Ok(()),
        Some(Value::Array(list)) if list.len() == 1 => list[0].as_str(),
        Some(value) => value.as_str(),
    };
    match word {
        Some("exact") => Ok(()),
        Some("equal" | "subset" | "superset" | "partial") => {
            Err(wrong("fieldsMatch", "only \"exact\" is done yet; the others come with a later version"))
        }
        _ => Err(unknown("fieldsMatch", "way of matching", word.unwrap_or("?"), &["exact"])),
    }
}

fn texts(on: &str, value: &Value) -> Result<Vec<String>> {
    let list = value.as_array().ok_or_else(|| wrong(on, "it is not a list of texts"))?;
    let text = |item: &Value| item.as_str().map(str::to_owned);
    list.iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong(on, "it is not a list of texts"))
}

fn read_field(index: usize, value: &Value, missing: &[String]) -> Result<Field> {
    let on = format!("field {}", index + 1);
    let field = value.as_object().ok_or_else(|| wrong(&on, "it is not an object"))?;
    let name = field.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong(&on, "it has no name"))?.to_owned();
    let on = format!("field {name:?}");
    let kind_name = match field.get("type") {
        None => "string",
        Some(value) => value.as_str().ok_or_else(|| wrong(&on, "its type is not a text"))?,
    };
    let own: &[&str] = match kind_name {
        "integer" => &["bareNumber", "groupChar"],
        "number" => &["bareNumber", "groupChar", "decimalChar"],
        "boolean" => &["trueValues", "falseValues"],
        _ => &[],
    };
    if !TYPES.contains(&kind_name) {
        return Err(unknown(&on, "type", kind_name, TYPES));
    }
    let known: Vec<&str> = FIELD_MEANS.iter().chain(own).copied().collect();
    check_keys(&on, &format!("property of a field of type {kind_name}"), field, &known, FIELD_DESCRIBES)?;
    let kind = read_type(&on, kind_name, field)?;
    let missing = match field.get("missingValues") {
        Some(value) => texts(&on, value)?,
        None => missing.to_vec(),
    };
    let constraints = match field.get("constraints") {
        None => Constraints::default(),
        Some(value) => {
            let map = value.as_object().ok_or_else(|| wrong(&on, "its constraints are not an object"))?;
            super::constraint::read(&on, kind_name, &kind, map)?
        }
    };
    Ok(Field { name, kind, constraints, missing, keyed: false })
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
        _ => {
            one_of(&["default"])?;
            Ok(match kind {
                "integer" => FieldType::Integer(number_format(on, field, false)?),
                "number" => FieldType::Number(number_format(on, field, true)?),
                "boolean" => boolean(on, field)?,
                "year" => FieldType::Year,
                "yearmonth" => FieldType::YearMonth,
                "duration" => FieldType::Duration,
                "object" => FieldType::Object,
                "array" => FieldType::Array,
                _ => FieldType::Any,
            })
        }
    }
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

fn read_keys(schema: &Map<String, Value>, fields: &[Field]) -> Result<Vec<Key>> {
    let columns = |on: &str, value: &Value| -> Result<Vec<usize>> {
        let names = match value {
            Value::String(name) => vec![name.clone()],
            other => texts(on, other)?,
        };
        if names.is_empty() {
            return Err(wrong(on, "it names no field"));
        }
        let column = |name: &String| {
            let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            fields.iter().position(|f| f.name == *name).ok_or_else(|| unknown(on, "field", name, &known))
        };
        names.iter().map(column).collect()
    };
    let mut keys = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        if field.constraints.unique {
            keys.push(Key { columns: vec![index], primary: false });
        }
    }
    match schema.get("primaryKey") {
        None => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(value) => keys.push(Key { columns: columns("primaryKey", value)?, primary: true }),
    }
    if let Some(value) = schema.get("uniqueKeys") {
        let list = value.as_array().ok_or_else(|| wrong("uniqueKeys", "it is not a list of keys"))?;
        for key in list {
            keys.push(Key { columns: columns("uniqueKeys", key)?, primary: false });
        }
    }
    Ok(keys)
}

/// The constraints that a schema may name.
pub(super) fn check_constraints(on: &str, map: &Map<String, Value>) -> Result<()> {
    check_keys(on, "constraint", map, CONSTRAINTS, &[])
}

/// An error in the schema.
pub(super) fn schema_error(on: &str, why: impl std::fmt::Display) -> Error {
    wrong(on, why)
}
