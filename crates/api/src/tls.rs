//! TLS of the listener: the handshake within its time, and certificates that are read anew when their files change.
//!
//! Invariants: where TLS is configured nothing is answered in the clear but that TLS is wanted. A connection keeps the certificate
//! that it began with; files that will not do leave the last good ones in force, and that is said once for each change of them.

use arc_swap::ArcSwap;
use handover_core::{Error, Result};
use handover_runtime::config::ApiTls;
use rustls::ServerConfig;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, error, info};

/// So often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What every handshake begins with (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// What whoever speaks HTTP in the clear gets.
const IN_THE_CLEAR: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 87\r\n\r\n{\"error\":{\"code\":\"TLS_REQUIRED\",\"message\":\"https is spoken here: ask by https://…\"}}\n";

/// The certificates of a listener.
pub(crate) struct Tls {
    files: ArcSwap<ApiTls>,
    server: ArcSwap<ServerConfig>,
    /// The files as they were before they were last read: what changes while they are read is seen by the next look.
    read: Mutex<Stamp>,
}

/// When each file was changed, and how large it is.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them will not do.
    pub(crate) fn new(files: &ApiTls) -> Result<Self> {
        let read = Mutex::new(stamp(files));
        let server = load(files)?;
        Ok(Self { files: ArcSwap::from_pointee(files.clone()), server: ArcSwap::from_pointee(server), read })
    }

    /// Goes on with other files.
    ///
    /// # Errors
    /// Which of them will not do; then it goes on as before.
    pub(crate) fn set(&self, files: &ApiTls) -> Result<()> {
        let read = stamp(files);
        self.server.store(Arc::new(load(files)?));
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
        self.files.store(Arc::new(files.clone()));
        Ok(())
    }

    /// Reads the files anew when they change, without end.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            // Files may be slow: no thread that serves waits for them.
            let tls = self.clone();
            if tokio::task::spawn_blocking(move || tls.look()).await.is_err() {
                return error!("certificates are not followed any more: a panic");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads the files where they are not what was read.
    fn look(&self) {
        let files = self.files.load_full();
        let now = stamp(&files);
        if std::mem::replace(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner), now.clone())
            == now
        {
            return;
        }
        match load(&files) {
            Ok(server) => {
                self.server.store(Arc::new(server));
                info!("the API shows the certificate that is in {} now", files.cert.display());
            }
            Err(e) => error!("the API goes on with the certificate that it has: {e}"),
        }
    }

    /// The connection when its handshake is done; none where it is none, or takes longer than this.
    pub(crate) async fn accept(&self, stream: TcpStream, within: Duration) -> Option<Line> {
        let handshake = async {
            let mut first = [0];
            if stream.peek(&mut first).await.ok()? == 0 {
                return None;
            }
            if first[0] != HANDSHAKE {
                refuse(stream).await;
                return None;
            }
            let acceptor = TlsAcceptor::from(self.server.load_full());
            match acceptor.accept(stream).await {
                Ok(stream) => Some(Line::Tls(Box::new(stream))),
                Err(e) => {
                    debug!("a handshake failed: {e}");
                    None
                }
            }
        };
        tokio::time::timeout(within, handshake).await.ok().flatten()
    }
}

fn stamp(files: &ApiTls) -> Stamp {
    let of = |file| std::fs::metadata(file).ok().and_then(|is| Some((is.modified().ok()?, is.len())));
    files.files().map(of).collect()
}

fn load(files: &ApiTls) -> Result<ServerConfig> {
    files.load().map_err(|(key, e)| {
        let hint = e.hint_text().unwrap_or_default().to_owned();
        Error::config(format!("`api.tls.{key}` will not do")).because(e).hint(hint)
    })
}

/// Tells whoever speaks HTTP that TLS is wanted.
async fn refuse(mut stream: TcpStream) {
    // What was sent is read, or the answer might be lost with the connection.
    let mut sent = [0; 4 * 1024];
    let _ = stream.try_read(&mut sent);
    let _ = stream.write_all(IN_THE_CLEAR.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The bytes of a connection, encrypted or not.
pub(crate) enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Whether nobody on the way can read it.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// The same call on what is within.
macro_rules! on {
    ($line:expr, $call:ident $(, $argument:expr)*) => {
        match $line.get_mut() {
            Self::Plain(stream) => Pin::new(stream).$call($($argument),*),
            Self::Tls(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        on!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        on!(self, poll_write, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        on!(self, poll_write_vectored, cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        on!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        on!(self, poll_shutdown, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_in_the_clear_is_as_long_as_it_says() {
        let (head, body) = IN_THE_CLEAR.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
