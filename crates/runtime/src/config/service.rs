//! Service apps: `url:` and what goes with it.

use super::api::{Api, Rate};
use super::app::{App, RawApp, Runs};
use super::decode::decode;
use super::one_or_many::OneOrMany;
use super::report::Report;
use handover_core::{limits, units};
use handover_service::{Group, HealthCheck, Settings, TlsFiles, UPSTREAMS_MAX};
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

/// An answer of one sort is waited for so often at most.
const ROW_MAX: u32 = 100;
/// An upstream is not asked more often whether it is well.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// `health:` as it may be written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
#[schemars(rename = "AnyHealth")]
pub(crate) enum AnyHealth {
    /// The path alone.
    Path(String),
    /// The path and how it is asked for.
    Full(RawHealth),
}

/// `health:` as it is written with more than its path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ServiceHealth")]
pub(crate) struct RawHealth {
    /// The path that each upstream is asked for; any 2xx is well.
    path: String,
    /// How often; by default every 10s, every 100ms at most.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    every: Option<Duration>,
    /// How long the answer may take; by default 2s.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    timeout: Option<Duration>,
    /// So many good answers one after the other, and an upstream gets requests again; by default 2.
    #[schemars(range(min = 1, max = 100))]
    healthy: Option<u32>,
    /// So many bad ones, and it gets none; by default 3.
    #[schemars(range(min = 1, max = 100))]
    unhealthy: Option<u32>,
}

/// `tls:` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClientTls")]
pub(crate) struct RawTls {
    /// A file of certificates to trust beside the system's (PEM).
    ca: Option<PathBuf>,
    /// A file with the certificate that is shown to the server (PEM); it needs `key`.
    cert: Option<PathBuf>,
    /// A file with the certificate's key (PEM).
    key: Option<PathBuf>,
    /// The name that the server's certificate must have; by default the address's host.
    server_name: Option<String>,
}

/// Reads what is declared of a service app.
pub(crate) fn read(report: &mut Report<'_>, path: &[&str], raw: &RawApp, base: &Path) -> Option<Settings> {
    let name = path.last().copied().unwrap_or_default();
    makes_no_sense(report, path, raw);
    let mut groups =
        vec![Group { version: None, upstreams: upstreams(report, &at(path, &["url"]), raw.url.as_ref()?) }];
    for (version, given) in raw.versions.iter().flatten() {
        let at = at(path, &["versions", version]);
        is_version(report, &at, version);
        groups.push(Group { version: Some(version.clone()), upstreams: upstreams(report, &at, given) });
    }
    Some(Settings {
        name: name.to_owned(),
        health: health(report, path, raw),
        tls: tls(report, path, raw.tls.as_ref(), &groups, base),
        http2: http2(report, path, raw.http2, &groups),
        post: post(report, path, raw.post.as_deref()),
        groups,
        timeout: raw.timeout.unwrap_or(Duration::from_millis(limits::SERVICE_TIMEOUT_MS)),
        retries: raw.retries.unwrap_or(limits::RETRIES_DEFAULT),
        openapi: raw.openapi.clone(),
    })
}

