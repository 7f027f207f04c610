//! Listening: connections within limits, each request's way through [`crate::door`] to its route, and a graceful end.
//!
//! The addresses are bound before anything else starts, so that one that is taken is said at once. A client has [`idle`] time to
//! send its headers, and may not pause longer while it sends a body or takes an answer. At the end nothing new is
//! accepted, streams of events end, and what is being answered is answered, within a bound.
//!
//! [`idle`]: handover_runtime::config::ApiLimits::idle

use crate::begun::{self, Begun};
use crate::gateway::{self, Peer, Sent, plain};
use crate::state::{Api, Current};
use crate::tls::{Line, Tls};
use crate::{access, document, door, routes, webhook};
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use handover_core::limits::API_HEADERS_MAX_BYTES;
use handover_core::{Error, ErrorKind, HolderId, Result};
use handover_runtime::Project;
use handover_runtime::config::Auth;
use handover_service::Alarm;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};
use tower_http::timeout::TimeoutBody;
use tracing::{info, warn};

/// So long what is being answered may take at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// Who has not asked for a while is forgotten so often.
const TIDY: Duration = Duration::from_secs(60);
/// So many keys and lines of old jobs are forgotten at once.
const FORGOTTEN_AT_ONCE: usize = 5_000;
/// A pause after a connection could not be accepted: the machine is short of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Addresses that are bound, and not served yet.
pub struct Bound {
    listeners: Vec<(SocketAddr, std::net::TcpListener)>,
}

fn cannot_listen(address: SocketAddr, source: std::io::Error) -> Error {
    let (kind, hint) = match source.kind() {
        std::io::ErrorKind::AddrInUse => (
            ErrorKind::Exists,
            "another process listens there: stop it, or choose another port with `api: { listen: … }`",
        ),
        std::io::ErrorKind::PermissionDenied => {
            (ErrorKind::Denied, "ports below 1024 are for root: choose another with `api: { listen: … }`")
        }
        _ => (ErrorKind::Config, "is it an address of this machine? 0.0.0.0 is all of them"),
    };
    Error::new(kind, "cannot listen").on(address).because(source).hint(hint)
}

