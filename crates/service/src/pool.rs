//! The connections to one upstream: kept open, used again, made when there is none.
//!
//! A request without a body gets a connection of HTTP/1.1 that it drives itself ([`crate::http1`]), and that its answer gives back.
//! One with a body, or that changes the protocol, gets one with a task of its own, which goes back as soon as the answer has begun,
//! and is used again when it says that it is ready. A connection of HTTP/2 serves all requests at once.
//!
//! Invariants: no lock is held while anything is waited for; what is idle is bounded in number and in time. On a crash the
//! connections are gone with the process.

use crate::body::Sent;
use crate::http1::{Connection, Io, Shelf};
use crate::tls::{HTTP1, HTTP2, Secured};
use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// So long a connection may take to come about.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// So long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);
/// So many are kept at most.
pub(crate) const IDLE_MAX: usize = 1_024;
/// A connection of HTTP/2 on which nothing comes for so long is asked whether the other side is there.
const PING: Duration = Duration::from_secs(5);
/// So long the other side may take to say so.
const PONG: Duration = Duration::from_secs(10);
/// So much of an answer by HTTP/2 may come before it is read: what one reader who is slow costs in memory, at most.
const STREAM_WINDOW: u32 = 1 << 20;
/// So much of all answers together, a connection's memory at most. It is that of many streams, and fixed: one that begins as small
/// as a stream's, and grows as it is measured, is used up by one slow reader, and then all others wait for him.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// After so long without a byte the other side's machine is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What a request needs of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// That it takes a head: there is no body.
    Head,
    /// That both sides go on at once: there is a body.
    Body,
    /// That it can become one of another protocol, which HTTP/1.1 alone can.
    Upgrade,
}

/// A connection that a request can be given to.
pub(crate) enum Sender {
    /// Of HTTP/1.1, which the request drives.
    Bare(Box<Connection>),
    /// Of HTTP/1.1 or HTTP/2, which a task of its own drives.
    Task(Task),
}

/// A connection with a task of its own.
pub(crate) enum Task {
    One(http1::SendRequest<Sent>),
    Many(http2::SendRequest<Sent>, Nth),
}

/// Which of the connections of HTTP/2 to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nth(u64);

/// Why a connection brought no answer.
pub(crate) struct Broken {
    pub(crate) error: hyper::Error,
    /// The request, where the connection never took it.
    pub(crate) request: Option<Request<Sent>>,
}

impl Task {
    /// Sends a request and waits for the beginning of its answer.
    pub(crate) async fn send(&mut self, request: Request<Sent>) -> Result<Response<Incoming>, Broken> {
        let answer = match self {
            Self::One(sender) => sender.try_send_request(request).await,
            Self::Many(sender, _) => sender.try_send_request(request).await,
        };
        answer.map_err(|mut e| Broken { request: e.take_message(), error: e.into_error() })
    }

    /// Which connection of HTTP/2 it is, where it is one.
    pub(crate) fn shared(&self) -> Option<Nth> {
        match self {
            Self::One(_) => None,
            Self::Many(_, nth) => Some(*nth),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmade {
    /// It did not come about now.
    #[error("{0}")]
    Failed(String),
    /// The other side is not who it should be.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// It cannot come about with this configuration, at any upstream.
    #[error("{0}")]
    Config(String),
}

impl Unmade {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        match untrusted(error) {
            Some(why) => Self::Untrusted(why.to_string()),
            None => Self::Failed(deepest(error)),
        }
    }
}

/// What is wrong with the other side's certificate, where an error says that.
fn untrusted<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(one) = next {
        if let Some(tls @ rustls::Error::InvalidCertificate(_)) = one.downcast_ref() {
            return Some(tls);
        }
        // What such an error was made of is not its source.
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => one.source(),
        };
    }
    None
}

/// The connections to one upstream.
pub(crate) struct Pool {
    address: Uri,
    http2: bool,
    http: HttpConnector,
    secured: Option<Arc<Secured>>,
    /// What plain connections have in place of TLS.
    plain: Option<HttpsConnector<HttpConnector>>,
    /// Those that requests drive themselves.
    pub(crate) bare: Arc<Shelf>,
    idle: Mutex<Idle>,
    /// Held while a connection of HTTP/2 is made, so that one is made for all.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Idle {
    many: Option<Many>,
    /// How many connections of HTTP/2 were made.
    made: u64,
    /// Those used last are at the end.
    one: Vec<(http1::SendRequest<Sent>, Instant)>,
}

