//! What every request passes, in this order: its id; what is refused by its path or query alone; how much its address may
//! ask; room; who asks; how much they may ask; the handler; the form of an error; the headers that every answer has; one line
//! of the access log.
//!
//! Invariants: an answer has a request id, and the log has the same; an error has one form, whoever made it, a panic's too.
//! The path is logged without its query, and headers never are.

use crate::access;
use crate::auth::{Caller, IfAway};
use crate::fault::{Fault, Form, PROBLEM_JSON, Whole};
use crate::places::Place;
use crate::rates::Said;
use crate::state::{Api, Current};
use crate::visit;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use handover_monitor::pages::{self, Wrong};
use handover_runtime::config::Auth;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tracing::{error, warn};

/// The name of the header with the request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Names under which a key must not stand in a query: it would be in every log on its way.
const KEY_NAMES: [&str; 8] =
    ["api_key", "apikey", "api-key", "key", "token", "access_token", "authorization", "x-api-key"];
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The id of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    pub(crate) fn new() -> Self {
        let random = crate::random::bytes().unwrap_or([0; 20]);
        let mut id = String::with_capacity(24);
        id.push_str("req_");
        id.extend(crate::auth::keys::written(&random));
        Self(id)
    }

    /// The value of its header.
    pub(crate) fn value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("none"))
    }
}

/// The way of a request.
pub(crate) async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::new();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let form = form(&path, request.headers());
    let counted = counted_as(&request);
    request.extensions_mut().insert(id.clone());
    let current = api.current();
    let mut who = None;
    let mut left = None;
    let outcome = match admit(&api, &current, &mut request, &mut left).await {
        Ok(admitted) => {
            who = admitted.caller;
            let handled = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            drop(admitted.room);
            handled.unwrap_or_else(|panic| {
                Fault::internal(format!("a panic: {}", panic_text(&panic))).into_response()
            })
        }
        Err(fault) => fault.into_response(),
    };
    let mut response = finish(outcome, form, &id, &path);
    if let Some(left) = left {
        left.put(response.headers_mut());
    }
    version_headers(&current, &path, response.headers_mut());
    standard_headers(response.headers_mut(), id.value());
    api.routes.of(&counted).answered(response.status(), began.elapsed());
    note(&id, (&method, &path), &response, who.as_deref(), began);
    response
}

/// How a request is counted: by its method and its route, with its parameters by name; there is a bounded number of both.
fn counted_as(request: &Request) -> String {
    let route =
        request.extensions().get::<MatchedPath>().map_or(crate::metrics::NO_ROUTE, MatchedPath::as_str);
    let method = match *request.method() {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH => {
            request.method().as_str()
        }
        _ => "OTHER",
    };
    format!("{method} {route}")
}

/// The line of the access log.
fn note(
    id: &RequestId,
    (method, path): (&Method, &str),
    response: &Response,
    caller: Option<&str>,
    began: Instant,
) {
    let (request_id, status, took) = (&id.0, response.status().as_u16(), began.elapsed());
    access::note(&access::Line { request_id, method, path, status, caller, took, app: None, trace_id: None });
}

/// What is answered before [`pass`]: what a browser asks before a page's request, and other OPTIONS. It has an id and a line of
/// the access log as all else has.
pub(crate) async fn greet(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if !response.headers().contains_key(REQUEST_ID) {
        let id = RequestId::new();
        standard_headers(response.headers_mut(), id.value());
        note(&id, (&method, &path), &response, None, began);
    }
    response
}

/// What was let in.
struct Admitted {
    caller: Option<String>,
    room: Option<Place>,
}

