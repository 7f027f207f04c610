//! `notify:` at the top of the file: who is told, of what, and how.

use super::decode::decode;
use super::report::Report;
use super::service::{RawTls, tls_files};
use super::settings::Secret;
use super::yaml::Body;
use handover_core::units;
use handover_ledger::AlertKind;
use handover_service::TlsFiles;
use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Who is told, of what and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyTarget {
    /// Its name: as given, or what it is and, where there are several, which.
    pub name: String,
    /// How it is told.
    pub to: NotifyTo,
    /// The kinds of alerts that it is told of.
    pub kinds: Vec<AlertKind>,
    /// Whether it is told that something has ended.
    pub recovered: bool,
    /// What is to be told waits so long for more.
    pub group: Duration,
    /// Of one thing it is told no more often than once in this time.
    pub throttle: Duration,
    /// Where a person looks further, such as the address of the dashboard.
    pub link: Option<String>,
    /// What its connection is encrypted with; mail is then told by TLS alone.
    pub tls: Option<TlsFiles>,
}

/// How a target is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyTo {
    /// A command gets a line of JSON on its stdin.
    Command(String),
    /// JSON of our own is posted there.
    Webhook {
        /// Where.
        url: Secret,
        /// Headers that go with it.
        headers: Vec<(String, Secret)>,
        /// The secret by which it is signed.
        secret: Option<Secret>,
    },
    /// A message for Slack, or whoever takes the same, is posted there.
    Slack(Secret),
    /// An Adaptive Card for Teams is posted there.
    Teams(Secret),
    /// A mail.
    Smtp {
        /// The server: smtp:// (with STARTTLS where it can, or must), or smtps://.
        server: Secret,
        /// Who it is from.
        from: String,
        /// To whom it goes.
        to: Vec<String>,
    },
}

/// A target as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Notify")]
pub(crate) struct RawTarget {
    /// A command that gets each message as a line of JSON on its stdin.
    command: Option<String>,
    /// An address that each message is posted to as JSON.
    webhook: Option<String>,
    /// An incoming webhook of Slack, or of whoever takes the same (Mattermost, Rocket.Chat, Discord with /slack).
    slack: Option<String>,
    /// A webhook of a Teams workflow, which takes an Adaptive Card.
    teams: Option<String>,
    /// A mail server: smtp://user:password@host:587 (with STARTTLS, which a server elsewhere must offer where there is a password),
    /// or smtps://…
    smtp: Option<String>,
    /// Of a mail: who it is from.
    from: Option<String>,
    /// Of a mail: to whom it goes.
    to: Option<super::one_or_many::OneOrMany>,
    /// Of a webhook: headers that go with it.
    headers: Option<BTreeMap<String, String>>,
    /// Of a webhook: a secret by which it is signed (Standard Webhooks: whsec_ and base64).
    secret: Option<String>,
    /// What the connection is encrypted with, where that is more than the system's certificates, for all but a command. With it a
    /// mail server must offer TLS.
    tls: Option<RawTls>,
    /// Its name, where there are several of a kind.
    name: Option<String>,
    /// What it is told of: failed, quarantined, stuck, late, health, recovered; by default all.
    on: Option<Vec<On>>,
    /// What is to be told waits so long for more, to be one message; by default 1m.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    group: Option<Duration>,
    /// Of one thing it is told no more often than once in this time; by default 1h.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    throttle: Option<Duration>,
    /// Where a person looks further: the address of the dashboard, such as https://handover.example.com
    link: Option<String>,
}

/// What a target may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum On {
    /// Deliveries that failed.
    Failed,
    /// Bad data in quarantine.
    Quarantined,
    /// What waits too long.
    Stuck,
    /// What is expected and late, missing, too small, too old, or the same as before.
    Late,
    /// Any other health check.
    Health,
    /// That what was told of has ended.
    Recovered,
}

impl On {
    fn kinds(self) -> &'static [AlertKind] {
        match self {
            Self::Failed => &[AlertKind::Failed],
            Self::Quarantined => &[AlertKind::Quarantined],
            Self::Stuck => &[AlertKind::Stuck],
            Self::Late => {
                &[AlertKind::Late, AlertKind::Missing, AlertKind::Small, AlertKind::Same, AlertKind::Old]
            }
            Self::Health => &[AlertKind::Health],
            Self::Recovered => &[],
        }
    }
}

