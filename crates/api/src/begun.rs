//! The first bytes of a connection: enough of them to tell HTTP/1.1 from HTTP/2 come in time, or it is let go.
//!
//! The library that serves both waits for them without bound, and only then counts the time that headers take.

use crate::tls::Line;
use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// What every connection of HTTP/2 begins with (RFC 9113).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether these bytes begin HTTP/2, or may as far as they go.
pub(crate) fn may_be_http2(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE) || PREFACE.starts_with(bytes)
}

/// A connection that has begun to speak, read from its beginning.
pub(crate) struct Begun {
    /// What was read of it and has not been read again.
    first: Cursor<Vec<u8>>,
    line: Line,
}

impl Begun {
    /// Whether it speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.first.get_ref().starts_with(PREFACE)
    }

    /// What was read of it, and what it is read from.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Line) {
        (self.first.into_inner(), self.line)
    }

    /// One of which this was read, and is to be read again.
    pub(crate) fn again(bytes: Vec<u8>, line: Line) -> Self {
        Self { first: Cursor::new(bytes), line }
    }

    /// Whether nobody on the way can read it.
    pub(crate) fn is_secure(&self) -> bool {
        self.line.is_secure()
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.first).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before => {
                Pin::new(&mut self.line).poll_read(cx, buf)
            }
            other => other,
        }
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.line).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.line).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.line.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}

/// The connection when it has said which protocol it speaks; none where it ends, pauses longer than `idle`, or the end comes
/// before.
pub(crate) async fn begun(
    mut line: Line,
    idle: Duration,
    mut draining: watch::Receiver<bool>,
) -> Option<Begun> {
    let mut bytes = Vec::with_capacity(1_024);
    while bytes.len() < PREFACE.len() && PREFACE.starts_with(&bytes) {
        let read = tokio::time::timeout(idle, line.read_buf(&mut bytes));
        let count = tokio::select! {
            read = read => read.ok()?.ok()?,
            _ = draining.wait_for(|drains| *drains) => return None,
        };
        if count == 0 {
            break;
        }
    }
    (!bytes.is_empty()).then(|| Begun { first: Cursor::new(bytes), line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn what_was_read_to_know_the_protocol_is_read_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_drain, draining) = watch::channel(false);
        for (first, rest, begins) in [("P", "OST / HTTP/1.1", true), ("GET /", " x", true), ("", "", false)] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            client.write_all(first.as_bytes()).await.unwrap();
            client.write_all(rest.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let stream = begun(Line::Plain(stream), Duration::from_secs(60), draining.clone()).await;
            assert_eq!(stream.is_some(), begins, "{first}");
            let Some(mut stream) = stream else { continue };
            let mut all = String::new();
            stream.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, format!("{first}{rest}"));
        }
        let _silent = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(begun(Line::Plain(stream), Duration::from_millis(1), draining).await.is_none());
    }
}
