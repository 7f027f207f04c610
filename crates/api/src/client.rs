//! What this door asks others with: webhooks, and the keys of who issues tokens.

use bytes::Bytes;
use handover_core::{Error, Result};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub(crate) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
/// What this says that it is.
pub(crate) const USER_AGENT: &str = concat!("handover/", env!("CARGO_PKG_VERSION"));

/// A client that believes the system's certificates (or those that `SSL_CERT_FILE` names).
///
/// # Errors
/// Where they cannot be read.
pub(crate) fn connect() -> Result<Http> {
    let connector = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|e| Error::io("read", "the system's certificates", e))?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}
