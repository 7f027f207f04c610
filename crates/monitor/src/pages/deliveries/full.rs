//! What a page cut, whole; and downloads.
//!
//! Invariant: whatever a program wrote is data here, and never a page of this site: a text is plain text, a file is kept, not
//! shown, and neither is run by a browser.

use super::super::{Monitor, Wrong};
use super::data::whole;
use super::visible;
use crate::Visitor;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use handover_core::{Error, ErrorKind};
use handover_runtime::operations::facts::{Facts, Role};
use handover_runtime::operations::preview::Stored;
use http::{HeaderName, HeaderValue, header};
use std::io::{self, Read};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// So much is read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// So many blocks at most wait for the client.
const BLOCKS_AHEAD: usize = 4;

/// A text of a delivery, whole.
pub(super) async fn text(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Path((id, part)): Path<(String, String)>,
) -> Result<Response, Wrong> {
    let delivery = visible(&monitor.project(), &visitor, &id).await?;
    if matches!(part.as_str(), "stderr" | "output" | "result") {
        visitor.must_see(super::acted_on(&delivery))?;
    }
    let text = whole(&delivery, &part).ok_or_else(|| Wrong::not_found("it has no such text"))?;
    let mut response = text.into_response();
    set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(response)
}

/// The file of a delivery, from its place or from the archive.
pub(super) async fn file(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Wrong> {
    let project = monitor.project();
    let delivery = visible(&project, &visitor, &id).await?;
    let facts = Facts::of(&delivery);
    let path = facts.path.filter(|_| facts.role != Role::Arrival);
    let path = path.ok_or_else(|| Wrong::not_found("it has no file of ours"))?;
    let found = tokio::task::spawn_blocking(move || Stored::find(&project, &path));
    let stored = match found.await.map_err(|e| Error::internal("looking for a file broke off").because(e))? {
        Ok(stored) => stored,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Wrong::not_found("the file is neither where it was published nor in the archive"));
        }
        Err(e) => return Err(e.into()),
    };
    let (name, size, place) = (stored.name(), stored.size(), monitor.reading()?);
    let mut response = Response::new(stream(stored, place));
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    set(&mut response, header::CONTENT_LENGTH, &size.to_string());
    let plain: String = name.chars().filter(|c| c.is_ascii_graphic() && !"\"\\;".contains(*c)).collect();
    set(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{plain}\""));
    Ok(response)
}

fn set(response: &mut Response, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

/// A body that is read as the client takes it, on a thread of its own.
fn stream(stored: Stored, place: OwnedSemaphorePermit) -> Body {
    let (blocks, receiver) = mpsc::channel::<io::Result<Bytes>>(BLOCKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        if let Err(e) = send(&stored, &blocks) {
            // The client sees that the body is short: its length was said.
            tracing::warn!("cannot send a file: {e}");
            let _ = blocks.blocking_send(Err(e));
        }
    });
    Body::from_stream(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|block| (block, receiver))
    }))
}

fn send(stored: &Stored, blocks: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut reader = stored.open().map_err(|e| io::Error::other(e.to_string()))?;
    let mut left = stored.size();
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