fn at<'p>(path: &[&'p str], more: &[&'p str]) -> Vec<&'p str> {
    [path, more].concat()
}

/// Keys that say how a program or a built-in app runs. Those of `run:` alone are seen to with them.
fn makes_no_sense(report: &mut Report<'_>, path: &[&str], raw: &RawApp) {
    let name = path.last().copied().unwrap_or_default();
    if raw.claim.is_some() {
        report
            .key(&at(path, &["claim"]), "`claim` is for a program that works on records")
            .help(format!("remove it: `{name}` is a service app"));
    }
    if raw.with.is_some() {
        report
            .key(&at(path, &["with"]), "a service app has no `with`: it has a configuration of its own")
            .help("remove it");
    }
}

/// What is for service apps alone, at an app that is none.
pub(crate) fn check_others(report: &mut Report<'_>, path: &[&str], raw: &RawApp) {
    if raw.url.is_some() {
        return;
    }
    let name = path.last().copied().unwrap_or_default();
    let said = [
        ("versions", raw.versions.is_some()),
        ("health", raw.health.is_some()),
        ("limit", raw.limit.is_some()),
        ("tls", raw.tls.is_some()),
        ("http2", raw.http2.is_some()),
        ("post", raw.post.is_some()),
        ("max_answer", raw.max_answer.is_some()),
    ];
    for (key, _) in said.into_iter().filter(|(_, there)| *there) {
        let help = match key {
            "limit" => {
                format!("jobs of `{name}` are limited by `api: {{ limits: {{ apps: {{ {name}: 10/s }} }} }}`")
            }
            "versions" => "`url:` says where a path without a version goes: write it too".to_owned(),
            _ => format!("remove it: `{name}` has no `url:`"),
        };
        report.key(&at(path, &[key]), format!("`{key}` is for a service app")).help(help);
    }
}

fn is_version(report: &mut Report<'_>, path: &[&str], version: &str) {
    let fine = (1..=limits::NAME_MAX_BYTES).contains(&version.len())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !version.starts_with('.');
    if !fine {
        report
            .key(path, format!("{version:?} is no version"))
            .help("it is the first segment of a path: letters, digits, `-`, `_` and `.`, such as v2");
    }
}

/// The addresses of one group.
fn upstreams(report: &mut Report<'_>, path: &[&str], given: &OneOrMany) -> Vec<Uri> {
    let texts = given.list();
    if texts.is_empty() {
        report.value(path, "there is no address").help("such as http://127.0.0.1:9000");
    }
    if texts.len() > UPSTREAMS_MAX {
        report
            .value(path, format!("there are more than {UPSTREAMS_MAX} addresses"))
            .help("name fewer: a load balancer of the service's own can stand for many");
    }
    let mut read: Vec<Uri> = Vec::new();
    for (nth, text) in texts.iter().enumerate() {
        let place = given.place(nth);
        let path: Vec<&str> = path.iter().copied().chain(place.as_deref()).collect();
        match address(text) {
            Ok(uri) if read.iter().any(|known| same(known, &uri)) => {
                report
                    .value(&path, "the same address stands here twice")
                    .help("remove one: it would get twice as much");
            }
            Ok(uri) => read.push(uri),
            Err((message, help)) => {
                report.value(&path, message).help(help);
            }
        }
    }
    read
}

/// An address without anything that does not belong into one. What is wrong never repeats it: it may hold a secret.
fn address(text: &str) -> Result<Uri, (&'static str, &'static str)> {
    const FORM: &str =
        "write a scheme, a host, a port, and a path if there is one: http://127.0.0.1:9000/billing";
    if text.contains('#') {
        return Err(("an address with a fragment (`#`) cannot be called", "remove what follows the `#`"));
    }
    let uri: Uri = text.parse().map_err(|_| ("this is no address", FORM))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(("an address begins with http:// or https://", FORM));
    };
    if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
        return Err(("an address begins with http:// or https://", FORM));
    }
    if authority.as_str().contains('@') {
        return Err((
            "an address with a user or a password is shown to whoever sees how the app stands",
            "remove them: callers send `Authorization` themselves, and `tls: { cert, key }` shows a certificate",
        ));
    }
    if uri.query().is_some() {
        return Err((
            "an address with a query (`?`) cannot be called",
            "remove it: what is called brings its own",
        ));
    }
    let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let has_port = rest.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
    if authority.host().is_empty() || !has_port {
        return Err(("this is no address: its host or its port is wrong", FORM));
    }
    Ok(uri)
}

/// Whether two addresses are one.
fn same(one: &Uri, other: &Uri) -> bool {
    let path = |uri: &Uri| uri.path().trim_end_matches('/').to_owned();
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme()
        && host(one) == host(other)
        && port_of(one) == port_of(other)
        && path(one) == path(other)
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 })
}

