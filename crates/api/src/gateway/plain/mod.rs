//! Requests that most are, read and answered by the task of their connection, without a library in between: GET and HEAD of
//! HTTP/1.1 for service apps, whole within [`head::MAX_BYTES`], with no header that says anything of a body, of a change of
//! protocol, or of the connection but that it goes on or ends.
//!
//! The first request that is another, or that is malformed in any way, ends this: what was read goes to `hyper`, which serves the
//! connection from then on. So nothing is refused here for how it is written, nothing that could be read in two ways is read
//! here, and what a request goes through is the same ([`super::answer`]).
//!
//! - here: a connection, one request after the other · [`head`]: both heads, as bytes.
//!
//! Invariants: one request at a time; the next one is read when the answer before it has been written. An answer has one length.
//! Memory is bounded by the head, and by one piece of a body. A client that goes ends its request. Dropped at any point, the
//! connection is closed.

mod head;
#[cfg(test)]
mod tests;

use super::body::Patience;
use super::{Peer, Sent};
use crate::begun::{self, Begun};
use crate::state::Api;
use crate::tls::Line;
use bytes::BytesMut;
use handover_service::Alarm;
use handover_service::fields::Place;
use http::{Method, Response};
use http_body::{Body as _, Frame};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::sync::watch;

/// So much is read at a time.
const READ: usize = 4 * 1024;
/// Where there is less room than this, more is made.
const ROOM_MIN: usize = 1024;
/// A piece of a body up to this is copied to what stands before it.
const COPIED_MAX: usize = 4 * 1024;

/// Serves what is plain. Gives the connection back at the first request that is not; none where it has ended.
pub(crate) async fn serve(
    api: &Api,
    peer: &Peer,
    begun: Begun,
    idle: Duration,
    mut draining: watch::Receiver<bool>,
) -> Option<Begun> {
    if begun.is_http2() {
        return Some(begun);
    }
    let mut connection = Connection::new(begun, idle);
    let mut drains = pin!(async move { drop(draining.wait_for(|drains| *drains).await) });
    let mut deadline = Alarm::default();
    loop {
        let mut parts = match head::read(&mut connection.bytes, &mut connection.places) {
            Ok(Some(parts)) => parts,
            // Nor may what began as HTTP/1.1 go on as HTTP/2; and who has said a part of that would be waited for without end.
            Err(head::Other) if begun::may_be_http2(&connection.bytes) => return None,
            // At the end nothing new is begun.
            Err(head::Other) if *api.draining.borrow() => return None,
            Err(head::Other) => return Some(Begun::again(connection.bytes.to_vec(), connection.line)),
            Ok(None) => {
                connection.read(drains.as_mut()).await?;
                continue;
            }
        };
        let (is_head, is_last) = (parts.method == Method::HEAD, head::closes(&parts.headers));
        let response = {
            let mut answer = pin!(super::answer(api, peer, &mut parts, None, &mut deadline));
            poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => connection.poll_gone(cx).map(|()| None),
            })
            .await?
        };
        let ends = is_last || head::closes(response.headers()) || *api.draining.borrow();
        connection.send(response, is_head, ends).await?;
        if ends {
            connection.shut_down().await;
            return None;
        }
    }
}

struct Connection {
    line: Line,
    /// What was read and not taken yet.
    bytes: BytesMut,
    /// What is to be written next.
    out: Vec<u8>,
    /// Where the headers of a head lie.
    places: Vec<Place>,
    /// With a client that sends no head, or takes nothing.
    patience: Patience,
}

