//! The JSON Schema (2020-12) of handover.yaml, for editors: `handover schema` prints it.
//!
//! It is made of the same types that read the file, so it cannot fall behind them.

use super::builtin;
use super::settings::RawConfig;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The JSON Schema of the whole file; `with:` of a built-in app follows from its `uses:`.
pub fn json_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut rules = Vec::new();
    for (name, schema) in builtin::schemas(&mut generator) {
        rules.push(json!({
            "if": { "properties": { "uses": { "const": name } }, "required": ["uses"] },
            "then": { "properties": { "with": schema } },
        }));
    }
    let root = generator.into_root_schema_for::<RawConfig>();
    let mut root = Value::from(root);
    if let Some(app) = root.pointer_mut("/$defs/App").and_then(Value::as_object_mut) {
        app.insert("allOf".to_owned(), Value::Array(rules));
        let one = |key: &str| json!({ "required": [key] });
        app.insert("oneOf".to_owned(), json!([one("uses"), one("run"), one("url")]));
    }
    if let Some(top) = root.as_object_mut() {
        top.insert("required".to_owned(), json!(["apps"]));
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_every_key_and_each_built_in_app() {
        let schema = json_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        for key in [
            "data",
            "ledger",
            "apps",
            "flows",
            "api",
            "lease",
            "timezone",
            "migrate",
            "notify",
            "archive",
            "metrics",
            "traces",
            "unknown_apps",
        ] {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
        assert_eq!(schema["additionalProperties"], false);
        let app = &schema["$defs"]["App"];
        assert_eq!(app["additionalProperties"], false);
        let rules = app["allOf"].as_array().unwrap();
        assert_eq!(rules.len(), 5);
        assert_eq!(rules[0]["if"]["properties"]["uses"]["const"], "file-importer");
    }
}
