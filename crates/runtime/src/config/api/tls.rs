//! `api: { tls: … }`: the certificate that the API shows, and whose certificates its callers must show.

use crate::config::report::Report;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTls {
    /// The certificate, and those between it and one that clients know: PEM.
    pub cert: PathBuf,
    /// Its private key: PEM.
    pub key: PathBuf,
    /// Who must have signed the certificate of a caller; none asks for none.
    pub client_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiTls")]
pub(super) struct RawTls {
    /// The certificate with those between it and one that clients know, as PEM: what `fullchain.pem` is.
    cert: String,
    /// Its private key, as PEM.
    key: String,
    /// Certificates of which one must have signed that of each caller (mutual TLS), as PEM.
    client_ca: Option<String>,
}

/// Reads it; paths are relative to the configuration's folder. What is in the files is looked at by `check`, and at the start.
pub(super) fn read(report: &mut Report<'_>, raw: RawTls, base: &Path) -> ApiTls {
    let mut path = |key: &str, text: &str| {
        if text.is_empty() {
            report.value(&["api", "tls", key], format!("`{key}` names no file"));
        }
        base.join(text.strip_prefix("./").unwrap_or(text))
    };
    ApiTls {
        cert: path("cert", &raw.cert),
        key: path("key", &raw.key),
        client_ca: raw.client_ca.as_deref().map(|text| path("client_ca", text)),
    }
}
