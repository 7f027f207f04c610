//! The headers of a request, as the service gets them.
//!
//! What says who asks, from where, and by which way is ours to say: what a client sent of that is removed first, whatever it
//! was, so that a service can rely on it. `Connection` has been obeyed before anything of ours is set, and cannot name it.

use super::{Way, framing, hop};
use crate::auth::{API_KEY, holds_secret};
use crate::door::REQUEST_ID;
use crate::fault::Fault;
use crate::trace::{self, TRACEPARENT, TRACESTATE};
use bytes::{BufMut as _, BytesMut};
use handover_runtime::config::Auth;
use handover_service::Head;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use std::sync::{LazyLock, PoisonError};

const CALLER: HeaderName = HeaderName::from_static("x-handover-caller");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// So many headers are added.
const ADDED: usize = 10;
type Added = Vec<(HeaderName, HeaderValue)>;
/// Others of these may come to be: none of them is a client's to set.
const OURS: [&str; 2] = ["x-handover-", "x-forwarded-"];

/// What a service is told of a connection's client, as it was last.
pub(super) struct Told {
    caller: HeaderValue,
    prefix: HeaderValue,
    host: Option<HeaderValue>,
    /// Of that host.
    forwarded: HeaderValue,
}

impl Default for Told {
    fn default() -> Self {
        let nothing = HeaderValue::from_static("");
        Self { caller: nothing.clone(), prefix: nothing.clone(), host: None, forwarded: nothing }
    }
}

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
    HeaderValue::from_bytes(text.as_bytes()).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Fault {
    Fault::internal(error.to_string())
}

/// Whether a name is one of those that are told by how they begin.
fn leads(name: &HeaderName) -> bool {
    OURS.iter().any(|lead| name.as_str().starts_with(lead))
}

impl Way<'_> {
    /// A request's head, as the service gets it at this path; its headers are taken out. `protocol` is the one to which the connection may change.
    pub(super) fn rewrite(
        &self,
        head: &mut Parts,
        path: &str,
        protocol: Option<HeaderValue>,
    ) -> Result<Head, Fault> {
        let host = host(head);
        let via = via(head.version);
        let mut headers = std::mem::take(&mut head.headers);
        let takes_trailers = takes_trailers(&headers);
        hop::remove(&mut headers);
        self.remove_ours(&mut headers);
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
        let mut added = Vec::with_capacity(ADDED);
        added.push((REQUEST_ID, self.id.clone()));
        added.push((header::VIA, via));
        self.say_who(&mut added, path, host)?;
        Ok(Head { method: head.method.clone(), path: uri(path, self.uri.query())?, headers, added })
    }

    /// Who asks, and where the request came from (RFC 7239, and the headers that were there before it).
    fn say_who(&self, added: &mut Added, path: &str, host: Option<HeaderValue>) -> Result<(), Fault> {
        let caller = self.caller.as_ref().map_or("-", |caller| &caller.name);
        let prefix = prefix(self.uri.path(), path);
        let mut told = self.peer.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.caller != caller.as_bytes() {
            told.caller = said(caller)?;
        }
        if told.prefix != prefix.as_bytes() {
            told.prefix = said(prefix)?;
        }
        if told.forwarded.is_empty() || told.host != host {
            told.forwarded = self.forwarded(host.as_ref())?;
            // Not the header itself, which is a part of what was read.
            told.host =
                host.map(|host| HeaderValue::from_bytes(host.as_bytes())).transpose().map_err(internal)?;
        }
        added.push((CALLER, told.caller.clone()));
        added.push((FORWARDED_PREFIX, told.prefix.clone()));
        added.push((header::FORWARDED, told.forwarded.clone()));
        added.push((FORWARDED_FOR, self.peer.named.clone()));
        added.push((FORWARDED_PROTO, HeaderValue::from_static(self.peer.scheme())));
        if let Some(host) = &told.host {
            added.push((FORWARDED_HOST, host.clone()));
        }
        Ok(())
    }

    fn forwarded(&self, host: Option<&HeaderValue>) -> Result<HeaderValue, Fault> {
        let from = self.peer.named.as_bytes();
        let mut said = BytesMut::with_capacity(96);
        said.put_slice(b"for=");
        match from.contains(&b':') {
            true => [b"\"[", from, b"]\""].iter().for_each(|part| said.put_slice(part)),
            false => said.put_slice(from),
        }
        if let Some(host) = host {
            [b";host=\"", host.as_bytes(), b"\""].iter().for_each(|part| said.put_slice(part));
        }
        [b";proto=", self.peer.scheme().as_bytes()].iter().for_each(|part| said.put_slice(part));
        HeaderValue::from_maybe_shared(said.freeze()).map_err(internal)
    }

    /// Removes what is not the client's to say, and the key that it showed.
    fn remove_ours(&self, headers: &mut HeaderMap) {
        let is_ours =
            |name: &HeaderName| leads(name) || [header::FORWARDED, REAL_IP, REQUEST_ID].contains(name);
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

/// A trace that begins here.
pub(super) fn new_trace() -> Result<HeaderValue, Fault> {
    let random = crate::random::bytes().map_err(internal)?;
    HeaderValue::from_bytes(&trace::new(random)).map_err(internal)
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
