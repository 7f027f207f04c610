//! The headers of a request, as the service gets them.
//!
//! What says who asks, from where, and by which way is ours to say: what a client sent of that is removed first, whatever it
//! was, so that a service can rely on it. `Connection` has been obeyed before anything of ours is set, and cannot name it.

use super::{Way, framing, hop};
use crate::auth::holds_secret;
use crate::door::REQUEST_ID;
use crate::fault::Fault;
use crate::trace::{self, TRACEPARENT, TRACESTATE};
use bytes::{BufMut as _, BytesMut};
use handover_runtime::config::Auth;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use std::sync::LazyLock;

const CALLER: HeaderName = HeaderName::from_static("x-handover-caller");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// So many headers are added.
const ADDED: usize = 10;
/// Others of these may come to be: none of them is a client's to set.
const OURS: [&str; 2] = ["x-handover-", "x-forwarded-"];

/// Whether a header is not the client's to set.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    leads(name)
        || [
            header::FORWARDED,
            header::VIA,
            header::AUTHORIZATION,
            API_KEY,
            REAL_IP,
            REQUEST_ID,
            TRACEPARENT,
            TRACESTATE,
        ]
        .contains(name)
}

/// A text as a header has it: a name may have any letters, and goes as UTF-8.
fn said(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|e| Fault::internal(e.to_string()))
}

/// Whether a name is one of those that are told by how they begin.
fn leads(name: &HeaderName) -> bool {
    OURS.iter().any(|lead| name.as_str().starts_with(lead))
}

impl Way<'_> {
    /// Makes a request's head the one that the service gets at this path; gives its trace context. `protocol` is the one to
    /// which the connection may change.
    pub(super) fn rewrite(
        &self,
        head: &mut Parts,
        path: &str,
        protocol: Option<HeaderValue>,
    ) -> Result<HeaderValue, Fault> {
        let host = host(head);
        let via = via(head.version);
        head.uri = uri(path, self.uri.query())?;
        head.version = Version::HTTP_11;
        let headers = &mut head.headers;
        headers.reserve(ADDED);
        let takes_trailers = takes_trailers(headers);
        hop::remove(headers);
        self.remove_ours(headers);
        match protocol {
            Some(protocol) => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, protocol);
            }
            None if takes_trailers => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
            None => {}
        }
        headers.insert(CALLER, said(self.caller.as_ref().map_or("-", |caller| &caller.name))?);
        headers.insert(REQUEST_ID, self.id.clone());
        headers.insert(FORWARDED_PREFIX, said(prefix(self.uri.path(), path))?);
        self.say_from(headers, host)?;
        headers.append(header::VIA, via);
        self.trace(headers)
    }

    /// Where the request came from (RFC 7239, and the headers that were there before it).
    fn say_from(&self, headers: &mut HeaderMap, host: Option<HeaderValue>) -> Result<(), Fault> {
        let scheme = self.peer.scheme();
        let from = self.peer.named.as_bytes();
        let mut said = BytesMut::with_capacity(64);
        said.put_slice(b"for=");
        match from.contains(&b':') {
            true => [b"\"[", from, b"]\""].iter().for_each(|part| said.put_slice(part)),
            false => said.put_slice(from),
        }
        if let Some(host) = &host {
            [b";host=\"", host.as_bytes(), b"\""].iter().for_each(|part| said.put_slice(part));
        }
        [b";proto=", scheme.as_bytes()].iter().for_each(|part| said.put_slice(part));
        let said = HeaderValue::from_maybe_shared(said.freeze());
        headers.insert(header::FORWARDED, said.map_err(|e| Fault::internal(e.to_string()))?);
        headers.insert(FORWARDED_FOR, self.peer.named.clone());
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
        if let Some(host) = host {
            headers.insert(FORWARDED_HOST, host);
        }
        Ok(())
    }

    /// Passes the trace on, or begins one.
    fn trace(&self, headers: &mut HeaderMap) -> Result<HeaderValue, Fault> {
        if trace::given(headers).is_some()
            && let Some(context) = headers.get(TRACEPARENT)
        {
            return Ok(context.clone());
        }
        headers.remove(TRACESTATE);
        let random = crate::random::bytes().map_err(|e| Fault::internal(e.to_string()))?;
        let context = HeaderValue::from_maybe_shared(bytes::Bytes::from(trace::new(random)));
        let context = context.map_err(|e| Fault::internal(e.to_string()))?;
        headers.insert(TRACEPARENT, context.clone());
        Ok(context)
    }

    /// Removes what is not the client's to say, and the key that it showed.
    fn remove_ours(&self, headers: &mut HeaderMap) {
        let is_ours = |name: &HeaderName| leads(name) || *name == header::FORWARDED || *name == REAL_IP;
        let there: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        hop::remove_all(headers, &there);
        let keys = self.current.config.auth != Auth::None;
        let shows = |name: &HeaderName, headers: &HeaderMap| {
            headers.get_all(name).iter().any(|value| {
                let text = String::from_utf8_lossy(value.as_bytes());
                holds_secret(&text)
            })
        };
        if keys || shows(&API_KEY, headers) {
            headers.remove(API_KEY);
        }
        // Another scheme beside X-API-Key is for the service.
        let is_bearer = |value: &HeaderValue| {
            value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
        };
        if (keys && headers.get_all(header::AUTHORIZATION).iter().any(is_bearer))
            || shows(&header::AUTHORIZATION, headers)
        {
            headers.remove(header::AUTHORIZATION);
        }
    }
}

/// What stands before the path that the service gets.
fn prefix<'p>(whole: &'p str, path: &str) -> &'p str {
    whole.strip_suffix(path).unwrap_or(whole)
}

/// Takes the host that was asked for out of the head: the service's own takes its place.
fn host(head: &mut Parts) -> Option<HeaderValue> {
    let given = head.headers.remove(header::HOST);
    let authority = head.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    authority.or(given)
}

/// Whether the client takes trailers (RFC 9110, section 10.1.4).
fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// A path, with the query that came, as a service gets it.
fn uri(path: &str, query: Option<&str>) -> Result<Uri, Fault> {
    let query = query.unwrap_or_default();
    let mut whole = BytesMut::with_capacity(path.len() + query.len() + 2);
    if !path.starts_with('/') {
        whole.put_u8(b'/');
    }
    whole.put_slice(path.as_bytes());
    if !query.is_empty() {
        whole.put_u8(b'?');
        whole.put_slice(query.as_bytes());
    }
    let whole = PathAndQuery::from_maybe_shared(whole.freeze());
    Ok(whole.map_err(|e| Fault::bad_request("BAD_PATH", format!("the path is none: {e}")))?.into())
}

/// This process in `Via`.
fn via(version: Version) -> HeaderValue {
    static ALL: LazyLock<[HeaderValue; 3]> = LazyLock::new(|| {
        ["1.0", "1.1", "2"].map(|version| {
            let text = format!("{version} {}", *framing::PSEUDONYM);
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("1.1 handover"))
        })
    });
    let [first, second, third] = &*ALL;
    match version {
        Version::HTTP_10 => first.clone(),
        Version::HTTP_2 => third.clone(),
        _ => second.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_have_any_letters() {
        assert_eq!(said("token:Jürgen").unwrap().as_bytes(), "token:Jürgen".as_bytes());
        assert!(said("token:a\r\nX: y").is_err());
    }
}
