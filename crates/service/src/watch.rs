//! Asking upstreams whether they are well, and how all of them stand.

use crate::body::Sent;
use crate::head::Head;
use crate::service::Service;
use crate::settings::HealthCheck;
use crate::upstream::{Upstream, UpstreamState};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt as _, Limited};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// Connections that nobody uses are looked for so often.
const SWEEP: Duration = Duration::from_secs(30);
/// So much of an answer is read, so that its connection can be used again.
const ANSWER_MAX: usize = 64 * 1024;

/// How the upstreams of a group stand.
#[derive(Debug, Clone)]
pub struct GroupState {
    /// The version that they serve; none is what a path without a version gets.
    pub version: Option<String>,
    /// How each stands.
    pub upstreams: Vec<UpstreamState>,
}

/// How one upstream answered when it was asked whether it is well.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its address.
    pub address: String,
    /// What is wrong, where it is not well.
    pub error: Option<String>,
}

impl Service {
    /// How its upstreams stand.
    pub fn state(&self) -> Vec<GroupState> {
        let is_asked = self.settings().health.is_some();
        let state = |upstream: &Arc<Upstream>| upstream.state(is_asked);
        let of = self.balances().iter();
        of.map(|one| GroupState {
            version: one.version.clone(),
            upstreams: one.upstreams.iter().map(state).collect(),
        })
        .collect()
    }

    /// Asks each upstream now whether it is well: at the path of `health:`, or, where there is none, by a connection. It takes
    /// no longer than `within`.
    pub async fn look(self: &Arc<Self>, within: Duration) -> Vec<Look> {
        let mut looking = JoinSet::new();
        for (nth, upstream) in self.upstreams.iter().cloned().enumerate() {
            let health = self.settings().health.clone();
            looking.spawn(async move {
                let within = health.as_ref().map_or(within, |health| health.timeout.min(within));
                let looked = match &health {
                    Some(health) => asked(&upstream, &health.path, within).await,
                    None => upstream.reached(within).await,
                };
                (nth, Look { address: upstream.address.to_string(), error: looked.err() })
            });
        }
        let mut looks = looking.join_all().await;
        looks.sort_by_key(|(nth, _)| *nth);
        looks.into_iter().map(|(_, look)| look).collect()
    }

    /// Begins to ask its upstreams whether they are well, and to close connections that nobody uses, until nobody has it any
    /// more.
    pub(crate) fn watch(self: &Arc<Self>) {
        let Ok(handle) = tokio::runtime::Handle::try_current() else { return };
        if self.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        for upstream in &self.upstreams {
            let (service, upstream) = (Arc::downgrade(self), upstream.clone());
            handle.spawn(async move {
                let mut row = Row::default();
                while let Some(service) = service.upgrade() {
                    let pause = service.settings().health.as_ref().map_or(SWEEP, |health| health.every);
                    if let Some(health) = service.settings().health.clone() {
                        service.one_round(&upstream, &health, &mut row).await;
                    }
                    upstream.sweep();
                    drop(service);
                    tokio::time::sleep(pause).await;
                }
            });
        }
    }

    async fn one_round(&self, upstream: &Upstream, health: &HealthCheck, row: &mut Row) {
        let answer = asked(upstream, &health.path, health.timeout).await;
        let well = row.well(upstream.is_healthy(), answer.is_ok(), health);
        let (name, address) = (&self.settings().name, &upstream.address);
        if answer.is_ok() {
            upstream.says_well();
        }
        let error = answer.err();
        let said = error.clone().unwrap_or_default();
        if !upstream.found(well, error) {
            return;
        }
        match well {
            true => tracing::info!(app = %name, "{address} is well again and gets requests"),
            false => tracing::warn!(app = %name, "{address} gets no requests until it is well: {said}"),
        }
        self.back.notify_waiters();
    }
}

/// Answers of one sort, one after the other.
#[derive(Debug, Default)]
struct Row {
    good: u32,
    bad: u32,
}

impl Row {
    /// Whether the upstream counts as well after another answer.
    fn well(&mut self, was: bool, good: bool, health: &HealthCheck) -> bool {
        match good {
            true => (self.good, self.bad) = (self.good.saturating_add(1), 0),
            false => (self.good, self.bad) = (0, self.bad.saturating_add(1)),
        }
        if was { self.bad < health.unhealthy } else { self.good >= health.healthy }
    }
}

/// Asks for a path; 2xx is well.
async fn asked(upstream: &Upstream, path: &str, within: Duration) -> Result<(), String> {
    let mut on = None;
    let look = async {
        let path = path.parse().map_err(|_| "a path that is none".to_owned())?;
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("handover-health"))]);
        let head = Head { method: Method::GET, path, headers, added: Vec::new() };
        let answer = upstream.exchange(&head, Sent::Nothing, &mut on).await.map_err(|broke| broke.why)?;
        let status = answer.status();
        // What is longer costs its connection.
        let _ = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    };
    match tokio::time::timeout(within, look).await {
        Ok(answer) => answer,
        Err(_) => {
            upstream.waited_in_vain(on);
            Err(format!("it did not answer within {}", handover_core::units::format_duration(within)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_answers_of_one_sort_count() {
        let health = HealthCheck::at("/health".into());
        let mut row = Row::default();
        let mut well = true;
        let mut seen = Vec::new();
        for good in [false, false, true, false, false, false, true, false, true, true] {
            well = row.well(well, good, &health);
            seen.push(well);
        }
        assert_eq!(seen, [true, true, true, true, true, false, false, false, false, true]);
    }
}
