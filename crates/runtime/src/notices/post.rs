//! Telling by HTTP: one POST, whose answer must be 2xx.

use crate::config::Secret;
use bytes::Bytes;
use handover_core::{Error, ErrorKind, Result};
use handover_ledger::Notice;
use handover_service::TlsFiles;
use handover_service::client::{Http, USER_AGENT, connect, connect_by, sign};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::Value;
use std::sync::OnceLock;

/// So much of an answer is read.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// So much of it is shown where it refuses.
const SHOWN_CHARS: usize = 200;

/// The client, made when it is first needed. One with files of its own is made for each message: those may be renewed, and messages are
/// few.
async fn http(tls: Option<&TlsFiles>) -> Result<Http> {
    if let Some(files) = tls.cloned() {
        let made = tokio::task::spawn_blocking(move || connect_by(&files)).await;
        return made.map_err(|e| Error::internal("a task broke off").because(e))?;
    }
    static CLIENT: OnceLock<Http> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = connect()?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// Posts it. Errors name the host alone: the rest of the address is often a credential.
pub(super) async fn post(
    url: &Secret,
    tls: Option<&TlsFiles>,
    headers: &[(String, Secret)],
    secret: Option<&Secret>,
    notice: &Notice,
    body: &Value,
) -> Result<()> {
    let uri: Uri = url.expose().parse().map_err(|_| Error::config("the address cannot be read"))?;
    let host = uri.host().unwrap_or("?").to_owned();
    let body = body.to_string();
    let (id, at) = (format!("msg_{}", notice.id), jiff::Timestamp::now().as_second());
    let mut request = Request::post(uri)
        .header("content-type", "application/json")
        .header("user-agent", USER_AGENT)
        .header("webhook-id", &id)
        .header("webhook-timestamp", at);
    if let Some(secret) = secret {
        request = request.header("webhook-signature", sign(secret.expose(), &id, at, &body)?);
    }
    for (name, value) in headers {
        request = request.header(name, value.expose());
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| Error::config("its headers cannot be sent").on(&host))?;
    let failed = |why: String| Error::new(ErrorKind::Io, why).on(&host);
    let answer = http(tls).await?.request(request).await.map_err(|e| match super::distrusted(&e) {
        Some(error) => error.on(&host),
        None => failed(format!("it does not answer: {}", deepest(&e))),
    })?;
    let status = answer.status();
    let read = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
    if status.is_success() {
        return Ok(());
    }
    let text = read.map(|read| String::from_utf8_lossy(&read.to_bytes()).into_owned()).unwrap_or_default();
    let shown: String = super::words::line(&text).chars().take(SHOWN_CHARS).collect();
    Err(failed(format!("the answer was {status}: {shown}")))
}

/// What lies at the bottom of an error: the causes above it only say that something failed.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
