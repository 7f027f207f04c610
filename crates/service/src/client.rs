//! What asks others that are no service apps: whoever is told by webhooks, the keys of who issues tokens, mail servers.
//! A message is signed as Standard Webhooks has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use handover_core::{Error, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;

/// A client.
pub type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
/// What this says that it is.
pub const USER_AGENT: &str = concat!("handover/", env!("CARGO_PKG_VERSION"));

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