/// A path that is asked for; a wrong one is said.
fn asked_path(report: &mut Report<'_>, path: &[&str], text: &str) {
    if !text.starts_with('/') || text.contains('#') || text.parse::<PathAndQuery>().is_err() {
        report.value(path, format!("{text:?} is no path")).help("a path begins with `/`, such as /health");
    }
}

fn health(report: &mut Report<'_>, path: &[&str], raw: &RawApp) -> Option<HealthCheck> {
    let at_health = at(path, &["health"]);
    match raw.health.as_ref()? {
        serde_json::Value::String(text) => {
            asked_path(report, &at_health, text);
            Some(HealthCheck::at(text.clone()))
        }
        serde_json::Value::Object(_) => {
            let raw: RawHealth = decode(report, &at_health)?;
            asked_path(report, &at(&at_health, &["path"]), &raw.path);
            if raw.timeout.is_some_and(|time| time.is_zero()) {
                report
                    .value(&at(&at_health, &["timeout"]), "`timeout` must be more than nothing")
                    .help("such as 2s");
            }
            if raw.every.is_some_and(|time| time < EVERY_MIN) {
                report
                    .value(&at(&at_health, &["every"]), "`every` must be 100ms at least")
                    .help("such as 10s: each process asks each upstream so often");
            }
            for (key, count) in [("healthy", raw.healthy), ("unhealthy", raw.unhealthy)] {
                if count.is_some_and(|count| !(1..=ROW_MAX).contains(&count)) {
                    report.value(&at(&at_health, &[key]), format!("`{key}` must be 1 to {ROW_MAX}"));
                }
            }
            let usual = HealthCheck::at(raw.path);
            Some(HealthCheck {
                every: raw.every.unwrap_or(usual.every),
                timeout: raw.timeout.unwrap_or(usual.timeout),
                healthy: raw.healthy.unwrap_or(usual.healthy),
                unhealthy: raw.unhealthy.unwrap_or(usual.unhealthy),
                path: usual.path,
            })
        }
        _ => {
            report
                .value(&at_health, "`health` must be a path, or a mapping with one")
                .help("such as `health: /health`, or `health: { path: /health, every: 5s }`");
            None
        }
    }
}

fn is_secure(groups: &[Group]) -> bool {
    groups.iter().flat_map(|group| &group.upstreams).any(|uri| uri.scheme() == Some(&Scheme::HTTPS))
}

fn is_read(groups: &[Group]) -> bool {
    groups.iter().all(|group| !group.upstreams.is_empty())
}

fn tls(
    report: &mut Report<'_>,
    path: &[&str],
    raw: Option<&RawTls>,
    groups: &[Group],
    base: &Path,
) -> Option<TlsFiles> {
    let raw = raw?;
    if is_read(groups) && !is_secure(groups) {
        report
            .key(&at(path, &["tls"]), "`tls` is for addresses that begin with https://, and there is none")
            .help("write https://, or remove it");
    }
    Some(tls_files(report, &at(path, &["tls"]), raw, base))
}

/// The files of a `tls:` at this place.
pub(crate) fn tls_files(report: &mut Report<'_>, path: &[&str], raw: &RawTls, base: &Path) -> TlsFiles {
    let alone = match (&raw.cert, &raw.key) {
        (Some(_), None) => Some(("cert", "key")),
        (None, Some(_)) => Some(("key", "cert")),
        _ => None,
    };
    if let Some((there, lacking)) = alone {
        report.key(&at(path, &[there]), format!("`{there}` needs `{lacking}` too")).help(format!(
            "name the file of its {}",
            if lacking == "key" { "private key" } else { "certificate" }
        ));
    }
    let file = |given: &Option<PathBuf>| given.as_ref().map(|given| base.join(given));
    TlsFiles {
        ca: file(&raw.ca),
        cert: file(&raw.cert),
        key: file(&raw.key),
        server_name: raw.server_name.clone(),
    }
}

