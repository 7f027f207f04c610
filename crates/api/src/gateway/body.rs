//! Bodies on their way: passed on as they come, at the pace of who takes them, and cut where one side pauses too long.
//!
//! Nothing is copied or gathered. A body has a timer from when it is first waited for.

use super::call::Call;
use super::metrics::Counts;
use super::{hop, request};
use axum::body::Body as DoorBody;
use bytes::Bytes;
use futures_util::ready;
use handover_service::{Alarm, Body as ServiceBody, Received};
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

type BoxError = Box<dyn Error + Send + Sync>;

/// What became of a caller's body before it was whole.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<AtomicU8>);

const PAUSED: u8 = 1;
const BROKE: u8 = 2;

impl Told {
    pub(super) fn paused(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PAUSED
    }

    pub(super) fn broke(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BROKE
    }
}

/// How long something has been waited for.
pub(super) struct Patience {
    most: Duration,
    waits: bool,
    alarm: Alarm,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, waits: false, alarm: Alarm::default() }
    }

    /// What was waited for has come.
    pub(super) fn came(&mut self) {
        self.waits = false;
    }

    /// It has not; ready when it was waited for too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.waits {
            self.waits = true;
            self.alarm.set(Instant::now() + self.most);
        }
        self.alarm.poll(context)
    }
}

/// A caller's body, on its way to a service.
pub(super) struct FromCaller {
    body: Incoming,
    patience: Patience,
    told: Told,
    counts: Arc<Counts>,
}

impl FromCaller {
    pub(super) fn new(body: Incoming, idle: Duration, told: Told, counts: Arc<Counts>) -> Self {
        Self { body, patience: Patience::new(idle), told, counts }
    }

    pub(super) fn boxed(self) -> ServiceBody {
        ServiceBody::new(self)
    }
}

impl Body for FromCaller {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.patience.poll(context));
            self.told.0.store(PAUSED, Ordering::Relaxed);
            return Poll::Ready(Some(Err("the caller paused too long".into())));
        };
        self.patience.came();
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.counts.took(bytes_of(&frame));
                Some(Ok(without_ours(frame)))
            }
            Some(Err(e)) => {
                self.told.0.store(BROKE, Ordering::Relaxed);
                Some(Err(e.into()))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn bytes_of(frame: &Frame<Bytes>) -> usize {
    frame.data_ref().map_or(0, Bytes::len)
}

/// Trailers cannot say what headers could not.
fn without_ours(frame: Frame<Bytes>) -> Frame<Bytes> {
    let mut trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(frame) => return frame,
    };
    let names: Vec<_> = trailers.keys().filter(|name| request::is_ours(name)).cloned().collect();
    hop::remove_all(&mut trailers, &names);
    Frame::trailers(trailers)
}

/// A service's body, on its way to a caller.
pub(crate) struct FromService {
    body: Received,
    /// It does not say how long it is.
    endless: bool,
    patience: Patience,
    id: HeaderValue,
    call: Call,
}

impl FromService {
    pub(super) fn new(body: Received, most: Duration, id: HeaderValue, call: Call) -> Self {
        let endless = body.size_hint().exact().is_none();
        Self { body, endless, patience: Patience::new(most), id, call }
    }

    pub(super) fn sent(self) -> Sent {
        Sent::Service(Box::new(self))
    }

    /// The client has the beginning of an answer that has no end: the connection, or the stream, is cut.
    fn cut(&self, why: BoxError) -> BoxError {
        let id = self.id.to_str().unwrap_or_default();
        warn!(request_id = %id, app = self.call.counts.app(), "an answer was cut: {why}");
        why
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // What says how long it is has an end by itself, and is let come to it.
        if self.endless && self.call.poll_ended(context).is_ready() {
            return Poll::Ready(Some(Err(self.cut("the key or token that was shown has ended".into()))));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.patience.poll(context));
            return Poll::Ready(Some(Err(
                self.cut("the service paused for longer than its `timeout`".into())
            )));
        };
        self.patience.came();
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.call.counts.gave(bytes_of(&frame));
                Some(Ok(frame))
            }
            Some(Err(e)) => Some(Err(self.cut(e))),
            None => None,
        })
    }
}

/// What a client of this door gets.
pub(crate) enum Sent {
    /// From the router, or an error of the gateway's own.
    Door(DoorBody),
    /// From a service.
    Service(Box<FromService>),
}

impl Sent {
    pub(super) fn nothing() -> Self {
        Self::Door(DoorBody::empty())
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Door(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Service(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Door(body) => body.is_end_stream(),
            Self::Service(from) => from.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Door(body) => body.size_hint(),
            Self::Service(from) => from.body.size_hint(),
        }
    }
}