/// The connection that serves all requests.
struct Many {
    sender: http2::SendRequest<Sent>,
    nth: Nth,
    used: Instant,
}

impl Idle {
    fn take_one(&mut self) -> Option<Task> {
        let mut at = self.one.len();
        while at > 0 {
            at -= 1;
            let (sender, _) = self.one.get(at)?;
            if sender.is_ready() {
                return Some(Task::One(self.one.swap_remove(at).0));
            }
            if sender.is_closed() {
                self.one.swap_remove(at);
            }
        }
        None
    }
}

impl Pool {
    pub(crate) fn new(address: Uri, http2: bool, secured: Option<Arc<Secured>>) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        http.set_keepalive(Some(KEEPALIVE));
        let is_plain = address.scheme() != Some(&Scheme::HTTPS);
        let plain = is_plain.then(|| plain(http.clone())).flatten();
        Self {
            address,
            http2,
            http,
            secured,
            plain,
            bare: Arc::default(),
            idle: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is open and free.
    pub(crate) fn take(&self, needs: Needs) -> Option<Sender> {
        let speaks_one = self.plain.is_some() && !self.http2;
        if needs == Needs::Head && speaks_one {
            return self.bare.take().map(Sender::Bare);
        }
        let mut idle = self.idle();
        if needs != Needs::Upgrade
            && let Some(many) = &mut idle.many
        {
            if many.sender.is_ready() {
                many.used = Instant::now();
                return Some(Sender::Task(Task::Many(many.sender.clone(), many.nth)));
            }
            idle.many = None;
        }
        if needs != Needs::Head {
            return idle.take_one().map(Sender::Task);
        }
        drop(idle);
        self.bare.take().map(Sender::Bare)
    }

    /// Takes a connection with a task back whose answer has begun.
    pub(crate) fn put(&self, task: Task) {
        if let Task::One(sender) = task
            && !sender.is_closed()
        {
            let mut idle = self.idle();
            if idle.one.len() < IDLE_MAX {
                idle.one.push((sender, Instant::now()));
            }
        }
    }

    /// Takes a connection back that nobody was given.
    pub(crate) fn put_unused(&self, sender: Sender) {
        match sender {
            Sender::Bare(connection) => self.bare.put(connection),
            Sender::Task(task) => self.put(task),
        }
    }

    /// Closes what nobody used for long; requests that are under way on it come to their end.
    pub(crate) fn sweep(&self, now: Instant) {
        self.bare.sweep(now, IDLE);
        let is_young = |since: Instant| now.duration_since(since) < IDLE;
        let mut idle = self.idle();
        idle.one.retain(|(sender, since)| !sender.is_closed() && is_young(*since));
        idle.many.take_if(|many| many.sender.is_closed() || !is_young(many.used));
    }

    /// No further request gets this connection: one waited in vain on it, and nobody knows whether the other side is there.
    pub(crate) fn forget(&self, nth: Nth) {
        self.idle().many.take_if(|many| many.nth == nth);
    }

    /// Makes a connection.
    pub(crate) async fn connect(&self, needs: Needs) -> Result<Sender, Unmade> {
        if needs == Needs::Upgrade {
            return self.connect_one().await;
        }
        if !self.http2 {
            return self.connect_any(needs).await;
        }
        let _making = self.making.lock().await;
        match self.take(needs) {
            Some(sender) => Ok(sender),
            None => self.connect_any(needs).await,
        }
    }

    async fn connect_any(&self, needs: Needs) -> Result<Sender, Unmade> {
        let io = self.dialled(true).await?;
        let agreed = match &io {
            MaybeHttpsStream::Https(io) => io.inner().get_ref().1.alpn_protocol() == Some(HTTP2),
            MaybeHttpsStream::Http(_) => self.http2,
        };
        let made = match needs {
            _ if agreed => self.many(io).await,
            Needs::Head => return Ok(Sender::Bare(Box::new(Connection::new(io)))),
            Needs::Body | Needs::Upgrade => one(io).await,
        };
        made.map(Sender::Task).map_err(Unmade::Failed)
    }

    /// Makes a connection of HTTP/1.1, which alone can become one of another protocol.
    async fn connect_one(&self) -> Result<Sender, Unmade> {
        if self.http2 && self.plain.is_some() {
            let why = "with `http2: true` and no TLS it speaks HTTP/2 alone, where a connection cannot change its protocol";
            return Err(Unmade::Config(why.to_owned()));
        }
        one(self.dialled(false).await?).await.map(Sender::Task).map_err(Unmade::Failed)
    }

    async fn dialled(&self, http2: bool) -> Result<Io, Unmade> {
        let late = |_| Unmade::Failed("connecting takes too long".to_owned());
        tokio::time::timeout(CONNECT, self.dial(http2)).await.map_err(late)?
    }

    async fn dial(&self, http2: bool) -> Result<Io, Unmade> {
        let connector = match (&self.plain, &self.secured) {
            (Some(plain), _) => plain.clone(),
            (None, Some(secured)) => {
                self.secure(secured, http2).await.map_err(|e| Unmade::Config(e.to_string()))?
            }
            (None, None) => return Err(Unmade::Config("there is no way to it".to_owned())),
        };
        connector.oneshot(self.address.clone()).await.map_err(|e| Unmade::of(e.as_ref()))
    }

    async fn secure(
        &self,
        secured: &Arc<Secured>,
        http2: bool,
    ) -> handover_core::Result<HttpsConnector<HttpConnector>> {
        let mut config = secured.config().await?;
        if !http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![HTTP1.to_vec()];
        }
        let http = self.http.clone();
        Ok(match secured.server_name()? {
            Some(name) => {
                HttpsConnector::new(http, config, true, Arc::new(FixedServerNameResolver::new(name)))
            }
            None => HttpsConnector::new(http, config, true, Arc::new(of_address)),
        })
    }

