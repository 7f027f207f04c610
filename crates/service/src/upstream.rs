//! One upstream: its connections, how it stands, and what it was asked.
//!
//! On the way of a request that goes well everything is counted by atomics; locks are for failures, and are never held while
//! anything is waited for.

use crate::body::Sent;
use crate::breaker::{Breaker, BreakerState, Pass};
use crate::head::Head;
use crate::http1;
use crate::pool::{Broken, Needs, Nth, Pool, Sender, Unmade, deepest};
use crate::received::Received;
use crate::tls::Secured;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Body as _;
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
    /// Whether the request cannot have been acted upon.
    pub(crate) not_begun: bool,
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
    fn unmade(unmade: &Unmade) -> Self {
        let sort = match unmade {
            Unmade::Failed(_) => Sort::Upstream,
            Unmade::Untrusted(_) => Sort::Untrusted,
            Unmade::Config(_) => Sort::Config,
        };
        Self { why: unmade.to_string(), not_begun: true, sort }
    }

    /// On a connection that the request drove; `used` is whether it had served before.
    fn bare(broken: &http1::Broken, used: bool) -> Self {
        let sort = if used { Sort::Stale } else { Sort::Upstream };
        Self { why: broken.to_string(), not_begun: matches!(broken, http1::Broken::NotTaken), sort }
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
        head: &Head,
        mut sent: Sent,
        on: &mut Option<Nth>,
    ) -> Result<Response<Received>, Broke> {
        let path = self.path(&head.path);
        let path = path.ok_or_else(|| Broke {
            why: "a path that is none".to_owned(),
            not_begun: true,
            sort: Sort::Config,
        })?;
        let needs = match &sent {
            _ if head.headers.contains_key(UPGRADE) => Needs::Upgrade,
            Sent::Nothing => Needs::Head,
            _ => Needs::Body,
        };
        loop {
            let known = self.pool.take(needs);
            let used = known.is_some();
            let sender = match known {
                Some(sender) => sender,
                // In a box, as all that is rare: a call keeps no room for it.
                None => Box::pin(self.pool.connect(needs)).await.map_err(|unmade| Broke::unmade(&unmade))?,
            };
            let mut task = match sender {
                Sender::Task(task) => task,
                Sender::Bare(connection) => {
                    match connection.ask(head, path.as_str(), &self.host, &self.pool.bare).await {
                        Err(http1::Broken::NotTaken) if used => continue,
                        outcome => return outcome.map_err(|broken| Broke::bare(&broken, used)),
                    }
                }
            };
            *on = task.shared();
            match Box::pin(task.send(self.request(head, path.clone(), sent, on.is_some()))).await {
                Ok(answer) => {
                    self.pool.put(task);
                    return Ok(answer.map(Received::task));
                }
                Err(Broken { request: Some(back), .. }) if used => sent = back.into_body(),
                Err(Broken { error, request }) => {
                    let stale = used && !error.is_timeout() && !error.is_user();
                    let sort = if stale { Sort::Stale } else { Sort::Upstream };
                    return Err(Broke { why: deepest(&error), not_begun: request.is_some(), sort });
                }
            }
        }
    }

    /// Whether a connection to it comes about.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn reached(&self, within: Duration) -> Result<(), String> {
        if let Some(sender) = self.pool.take(Needs::Head) {
            self.pool.put_unused(sender);
            return Ok(());
        }
        let late = |_| "no connection came about in time".to_owned();
        let sender = tokio::time::timeout(within, self.pool.connect(Needs::Head)).await.map_err(late)?;
        self.pool.put_unused(sender.map_err(|unmade| unmade.to_string())?);
        Ok(())
    }

    /// The request for a connection with a task: HTTP/2 needs the whole address, HTTP/1.1 the path alone.
    fn request(&self, head: &Head, path: PathAndQuery, sent: Sent, http2: bool) -> Request<Sent> {
        let mut request = Request::new(sent);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = path.into();
        *request.headers_mut() = head.all_headers();
        if http2 {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(self.scheme.clone());
            parts.authority = Some(self.authority.clone());
            if let Ok(whole) = Uri::from_parts(parts) {
                *request.uri_mut() = whole;
            }
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(TRANSFER_ENCODING);
            return request;
        }
        // Of some methods the client takes it that they have no body, where the headers do not say so.
        let body = request.body();
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            let headers = request.headers_mut();
            if !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        request
    }

    /// A caller's path and query behind this upstream's own path.
    fn path(&self, asked: &Uri) -> Option<PathAndQuery> {
        let asked = asked.path_and_query();
        if self.base.is_empty() {
            return Some(asked.cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
        let path = format!("{}{}", self.base, asked.map_or("/", PathAndQuery::as_str));
        PathAndQuery::try_from(path).ok()
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
