//! The body of an answer that was not there whole with its head, read from its connection as it is asked for.

use super::ahead::LONG;
use super::head::{Length, MAX_BYTES, trailers};
use super::{Broken, Connection, Shelf};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::sync::Arc;
use std::task::{Context, Poll};

/// What is still to come of a body.
pub(crate) struct Rest {
    /// None when it has ended.
    connection: Option<Box<Connection>>,
    next: Next,
    /// Why it broke off.
    broken: Option<Broken>,
    /// How many bytes it gave so far.
    given: u64,
    reused: bool,
    shelf: Arc<Shelf>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// So many bytes, which are the last.
    Last(u64),
    /// Bytes, as long as the connection has some.
    Any,
    /// The line that says how long a chunk is.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line's end behind a chunk.
    LineEnd,
    /// The headers behind the last chunk.
    Trailers,
    /// Nothing.
    End,
}

impl Rest {
    pub(super) fn new(connection: Box<Connection>, length: Length, reused: bool, shelf: Arc<Shelf>) -> Self {
        let next = match length {
            Length::Bytes(size) => Next::Last(size),
            Length::Chunks => Next::Size,
            Length::UntilEnd => Next::Any,
        };
        let reused = reused && next != Next::Any;
        Self { connection: Some(connection), next, broken: None, given: 0, reused, shelf }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.next == Next::End && self.broken.is_none()
    }

    /// Whether it goes on where most have ended.
    pub(crate) fn is_long(&self) -> bool {
        self.given >= LONG && !self.is_at_end()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.next {
            Next::Last(size) => SizeHint::with_exact(size),
            Next::End => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    /// The next piece. Behind an error there is none.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(mut connection) = self.connection.take() else { return Poll::Ready(None) };
        loop {
            match self.taken(&mut connection) {
                Ok(Some(frame)) => {
                    self.keep(connection);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if self.next == Next::End => {
                    self.keep(connection);
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(e) => return self.broke(e, cx),
            }
            match connection.poll_more(cx) {
                Poll::Pending => {
                    self.connection = Some(connection);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) if self.next == Next::Any => {
                    self.next = Next::End;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => return self.broke(Broken::Closed, cx),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return self.broke(e.into(), cx),
            }
        }
    }

    /// The error comes with the next look, so that what came before it is sent first.
    fn broke(&mut self, error: Broken, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        (self.next, self.broken) = (Next::End, Some(error));
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Keeps the connection until the end, and gives it back then where it goes on.
    fn keep(&mut self, connection: Box<Connection>) {
        if self.next != Next::End {
            self.connection = Some(connection);
        } else if self.reused && connection.bytes.is_empty() {
            self.shelf.put(connection);
        }
    }

    /// The next piece of what was read; none where that does not make one, or all has come.
    fn taken(&mut self, connection: &mut Connection) -> Result<Option<Frame<Bytes>>, Broken> {
        let bytes = &mut connection.bytes;
        loop {
            match self.next {
                Next::Last(0) => self.next = Next::End,
                Next::End => return Ok(None),
                _ if bytes.is_empty() => return Ok(None),
                Next::Any => {
                    self.given += bytes.len() as u64;
                    return Ok(Some(Frame::data(bytes.split().freeze())));
                }
                Next::Last(left) | Next::Chunk(left) => {
                    let size = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let piece = bytes.split_to(size).freeze();
                    self.given += size as u64;
                    let left = left - size as u64;
                    self.next = match self.next {
                        Next::Last(_) if left == 0 => Next::End,
                        Next::Last(_) => Next::Last(left),
                        _ if left == 0 => Next::LineEnd,
                        _ => Next::Chunk(left),
                    };
                    return Ok(Some(Frame::data(piece)));
                }
                Next::Size => {
                    let Some((line, size)) = chunk_size(bytes)? else { return Ok(None) };
                    let _ = bytes.split_to(line);
                    self.next = if size == 0 { Next::Trailers } else { Next::Chunk(size) };
                }
                Next::LineEnd => match bytes.get(..2) {
                    None => return Ok(None),
                    Some(b"\r\n") => {
                        let _ = bytes.split_to(2);
                        self.next = Next::Size;
                    }
                    Some(_) => return Err(Broken::Malformed("a chunk is longer than it says")),
                },
                Next::Trailers => {
                    let Some(trailers) = trailers(bytes)? else { return Ok(None) };
                    self.next = Next::End;
                    return Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)));
                }
            }
        }
    }
}

/// How long the line of a chunk's size is, and the chunk; none while the line is not whole.
fn chunk_size(bytes: &[u8]) -> Result<Option<(usize, u64)>, Broken> {
    const NONE: Broken = Broken::Malformed("the size of a chunk is none");
    if !bytes.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(NONE);
    }
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete(found)) => Ok(Some(found)),
        Ok(httparse::Status::Partial) if bytes.len() < MAX_BYTES => Ok(None),
        _ => Err(NONE),
    }
}
