//! One service app, and those of a configuration.

use crate::failure::Failure;
use crate::settings::{Group, Settings};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a call sends.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The service apps of a configuration, by name.
#[derive(Default)]
pub struct Services(BTreeMap<String, Arc<Service>>);

impl Services {
    /// Those that are declared.
    ///
    /// # Errors
    /// Where what one needs for TLS cannot be read.
    pub fn new(declared: impl IntoIterator<Item = Settings>) -> handover_core::Result<Self> {
        let all =
            declared.into_iter().map(|settings| (settings.name.clone(), Arc::new(Service::new(settings))));
        Ok(Self(all.collect()))
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.0.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.values()
    }
}

/// One service app.
pub struct Service {
    settings: Settings,
    client: Client<HttpConnector, Body>,
}

impl Service {
    fn new(settings: Settings) -> Self {
        Self { settings, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// What is declared of it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which of its groups a path is for, and the path for that: `/v2/orders` is `/orders` for the group `v2`.
    pub fn group<'s, 'p>(&'s self, path: &'p str) -> Option<(&'s Group, &'p str)> {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let versioned = self.settings.groups.iter().find(|group| group.version.as_deref() == Some(first));
        if let Some(group) = versioned {
            let rest = path.trim_start_matches('/').strip_prefix(first).unwrap_or_default();
            return Some((group, rest));
        }
        self.settings.groups.iter().find(|group| group.version.is_none()).map(|group| (group, path))
    }

    /// Sends a request to an upstream of a group. Its URI is a path and a query, which go behind the upstream's own path; its
    /// headers go as they are, so hop-by-hop ones must have gone.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(
        &self,
        group: &Group,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, Failure> {
        let app = &self.settings.name;
        let no_answer = |why: String| Failure::NoAnswer { app: app.clone(), why, not_begun: false };
        let upstream = group.upstreams.first().ok_or_else(|| no_answer("it has no upstream".into()))?;
        *request.uri_mut() =
            behind(upstream, request.uri()).ok_or_else(|| no_answer("a path that is none".into()))?;
        let answer = tokio::time::timeout(self.settings.timeout, self.client.request(request)).await;
        let timed_out = |_| Failure::TimedOut { app: app.clone(), within: self.settings.timeout };
        answer.map_err(timed_out)?.map_err(|e| no_answer(e.to_string()))
    }
}

/// A caller's path and query behind an upstream's address.
fn behind(upstream: &Uri, asked: &Uri) -> Option<Uri> {
    let mut parts = upstream.clone().into_parts();
    let base = upstream.path().trim_end_matches('/');
    let asked = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    parts.path_and_query = match base {
        "" => Some(asked.parse().ok()?),
        base => Some(format!("{base}{asked}").parse().ok()?),
    };
    Uri::from_parts(parts).ok()
}
