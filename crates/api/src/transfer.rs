//! Bytes on their way out: a file or a text with its digest, whole or in part (RFC 9110: ETag, If-None-Match, Range; RFC 9530:
//! Repr-Digest).
//!
//! A file is read on a thread of its own, a few blocks ahead of the client at most; one in the archive is unpacked as it is
//! read. What lies in its place is not checked again here: the digest lets the client do that.

use crate::fault::Fault;
use crate::places::Place;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handover_core::Checksum;
use handover_core::id::hex;
use handover_monitor::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::io::Read;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What is sent.
pub(crate) struct Content {
    pub(crate) media_type: String,
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
    /// The name under which a browser would keep it.
    pub(crate) name: String,
    pub(crate) source: Source,
}

/// Where it comes from.
pub(crate) enum Source {
    /// Memory.
    Bytes(Bytes),
    /// A reader that gives the whole from its beginning.
    Reader(Box<dyn FnOnce() -> handover_core::Result<Box<dyn Read + Send>> + Send>),
}

/// Answers with it, or with the part that is asked for; the place is kept until the client has it.
///
/// # Errors
/// 416 for a part that is not there.
pub(crate) fn send(headers: &HeaderMap, content: Content, place: Option<Place>) -> Result<Response, Fault> {
    let etag = format!("\"{}\"", hex(&content.checksum.0));
    if not_modified(headers, &etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set(response.headers_mut(), header::ETAG, &etag);
        return Ok(response);
    }
    let part = match wanted_part(headers, &etag, content.size) {
        Part::Whole => None,
        Part::From(first, last) => Some((first, last)),
        Part::Unsatisfiable => {
            let message = format!("the part is not there: it has {} bytes", content.size);
            let fault = Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", message);
            return Err(fault.with(header::CONTENT_RANGE, &format!("bytes */{}", content.size)));
        }
    };
    let (first, length) = part.map_or((0, content.size), |(first, last)| (first, last - first + 1));
    let body = match content.source {
        Source::Bytes(bytes) => {
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            Body::from(bytes.slice(at(first)..at(first + length)))
        }
        Source::Reader(open) => stream::body(open, first, length, place),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, &content.media_type);
    set(headers, header::CONTENT_LENGTH, &length.to_string());
    set(headers, header::ACCEPT_RANGES, "bytes");
    set(headers, header::ETAG, &etag);
    set(headers, REPR_DIGEST, &format!("sha-256=:{}:", STANDARD.encode(content.checksum.0)));
    let name: String =
        content.name.chars().filter(|c| c.is_ascii_graphic() && !"\"\\;".contains(*c)).collect();
    set(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    // Whatever a program wrote is data here, and never a page of this origin.
    set(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    if let Some((first, last)) = part {
        set(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", content.size));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given
        .flat_map(|value| value.split(','))
        .any(|one| matches!(one.trim(), "*") || one.trim().trim_start_matches("W/") == etag)
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    From(u64, u64),
    Unsatisfiable,
}

/// The part that is asked for. Several parts, or what is no range, give the whole, as the standard allows.
fn wanted_part(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    if headers.get(header::IF_RANGE).is_some_and(|value| value.as_bytes() != etag.as_bytes()) {
        return Part::Whole;
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some(range) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
        return Part::Whole;
    };
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<u64>().map(Some),
    };
    match (number(first), number(last)) {
        (Ok(Some(first)), Ok(last)) => {
            let last = last.unwrap_or(u64::MAX);
            match (first < size, first <= last) {
                (_, false) => Part::Whole,
                (false, _) => Part::Unsatisfiable,
                _ => Part::From(first, last.min(size - 1)),
            }
        }
        (Ok(None), Ok(Some(0))) => Part::Unsatisfiable,
        (Ok(None), Ok(Some(_))) if size == 0 => Part::Unsatisfiable,
        (Ok(None), Ok(Some(count))) => Part::From(size.saturating_sub(count), size - 1),
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_as_the_standard_says() {
        let part = |range: &str, size| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            wanted_part(&headers, "\"x\"", size)
        };
        assert_eq!(part("bytes=0-4", 10), Part::From(0, 4));
        assert_eq!(part("bytes=5-", 10), Part::From(5, 9));
        assert_eq!(part("bytes=5-100", 10), Part::From(5, 9));
        assert_eq!(part("bytes=-3", 10), Part::From(7, 9));
        assert_eq!(part("bytes=-30", 10), Part::From(0, 9));
        assert_eq!(part("bytes=10-", 10), Part::Unsatisfiable);
        assert_eq!(part("bytes=-0", 10), Part::Unsatisfiable);
        assert_eq!(part("bytes=0-", 0), Part::Unsatisfiable);
        for whole in ["bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=x-", "bytes=-"] {
            assert_eq!(part(whole, 10), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn a_part_of_another_content_is_not_given() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"old\"".parse().unwrap());
        assert_eq!(wanted_part(&headers, "\"new\"", 10), Part::Whole);
        assert_eq!(wanted_part(&headers, "\"old\"", 10), Part::From(0, 1));
    }
}