/// Who is told: the command of `notify: COMMAND`, told of each failure by itself, or a list of targets.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "for the schema: what is written is read by its shape")]
#[schemars(rename = "AnyNotify")]
pub(crate) enum AnyNotify {
    /// A command that gets a line of JSON on its stdin for each failed delivery and each quarantined file.
    Command(String),
    /// One or more who are told.
    Targets(Vec<RawTarget>),
}

/// Reads `notify:` as it is written: a command, or targets.
pub(crate) fn notify(
    report: &mut Report<'_>,
    given: Option<&Value>,
    base: &Path,
) -> (Option<String>, Vec<NotifyTarget>) {
    match given {
        None => (None, Vec::new()),
        Some(Value::String(command)) => (command_at(report, &["notify"], command), Vec::new()),
        Some(_) => (None, targets(report, base)),
    }
}

/// A command, checked for being one.
fn command_at(report: &mut Report<'_>, path: &[&str], text: &str) -> Option<String> {
    if let Err(error) = super::command::Program::new(text, false) {
        report
            .value(path, format!("this cannot be run: {error}"))
            .maybe_help(error.hint_text().map(str::to_owned));
    }
    Some(text.to_owned())
}

fn targets(report: &mut Report<'_>, base: &Path) -> Vec<NotifyTarget> {
    let Some(node) = report.document.node(&["notify"]) else { return Vec::new() };
    let Body::List(items) = &node.body else {
        report
            .value(&["notify"], "`notify` must be a command, or a list of who is told")
            .help("such as `notify: [ { slack: \"https://hooks.slack.com/…\" } ]`");
        return Vec::new();
    };
    let mut targets: Vec<NotifyTarget> = Vec::new();
    for nth in 0..items.len() {
        let nth = nth.to_string();
        let Some(mut target) = target(report, &["notify", &nth], base) else { continue };
        let base = target.name.clone();
        let mut number = 1;
        while targets.iter().any(|other| other.name == target.name) {
            number += 1;
            target.name = format!("{base}-{number}");
        }
        targets.push(target);
    }
    targets
}

const KINDS: [&str; 5] = ["command", "webhook", "slack", "teams", "smtp"];

fn target(report: &mut Report<'_>, path: &[&str], base: &Path) -> Option<NotifyTarget> {
    let at = |key: &'static str| [path, &[key]].concat();
    let raw: RawTarget = decode(report, path)?;
    let given = [&raw.command, &raw.webhook, &raw.slack, &raw.teams, &raw.smtp];
    let said: Vec<(&str, &String)> =
        KINDS.into_iter().zip(given).filter_map(|(kind, given)| Some((kind, given.as_ref()?))).collect();
    let [(kind, place)] = said[..] else {
        let message =
            if said.is_empty() { "this does not say who is told" } else { "this names more than one" };
        report.key(path, message).help("write one of `command`, `webhook`, `slack`, `teams`, `smtp`");
        return None;
    };
    only_with(report, path, kind, &raw);
    let tls = raw.tls.as_ref().map(|tls| {
        if place.starts_with("http://") {
            report
                .key(&at("tls"), format!("`tls` goes with an https:// address, and `{kind}` has another"))
                .help("write https://, or remove it");
        }
        tls_files(report, &at("tls"), tls, base)
    });
    let to = match kind {
        "command" => NotifyTo::Command(command_at(report, &at("command"), place)?),
        "webhook" => NotifyTo::Webhook {
            url: address(report, &at("webhook"), place)?,
            headers: headers(report, &at("headers"), raw.headers.unwrap_or_default()),
            secret: raw.secret.map(Secret::new),
        },
        "slack" => NotifyTo::Slack(address(report, &at("slack"), place)?),
        "teams" => NotifyTo::Teams(address(report, &at("teams"), place)?),
        _ => NotifyTo::Smtp {
            server: server(report, &at("smtp"), place)?,
            from: mailbox(report, &at("smtp"), &at("from"), raw.from.as_deref())?,
            to: recipients(report, path, raw.to.as_ref())?,
        },
    };
    let all = [On::Failed, On::Quarantined, On::Stuck, On::Late, On::Health, On::Recovered];
    let on = raw.on.unwrap_or_else(|| all.to_vec());
    if on.iter().all(|on| *on == On::Recovered) {
        report
            .value(&at("on"), "it is told of nothing: what has ended is told only to whom it was told")
            .help("name one or more of failed, quarantined, stuck, late and health too");
    }
    Some(NotifyTarget {
        name: raw.name.unwrap_or_else(|| kind.to_owned()),
        to,
        kinds: on.iter().flat_map(|on| on.kinds()).copied().collect(),
        recovered: on.contains(&On::Recovered),
        group: raw.group.unwrap_or(Duration::from_secs(60)),
        throttle: raw.throttle.unwrap_or(Duration::from_secs(3600)),
        link: raw.link,
        tls,
    })
}

