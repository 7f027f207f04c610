//! Making a connection, encrypted where `sslmode=require` asks for it: by rustls, which always verifies the server's
//! certificate and its name. Trusted is what the system trusts (or `SSL_CERT_FILE` names), or what `sslrootcert=` of the
//! address names.

use handover_core::{Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What carries a connection's bytes, encrypted or not.
type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Connects to the servers of one address.
#[derive(Clone)]
pub(super) struct Connector(MakeRustlsConnect);

impl Connector {
    /// Loads the certificates, where they are needed. `root` is a file of those to trust in place of the system's.
    pub(super) fn new(config: &Config, root: Option<&Path>) -> Result<Self> {
        let trusted = match (config.get_ssl_mode(), root) {
            (SslMode::Disable, _) => RootCertStore::empty(),
            (_, Some(file)) => named(file)?,
            (_, None) => systems()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("TLS cannot be prepared").because(e))?;
        let config = builder.with_root_certificates(trusted).with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }

    /// Connects.
    pub(super) async fn connect(
        self,
        config: &Config,
    ) -> Result<(Client, Connection<Socket, Stream>), tokio_postgres::Error> {
        config.connect(self.0).await
    }
}

fn named(file: &Path) -> Result<RootCertStore> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::config(format!("the certificates of `sslrootcert` cannot be read: {error}"))
            .on(file.display())
            .hint("name a file with PEM certificates")
    };
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unreadable(&e))? {
        let certificate = certificate.map_err(|e| unreadable(&e))?;
        trusted.add(certificate).map_err(|e| unreadable(&e))?;
    }
    if trusted.is_empty() { Err(unreadable(&"there are none in it")) } else { Ok(trusted) }
}

fn systems() -> Result<RootCertStore> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if trusted.is_empty() {
        return Err(Error::config("`sslmode=require` needs certificates to trust, and the system has none").hint(
            "install them (apt-get install ca-certificates), or name a file of them: sslrootcert=… or SSL_CERT_FILE",
        ));
    }
    Ok(trusted)
}
