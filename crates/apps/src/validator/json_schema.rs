//! JSON Schema, by the `jsonschema` crate: 2020-12 unless `$schema` says another draft, `format` asserted.
//!
//! Invariants:
//! - Nothing is fetched: a `$ref` to another document than the schema itself and the drafts' own is refused when the
//!   schema is compiled.
//! - A pattern takes time in proportion to the text (the `regex` crate); one that would need more is refused.

use handover_core::{Error, Result};
use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;

/// How large a compiled pattern may be.
const PATTERN_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Says no to whatever would have to be fetched.
struct Nothing;

impl Retrieve for Nothing {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> std::result::Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("the schema refers to {uri}, and nothing is fetched").into())
    }
}

/// Compiles a schema.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] with the place in the schema and what is wrong there.
pub(super) fn compile(schema: &Value) -> Result<Validator> {
    let mut options = jsonschema::options().should_validate_formats(true).with_retriever(Nothing);
    if schema.get("$schema").is_none() {
        options = options.with_draft(jsonschema::Draft::Draft202012);
    }
    let patterns = PatternOptions::regex().size_limit(PATTERN_MAX_BYTES);
    options.with_pattern_options(patterns).build(schema).map_err(|error| {
        let at = error.instance_path().as_str().to_owned();
        let on = if at.is_empty() { String::new() } else { format!(" at {at}") };
        Error::config(format!("the JSON Schema is wrong{on}: {error}")).hint(
            "a $ref may point into the schema itself (#/$defs/…); patterns have no look-around and no back-references",
        )
    })
}

/// Whether this looks like a JSON Schema rather than a Table Schema.
pub(super) fn is_one(schema: &Value) -> bool {
    const WORDS: &[&str] = &[
        "properties",
        "patternProperties",
        "additionalProperties",
        "items",
        "prefixItems",
        "$defs",
        "definitions",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "required",
        "type",
        "enum",
        "const",
        "$ref",
    ];
    let Some(map) = schema.as_object() else { return schema.is_boolean() };
    let draft = map.get("$schema").and_then(Value::as_str).is_some_and(|id| id.contains("json-schema.org"));
    !map.contains_key("fields") && (draft || WORDS.iter().any(|word| map.contains_key(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_is_compiled_with_formats_asserted() {
        let schema = json!({ "type": "object", "required": ["id"], "properties": {
            "id": { "type": "integer", "minimum": 1 }, "at": { "type": "string", "format": "date-time" },
            "tags": { "prefixItems": [{ "const": "a" }], "items": { "$ref": "#/$defs/tag" } } },
            "unevaluatedProperties": false, "$defs": { "tag": { "pattern": "^[a-z]+$" } } });
        let schema = compile(&schema).unwrap();
        for (record, fine) in [
            (json!({ "id": 1, "at": "2025-11-24T10:00:00Z", "tags": ["a", "b"] }), true),
            (json!({ "id": 0 }), false),
            (json!({}), false),
            (json!({ "id": 1, "at": "soon" }), false),
            (json!({ "id": 1, "more": 1 }), false),
            (json!({ "id": 1, "tags": ["a", "B"] }), false),
        ] {
            assert_eq!(schema.is_valid(&record), fine, "{record}");
        }
    }

    #[test]
    fn what_would_be_fetched_or_blow_up_is_refused() {
        for (schema, why) in [
            (json!({ "$ref": "https://example.org/other.json" }), "example.org"),
            (json!({ "$ref": "other.json" }), "other.json"),
            (json!({ "$ref": "file:///etc/passwd" }), "passwd"),
            (json!({ "pattern": "^(?=a)b" }), "pattern"),
            (json!({ "pattern": "((a{100}){100}){100}" }), ""),
            (json!({ "type": "intger" }), "intger"),
            (json!({ "minimum": "5" }), ""),
        ] {
            let error = compile(&schema).unwrap_err().to_string();
            assert!(error.contains(why), "{schema}: {error}");
        }
    }

    #[test]
    fn a_pattern_made_to_blow_up_is_harmless() {
        let schema = compile(&json!({ "pattern": "^(a+)+$" })).unwrap();
        assert!(!schema.is_valid(&json!(format!("{}b", "a".repeat(100_000)))));
    }

    #[test]
    fn it_is_told_from_a_table_schema() {
        assert!(is_one(&json!({ "properties": {} })) && is_one(&json!(true)));
        assert!(is_one(&json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" })));
        assert!(!is_one(&json!({ "fields": [], "required": [] })) && !is_one(&json!({ "primaryKey": "x" })));
    }
}
