//! TLS to services, and to others that are asked: the system's certificates and an own `ca`, and the certificate that is shown.
//!
//! The files are read when the first connection is made, and again when they change: a certificate may be renewed without a
//! restart. Files that have become bad are said in the log, and what was read before goes on being used.
//!
//! Invariant: whoever makes a connection never waits for a lock, and for files only where none were read yet.

use crate::settings::TlsFiles;
use arc_swap::ArcSwapOption;
use handover_core::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The files are looked at so often at most.
const LOOK: Duration = Duration::from_secs(2);

/// What the versions of HTTP are called where sides agree on one.
pub(crate) const HTTP2: &[u8] = b"h2";
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// What TLS connections are made with.
pub(crate) struct Secured {
    files: TlsFiles,
    current: ArcSwapOption<Current>,
    /// Held while the files are read, off the async threads.
    looking: Mutex<()>,
}

struct Current {
    config: Arc<ClientConfig>,
    stamps: Stamps,
    looked: Instant,
}

impl Secured {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self { files, current: ArcSwapOption::empty(), looking: Mutex::new(()) }
    }

    /// What a connection that is made now uses.
    ///
    /// # Errors
    /// Where a file cannot be read, or holds something else, and none was read before.
    pub(crate) async fn config(self: &Arc<Self>) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.known() {
            return Ok(config);
        }
        let this = self.clone();
        let looked = tokio::task::spawn_blocking(move || this.looked_at()).await;
        looked.map_err(|e| Error::internal("a task broke off").because(e))?
    }

    /// What was read, where that was just now.
    fn known(&self) -> Option<Arc<ClientConfig>> {
        let current = self.current.load();
        let known = current.as_ref().filter(|known| known.looked.elapsed() < LOOK)?;
        Some(known.config.clone())
    }

    fn keep(&self, config: Arc<ClientConfig>, stamps: Stamps) {
        self.current.store(Some(Arc::new(Current { config, stamps, looked: Instant::now() })));
    }

    /// The same after a look at the files.
    fn looked_at(&self) -> Result<Arc<ClientConfig>> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have looked meanwhile.
        if let Some(config) = self.known() {
            return Ok(config);
        }
        let Some(before) = self.current.load_full() else {
            let stamps = stamps(&self.files);
            let config = Arc::new(speaking_http(&self.files)?);
            self.keep(config.clone(), stamps);
            return Ok(config);
        };
        // While these look, others use what there is.
        self.keep(before.config.clone(), before.stamps.clone());
        let stamps = stamps(&self.files);
        if stamps == before.stamps {
            return Ok(before.config.clone());
        }
        let config = match speaking_http(&self.files) {
            Ok(config) => Arc::new(config),
            Err(e) => {
                tracing::warn!("the files of `tls` changed and are not used: {e}");
                before.config.clone()
            }
        };
        self.keep(config.clone(), stamps);
        Ok(config)
    }

    /// The name that the service's certificate must have.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn server_name(&self) -> Result<Option<ServerName<'static>>> {
        self.files.name()
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
        self.name().map(drop)
    }

    /// Whether the files are there and hold what they should.
    ///
    /// # Errors
    /// As [`TlsFiles::check`].
    pub fn check_files(&self) -> Result<()> {
        self.client().map(drop)
    }

    /// TLS by these files, read now, to whoever speaks whatever: which version of HTTP is wished is not said.
    ///
    /// # Errors
    /// As [`TlsFiles::check_files`].
    pub fn client(&self) -> Result<ClientConfig> {
        client(self)
    }

    /// The name that the server's certificate must have, where that is not the address's host.
    ///
    /// # Errors
    /// As [`TlsFiles::check_name`].
    pub fn name(&self) -> Result<Option<ServerName<'static>>> {
        let name = self.server_name.as_ref();
        name.map(|name| ServerName::try_from(name.clone()).map_err(|_| no_name(name))).transpose()
    }

    fn all(&self) -> [&Option<PathBuf>; 3] {
        [&self.ca, &self.cert, &self.key]
    }
}

/// When each file was written last, and its size.
type Stamps = Vec<Option<(SystemTime, u64)>>;

fn stamps(files: &TlsFiles) -> Stamps {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.all().into_iter().map(|path| path.as_ref().and_then(stamp)).collect()
}

/// Why a server's certificate is not believed, where that is why a connection was not made.
pub fn distrusted<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an error of I/O was made of is not its source.
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let within = within.map(|within| within as &(dyn std::error::Error + 'static));
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some(why);
        }
        next = within.or_else(|| error.source());
    }
    None
}

/// TLS by which both sides agree on a version of HTTP.
fn speaking_http(files: &TlsFiles) -> Result<ClientConfig> {
    let mut config = client(files)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(config)
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
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, "holds no private key", &e))?;
            builder
                .with_client_auth_cert(certificates(cert)?, read)
                .map_err(|e| bad(key, "is not the key of the certificate", &e))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A pipe in place of a file keeps whoever reads it for as long as the test wants.
    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a pipe is written as it is")]
    async fn while_files_are_read_nobody_holds_up_the_async_threads() {
        let folder = handover_testkit::Folder::new();
        let pipe = folder.join("ca.pem");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let secured = Arc::new(Secured::new(TlsFiles { ca: Some(pipe.clone()), ..TlsFiles::default() }));
        let went_on = Arc::new(AtomicBool::new(false));
        let seen = went_on.clone();
        let writing = std::thread::spawn(move || {
            let began = std::time::Instant::now();
            while !seen.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let went_on = seen.load(Ordering::SeqCst);
            let mut end = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
            // Who looks after that finds no file, instead of waiting for another writer.
            std::fs::remove_file(&pipe).unwrap();
            end.write_all(b"nothing").unwrap();
            went_on
        });
        let first = tokio::spawn({
            let secured = secured.clone();
            async move { secured.config().await.is_err() }
        });
        while secured.looking.try_lock().is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = tokio::time::timeout(Duration::from_millis(1), secured.config()).await;
        assert!(second.is_err(), "there is nothing yet");
        went_on.store(true, Ordering::SeqCst);
        assert!(tokio::task::spawn_blocking(|| writing.join().unwrap()).await.unwrap());
        assert!(first.await.unwrap());
    }
}