fn http2(report: &mut Report<'_>, path: &[&str], given: Option<bool>, groups: &[Group]) -> bool {
    let all_secure =
        groups.iter().flat_map(|group| &group.upstreams).all(|uri| uri.scheme() == Some(&Scheme::HTTPS));
    if given.is_some() && is_read(groups) && all_secure {
        report
            .key(&at(path, &["http2"]), "`http2` is for addresses that begin with http://, and there is none")
            .help("remove it: by https:// both sides agree on HTTP/2 by themselves");
    }
    given.unwrap_or(false)
}

fn post(report: &mut Report<'_>, path: &[&str], given: Option<&str>) -> String {
    if let Some(text) = given {
        asked_path(report, &at(path, &["post"]), text);
    }
    given.unwrap_or("/").to_owned()
}

/// The rate of `limit:`.
pub(crate) fn limit(report: &mut Report<'_>, path: &[&str], given: Option<&str>) -> Option<Rate> {
    match Rate::from_str(given?) {
        Ok(rate) => Some(rate),
        Err(why) => {
            report.value(&at(path, &["limit"]), why);
            None
        }
    }
}

/// Puts the limits that service apps say of themselves among those of the API.
pub(crate) fn limits_of(report: &mut Report<'_>, apps: &[App], api: Option<&mut Api>) {
    let limited: HashMap<&str, Rate> = apps
        .iter()
        .filter_map(|app| Some((app.name.as_str(), app.limit.filter(|_| app.is_service())?)))
        .collect();
    let mut names: Vec<&str> = limited.keys().copied().collect();
    names.sort_unstable();
    let Some(api) = api else {
        for name in names {
            report
                .key(
                    &["apps", name, "limit"],
                    "`limit` is for requests through the API, and there is no `api:`",
                )
                .help("write `api: { listen: 127.0.0.1:8080 }`, or remove it")
                .warning();
        }
        return;
    };
    for name in names {
        if api.limits.apps.contains_key(name) {
            report
                .key(&["apps", name, "limit"], format!("`{name}` has a limit in `api.limits.apps` too"))
                .help("keep one of the two: they are one limit");
        } else if let Some(rate) = limited.get(name) {
            api.limits.apps.insert(name.to_owned(), *rate);
        }
    }
}

/// An app that is reached where the API listens would be asked by itself, again and again.
pub(crate) fn leads_back(report: &mut Report<'_>, apps: &[App], api: Option<&Api>) {
    let Some(api) = api else { return };
    for app in apps {
        let Runs::Service(settings) = &app.runs else { continue };
        for group in &settings.groups {
            let key =
                group.version.as_deref().map_or_else(|| vec!["url"], |version| vec!["versions", version]);
            let path = at(&["apps", app.name.as_str()], &key);
            for (nth, uri) in group.upstreams.iter().enumerate() {
                let Some(own) = api.listen.iter().find(|own| is_at(uri, own)) else { continue };
                let nth = nth.to_string();
                let one = at(&path, &[&nth]);
                let place = if report.document.node(&one).is_some() { &one } else { &path };
                report
                    .value(place, format!("this leads back here: the API itself listens at {own}"))
                    .help("write the service's own address, or let one of the two listen at another port");
            }
        }
    }
}

/// Whether an address is that of a listener on this machine.
fn is_at(uri: &Uri, own: &SocketAddr) -> bool {
    let host = uri.host().unwrap_or_default();
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let reached = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => {
            ip == own.ip()
                || (here(ip) && here(own.ip()) && (ip.is_unspecified() || own.ip().is_unspecified()))
        }
        Err(_) => host.eq_ignore_ascii_case("localhost") && here(own.ip()),
    };
    reached && port_of(uri) == own.port()
}

#[cfg(test)]
mod tests;
