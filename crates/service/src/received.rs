//! What a service answers: its body, by whichever connection it comes.

use crate::body::BoxError;
use crate::http1::{Ahead, Rest};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer. Dropped before its end, it ends the connection that it comes by, or its stream.
pub struct Received(From);

enum From {
    /// It was there with the head, or there is none.
    Whole(Option<Bytes>),
    /// It is read from the connection as it is asked for.
    Rest(Box<Rest>),
    /// It is long, and read ahead.
    Ahead(Ahead),
    /// It comes by a connection that has a task of its own.
    Task(Incoming),
}

impl Received {
    pub(crate) fn whole(bytes: Option<Bytes>) -> Self {
        Self(From::Whole(bytes.filter(|bytes| !bytes.is_empty())))
    }

    pub(crate) fn rest(rest: Rest) -> Self {
        Self(From::Rest(Box::new(rest)))
    }

    pub(crate) fn task(body: Incoming) -> Self {
        Self(From::Task(body))
    }

    /// Has what is still to come of a long body read ahead.
    fn read_ahead(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, From::Whole(None)) {
            From::Rest(rest) => From::Ahead(Ahead::of(*rest)),
            other => other,
        };
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            From::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            From::Rest(rest) => {
                let polled = rest.poll_frame(cx).map_err(BoxError::from);
                if rest.is_long() {
                    self.read_ahead();
                }
                polled
            }
            From::Ahead(ahead) => ahead.poll_frame(cx).map_err(BoxError::from),
            From::Task(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            From::Whole(bytes) => bytes.is_none(),
            From::Rest(rest) => rest.is_at_end(),
            From::Ahead(ahead) => ahead.is_at_end(),
            From::Task(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            From::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            From::Rest(rest) => rest.size_hint(),
            From::Ahead(ahead) => ahead.size_hint(),
            From::Task(body) => body.size_hint(),
        }
    }
}
