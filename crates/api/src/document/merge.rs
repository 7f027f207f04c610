//! The document of a service app, made a part of ours: its paths stand where the gateway has them, its components under the app's
//! name, and who may ask is said by us.
//!
//! What another's document holds is data: nothing in it is followed, fetched or run. One that cannot be taken is refused as a
//! whole, with why.

use serde_json::{Map, Value, json};

/// So many operations of one service are taken.
const OPERATIONS_MAX: usize = 1_000;
/// What of a document's components is taken: who may ask is said by us.
const SECTIONS: [&str; 9] = [
    "schemas",
    "responses",
    "parameters",
    "examples",
    "requestBodies",
    "headers",
    "links",
    "callbacks",
    "pathItems",
];
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// Keywords whose values are names with schemas, or other things, below them.
const NAMES: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "responses"];
/// Keywords whose values are data.
const DATA: [&str; 5] = ["example", "default", "enum", "const", "value"];

/// Where an app's paths begin.
pub(super) fn base(app: &str) -> String {
    format!("/api/v1/services/{app}")
}

/// Takes the document of a service app into ours; `upstream` is the path that its requests get before theirs.
///
/// # Errors
/// Why it cannot be taken; then ours is as it was.
pub(super) fn merge(ours: &mut Value, app: &str, upstream: &str, mut theirs: Value) -> Result<(), String> {
    let version = theirs["openapi"].as_str().unwrap_or_default().to_owned();
    let is_old = version.starts_with("3.0.");
    if !is_old && !version.starts_with("3.1.") {
        return Err(match version.as_str() {
            "" => "it does not say which OpenAPI it is (`openapi`)".to_owned(),
            other => format!("it is OpenAPI {other}, and 3.0 and 3.1 are taken"),
        });
    }
    let Some(Value::Object(paths)) = theirs.get_mut("paths").map(Value::take) else {
        return Err("it has no paths".to_owned());
    };
    let operations = paths.values().filter_map(Value::as_object);
    let count = operations.flat_map(Map::keys).filter(|key| METHODS.contains(&key.as_str())).count();
    if count > OPERATIONS_MAX {
        return Err(format!("it has {count} operations, and {OPERATIONS_MAX} are taken"));
    }
    let prefix = format!("{}{}", base(app), server_path(&theirs, upstream));
    let rename = Rename { app, prefix: &prefix, is_old };
    let mut taken = Vec::new();
    for (path, mut item) in paths {
        if !path.starts_with('/') {
            return Err(format!("{path:?} is no path"));
        }
        rename.walk(&mut item, false)?;
        complete(&mut item, app, &path);
        taken.push((format!("{prefix}{path}"), item));
    }
    let mut components = Vec::new();
    for section in SECTIONS {
        let Some(Value::Object(named)) = theirs["components"].get_mut(section).map(Value::take) else {
            continue;
        };
        for (name, mut component) in named {
            rename.walk(&mut component, false)?;
            components.push((section, format!("{app}.{name}"), component));
        }
    }
    for (path, item) in taken {
        ours["paths"][path] = item;
    }
    for (section, name, component) in components {
        ours["components"][section][name] = component;
    }
    let said = theirs["info"]["description"].as_str().or(theirs["info"]["title"].as_str());
    add_tag(ours, app, said.unwrap_or("A service"));
    Ok(())
}

/// One operation for each method, for an app of which no document is known.
pub(super) fn generic(ours: &mut Value, app: &str) {
    let mut item = Map::new();
    for method in ["get", "put", "post", "delete", "patch"] {
        let mut operation = json!({
            "summary": format!("Whatever {app} answers"),
            "responses": { "default": { "description": "What the service answers", "content": { "*/*": {} } } },
        });
        if matches!(method, "put" | "post" | "patch") {
            operation["requestBody"] = json!({ "required": false, "content": { "*/*": {} } });
        }
        item.insert(method.to_owned(), operation);
    }
    item.insert(
        "parameters".to_owned(),
        json!([{ "name": "path", "in": "path", "required": true, "description": "The service's own path", "schema": { "type": "string" } }]),
    );
    let mut item = Value::Object(item);
    complete(&mut item, app, "/{path}");
    ours["paths"][format!("{}/{{path}}", base(app))] = item;
    add_tag(ours, app, "A service");
}

fn add_tag(ours: &mut Value, app: &str, said: &str) {
    if let Some(tags) = ours["tags"].as_array_mut() {
        tags.push(json!({ "name": app, "description": said }));
    }
}

/// The path of the server that a document speaks of, where our requests do not get it anyway.
fn server_path(theirs: &Value, upstream: &str) -> String {
    let url = theirs["servers"][0]["url"].as_str().unwrap_or_default();
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    };
    let path = path.trim_end_matches('/');
    let rest = path.strip_prefix(upstream.trim_end_matches('/')).unwrap_or(path);
    if rest.starts_with('/') && !rest.contains(['{', '?', '#']) { rest.to_owned() } else { String::new() }
}

