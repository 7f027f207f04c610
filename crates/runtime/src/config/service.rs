//! Service apps: `url:` and what goes with it.

use super::app::RawApp;
use super::report::Report;
use handover_core::limits;
use handover_service::{Group, Settings};
use http::Uri;
use std::time::Duration;

/// Reads what is declared of a service app.
pub(crate) fn read(report: &mut Report<'_>, path: &[&str], raw: &RawApp) -> Option<Settings> {
    let name = path.last().copied().unwrap_or_default();
    let url = raw.url.as_deref()?;
    let upstream = url.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    let Some(upstream) = upstream else {
        let at: Vec<&str> = path.iter().copied().chain(["url"]).collect();
        report.value(&at, "an address begins with http:// or https://");
        return None;
    };
    Some(Settings {
        name: name.to_owned(),
        groups: vec![Group { version: None, upstreams: vec![upstream] }],
        timeout: raw.timeout.unwrap_or(Duration::from_millis(limits::TIMEOUT_DEFAULT_MS)),
        retries: raw.retries.unwrap_or(limits::RETRIES_DEFAULT),
        openapi: raw.openapi.clone(),
    })
}