/// Keys that go with one kind of target alone.
fn only_with(report: &mut Report<'_>, path: &[&str], kind: &str, raw: &RawTarget) {
    if raw.tls.is_some() && kind == "command" {
        report
            .key(&[path, &["tls"]].concat(), "`tls` goes with an address")
            .help("remove it: this is a `command`");
    }
    let said = [
        ("from", "smtp", raw.from.is_some()),
        ("to", "smtp", raw.to.is_some()),
        ("headers", "webhook", raw.headers.is_some()),
        ("secret", "webhook", raw.secret.is_some()),
    ];
    for (key, with, _) in said.into_iter().filter(|(_, with, there)| *there && *with != kind) {
        report
            .key(&[path, &[key]].concat(), format!("`{key}` goes with `{with}`"))
            .help(format!("remove it: this is a `{kind}`"));
    }
}

fn address(report: &mut Report<'_>, path: &[&str], text: &str) -> Option<Secret> {
    let uri: Option<Uri> = text.parse().ok();
    let fine =
        uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if !fine {
        report.value(path, "this is no address").help("write http:// or https://, a host and a path");
    }
    fine.then(|| Secret::new(text.to_owned()))
}

fn headers(report: &mut Report<'_>, path: &[&str], given: BTreeMap<String, String>) -> Vec<(String, Secret)> {
    for (name, value) in &given {
        let name_fine = http::HeaderName::try_from(name.as_str()).is_ok();
        if !name_fine || http::HeaderValue::try_from(value.as_str()).is_err() {
            report.key(&[path, &[name.as_str()]].concat(), "this is no header").help("such as X-Token: abc");
        }
    }
    given.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}

fn server(report: &mut Report<'_>, path: &[&str], text: &str) -> Option<Secret> {
    if let Err(error) = crate::notices::SmtpServer::parse(text) {
        report.value(path, error).help("write smtp://user:password@host:587, or smtps://user:password@host");
        return None;
    }
    Some(Secret::new(text.to_owned()))
}

fn mailbox(report: &mut Report<'_>, owner: &[&str], path: &[&str], given: Option<&str>) -> Option<String> {
    let Some(text) = given else {
        report.key(owner, "a mail needs `from` and `to`").help("such as `from: handover@example.com`");
        return None;
    };
    let fine = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;\"()".contains(&byte));
    if !fine {
        report.value(path, format!("{text:?} is no mail address")).help("such as ops@example.com");
    }
    fine.then(|| text.to_owned())
}

fn recipients(
    report: &mut Report<'_>,
    path: &[&str],
    given: Option<&super::one_or_many::OneOrMany>,
) -> Option<Vec<String>> {
    let (owner, at) = ([path, &["smtp"]].concat(), [path, &["to"]].concat());
    match given.map(super::one_or_many::OneOrMany::list).filter(|list| !list.is_empty()) {
        None => mailbox(report, &owner, &at, None).map(|one| vec![one]),
        Some(list) => list.iter().map(|one| mailbox(report, &owner, &at, Some(one))).collect(),
    }
}
