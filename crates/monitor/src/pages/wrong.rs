//! The pages' errors. A handler returns one; the door that mounts the pages gives it the form that the client wants: a page
//! for a browser, JSON for a program.

use super::frame::Frame;
use super::{Page, shown};
use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use handover_core::Error;
use http::StatusCode;
use std::sync::Arc;

/// Why there is no page.
#[derive(Debug, Clone)]
pub enum Wrong {
    /// The answer to the visitor: a status and a sentence.
    Said(StatusCode, String),
    /// Something failed; who mounts the pages knows what of it a client is told.
    Failed(Arc<Error>),
}

impl Wrong {
    /// 401: nobody knows who asks.
    pub fn unknown() -> Self {
        Self::Said(StatusCode::UNAUTHORIZED, "log in with an API key".into())
    }

    /// 403: what they may not.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::Said(StatusCode::FORBIDDEN, why.into())
    }

    /// 404: what is not there.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::Said(StatusCode::NOT_FOUND, what.into())
    }

    /// 409: what cannot be done as things stand.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::Said(StatusCode::CONFLICT, why.into())
    }

    /// 400: what was asked cannot be understood.
    pub fn bad(what: impl Into<String>) -> Self {
        Self::Said(StatusCode::BAD_REQUEST, what.into())
    }

    /// 503: what does not answer.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::Said(StatusCode::SERVICE_UNAVAILABLE, what.into())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Said(status, _) => *status,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl IntoResponse for Wrong {
    /// An empty answer that carries what is wrong.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

/// The way to the login page, and from there back to where one wanted to go.
pub fn to_login(path: &str) -> Response {
    let to = if path == "/" { String::new() } else { path.to_owned() };
    let mut response = Redirect::to(&shown::link("/login", &[("to", &to)])).into_response();
    super::harden(response.headers_mut());
    response
}

/// The page that says what is wrong.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    frame: Frame,
    status: u16,
    message: String,
    request_id: String,
}

impl ErrorPage {
    /// The answer for a person.
    pub fn response(status: StatusCode, code: &str, message: &str, request_id: &str) -> Response {
        let title = match status {
            StatusCode::NOT_FOUND => "Not here",
            StatusCode::FORBIDDEN => "Not with this key",
            StatusCode::UNAUTHORIZED => "Log in",
            StatusCode::CONFLICT => "Not any more",
            StatusCode::TOO_MANY_REQUESTS => "Too often",
            StatusCode::SERVICE_UNAVAILABLE if code == "UNAVAILABLE" => "The ledger does not answer",
            StatusCode::SERVICE_UNAVAILABLE => "Not now",
            status if status.is_server_error() => "A fault in Handover",
            _ => "This request is not understood",
        };
        let page = Self {
            frame: Frame::bare(title),
            status: status.as_u16(),
            message: message.to_owned(),
            request_id: request_id.to_owned(),
        };
        let mut response = Page(page).into_response();
        *response.status_mut() = status;
        super::harden(response.headers_mut());
        response
    }
}