/// A server that serves.
pub struct Server {
    api: Api,
    tls: Option<Arc<Tls>>,
    addresses: Vec<SocketAddr>,
    draining: watch::Sender<bool>,
    accepting: Vec<JoinHandle<JoinSet<()>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Bound {
    /// Binds the addresses of a configuration.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Exists`] where one is taken, [`handover_core::ErrorKind::Config`] where it is none of this
    /// machine's.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            let listener = std::net::TcpListener::bind(address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|e| cannot_listen(*address, e))?;
            let address =
                listener.local_addr().map_err(|e| Error::io("ask for the address of", address, e))?;
            listeners.push((address, listener));
        }
        Ok(Self { listeners })
    }

    /// Serves a project there. `holder` is this process, whose temporary files uploads are until they are published.
    ///
    /// # Errors
    /// Where the document cannot be made, or the sockets cannot be used.
    pub fn serve(self, project: Project, holder: HolderId) -> Result<Server> {
        let (draining, drains) = watch::channel(false);
        let api = Api::new(project, holder, drains)?;
        let router = router(&api);
        let tls = api.current().config.tls.as_ref().map(Tls::new).transpose()?.map(Arc::new);
        let connections = Arc::new(Semaphore::new(api.current().config.limits.connections));
        let mut accepting = Vec::new();
        let mut addresses = Vec::new();
        for (address, listener) in self.listeners {
            let listener = TcpListener::from_std(listener).map_err(|e| Error::io("listen on", address, e))?;
            addresses.push(address);
            let (router, connections) = (router.clone(), connections.clone());
            let accept = Accept { router, api: api.clone(), tls: tls.clone(), connections };
            accepting.push(tokio::spawn(accept.serve(listener)));
        }
        let mut tasks = vec![
            tokio::spawn(api.keys.clone().note_uses()),
            tokio::spawn(tidy(api.clone())),
            tokio::spawn(webhook::serve(api.clone())),
        ];
        tasks.extend(tls.clone().map(|tls| tokio::spawn(tls.follow())));
        // Health is looked at now, so that the first scrape has what the checks found.
        let _ = api.monitor.health_seen();
        Ok(Server { api, tls, addresses, draining, accepting, tasks })
    }
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// By what it is asked: `https`, or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Goes on under another configuration. Its addresses, whether they speak TLS, and limits of connections, requests and streams, stay as they were
    /// at the start.
    ///
    /// # Errors
    /// Where it has no `api:`, or one that will not do; the old one stays in force.
    pub fn reload(&self, project: Project) -> Result<()> {
        let current = Current::new(project, Some(&self.api.current()))?;
        if current.config.auth == Auth::None
            && let Some(public) = self.addresses.iter().find(|address| !address.ip().is_loopback())
        {
            let error =
                Error::config("`auth: none` would let anyone ask who reaches this address").on(public);
            return Err(
                error.hint("stop and start with another `listen`: an address holds from the start on")
            );
        }
        let mut listens: Vec<_> = current.config.listen.clone();
        listens.retain(|address| address.port() != 0 && !self.addresses.contains(address));
        if !listens.is_empty() {
            warn!("`api.listen` was changed: it holds from the next start on");
        }
        match (&self.tls, &current.config.tls) {
            (Some(tls), Some(files)) => tls.set(files)?,
            (None, None) => {}
            _ => warn!("`api.tls` was added or removed: that holds from the next start on"),
        }
        self.api.set(current);
        Ok(())
    }

    /// Accepts nothing new, ends streams, and lets what is being answered be answered, within a bound.
    pub async fn shut_down(self) {
        self.draining.send_replace(true);
        let drained = async {
            for accepting in self.accepting {
                if let Ok(mut connections) = accepting.await {
                    while connections.join_next().await.is_some() {}
                }
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            warn!("some clients did not take their answers in time");
        }
        for task in self.tasks {
            task.abort();
        }
        self.api.keys.write_uses().await;
        access::flush();
    }
}

/// Forgets what is not needed any more: who has not asked for a while, and the idempotency keys and progress of jobs whose
/// results are not kept any more.
async fn tidy(api: Api) {
    loop {
        tokio::time::sleep(TIDY).await;
        let current = api.current();
        current.rates.tidy();
        let Ok(before) = current.project.clock.now().checked_sub(current.config.results) else { continue };
        match current.ledger().forget_jobs(before, FORGOTTEN_AT_ONCE).await {
            Ok(_) => {}
            Err(e) => warn!("cannot forget the keys of old jobs: {e}; it is tried again"),
        }
    }
}

/// All routes, behind the door.
fn router(api: &Api) -> Router {
    let (routes, _) = routes::all().split_for_parts();
    let cors = api.clone();
    let origins = AllowOrigin::predicate(move |origin, _| door::may_read(&cors.current(), origin));
    routes
        .merge(document::routes())
        .merge(routes::login::routes())
        .with_state(api.clone())
        .merge(handover_monitor::pages::router(api.monitor.clone()))
        .fallback(routes::nothing_here)
        .layer(middleware::from_fn_with_state(api.clone(), patience))
        .layer(middleware::from_fn_with_state(api.clone(), door::pass))
        .layer(
            // `*` does not hold for Authorization: whatever headers a page asks to send are named back.
            CorsLayer::new()
                .allow_origin(origins)
                .allow_methods(Any)
                .allow_headers(AllowHeaders::mirror_request())
                .expose_headers(Any),
        )
        .layer(middleware::from_fn(door::greet))
}

