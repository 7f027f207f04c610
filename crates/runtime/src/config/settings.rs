//! What stands at the top of the file beside the apps and flows.

use super::report::{Report, did_you_mean};
use handover_core::{limits, units};
use jiff::tz::{self, TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerAddress {
    /// An embedded one, in this file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server, which machines share.
    Postgres(Secret),
}

impl LedgerAddress {
    /// The server that this text names, if it names one.
    fn server(text: &str) -> Option<Self> {
        let is_server = text.starts_with("postgres://") || text.starts_with("postgresql://");
        is_server.then(|| Self::Postgres(Secret(text.to_owned())))
    }

    /// The ledger that this text names, as `ledger:` does; a path is relative to the current folder.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for another kind of address, or none.
    pub fn named(text: &str) -> handover_core::Result<Self> {
        if let Some(server) = Self::server(text) {
            return Ok(server);
        }
        match text.split_once("://") {
            None if !text.trim().is_empty() => Ok(Self::Sqlite(PathBuf::from(text))),
            _ => Err(handover_core::Error::config("this names no ledger")
                .on(text.split_once("://").map_or(text, |(scheme, _)| scheme))
                .hint(
                    "write a path, such as data/.handover/ledger.db, or postgres://user:password@host/database, in which \
                     characters such as @ : / in a password are written as %40 %3A %2F",
                )),
        }
    }
}

/// When and how completed deliveries are archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// So long after it ended a delivery is archived; none is only by command.
    pub after: Option<Duration>,
    /// Whether files are compressed.
    pub compress: bool,
    /// So long after it was completed a record is archived.
    pub records_completed: Duration,
    /// So long after it failed a record is archived.
    pub records_failed: Duration,
    /// So long after it was archived anything is deleted for good; none is never.
    pub keep: Option<Duration>,
}

impl Archive {
    pub(crate) fn read(raw: &RawArchive) -> Self {
        let (usual, records) = (Self::default(), raw.records.as_ref());
        Self {
            after: raw.after,
            compress: raw.compress.unwrap_or(usual.compress),
            records_completed: records.and_then(|r| r.completed).unwrap_or(usual.records_completed),
            records_failed: records.and_then(|r| r.failed).unwrap_or(usual.records_failed),
            keep: raw.keep,
        }
    }
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            after: None,
            compress: true,
            records_completed: Duration::from_millis(limits::RECORDS_COMPLETED_KEPT_MS),
            records_failed: Duration::from_millis(limits::RECORDS_FAILED_KEPT_MS),
            keep: None,
        }
    }
}

/// The whole file as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "handover.yaml")]
pub(crate) struct RawConfig {
    /// The data directory; by default ./data beside this file.
    pub(crate) data: Option<String>,
    /// The ledger: a file, by default .handover/ledger.db in the data directory, or postgres://…
    pub(crate) ledger: Option<String>,
    /// The apps by name.
    #[schemars(with = "BTreeMap<String, super::app::RawApp>")]
    pub(crate) apps: Option<Value>,
    /// The flows by name.
    #[schemars(with = "Option<BTreeMap<String, super::flow::AnyFlow>>")]
    #[allow(dead_code, reason = "flows are read one by one; this is for the schema and the known keys")]
    pub(crate) flows: Option<Value>,
    /// What listens on the network.
    #[schemars(with = "Option<super::api::RawApi>")]
    #[allow(dead_code, reason = "it is read by itself; this is for the schema and the known keys")]
    pub(crate) api: Option<Value>,
    /// How long a claim lasts unless it is renewed, such as 60s.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) lease: Option<Duration>,
    /// The time zone of dates in file names and of schedules; by default UTC.
    pub(crate) timezone: Option<String>,
    /// Whether the ledger's tables are brought up to date at start; by default true.
    pub(crate) migrate: Option<bool>,
    /// Who is told: a command that gets a line of JSON on its stdin when a delivery fails or a file is quarantined, or a list of
    /// commands, webhooks, Slack, Teams and mail addresses.
    #[schemars(with = "Option<super::watch::AnyNotify>")]
    pub(crate) notify: Option<Value>,
    /// From when on a health check finds fault, and how often `run` looks.
    #[schemars(with = "Option<super::health::RawHealthLimits>")]
    #[allow(dead_code, reason = "it is read by itself; this is for the schema and the known keys")]
    pub(crate) health: Option<Value>,
    /// When and how completed deliveries are archived.
    pub(crate) archive: Option<RawArchive>,
    /// Whether rows, bytes and latencies are counted, which the pages and /metrics show; by default true.
    pub(crate) metrics: Option<bool>,
    /// Where spans of deliveries are sent to (OpenTelemetry); without it, nowhere.
    #[schemars(with = "Option<super::traces::RawTraces>")]
    #[allow(dead_code, reason = "it is read by itself; this is for the schema and the known keys")]
    pub(crate) traces: Option<Value>,
    /// What becomes of records for an app that is not declared here: refuse (the default) or accept.
    pub(crate) unknown_apps: Option<UnknownApps>,
}

