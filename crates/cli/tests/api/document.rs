//! Every exchange of these tests is held against the OpenAPI document that the server itself gives.
//!
//! The status must be documented for the operation, the body must be as its schema says, with no field beside it; what is
//! answered with 2xx must have been asked for by a documented body. Every error has its form, and the request's id.

use crate::http::{Answer, Ask};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// Method, path as it is documented, status.
pub(crate) type Pair = (String, String, u16);

/// The document of one server.
pub(crate) struct Document {
    pub(crate) root: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
    seen: Mutex<BTreeSet<Pair>>,
}

impl Document {
    pub(crate) fn new(root: Value) -> Self {
        Self { root, validators: Mutex::default(), seen: Mutex::default() }
    }

    /// The pairs that were seen.
    pub(crate) fn seen(&self) -> BTreeSet<Pair> {
        self.seen.lock().unwrap().clone()
    }

    /// All pairs that there are.
    pub(crate) fn pairs(&self) -> BTreeSet<Pair> {
        let mut pairs = BTreeSet::new();
        for (path, method, operation) in self.operations() {
            for status in operation["responses"].as_object().unwrap().keys() {
                pairs.insert((method.to_uppercase(), path.to_owned(), status.parse().unwrap()));
            }
        }
        pairs
    }

    /// Path, method and operation of each that is ours: what a service answers is its own.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.root["paths"].as_object().unwrap().iter();
        paths.filter(|(path, _)| !path.starts_with("/api/v1/services/")).flat_map(|(path, item)| {
            let of_item = item.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object());
            of_item.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    /// The paths as they are documented that a path is one of, the plainest first.
    fn templates(&self, path: &str) -> Vec<&str> {
        let given: Vec<&str> = path.split('/').collect();
        let is_one = |template: &str| {
            let pieces: Vec<&str> = template.split('/').collect();
            pieces.len() == given.len()
                && pieces
                    .iter()
                    .zip(&given)
                    .all(|(piece, given)| (piece.starts_with('{') && !given.is_empty()) || piece == given)
        };
        let paths = self.root["paths"].as_object().unwrap().keys().map(String::as_str);
        let mut found: Vec<&str> = paths.filter(|template| is_one(template)).collect();
        found.sort_by_key(|template| template.matches('{').count());
        found
    }

    fn find(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
        let item = self.templates(path).into_iter().next()?;
        let operation = &self.root["paths"][item][method];
        operation.is_object().then_some((item, operation))
    }

    /// Fails where an exchange is not as it is documented.
    #[track_caller]
    pub(crate) fn check(&self, ask: &Ask, answer: &Answer) {
        let what = || format!("{} {}: {answer:?}\n{}", ask.method, ask.target, answer.text());
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("no X-Request-Id: {}", what()));
        assert!(id.starts_with("req_"), "{}", what());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{}", what());
        assert!(answer.header("cache-control").is_some(), "{}", what());
        // That something does not work is what was asked for, no error.
        let tells_of_health = ask.path() == "/health" && answer.status == 503;
        if answer.status >= 400 && !tells_of_health {
            self.check_error(ask, answer, id);
        }
        let Some((path, operation)) = self.find(&ask.method, ask.path()) else {
            let undocumented =
                [400, 401, 404, 405, 429, 503].contains(&answer.status) || ask.method == "OPTIONS";
            assert!(
                undocumented || ask.path().starts_with("/api/docs") || ask.path() == "/api/openapi.json",
                "{}",
                what()
            );
            if ask.method == "OPTIONS" {
                return assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", what());
            }
            if answer.status == 405 {
                assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "{}", what());
            }
            return;
        };
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "the status is not documented for {path}: {}", what());
        self.seen.lock().unwrap().insert((ask.method.clone(), path.to_owned(), answer.status));
        self.check_body(path, answer, response, ask);
        if answer.status < 300 {
            self.check_request(path, ask, operation);
        }
    }

    fn check_error(&self, ask: &Ask, answer: &Answer, id: &str) {
        let accepts = ask.given("accept").unwrap_or_default();
        let problem = ask.path().starts_with("/api/v2/") || accepts.contains("application/problem+json");
        let (media_type, schema) = match problem {
            true => ("application/problem+json", "Problem"),
            false => ("application/json", "ErrorEnvelope"),
        };
        assert_eq!(answer.media_type(), media_type, "{} {}: {answer:?}", ask.method, ask.target);
        if ask.method == "HEAD" {
            return;
        }
        let body = answer.json();
        self.validate(&json!({ "$ref": format!("#/components/schemas/{schema}") }), &body, "an error");
        let said = if problem { &body["request_id"] } else { &body["error"]["request_id"] };
        assert_eq!(said, id, "{answer:?}");
        if problem {
            assert_eq!(body["status"], answer.status, "{answer:?}");
        }
        if [429, 503].contains(&answer.status) {
            let again = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
            assert!(again.is_some_and(|seconds| seconds >= 1), "{answer:?}");
        }
        if answer.status == 401 {
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
        }
    }

    fn check_body(&self, path: &str, answer: &Answer, response: &Value, ask: &Ask) {
        let documented = response["content"].as_object();
        let Some(documented) = documented.filter(|_| ask.method != "HEAD") else {
            assert!(answer.body.is_empty(), "{path} documents no body: {answer:?}");
            return;
        };
        let content = documented.get(answer.media_type()).or_else(|| documented.get("*/*"));
        let content = content.unwrap_or_else(|| panic!("{path} does not document this type: {answer:?}"));
        if answer.media_type().ends_with("json") && content["schema"]["format"] != "binary" {
            self.validate(&content["schema"], &answer.json(), path);
        }
    }

    /// What was taken must have been documented.
    fn check_request(&self, path: &str, ask: &Ask, operation: &Value) {
        let body = &operation["requestBody"];
        if ask.body.is_empty() {
            assert!(
                body["required"] != true || ask.path().contains("/files") || ask.path().contains("/staging"),
                "{path} needs a body: {ask:?}"
            );
            return;
        }
        assert!(body.is_object(), "{path} documents no body: {ask:?}");
        let given = ask.given("content-type").unwrap_or_default().split(';').next().unwrap().trim();
        let given = given.to_ascii_lowercase();
        let content = &body["content"];
        let content = content.get(&given).or_else(|| content.get("application/octet-stream"));
        let content = content.unwrap_or_else(|| panic!("{path} does not document a body of {given}"));
        if given == "application/json" && content["schema"]["format"] != "binary" {
            self.validate(&content["schema"], &serde_json::from_slice(&ask.body).unwrap(), path);
        }
    }

    /// Fails where a value is not as a schema of the document says.
    #[track_caller]
    fn validate(&self, schema: &Value, value: &Value, of: &str) {
        let mut validators = self.validators.lock().unwrap();
        let validator =
            validators.entry(schema.to_string()).or_insert_with(|| Arc::new(self.compile(schema))).clone();
        drop(validators);
        let faults: Vec<String> =
            validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{of} is not as it is documented: {faults:?}\n{value:#}");
    }

    /// A schema with all that it may name; what an object's schema does not name is no field of it.
    fn compile(&self, schema: &Value) -> Validator {
        let mut components = self.root["components"].clone();
        for one in components["schemas"].as_object_mut().unwrap().values_mut() {
            if one["properties"].is_object() && one["additionalProperties"].is_null() {
                one["additionalProperties"] = json!(false);
            }
        }
        let mut whole = schema.clone();
        whole["components"] = components;
        jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap()
    }
}
