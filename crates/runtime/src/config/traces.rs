//! `traces:`, where spans of deliveries are sent to.

use super::decode::decode;
use super::report::Report;
use super::settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where spans go by default on their endpoint.
const PATH: &str = "/v1/traces";

/// Where spans are sent to, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The address that takes OTLP over HTTP, with its path.
    pub endpoint: String,
    /// The share of traces begun here that is sent, 0 to 1.
    pub sample: f64,
    /// Headers of each request, such as a key.
    pub headers: Vec<(String, Secret)>,
    /// What this is called there.
    pub service_name: String,
}

/// `traces:` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Traces")]
pub(crate) struct RawTraces {
    /// The address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318.
    endpoint: String,
    /// The share of traces begun here that is sent, from 0 to 1; by default 1.
    sample: Option<f64>,
    /// Headers of each request, such as `{ authorization: "Bearer ${TRACES_KEY}" }`.
    headers: Option<BTreeMap<String, String>>,
    /// What this is called there; by default handover.
    service_name: Option<String>,
}

/// Reads `traces:`; what is wrong goes to the report.
pub(crate) fn read(report: &mut Report<'_>) -> Option<Traces> {
    report.document.node(&["traces"])?;
    let raw: RawTraces = decode(report, &["traces"])?;
    let endpoint = endpoint(report, &raw.endpoint);
    let sample = raw.sample.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&sample) {
        report
            .value(&["traces", "sample"], "`sample` must be 0 to 1")
            .help("1 is all traces, 0.1 each tenth");
    }
    let mut headers = Vec::new();
    for (name, value) in raw.headers.unwrap_or_default() {
        let is_header =
            http::HeaderName::try_from(&name).is_ok() && http::HeaderValue::try_from(&value).is_ok();
        if !is_header {
            report
                .key(&["traces", "headers", &name], format!("`{name}` and its value are no header"))
                .help("such as authorization: \"Bearer ${TRACES_KEY}\"");
        }
        headers.push((name, Secret::new(value)));
    }
    Some(Traces { endpoint, sample, headers, service_name: raw.service_name.unwrap_or("handover".into()) })
}

fn endpoint(report: &mut Report<'_>, text: &str) -> String {
    let uri = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    let Some(uri) = uri else {
        report
            .value(&["traces", "endpoint"], format!("`{text}` is no address of a collector"))
            .help("such as http://127.0.0.1:4318, where it takes OTLP over HTTP");
        return text.to_owned();
    };
    match uri.path() {
        "" | "/" => format!("{}{PATH}", text.trim_end_matches('/')),
        _ => text.to_owned(),
    }
}
