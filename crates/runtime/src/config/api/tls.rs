//! `api: { tls: … }`: the certificate that the API shows, and whose certificates its callers must show.

use crate::config::report::Report;
use handover_core::{Error, Result};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

impl ApiTls {
    /// All of its files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// What a server shows and asks for by what is in the files now: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// The key of the configuration whose file will not do, and why.
    pub fn load(&self) -> std::result::Result<ServerConfig, (&'static str, Error)> {
        let certs = certificates(&self.cert).map_err(|e| ("cert", e))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|e| ("key", unreadable("private key", &self.key, &e)))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| ("cert", Error::internal("TLS cannot be prepared").because(e)))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let known = roots(file).map_err(|e| ("client_ca", e))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider).build();
                let unfit = |e| Error::config("nobody could be known by these").on(file.display()).because(e);
                builder.with_client_cert_verifier(verifier.map_err(|e| ("client_ca", unfit(e)))?)
            }
        };
        let mut server = builder.with_single_cert(certs, key).map_err(|e| {
            let error =
                Error::config("the key and the certificate do not go together").on(self.key.display());
            ("key", error.because(e).hint("`key` is the private key that `cert` was made for"))
        })?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, pem::Error> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match all {
        Ok(all) if all.is_empty() => Err(unreadable("certificate", file, &"there is none in it")),
        Ok(all) => Ok(all),
        Err(e) => Err(unreadable("certificate", file, &e)),
    }
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let mut known = RootCertStore::empty();
    for certificate in certificates(file)? {
        known.add(certificate).map_err(|e| unreadable("certificate", file, &e))?;
    }
    Ok(known)
}

fn unreadable(what: &str, file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::config(format!("there is no {what} to be had"))
        .on(file.display())
        .because(why.to_string())
        .hint("a PEM file is wanted, which this user may read")
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
