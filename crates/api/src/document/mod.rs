//! The OpenAPI document, made from the routes, and what shows it: `/api/openapi.json`, `/api/docs`.
//!
//! What the handlers say is completed here: names of operations that are unique, both forms of errors, who must show a key, and in
//! v2 one operation for each app of a configuration, whose body is the app's own schema. What service apps say of themselves is taken
//! in ([`merge`]) as it comes ([`fetch`]).

mod fetch;
mod merge;

pub(crate) use fetch::Documents;

use crate::fault::{Fault, PROBLEM_JSON};
use crate::model::{ErrorEnvelope, Job, Problem};
use crate::routes;
use crate::state::Api;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use handover_core::{Error, Result};
use handover_runtime::config::{Auth, Config, Runs};
use handover_runtime::operations::jobs::Contracts;
use http::header;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa_swagger_ui::Config as SwaggerConfig;

/// The media type of bytes.
const OCTETS: &str = "application/octet-stream";

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(Problem, ErrorEnvelope, Job)))]
struct Base;

/// The document; with a configuration, that of its API.
///
/// # Errors
/// Where the schemas of the configuration's apps will not do.
pub fn document(config: Option<&Config>) -> Result<Value> {
    let mut made = Base::openapi();
    made.merge(routes::all().into_openapi());
    let text = made.to_json().map_err(|e| Error::internal("the OpenAPI document").because(e.to_string()))?;
    let mut document: Value = serde_json::from_str(&text)
        .map_err(|e| Error::internal("the OpenAPI document").because(e.to_string()))?;
    document["info"] = json!({
        "title": "Handover",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Apps as services: jobs are submitted, followed, cancelled and replayed, their results fetched; records are pushed and pulled; files are uploaded and downloaded.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["servers"] = json!([{ "url": "/", "description": "This server" }]);
    document["tags"] = json!([
        { "name": "jobs", "description": "What an app is asked to do" },
        { "name": "apps", "description": "The apps of the configuration" },
        { "name": "staging", "description": "Records" },
        { "name": "files", "description": "Files with their manifests" },
        { "name": "deliveries", "description": "Whatever was handed over: files, records, jobs" },
        { "name": "system", "description": "Whether the process works" },
    ]);
    document["components"]["securitySchemes"] = json!({
        "key": { "type": "http", "scheme": "bearer", "description": "An API key: `handover keys create`" },
        "header": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, in a header of its own" },
    });
    document["security"] = json!([{ "key": [] }, { "header": [] }]);
    complete_paths(&mut document);
    if let Some(config) = config {
        add_tokens(&mut document, config);
        add_apps(&mut document, config)?;
    }
    Ok(document)
}

/// Who issues the tokens that are taken, where any are.
fn add_tokens(document: &mut Value, config: &Config) {
    let Some(api) = &config.api else { return };
    let Some(oauth) = &api.oauth else { return };
    let issuer = oauth.issuer.trim_end_matches('/');
    document["components"]["securitySchemes"]["token"] = json!({
        "type": "openIdConnect",
        "openIdConnectUrl": format!("{issuer}/.well-known/openid-configuration"),
        "description": format!("An access token of {issuer}"),
    });
    let token = json!({ "token": [] });
    document["security"] = match api.auth {
        Auth::Keys => json!([token, { "key": [] }, { "header": [] }]),
        Auth::Tokens | Auth::None => json!([token]),
    };
}

/// The document as it is served, with what is known of service apps.
fn bytes(config: &Config, known: &fetch::Known) -> Result<Vec<u8>> {
    let mut whole = document(Some(config))?;
    for app in &config.apps {
        let Runs::Service(settings) = &app.runs else { continue };
        let first = settings.groups.first().and_then(|group| group.upstreams.first());
        let upstream = first.map_or("", |upstream| upstream.path());
        let merged = known
            .get(app.name.as_str())
            .cloned()
            .map(|theirs| merge::merge(&mut whole, app.name.as_str(), upstream, theirs));
        if !matches!(merged, Some(Ok(()))) {
            merge::generic(&mut whole, app.name.as_str());
        }
    }
    serde_json::to_vec(&whole).map_err(|e| Error::internal("the OpenAPI document").because(e))
}

fn complete_paths(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let all = std::mem::take(paths).into_iter();
    *paths = all
        .map(|(path, item)| if path.contains("{*path}") { file_path(&path, item) } else { (path, item) })
        .collect();
    for (path, item) in paths.iter_mut() {
        let version = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next()).map(str::to_owned);
        let resource = path.split('/').nth(3).unwrap_or_default().to_owned();
        let Some(operations) = item.as_object_mut() else { continue };
        for operation in operations.values_mut().filter(|one| one.is_object()) {
            if let Some(version) = &version {
                let id = operation["operationId"].as_str().unwrap_or_default();
                operation["operationId"] = json!(format!("{version}_{resource}_{id}"));
            }
            let is_v2 = version.as_deref() == Some("v2");
            let is_open = operation["security"] == json!([{}]);
            if let Some(body) = operation.get_mut("requestBody") {
                binary_body(body, OCTETS);
                if path.ends_with("/pull") {
                    body["required"] = json!(false);
                }
            }
            if let Some(responses) = operation["responses"].as_object_mut() {
                // What the door may answer to any request.
                for status in ["400", "401", "403", "429", "503"].into_iter().filter(|_| !is_open) {
                    responses.entry(status).or_insert_with(|| error_response(""));
                }
                for (status, response) in responses.iter_mut() {
                    // What is downloaded has the type that it was made with.
                    binary_body(response, "*/*");
                    describe(status, response);
                    if status.starts_with(['4', '5']) {
                        or_envelope(response);
                        complete_error(response, is_v2);
                    }
                }
            }
        }
    }
}

/// The path of a file in pieces: a document has no parameter with slashes in it.
fn file_path(path: &str, mut item: Value) -> (String, Value) {
    let piece = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema });
    let text = json!({ "type": "string" });
    let pieces = [
        piece("folder", "The app's folder", text.clone()),
        piece("date", "The date in its name", json!({ "type": "string", "format": "date" })),
        piece("name", "Its name, such as file-importer_sales_2025-11-24_001.csv", text),
    ];
    for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
        if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
            parameters.retain(|parameter| parameter["in"] != "path");
            parameters.splice(0..0, pieces.clone());
        }
    }
    (path.replace("{*path}", "{folder}/{date}/{name}"), item)
}

