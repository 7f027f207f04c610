//! `api:`, what listens on the network: where, who may ask, how much, and for how long results are kept.
//!
//! Invariant: a place that other machines can reach is never opened without authentication.

mod limits;
mod oauth;
mod tls;

pub use limits::{ApiLimits, Rate};
pub use oauth::OAuth;
pub use tls::ApiTls;

use super::decode::decode;
use super::one_or_many::OneOrMany;
use super::report::Report;
use super::settings::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::{limits as bounds, units};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The versions of the API that there are.
pub const API_VERSIONS: [&str; 2] = ["v1", "v2"];

/// What listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// The addresses.
    pub listen: Vec<SocketAddr>,
    /// Who may ask.
    pub auth: Auth,
    /// Whose access tokens are taken; none is nobody's.
    pub oauth: Option<OAuth>,
    /// The certificate that is shown; none is plain HTTP.
    pub tls: Option<ApiTls>,
    /// How much.
    pub limits: ApiLimits,
    /// So long after a job ended its result is kept.
    pub results: Duration,
    /// The origins whose pages a browser lets ask; `*` is any.
    pub cors: Vec<String>,
    /// What is said of versions that go out of use.
    pub versions: BTreeMap<String, Deprecation>,
    /// Who may be told of ended jobs; none is nobody.
    pub webhooks: Option<Webhooks>,
    /// Whether anyone who reaches it may read /metrics.
    pub open_metrics: bool,
}

/// Who may read /metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Metrics {
    /// Whoever may read, of all apps.
    #[default]
    Read,
    /// Anyone who reaches it.
    Open,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever shows an API key, made by `handover keys create`; with `oauth`, or an access token.
    #[default]
    Keys,
    /// Whoever shows an access token (`oauth`), and no keys.
    Tokens,
    /// Anyone who reaches it: on this machine alone.
    None,
}

/// What is said of a version that goes out of use (RFC 9745, RFC 8594).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecation {
    /// Since when it is deprecated, or from when on it will be.
    pub deprecated: Timestamp,
    /// When it ends.
    pub sunset: Option<Timestamp>,
    /// Where that is explained.
    pub link: Option<String>,
}

/// Who may be told of ended jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhooks {
    /// What their addresses begin with.
    pub to: Vec<String>,
    /// The key that messages are signed with (Standard Webhooks).
    pub secret: Secret,
}

