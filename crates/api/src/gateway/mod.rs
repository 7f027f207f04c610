//! `ANY /api/v1/services/{app}/…`: requests to service apps, which speak HTTP themselves.
//!
//! A request comes here straight from the connection, beside the router: it passes what every request passes ([`crate::door`]),
//! in the same order, by the same functions. What it costs is what a proxy costs.
//!
//! - [`admit`]: who may, how much, to which app. [`framing`]: what two programs could read differently is refused.
//! - [`request`], [`answer`]: the headers, there and back. [`hop`]: those of one connection alone.
//! - [`plain`]: requests without a body are read and answered without a library, by the same functions.
//! - [`body`]: bytes on their way, in constant memory. [`tunnel`]: connections that change their protocol.
//! - [`call`]: what a call holds while it goes on. [`metrics`]: what is counted of each app.
//!
//! Invariants: a service gets each request once, with one unambiguous length, and knows by `X-Handover-Caller` who asks; what
//! a client says of that, or of whom it asks for, is not passed on. An answer that was cut never looks whole where the
//! service marks its end (by a length or chunks). What breaks off on one side ends the other. Nothing is gathered: both sides go at
//! the pace of the slower one. A call holds its place among the requests until its answer, or its tunnel, has ended.
//!
//! On a crash both connections end, and each side sees that. Nothing of a request is kept.

mod admit;
mod answer;
mod body;
mod call;
mod framing;
mod hop;
pub(crate) mod metrics;
pub(crate) mod plain;
mod request;
mod tunnel;

pub(crate) use body::Sent;
pub(crate) use metrics::{BOUNDS_US, Counts, Metrics};
pub(crate) use tunnel::Tunnel;

use crate::access;
use crate::auth::Caller;
use crate::door::{self, RequestId};
use crate::fault::Fault;
use crate::rates::Said;
use crate::state::{Api, Current};
use crate::trace::{self, TRACEPARENT, TRACESTATE};
use admit::Admitted;
use body::{FromCaller, FromService, Told};
use call::Call;
use handover_runtime::traces::{Begun, SpanKind};
use handover_service::{Alarm, Head};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::{Body as _, Incoming};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// What a connection knows of its client.
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Whether it is encrypted.
    secure: bool,
    /// The address, as services are told it.
    named: HeaderValue,
    /// What the last service was told of who asks and where from: the next one is most often told the same.
    told: Mutex<request::Told>,
    /// Where what the connection becomes when it changes its protocol is put.
    pub(crate) tunnel: Tunnel,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, secure: bool) -> Self {
        let named = HeaderValue::from_str(&address.ip().to_canonical().to_string());
        Self {
            address,
            secure,
            named: named.unwrap_or(HeaderValue::from_static("unknown")),
            told: Mutex::default(),
            tunnel: Tunnel::default(),
        }
    }

    /// How it reached us.
    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// Whether a request is for a service app. What a browser asks before a page's request is answered by the router, as for all
/// other paths.
pub(crate) fn is_for<B>(request: &Request<B>) -> bool {
    let is_preflight = || {
        request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    };
    app_and_path(request.uri().path()).is_some() && !is_preflight()
}

/// The app's name in a path, and the path that the app gets.
fn app_and_path(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/api/v1/services/").or_else(|| path.strip_prefix("/api/v2/services/"))?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (app, path) = rest.split_at(end);
    Some((app, if path.is_empty() { "/" } else { path }))
}

/// What is known of a request, on its way.
struct Way<'a> {
    began: Instant,
    api: &'a Api,
    current: &'a Current,
    peer: &'a Peer,
    /// The request's id, as its header says it.
    id: HeaderValue,
    uri: &'a Uri,
    caller: Option<Arc<Caller>>,
    /// What is left of the caller's rates.
    limits: [Option<Said>; 2],
    counts: Option<Arc<Counts>>,
    traceparent: Option<HeaderValue>,
    /// The request's span, where it is sent.
    span: Option<Begun>,
}

