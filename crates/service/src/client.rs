//! What asks others that are no service apps: whoever is told by webhooks, the keys of who issues tokens, mail servers, collectors
//! of traces. A message is signed as Standard Webhooks has it.

use crate::settings::TlsFiles;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handover_core::{Error, ErrorKind, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;
use std::time::Duration;

/// A client over a pool of connections; clones are one.
pub type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
/// What this says that it is.
pub const USER_AGENT: &str = concat!("handover/", env!("CARGO_PKG_VERSION"));
/// So much of an answer is read, so that its connection can serve again.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// A client that believes the system's certificates (or those that `SSL_CERT_FILE` names).
///
/// # Errors
/// Where they cannot be read.
pub fn connect() -> Result<Http> {
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|e| Error::io("read", "the system's certificates", e))?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// A client that believes what these files say, too.
///
/// # Errors
/// Where one cannot be read, or does not hold what it should.
pub fn connect_by(files: &TlsFiles) -> Result<Http> {
    let mut connector = HttpsConnectorBuilder::new().with_tls_config(files.client()?).https_or_http();
    if let Some(name) = files.name()? {
        connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(Client::builder(TokioExecutor::new()).build(connector.enable_http1().build()))
}

/// The signature of a message: `v1,` and base64 of HMAC-SHA256 over its id, its time and its body.
///
/// # Errors
/// Where the secret is not base64 behind `whsec_`.
pub fn sign(secret: &str, id: &str, at: i64, body: &str) -> Result<String> {
    let key = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let key = key.ok_or_else(|| Error::config("the secret of webhooks is not base64 behind `whsec_`"))?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key).map_err(|e| Error::internal("a webhook's key").because(e))?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Posts JSON with these headers; gives the answer's status.
///
/// # Errors
/// Where there is no answer within `patience`.
pub async fn post_json<'a>(
    http: &Http,
    url: &str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: String,
    patience: Duration,
) -> Result<StatusCode> {
    let mut request =
        Request::post(url).header("content-type", "application/json").header("user-agent", USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| Error::config("this is no request that can be sent").on(url).because(e))?;
    let failed = |why: String| Error::new(ErrorKind::Io, why).on(url);
    let answered = async {
        let answer = http.request(request).await.map_err(|e| failed(because(&e)))?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
        Ok(status)
    };
    let late = || failed(format!("no answer within {} s", patience.as_secs()));
    tokio::time::timeout(patience, answered).await.unwrap_or_else(|_| Err(late()))
}

/// An error with what it came from, which says more than it does itself.
fn because(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_standard_has_it() {
        // The example of the Standard Webhooks specification's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature =
            sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}").unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("whsec_%", "a", 0, "").is_err());
    }
}
