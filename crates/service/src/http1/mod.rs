//! HTTP/1.1 as a client, for requests without a body (RFC 9112): the task that asks drives the connection itself.
//!
//! Nothing is sent while the answer comes, so nobody else has to look after the connection meanwhile, and most requests of a
//! gateway are of this sort: what a task for each connection, and messages to it and back, cost is more than all else of such a
//! request. Requests with a body, of which both sides go on at once, are hyper's, as are those that change the protocol.
//! Heads are taken apart by httparse, which hyper uses too.
//!
//! - here: a connection, and a request over it · [`head`]: both heads, as bytes · [`rest`]: an answer's body, piece by piece ·
//!   [`ahead`]: the same for a long one, read ahead · [`shelf`]: the connections that are free.
//!
//! Invariants: a connection has one request at a time, and is given back when its answer has ended where it should, and never
//! with a byte that nobody asked for. An answer has one length: what could be read in two ways ends the connection. Memory is
//! bounded by [`head::MAX_BYTES`] and by [`READ_MAX`], of which a long body has a few. Dropped at any point, the connection is closed.

mod ahead;
mod head;
mod rest;
mod shelf;
#[cfg(test)]
mod tests;

pub(crate) use ahead::Ahead;
pub(crate) use rest::Rest;
pub(crate) use shelf::Shelf;

use crate::fields::Place;
use crate::head::Head;
use crate::received::Received;
use bytes::BytesMut;
use head::{Begun, Length};
use http::{HeaderValue, Response};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// So much is read at a time at first.
const READ: usize = 8 * 1024;
/// And so much at most, where more is there each time.
const READ_MAX: usize = 256 * 1024;

/// What bytes go over, with or without TLS.
pub(crate) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side closed the connection before it took anything of the request.
    #[error("the connection was closed")]
    NotTaken,
    #[error("the connection was closed before the answer was whole")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Malformed(&'static str),
}

/// A connection that one request has at a time.
pub(crate) struct Connection {
    io: TokioIo<Io>,
    /// What was read and not taken yet.
    bytes: BytesMut,
    /// So much is read next.
    next: usize,
    /// Where the headers of a head lie.
    places: Vec<Place>,
    /// A request's head, as it is sent.
    written: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(io: Io) -> Self {
        let (io, written) = (TokioIo::new(io), Vec::with_capacity(1_024));
        Self { io, bytes: BytesMut::new(), next: READ, places: Vec::new(), written }
    }

    /// Whether it is open, and nothing has come that nobody asked for.
    pub(crate) fn is_fine(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        self.bytes.is_empty()
            && Pin::new(&mut self.io).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Sends a request without a body, and reads the beginning of its answer. `host` is what it says where the head does not.
    pub(crate) async fn ask(
        mut self: Box<Self>,
        head: &Head,
        path: &str,
        host: &HeaderValue,
        shelf: &Arc<Shelf>,
    ) -> Result<Response<Received>, Broken> {
        self.send(head, path, host).await?;
        let (begun, length) = self.begun(head).await?;
        let Begun { mut answer, reused } = begun;
        let at_once = match length {
            Length::Bytes(0) => Some(None),
            Length::Bytes(size) => usize::try_from(size)
                .ok()
                .filter(|size| *size <= self.bytes.len())
                .map(|size| Some(self.bytes.split_to(size).freeze())),
            Length::Chunks | Length::UntilEnd => None,
        };
        *answer.body_mut() = match at_once {
            Some(bytes) => {
                if reused && self.bytes.is_empty() {
                    shelf.put(self);
                }
                Received::whole(bytes)
            }
            None => Received::rest(Rest::new(self, length, reused, shelf.clone())),
        };
        Ok(answer)
    }

    async fn send(&mut self, head: &Head, path: &str, host: &HeaderValue) -> Result<(), Broken> {
        head::write(&mut self.written, head, path, host);
        let mut sent = 0;
        while let Some(rest) = self.written.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.io.write(rest).await {
                Ok(0) | Err(_) if sent == 0 => return Err(Broken::NotTaken),
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => sent += count,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.io.flush().await?)
    }

    /// The answer's head; those that say that it is still to come are passed over.
    async fn begun(&mut self, asked: &Head) -> Result<(Begun, Length), Broken> {
        loop {
            if self.read().await? == 0 {
                return Err(Broken::Closed);
            }
            while let Some(begun) = head::read(&mut self.bytes, &mut self.places)? {
                let status = begun.answer.status();
                if status.is_informational() && status != http::StatusCode::SWITCHING_PROTOCOLS {
                    continue;
                }
                let length = head::length(&begun.answer, &asked.method)?;
                return Ok((begun, length));
            }
        }
    }

    /// Reads what is there; 0 is the end.
    async fn read(&mut self) -> io::Result<usize> {
        self.make_room();
        let count = self.io.read_buf(&mut self.bytes).await?;
        self.learn(count);
        Ok(count)
    }

    /// The same, to be polled.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let reading = std::pin::pin!(self.read());
        reading.poll(cx)
    }

    fn make_room(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < self.next / 2 {
            self.bytes.reserve(self.next);
        }
    }

    /// Where there was as much as was asked for, more is asked for the next time.
    fn learn(&mut self, count: usize) {
        if count >= self.next {
            self.next = (self.next * 2).min(READ_MAX);
        }
    }
}
