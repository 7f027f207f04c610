//! What every page passes: a bound on how long it takes, and the headers that tell a browser what a page may do.

use super::{ACT_PATIENCE, PATIENCE, Wrong};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Nothing but our own files, no script or style in a page's text, no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The way of a request for a page.
pub(super) async fn pass(request: Request, next: Next) -> Response {
    let patience = if request.method().is_safe() { PATIENCE } else { ACT_PATIENCE };
    let made = tokio::time::timeout(patience, next.run(request)).await;
    let mut response = made.unwrap_or_else(|_| {
        let seconds = patience.as_secs();
        Wrong::unavailable(format!("the ledger does not answer within {seconds} s: try again"))
            .into_response()
    });
    harden(response.headers_mut());
    response
}

/// Adds what tells a browser to keep others out.
pub fn harden(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nothing to others. To ourselves it is needed: without it a form's Origin would be `null`.
        (header::REFERRER_POLICY, "same-origin"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
        (PERMISSIONS, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
