//! Heads as bytes: a plain request's is read, an answer's is written.

use super::super::app_and_path;
use crate::access;
use crate::door::http_date;
use bytes::{Bytes, BytesMut};
use handover_service::fields::{self, Place, put};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Uri, request, response};
use hyper::ext::ReasonPhrase;
use std::cell::RefCell;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::ops::Range;

/// A longer head is not read here.
pub(super) const MAX_BYTES: usize = 8 * 1024;
/// Nor one with more headers.
const HEADERS_MAX: usize = 48;

/// What says anything of the body, of the connection or of a change of protocol.
const TELLING: [&str; 11] = [
    "te",
    "expect",
    "trailer",
    "upgrade",
    "connection",
    "keep-alive",
    "content-length",
    "http2-settings",
    "proxy-connection",
    "transfer-encoding",
    "proxy-authorization",
];

/// What was read begins with another request than a plain one, or with none at all.
pub(super) struct Other;

/// Takes a plain request's head out of what was read; none while it is not whole. `places` is room for where its headers lie.
pub(super) fn read(bytes: &mut BytesMut, places: &mut Vec<Place>) -> Result<Option<request::Parts>, Other> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let whole =
        httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, &mut headers);
    let size = match whole {
        Ok(httparse::Status::Complete(size)) if size <= MAX_BYTES => size,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_BYTES => return Ok(None),
        _ => return Err(Other),
    };
    let path = parsed.path.unwrap_or_default();
    let is_for_service = app_and_path(path.split('?').next().unwrap_or_default()).is_some();
    let (Some(method), Some(1), true) = (parsed.method.and_then(plain), parsed.version, is_for_service)
    else {
        return Err(Other);
    };
    if parsed.headers.iter().any(|header| tells(header.name, header.value)) {
        return Err(Other);
    }
    let (path, path_length) = (path.as_ptr() as usize - bytes.as_ptr() as usize, path.len());
    fields::note(places, parsed.headers, bytes);
    let head = bytes.split_to(size).freeze();
    match request(&head, method, path..path + path_length, places) {
        Some(parts) => Ok(Some(parts)),
        None => {
            // Put back as it was: `hyper` says what is wrong with it.
            *bytes = BytesMut::from(&[&head[..], bytes].concat()[..]);
            Err(Other)
        }
    }
}

/// A method that is served here.
fn plain(method: &str) -> Option<Method> {
    match method {
        "GET" => Some(Method::GET),
        "HEAD" => Some(Method::HEAD),
        _ => None,
    }
}

fn tells(name: &str, value: &[u8]) -> bool {
    TELLING.iter().any(|telling| name.eq_ignore_ascii_case(telling)) && !is_usual(name, value)
}

/// What many say, and what says no more than whether this is the last request.
fn is_usual(name: &str, value: &[u8]) -> bool {
    let usual = [&b"keep-alive"[..], b"close"];
    name.eq_ignore_ascii_case("connection") && usual.iter().any(|usual| value.eq_ignore_ascii_case(usual))
}

/// The request whose parts lie there; none where one of them is none.
fn request(head: &Bytes, method: Method, path: Range<usize>, places: &[Place]) -> Option<request::Parts> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_maybe_shared(head.slice(path)).ok()?;
    *request.headers_mut() = fields::taken(head, places, 0)?;
    Some(request.into_parts().0)
}

/// Whether an answer of this status has no body (RFC 9112, section 6.3).
pub(super) fn is_bare(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether a request, or an answer, says that it is the last.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Writes an answer's head. `length` is its body's, none where that is written in chunks.
pub(super) fn write(
    to: &mut Vec<u8>,
    answer: &response::Parts,
    length: Option<u64>,
    is_head: bool,
    ends: bool,
) {
    let status = answer.status;
    let own = answer.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let reason = own.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().as_bytes());
    for part in [b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        to.extend_from_slice(part);
    }
    // What an answer to HEAD, and one of 304, says of a length is of a body that is not sent.
    let keeps_length = status == StatusCode::NOT_MODIFIED || is_head && !is_bare(status);
    let length = match one_length(&answer.headers).filter(|_| keeps_length) {
        Some(said) => Some(said),
        // An error of our own has a body too, which HEAD does not get.
        None if is_head => length.filter(|length| *length > 0),
        None if is_bare(status) => None,
        None => {
            if length.is_none() {
                put(to, b"transfer-encoding", b"chunked");
            }
            length
        }
    };
    let mut dated = false;
    for (name, value) in &answer.headers {
        if [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH].contains(name) {
            continue;
        }
        dated |= *name == DATE;
        put(to, name.as_str().as_bytes(), value.as_bytes());
    }
    if let Some(length) = length {
        to.extend_from_slice(b"content-length: ");
        access::put_number(to, length, 1);
        to.extend_from_slice(b"\r\n");
    }
    let upgrades = answer.headers.get(CONNECTION).is_some_and(|value| value == "upgrade");
    match (upgrades, ends) {
        (true, true) => put(to, b"connection", b"upgrade, close"),
        (true, false) => put(to, b"connection", b"upgrade"),
        (false, true) => put(to, b"connection", b"close"),
        (false, false) => {}
    }
    if !dated {
        put_date(to);
    }
    to.extend_from_slice(b"\r\n");
}

/// The length that an answer says, where it says one and no other.
fn one_length(headers: &HeaderMap) -> Option<u64> {
    let mut said = headers.get_all(CONTENT_LENGTH).iter();
    let one = said.next()?.as_bytes();
    let is_one = said.next().is_none() && one.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(one).ok().filter(|_| is_one)?.parse().ok()
}

/// What stands before a chunk of so many bytes.
pub(super) fn put_chunk(to: &mut Vec<u8>, length: usize) {
    // Writing to memory does not fail.
    let _ = write!(to, "{length:x}\r\n");
}

/// The time, which is written anew each second.
fn put_date(to: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = jiff::Timestamp::now();
    LAST.with_borrow_mut(|(second, written)| {
        if *second != now.as_second() {
            (*second, *written) = (now.as_second(), http_date(now));
        }
        put(to, b"date", written.as_bytes());
    });
}
