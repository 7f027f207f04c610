//! Pages that stay true: what has changed is sent to whoever looks, by Server-Sent Events.
//!
//! Who may see the same, on the same page, shares a *room*: one task looks once a second, while anybody is there, and what it
//! made is sent to all of them as the same bytes. An event is `state`, whose JSON has `parts`, the content of elements by their
//! ids, and `changed`, which is another text whenever any count is another; or `trouble`, where the ledger does not answer; or
//! `here`, which tells a page that its connection is alive.
//!
//! Invariants: whoever comes, or comes again, gets everything first, so that what was missed while a connection was lost does not
//! matter; who falls behind gets everything again; who may no longer look is sent away. On a crash streams end, and browsers come
//! back by themselves.

use super::Wrong;
use super::flows::board;
use super::frame::Pill;
use super::monitor::Monitor;
use crate::{Stay, Visitor};
use askama::Template;
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use handover_core::Result;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

/// A room looks so often.
const APART: Duration = Duration::from_secs(1);
/// So long a look may take before the page is told that nothing is known.
const LOOK: Duration = Duration::from_secs(5);
/// A connection is kept alive so often, and whether its visitor still may look is asked.
const ALIVE: Duration = Duration::from_secs(10);

/// What a stream is for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// The page; other than `flows` it gets what stands above every page, and whether anything has changed.
    #[serde(default)]
    page: String,
}

/// Who may see the same on the same page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    apps: Option<Vec<String>>,
    flows: bool,
    /// Whether they may act: then buttons are there.
    acts: bool,
}

/// What is known at the moment, as it is sent.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Counts what was sent before.
    number: u64,
    /// For who has nothing, or not the one before.
    whole: Bytes,
    /// For who has the one before.
    change: Bytes,
}

/// The rooms in which somebody is.
#[derive(Default)]
pub(super) struct Rooms(Mutex<HashMap<Who, watch::Receiver<Told>>>);

impl Rooms {
    /// Goes into a room, which begins to look where nobody was in it.
    fn enter(&self, monitor: &Monitor, who: Who) -> watch::Receiver<Told> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A room without its task has ended.
        rooms.retain(|_, room| room.has_changed().is_ok());
        if let Some(room) = rooms.get(&who) {
            return room.clone();
        }
        let (sender, receiver) = watch::channel(Told::default());
        rooms.insert(who.clone(), receiver.clone());
        tokio::spawn(look(monitor.clone(), who, sender));
        receiver
    }
}

/// Answers with a stream.
pub(super) async fn events(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Extension(stay): Extension<Stay>,
    Query(asked): Query<Asked>,
) -> std::result::Result<Response, Wrong> {
    let mut apps = visitor.apps.clone();
    if let Some(apps) = &mut apps {
        apps.sort();
    }
    let room = monitor
        .rooms()
        .enter(&monitor, Who { apps, flows: asked.page == "flows", acts: visitor.must_operate().is_ok() });
    let viewer = Viewer { room, draining: monitor.draining(), stay, seen: 0, asked_at: Instant::now() };
    let body = Body::from_stream(stream::unfold(viewer, |mut viewer| async move {
        let bytes = viewer.next().await?;
        Some((Ok::<_, Infallible>(bytes), viewer))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers are asked not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Somebody who looks.
struct Viewer {
    room: watch::Receiver<Told>,
    draining: watch::Receiver<bool>,
    stay: Stay,
    /// The number of what was sent last.
    seen: u64,
    asked_at: Instant,
}

impl Viewer {
    /// What is sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.asked_at.elapsed() >= ALIVE {
                self.asked_at = Instant::now();
                if !self.stay.0.may_stay().await {
                    return None;
                }
                return Some(Bytes::from_static(b"event: here\ndata: 1\n\n"));
            }
            let state = self.room.borrow_and_update().clone();
            if state.number > self.seen {
                let bytes =
                    if state.number == self.seen + 1 && self.seen > 0 { state.change } else { state.whole };
                self.seen = state.number;
                return Some(bytes);
            }
            tokio::select! {
                changed = self.room.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.asked_at + ALIVE) => {}
                _ = self.draining.wait_for(|draining| *draining) => return None,
            }
        }
    }
}

/// Looks once a second until nobody is in the room.
async fn look(monitor: Monitor, who: Who, sender: watch::Sender<Told>) {
    let (mut known, mut number) = (None, 0);
    loop {
        let seen = tokio::time::timeout(LOOK, seen(&monitor, &who)).await;
        let now = match seen {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(e)) => {
                debug!("what pages show cannot be read: {e}");
                None
            }
            Err(_) => None,
        };
        if number == 0 || now != known {
            number += 1;
            let (whole, change) = match (&now, &known) {
                (None, _) => (trouble(), trouble()),
                (Some(now), None) => (now.event(None), now.event(None)),
                (Some(now), Some(before)) => (now.event(None), now.event(Some(before))),
            };
            sender.send_replace(Told { number, whole, change });
            known = now;
        }
        tokio::time::sleep(APART).await;
        // One is what the rooms keep.
        if sender.receiver_count() <= 1 {
            return;
        }
    }
}

/// What is shown, and a text that is another when any count is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    parts: Vec<(String, String)>,
    changed: String,
}

#[derive(Template)]
#[template(path = "pills.html")]
struct Pills {
    frame: Above,
}

/// As much of a frame as pills are made of.
struct Above {
    pills: Vec<Pill>,
}

async fn seen(monitor: &Monitor, who: &Who) -> Result<Seen> {
    let apps = who.apps.as_deref();
    let above = Above { pills: monitor.pills(apps).await? };
    let pills = Pills { frame: above }.render();
    let pills = pills.map_err(|e| handover_core::Error::internal("a part of the page").because(e))?;
    let mut parts = vec![("pills".to_owned(), pills)];
    if who.flows {
        parts.extend(
            board::parts(monitor, apps, who.acts).await?.into_iter().map(|part| (part.id, part.html)),
        );
    }
    let glance = monitor.glances().of(&monitor.project()).await?;
    let mut digest = Sha256::new();
    for one in glance.counts.iter().filter(|one| crate::visitor::sees(apps, &one.app)) {
        digest.update(format!("{}\n{:?}{:?}{}{}", one.app, one.kind, one.status, one.count, one.entered));
    }
    let changed = handover_core::id::hex(&digest.finalize())[..16].to_owned();
    Ok(Seen { parts, changed })
}

impl Seen {
    /// What is told to who has `before`, or nothing.
    fn event(&self, before: Option<&Self>) -> Bytes {
        let known = |part: &(String, String)| before.is_some_and(|before| before.parts.contains(part));
        let parts = self.parts.iter().filter(|part| !known(part));
        let parts: Map<String, Value> =
            parts.map(|(id, html)| (id.clone(), Value::from(html.as_str()))).collect();
        let ids: Vec<&str> = self.parts.iter().map(|(id, _)| id.as_str()).collect();
        let data = json!({ "parts": parts, "ids": ids, "changed": self.changed });
        // JSON has no line ends of its own, so that one `data:` line holds it.
        Bytes::from(format!("event: state\ndata: {data}\n\n"))
    }
}

fn trouble() -> Bytes {
    Bytes::from_static(b"event: trouble\ndata: \"the ledger does not answer\"\n\n")
}