fn error_response(description: &str) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/ErrorEnvelope" } } } })
}

/// A body of bytes is no array of numbers, which a vector of them is otherwise.
fn binary_body(holder: &mut Value, media_type: &str) {
    let content = holder.get_mut("content").and_then(Value::as_object_mut);
    if let Some(content) = content.filter(|content| content.contains_key(OCTETS)) {
        content.remove(OCTETS);
        content.insert(media_type.to_owned(), json!({ "schema": { "type": "string", "format": "binary" } }));
    }
}

/// What a status means, where the operation does not say it better.
fn describe(status: &str, response: &mut Value) {
    if response["description"].as_str().is_some_and(|said| !said.is_empty()) {
        return;
    }
    response["description"] = json!(match status {
        "200" => "It is done",
        "201" => "It was made",
        "202" => "It is in the ledger",
        "400" => "The request is not one",
        "401" => "Show an API key",
        "403" => "This key may not do that",
        "404" => "It is not there",
        "408" => "The body did not come in time",
        "409" => "It does not stand so that this could be done",
        "413" => "The body is too large",
        "415" => "A body of this type is not taken",
        "416" => "The part is not there",
        "422" => "A field will not do",
        "429" => "Too many requests: Retry-After says when",
        "503" => "Not now: Retry-After says when",
        _ => "An error",
    });
}

/// Where an error tells more than an envelope does, the door may still answer with that.
fn or_envelope(response: &mut Value) {
    let envelope = json!({ "$ref": "#/components/schemas/ErrorEnvelope" });
    let schema =
        response.pointer_mut("/content/application~1json/schema").filter(|schema| **schema != envelope);
    if let Some(schema) = schema {
        *schema = json!({ "oneOf": [schema.take(), envelope] });
    }
}