/// `api:` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Api")]
pub(crate) struct RawApi {
    /// The address and port, or several, such as 127.0.0.1:8080.
    listen: OneOrMany,
    /// Who may ask: whoever shows a key (keys, the default; with `oauth`, or a token), a token alone (tokens), or on this machine
    /// anyone (none).
    auth: Option<Auth>,
    /// Whose OAuth 2 access tokens are taken, and what their scopes mean here.
    oauth: Option<oauth::RawOAuth>,
    /// The certificate that is shown, on all addresses; without it, plain HTTP.
    tls: Option<tls::RawTls>,
    /// How much may be asked.
    limits: Option<limits::RawLimits>,
    /// So long after a job ended its result is kept; by default 7d.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    results: Option<Duration>,
    /// The origins whose pages a browser lets ask, such as https://app.example.com; `*` is any.
    cors: Option<OneOrMany>,
    /// What is said of versions that go out of use, by version.
    versions: Option<BTreeMap<String, RawDeprecation>>,
    /// Who may be told of ended jobs.
    webhooks: Option<RawWebhooks>,
    /// Who may read /metrics: whoever shows a key for all apps with the scope read (read, the default), or anyone (open).
    metrics: Option<Metrics>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiVersion")]
struct RawDeprecation {
    /// Since when it is deprecated, such as 2027-01-01T00:00:00Z.
    deprecated: String,
    /// When it ends.
    sunset: Option<String>,
    /// Where that is explained.
    link: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiWebhooks")]
struct RawWebhooks {
    /// What the addresses begin with that may be told, such as https://hooks.example.com/.
    to: OneOrMany,
    /// The key that messages are signed with: whsec_ and base64 of 24 to 64 bytes; best ${WEBHOOK_SECRET}.
    secret: String,
}

/// Reads `api:`; what is wrong goes to the report.
pub(crate) fn read(report: &mut Report<'_>, base: &Path, declared: &[String]) -> Option<Api> {
    report.document.node(&["api"])?;
    let raw: RawApi = decode(report, &["api"])?;
    let auth = raw.auth.unwrap_or_default();
    let listen = listen(report, &raw.listen, auth);
    let oauth = raw.oauth.and_then(|oauth| oauth::read(report, oauth));
    fits(report, auth, oauth.is_some());
    Some(Api {
        listen,
        auth,
        oauth,
        tls: raw.tls.map(|tls| tls::read(report, tls, base)),
        limits: limits::read(report, raw.limits.unwrap_or_default(), declared),
        results: raw.results.unwrap_or(Duration::from_millis(bounds::RESULTS_KEPT_MS)),
        cors: raw.cors.as_ref().map(|cors| origins(report, cors, auth)).unwrap_or_default(),
        versions: raw.versions.map(|versions| read_versions(report, versions)).unwrap_or_default(),
        webhooks: raw.webhooks.and_then(|webhooks| read_webhooks(report, webhooks)),
        open_metrics: raw.metrics == Some(Metrics::Open),
    })
}

/// Whether who may ask and whose tokens are taken say the same.
fn fits(report: &mut Report<'_>, auth: Auth, oauth: bool) {
    match auth {
        Auth::Tokens if !oauth && report.document.node(&["api", "oauth"]).is_none() => {
            report
                .value(&["api", "auth"], "`auth: tokens` takes access tokens, and `oauth` does not say whose")
                .help("add oauth: { issuer: https://login.example.com, audience: handover }");
        }
        Auth::None if oauth => {
            report
                .value(
                    &["api", "auth"],
                    "with `auth: none` nobody is asked for a token, and `oauth` says whose are taken",
                )
                .help("write `auth: keys` (keys and tokens) or `auth: tokens`; or leave `oauth` out");
        }
        _ => {}
    }
}

fn listen(report: &mut Report<'_>, given: &OneOrMany, auth: Auth) -> Vec<SocketAddr> {
    let path = ["api", "listen"];
    let given = given.list();
    if given.is_empty() {
        report.value(&path, "`api.listen` names no address").help("such as 127.0.0.1:8080");
    }
    let mut listen = Vec::new();
    for text in given {
        let text = text.replace("localhost:", "127.0.0.1:");
        match text.parse::<SocketAddr>() {
            Ok(address) if auth == Auth::None && !address.ip().is_loopback() => {
                report
                    .value(
                        &path,
                        format!(
                            "{address} can be reached from other machines, and `auth: none` lets anyone ask"
                        ),
                    )
                    .help(
                        "write `auth: keys` and make one with `handover keys create`; or listen on 127.0.0.1",
                    );
            }
            Ok(address) => listen.push(address),
            Err(_) => {
                report
                    .value(&path, format!("`{text}` is no address and port"))
                    .help("such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080");
            }
        }
    }
    listen
}

fn origins(report: &mut Report<'_>, given: &OneOrMany, auth: Auth) -> Vec<String> {
    let given = given.list();
    if auth == Auth::None && given.iter().any(|origin| origin == "*") {
        report
            .value(&["api", "cors"], "with `auth: none` any page that is open in a browser here could ask")
            .help("name the origins, or write `auth: keys`");
    }
    for origin in given.iter().filter(|origin| *origin != "*") {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
            report
                .value(&["api", "cors"], format!("`{origin}` is no origin"))
                .help("such as https://app.example.com, without a path; `*` is any");
        }
    }
    given
}

fn read_versions(
    report: &mut Report<'_>,
    given: BTreeMap<String, RawDeprecation>,
) -> BTreeMap<String, Deprecation> {
    let mut read = BTreeMap::new();
    for (version, raw) in given {
        let at = ["api", "versions", version.as_str()];
        if !API_VERSIONS.contains(&version.as_str()) {
            report
                .key(&at, format!("there is no version `{version}`"))
                .help(format!("the versions are {}", API_VERSIONS.join(" and ")));
        }
        let mut time = |key: &'static str, text: &str| match text.parse::<Timestamp>() {
            Ok(time) => Some(time),
            Err(_) => {
                report
                    .value(&[at[0], at[1], at[2], key], format!("`{text}` is no time"))
                    .help("such as 2027-01-01T00:00:00Z");
                None
            }
        };
        let deprecated = time("deprecated", &raw.deprecated);
        let sunset = raw.sunset.as_deref().and_then(|text| time("sunset", text));
        if let Some(deprecated) = deprecated {
            read.insert(version, Deprecation { deprecated, sunset, link: raw.link });
        }
    }
    read
}

