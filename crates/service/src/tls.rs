//! TLS to services: the system's certificates and the service's own `ca`, and the certificate that is shown to it.
//!
//! The files are read when the first connection is made, and again when they change: a certificate may be renewed without a
//! restart. Files that have become bad are said in the log, and what was read before goes on being used.

use crate::settings::TlsFiles;
use handover_core::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The files are looked at so often at most.
const LOOK: Duration = Duration::from_secs(2);

/// What TLS connections are made with.
pub(crate) struct Secured {
    files: TlsFiles,
    current: Mutex<Option<Current>>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ClientConfig>,
    stamps: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
}

impl Secured {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self { files, current: Mutex::new(None) }
    }

    /// What a connection that is made now uses.
    ///
    /// # Errors
    /// Where a file cannot be read, or holds something else, and none was read before.
    pub(crate) async fn config(self: &Arc<Self>) -> Result<Arc<ClientConfig>> {
        if let Some(known) = self.current().as_ref()
            && known.looked.elapsed() < LOOK
        {
            return Ok(known.config.clone());
        }
        let this = self.clone();
        let looked = tokio::task::spawn_blocking(move || this.looked_at()).await;
        looked.map_err(|e| Error::internal("a task broke off").because(e))?
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same after a look at the files.
    fn looked_at(&self) -> Result<Arc<ClientConfig>> {
        let mut current = self.current();
        let now = Instant::now();
        if let Some(known) = current.as_mut() {
            known.looked = now;
            let stamps = stamps(&self.files);
            if stamps == known.stamps {
                return Ok(known.config.clone());
            }
            known.stamps = stamps;
            match client(&self.files) {
                Ok(config) => known.config = Arc::new(config),
                Err(e) => tracing::warn!("the files of `tls` changed and are not used: {e}"),
            }
            return Ok(known.config.clone());
        }
        let stamps = stamps(&self.files);
        let config = Arc::new(client(&self.files)?);
        *current = Some(Current { config: config.clone(), stamps, looked: now });
        Ok(config)
    }

    /// The name that the service's certificate must have.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn server_name(&self) -> Result<Option<ServerName<'static>>> {
        let name = self.files.server_name.as_ref();
        name.map(|name| ServerName::try_from(name.clone()).map_err(|_| no_name(name))).transpose()
    }
}

fn no_name(name: &str) -> Error {
    Error::config(format!("`{name}` is no name of a server")).hint("such as billing.internal")
}

impl TlsFiles {
    /// Whether connections can be made with these files.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] with the file that cannot be read, or does not hold what it should.
    pub fn check(&self) -> Result<()> {
        self.check_name()?;
        self.check_files()
    }

    /// Whether `server_name` is one.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it is none.
    pub fn check_name(&self) -> Result<()> {
        let name = self.server_name.as_ref();
        name.map_or(Ok(()), |name| ServerName::try_from(name.clone()).map(drop).map_err(|_| no_name(name)))
    }

    /// Whether the files are there and hold what they should.
    ///
    /// # Errors
    /// As [`TlsFiles::check`].
    pub fn check_files(&self) -> Result<()> {
        client(self).map(drop)
    }

    fn all(&self) -> [&Option<PathBuf>; 3] {
        [&self.ca, &self.cert, &self.key]
    }
}

/// When each file was written last, and its size.
fn stamps(files: &TlsFiles) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.all().into_iter().map(|path| path.as_ref().and_then(stamp)).collect()
}

fn client(files: &TlsFiles) -> Result<ClientConfig> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(ca) = &files.ca {
        for certificate in certificates(ca)? {
            trusted.add(certificate).map_err(|e| bad(ca, "is no certificate to trust", &e))?;
        }
    }
    if trusted.is_empty() {
        return Err(Error::config("there are no certificates to trust: the system has none")
            .hint("install them (apt-get install ca-certificates), or name a file of them with `ca`"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS cannot be prepared").because(e))?
        .with_root_certificates(trusted);
    let mut config = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, "holds no private key", &e))?;
            builder
                .with_client_auth_cert(certificates(cert)?, read)
                .map_err(|e| bad(key, "is not the key of the certificate", &e))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |e| bad(file, "cannot be read as certificates", &e);
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(unreadable)?.collect::<Result<_, _>>();
    match read.map_err(unreadable)? {
        none if none.is_empty() => Err(bad(file, "holds no certificate", &"there is none in it")),
        some => Ok(some),
    }
}

fn bad(file: &Path, what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::config(format!("`{}` {what}: {why}", file.display())).hint("name a file in PEM form")
}
