//! The one error of this door: a status, a code for programs, a message for people, details by field.
//!
//! A handler returns it; `door` gives it its form at the very end, because only there are the request's id and the form that
//! the client wants known: the envelope of v1, or problem details (RFC 9457) in v2 and for who asks for them.

use crate::model::{Detail, ErrorBody, ErrorEnvelope, Problem};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use handover_core::{Error, ErrorKind};
use handover_monitor::pages::Wrong;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::time::Duration;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error, on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Fault(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Detail>,
    headers: HeaderMap,
    /// What the log has to know, and the client has not.
    log: Option<String>,
}

/// Marks an answer with the status of an error that its handler has made whole.
#[derive(Debug, Clone)]
pub(crate) struct Whole;

/// The form in which a client gets an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"error":{…}}`.
    Envelope,
    /// RFC 9457.
    Problem,
    /// A page, for a person.
    Page,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let (message, details) = (message.into(), Vec::new());
        Self(Box::new(Inner { status, code, message, details, headers: HeaderMap::new(), log: None }))
    }

    /// The request is not one: its syntax, its headers.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The request is well formed, and its content will not do.
    pub(crate) fn invalid(details: Vec<Detail>) -> Self {
        let message = match &details[..] {
            [one] => format!("{}: {}", one.field, one.issue),
            many => format!("{} fields will not do", many.len()),
        };
        let mut fault = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", message);
        fault.0.details = details;
        fault
    }

    /// One field will not do.
    pub(crate) fn field(field: impl Into<String>, issue: impl Into<String>) -> Self {
        Self::invalid(vec![Detail { field: field.into(), issue: issue.into() }])
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", what)
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// Not now; in so long it may go.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, again: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(again)
    }

    /// The answer to a fault of ours: the message is for the log.
    pub(crate) fn internal(log: impl Into<String>) -> Self {
        let message = "a fault in Handover; its log has this request's id, and says more";
        let mut fault = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message);
        fault.0.log = Some(log.into());
        fault
    }

    /// What the log has to know, and the client has not.
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.0.log = Some(why.into());
        self
    }

    /// Says in how many seconds, rounded up, another try may go (RFC 9110, Retry-After).
    pub(crate) fn retry_after(self, again: Duration) -> Self {
        let seconds = again.as_millis().div_ceil(1_000).max(1);
        self.with(header::RETRY_AFTER, &seconds.to_string())
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// Adds the headers of an answer that turned out to be an error.
    pub(crate) fn with_all(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// The same of a request that cannot be understood.
    pub(crate) fn into_bad_request(mut self) -> Self {
        self.0.status = StatusCode::BAD_REQUEST;
        self.0.code = "BAD_REQUEST";
        self
    }

    #[cfg(test)]
    pub(crate) fn details(&self) -> &[Detail] {
        &self.0.details
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// What the log says of it.
    pub(crate) fn log(&self) -> &str {
        self.0.log.as_deref().unwrap_or(&self.0.message)
    }

    /// What the router, a limit or a library answered by a status alone.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::NOT_FOUND => {
                ("NOT_FOUND", "there is nothing under this path; /api/docs shows what there is")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                ("METHOD_NOT_ALLOWED", "this path does not take this method; Allow names those that it takes")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("TOO_LARGE", "the body is larger than is taken here"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("UNSUPPORTED_MEDIA_TYPE", "a body of this type is not taken here")
            }
            StatusCode::REQUEST_TIMEOUT => ("TIMEOUT", "the request took too long to come"),
            status if status.is_server_error() => return Self::internal(format!("the answer was {status}")),
            _ => ("BAD_REQUEST", "this request is not understood"),
        };
        Self::new(status, code, message)
    }

    /// The answer, in the form that the client wants.
    pub(crate) fn render(self, form: Form, request_id: &str, path: &str) -> Response {
        let Inner { status, code, message, details, headers, .. } = *self.0;
        let (media_type, body) = match form {
            Form::Page => return page((status, code, &message), headers, request_id, path),
            Form::Envelope => {
                let error =
                    ErrorBody { code: code.to_owned(), message, details, request_id: request_id.to_owned() };
                ("application/json", serde_json::to_vec(&ErrorEnvelope { error }))
            }
            Form::Problem => {
                let problem = Problem {
                    r#type: format!("urn:handover:error:{code}"),
                    title: status.canonical_reason().unwrap_or("Error").to_owned(),
                    status: status.as_u16(),
                    detail: message,
                    instance: path.to_owned(),
                    code: code.to_owned(),
                    errors: details,
                    request_id: request_id.to_owned(),
                };
                (PROBLEM_JSON, serde_json::to_vec(&problem))
            }
        };
        let mut response = Response::new(Body::from(body.unwrap_or_default()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The same for a person: a page, or the way to the login page.
fn page(
    (status, code, message): (StatusCode, &str, &str),
    headers: HeaderMap,
    request_id: &str,
    path: &str,
) -> Response {
    let mut response = match status {
        StatusCode::UNAUTHORIZED => handover_monitor::pages::to_login(path),
        _ => handover_monitor::pages::ErrorPage::response(status, code, message, request_id),
    };
    for (name, value) in headers.iter().filter(|(name, _)| **name != header::WWW_AUTHENTICATE) {
        response.headers_mut().append(name, value.clone());
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Failed(error) => Self::from(error.as_ref()),
            Wrong::Said(status, message) => match status {
                StatusCode::UNAUTHORIZED => Self::new(status, "UNAUTHORIZED", message),
                StatusCode::FORBIDDEN => Self::new(status, "FORBIDDEN", message),
                StatusCode::NOT_FOUND => Self::not_found(message),
                StatusCode::SERVICE_UNAVAILABLE => {
                    Self::unavailable("UNAVAILABLE", message, Duration::from_secs(2))
                }
                status => Self::new(status, "BAD_REQUEST", message),
            },
        }
    }
}

impl IntoResponse for Fault {
    /// An empty answer that carries the fault; `door` renders it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let said = match error.hint_text().filter(|hint| !hint.is_empty()) {
            Some(hint) => format!("{error}: {hint}"),
            None => error.to_string(),
        };
        let (status, code) = match error.kind() {
            ErrorKind::Config | ErrorKind::BadData => (StatusCode::UNPROCESSABLE_ENTITY, error.code()),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, error.code()),
            ErrorKind::Stale | ErrorKind::IllegalTransition | ErrorKind::Exists | ErrorKind::Cancelled => {
                (StatusCode::CONFLICT, error.code())
            }
            ErrorKind::NotYet => {
                return Self::unavailable("NOT_YET", said, Duration::from_secs(5));
            }
            ErrorKind::Io => {
                let message = "the ledger or the data directory cannot be used now; what was not answered may or may not have been done: ask again";
                let mut fault = Self::unavailable("UNAVAILABLE", message, Duration::from_secs(2));
                fault.0.log = Some(said);
                return fault;
            }
            ErrorKind::Denied
            | ErrorKind::Program
            | ErrorKind::Service
            | ErrorKind::Timeout
            | ErrorKind::Internal => {
                return Self::internal(said);
            }
        };
        Self::new(status, code, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_to_the_log_alone() {
        let fault = Fault::from(Error::new(ErrorKind::Io, "connection refused to db.internal:5432"));
        assert_eq!((fault.status().as_u16(), fault.code()), (503, "UNAVAILABLE"));
        assert!(fault.log().contains("db.internal") && !fault.0.message.contains("db.internal"));
        assert_eq!(fault.0.headers[header::RETRY_AFTER], "2");
        let fault = Fault::from(Error::not_found("there is no delivery 7"));
        assert_eq!((fault.status().as_u16(), fault.code()), (404, "NOT_FOUND"));
    }
}
