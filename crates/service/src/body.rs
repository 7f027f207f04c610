//! What a call sends, so that it can be taken back for as long as nothing of it was read, or all that was read is kept.
//!
//! A request goes to a connection with a [`Sent`] as its body; the caller's own body stays in a [`Kept`] until the connection asks
//! for its first piece. A request that failed before that is whole again, and may go to another upstream.
//!
//! Of a request that may be done twice a short body ([`KEPT_MAX`]) is kept as it is read, until its answer begins: a connection that
//! ends first, because the service restarts, costs nothing. Memory is bounded by that, for each request under way.

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// What a call sends.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body up to this size is kept while it is sent, where its request may be done twice.
const KEPT_MAX: u64 = 64 * 1024;

/// A caller's body while it is with a call.
pub(crate) enum Kept {
    /// There is none.
    Nothing,
    /// It waits until somebody reads it.
    Waits(Arc<Waiting>),
    /// What is read of it is kept.
    Copied(Arc<Copied>),
}

/// A body that is taken by who reads it first.
pub(crate) struct Waiting {
    body: Mutex<Option<Body>>,
    progress: Progress,
}

/// A body that can be read again from its beginning, by one at a time.
pub(crate) struct Copied {
    copy: Mutex<Copy>,
    size: u64,
    progress: Progress,
}

struct Copy {
    body: Body,
    pieces: Vec<Bytes>,
    ended: bool,
    /// Something came of it that is not kept.
    incomplete: bool,
    /// Which of those that it was sent with may read.
    reader: u32,
}

/// How far the caller has come.
struct Progress {
    began: Instant,
    /// When a piece of it was last taken, in milliseconds since it began, and one more; 0 is never.
    last_ms: AtomicU64,
    broke_off: AtomicBool,
    /// Whoever read it last found nothing: its next piece has yet to come.
    awaited: AtomicBool,
}

