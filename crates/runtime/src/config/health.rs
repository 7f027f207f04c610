//! `health:` at the top of the file: what is too long.

use super::decode::decode;
use super::report::Report;
use handover_core::{limits, units};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// From when on a health check finds fault, and how often they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// A file that waits for so long is stuck.
    pub stuck: Duration,
    /// Records that wait for so long.
    pub records: Duration,
    /// An app that is paused for so long may have been forgotten.
    pub paused: Duration,
    /// A disk that fills up within so long.
    pub fills: Duration,
    /// How often `run` looks, to raise alerts.
    pub every: Duration,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self {
            stuck: Duration::from_millis(limits::STUCK_AFTER_MS),
            records: Duration::from_millis(limits::STUCK_AFTER_MS),
            paused: Duration::from_secs(86_400),
            fills: Duration::from_secs(7 * 86_400),
            every: Duration::from_secs(60),
        }
    }
}

/// `health:` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Health")]
pub(crate) struct RawHealthLimits {
    /// A file that waits for so long, in any folder, is stuck; by default 60min. An app may have its own `stuck_after`.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    stuck: Option<Duration>,
    /// Records that wait for so long are told of; by default 1h.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    records: Option<Duration>,
    /// An app that is paused for so long is told of; by default 1d.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    paused: Option<Duration>,
    /// A disk that fills up within so long, as it grew of late, is told of; by default 7d.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    fills: Option<Duration>,
    /// How often `run` looks at everything, to raise alerts and to tell; by default 60s.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    every: Option<Duration>,
}

/// Reads `health:`.
pub(crate) fn read(report: &mut Report<'_>) -> HealthLimits {
    let usual = HealthLimits::default();
    if report.document.node(&["health"]).is_none() {
        return usual;
    }
    let Some(raw) = decode::<RawHealthLimits>(report, &["health"]) else { return usual };
    for (key, given) in [
        ("stuck", raw.stuck),
        ("records", raw.records),
        ("paused", raw.paused),
        ("fills", raw.fills),
        ("every", raw.every),
    ] {
        if given.is_some_and(|given| given.is_zero()) {
            report
                .value(&["health", key], format!("`{key}` must be more than nothing"))
                .help("such as 60min");
        }
    }
    HealthLimits {
        stuck: raw.stuck.unwrap_or(usual.stuck),
        records: raw.records.unwrap_or(usual.records),
        paused: raw.paused.unwrap_or(usual.paused),
        fills: raw.fills.unwrap_or(usual.fills),
        every: raw.every.unwrap_or(usual.every),
    }
}
