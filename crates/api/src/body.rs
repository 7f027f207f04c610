//! What a request brings, read strictly: JSON bodies, query parameters, numbers in paths; each wrong thing named by its field.

use crate::fault::Fault;
use crate::model::Detail;
use crate::state::Api;
use axum::extract::{FromRequest, FromRequestParts, Request};
use handover_core::DeliveryId;
use handover_core::units::format_size;
use handover_database::record::from_json;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// So deep a body may lie: in the ledger it lies a few levels deeper, and must be read from there.
const DEPTH_MAX: usize = 64;
/// So many values a body may have: each takes a hundred bytes or more of memory.
const VALUES_MAX: usize = 50_000;

/// A JSON body, as a value and as what it means.
pub(crate) struct JsonBody<T> {
    pub(crate) value: Value,
    pub(crate) meant: T,
}

impl<T: DeserializeOwned> FromRequest<Api> for JsonBody<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Fault> {
        let most = api.current().config.limits.body;
        require_json(request.headers())?;
        let bytes = read(request, most).await?;
        let value = parse(&bytes)?;
        let meant = understand(&value)?;
        Ok(Self { value, meant })
    }
}

/// A JSON body that may be missing: then it is an empty object.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Api> for OptionalJson<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Fault> {
        let most = api.current().config.limits.body;
        let headers = request.headers().clone();
        let bytes = read(request, most).await?;
        if bytes.is_empty() {
            return understand(&Value::Object(serde_json::Map::new())).map(Self);
        }
        require_json(&headers)?;
        understand(&parse(&bytes)?).map(Self)
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type(given);
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let message = match given {
        "" => "the body has no Content-Type: application/json is taken here".to_owned(),
        other => format!("a body of the type {other:?} is not taken here: application/json is"),
    };
    Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
        .with(header::ACCEPT, "application/json"))
}

/// A media type without its parameters, in lower case.
pub(crate) fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body whose length is said and is more than is taken, before any of it is read.
///
/// # Errors
/// 413.
pub(crate) fn refuse_too_large(headers: &HeaderMap, most: u64) -> Result<(), Fault> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > most) { Err(too_large(most)) } else { Ok(()) }
}

/// Reads a body of at most so many bytes.
async fn read(request: Request, most: u64) -> Result<bytes::Bytes, Fault> {
    refuse_too_large(request.headers(), most)?;
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(most)),
        Err(e) => Err(cut(&e)),
    }
}

/// A body that is larger than is taken.
pub(crate) fn too_large(most: u64) -> Fault {
    let message = format!("the body is larger than {}, which is taken here", format_size(most));
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message)
}

/// A body that ended before its end.
pub(crate) fn cut(why: &impl std::fmt::Display) -> Fault {
    Fault::new(StatusCode::REQUEST_TIMEOUT, "BODY_CUT", format!("the body did not come whole: {why}"))
        .with(header::CONNECTION, "close")
}

/// Reads JSON as strictly as records are read: no name twice in an object, no number that would come out as another, no NUL;
/// and not so deep, or of so many values, that it would be a burden.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    if bytes.is_empty() {
        return Err(Fault::bad_request("MALFORMED_JSON", "the body is empty, and JSON is wanted"));
    }
    let (deep, many) = measure(bytes);
    let malformed =
        |e: serde_json::Error| Fault::bad_request("MALFORMED_JSON", format!("the body is not JSON: {e}"));
    let invalid = |why: String| Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", why);
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(malformed)?;
    if deep > DEPTH_MAX {
        return Err(invalid(format!("the body lies more than {DEPTH_MAX} arrays and objects deep")));
    }
    if many > VALUES_MAX {
        let why =
            format!("the body has more than {VALUES_MAX} values: put large data in as a file or as records");
        return Err(invalid(why));
    }
    match from_json(bytes) {
        Ok(value) => Ok(value.into()),
        Err(why) => {
            // What no reader of JSON takes is malformed; what one would take and change is not.
            serde_json::from_slice::<Value>(bytes).map_err(malformed)?;
            Err(invalid(format!("the body cannot be kept as it is: {why}")))
        }
    }
}

/// How deep a JSON text lies, and about how many values it has: a look at its bytes, before anything is built of it.
fn measure(bytes: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values, mut in_text, mut escaped) = (0_usize, 0, 1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    (deepest, values)
}

/// What a value means; the field that will not do is named by its path.
pub(crate) fn understand<T: DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    if !value.is_object() {
        return Err(Fault::field("", "the body must be a JSON object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let named = message
            .split('`')
            .nth(1)
            .filter(|_| message.starts_with("unknown field") || message.starts_with("missing field"));
        let field = match (path.as_str(), named) {
            (".", Some(name)) => name.to_owned(),
            (".", None) => String::new(),
            (path, Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
                format!("{path}.{name}")
            }
            (path, _) => path.to_owned(),
        };
        Fault::field(field, message)
    })
}

/// Query parameters; an unknown one, or one that will not do, is named.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(meant)) => Ok(Self(meant)),
            Err(rejected) => {
                let text = rejected.body_text();
                let issue =
                    text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text).to_owned();
                let (field, issue) = match issue.split_once(": ") {
                    Some((field, issue)) if !field.contains(' ') => (field.to_owned(), issue.to_owned()),
                    _ => (issue.split('`').nth(1).unwrap_or_default().to_owned(), issue),
                };
                let mut fault = Fault::invalid(vec![Detail { field, issue }]);
                fault = fault.into_bad_request();
                Err(fault)
            }
        }
    }
}

/// A delivery's number in a path; what is no number is not there.
pub(crate) struct Id(pub(crate) DeliveryId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let none = || Fault::not_found("there is no delivery of this number");
        let params =
            axum::extract::RawPathParams::from_request_parts(parts, state).await.map_err(|_| none())?;
        let id = params.iter().find(|(name, _)| *name == "id").and_then(|(_, text)| text.parse::<i64>().ok());
        id.filter(|id| *id > 0).map(|id| Self(DeliveryId(id))).ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Asked {
        app: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        max: u32,
    }

    #[test]
    fn what_will_not_do_is_named_by_its_field() {
        let field = |text: &str| {
            let fault = understand::<Asked>(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert_eq!(fault.status(), 422);
            fault.details()[0].field.clone()
        };
        assert_eq!(field(r#"{}"#), "app");
        assert_eq!(field(r#"{"app": 7}"#), "app");
        assert_eq!(field(r#"{"app": "a", "ap": 1}"#), "ap");
        assert_eq!(field(r#"{"app": "a", "inner": {"max": -1}}"#), "inner.max");
        assert_eq!(field(r#"{"app": "a", "inner": {}}"#), "inner.max");
        assert_eq!(field(r#"{"app": "a", "inner": {"max": 1, "min": 2}}"#), "inner.min");
        assert_eq!(field("[1]"), "");
    }

    #[test]
    fn deep_and_broken_json_is_refused() {
        for text in ["", "{", "nul", "{\"a\":1e999}", "\u{feff}{}"] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().status(), 400, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()).unwrap_err().status(), 400);
        assert_eq!(parse(br#"{"a":"\u0000"}"#).unwrap_err().status(), 422);
    }
}
