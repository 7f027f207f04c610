//! Reading a Frictionless Table Schema, version 1 and 2 (<https://datapackage.org/standard/table-schema/>).
//!
//! Invariant: no property is silently ignored. What only describes (title, description, …, and `x-…`) is taken; what
//! this version does not know is an error that names it and the nearest known word. There is no I/O.

use super::field::Field;
use super::types::read_field;
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

/// Columns whose values together must be in another table, or in this one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ForeignKey {
    pub(crate) columns: Vec<usize>,
    /// The other table by its name; none for this one.
    pub(crate) resource: Option<String>,
    /// The columns there.
    pub(crate) fields: Vec<String>,
}

/// How the columns of a table and the fields of its schema go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldsMatch {
    /// The same, in the same order.
    Exact,
    /// The same, in any order.
    Equal,
    /// The table has all fields, and perhaps more columns.
    Subset,
    /// The table has only columns of fields, and perhaps not all.
    Superset,
    /// They have at least one in common.
    Partial,
}

/// A schema, ready to judge rows.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) fields: Vec<Field>,
    pub(crate) keys: Vec<Key>,
    pub(crate) foreign: Vec<ForeignKey>,
    pub(crate) matching: FieldsMatch,
}

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
const CONSTRAINTS: &[&str] = &[
    "required",
    "unique",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "enum",
    "jsonSchema",
];
const MATCHES: [(&str, FieldsMatch); 5] = [
    ("exact", FieldsMatch::Exact),
    ("equal", FieldsMatch::Equal),
    ("subset", FieldsMatch::Subset),
    ("superset", FieldsMatch::Superset),
    ("partial", FieldsMatch::Partial),
];

pub(super) fn wrong(on: &str, why: impl std::fmt::Display) -> Error {
    Error::config(format!("the schema is wrong at {on}: {why}"))
}

pub(super) fn unknown(on: &str, what: &str, word: &str, known: &[&str]) -> Error {
    let error = wrong(on, format!("{word:?} is not a {what} that this version knows"));
    match nearest(word, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("known are: {}", known.join(", "))),
    }
}

pub(super) fn check_keys(
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
        let Some(fields) = schema.get("fields") else {
            return Err(wrong("the schema itself", "it has no `fields`").hint(
                "a Table Schema is {\"fields\": [{\"name\": …, \"type\": …}]}; a JSON Schema has `properties` or `type`",
            ));
        };
        check_keys("the schema itself", "property", schema, SCHEMA_MEANS, SCHEMA_DESCRIBES)?;
        let matching = read_match(schema.get("fieldsMatch"))?;
        let missing = match schema.get("missingValues") {
            Some(value) => missing_values("missingValues", value)?,
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
        let foreign = read_foreign(schema.get("foreignKeys"), &fields)?;
        let keyed = keys.iter().map(|key| &key.columns).chain(foreign.iter().map(|key| &key.columns));
        for column in keyed.flatten() {
            fields[*column].keyed = true;
        }
        Ok(Self { fields, keys, foreign, matching })
    }

    /// Whether a table without this field's column is refused whatever `fieldsMatch` says.
    pub(crate) fn is_needed(&self, field: usize) -> bool {
        let primary = self.keys.iter().any(|key| key.primary && key.columns.contains(&field));
        primary || self.fields[field].constraints.required
    }
}

fn read_match(value: Option<&Value>) -> Result<FieldsMatch> {
    let word = match value {
        None => return Ok(FieldsMatch::Exact),
        Some(Value::Array(list)) if list.len() == 1 => list[0].as_str(),
        Some(value) => value.as_str(),
    };
    let word = word.ok_or_else(|| wrong("fieldsMatch", "it is not one word"))?;
    MATCHES
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, matching)| *matching)
        .ok_or_else(|| unknown("fieldsMatch", "way of matching", word, &MATCHES.map(|(known, _)| known)))
}

/// A list of texts.
///
/// # Errors
/// Where it is none.
pub(super) fn texts(on: &str, value: &Value) -> Result<Vec<String>> {
    let list = value.as_array().ok_or_else(|| wrong(on, "it is not a list of texts"))?;
    let text = |item: &Value| item.as_str().map(str::to_owned);
    list.iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong(on, "it is not a list of texts"))
}

