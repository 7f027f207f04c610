//! What a service's answer means for the delivery, by analogy with a program's exit code.
//!
//! 2xx is done. What says that the data is bad is so: quarantine, no retry. What says that the call is not allowed, or not
//! understood, has failed until somebody changes something. What says "not now" is tried again, no sooner than the service asks
//! for; and a service that cannot be reached at all costs no attempt.
//!
//! Invariant: a good answer is taken only where it can be seen to be whole, and is what it will be published as.

use super::Failed;
use crate::config::App;
use crate::delivery::Summary;
use handover_core::limits::SERVICE_ANSWER_KEPT_BYTES;
use handover_core::units::{format_duration, format_size};
use handover_core::{Error, ErrorKind};
use handover_service::{Answer, Failure};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, StatusCode, Version};
use jiff::Timestamp;
use std::time::Duration;

/// A service that asks for more time than this is asked again after it: a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Done,
    /// The data is bad.
    Bad,
    /// It is not understood so, or not allowed: nothing changes by itself.
    Wrong(ErrorKind),
    /// Another time.
    Again,
}

fn meaning(status: StatusCode) -> Meaning {
    match status.as_u16() {
        200..=299 => Meaning::Done,
        401 | 403 | 407 => Meaning::Wrong(ErrorKind::Denied),
        400 | 404 | 409 | 410 | 413 | 415 | 422 => Meaning::Bad,
        408 | 425 | 429 | 500..=599 => Meaning::Again,
        _ => Meaning::Wrong(ErrorKind::Config),
    }
}

/// The answer, where it is a good one; else what its status means, with the beginning of what the service said.
pub(super) async fn judge(mut answer: Answer, app: &App) -> Result<Answer, Failed> {
    let status = answer.status;
    let (kind, last) = match meaning(status) {
        Meaning::Done => {
            return match refused(&answer, app) {
                None => Ok(answer),
                Some(error) => Err(for_good(error)),
            };
        }
        Meaning::Bad => (ErrorKind::BadData, true),
        Meaning::Wrong(kind) => (kind, true),
        Meaning::Again => (ErrorKind::Service, false),
    };
    let said = beginning(&mut answer).await;
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let sentence = sentence(status, location);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = if words.is_empty() { String::new() } else { format!("; it said: {words}") };
    let mut error = Error::new(kind, format!("{sentence}{words}"));
    if let Some(hint) = hint(status, app) {
        error = error.hint(hint);
    }
    let after =
        answer.headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now()));
    let summary = Summary { answer: said, exit: Some(sentence), ..Summary::default() };
    Err(Failed { summary, last, after: after.filter(|_| !last), ..Failed::from(error) })
}

/// Why a good answer is not taken: it would be the same the next time.
fn refused(answer: &Answer, app: &App) -> Option<Error> {
    if answer.status == StatusCode::NO_CONTENT {
        return None;
    }
    if !says_its_end(answer.version, &answer.headers) {
        let error = Error::new(
            ErrorKind::Service,
            "the answer does not say where it ends: one that broke off would look whole",
        );
        return Some(error.hint("let the service send Content-Length or chunks; then `handover retry`"));
    }
    let length = words(&answer.headers, &CONTENT_LENGTH).next().and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > app.max_answer) {
        return Some(too_large(app));
    }
    let encoding = encoding(&answer.headers)?;
    let error =
        Error::new(ErrorKind::Service, format!("the answer is encoded (Content-Encoding: {encoding})"));
    Some(error.hint(
        "let the service answer as `Accept-Encoding: identity` asks, without compression; then `handover retry`",
    ))
}

/// What no other attempt would change.
fn for_good(error: Error) -> Failed {
    Failed { last: true, ..Failed::from(error) }
}

/// Refuses an answer that has become so large, where that is more than the app takes.
pub(super) fn bounded(size: u64, app: &App) -> Result<(), Box<Failed>> {
    if size > app.max_answer { Err(Box::new(for_good(too_large(app)))) } else { Ok(()) }
}

fn too_large(app: &App) -> Error {
    let most = format_size(app.max_answer);
    Error::new(
        ErrorKind::Service,
        format!("the service answered more than {most}, which is its `max_answer`"),
    )
    .hint(format!(
        "let it answer less, or raise `max_answer` of `{}` if that was meant; then `handover retry`",
        app.name
    ))
}

/// Whether an answer that broke off can be told from a whole one: HTTP/2 marks the end itself, before it a length or chunks do
/// (RFC 9112, 6.3).
fn says_its_end(version: Version, headers: &HeaderMap) -> bool {
    if version > Version::HTTP_11 {
        return true;
    }
    match words(headers, &TRANSFER_ENCODING).next_back() {
        Some(last) => last.eq_ignore_ascii_case("chunked"),
        None => headers.contains_key(CONTENT_LENGTH),
    }
}

/// How an answer is encoded, where it is.
fn encoding(headers: &HeaderMap) -> Option<String> {
    words(headers, &CONTENT_ENCODING).find(|word| !word.eq_ignore_ascii_case("identity"))
}