impl Connection {
    fn new(begun: Begun, idle: Duration) -> Self {
        let (bytes, line) = begun.into_parts();
        Self {
            line,
            bytes: BytesMut::from(bytes.as_slice()),
            out: Vec::with_capacity(2 * 1024),
            places: Vec::new(),
            patience: Patience::new(idle),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < ROOM_MIN {
            self.bytes.reserve(READ);
        }
        pin!(self.line.read_buf(&mut self.bytes)).poll(cx)
    }

    /// Reads more of a head. None where the client goes, or takes too long with it, and at the end of this process.
    async fn read(&mut self, mut drains: Pin<&mut impl Future<Output = ()>>) -> Option<()> {
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.poll_read(cx) {
                return Poll::Ready(read.ok().filter(|count| *count > 0).map(|_| ()));
            }
            let ends = self.patience.poll(cx).is_ready() || drains.as_mut().poll(cx).is_ready();
            if ends { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Ready when the client has gone. What it sends meanwhile is kept, as far as there is room for a head; where there is any of
    /// that it may have said all that it has to say, and is answered.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.bytes.len() < head::MAX_BYTES {
            match ready!(self.poll_read(cx)) {
                Ok(0) if !self.bytes.is_empty() => return Poll::Pending,
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Sends an answer. None where the client has gone, or the answer broke off: the connection is to be closed.
    async fn send(&mut self, response: Response<Sent>, is_head: bool, ends: bool) -> Option<()> {
        let (parts, body) = response.into_parts();
        let length = body.size_hint().exact();
        self.patience.came();
        self.out.clear();
        head::write(&mut self.out, &parts, length, is_head, ends);
        if !is_head && !head::is_bare(parts.status) {
            self.body(body, length).await?;
        }
        self.flush().await.ok()?;
        self.patience.came();
        Some(())
    }

    /// Sends a body, but for what is left in `out`.
    async fn body(&mut self, mut body: Sent, mut left: Option<u64>) -> Option<()> {
        while !body.is_end_stream() {
            let frame = match self.next(&mut body).await? {
                Some(frame) => frame,
                None => break,
            };
            // Trailers were not asked for.
            let Ok(data) = frame.into_data() else { continue };
            match &mut left {
                Some(left) => *left = left.checked_sub(data.len() as u64)?,
                None if data.is_empty() => continue,
                None => head::put_chunk(&mut self.out, data.len()),
            }
            if data.len() <= COPIED_MAX {
                self.out.extend_from_slice(&data);
            } else {
                self.write(&data).await.ok()?;
            }
            if left.is_none() {
                self.out.extend_from_slice(b"\r\n");
            }
            if self.out.len() > COPIED_MAX {
                self.flush().await.ok()?;
            }
        }
        match left {
            None => self.out.extend_from_slice(b"0\r\n\r\n"),
            Some(0) => {}
            Some(_) => {
                // It is shorter than it said.
                let _ = self.flush().await;
                return None;
            }
        }
        Some(())
    }

    /// The next piece of a body; while it is waited for, what there is goes out. Nothing at its end; none where it broke off, or
    /// the client has gone.
    async fn next(&mut self, body: &mut Sent) -> Option<Option<Frame<bytes::Bytes>>> {
        let polled = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => match self.poll_out(cx, &mut 0, &[]) {
                Poll::Ready(Err(_)) => Poll::Ready(None),
                _ => self.poll_gone(cx).map(|()| None),
            },
        });
        match polled.await? {
            None => Some(None),
            Some(Ok(frame)) => Some(Some(frame)),
            Some(Err(_)) => {
                // The log says why. The client sees that it was cut.
                let _ = self.flush().await;
                None
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.write(&[]).await
    }

    /// Writes what is in `out`, and these bytes behind it.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        poll_fn(|cx| self.poll_out(cx, &mut sent, bytes)).await
    }

    /// The same, to be polled. `sent` is how many of the bytes have gone.
    fn poll_out(&mut self, cx: &mut Context<'_>, sent: &mut usize, bytes: &[u8]) -> Poll<io::Result<()>> {
        let mut gone = 0;
        let outcome = loop {
            let (out, rest) = (&self.out[gone..], &bytes[*sent..]);
            let line = Pin::new(&mut self.line);
            let wrote = match (out.is_empty(), rest.is_empty()) {
                // TLS has taken it: its client may not have.
                (true, true) => {
                    let flushed = line.poll_flush(cx);
                    break self.patient(flushed, cx);
                }
                (false, true) => line.poll_write(cx, out),
                (true, false) => line.poll_write(cx, rest),
                (false, false) => line.poll_write_vectored(cx, &[IoSlice::new(out), IoSlice::new(rest)]),
            };
            match wrote {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    let of_out = count.min(out.len());
                    gone += of_out;
                    *sent += count - of_out;
                    self.patience.came();
                }
                Poll::Ready(Err(e)) => break Poll::Ready(Err(e)),
                Poll::Pending => break self.patient(Poll::Pending, cx),
            }
        };
        self.out.drain(..gone);
        outcome
    }

    /// What came of an attempt to bring something to the client; an error where it has taken nothing for too long.
    fn patient(&mut self, outcome: Poll<io::Result<()>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match outcome {
            Poll::Ready(outcome) => {
                self.patience.came();
                Poll::Ready(outcome)
            }
            Poll::Pending => self.patience.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Tells the client that nothing more comes.
    async fn shut_down(&mut self) {
        let shut = poll_fn(|cx| {
            let shut = Pin::new(&mut self.line).poll_shutdown(cx);
            self.patient(shut, cx)
        });
        let _ = shut.await;
    }
}
