//! A long body, read ahead by a task of its own: while one piece is sent to who asked, the next is read, where otherwise the
//! service waits for the client and the client for the service in turn.
//!
//! At most [`PIECES`] wait, so a client that does not read holds the service back. Dropped before its end, the task ends within
//! its next step, and the connection with it.

use super::{Broken, Rest};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// So many bytes are read by who asks for them; a body that goes on behind them is long.
pub(super) const LONG: u64 = 1024 * 1024;
/// So many pieces are read ahead, each of [`super::READ_MAX`] bytes at most.
const PIECES: usize = 2;

/// What a task reads.
pub(crate) struct Ahead {
    pieces: mpsc::Receiver<Result<Frame<Bytes>, Broken>>,
    /// How many bytes are still to be taken, where that is known.
    left: Option<u64>,
    ended: bool,
}

impl Ahead {
    /// Has a task read what is still to come.
    pub(crate) fn of(rest: Rest) -> Self {
        let left = rest.size_hint().exact();
        let (to, pieces) = mpsc::channel(PIECES);
        tokio::spawn(read(rest, to));
        Self { pieces, left, ended: false }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.ended || self.left == Some(0)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None if self.ended => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.pieces.poll_recv(cx).map(|frame| {
            match &frame {
                Some(Ok(frame)) => {
                    let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.left = self.left.map(|left| left.saturating_sub(size));
                }
                _ => self.ended = true,
            }
            frame
        })
    }
}

/// Reads the body to its end, or until nobody wants it any more.
async fn read(mut rest: Rest, to: mpsc::Sender<Result<Frame<Bytes>, Broken>>) {
    while let Ok(place) = to.reserve().await {
        tokio::select! {
            () = to.closed() => return,
            frame = poll_fn(|cx| rest.poll_frame(cx)) => match frame {
                Some(frame) => place.send(frame),
                None => return,
            },
        }
    }
}
