//! `api: { oauth: … }`: whose access tokens are taken, and what their scopes mean here.
//!
//! Invariant: keys are fetched from nowhere but an https address, or this machine.

use crate::config::one_or_many::OneOrMany;
use crate::config::report::{Report, did_you_mean};
use handover_core::{limits, units};
use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// The algorithms by which a token may be signed: those with a public key.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// Our scopes.
const SCOPES: [&str; 4] = ["read", "submit", "operate", "admin"];

/// Whose access tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// Who issues them: their `iss`, exactly.
    pub issuer: String,
    /// For whom they must be: one of these is in their `aud`.
    pub audience: Vec<String>,
    /// Each of our scopes, with the provider's words that mean it.
    pub scopes: Vec<(&'static str, Vec<String>)>,
    /// The claim with the apps that a token is for; without it a token is for all.
    pub apps_claim: Option<String>,
    /// Where the keys are; where it is not said, the provider's own document says it.
    pub jwks: Option<Uri>,
    /// By which algorithms they may be signed.
    pub algorithms: Vec<String>,
    /// So far the provider's clock and ours may be apart.
    pub leeway: Duration,
    /// So long keys serve that could not be fetched anew.
    pub stale: Duration,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiOAuth")]
pub(super) struct RawOAuth {
    /// Who issues the tokens, as it stands in their `iss`: https://login.example.com/realms/shop.
    issuer: String,
    /// For whom a token must be: what must be in its `aud`; of several, one.
    audience: OneOrMany,
    /// Which of the provider's scopes mean ours; by default handover:read, handover:submit, handover:operate, handover:admin.
    scopes: Option<RawScopes>,
    /// The claim with the apps that a token is for, a list or words with spaces between; a token without it is for none.
    apps_claim: Option<String>,
    /// Where the provider's keys are; by default the provider's discovery document says it.
    jwks: Option<String>,
    /// By which algorithms a token may be signed; by default RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
    algorithms: Option<OneOrMany>,
    /// So far the provider's clock and ours may be apart; by default 30s, at most 5m.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    leeway: Option<Duration>,
    /// So long the keys that are known serve while the provider cannot be reached; by default 1d.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    stale: Option<Duration>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiOAuthScopes")]
struct RawScopes {
    /// See apps, jobs, deliveries, and fetch files.
    read: Option<OneOrMany>,
    /// Submit jobs, push and pull records, upload files.
    submit: Option<OneOrMany>,
    /// Cancel, retry, replay.
    operate: Option<OneOrMany>,
    /// All of it.
    admin: Option<OneOrMany>,
}

/// Reads it; what is wrong goes to the report.
pub(super) fn read(report: &mut Report<'_>, raw: RawOAuth) -> Option<OAuth> {
    let issuer = address(report, "issuer", &raw.issuer);
    let jwks = raw.jwks.as_deref().map(|text| address(report, "jwks", text));
    let audience = raw.audience.list();
    if audience.is_empty() || audience.iter().any(String::is_empty) {
        report
            .value(&["api", "oauth", "audience"], "`audience` names nobody: any token of the issuer would do")
            .help("write the name under which the provider knows this API, such as handover");
    }
    if raw.apps_claim.as_deref().is_some_and(str::is_empty) {
        report.value(&["api", "oauth", "apps_claim"], "`apps_claim` is the name of a claim, such as apps");
    }
    let leeway = raw.leeway.unwrap_or(Duration::from_millis(limits::API_TOKEN_LEEWAY_MS));
    if leeway > Duration::from_millis(limits::API_TOKEN_LEEWAY_MAX_MS) {
        report
            .value(&["api", "oauth", "leeway"], "`leeway` is at most 5m: tokens that have ended would go on")
            .help("set the clocks of both machines by NTP");
    }
    if raw.stale.is_some_and(|stale| stale.is_zero()) {
        report
            .value(&["api", "oauth", "stale"], "`stale` must be more than nothing: no key would ever serve")
            .help("such as 1d, the default: so long an outage of the provider is not noticed");
    }
    let oauth = OAuth {
        issuer: raw.issuer,
        audience,
        scopes: scopes(report, raw.scopes),
        apps_claim: raw.apps_claim,
        jwks: jwks.clone().flatten(),
        algorithms: raw.algorithms.map_or_else(usual_algorithms, |given| algorithms(report, &given.list())),
        leeway,
        stale: raw.stale.unwrap_or(Duration::from_millis(limits::API_TOKEN_KEYS_STALE_MS)),
    };
    issuer.is_some().then_some(oauth)
}

/// An address from which keys may come.
fn address(report: &mut Report<'_>, key: &str, text: &str) -> Option<Uri> {
    let path = ["api", "oauth", key];
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let Some(uri) = uri.filter(|uri| !text.contains('#') && (key == "jwks" || uri.query().is_none())) else {
        report
            .value(&path, format!("`{text}` is no address of a provider"))
            .help("such as https://login.example.com/realms/shop");
        return None;
    };
    let here = |host: &str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match uri.scheme_str() {
        Some("https") => Some(uri),
        Some("http") if uri.host().is_some_and(here) => Some(uri),
        _ => {
            report
                .value(&path, format!("`{text}` would have keys fetched in the clear: whoever is on the way could put in others"))
                .help("write https://; http:// is for this machine alone (127.0.0.1)");
            None
        }
    }
}

fn usual_algorithms() -> Vec<String> {
    ALGORITHMS.map(str::to_owned).to_vec()
}

fn algorithms(report: &mut Report<'_>, given: &[String]) -> Vec<String> {
    let path = ["api", "oauth", "algorithms"];
    if given.is_empty() {
        report.value(&path, "`algorithms` names none: no token would do").help("leave it out, or name some");
    }
    for name in given.iter().filter(|name| !ALGORITHMS.contains(&name.as_str())) {
        let why = match name.as_str() {
            "none" => "`none` is no signature: anyone could make such a token".to_owned(),
            shared if shared.starts_with("HS") => {
                format!(
                    "`{shared}` is signed with a secret that whoever checks it has too: it is never taken"
                )
            }
            _ => format!("`{name}` is no algorithm that is known here"),
        };
        let hint = did_you_mean(name, ALGORITHMS);
        report
            .word(&path, name, 0, why)
            .maybe_help(hint.or_else(|| Some(format!("the algorithms are {}", ALGORITHMS.join(", ")))));
    }
    given.to_vec()
}

fn scopes(report: &mut Report<'_>, raw: Option<RawScopes>) -> Vec<(&'static str, Vec<String>)> {
    let Some(RawScopes { read, submit, operate, admin }) = raw else {
        return SCOPES.map(|ours| (ours, vec![format!("handover:{ours}")])).to_vec();
    };
    let mut all = Vec::new();
    for (ours, theirs) in SCOPES.into_iter().zip([read, submit, operate, admin]) {
        let theirs = theirs.map(|theirs| theirs.list()).unwrap_or_default();
        for word in &theirs {
            let fine = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
            if word.is_empty() || !word.bytes().all(fine) {
                report
                    .value(&["api", "oauth", "scopes", ours], format!("`{word}` is no scope of a provider"))
                    .help("one word; several are a list: [jobs.write, jobs.all]");
            }
        }
        if !theirs.is_empty() {
            all.push((ours, theirs));
        }
    }
    if all.is_empty() {
        report
            .value(
                &["api", "oauth", "scopes"],
                "`scopes` gives no scope a meaning: no token could do anything",
            )
            .help("such as { read: jobs.read, submit: jobs.write }; or leave it out");
    }
    all
}