/// An error has two forms: v2 gives problem details, v1 gives them to who accepts them.
fn complete_error(response: &mut Value, is_v2: bool) {
    let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    let content = response["content"].as_object_mut();
    let mut content = content.map(std::mem::take).unwrap_or_default();
    if is_v2 {
        content.clear();
    }
    content.insert(PROBLEM_JSON.to_owned(), problem);
    response["content"] = Value::Object(content);
}

/// Where an app is named, the apps of this configuration are.
fn name_apps(document: &mut Value, config: &Config) {
    let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
    document["components"]["schemas"]["JobRequest"]["properties"]["app"]["enum"] = json!(names);
    if names.iter().all(|name| *name != "scorer") {
        document["components"]["schemas"]["JobRequest"]["properties"]["app"]["example"] =
            json!(names.first());
    }
    let items = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = items.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    for parameter in operations.filter_map(|one| one.get_mut("parameters")?.as_array_mut()).flatten() {
        if parameter["name"] == "app" && parameter["in"] == "path" {
            parameter["schema"]["enum"] = json!(names);
        }
    }
}

/// One operation for each app that takes jobs: its body is the app's own schema.
fn add_apps(document: &mut Value, config: &Config) -> Result<()> {
    let contracts = Contracts::new(config)?;
    name_apps(document, config);
    let mut responses = document["paths"]["/api/v2/jobs"]["post"]["responses"].clone();
    if let Some(responses) = responses.as_object_mut() {
        responses.remove("404");
    }
    for app in &config.apps {
        if app.is_source() {
            continue;
        }
        let name = app.name.as_str();
        let schema = contracts.schema(name).cloned();
        let mut schema = schema
            .unwrap_or_else(|| json!({ "type": "object", "additionalProperties": app.program().is_some() }));
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$id");
        }
        let component = format!("{name}-config");
        let place = format!("#/components/schemas/{component}");
        lead_into(&mut schema, &place);
        document["components"]["schemas"][component] = schema;
        let schema = json!({ "$ref": place });
        let summary = app.description.clone().unwrap_or_else(|| format!("Submits a job of {name}"));
        document["paths"][format!("/api/v2/apps/{name}/jobs")] = json!({ "post": {
            "tags": ["jobs"],
            "operationId": format!("v2_apps_{}_submit", name.replace('-', "_")),
            "summary": summary,
            "parameters": [
                { "name": "Idempotency-Key", "in": "header", "required": app.job.key_required, "schema": { "type": "string", "minLength": 1, "maxLength": 255 } },
                { "name": "Prefer", "in": "header", "required": false, "schema": { "type": "string" } },
                { "name": "input_file", "in": "query", "required": false, "description": "A published file that is its input", "schema": { "type": "string" } },
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } },
            "responses": responses,
        } });
    }
    Ok(())
}

/// A schema that stands within another document refers to its own parts by where it stands there.
fn lead_into(schema: &mut Value, place: &str) {
    match schema {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                match value {
                    Value::String(text) if name == "$ref" && text.starts_with('#') => {
                        *text = format!("{place}{}", &text[1..]);
                    }
                    value => lead_into(value, place),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead_into(item, place)),
        _ => {}
    }
}

/// What shows the document.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/openapi.json", get(serve_document))
        .route("/api/docs", get(|| async { Redirect::permanent("/api/docs/") }))
        .route("/api/docs/", get(|| serve_page(Path(String::new()))))
        .route("/api/docs/{*page}", get(serve_page))
}

async fn serve_document(State(api): State<Api>) -> Response {
    let bytes = api.current().documents.served();
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], Body::from(bytes))
        .into_response()
}

/// A file of Swagger UI, from within the binary.
async fn serve_page(Path(page): Path<String>) -> std::result::Result<Response, Fault> {
    let config = Arc::new(SwaggerConfig::from("/api/openapi.json"));
    match utoipa_swagger_ui::serve(&page, config) {
        Ok(Some(file)) => {
            let security = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
            let headers = [
                (header::CONTENT_TYPE, file.content_type),
                (header::CONTENT_SECURITY_POLICY, security.to_owned()),
                (header::CACHE_CONTROL, "no-cache".to_owned()),
            ];
            Ok((headers, file.bytes.to_vec()).into_response())
        }
        Ok(None) => Err(Fault::not_found("there is no such page")),
        Err(e) => Err(Fault::internal(e.to_string())),
    }
}
