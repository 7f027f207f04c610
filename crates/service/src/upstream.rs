//! One upstream: its connections, how it stands, and what it was asked.
//!
//! On the way of a request that goes well everything is counted by atomics; locks are for failures, and are never held while
//! anything is waited for.

use crate::body::Sent;
use crate::breaker::{Breaker, BreakerState, Pass};
use crate::pool::{Nth, Pool, Unmade, deepest};
use crate::tls::Secured;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// So long an error is that is kept for people.
const SHOWN_MAX: usize = 300;

/// One upstream.
pub(crate) struct Upstream {
    pub(crate) address: Uri,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    /// The path before the caller's, without a slash at its end.
    base: String,
    pool: Pool,
    /// Requests that wait for their answer to begin.
    outstanding: AtomicUsize,
    /// Requests that were sent.
    asked: AtomicU64,
    /// Requests that were answered.
    answered: AtomicU64,
    /// Whether its breaker is anything but closed: only then it is looked at.
    troubled: AtomicBool,
    /// Whether it was found well when it was asked.
    healthy: AtomicBool,
    told: Mutex<Told>,
}

/// What is known of its failures.
struct Told {
    breaker: Breaker,
    last_error: Option<(String, SystemTime)>,
    /// Since when it is as it is.
    since: SystemTime,
}

impl Told {
    fn tell(&mut self, why: &str) {
        let mut why = why.to_owned();
        why.truncate(why.floor_char_boundary(SHOWN_MAX));
        self.last_error = Some((why, SystemTime::now()));
    }
}

/// How an upstream stands.
#[derive(Debug, Clone)]
pub struct UpstreamState {
    /// Its address.
    pub address: String,
    /// Whether it was found well when it was asked last; none where nobody asks.
    pub healthy: Option<bool>,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Requests that wait for their answer to begin.
    pub outstanding: usize,
    /// Requests that were sent.
    pub asked: u64,
    /// What went wrong last, and when.
    pub last_error: Option<(String, SystemTime)>,
    /// Since when it stands so.
    pub since: SystemTime,
}

/// Why an attempt brought no answer.
pub(crate) struct Broke {
    pub(crate) why: String,
    /// The request, where it cannot have been acted upon.
    pub(crate) request: Option<Request<Sent>>,
    pub(crate) sort: Sort,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The upstream's, as far as is known.
    Upstream,
    /// It was a connection of an earlier request, which the upstream may have closed meanwhile: no failure of the upstream.
    Stale,
    /// The same at each try, at this upstream: its certificate is not trusted.
    Untrusted,
    /// The configuration's.
    Config,
}

impl Broke {
    fn unmade(unmade: &Unmade, request: Request<Sent>) -> Self {
        let sort = match unmade {
            Unmade::Failed(_) => Sort::Upstream,
            Unmade::Untrusted(_) => Sort::Untrusted,
            Unmade::Config(_) => Sort::Config,
        };
        Self { why: unmade.to_string(), request: Some(request), sort }
    }
}

impl Upstream {
    pub(crate) fn new(address: Uri, http2: bool, secured: Option<Arc<Secured>>) -> Option<Self> {
        let (scheme, authority) = (address.scheme()?.clone(), address.authority()?.clone());
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        let base = address.path().trim_end_matches('/').to_owned();
        let told = Told { breaker: Breaker::new(Instant::now()), last_error: None, since: SystemTime::now() };
        Some(Self {
            pool: Pool::new(address.clone(), http2, secured),
            address,
            scheme,
            authority,
            host,
            base,
            outstanding: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            healthy: AtomicBool::new(true),
            told: Mutex::new(told),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Whether it takes any request, without looking further.
    pub(crate) fn is_free(&self) -> bool {
        self.is_healthy() && !self.troubled.load(Ordering::Relaxed)
    }

    /// Asks for a request to pass.
    pub(crate) fn pass(&self, now: Instant) -> Pass {
        if self.troubled.load(Ordering::Relaxed) { self.told().breaker.pass(now) } else { Pass::Free }
    }

    /// After how long its breaker lets a request pass.
    pub(crate) fn opens_in(&self, now: Instant) -> Duration {
        if self.troubled.load(Ordering::Relaxed) { self.told().breaker.opens_in(now) } else { Duration::ZERO }
    }

    /// Since when it fails, where it does.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        self.told().breaker.down_since()
    }

    pub(crate) fn sweep(&self) {
        self.pool.sweep(Instant::now());
    }

    /// Begins a request.
    pub(crate) fn begin(self: &Arc<Self>) -> Asking {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Relaxed);
        let began = self.troubled.load(Ordering::Relaxed).then(Instant::now);
        Asking { upstream: self.clone(), began, ended: false }
    }

    /// A request waited in vain for its answer, on this connection where it was one of HTTP/2.
    pub(crate) fn waited_in_vain(&self, on: Option<Nth>) {
        if let Some(nth) = on {
            self.pool.forget(nth);
        }
    }

    /// Sends a request over a connection that is open, or over a new one. What a connection did not take goes to the next. `on` is
    /// the connection of HTTP/2 that it waits on.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<Sent>,
        on: &mut Option<Nth>,
    ) -> Result<Response<Incoming>, Broke> {
        // By HTTP/2 a connection cannot become one of another protocol.
        let changes = request.headers().contains_key(UPGRADE);
        loop {
            let known = if changes { self.pool.take_one() } else { self.pool.take() };
            let (mut sender, used) = match known {
                Some(sender) => (sender, true),
                None => {
                    let made =
                        if changes { self.pool.connect_one().await } else { self.pool.connect().await };
                    match made {
                        Ok(sender) => (sender, false),
                        Err(unmade) => return Err(Broke::unmade(&unmade, request)),
                    }
                }
            };
            *on = sender.shared();
            self.address(&mut request, on.is_some());
            match sender.send(request).await {
                Ok(answer) => {
                    self.pool.put(sender);
                    return Ok(answer);
                }
                Err(broken) => match broken.request {
                    Some(back) if used => request = back,
                    back => {
                        let stale = used && !broken.error.is_timeout() && !broken.error.is_user();
                        let sort = if stale { Sort::Stale } else { Sort::Upstream };
                        return Err(Broke { why: deepest(&broken.error), request: back, sort });
                    }
                },
            }
        }
    }