/// A body whose client pauses too long is cut.
async fn patience(State(api): State<Api>, request: Request, next: Next) -> Response {
    let idle = api.current().config.limits.idle;
    next.run(request.map(|body| Body::new(TimeoutBody::new(idle, body)))).await
}

#[derive(Clone)]
struct Accept {
    router: Router,
    api: Api,
    tls: Option<Arc<Tls>>,
    connections: Arc<Semaphore>,
}

impl Accept {
    /// Accepts until the end; gives the connections that are still open then, each of which ends with its answer.
    async fn serve(self, listener: TcpListener) -> JoinSet<()> {
        let graceful = GracefulShutdown::new();
        let mut draining = self.api.draining.clone();
        let mut open = JoinSet::new();
        loop {
            while open.try_join_next().is_some() {}
            let room = tokio::select! {
                room = self.connections.clone().acquire_owned() => room,
                _ = draining.wait_for(|drains| *drains) => break,
            };
            let Ok(room) = room else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = draining.wait_for(|drains| *drains) => break,
            };
            match accepted {
                Ok((stream, from)) => {
                    let (watcher, serving, draining) = (graceful.watcher(), self.clone(), draining.clone());
                    open.spawn(async move {
                        let _room = room;
                        let idle = serving.api.current().config.limits.idle;
                        let Some(line) = serving.line(stream, idle).await else { return };
                        let Some(stream) = begun::begun(line, idle, draining.clone()).await else { return };
                        let peer = Arc::new(Peer::new(from, stream.is_secure()));
                        let served = plain::serve(&serving.api, &peer, stream, idle, draining);
                        let Some(stream) = served.await else { return };
                        if let Err(e) = watcher.watch(serving.connection(stream, idle, peer.clone())).await {
                            tracing::debug!("a connection of {from} ended: {e}");
                        }
                        peer.tunnel.serve().await;
                    });
                }
                Err(e) => {
                    warn!("cannot accept a connection: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        // Whoever is between two requests is told to go; who is being answered is answered.
        open.spawn(graceful.shutdown());
        info!("nothing new is accepted any more");
        open
    }

    /// A connection's bytes, encrypted where TLS is configured.
    async fn line(&self, stream: TcpStream, idle: Duration) -> Option<Line> {
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => Some(Line::Plain(stream)),
            Some(tls) => tls.accept(stream, idle).await,
        }
    }

    fn connection(
        &self,
        stream: Begun,
        idle: Duration,
        peer: Arc<Peer>,
    ) -> impl GracefulConnection<Error = BoxError> + Send + 'static {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(idle));
        let (router, api) = (self.router.clone(), self.api.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (router, api, peer) = (router.clone(), api.clone(), peer.clone());
            async move {
                let answer = if gateway::is_for(&request) {
                    let (mut head, body) = request.into_parts();
                    let mut deadline = Alarm::default();
                    // In a box: a connection that waits does not keep room for it.
                    Box::pin(gateway::answer(&api, &peer, &mut head, Some(body), &mut deadline)).await
                } else {
                    routed(router, peer.address, request).await
                };
                Ok::<_, Infallible>(answer)
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // `API_HEADERS_MAX` is what the library takes; told so, it would put its table of them together for each request.
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_buf_size(API_HEADERS_MAX_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(API_HEADERS_MAX_BYTES).unwrap_or(u32::MAX))
            .max_concurrent_streams(128)
            .keep_alive_interval(Some(idle))
            .keep_alive_timeout(idle);
        let io = TokioIo::new(Box::pin(stream));
        builder.serve_connection_with_upgrades(io, service).into_owned()
    }
}

/// The way of all requests but those to service apps; in a box, so that those do not pay for its size.
fn routed(
    mut router: Router,
    from: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Pin<Box<dyn Future<Output = hyper::Response<Sent>> + Send>> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(from));
    Box::pin(async move {
        match tower::Service::call(&mut router, request).await {
            Ok(response) => response.map(Sent::Door),
            Err(never) => match never {},
        }
    })
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
