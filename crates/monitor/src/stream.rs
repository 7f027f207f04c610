//! A file on its way out: a body that is read as the client takes it, on a thread of its own, a few blocks ahead at most.
//!
//! The client sees that a body is short, because its length was said. On a crash the connection ends.

use axum::body::Body;
use bytes::Bytes;
use handover_core::Result;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// So much is read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How many blocks wait for the client.
const BLOCKS_AHEAD: usize = 4;

/// The bytes of what `open` gives, from `first` on, so many as `length`; `place` is kept until the end.
pub fn body<R: Read + 'static>(
    open: impl FnOnce() -> Result<R> + Send + 'static,
    first: u64,
    length: u64,
    place: impl Send + 'static,
) -> Body {
    let (blocks, receiver) = mpsc::channel::<io::Result<Bytes>>(BLOCKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        if let Err(e) = send(open, first, length, &blocks) {
            tracing::warn!("cannot send a file: {e}");
            let _ = blocks.blocking_send(Err(e));
        }
    });
    Body::from_stream(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|block| (block, receiver))
    }))
}

fn send<R: Read>(
    open: impl FnOnce() -> Result<R>,
    first: u64,
    length: u64,
    blocks: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut reader = open().map_err(|e| io::Error::other(e.to_string()))?;
    io::copy(&mut reader.by_ref().take(first), &mut io::sink())?;
    let mut left = length;
    while left > 0 {
        let mut block = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES)];
        let count = reader.read(&mut block)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        block.truncate(count);
        left -= count as u64;
        if blocks.blocking_send(Ok(block.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
