//! One JSON value against a JSON Schema, each fault told with the path of its field: what a job's configuration is judged by.
//!
//! Invariant: no message shows the value, which may be secret. There is no I/O once the schema is read.

use super::config::SchemaSource;
use super::{json_schema, read_schema};
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use std::path::Path;

/// A JSON Schema that judges single values.
pub struct JsonSchema {
    validator: Validator,
    schema: Value,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The keys and indexes that lead to the field; empty for the value itself.
    pub path: Vec<String>,
    /// What is wrong there: a clause.
    pub issue: String,
}

impl JsonSchema {
    /// Reads and compiles a schema; a path is relative to `base`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it is no JSON Schema or wrong, and what reading its file gives.
    pub fn new(source: &SchemaSource, base: &Path) -> Result<Self> {
        let (schema, _, shown) = read_schema(source, base)?;
        if schema.get("fields").is_some() && !json_schema::is_one(&schema) {
            let error = Error::config("this is a Table Schema, and a job's configuration is no table");
            return Err(error
                .on(shown)
                .hint("write a JSON Schema: {\"properties\": {…}, \"required\": […]}"));
        }
        let validator = json_schema::compile(&schema).map_err(|error| error.on(&shown))?;
        Ok(Self { validator, schema })
    }

    /// The schema itself.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// What is wrong with a value, at most so many faults; none where it is as the schema says.
    pub fn faults(&self, value: &Value, max: usize) -> Vec<Fault> {
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        self.validator.iter_errors(value).flat_map(|error| self.told(&error)).take(max).collect()
    }

    /// A fault in words; of several unknown fields, one for each.
    fn told(&self, error: &ValidationError<'_>) -> Vec<Fault> {
        let at: Vec<String> = segments(error.instance_path().as_str());
        let within = |key: &str| at.iter().cloned().chain([key.to_owned()]).collect();
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                vec![Fault { path: within(key), issue: "is missing".to_owned() }]
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
                .iter()
                .map(|key| Fault { path: within(key), issue: self.unknown(key, at.is_empty()) })
                .collect(),
            ValidationErrorKind::Format { format } => {
                vec![Fault { path: at, issue: format!("is no valid {format}") }]
            }
            _ => {
                let issue = error.masked_with("it").to_string();
                let issue = issue.strip_prefix("it ").map(str::to_owned).unwrap_or(issue);
                vec![Fault { path: at, issue }]
            }
        }
    }

    /// That a field is not known; with the nearest known one, where the schema lists them at its top.
    fn unknown(&self, key: &str, at_top: bool) -> String {
        let known = self.schema.get("properties").and_then(Value::as_object).filter(|_| at_top);
        let near = known.and_then(|known| nearest(key, known.keys().map(String::as_str)));
        match near {
            Some(near) => format!("is not known here; did you mean `{near}`?"),
            None => "is not known here".to_owned(),
        }
    }
}

/// The segments of a JSON Pointer (RFC 6901).
fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(schema: Value) -> JsonSchema {
        let Value::Object(map) = schema else { panic!() };
        JsonSchema::new(&SchemaSource::Inline(map), Path::new(".")).unwrap()
    }

    #[test]
    fn faults_name_their_field_and_hide_the_value() {
        let schema = schema(json!({
            "type": "object", "required": ["threshold"], "additionalProperties": false,
            "properties": {
                "threshold": { "type": "number", "maximum": 1 }, "region": { "enum": ["eu", "us"] },
                "tags": { "items": { "type": "string" } }, "at": { "format": "date" } } }));
        let told = |value: Value| -> Vec<String> {
            let faults = schema.faults(&value, 20);
            faults.iter().map(|fault| format!("{} {}", fault.path.join("."), fault.issue)).collect()
        };
        assert_eq!(told(json!({ "threshold": 0.5, "region": "eu", "tags": ["a"] })), [""; 0]);
        assert_eq!(told(json!({})), ["threshold is missing"]);
        assert_eq!(
            told(json!({ "threshold": 1, "regoin": "eu", "x": 1 })),
            ["regoin is not known here; did you mean `region`?", "x is not known here"]
        );
        let all = told(json!({ "threshold": "s3cret", "region": "s3cret", "tags": [1], "at": "s3cret" }));
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all.iter().all(|fault| !fault.contains("s3cret")), "{all:?}");
        assert!(all.contains(&"threshold is not of type \"number\"".to_owned()), "{all:?}");
        assert!(all.contains(&"tags.0 is not of type \"string\"".to_owned()), "{all:?}");
        assert!(all.contains(&"at is no valid date".to_owned()), "{all:?}");
    }

    #[test]
    fn faults_are_bounded_and_a_table_schema_is_refused() {
        let schema = schema(json!({ "items": { "type": "string" } }));
        assert_eq!(schema.faults(&json!(vec![1; 1000]), 20).len(), 20);
        let Value::Object(table) = json!({ "fields": [] }) else { panic!() };
        let error = JsonSchema::new(&SchemaSource::Inline(table), Path::new(".")).err().unwrap();
        assert!(error.to_string().contains("Table Schema"), "{error}");
    }
}
