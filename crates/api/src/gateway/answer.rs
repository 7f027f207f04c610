//! A service's answer, as the client gets it, and what the client gets where there is none.
//!
//! Status, headers and body are the service's own, its errors too. What is ours are the request's id, the rates, what is said
//! of the API's version, and who of other origins may read it: `Access-Control-…` of the service is replaced, because a
//! browser that is told twice believes neither.

use super::body::{Sent, Told};
use super::hop;
use crate::door;
use crate::fault::Fault;
use crate::rates::Said;
use crate::state::Current;
use handover_service::{Failure, Received};
use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};

const CROSS_ORIGIN: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Removes what was of the connection to the service alone.
pub(super) fn rewrite(response: &mut Response<Received>) {
    let names_protocol =
        matches!(response.status(), StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED);
    // A client is answered in the version in which it asked.
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    let protocol = if names_protocol { headers.get(header::UPGRADE).cloned() } else { None };
    // With chunks a length is none, whatever it says.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    hop::remove(headers);
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Adds what every answer has.
pub(super) fn finish(
    response: &mut Response<Sent>,
    current: &Current,
    path: &str,
    id: HeaderValue,
    limits: [Option<Said>; 2],
    origin: Option<HeaderValue>,
) {
    let headers = response.headers_mut();
    // Beside what the service says of its own.
    limits.into_iter().flatten().for_each(|said| said.put(headers));
    door::version_headers(current, path, headers);
    door::standard_headers(headers, id);
    let there: Vec<HeaderName> = headers.keys().filter(|name| CROSS_ORIGIN.contains(name)).cloned().collect();
    hop::remove_all(headers, &there);
    let Some(origin) = origin else { return };
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if door::may_read(current, &origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
}

/// What the client gets where a call brought no answer.
pub(super) fn fault(failure: Failure, told: Option<&Told>) -> Fault {
    match told {
        Some(told) if told.paused() => return paused(),
        Some(told) if told.broke() => return broke(),
        _ => {}
    }
    let why = failure.to_string();
    match failure {
        Failure::Unavailable { app, again } => {
            let message = format!("{app} takes no requests now: ask again later");
            Fault::unavailable("SERVICE_DOWN", message, again).because(why)
        }
        Failure::NoAnswer { app, not_begun: true, .. } => {
            let message = format!("{app} is not reached, and has begun nothing: ask again later");
            Fault::new(StatusCode::BAD_GATEWAY, "BAD_GATEWAY", message).because(why)
        }
        Failure::NoAnswer { app, .. } => {
            let message =
                format!("{app} gave no answer: it may or may not have done what was asked; ask it whether");
            Fault::new(StatusCode::BAD_GATEWAY, "BAD_GATEWAY", message).because(why)
        }
        Failure::TimedOut { app, within } => {
            let within = handover_core::units::format_duration(within);
            let message = format!(
                "{app} did not answer within {within}: it may or may not have done what was asked; its `timeout` can be longer"
            );
            Fault::new(StatusCode::GATEWAY_TIMEOUT, "GATEWAY_TIMEOUT", message).because(why)
        }
        Failure::Untrusted { app, .. } => {
            let message =
                format!("{app} has begun nothing: its certificate is not trusted; tell who runs it");
            Fault::new(StatusCode::BAD_GATEWAY, "BAD_GATEWAY", message).because(why)
        }
        Failure::Config { app, .. } => {
            let message =
                format!("{app} cannot be asked as it is configured, and has begun nothing: tell who runs it");
            Fault::new(StatusCode::BAD_GATEWAY, "BAD_GATEWAY", message).because(why)
        }
        Failure::CallerPaused { .. } => {
            let message = "the body paused for longer than the service's `timeout`: send it anew";
            Fault::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", message).because(why)
        }
        Failure::Caller => broke(),
    }
}

fn paused() -> Fault {
    let message = "the body paused for longer than `api.limits.idle`: send it anew";
    Fault::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", message)
}

fn broke() -> Fault {
    Fault::bad_request("BAD_REQUEST", "the body ended before it was whole: send it anew")
}

/// The service changed its protocol without being asked.
pub(super) fn unasked_upgrade(app: &str) -> Fault {
    let message = format!("{app} changed to a protocol that nobody had asked for");
    Fault::new(StatusCode::BAD_GATEWAY, "BAD_GATEWAY", message)
}