/// The words of a header that is a list, their beginnings where they are long.
fn words(headers: &HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = String> {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let all: Vec<String> = values
        .flat_map(|value| {
            value.split(',').map(|word| word.trim().chars().take(40).collect()).collect::<Vec<String>>()
        })
        .filter(|word| !word.is_empty())
        .collect();
    all.into_iter()
}

fn sentence(status: StatusCode, location: Option<&str>) -> String {
    let words = match (status.is_redirection(), location) {
        (true, Some(to)) => format!(": a redirect to {}, and redirects are not followed", without_query(to)),
        (true, None) => ": redirects are not followed".to_owned(),
        _ => String::new(),
    };
    format!("it answered {status}{words}")
}

/// An address as it is shown: what follows a `?` may be a secret.
fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

fn hint(status: StatusCode, app: &App) -> Option<String> {
    let name = &app.name;
    Some(match meaning(status) {
        Meaning::Wrong(ErrorKind::Denied) => {
            format!(
                "let the service admit Handover, by its network or by `tls: {{ cert, key }}` at `{name}`; then `handover retry`"
            )
        }
        Meaning::Wrong(_) if status.is_redirection() => {
            format!(
                "write the address that it leads to as the `url` or `post` of `{name}`; then `handover retry`"
            )
        }
        Meaning::Wrong(_) => {
            format!(
                "`url` and `post` of `{name}` say where deliveries are posted; mend that or the service, then `handover retry`"
            )
        }
        Meaning::Bad if status == StatusCode::NOT_FOUND => {
            format!(
                "where it is the path that is wrong, not the data: see `url` and `post` of `{name}`, then `handover retry`"
            )
        }
        Meaning::Bad | Meaning::Again | Meaning::Done => return None,
    })
}

/// The beginning of what it said, as text.
async fn beginning(answer: &mut Answer) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < SERVICE_ANSWER_KEPT_BYTES {
        match answer.piece().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            // The status stands, whatever becomes of the words.
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(SERVICE_ANSWER_KEPT_BYTES);
    let text = String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}");
    text.trim_end_matches('\u{fffd}').to_owned()
}

/// How long a service asks to be left alone: seconds, or a time (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            at.duration_since(now).try_into().unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// What a call that brought no answer means.
pub(super) fn failed(failure: Failure) -> Error {
    let text = failure.to_string();
    match failure {
        Failure::Unavailable { again, .. } => Error::new(ErrorKind::NotYet, text).hint(format!(
            "it is asked again by itself; its upstreams may be asked again in {}",
            format_duration(again)
        )),
        Failure::NoAnswer { not_begun: true, .. } => Error::new(ErrorKind::NotYet, text)
            .hint("it is asked again by itself, at no cost of an attempt; see that it runs"),
        Failure::NoAnswer { .. } => Error::new(ErrorKind::Service, text),
        Failure::TimedOut { .. } => {
            Error::new(ErrorKind::Timeout, text).hint("`timeout` says how long it may take")
        }
        Failure::Untrusted { .. } => Error::new(ErrorKind::NotYet, text)
            .hint("it is asked again by itself, at no cost of an attempt; see its certificate, and `tls` of the app"),
        Failure::Config { .. } => {
            Error::new(ErrorKind::Config, text).hint("change what it says, then `handover retry`")
        }
        Failure::CallerPaused { .. } | Failure::Caller => Error::new(ErrorKind::Io, "what was to be posted could not be read to its end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_meaning() {
        let of = |status: u16| meaning(StatusCode::from_u16(status).unwrap());
        for status in [200, 201, 202, 204, 207] {
            assert_eq!(of(status), Meaning::Done, "{status}");
        }
        for status in [400, 404, 409, 410, 413, 415, 422] {
            assert_eq!(of(status), Meaning::Bad, "{status}");
        }
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            assert_eq!(of(status), Meaning::Again, "{status}");
        }
        assert_eq!(
            (of(401), of(403)),
            (Meaning::Wrong(ErrorKind::Denied), Meaning::Wrong(ErrorKind::Denied))
        );
        for status in [301, 307, 304, 405, 406, 418, 451] {
            assert_eq!(of(status), Meaning::Wrong(ErrorKind::Config), "{status}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_can_be_told_from_a_whole_one() {
        let says = |version, name: HeaderName, value: &str| {
            says_its_end(version, &HeaderMap::from_iter([(name, value.parse().unwrap())]))
        };
        assert!(says(Version::HTTP_10, CONTENT_LENGTH, "0"));
        assert!(says(Version::HTTP_11, TRANSFER_ENCODING, "gzip, Chunked"));
        assert!(!says(Version::HTTP_11, TRANSFER_ENCODING, "chunked, gzip"));
        assert!(!says_its_end(Version::HTTP_11, &HeaderMap::new()));
        assert!(says_its_end(Version::HTTP_2, &HeaderMap::new()));
    }

    #[test]
    fn a_service_may_say_when_to_ask_again() {
        let now: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let after = |text: &str| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!((after("120"), after(" 0 ")), (Some(120), Some(0)));
        assert_eq!(after("Thu, 26 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(after("Thu, 26 Nov 2026 09:00:00 GMT"), Some(0), "a time that is over");
        assert_eq!(after("99999999999"), Some(86_400));
        assert_eq!((after("soon"), after("-1"), after("")), (None, None, None));
    }

    #[test]
    fn a_redirect_is_said_without_what_may_be_a_secret() {
        let said = sentence(StatusCode::TEMPORARY_REDIRECT, Some("https://b/in?token=s3cret"));
        assert_eq!(
            said,
            "it answered 307 Temporary Redirect: a redirect to https://b/in, and redirects are not followed"
        );
    }
}