/// What each operation has of ours.
fn complete(item: &mut Value, app: &str, path: &str) {
    let Some(item) = item.as_object_mut() else { return };
    item.remove("servers");
    for (method, operation) in item.iter_mut().filter(|(key, _)| METHODS.contains(&key.as_str())) {
        let Some(operation) = operation.as_object_mut() else { continue };
        operation.remove("servers");
        operation.remove("security");
        operation.insert("tags".to_owned(), json!([app]));
        let own = operation.get("operationId").and_then(Value::as_str).map(str::to_owned);
        let own = own.unwrap_or_else(|| format!("{method}{}", path.replace(['/', '{', '}'], "_")));
        operation.insert("operationId".to_owned(), json!(format!("v1_services_{app}_{own}")));
        let responses = operation.entry("responses").or_insert_with(|| json!({}));
        let Some(responses) = responses.as_object_mut() else { continue };
        for (status, what) in [
            ("401", "Show an API key"),
            ("403", "This key may not do that"),
            ("429", "Too many requests: Retry-After says when"),
            ("502", "The service gave no answer"),
            ("503", "Not now: Retry-After says when"),
            ("504", "The service did not answer in time"),
        ] {
            responses.entry(status).or_insert_with(|| super::error_response(what));
        }
    }
}

/// Gives references the names that their ends have in our document, and old schemas their form of 3.1.
struct Rename<'a> {
    app: &'a str,
    prefix: &'a str,
    is_old: bool,
}

