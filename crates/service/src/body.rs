//! What a call sends, so that it can be taken back for as long as nothing of it was read.
//!
//! A request goes to a connection with a [`Sent`] as its body; the caller's own body stays in a [`Kept`] until the connection asks
//! for its first piece. A request that failed before that is whole again, and may go to another upstream.

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// What a call sends.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A caller's body while it is with a call.
pub(crate) enum Kept {
    /// There is none.
    Nothing,
    /// It waits until somebody reads it.
    Waits(Arc<Waiting>),
}

pub(crate) struct Waiting {
    body: Mutex<Option<Body>>,
    began: Instant,
    /// When a piece of it was last taken, in milliseconds since it began, and one more; 0 is never.
    last_ms: AtomicU64,
    broke_off: std::sync::atomic::AtomicBool,
}

impl Kept {
    pub(crate) fn new(body: Body) -> Self {
        if body.is_end_stream() {
            return Self::Nothing;
        }
        Self::Waits(Arc::new(Waiting {
            body: Mutex::new(Some(body)),
            began: Instant::now(),
            last_ms: AtomicU64::new(0),
            broke_off: false.into(),
        }))
    }

    /// The body for a connection; none where one has begun to read it.
    pub(crate) fn send(&self) -> Option<Sent> {
        let Self::Waits(waiting) = self else { return Some(Sent::Nothing) };
        let size = waiting.locked().as_ref()?.size_hint();
        Some(Sent::Whole { from: waiting.clone(), taken: None, size })
    }

    /// Whether it can be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Waits(waiting) => waiting.locked().is_some(),
        }
    }

    /// How long ago a piece of it was taken; none where that never was, or there is none.
    pub(crate) fn taken_before(&self) -> Option<Duration> {
        let Self::Waits(waiting) = self else { return None };
        let last = waiting.last_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(waiting.began.elapsed().saturating_sub(Duration::from_millis(last)))
    }

    /// Whether it was the caller who broke off.
    pub(crate) fn broke_off(&self) -> bool {
        matches!(self, Self::Waits(waiting) if waiting.broke_off.load(Ordering::Relaxed))
    }
}

impl Waiting {
    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body as a connection sends it.
pub(crate) enum Sent {
    Nothing,
    Whole { from: Arc<Waiting>, taken: Option<Body>, size: SizeHint },
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self::Whole { from, taken, .. } = self.get_mut() else { return Poll::Ready(None) };
        if taken.is_none() {
            *taken = from.locked().take();
        }
        let Some(body) = taken else {
            return Poll::Ready(Some(Err("what was to be sent has gone elsewhere".into())));
        };
        let frame = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(Some(frame)) = &frame {
            let ms = u64::try_from(from.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            from.last_ms.store(ms.saturating_add(1), Ordering::Relaxed);
            if frame.is_err() {
                from.broke_off.store(true, Ordering::Relaxed);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Whole { taken, .. } => taken.as_ref().is_some_and(http_body::Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Whole { taken: Some(body), .. } => body.size_hint(),
            Self::Whole { size, .. } => *size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full};

    fn text(text: &'static str) -> Body {
        Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn it_is_whole_until_somebody_reads_it() {
        let kept = Kept::new(text("abc"));
        let first = kept.send().unwrap();
        assert_eq!(first.size_hint().exact(), Some(3));
        drop(first);
        assert!(kept.is_whole() && kept.taken_before().is_none());
        let mut second = kept.send().unwrap();
        assert!(second.frame().await.unwrap().is_ok());
        assert!(!kept.is_whole() && kept.send().is_none() && kept.taken_before().is_some());
        assert!(second.is_end_stream() && second.frame().await.is_none());
        let nothing = Kept::new(text(""));
        assert!(nothing.is_whole() && nothing.send().unwrap().is_end_stream());
    }
}