    /// Whether a connection to it comes about.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn reached(&self, within: Duration) -> Result<(), String> {
        if let Some(sender) = self.pool.take() {
            self.pool.put(sender);
            return Ok(());
        }
        let late = |_| "no connection came about in time".to_owned();
        let sender = tokio::time::timeout(within, self.pool.connect()).await.map_err(late)?;
        let sender = sender.map_err(|unmade| unmade.to_string())?;
        self.pool.put(sender);
        Ok(())
    }

    /// Writes the request for a connection: HTTP/2 needs the whole address, HTTP/1.1 the path alone.
    fn address(&self, request: &mut Request<Sent>, http2: bool) {
        if http2 {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(self.scheme.clone());
            parts.authority = Some(self.authority.clone());
            parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
            if let Ok(whole) = Uri::from_parts(parts) {
                *request.uri_mut() = whole;
            }
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(TRANSFER_ENCODING);
            return;
        }
        // Of some methods the client takes it that they have no body, where the headers do not say so.
        let body = request.body();
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            let headers = request.headers_mut();
            if !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        if request.uri().scheme().is_some() {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
        }
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
    }

    /// A caller's path and query behind this upstream's own path.
    pub(crate) fn path(&self, asked: &Uri) -> Option<Uri> {
        let asked = asked.path_and_query();
        if self.base.is_empty() {
            return Some(asked.cloned().unwrap_or_else(|| PathAndQuery::from_static("/")).into());
        }
        let path = format!("{}{}", self.base, asked.map_or("/", PathAndQuery::as_str));
        Some(PathAndQuery::try_from(path).ok()?.into())
    }

    fn went_well(&self, began: Option<Instant>) -> bool {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let Some(began) = began else { return false };
        let mut told = self.told();
        told.breaker.answered(Instant::now(), began);
        let closed = told.breaker.state() == BreakerState::Closed;
        if closed && self.troubled.swap(false, Ordering::Relaxed) {
            told.since = SystemTime::now();
            return true;
        }
        false
    }

    fn went_badly(&self, began: Option<Instant>, why: &str) {
        let now = Instant::now();
        let mut told = self.told();
        told.tell(why);
        let answered = self.answered.load(Ordering::Relaxed);
        let was_closed = told.breaker.state() == BreakerState::Closed;
        if told.breaker.failed(now, began, answered) {
            if was_closed {
                told.since = SystemTime::now();
            }
            self.troubled.store(true, Ordering::Relaxed);
        }
    }

    fn given_up(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            self.told().breaker.given_up(Instant::now());
        }
    }

    /// It was asked whether it is well; `well` is what follows from its last answers. Whether that is new.
    pub(crate) fn found(&self, well: bool, error: Option<String>) -> bool {
        let mut told = self.told();
        if let Some(error) = error {
            told.last_error = Some((error, SystemTime::now()));
        }
        let news = self.healthy.swap(well, Ordering::Relaxed) != well;
        if news {
            told.since = SystemTime::now();
        }
        news
    }

    /// It answered well when it was asked: its breaker lets one pass.
    pub(crate) fn says_well(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            self.told().breaker.says_well(Instant::now());
        }
    }

    /// How it stands.
    pub(crate) fn state(&self, is_asked: bool) -> UpstreamState {
        let told = self.told();
        UpstreamState {
            address: self.address.to_string(),
            healthy: is_asked.then(|| self.is_healthy()),
            breaker: told.breaker.state(),
            outstanding: self.outstanding(),
            asked: self.asked(),
            last_error: told.last_error.clone(),
            since: told.since,
        }
    }
}

/// A request that is with an upstream. Dropped without an end, nobody waits for it any more.
pub(crate) struct Asking {
    pub(crate) upstream: Arc<Upstream>,
    /// When it began, where the upstream had failed before.
    began: Option<Instant>,
    ended: bool,
}

impl Asking {
    /// It was answered so; whether its upstream is back by that.
    pub(crate) fn answered(mut self, status: StatusCode) -> bool {
        self.ended = true;
        if is_overwhelmed(status) {
            self.upstream.went_badly(self.began, &format!("it answered {status}"));
            return false;
        }
        self.upstream.went_well(self.began)
    }

    /// It failed as it will fail again: said, and not counted, so that each request hears why.
    pub(crate) fn told(self, why: &str) {
        self.upstream.told().tell(why);
    }

    /// It failed.
    pub(crate) fn failed(mut self, why: &str) {
        self.ended = true;
        self.upstream.went_badly(self.began, why);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.upstream.outstanding.fetch_sub(1, Ordering::Relaxed);
        if !self.ended && self.began.is_some() {
            self.upstream.given_up();
        }
    }
}

/// Whether an answer says that whoever gave it cannot answer now: another upstream may.
pub(crate) fn is_overwhelmed(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}
