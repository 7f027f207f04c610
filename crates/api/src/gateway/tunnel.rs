//! Connections that change their protocol, to WebSocket for example: from then on bytes are copied both ways.
//!
//! A tunnel is served by the task of its client's connection, counts as that connection does, and holds the place of the request
//! that it was. It ends when either side ends, when no byte came from either for [`QUIET`], when a side takes nothing for so long
//! as any client may, with the key or token of its client, and with this process: nothing can be said to its ends, because only
//! they know the protocol.

use super::call::Call;
use super::metrics::Counts;
use http::request::Parts;
use http::{HeaderValue, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::Instant;

/// So long both sides may be silent.
const QUIET: Duration = Duration::from_secs(60 * 60);
const BUFFER: usize = 16 * 1024;

/// What a client wants its connection to become.
pub(super) struct Asked {
    client: OnUpgrade,
    pub(super) protocol: HeaderValue,
}

/// Takes out of a request what it asks its connection to become. Asking for HTTP/2 or TLS is not heard: a service that agreed
/// would be spoken to by the client directly, past everything here. It has no body.
pub(super) fn asked(head: &mut Parts) -> Option<Asked> {
    let mut values = head.headers.get_all(header::UPGRADE).iter();
    let protocol = values.next()?.clone();
    let text = protocol.to_str().ok()?.trim().to_ascii_lowercase();
    let is_http = text.starts_with("h2") || text.starts_with("http/") || text.starts_with("tls");
    let one = values.next().is_none() && !text.contains(',') && !is_http;
    let named = head.headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let fine = one && named && head.version == Version::HTTP_11;
    let client = head.extensions.remove::<OnUpgrade>().filter(|_| fine)?;
    Some(Asked { client, protocol })
}

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tunnel of a connection, where it becomes one.
#[derive(Default)]
pub(crate) struct Tunnel(Mutex<Option<Serving>>);

impl Tunnel {
    /// Makes the connection one, when the answer has been sent.
    pub(super) fn open(&self, client: Asked, service: OnUpgrade, mut call: Call) {
        let serving = Box::pin(async move {
            let (Ok(client), Ok(service)) = (client.client.await, service.await) else { return };
            let _open = Open::new(call.counts.clone());
            let mut draining = call.api.draining.clone();
            tokio::select! {
                () = relay(client, service, QUIET) => {}
                () = call.ended() => {}
                _ = draining.wait_for(|drains| *drains) => {}
            }
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
    }

    /// Serves it to its end.
    pub(crate) async fn serve(&self) {
        let serving = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.await;
        }
    }
}

/// Counts as long as it lives.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        counts.tunnel_began();
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tunnel_ended();
    }
}

/// Copies both ways until both have ended, one has broken, or both have been silent for so long.
async fn relay(one: Upgraded, other: Upgraded, quiet: Duration) {
    let (one_in, one_out) = tokio::io::split(TokioIo::new(one));
    let (other_in, other_out) = tokio::io::split(TokioIo::new(other));
    let last = Mutex::new(Instant::now());
    let there = copy(one_in, other_out, &last, quiet);
    let back = copy(other_in, one_out, &last, quiet);
    // What breaks on one side ends the other: both are dropped.
    let _ = tokio::try_join!(there, back);
}

type Half = TokioIo<Upgraded>;

async fn copy(
    mut from: ReadHalf<Half>,
    mut to: WriteHalf<Half>,
    last: &Mutex<Instant>,
    quiet: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = tokio::select! {
            count = from.read(&mut buffer) => count?,
            () = silent(last, quiet) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if count == 0 {
            return to.shutdown().await;
        }
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        tokio::time::timeout(quiet, to.write_all(&buffer[..count])).await??;
    }
}

/// Ends when nothing came from either side for so long.
async fn silent(last: &Mutex<Instant>, quiet: Duration) {
    loop {
        let end = *last.lock().unwrap_or_else(PoisonError::into_inner) + quiet;
        if Instant::now() >= end {
            return;
        }
        tokio::time::sleep_until(end).await;
    }
}