/// Answers a request to a service app. Its head stays where it is: the state of a call is moved into a box, and is the smaller.
/// Without a `body` it has none. `deadline` is for the service's answer, and may serve another request afterwards.
pub(crate) async fn answer(
    api: &Api,
    peer: &Peer,
    head: &mut Parts,
    body: Option<Incoming>,
    deadline: &mut Alarm,
) -> Response<Sent> {
    let began = Instant::now();
    let id = RequestId::new();
    let current = api.current();
    let (method, uri) = (head.method.clone(), head.uri.clone());
    let path = uri.path();
    let form = door::form(path, &head.headers);
    let origin = head.headers.get(header::ORIGIN).cloned();
    let mut way = Way {
        began,
        api,
        current: &current,
        peer,
        id: id.value(),
        uri: &uri,
        caller: None,
        limits: [None, None],
        counts: None,
        traceparent: None,
        span: None,
    };
    let outcome = {
        let mut going = std::pin::pin!(way.go(head, body, deadline));
        std::future::poll_fn(|cx| caught(going.as_mut(), cx)).await
    };
    let mut response = outcome.unwrap_or_else(|fault| {
        let ends = matches!(
            fault.status(),
            StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT | StatusCode::NOT_IMPLEMENTED
        );
        let mut response = door::render(fault, form, &id, path).map(Sent::Door);
        // What comes behind a request that is none may be anything.
        if ends {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    });
    let Way { id: value, caller, limits, counts, traceparent, span, .. } = way;
    answer::finish(&mut response, &current, path, value, limits, origin);
    let (status, took) = (response.status(), began.elapsed());
    if let Some(counts) = &counts {
        counts.answered(status, took);
    }
    if let Some(span) = span {
        let app = counts.as_ref().map(|counts| counts.app()).unwrap_or_default();
        let said = vec![
            ("handover.app", app.into()),
            ("http.request.method", method.as_str().into()),
            ("url.path", path.into()),
            ("http.response.status_code", status.as_u16().into()),
        ];
        let error = status.is_server_error().then(|| format!("the answer was {status}"));
        let (name, project) = (format!("{method} {app}"), &current.project);
        project.tracer.end(span.ended(name, SpanKind::Server, project.clock.now(), said, error));
    }
    let trace = traceparent.as_ref().and_then(|value| value.to_str().ok());
    access::note(&access::Line {
        request_id: &id.0,
        method: &method,
        path,
        status: status.as_u16(),
        caller: caller.as_ref().map(|caller| caller.name.as_str()),
        took,
        app: counts.as_ref().map(|counts| counts.app()),
        trace_id: trace.map(trace::id),
    });
    response
}

/// What comes of it, where it panics too.
fn caught<T>(
    going: Pin<&mut impl Future<Output = Result<T, Fault>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Fault>> {
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| going.poll(cx)));
    polled.unwrap_or_else(|panic| {
        Poll::Ready(Err(Fault::internal(format!("a panic: {}", door::panic_text(&*panic)))))
    })
}

impl Way<'_> {
    /// Passes the trace on, or begins one. Where the request's span is to be sent, the service hears that it is its child.
    fn trace(&mut self, head: &mut Head) -> Result<(), Fault> {
        let given = trace::given(&head.headers).is_some();
        let known = if given { head.headers.remove(TRACEPARENT) } else { None };
        let mut context = known.map_or_else(request::new_trace, Ok)?;
        if !given {
            [TRACEPARENT, TRACESTATE].iter().for_each(|name| drop(head.headers.remove(name)));
        }
        let project = &self.current.project;
        let span =
            project.tracer.request(context.to_str().unwrap_or_default(), given, || project.clock.now());
        if let Some(span) = span
            && let Ok(ours) = HeaderValue::try_from(span.context.to_string())
        {
            (self.span, context) = (Some(span), ours);
        }
        head.added.push((TRACEPARENT, context.clone()));
        self.traceparent = Some(context);
        Ok(())
    }

    /// There and back.
    async fn go(
        &mut self,
        head: &mut Parts,
        body: Option<Incoming>,
        deadline: &mut Alarm,
    ) -> Result<Response<Sent>, Fault> {
        let admitted = self.admit(head).await?;
        let Admitted { service, group, path, room, counts } = admitted;
        let body = body.filter(|body| !body.is_end_stream());
        let upgrade = if body.is_none() { tunnel::asked(head) } else { None };
        let protocol = upgrade.as_ref().map(|asked| asked.protocol.clone());
        let mut head = self.rewrite(head, path, protocol)?;
        self.trace(&mut head)?;
        let (body, told) = match body {
            None => (None, None),
            Some(body) => {
                let (idle, told) = (self.current.config.limits.idle, Told::default());
                let body = FromCaller::new(body, idle, told.clone(), counts.clone());
                (Some(body.boxed()), Some(told))
            }
        };
        let sent = service.ask(group, &head, body, self.began, deadline).await;
        let mut response = sent.map_err(|failure| answer::fault(failure, told.as_ref()))?;
        let call = Call::new(self.api.clone(), counts, self.began, self.caller.clone(), room);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgrade = upgrade.ok_or_else(|| answer::unasked_upgrade(&service.settings().name))?;
            self.peer.tunnel.open(upgrade, hyper::upgrade::on(&mut response), call);
            answer::rewrite(&mut response);
            return Ok(response.map(|_| Sent::nothing()));
        }
        answer::rewrite(&mut response);
        let patience = service.settings().timeout;
        Ok(response.map(|body| FromService::new(body, patience, self.id.clone(), call).sent()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Asked<'a, F> = fn(&'a Api, &'a Peer, &'a mut Parts, Option<Incoming>, &'a mut Alarm) -> F;

    fn size<'a, F: Future>(_: Asked<'a, F>) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_on_its_way_is_small() {
        let bytes = size(answer);
        assert!(bytes <= 4_096, "{bytes} bytes");
    }
}