    async fn many(&self, io: Io) -> Result<Task, String> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        builder.keep_alive_interval(PING).keep_alive_timeout(PONG).keep_alive_while_idle(true);
        let (sender, connection) = builder.handshake(io).await.map_err(|e| deepest(&e))?;
        tokio::spawn(connection);
        let mut idle = self.idle();
        idle.made += 1;
        let nth = Nth(idle.made);
        idle.many = Some(Many { sender: sender.clone(), nth, used: Instant::now() });
        Ok(Task::Many(sender, nth))
    }
}

async fn one(io: Io) -> Result<Task, String> {
    let (sender, connection) = http1::handshake(io).await.map_err(|e| deepest(&e))?;
    tokio::spawn(connection.with_upgrades());
    Ok(Task::One(sender))
}

/// Makes connections without TLS: the configuration of TLS that it must have is never used.
fn plain(http: HttpConnector) -> Option<HttpsConnector<HttpConnector>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    Some(HttpsConnector::new(http, config, false, Arc::new(of_address)))
}

/// The name that a certificate must have: the address's host.
fn of_address(
    address: &Uri,
) -> Result<rustls::pki_types::ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    rustls::pki_types::ServerName::try_from(host.to_owned())
}

/// What lies at the bottom of an error: "connection refused" rather than "error trying to connect".
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_for_all_that_nobody_uses_is_closed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let pool = Pool::new(address, true, None);
        let shared = |sender: Option<Sender>| match sender {
            Some(Sender::Task(task)) => task.shared(),
            _ => None,
        };
        let made = shared(pool.connect(Needs::Head).await.ok());
        pool.sweep(Instant::now());
        assert_eq!(shared(pool.take(Needs::Body)), made);
        pool.sweep(Instant::now() + IDLE);
        assert!(pool.take(Needs::Head).is_none());
        let next = shared(pool.connect(Needs::Body).await.ok()).unwrap();
        pool.forget(made.unwrap());
        assert_eq!(shared(pool.take(Needs::Head)), Some(next), "another is left alone");
        pool.forget(next);
        assert!(pool.take(Needs::Head).is_none());
    }
}