/// What stands for no value: texts, or objects of value and label.
///
/// # Errors
/// Where it is no such list.
pub(super) fn missing_values(on: &str, value: &Value) -> Result<Vec<String>> {
    let list = value.as_array().ok_or_else(|| wrong(on, "missingValues is not a list of texts"))?;
    let text = |item: &Value| match item {
        Value::Object(map) => map.get("value").and_then(Value::as_str).map(str::to_owned),
        item => item.as_str().map(str::to_owned),
    };
    let words: Option<Vec<String>> = list.iter().map(text).collect();
    words.ok_or_else(|| wrong(on, "missingValues is not a list of texts, or of {value, label}"))
}

fn column(on: &str, name: &str, fields: &[Field]) -> Result<usize> {
    let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    fields.iter().position(|f| f.name == name).ok_or_else(|| unknown(on, "field", name, &known))
}

/// One name, or a list of them.
fn names(on: &str, value: &Value) -> Result<Vec<String>> {
    let names = match value {
        Value::String(name) => vec![name.clone()],
        other => texts(on, other)?,
    };
    if names.is_empty() { Err(wrong(on, "it names no field")) } else { Ok(names) }
}

fn columns(on: &str, value: &Value, fields: &[Field]) -> Result<Vec<usize>> {
    names(on, value)?.iter().map(|name| column(on, name, fields)).collect()
}

fn read_keys(schema: &Map<String, Value>, fields: &[Field]) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        if field.constraints.unique {
            keys.push(Key { columns: vec![index], primary: false });
        }
    }
    match schema.get("primaryKey") {
        None => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(value) => keys.push(Key { columns: columns("primaryKey", value, fields)?, primary: true }),
    }
    if let Some(value) = schema.get("uniqueKeys") {
        let list = value.as_array().ok_or_else(|| wrong("uniqueKeys", "it is not a list of keys"))?;
        for key in list {
            keys.push(Key { columns: columns("uniqueKeys", key, fields)?, primary: false });
        }
    }
    Ok(keys)
}

fn read_foreign(value: Option<&Value>, fields: &[Field]) -> Result<Vec<ForeignKey>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| wrong("foreignKeys", "it is not a list of keys"))?;
    list.iter().enumerate().map(|(index, key)| read_foreign_key(index, key, fields)).collect()
}

fn read_foreign_key(index: usize, value: &Value, fields: &[Field]) -> Result<ForeignKey> {
    let on = format!("foreign key {}", index + 1);
    let part = |map: &Map<String, Value>, key: &str| {
        map.get(key).cloned().ok_or_else(|| wrong(&on, format!("it has no `{key}`")))
    };
    let key = value.as_object().ok_or_else(|| wrong(&on, "it is not an object"))?;
    check_keys(&on, "property", key, &["fields", "reference"], &["title", "description"])?;
    let reference = part(key, "reference")?;
    let reference = reference.as_object().ok_or_else(|| wrong(&on, "its reference is not an object"))?;
    check_keys(&on, "property of a reference", reference, &["resource", "fields"], &[])?;
    let columns = columns(&on, &part(key, "fields")?, fields)?;
    let theirs = names(&on, &part(reference, "fields")?)?;
    if theirs.len() != columns.len() {
        let why = format!("it has {} fields, and its reference {}", columns.len(), theirs.len());
        return Err(wrong(&on, why));
    }
    let resource = match reference.get("resource") {
        None => None,
        Some(Value::String(name)) => Some(name.clone()).filter(|name| !name.is_empty()),
        Some(_) => return Err(wrong(&on, "its resource is not a text")),
    };
    if resource.is_none() {
        theirs.iter().try_for_each(|name| column(&on, name, fields).map(drop))?;
    }
    Ok(ForeignKey { columns, resource, fields: theirs })
}

/// The constraints that a schema may name.
pub(super) fn check_constraints(on: &str, map: &Map<String, Value>) -> Result<()> {
    check_keys(on, "constraint", map, CONSTRAINTS, &[])
}

/// An error in the schema.
pub(super) fn schema_error(on: &str, why: impl std::fmt::Display) -> Error {
    wrong(on, why)
}
