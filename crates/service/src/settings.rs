//! What is declared of a service app.

use http::Uri;
use std::path::PathBuf;
use std::time::Duration;

/// A service app, as the configuration declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The app's name.
    pub name: String,
    /// Where it is reached, by version: the first segment of a path that names one goes to it (`/v2/orders` to `v2` as
    /// `/orders`), all else to the group without a name.
    pub groups: Vec<Group>,
    /// How long a call may take until its answer begins; from then on, how long either side may pause.
    pub timeout: Duration,
    /// How often a call that may be repeated is tried again, at another upstream where there is one.
    pub retries: u32,
    /// How it is asked whether it is well; none is not at all.
    pub health: Option<HealthCheck>,
    /// What is needed to speak to it by TLS beyond the certificates that the system trusts.
    pub tls: Option<TlsFiles>,
    /// Whether upstreams at `http://` are spoken to by HTTP/2; those at `https://` say it themselves.
    pub http2: bool,
    /// The path that deliveries are posted to.
    pub post: String,
    /// Where its OpenAPI document is: a path at the service, which begins with `/`, or else a file, from the configuration's folder.
    pub openapi: Option<String>,
}

/// Upstreams that serve the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The version that they serve; none is what a path without a version gets.
    pub version: Option<String>,
    /// Their addresses: scheme, host, port and the path that goes before the caller's.
    pub upstreams: Vec<Uri>,
}

/// So many upstreams a group may have.
pub const UPSTREAMS_MAX: usize = 64;

/// How an upstream is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path that it is asked for, behind the upstream's own; 2xx is well.
    pub path: String,
    /// How often.
    pub every: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// So many good answers one after the other, and it gets requests again.
    pub healthy: u32,
    /// So many bad ones, and it gets none.
    pub unhealthy: u32,
}

impl HealthCheck {
    /// A look at this path, as often as usual.
    pub fn at(path: String) -> Self {
        let (every, timeout) = (Duration::from_secs(10), Duration::from_secs(2));
        Self { path, every, timeout, healthy: 2, unhealthy: 3 }
    }
}

/// The files of a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that are trusted beside the system's (PEM).
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to the service, with those that lead to its root (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// The name that the service's certificate must have, where that is not the address's host.
    pub server_name: Option<String>,
}