fn read_webhooks(report: &mut Report<'_>, raw: RawWebhooks) -> Option<Webhooks> {
    let to = raw.to.list();
    for prefix in &to {
        let host = prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://"));
        if host.is_none_or(|rest| rest.split_once('/').is_none_or(|(host, _)| host.is_empty())) {
            report
                .value(&["api", "webhooks", "to"], format!("`{prefix}` does not say which hosts may be told"))
                .help(
                    "write what their addresses begin with, up to a `/` at least: https://hooks.example.com/",
                );
        }
    }
    let key = raw.secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    if !key.is_some_and(|key| (24..=64).contains(&key.len())) {
        report.value(&["api", "webhooks", "secret"], "the secret of webhooks is `whsec_` and the base64 of 24 to 64 bytes").help(
            "make one: printf 'whsec_%s' \"$(openssl rand -base64 32)\", and give it as ${WEBHOOK_SECRET}",
        );
        return None;
    }
    Some(Webhooks { to, secret: Secret::new(raw.secret) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{gallery, good, snapshot};

    #[test]
    fn what_cannot_listen_is_shown_with_its_line() {
        let of = |api: &str| format!("apps: {{ a: {{ run: cat }} }}\napi: {api}\n");
        let cases = [
            ("no authentication for other machines", of("{ listen: 0.0.0.0:8080, auth: none }")),
            ("no address", of("{ auth: keys }")),
            ("no port", of("{ listen: localhost }")),
            ("a word for another", of("{ listen: 127.0.0.1:8080, auth: key, limit: { default: 1/s } }")),
            (
                "rates",
                of(
                    "{ listen: 127.0.0.1:8080, limits: { default: 100, apps: { b: 1/s }, routes: { jobs: 1/s } } }",
                ),
            ),
            ("an origin", of("{ listen: 127.0.0.1:8080, cors: [app.example.com] }")),
            ("any page", of("{ listen: 127.0.0.1:8080, auth: none, cors: '*' }")),
            ("a version", of("{ listen: 127.0.0.1:8080, versions: { v3: { deprecated: soon } } }")),
            ("tokens of nobody", of("{ listen: 127.0.0.1:8080, auth: tokens }")),
            (
                "tokens where nobody is asked",
                of(
                    "{ listen: 127.0.0.1:8080, auth: none, oauth: { issuer: 'https://a.example', audience: x } }",
                ),
            ),
            (
                "an issuer in the clear, and for anyone",
                of(
                    "{ listen: 127.0.0.1:8080, oauth: { issuer: 'http://login.example.com', audience: [], jwks: login, leeway: 1h, stale: 0s } }",
                ),
            ),
            (
                "algorithms and scopes",
                of(
                    "{ listen: 127.0.0.1:8080, oauth: { issuer: 'https://a.example', audience: x, algorithms: [none, HS256, RS265], scopes: { write: a, read: 'a b' } } }",
                ),
            ),
            ("no audience", of("{ listen: 127.0.0.1:8080, oauth: { issuer: 'https://a.example' } }")),
            ("a certificate without a key", of("{ listen: 127.0.0.1:8080, tls: { cert: a.pem } }")),
            ("webhooks", of("{ listen: 127.0.0.1:8080, webhooks: { to: https://x, secret: hunter2 } }")),
        ];
        let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
        snapshot("apis_that_cannot_be", &gallery(&cases));
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let config = good("apps: { a: { run: cat } }\napi: { listen: [127.0.0.1:8080, \"[::1]:8080\"] }\n");
        let api = config.api.unwrap();
        assert_eq!((api.listen.len(), api.auth), (2, Auth::Keys));
        assert_eq!(api.limits.default.count.get(), bounds::API_RATE_DEFAULT);
        assert!(api.webhooks.is_none() && api.cors.is_empty() && api.versions.is_empty());
        assert!(api.oauth.is_none() && api.tls.is_none());
    }

    #[test]
    fn tokens_are_taken_as_is_said() {
        let config = good(
            "apps: { a: { run: cat } }\napi: { listen: 127.0.0.1:8080, oauth: { issuer: 'http://127.0.0.1:9/a/', audience: x, scopes: { read: [a, b], admin: c } } }\n",
        );
        let oauth = config.api.unwrap().oauth.unwrap();
        assert_eq!(oauth.issuer, "http://127.0.0.1:9/a/");
        let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(oauth.scopes, [("read", words(&["a", "b"])), ("admin", words(&["c"]))]);
        assert!(oauth.algorithms.iter().all(|name| name != "none" && !name.starts_with("HS")));
    }
}