async fn admit(
    api: &Api,
    current: &Current,
    request: &mut Request,
    left: &mut Option<Said>,
) -> Result<Admitted, Fault> {
    fine_uri(request.uri())?;
    // Load balancers ask often, and from one address: whether this lives is told however full it is, and whether it takes
    // requests is told by whether there is room.
    let path = request.uri().path();
    if path == "/livez" {
        return Ok(Admitted { caller: None, room: None });
    }
    let address = address(request);
    if path != "/readyz" {
        current.rates.take_address(address)?;
    }
    let open = is_open(path) || path == "/metrics" && current.config.open_metrics;
    if open || request.method() == Method::OPTIONS {
        let room = api.requests.take(&address.to_string())?;
        return Ok(Admitted { caller: None, room: Some(room) });
    }
    has_host(request.version(), request.headers())?;
    let if_away = if_away(request.method(), path);
    let session = visit::session(api, current, path, request.headers(), if_away).await?;
    let in_session = session.is_some();
    let caller = match session {
        Some(caller) => caller,
        None => who(api, current, request.uri(), request.headers(), if_away).await?,
    };
    let name = caller.name.clone();
    let room = api.requests.take(&name)?;
    visit::introduce(api, &caller, in_session, request)?;
    request.extensions_mut().insert((*caller).clone());
    let route = route(request);
    *left = Some(current.rates.take(&name, address, route.as_deref())?);
    Ok(Admitted { caller: Some(name), room: Some(room) })
}

/// Who asks.
///
/// # Errors
/// 401 and 403 where it is nobody who may.
pub(crate) async fn who(
    api: &Api,
    current: &Current,
    uri: &Uri,
    headers: &HeaderMap,
    if_away: IfAway,
) -> Result<Arc<Caller>, Fault> {
    match current.config.auth {
        auth @ (Auth::Keys | Auth::Tokens) => {
            crate::auth::caller(auth, &api.keys, current.tokens.as_deref(), headers, if_away).await
        }
        Auth::None => {
            from_here(uri, headers, &current.config.cors)?;
            Ok(Arc::new(Caller::anyone()))
        }
    }
}

/// Where anyone on this machine may ask, a page of another origin, or of a name that was made to lead here, is not anyone.
fn from_here(uri: &Uri, headers: &HeaderMap, cors: &[String]) -> Result<(), Fault> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let refuse = |what: &str| {
        let message =
            format!("without keys only this machine may ask, and {what}: `auth: keys` lets others ask");
        Err(Fault::new(StatusCode::FORBIDDEN, "FORBIDDEN", message))
    };
    // HTTP/2 says it in `:authority`, and a request's line may say it whole.
    let named = [text(header::HOST), uri.authority().map(Authority::as_str)];
    if named.into_iter().flatten().any(|host| !is_loopback(host)) {
        return refuse("Host names another");
    }
    let is_foreign = |origin: &str| {
        let host = origin.split_once("://").map_or(origin, |(_, host)| host);
        !is_loopback(host) && !cors.iter().any(|allowed| allowed == origin)
    };
    if text(header::ORIGIN).is_some_and(is_foreign) {
        return refuse("Origin is another's page");
    }
    Ok(())
}

/// HTTP/1.1 always has a Host (RFC 9112, section 3.2), also where the request's line has one.
pub(crate) fn has_host(version: Version, headers: &HeaderMap) -> Result<(), Fault> {
    if version == Version::HTTP_11 && !headers.contains_key(header::HOST) {
        return Err(Fault::bad_request("BAD_REQUEST", "there is no Host"));
    }
    Ok(())
}

/// Whether a host, with or without its port, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What is asked for, as limits name it: the method and the path below the version, with its parameters by name.
fn route(request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>()?.as_str().strip_prefix("/api/")?;
    let (_, path) = path.split_once('/')?;
    // A HEAD costs what its GET does, and a typed submission is one.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let path = if path == "apps/{app}/jobs" { "jobs" } else { path };
    Some(format!("{method} /{}", path.replace("{*", "{")))
}

/// Paths that need no key: whether this process lives, the documents, the login page and what it is dressed with.
fn is_open(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/api/openapi.json" | "/api/docs" | "/login" | "/logout")
        || path.starts_with("/api/docs/")
        || pages::is_asset(path)
}

/// Who asks whether all is well is answered most of all where the ledger is not there to tell who that is.
fn if_away(method: &Method, path: &str) -> IfAway {
    match path {
        "/health" | "/metrics" | "/checks" if method.is_safe() => IfAway::LastKnown,
        _ => IfAway::Refuse,
    }
}

pub(crate) fn address(request: &Request) -> IpAddr {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip())
}

