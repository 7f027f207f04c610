//! What a page cut, whole; and downloads.
//!
//! Invariant: whatever a program wrote is data here, and never a page of this site: a text is plain text, a file is kept, not
//! shown, and neither is run by a browser.

use super::super::{Monitor, Wrong};
use super::data::whole;
use super::visible;
use crate::Visitor;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use handover_core::{Error, ErrorKind};
use handover_runtime::operations::facts::{Facts, Role};
use handover_runtime::operations::preview::Stored;
use http::{HeaderName, HeaderValue, header};

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
    let mut response = Response::new(crate::stream::body(move || stored.open(), 0, size, place));
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
