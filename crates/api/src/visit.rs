//! Requests for pages of the dashboard, as the door sees them: who asks, in which form errors go to them, and the place of who
//! follows what changes.

use crate::auth::{Caller, IfAway};
use crate::fault::Fault;
use crate::places::Place;
use crate::state::{Api, Current};
use async_trait::async_trait;
use axum::extract::Request;
use handover_monitor::pages;
use handover_monitor::{Guest, Stay};
use handover_runtime::config::Auth;
use http::{HeaderMap, header};
use std::sync::Arc;

/// Who has logged in, and asks for a page. A key or a token that a request shows comes first.
///
/// # Errors
/// 401 where the session has ended.
pub(crate) async fn session(
    api: &Api,
    current: &Current,
    path: &str,
    headers: &HeaderMap,
    if_away: IfAway,
) -> Result<Option<Arc<Caller>>, Fault> {
    let is_taken = pages::is_page(path) && current.config.auth == Auth::Keys;
    if !is_taken || crate::auth::shows_any(headers) {
        return Ok(None);
    }
    api.sessions.caller(headers, current.project.clock.now(), if_away).await
}

/// Tells a page who looks, and gives a stream of its changes a place.
///
/// # Errors
/// 503 and 429 where there is no place.
pub(crate) fn introduce(
    api: &Api,
    caller: &Caller,
    in_session: bool,
    request: &mut Request,
) -> Result<(), Fault> {
    if !pages::is_page(request.uri().path()) {
        return Ok(());
    }
    let follows = request.uri().path() == pages::EVENTS;
    request.extensions_mut().insert(caller.visitor(in_session));
    if follows {
        let place = api.streams.take(&caller.name)?;
        let seat = Seat { api: api.clone(), caller: caller.clone(), _place: place };
        request.extensions_mut().insert(Stay(Arc::new(seat)));
    }
    Ok(())
}

/// Whether a browser asks for a page to show.
pub(crate) fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    pages::is_page(path)
        && accepts.flat_map(|value| value.split(',')).any(|one| crate::body::media_type(one) == "text/html")
}

/// The place of somebody who follows what changes on a page.
struct Seat {
    api: Api,
    caller: Caller,
    _place: Place,
}

#[async_trait]
impl Guest for Seat {
    async fn may_stay(&self) -> bool {
        let now = self.api.current().project.clock.now();
        self.caller.is_still_worth(&self.api.keys, now).await
    }
}