/// Refuses paths that two programs could read differently, and keys in queries.
fn fine_uri(uri: &Uri) -> Result<(), Fault> {
    fine_path(uri.path())?;
    for part in uri.query().unwrap_or_default().split('&') {
        let name = part.split('=').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
        if KEY_NAMES.contains(&name.as_str()) || shows_key(part) {
            return Err(key_in_query());
        }
    }
    Ok(())
}

/// Refuses paths that two programs could read differently.
pub(crate) fn fine_path(path: &str) -> Result<(), Fault> {
    // Most have nothing that needs a second look.
    let plain = |byte: u8| (0x21..0x7f).contains(&byte) & (byte != b'%') & (byte != b'\\');
    let dotted = path.as_bytes().windows(2).fold(false, |dotted, two| dotted | (two == b"/."));
    // All of them, for many are looked at at once then.
    if path.bytes().fold(!dotted, |fine, byte| fine & plain(byte)) {
        return Ok(());
    }
    let lower = path.to_ascii_lowercase();
    if ["%2f", "%5c", "%00", "\\"].iter().any(|trick| lower.contains(trick)) {
        let message = "the path holds an encoded slash, a backslash or a NUL, which is not taken";
        return Err(Fault::bad_request("BAD_PATH", message));
    }
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    let decoded = decoded.map_err(|_| Fault::bad_request("BAD_PATH", "the path is not UTF-8"))?;
    // What comes behind a `;` some servers leave out before they look.
    let is_dots = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
    if decoded.split('/').any(is_dots) {
        return Err(Fault::bad_request("BAD_PATH", "the path holds `.` or `..`, which is not taken"));
    }
    // Encoded twice, for somebody behind us who decodes twice.
    let lower = decoded.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%00"].iter().any(|trick| lower.contains(trick)) {
        return Err(Fault::bad_request("BAD_PATH", "the path is encoded twice, which is not taken"));
    }
    if decoded.chars().any(char::is_control) {
        return Err(Fault::bad_request("BAD_PATH", "the path holds a control character"));
    }
    Ok(())
}

/// Whether one of our keys stands in a part of a query.
pub(crate) fn shows_key(part: &str) -> bool {
    crate::auth::holds_secret(&percent_encoding::percent_decode_str(part).decode_utf8_lossy())
}

/// The refusal of a key in a query.
pub(crate) fn key_in_query() -> Fault {
    let message = "a key does not belong into a query, where logs keep it: show it in `Authorization: Bearer`, and replace this one with `handover keys rotate`";
    Fault::bad_request("KEY_IN_QUERY", message)
}

/// In which form a client wants its errors.
pub(crate) fn form(path: &str, headers: &HeaderMap) -> Form {
    if visit::wants_page(path, headers) {
        return Form::Page;
    }
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let refused = |one: &str| {
        one.split(';').skip(1).any(|part| matches!(part.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    };
    let asks = accepts
        .flat_map(|value| value.split(','))
        .any(|one| crate::body::media_type(one) == PROBLEM_JSON && !refused(one));
    if asks || path == "/api/v2" || path.starts_with("/api/v2/") { Form::Problem } else { Form::Envelope }
}

/// Gives an error its form, whoever made it.
fn finish(mut response: Response, form: Form, id: &RequestId, path: &str) -> Response {
    let status = response.status();
    if let Some(wrong) = response.extensions_mut().remove::<Wrong>() {
        response.extensions_mut().insert(Fault::from(wrong));
    }
    let fault = match response.extensions_mut().remove::<Fault>() {
        Some(fault) => fault.with_all(std::mem::take(response.headers_mut())),
        // Made whole by its handler.
        None if response.extensions().get::<Whole>().is_some() => return response,
        // Of the router, or of a library: a bare status.
        None if (status.is_client_error() || status.is_server_error())
            && status != StatusCode::RANGE_NOT_SATISFIABLE =>
        {
            let mut headers = std::mem::take(response.headers_mut());
            [header::CONTENT_TYPE, header::CONTENT_LENGTH].iter().for_each(|name| drop(headers.remove(name)));
            Fault::of_status(status).with_all(headers)
        }
        None => return response,
    };
    render(fault, form, id, path)
}

/// The answer that a fault is; the log has it too where it is none of the client's.
pub(crate) fn render(fault: Fault, form: Form, id: &RequestId, path: &str) -> Response {
    match fault.status() {
        // Something that this stands on does not do its part, or there is too much to do.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            warn!(request_id = %id.0, code = fault.code(), "{path}: {}", fault.log());
        }
        // Asked for by the client, and nobody's fault.
        StatusCode::NOT_IMPLEMENTED => {}
        status if status.is_server_error() => {
            error!(request_id = %id.0, code = fault.code(), "{path}: {}", fault.log());
        }
        _ => {}
    }
    fault.render(form, &id.0, path)
}

/// Whether a page of this origin may read answers.
pub(crate) fn may_read(current: &Current, origin: &HeaderValue) -> bool {
    current.config.cors.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

/// What is said of a version that goes out of use.
pub(crate) fn version_headers(current: &Current, path: &str, headers: &mut HeaderMap) {
    let version = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let Some(said) = current.config.versions.get(version) else { return };
    let mut set = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(name, value);
        }
    };
    set(DEPRECATION, format!("@{}", said.deprecated.as_second()));
    if let Some(sunset) = said.sunset {
        set(SUNSET, http_date(sunset));
    }
    if let Some(link) = &said.link {
        set(header::LINK, format!("<{link}>; rel=\"deprecation\"; type=\"text/html\""));
    }
}

