//! `api: { limits: … }`: how much may be asked, how much is taken at the same time, and how large it may be.

use crate::config::report::{Report, did_you_mean};
use handover_core::{limits, units};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

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
    /// Whether processes on a PostgreSQL ledger hold the rates together, but those of addresses.
    pub shared: bool,
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiLimits")]
pub(super) struct RawLimits {
    /// Requests of one key, or of one address where there are no keys, such as 100/s (the default), 6000/m or 10/h.
    default: Option<String>,
    /// Requests of one address, before its key is looked at; by default 1000/s.
    address: Option<String>,
    /// Jobs submitted by one key to an app, by app.
    apps: Option<BTreeMap<String, String>>,
    /// Requests of one key for a route, by method and path below /api/v1: `POST /jobs`, `GET /jobs/{id}`.
    routes: Option<BTreeMap<String, String>>,
    /// Whether the processes on a ledger on PostgreSQL hold these rates together, but those of addresses; by default true.
    shared: Option<bool>,
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

/// Reads them; what is wrong goes to the report.
pub(super) fn read(report: &mut Report<'_>, raw: RawLimits, declared: &[String]) -> ApiLimits {
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
        let hint = did_you_mean(app, declared.iter().map(String::as_str));
        report.key(&["api", "limits", "apps", app], format!("there is no app `{app}`")).maybe_help(hint);
    }
    ApiLimits {
        default,
        address,
        apps,
        routes,
        shared: raw.shared.unwrap_or(true),
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

#[cfg(test)]
mod tests {
    use super::*;

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
