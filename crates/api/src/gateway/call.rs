//! A call that goes on: what it holds until its answer, or its tunnel, has ended.
//!
//! Invariant: a caller whose key was revoked or has ended, or whose token has, gets no more of a tunnel, or of an
//! answer that does not say how long it is: that is looked for every [`LOOK`].

use super::metrics::Counts;
use crate::auth::Caller;
use crate::places::Place;
use crate::state::Api;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// So often it is asked whether who called could still ask.
const LOOK: Duration = Duration::from_secs(15);

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call under way.
pub(super) struct Call {
    pub(super) api: Api,
    pub(super) counts: Arc<Counts>,
    began: Instant,
    caller: Option<Arc<Caller>>,
    /// Made when the call has gone on for so long.
    ended: Option<Ended>,
    /// Among the requests that are under way.
    _room: Place,
}

impl Call {
    /// `began` is when the request came.
    pub(super) fn new(
        api: Api,
        counts: Arc<Counts>,
        began: Instant,
        caller: Option<Arc<Caller>>,
        room: Place,
    ) -> Self {
        Self { api, counts, began, caller, ended: None, _room: room }
    }

    /// Ready when who called could ask no more; to be polled whenever something else of the call is.
    pub(super) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.ended.is_none() && self.began.elapsed() < LOOK {
            return Poll::Pending;
        }
        let Some(caller) = &self.caller else { return Poll::Pending };
        let ended = self.ended.get_or_insert_with(|| Box::pin(ended(self.api.clone(), caller.clone())));
        ended.as_mut().poll(context)
    }

    /// Ends when who called could ask no more.
    pub(super) async fn ended(&mut self) {
        tokio::time::sleep_until(self.began + LOOK).await;
        std::future::poll_fn(|context| self.poll_ended(context)).await;
    }
}

async fn ended(api: Api, caller: Arc<Caller>) {
    while caller.is_still_worth(&api.keys, api.current().project.clock.now()).await {
        tokio::time::sleep(LOOK).await;
    }
}