/// A time as HTTP writes it (RFC 9110, IMF-fixdate).
pub(crate) fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

pub(crate) fn standard_headers(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(REQUEST_ID, id);
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tricks_with_paths_and_keys_in_queries_are_refused() {
        let code = |uri: &str| fine_uri(&uri.parse().unwrap()).err().map(|fault| fault.code());
        assert_eq!(code("/api/v1/jobs/7?limit=3"), None);
        assert_eq!(code("/api/v1/files/imports/2025-11-24/a%20b.csv"), None);
        for path in ["/a/../b", "/a/%2e%2e/b", "/a/%2E/b", "/a%2fb", "/a%5Cb", "/a%00b", "/a%0ab", "/%ff"] {
            assert_eq!(code(path), Some("BAD_PATH"), "{path}");
        }
        for path in ["/a/..;/b", "/a/..;x=1/b", "/a/%2e;/b", "/a/%252e%252e/b", "/a%252fb"] {
            assert_eq!(code(path), Some("BAD_PATH"), "{path}");
        }
        for query in ["?api_key=x", "?a=1&ACCESS_TOKEN=x", "?%74oken=x"] {
            assert_eq!(code(&format!("/api/v1/jobs{query}")), Some("KEY_IN_QUERY"), "{query}");
        }
    }

    #[test]
    fn without_keys_this_machine_alone_is_answered_whichever_way_it_is_named() {
        let asked = |uri: &str, host: Option<&str>| {
            let host = host.map(|host| (header::HOST, HeaderValue::from_str(host).unwrap()));
            from_here(&uri.parse().unwrap(), &host.into_iter().collect(), &[]).is_ok()
        };
        assert!(asked("/x", Some("localhost:8080")) && asked("http://[::1]:1/x", None));
        for (uri, host) in [
            ("/x", Some("evil.example")),
            ("http://evil.example/x", None),
            ("http://evil.example/x", Some("localhost")),
            ("http://a@localhost/x", None),
        ] {
            assert!(!asked(uri, host), "{uri} {host:?}");
        }
    }

    #[test]
    fn problem_details_are_for_v2_and_for_who_asks() {
        let mut headers = HeaderMap::new();
        assert_eq!(form("/api/v1/jobs", &headers), Form::Envelope);
        assert_eq!(form("/api/v2/jobs", &headers), Form::Problem);
        headers.insert(header::ACCEPT, "application/json, application/problem+json;q=0.9".parse().unwrap());
        assert_eq!(form("/api/v1/jobs", &headers), Form::Problem);
    }

    #[test]
    fn times_are_written_as_http_writes_them() {
        assert_eq!(http_date("2027-01-02T03:04:05.9Z".parse().unwrap()), "Sat, 02 Jan 2027 03:04:05 GMT");
    }
}