impl Progress {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last_ms: AtomicU64::new(0),
            broke_off: false.into(),
            awaited: false.into(),
        }
    }

    /// What came of a look for the next piece.
    fn seen(&self, frame: &Poll<Option<Result<Frame<Bytes>, BoxError>>>) {
        self.awaited.store(frame.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Some(frame)) = frame {
            let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last_ms.store(ms.saturating_add(1), Ordering::Relaxed);
            if frame.is_err() {
                self.broke_off.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Kept {
    /// `again` is whether it may have to be sent again after it was read.
    pub(crate) fn new(body: Body, again: bool) -> Self {
        if body.is_end_stream() {
            return Self::Nothing;
        }
        let progress = Progress::new();
        match body.size_hint().exact() {
            Some(size) if again && size <= KEPT_MAX => {
                let copy = Copy { body, pieces: Vec::new(), ended: false, incomplete: false, reader: 0 };
                Self::Copied(Arc::new(Copied { copy: Mutex::new(copy), size, progress }))
            }
            _ => Self::Waits(Arc::new(Waiting { body: Mutex::new(Some(body)), progress })),
        }
    }

    fn progress(&self) -> Option<&Progress> {
        match self {
            Self::Nothing => None,
            Self::Waits(waiting) => Some(&waiting.progress),
            Self::Copied(copied) => Some(&copied.progress),
        }
    }

    /// The body for a connection; none where one has begun to read it, and it is not kept. What it was sent with before ends.
    pub(crate) fn send(&self) -> Option<Sent> {
        match self {
            Self::Nothing => Some(Sent::Nothing),
            Self::Waits(waiting) => {
                let size = waiting.locked().as_ref()?.size_hint();
                Some(Sent::Whole { from: waiting.clone(), taken: None, size })
            }
            Self::Copied(copied) => {
                let mut copy = copied.locked();
                if copy.incomplete {
                    return None;
                }
                copy.reader = copy.reader.wrapping_add(1);
                let reader = copy.reader;
                Some(Sent::Again { from: copied.clone(), reader, next: 0, left: copied.size })
            }
        }
    }

    /// Whether it can be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Waits(waiting) => waiting.locked().is_some(),
            Self::Copied(copied) => !copied.locked().incomplete,
        }
    }

    /// How long ago a piece of it was taken; none where that never was, or there is none.
    pub(crate) fn taken_before(&self) -> Option<Duration> {
        let progress = self.progress()?;
        let last = progress.last_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(progress.began.elapsed().saturating_sub(Duration::from_millis(last)))
    }

    /// Whether it is the caller who is waited for: what was read of it so far was sent.
    pub(crate) fn awaits_caller(&self) -> bool {
        self.progress().is_some_and(|progress| progress.awaited.load(Ordering::Relaxed))
    }

    /// Whether it was the caller who broke off.
    pub(crate) fn broke_off(&self) -> bool {
        self.progress().is_some_and(|progress| progress.broke_off.load(Ordering::Relaxed))
    }
}

impl Waiting {
    fn locked(&self) -> MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copied {
    fn locked(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The piece at this place: one that was read before, or the next of the body.
    fn poll(
        &self,
        reader: u32,
        at: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut copy = self.locked();
        if copy.reader != reader {
            return Poll::Ready(Some(Err(ELSEWHERE.into())));
        }
        if let Some(piece) = copy.pieces.get(at) {
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if copy.ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut copy.body).poll_frame(cx);
        self.progress.seen(&frame);
        match &frame {
            Poll::Pending => {}
            Poll::Ready(None) => copy.ended = true,
            Poll::Ready(Some(frame)) => match frame.as_ref().ok().and_then(Frame::data_ref) {
                Some(piece) => copy.pieces.push(piece.clone()),
                None => copy.incomplete = true,
            },
        }
        frame
    }

    fn is_at_end(&self, at: usize) -> bool {
        let copy = self.locked();
        at >= copy.pieces.len() && (copy.ended || copy.body.is_end_stream())
    }
}

const ELSEWHERE: &str = "what was to be sent has gone elsewhere";

/// A body as a connection sends it.
pub(crate) enum Sent {
    Nothing,
    Whole {
        from: Arc<Waiting>,
        taken: Option<Body>,
        size: SizeHint,
    },
    /// One that is kept, from its beginning; `next` is the place of its next piece, and `left` what is still to come.
    Again {
        from: Arc<Copied>,
        reader: u32,
        next: usize,
        left: u64,
    },
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Nothing => Poll::Ready(None),
            Self::Whole { from, taken, .. } => {
                if taken.is_none() {
                    *taken = from.locked().take();
                }
                let Some(body) = taken else { return Poll::Ready(Some(Err(ELSEWHERE.into()))) };
                let frame = Pin::new(body).poll_frame(cx);
                from.progress.seen(&frame);
                frame
            }
            Self::Again { from, reader, next, left } => {
                let frame = from.poll(*reader, *next, cx);
                if let Poll::Ready(Some(Ok(frame))) = &frame
                    && let Some(piece) = frame.data_ref()
                {
                    *next += 1;
                    *left = left.saturating_sub(piece.len() as u64);
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Whole { taken, .. } => taken.as_ref().is_some_and(http_body::Body::is_end_stream),
            Self::Again { from, next, .. } => from.is_at_end(*next),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Whole { taken: Some(body), .. } => body.size_hint(),
            Self::Whole { size, .. } => *size,
            Self::Again { left, .. } => SizeHint::with_exact(*left),
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
        let kept = Kept::new(text("abc"), false);
        let first = kept.send().unwrap();
        assert_eq!(first.size_hint().exact(), Some(3));
        drop(first);
        assert!(kept.is_whole() && kept.taken_before().is_none());
        let mut second = kept.send().unwrap();
        assert!(second.frame().await.unwrap().is_ok());
        assert!(!kept.is_whole() && kept.send().is_none() && kept.taken_before().is_some());
        assert!(second.is_end_stream() && second.frame().await.is_none());
        let nothing = Kept::new(text(""), true);
        assert!(nothing.is_whole() && nothing.send().unwrap().is_end_stream());
    }

    #[tokio::test]
    async fn a_short_one_that_may_be_sent_again_is_kept() {
        let kept = Kept::new(text("abc"), true);
        let mut first = kept.send().unwrap();
        assert!(first.frame().await.unwrap().is_ok() && first.is_end_stream());
        assert!(kept.is_whole() && kept.taken_before().is_some());
        let mut second = kept.send().unwrap();
        assert!(!second.is_end_stream() && second.size_hint().exact() == Some(3));
        assert!(first.frame().await.unwrap().is_err(), "only the last one reads");
        assert_eq!(second.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(second.is_end_stream() && second.frame().await.is_none());
        let long = Kept::new(crate::post::whole(vec![0; 64 * 1024 + 1]), true);
        assert!(long.send().unwrap().frame().await.unwrap().is_ok());
        assert!(!long.is_whole(), "a long one is not kept");
    }
}
