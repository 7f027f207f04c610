//! What a request says before its body.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// What makes a request one that may be done twice.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The head of a request, as it is asked for. It stays with the call: each try writes it anew.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// A path and a query, which go behind the upstream's own path.
    pub path: Uri,
    /// The headers; they go as they are, so hop-by-hop ones must have gone.
    pub headers: HeaderMap,
    /// Headers that go behind those. A list, because most are only written, and a table of them costs more than that.
    pub added: Vec<(HeaderName, HeaderValue)>,
}

impl Head {
    /// Whether it may be done twice (RFC 9110, section 9.2.2).
    pub(crate) fn repeats(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
            || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    /// All headers in one table.
    pub(crate) fn all_headers(&self) -> HeaderMap {
        let mut all = self.headers.clone();
        all.reserve(self.added.len());
        for (name, value) in &self.added {
            all.append(name, value.clone());
        }
        all
    }
}

impl From<Parts> for Head {
    fn from(Parts { method, uri, headers, .. }: Parts) -> Self {
        Self { method, path: uri, headers, added: Vec::new() }
    }
}
