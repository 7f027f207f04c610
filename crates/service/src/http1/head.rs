//! Heads as bytes: a request's is written, an answer's is read.

use super::Broken;
use crate::fields::{self, Place};
use crate::head::Head;
use crate::received::Received;
use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use std::mem::MaybeUninit;

/// So long an answer's head may be, and what is between the chunks of a body.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// So many headers an answer may have.
const HEADERS_MAX: usize = 100;

/// An answer that has begun.
pub(super) struct Begun {
    pub(super) answer: Response<Received>,
    /// Whether the connection goes on when it has ended.
    pub(super) reused: bool,
}

/// How an answer's body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes.
    Bytes(u64),
    /// With the last of its chunks.
    Chunks,
    /// With the connection.
    UntilEnd,
}

/// Writes the head of a request without a body.
pub(super) fn write(to: &mut Vec<u8>, head: &Head, path: &str, host: &HeaderValue) {
    to.clear();
    for part in [head.method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        to.extend_from_slice(part.as_bytes());
    }
    if !head.headers.contains_key(HOST) {
        fields::put(to, HOST.as_str().as_bytes(), host.as_bytes());
    }
    let mut put =
        |name: &HeaderName, value: &HeaderValue| fields::put(to, name.as_str().as_bytes(), value.as_bytes());
    for (name, value) in &head.headers {
        // There is no body: what would say how long it is says that it is nothing, or nothing.
        if *name == TRANSFER_ENCODING || (*name == CONTENT_LENGTH && value != "0") {
            continue;
        }
        put(name, value);
    }
    for (name, value) in &head.added {
        put(name, value);
    }
    to.extend_from_slice(b"\r\n");
}

/// Takes the head of an answer out of what was read; none while it is not whole.
///
/// # Errors
/// Where it is none, or too long.
pub(super) fn read(bytes: &mut BytesMut, places: &mut Vec<Place>) -> Result<Option<Begun>, Broken> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let whole = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers)
        .map_err(malformed)?;
    let size = match whole {
        httparse::Status::Complete(size) if size <= MAX_BYTES => size,
        httparse::Status::Partial if bytes.len() < MAX_BYTES => return Ok(None),
        _ => return Err(Broken::Malformed(TOO_LONG)),
    };
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Broken::Malformed("its status is none"))?;
    let usual = status.canonical_reason();
    let reason = parsed.reason.filter(|reason| !reason.is_empty() && Some(*reason) != usual);
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    fields::note(places, parsed.headers, bytes);
    let head = bytes.split_to(size).freeze();
    let mut answer = Response::new(Received::whole(None));
    *answer.version_mut() = version;
    *answer.status_mut() = status;
    // Others are added on the way.
    let headers = fields::taken(&head, places, 8);
    *answer.headers_mut() = headers.ok_or(Broken::Malformed("its headers are malformed"))?;
    // What changed its protocol unasked speaks nobody knows what.
    let reused =
        version == Version::HTTP_11 && status != StatusCode::SWITCHING_PROTOCOLS && !closes(answer.headers());
    if let Some(reason) = reason {
        answer.extensions_mut().insert(reason);
    }
    Ok(Some(Begun { answer, reused }))
}

const TOO_LONG: &str = "its headers are too long";

fn malformed(error: httparse::Error) -> Broken {
    Broken::Malformed(match error {
        httparse::Error::TooManyHeaders => "it has too many headers",
        httparse::Error::Version => "its version of HTTP is none that is known",
        httparse::Error::Status => "its status is none",
        _ => "its headers are malformed",
    })
}

/// The headers that stand at the beginning of what was read, behind a body's last chunk, and how long they are; none while they
/// are not whole.
///
/// # Errors
/// Where they are none, or too long.
pub(super) fn trailers(bytes: &mut BytesMut) -> Result<Option<HeaderMap>, Broken> {
    let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(bytes, &mut found).map_err(malformed)? {
        httparse::Status::Partial if bytes.len() < MAX_BYTES => Ok(None),
        httparse::Status::Partial => Err(Broken::Malformed(TOO_LONG)),
        httparse::Status::Complete((size, found)) => {
            let mut headers = HeaderMap::new();
            for header in found {
                let name = HeaderName::from_bytes(header.name.as_bytes());
                let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) else {
                    return Err(Broken::Malformed("its trailers are malformed"));
                };
                headers.append(name, value);
            }
            let _ = bytes.split_to(size);
            Ok(Some(headers))
        }
    }
}

/// How the body of an answer ends.
///
/// # Errors
/// Where that can be read in two ways.
pub(super) fn length(answer: &Response<Received>, method: &Method) -> Result<Length, Broken> {
    let (headers, status) = (answer.headers(), answer.status());
    let bare =
        status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bare || *method == Method::HEAD {
        return Ok(Length::Bytes(0));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if answer.version() == Version::HTTP_10 {
            return Err(Broken::Malformed("it is of HTTP/1.0 and says Transfer-Encoding"));
        }
        let last = headers.get_all(TRANSFER_ENCODING).iter().next_back().map(HeaderValue::as_bytes);
        let last = last.and_then(|value| value.rsplit(|byte| *byte == b',').next()).unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Length::Chunks } else { Length::UntilEnd });
    }
    let mut said = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for one in value.as_bytes().split(|byte| *byte == b',') {
            let size = digits(one.trim_ascii()).ok_or(Broken::Malformed("its Content-Length is none"))?;
            if said.is_some_and(|said| said != size) {
                return Err(Broken::Malformed("it says two lengths"));
            }
            said = Some(size);
        }
    }
    Ok(said.map_or(Length::UntilEnd, Length::Bytes))
}

/// A number in decimal digits alone.
fn digits(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let add = |number: u64, byte| number.checked_mul(10)?.checked_add(digit(byte)?);
    (!text.is_empty()).then(|| text.iter().try_fold(0, add)).flatten()
}

/// Whether an answer's connection ends with it (RFC 9112, section 9.6).
fn closes(headers: &HeaderMap) -> bool {
    let tokens =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tokens.into_iter().any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}