impl Rename<'_> {
    /// `names` where the keys are names and no keywords.
    fn walk(&self, value: &mut Value, names: bool) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.walk(item, false)),
            Value::Object(map) => {
                if !names {
                    self.keywords(map)?;
                }
                for (key, value) in map.iter_mut() {
                    if names || !DATA.contains(&key.as_str()) {
                        self.walk(value, !names && NAMES.contains(&key.as_str()))?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keywords(&self, map: &mut Map<String, Value>) -> Result<(), String> {
        for key in ["$ref", "operationRef"] {
            if let Some(Value::String(text)) = map.get_mut(key) {
                *text = self.reference(text)?;
            }
        }
        let mapping = map.get_mut("discriminator").and_then(|one| one.get_mut("mapping"));
        for end in mapping.and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
            if let Value::String(text) = end {
                let whole =
                    if text.starts_with('#') { text.clone() } else { format!("#/components/schemas/{text}") };
                *text = self.reference(&whole)?;
            }
        }
        if self.is_old {
            renew(map);
        }
        Ok(())
    }

    fn reference(&self, text: &str) -> Result<String, String> {
        let moved = text.strip_prefix("#/components/").and_then(|rest| {
            let (section, name) = rest.split_once('/')?;
            SECTIONS.contains(&section).then(|| format!("#/components/{section}/{}.{name}", self.app))
        });
        let path = || {
            let rest = text.strip_prefix("#/paths/~1")?;
            Some(format!("#/paths/{}~1{rest}", self.prefix.replace('/', "~1")))
        };
        // What a schema means by itself stays: `#` alone, and names that it gave.
        let own = || (text.starts_with('#') && !text.starts_with("#/")).then(|| text.to_owned());
        moved.or_else(path).or_else(own).ok_or_else(|| {
            format!(
                "it refers to {text:?}, which is not taken: paths and components of the same document are"
            )
        })
    }
}

/// A schema of 3.0 as 3.1 writes it.
fn renew(map: &mut Map<String, Value>) {
    if map.get("nullable").is_some_and(Value::is_boolean) {
        let nullable = map.remove("nullable") == Some(json!(true));
        if let Some(Value::String(kind)) = map.get("type").filter(|_| nullable) {
            let kinds = json!([kind, "null"]);
            map.insert("type".to_owned(), kinds);
        }
        if let Some(Value::Array(values)) = map.get_mut("enum").filter(|_| nullable)
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(excludes)) = map.get(exclusive).cloned() {
            map.remove(exclusive);
            if let Some(bound) = map.remove(bound).filter(|_| excludes) {
                map.insert(exclusive.to_owned(), bound);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Value {
        json!({ "openapi": "3.1.0", "paths": { "/api/v1/jobs": {} }, "components": { "schemas": { "Job": {} } }, "tags": [] })
    }

    fn theirs(version: &str) -> Value {
        json!({
            "openapi": version,
            "info": { "title": "Orders", "version": "1" },
            "servers": [{ "url": "https://orders.internal/shop/v2/" }],
            "security": [{ "oauth": [] }],
            "paths": {
                "/orders/{id}": {
                    "parameters": [{ "$ref": "#/components/parameters/Id" }],
                    "get": {
                        "operationId": "get", "security": [], "tags": ["a"],
                        "responses": { "200": { "description": "one", "content": { "application/json": {
                            "schema": { "$ref": "#/components/schemas/Job" }, "example": { "$ref": "data" } } },
                            "links": { "again": { "operationRef": "#/paths/~1orders~1{id}/get" } } } },
                    },
                },
                "/orders": { "post": { "responses": { "403": { "description": "theirs" } } } },
            },
            "components": {
                "securitySchemes": { "oauth": { "type": "oauth2" } },
                "parameters": { "Id": { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } } },
                "schemas": {
                    "Job": { "type": "object", "properties": {
                        "default": { "$ref": "#/components/schemas/Kind" },
                        "$ref": { "type": "string", "nullable": true },
                        "n": { "type": "number", "minimum": 0, "exclusiveMinimum": true },
                    } },
                    "Kind": { "oneOf": [{ "$ref": "#/components/schemas/Job" }],
                        "discriminator": { "propertyName": "k", "mapping": { "a": "Job", "b": "#/components/schemas/Job" } } },
                },
            },
        })
    }

    #[test]
    fn its_paths_and_components_stand_under_the_apps_name() {
        let mut all = ours();
        merge(&mut all, "orders", "/shop", theirs("3.0.3")).unwrap();
        let item = &all["paths"]["/api/v1/services/orders/v2/orders/{id}"];
        assert_eq!(item["parameters"][0]["$ref"], "#/components/parameters/orders.Id");
        let get = &item["get"];
        assert_eq!(
            (&get["operationId"], &get["tags"]),
            (&json!("v1_services_orders_get"), &json!(["orders"]))
        );
        assert!(get.get("security").is_none(), "who may ask is said by us");
        let content = &get["responses"]["200"]["content"]["application/json"];
        assert_eq!(content["schema"]["$ref"], "#/components/schemas/orders.Job");
        assert_eq!(content["example"]["$ref"], "data", "what is data stays");
        assert_eq!(
            get["responses"]["200"]["links"]["again"]["operationRef"],
            "#/paths/~1api~1v1~1services~1orders~1v2~1orders~1{id}/get"
        );
        let post = &all["paths"]["/api/v1/services/orders/v2/orders"]["post"];
        assert_eq!(post["responses"]["403"]["description"], "theirs");
        assert!(post["responses"]["502"].is_object());
        let schemas = &all["components"]["schemas"];
        assert_eq!(schemas["Job"], json!({}), "ours stays");
        let properties = &schemas["orders.Job"]["properties"];
        assert_eq!(properties["default"]["$ref"], "#/components/schemas/orders.Kind", "a name is no keyword");
        assert_eq!(properties["$ref"], json!({ "type": ["string", "null"] }));
        assert_eq!(properties["n"], json!({ "type": "number", "exclusiveMinimum": 0 }));
        let mapping = &schemas["orders.Kind"]["discriminator"]["mapping"];
        assert!(mapping["a"] == mapping["b"] && mapping["a"] == "#/components/schemas/orders.Job");
        assert!(all["components"].get("securitySchemes").is_none());
        assert_eq!(all["tags"], json!([{ "name": "orders", "description": "Orders" }]));
    }

    #[test]
    fn what_cannot_be_taken_is_refused_whole() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let (mut all, mut one) = (ours(), theirs("3.1.0"));
            change(&mut one);
            let why = merge(&mut all, "orders", "", one).unwrap_err();
            assert_eq!(all, ours(), "{why}");
            why
        };
        assert!(refused(&|one| one["openapi"] = json!("3.2.0")).contains("3.2.0"));
        assert!(refused(&|one| *one = json!({ "swagger": "2.0", "paths": {} })).contains("does not say"));
        assert!(refused(&|one| one["paths"] = json!([])).contains("no paths"));
        assert!(refused(&|one| one["paths"]["x"] = json!({})).contains("no path"));
        let elsewhere = json!({ "$ref": "http://169.254.169.254/latest" });
        assert!(refused(&|one| one["paths"]["/x"] = elsewhere.clone()).contains("refers to"));
        let many: Map<String, Value> = (0..1_001).map(|n| (format!("/{n}"), json!({ "get": {} }))).collect();
        assert!(refused(&|one| one["paths"] = Value::Object(many.clone())).contains("1001 operations"));
    }

    #[test]
    fn a_service_without_a_document_has_its_operations_all_the_same() {
        let mut all = ours();
        generic(&mut all, "bill");
        let item = &all["paths"]["/api/v1/services/bill/{path}"];
        assert_eq!(item["post"]["operationId"], "v1_services_bill_post__path_");
        assert!(item["get"]["responses"]["504"].is_object());
    }
}
