//! A request's body on its way in, as a reader for the threads that block: a few blocks wait at most, so that a client is
//! held back by whoever reads.

use crate::body::refuse_too_large;
use crate::fault::Fault;
use crate::places::Place;
use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// So many blocks at most wait for the reader.
const BLOCKS_AHEAD: usize = 16;

/// The blocks of a body.
pub(crate) struct Upload {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    block: Bytes,
    _place: Place,
}

impl Upload {
    /// Takes a body of at most so many bytes; the place is kept until it is read.
    ///
    /// # Errors
    /// 413 where its length is said and is more. Where it turns out so on the way, reading fails.
    pub(crate) fn begin(headers: &HeaderMap, body: Body, most: u64, place: Place) -> Result<Self, Fault> {
        refuse_too_large(headers, most)?;
        let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
        tokio::spawn(pump(body, most, sender));
        Ok(Self { blocks, block: Bytes::new(), _place: place })
    }
}

/// What an upload that was too large fails with.
pub(crate) fn is_too_large(error: &handover_core::Error) -> bool {
    error.to_string().contains(TOO_LARGE)
}

/// What an upload fails with whose body ended before its end.
pub(crate) fn is_cut(error: &handover_core::Error) -> bool {
    error.to_string().contains(CUT)
}

const CUT: &str = "the body did not come whole";
const TOO_LARGE: &str = "the body is larger than is taken";

async fn pump(mut body: Body, most: u64, blocks: mpsc::Sender<io::Result<Bytes>>) {
    let mut left = most;
    while let Some(frame) = body.frame().await {
        let block = match frame.map(http_body::Frame::into_data) {
            Ok(Ok(block)) => block,
            Ok(Err(_)) => continue,
            Err(e) => {
                let _ = blocks
                    .send(Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{CUT}: {e}"))))
                    .await;
                return;
            }
        };
        match left.checked_sub(block.len() as u64) {
            Some(rest) => left = rest,
            None => {
                let _ = blocks.send(Err(io::Error::other(TOO_LARGE))).await;
                return;
            }
        }
        if blocks.send(Ok(block)).await.is_err() {
            return;
        }
    }
}

impl Read for Upload {
    /// Waits for the next block: only for threads that may block.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.block.is_empty() {
            match self.blocks.blocking_recv() {
                None => return Ok(0),
                Some(block) => self.block = block?,
            }
        }
        let count = self.block.len().min(into.len());
        self.block.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