/// What becomes of records for an app that the configuration does not declare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownApps {
    /// They are refused, with the nearest name that there is.
    #[default]
    Refuse,
    /// They are taken: whoever pulls them or claims them by SQL need not be declared.
    Accept,
}

/// `archive:` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Archive")]
pub(crate) struct RawArchive {
    /// So long after it ended a delivery is archived, such as 30d; without it only by command.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) after: Option<Duration>,
    /// Whether files are compressed; by default true.
    pub(crate) compress: Option<bool>,
    /// When records are archived, which are rows of data_staging and no files.
    pub(crate) records: Option<RawRecords>,
    /// So long after it was archived anything is deleted for good from the ledger, such as 365d; by default never.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) keep: Option<Duration>,
}

/// `archive: { records: … }` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ArchiveRecords")]
pub(crate) struct RawRecords {
    /// So long after it was completed a record is archived; by default 7d.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) completed: Option<Duration>,
    /// So long after it failed a record is archived; by default 30d.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) failed: Option<Duration>,
}

/// The time zone of this name.
pub(crate) fn timezone(report: &mut Report<'_>, path: &[&str], name: &str) -> Option<TimeZone> {
    if ["UTC", "utc", "Etc/UTC", "Z"].contains(&name) {
        return Some(TimeZone::UTC);
    }
    if let Ok(zone) = TimeZone::get(name) {
        return Some(zone);
    }
    let known: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    let hint = if known.is_empty() {
        "this machine has no time zone database: install tzdata, or use UTC".to_owned()
    } else {
        let near =
            did_you_mean(name, known.iter().map(String::as_str)).filter(|hint| hint.starts_with("did"));
        near.unwrap_or_else(|| "use a name of the IANA database, such as UTC or Europe/Berlin".to_owned())
    };
    report.value(path, format!("`{name}` is no time zone")).help(hint);
    None
}

/// The ledger's address.
pub(crate) fn ledger(
    report: &mut Report<'_>,
    base: &Path,
    data: &Path,
    given: Option<&str>,
) -> LedgerAddress {
    let default = || LedgerAddress::Sqlite(data.join(".handover").join("ledger.db"));
    let Some(text) = given else { return default() };
    if let Some(server) = LedgerAddress::server(text) {
        return server;
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let hint = "write a path, or postgres://user:password@host/database, in which characters such as @ : / in a \
                    password are written as %40 %3A %2F";
        report.value(&["ledger"], format!("there is no ledger of the kind `{scheme}://`")).help(hint);
        return default();
    }
    if text.trim().is_empty() {
        report.value(&["ledger"], "`ledger` is empty").help("remove it for data/.handover/ledger.db");
        return default();
    }
    LedgerAddress::Sqlite(base.join(text))
}

/// The lease, within bounds in which renewing works.
pub(crate) fn lease(report: &mut Report<'_>, given: Option<Duration>) -> Duration {
    let lease = given.unwrap_or(Duration::from_millis(handover_core::limits::LEASE_DEFAULT_MS));
    if lease < Duration::from_secs(1) || lease > Duration::from_secs(86_400) {
        report
            .value(&["lease"], "`lease` must be 1s to 1d")
            .help("60s is a good length: a living worker renews it");
    }
    lease
}
