//! What happens to a job, as it happens: Server-Sent Events.
//!
//! Events: `state` for each move of the ledger, `progress` for each line that the program says, `cancelling` when its end was
//! asked for, and `end` with the job, after which the stream ends. An event's id says how many moves and lines the client has
//! had; with it as `Last-Event-ID` a stream goes on without a gap, from whatever process. A line that begins with `:` keeps the
//! connection alive. When the process ends the stream ends without `end`, and the client comes back.

use super::Version;
use super::jobs::{summary, visible};
use crate::auth::Caller;
use crate::body::Id;
use crate::fault::Fault;
use crate::hub::Follow;
use crate::model::{ErrorEnvelope, Job};
use crate::places::Place;
use crate::state::Api;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use handover_core::{DeliveryId, Status};
use handover_ledger::{AuditEntry, Ledger, Standing};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The connection is kept alive so often.
const ALIVE: Duration = Duration::from_secs(15);
/// So many lines are read at once.
const LINES: usize = 200;

/// Follows a job until it has ended.
#[utoipa::path(get, path = "/jobs/{id}/events", tag = "jobs",
    params(
        ("id" = i64, Path, description = "The job's number"),
        ("Last-Event-ID" = Option<String>, Header, description = "Where a stream before ended")
    ),
    responses(
        (status = 200, description = "Events: state, progress, cancelling, end", content_type = "text/event-stream", body = String),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope),
        (status = 503, description = "There are as many streams as are taken", body = ErrorEnvelope)
    )
)]
pub(crate) async fn follow(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    visible(&api, &caller, id).await?;
    let place = api.streams.take(&caller.name)?;
    let at = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(Cursor::read)
        .unwrap_or_default();
    let ledger = api.current().project.ledger.clone();
    let stream = Stream {
        follow: api.hub.follow(id),
        draining: api.draining.clone(),
        ledger,
        id,
        version,
        at,
        over: false,
        greeted: false,
        more: None,
        api: api.clone(),
        caller,
        _place: place,
    };
    let body = Body::from_stream(futures_util::stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), stream))
    }));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers are asked not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// How many moves and lines a client has had, and whether it was told of the end that was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    moves: usize,
    lines: u64,
    cancelling: bool,
}

/// What stands at the end of an id where `cancelling` was told.
const CANCELLING: &str = ".c";

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (text, cancelling) = match text.strip_suffix(CANCELLING) {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (moves, lines) = text.split_once('.')?;
        Some(Self { moves: moves.parse().ok()?, lines: lines.parse().ok()?, cancelling })
    }

    /// A move of the ledger.
    fn moved(&mut self, one: &AuditEntry) -> String {
        self.moves += 1;
        // An end that was asked for comes with the next move; what is tried again may be asked to end again.
        self.cancelling = false;
        let data =
            json!({ "at": one.at, "from": one.from, "status": one.to, "by": one.actor, "note": one.note });
        self.event("state", &data)
    }

    fn event(self, name: &str, data: &Value) -> String {
        // JSON has no line ends of its own, so that one `data:` line holds it.
        let cancelling = if self.cancelling { CANCELLING } else { "" };
        format!("id: {}.{}{cancelling}\nevent: {name}\ndata: {data}\n\n", self.moves, self.lines)
    }
}

/// What a stream has waited for.
enum Waited {
    /// There may be something new.
    Standing(Standing),
    /// Nothing for a while.
    Quiet,
    /// The end.
    Over,
}

struct Stream {
    follow: Follow,
    draining: tokio::sync::watch::Receiver<bool>,
    ledger: Arc<dyn Ledger>,
    id: DeliveryId,
    version: &'static str,
    at: Cursor,
    over: bool,
    greeted: bool,
    /// There is more to tell than was told at once.
    more: Option<Standing>,
    api: Api,
    caller: Caller,
    _place: Place,
}

impl Stream {
    /// The next events; none at the end.
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some("retry: 1000\n\n".to_owned());
        }
        loop {
            let standing = match std::mem::take(&mut self.more) {
                Some(standing) => standing,
                None => match self.wait().await {
                    Waited::Standing(standing) => standing,
                    Waited::Quiet if self.may_hear().await => return Some(":\n\n".to_owned()),
                    Waited::Quiet | Waited::Over => return None,
                },
            };
            let ended = !matches!(standing.status, Status::Pending | Status::Processing);
            match self.news(&standing, ended).await {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Some(text),
                Err(e) => {
                    tracing::warn!(
                        delivery = self.id.0,
                        "cannot follow job {}: {e}; its stream ends",
                        self.id
                    );
                    return None;
                }
            }
        }
    }

    /// Waits until there may be something new, or the connection must be kept alive.
    async fn wait(&mut self) -> Waited {
        tokio::select! {
            standing = self.follow.next() => standing.map_or(Waited::Over, Waited::Standing),
            () = tokio::time::sleep(ALIVE) => Waited::Quiet,
            _ = self.draining.wait_for(|drains| *drains) => Waited::Over,
        }
    }

    /// Whether who listens could still ask: whose key was revoked meanwhile, or whose token has ended, hears no more.
    async fn may_hear(&self) -> bool {
        let now = self.api.current().project.clock.now();
        self.caller.is_still_worth(&self.api.keys, now).await
    }

    /// What has happened since the last time, or the first of it: the rest is `more`.
    async fn news(&mut self, standing: &Standing, ended: bool) -> handover_core::Result<String> {
        let mut text = String::new();
        let moves = self.ledger.audit(self.id).await?;
        let lines = self.ledger.progress(self.id, self.at.lines, LINES).await?;
        let whole = lines.len() < LINES;
        let mut moves = moves.iter().skip(self.at.moves).peekable();
        for line in lines {
            // A program speaks after it was begun, and before its end.
            while let Some(one) = moves.next_if(|one| one.at <= line.at) {
                text.push_str(&self.at.moved(one));
            }
            self.at.lines = line.seq;
            let mut data = json!({ "seq": line.seq, "at": line.at, "line": line.line });
            if let Some(said) = serde_json::from_str::<Value>(&line.line).ok().filter(Value::is_object) {
                data["json"] = said;
            }
            text.push_str(&self.at.event("progress", &data));
        }
        if !whole {
            self.more = Some(standing.clone());
            return Ok(text);
        }
        for one in moves {
            text.push_str(&self.at.moved(one));
        }
        if standing.cancelling && !self.at.cancelling {
            self.at.cancelling = true;
            text.push_str(&self.at.event("cancelling", &json!({ "id": self.id })));
        }
        if ended && let Some(delivery) = self.ledger.get(self.id).await? {
            let job = Job::of(&delivery, false, self.version);
            if job.has_ended() {
                self.over = true;
                text.push_str(&self.at.event("end", &summary(&job)));
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let at = Cursor { moves: 3, lines: 12, cancelling: false };
        assert_eq!(
            at.event("state", &json!({"a": "x\ny"})),
            "id: 3.12\nevent: state\ndata: {\"a\":\"x\\ny\"}\n\n"
        );
        assert_eq!(Cursor::read("3.12"), Some(at));
        assert_eq!(Cursor::read("3.12.c"), Some(Cursor { cancelling: true, ..at }));
        assert_eq!(Cursor::read("3"), None);
        assert_eq!(Cursor::read("-1.x"), None);
    }
}
