//! What two programs could read differently is refused: which host is meant, how long a message is, who asks.
//!
//! The parser has refused what is no HTTP at all. What is left here are messages that some take in one way and some in
//! another, which is how requests are smuggled past a gateway (RFC 9112, section 11.2).

use super::{hop, request};
use crate::door;
use crate::fault::Fault;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use std::sync::LazyLock;

/// The name under which this process stands in `Via`. Each has its own: only what comes back to the same is a loop.
pub(super) static PSEUDONYM: LazyLock<String> = LazyLock::new(|| {
    let random = crate::auth::random(10).unwrap_or_else(|_| std::process::id().to_string());
    format!("handover-{random}")
});

/// Checks the head of a request.
///
/// # Errors
/// 400 where it is ambiguous, 508 where it was here before.
pub(super) fn check(head: &Parts) -> Result<(), Fault> {
    host(head)?;
    length(head)?;
    names(&head.headers)?;
    expect(&head.headers)?;
    came_back(&head.headers)
}

fn bad(message: impl Into<String>) -> Fault {
    Fault::bad_request("BAD_REQUEST", message)
}

/// One host is named, once, or twice the same.
fn host(head: &Parts) -> Result<(), Fault> {
    door::has_host(head.version, &head.headers)?;
    let mut values = head.headers.get_all(header::HOST).iter();
    let named = values.next();
    if values.next().is_some() {
        return Err(bad("Host is given twice"));
    }
    let authority = head.uri.authority();
    match (named, authority) {
        (Some(host), Some(authority)) => {
            if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                return Ok(());
            }
            Err(bad("Host is another than the one that the request's line names"))
        }
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(bad("Host is no host with or without a port")),
        (None, Some(authority)) if authority.as_str().contains('@') => Err(bad("Host names a user")),
        (None, Some(_)) => Ok(()),
        (None, None) if head.version < Version::HTTP_11 => Ok(()),
        (None, None) => Err(bad("there is no Host")),
    }
}

fn is_host(value: &HeaderValue) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    if !value.is_empty() && value.as_bytes().iter().all(plain) && !value.as_bytes().starts_with(b":") {
        return true;
    }
    // What names a user goes to no service.
    Authority::try_from(value.as_bytes()).is_ok_and(|host| !host.as_str().contains(['@', '"', '\\']))
}

/// The body has one length: so many bytes, or chunks until the last.
fn length(head: &Parts) -> Result<(), Fault> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(bad("Content-Length is given twice"));
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if length.is_some() {
        return Err(bad("Content-Length and Transfer-Encoding are both given"));
    }
    if head.version != Version::HTTP_11 {
        return Err(bad("Transfer-Encoding is of HTTP/1.1 alone"));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        let message = "no other transfer coding than `chunked` is taken";
        return Err(Fault::new(StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message));
    }
    Ok(())
}

/// No name is one of ours in disguise: many servers hand `X_Forwarded_For` and `X-Forwarded-For` to a program as one.
fn names(headers: &HeaderMap) -> Result<(), Fault> {
    for name in headers.keys() {
        let text = name.as_str();
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            continue;
        }
        let read: String =
            text.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
        let is_ours = |name: &HeaderName| request::is_ours(name) || hop::is_one(name) || is_framing(name);
        if HeaderName::try_from(read).is_ok_and(|name| is_ours(&name)) {
            return Err(bad(format!("a header named {text} can be taken for another: leave it out")));
        }
    }
    Ok(())
}

fn is_framing(name: &HeaderName) -> bool {
    matches!(*name, header::HOST | header::CONTENT_LENGTH)
}

fn expect(headers: &HeaderMap) -> Result<(), Fault> {
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            let message = "no other expectation than `100-continue` is known";
            Err(Fault::new(StatusCode::EXPECTATION_FAILED, "EXPECTATION_FAILED", message))
        }
        _ => Ok(()),
    }
}

/// Whether this process has passed the request on before.
fn came_back(headers: &HeaderMap) -> Result<(), Fault> {
    let ours = PSEUDONYM.as_bytes();
    let names_us = |value: &HeaderValue| value.as_bytes().windows(ours.len()).any(|part| part == ours);
    if !headers.get_all(header::VIA).iter().any(names_us) {
        return Ok(());
    }
    let message = "the service's address leads back here: `url` has to be where the service itself listens";
    Err(Fault::new(StatusCode::LOOP_DETECTED, "LOOP_DETECTED", message))
}
