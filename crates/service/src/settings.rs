//! What is declared of a service app.

use http::Uri;
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
