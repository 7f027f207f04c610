//! What the tests of services share: settings, requests, and a service of them.

use bytes::Bytes;
use handover_service::{Body, Failure, Group, HealthCheck, Service, Services, Settings, whole};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Settings of a service with these upstreams.
pub(crate) fn settings(upstreams: &[String]) -> Settings {
    let upstreams = upstreams.iter().map(|url| url.parse().unwrap()).collect();
    Settings {
        name: "billing".into(),
        groups: vec![Group { version: None, upstreams }],
        timeout: LONG,
        retries: 3,
        health: None,
        tls: None,
        http2: false,
        post: "/".into(),
        openapi: None,
    }
}

/// A health check that does not wait long.
pub(crate) fn health(path: &str) -> HealthCheck {
    let every = Duration::from_millis(20);
    HealthCheck { every, timeout: LONG, ..HealthCheck::at(path.into()) }
}

pub(crate) fn service(settings: Settings) -> Arc<Service> {
    let name = settings.name.clone();
    Services::new([settings]).get(&name).unwrap().clone()
}

pub(crate) fn request(method: Method, path: &str, body: &str) -> Request<Body> {
    let mut request = Request::new(whole(body.to_owned()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request
}

/// Sends a request to the group without a version; its status and its text.
pub(crate) async fn send(service: &Service, request: Request<Body>) -> Result<(u16, String), Failure> {
    let group = &service.settings().groups[0];
    let answer = service.send(group, request).await?;
    let status = answer.status().as_u16();
    let bytes: Bytes = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) async fn get(service: &Service, path: &str) -> Result<(u16, String), Failure> {
    send(service, request(Method::GET, path, "")).await
}

/// Waits for something to be so.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
