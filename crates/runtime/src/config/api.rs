//! `api:`, what listens on the network: where, who may ask, how much, and for how long results are kept.
//!
//! Invariant: a place that other machines can reach is never opened without authentication.

use super::decode::decode;
use super::one_or_many::OneOrMany;
use super::report::Report;
use super::settings::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::{limits, units};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
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
}

/// Who may ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever shows an API key, made by `handover keys create`.
    #[default]
    Keys,
    /// Anyone who reaches it: on this machine alone.
    None,
}

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a rate: write a number and a unit, such as 100/s, 6000/m or 10/h");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let count = count.trim().parse().map_err(|_| wrong())?;
        Ok(Self { count, per: Duration::from_secs(per) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            3_600 => "h",
            _ => "d",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl Rate {
    /// A rate by the second.
    fn per_second(count: u32) -> Self {
        Self { count: NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN), per: Duration::from_secs(1) }
    }
}

/// How much may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiLimits {
    /// Requests of one key, or of one address where there are no keys.
    pub default: Rate,
    /// Requests of one address, before its key is looked at.
    pub address: Rate,
    /// Jobs submitted by one key to an app, where less is wanted than `default`.
    pub apps: BTreeMap<String, Rate>,
    /// Requests of one key for a route, such as `POST /jobs` or `GET /jobs/{id}`, where less is wanted than `default`.
    pub routes: BTreeMap<String, Rate>,
    /// Requests that are worked on at the same time.
    pub requests: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Streams of events at the same time.
    pub streams: usize,
    /// Unended jobs of one caller.
    pub caller_jobs: u64,
    /// Deliveries that may wait for one app before new jobs for it are refused.
    pub queue: u64,
    /// The largest JSON body, in bytes.
    pub body: u64,
    /// The largest body of an upload, in bytes.
    pub upload: u64,
    /// How long a client may take to send its headers, and may pause while it sends a body or takes an answer.
    pub idle: Duration,
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
    /// Who may ask: whoever shows a key (keys, the default), or on this machine anyone (none).
    auth: Option<Auth>,
    /// How much may be asked.
    limits: Option<RawLimits>,
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
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiLimits")]
struct RawLimits {
    /// Requests of one key, or of one address where there are no keys, such as 100/s (the default), 6000/m or 10/h.
    default: Option<String>,
    /// Requests of one address, before its key is looked at; by default 1000/s.
    address: Option<String>,
    /// Jobs submitted by one key to an app, by app.
    apps: Option<BTreeMap<String, String>>,
    /// Requests of one key for a route, by method and path below /api/v1: `POST /jobs`, `GET /jobs/{id}`.
    routes: Option<BTreeMap<String, String>>,
    /// Requests that are worked on at the same time; by default 1024.
    #[schemars(range(min = 1))]
    requests: Option<usize>,
    /// Connections at the same time; by default 16384.
    #[schemars(range(min = 1))]
    connections: Option<usize>,
    /// Streams of events at the same time; by default 16000.
    streams: Option<usize>,
    /// Unended jobs of one caller; by default 10000.
    caller_jobs: Option<u64>,
    /// Deliveries that may wait for one app before new jobs for it are refused; by default 100000.
    queue: Option<u64>,
    /// The largest JSON body; by default 1MiB.
    #[serde(default, with = "units::size::option")]
    #[schemars(with = "Option<String>")]
    body: Option<u64>,
    /// The largest body of an upload; by default 10GiB.
    #[serde(default, with = "units::size::option")]
    #[schemars(with = "Option<String>")]
    upload: Option<u64>,
    /// How long a client may take to send its headers, and may pause while it sends a body; by default 15s.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    idle: Option<Duration>,
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
pub(crate) fn read(report: &mut Report<'_>, declared: &[String]) -> Option<Api> {
    report.document.node(&["api"])?;
    let raw: RawApi = decode(report, &["api"])?;
    let auth = raw.auth.unwrap_or_default();
    let listen = listen(report, &raw.listen, auth);
    Some(Api {
        listen,
        auth,
        limits: read_limits(report, raw.limits.unwrap_or_default(), declared),
        results: raw.results.unwrap_or(Duration::from_millis(limits::RESULTS_KEPT_MS)),
        cors: raw.cors.as_ref().map(|cors| origins(report, cors, auth)).unwrap_or_default(),
        versions: raw.versions.map(|versions| read_versions(report, versions)).unwrap_or_default(),
        webhooks: raw.webhooks.and_then(|webhooks| read_webhooks(report, webhooks)),
    })
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

fn read_limits(report: &mut Report<'_>, raw: RawLimits, declared: &[String]) -> ApiLimits {
    let mut rate = |key: &[&str], given: Option<&str>, usual: u32| match given.map(Rate::from_str) {
        None => Rate::per_second(usual),
        Some(Ok(rate)) => rate,
        Some(Err(why)) => {
            let path: Vec<&str> = ["api", "limits"].into_iter().chain(key.iter().copied()).collect();
            report.value(&path, why);
            Rate::per_second(usual)
        }
    };
    let default = rate(&["default"], raw.default.as_deref(), limits::API_RATE_DEFAULT);
    let address = rate(&["address"], raw.address.as_deref(), limits::API_RATE_ADDRESS);
    let given = raw.apps.unwrap_or_default();
    let apps = given
        .iter()
        .map(|(app, text)| (app.clone(), rate(&["apps", app], Some(text), limits::API_RATE_DEFAULT)))
        .collect();
    let by_route = raw.routes.unwrap_or_default();
    let routes = by_route
        .iter()
        .map(|(route, text)| (route.clone(), rate(&["routes", route], Some(text), limits::API_RATE_DEFAULT)))
        .collect();
    for route in by_route.keys().filter(|route| !is_route(route)) {
        report
            .key(&["api", "limits", "routes", route], format!("`{route}` is no route"))
            .help("write a method and a path as /api/docs shows it, without /api/v1: `POST /jobs`, `GET /jobs/{id}`");
    }
    for app in given.keys().filter(|app| !declared.contains(app)) {
        let hint = super::report::did_you_mean(app, declared.iter().map(String::as_str));
        report.key(&["api", "limits", "apps", app], format!("there is no app `{app}`")).maybe_help(hint);
    }
    ApiLimits {
        default,
        address,
        apps,
        routes,
        requests: raw.requests.unwrap_or(limits::API_REQUESTS_MAX).max(1),
        connections: raw.connections.unwrap_or(limits::API_CONNECTIONS_MAX).max(1),
        streams: raw.streams.unwrap_or(limits::API_STREAMS_MAX),
        caller_jobs: raw.caller_jobs.unwrap_or(limits::API_CALLER_JOBS_MAX),
        queue: raw.queue.unwrap_or(limits::API_QUEUE_MAX),
        body: raw.body.unwrap_or(limits::API_BODY_MAX_BYTES).min(limits::RECORD_MAX_BYTES as u64),
        upload: raw.upload.unwrap_or(limits::API_UPLOAD_MAX_BYTES),
        idle: raw.idle.unwrap_or(Duration::from_millis(limits::API_IDLE_MS)),
    }
}

/// Whether this is a method and a path.
fn is_route(route: &str) -> bool {
    let (method, path) = route.split_once(' ').unwrap_or_default();
    let takes_it = match method {
        "GET" | "POST" | "PUT" | "DELETE" | "PATCH" => true,
        // What service apps take is their own.
        "ANY" => path == "/services/{app}",
        _ => false,
    };
    takes_it && path.starts_with('/') && !path.starts_with("/api/")
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
    use super::super::tests::{gallery, good, snapshot};
    use super::*;

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
        assert_eq!(api.limits.default.count.get(), limits::API_RATE_DEFAULT);
        assert!(api.webhooks.is_none() && api.cors.is_empty() && api.versions.is_empty());
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| (rate.count.get(), rate.per.as_secs()));
        assert_eq!(rate("100/s"), Ok((100, 1)));
        assert_eq!(rate("6000/m"), Ok((6000, 60)));
        assert_eq!(rate("10 / h"), Ok((10, 3600)));
        for wrong in ["100", "0/s", "-1/s", "1/w", "1/s/s", "", "1.5/s"] {
            assert!(rate(wrong).unwrap_err().contains("is not a rate"), "{wrong}");
        }
    }
}
