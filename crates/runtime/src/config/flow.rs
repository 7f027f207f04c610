//! Flows: apps joined by links, written as arrows (`a -> b -> c`, `a -> [b, c] -> d`) or as a list of links.
//!
//! Several lines or list items of arrows are one flow together. Nothing is checked here but the writing itself;
//! `check` compares the flows with the apps and with one another.

use super::decode::decode;
use super::gather::{Gather, RawGather};
use super::report::Report;
use handover_core::AppName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;

/// How one app hands over to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// By a file and its manifest.
    #[default]
    File,
    /// By rows of the ledger: each record is a delivery.
    Database,
    /// By HTTP: each delivery is posted to a service app.
    Api,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Database => "database",
            Self::Api => "api",
        })
    }
}

/// One step of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The app that hands over.
    pub from: AppName,
    /// The app that it hands over to.
    pub to: AppName,
    /// How.
    pub by: By,
    /// What pictures call it.
    pub label: Option<String>,
    /// How records are gathered into a file on it, where that is said.
    pub gather: Option<Gather>,
    /// The Table Schema by which the cells of a table become values where it is split into records, as it was written.
    pub cast: Option<PathBuf>,
}

/// Apps joined by links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its links, in the order they were written.
    pub links: Vec<Link>,
    apps: Vec<AppName>,
}

impl Flow {
    /// A flow of these links; `alone` are apps that stand in it without a link.
    pub fn new(
        name: impl Into<String>,
        description: Option<String>,
        links: Vec<Link>,
        alone: Vec<AppName>,
    ) -> Self {
        let mut apps = Vec::new();
        for app in links.iter().flat_map(|link| [&link.from, &link.to]).chain(&alone) {
            if !apps.contains(app) {
                apps.push(app.clone());
            }
        }
        Self { name: name.into(), description, links, apps }
    }

    /// A flow of links by file.
    #[cfg(test)]
    pub(crate) fn by_file(name: &str, links: &[(&str, &str)]) -> Self {
        let app = |name: &str| AppName::new(name).unwrap();
        let link = |(from, to): &(&str, &str)| Link {
            from: app(from),
            to: app(to),
            by: By::File,
            label: None,
            gather: None,
            cast: None,
        };
        Self::new(name, None, links.iter().map(link).collect(), Vec::new())
    }

    /// The apps of the flow, each once, in the order they were written.
    pub fn apps(&self) -> &[AppName] {
        &self.apps
    }

    /// The apps that no link of the flow leads to: it begins there.
    pub fn heads(&self) -> impl Iterator<Item = &AppName> {
        self.apps.iter().filter(|app| !self.links.iter().any(|link| link.to == **app))
    }
}

/// A link as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Link")]
pub(crate) struct RawLink {
    /// The app that hands over.
    pub(crate) from: String,
    /// The app that it hands over to.
    pub(crate) to: String,
    /// How: by api to a service app, by file to any other, unless said otherwise.
    #[serde(default)]
    pub(crate) by: Option<By>,
    /// What pictures call it.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// Of a link by file from an app that works on records: when what it made becomes a file.
    #[serde(default)]
    pub(crate) gather: Option<RawGather>,
    /// Of a link by database: a Table Schema (a path) by which the cells of a table become integers, numbers and booleans. By
    /// default all are texts.
    #[serde(default)]
    pub(crate) cast: Option<PathBuf>,
}

/// A flow as it is written with more than its links.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Flow")]
pub(crate) struct RawFlow {
    /// Arrows, or a list of arrows and links.
    #[schemars(with = "RawLinks")]
    pub(crate) links: Value,
    /// What the flow is for.
    #[serde(default)]
    pub(crate) description: Option<String>,
}

/// The links of a flow as they may be written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
#[schemars(rename = "Links")]
pub(crate) enum RawLinks {
    /// `a -> b -> c`, `a -> [b, c] -> d`; several lines are one flow together.
    Arrows(String),
    /// Arrows and links.
    List(Vec<RawItem>),
}

/// One item of a flow's list.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
#[schemars(rename = "Item")]
pub(crate) enum RawItem {
    /// `a -> b -> c`.
    Arrows(String),
    /// One link.
    Link(RawLink),
}

/// The flow below `flows:` as it may be written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
#[schemars(rename = "AnyFlow")]
pub(crate) enum AnyFlow {
    /// Arrows, or a list of arrows and links.
    Links(RawLinks),
    /// The links with a description.
    Full(RawFlow),
}

/// A flow with the places of its links.
pub(crate) struct ReadFlow {
    pub(crate) flow: Flow,
    /// Where each link was written: the path of its value.
    pub(crate) places: Vec<Vec<String>>,
    /// Where each app that stands alone was written.
    pub(crate) alone: Vec<(AppName, Vec<String>)>,
}

/// Reads the flow of this name; what is wrong with its writing goes to the report.
pub(crate) fn read(report: &mut Report<'_>, name: &str) -> Option<ReadFlow> {
    let path = ["flows", name];
    check_name(report, name);
    let mut reader = Reader { report, links: Vec::new(), places: Vec::new(), alone: Vec::new() };
    let value = reader.report.document.node(&path)?.to_value();
    let mut description = None;
    match value {
        Value::Object(_) => {
            let raw: RawFlow = decode(reader.report, &path)?;
            description = raw.description;
            reader.links(&raw.links, &["flows", name, "links"]);
        }
        value => reader.links(&value, &path),
    }
    let Reader { links, places, alone, .. } = reader;
    let names = alone.iter().map(|(app, _)| app.clone()).collect();
    Some(ReadFlow { flow: Flow::new(name, description, links, names), places, alone })
}

fn check_name(report: &mut Report<'_>, name: &str) {
    let fine = (1..=handover_core::limits::NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !fine {
        report
            .key(&["flows", name], format!("{name:?} is no name for a flow"))
            .help("use letters, digits, `-` and `_`, 64 of them at most");
    }
}

struct Reader<'r, 'a> {
    report: &'r mut Report<'a>,
    links: Vec<Link>,
    places: Vec<Vec<String>>,
    alone: Vec<(AppName, Vec<String>)>,
}

const EXAMPLE: &str = "write the apps with arrows between them: `a -> b -> c`, or `a -> [b, c] -> d`";

impl Reader<'_, '_> {
    fn links(&mut self, value: &Value, path: &[&str]) {
        match value {
            Value::String(text) => self.arrows(text, path),
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    let index = index.to_string();
                    let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
                    match item {
                        Value::String(text) => self.arrows(text, &path),
                        _ => self.link(&path),
                    }
                }
            }
            Value::Null | Value::Array(_) => self.wrong(path, "the flow is empty"),
            _ => self.wrong(path, "this is no flow"),
        }
    }

    fn wrong(&mut self, path: &[&str], message: &str) {
        self.report.value(path, message).help(EXAMPLE);
    }

    fn link(&mut self, path: &[&str]) {
        let Some(raw) = decode::<RawLink>(self.report, path) else { return };
        let from = self.name(&raw.from, &[path, &["from"]].concat());
        let to = self.name(&raw.to, &[path, &["to"]].concat());
        let gather = raw.gather.map(|raw| raw.checked(self.report, &[path, &["gather"]].concat()));
        if let (Some(from), Some(to)) = (from, to) {
            let by = raw.by.unwrap_or_else(|| self.usual(&to));
            self.push(Link { from, to, by, label: raw.label, gather, cast: raw.cast }, path);
        }
    }

    /// How it is handed to this app where nothing is said: a service app can be reached in one way alone.
    fn usual(&self, to: &AppName) -> By {
        let is_service = self.report.document.node(&["apps", to.as_str(), "url"]).is_some();
        if is_service { By::Api } else { By::File }
    }

    fn push(&mut self, link: Link, path: &[&str]) {
        self.links.push(link);
        self.places.push(path.iter().map(|&segment| segment.to_owned()).collect());
    }

    fn name(&mut self, word: &str, path: &[&str]) -> Option<AppName> {
        match AppName::new(word) {
            Ok(name) => Some(name),
            Err(error) => {
                self.report
                    .word(path, word, 0, error.to_string())
                    .maybe_help(error.hint_text().map(str::to_owned));
                None
            }
        }
    }

    /// `a -> [b, c] -> d`, on one line or several.
    fn arrows(&mut self, text: &str, path: &[&str]) {
        if text.trim().is_empty() {
            self.report.value(path, "the flow is empty").help(EXAMPLE);
        }
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut before: Vec<AppName> = Vec::new();
            let steps: Vec<&str> = line.split("->").collect();
            for step in &steps {
                let Some(group) = self.group(step.trim(), path) else { break };
                for from in &before {
                    for to in &group {
                        let link = Link {
                            from: from.clone(),
                            to: to.clone(),
                            by: self.usual(to),
                            label: None,
                            gather: None,
                            cast: None,
                        };
                        self.push(link, path);
                    }
                }
                if steps.len() == 1 {
                    let path: Vec<String> = path.iter().map(|&segment| segment.to_owned()).collect();
                    self.alone.extend(group.iter().map(|app| (app.clone(), path.clone())));
                }
                before = group;
            }
        }
    }

    /// One app, or `[b, c]`.
    fn group(&mut self, step: &str, path: &[&str]) -> Option<Vec<AppName>> {
        if step.is_empty() {
            self.report.word(path, "->", 0, "an app is missing beside an arrow").help(EXAMPLE);
            return None;
        }
        let inner = match (step.strip_prefix('['), step.ends_with(']')) {
            (Some(inner), true) => inner.trim_end_matches(']'),
            (None, false) => step,
            _ => {
                self.report.value(path, format!("a bracket is missing in `{step}`")).help(EXAMPLE);
                return None;
            }
        };
        let words: Vec<&str> =
            if step.starts_with('[') { inner.split(',').map(str::trim).collect() } else { vec![inner] };
        if let Some(word) = words.iter().find(|word| word.contains(char::is_whitespace)) {
            let message = format!("an arrow or a comma is missing in `{word}`");
            self.report.word(path, word, 0, message).help(EXAMPLE);
            return None;
        }
        let count = words.len();
        let names: Vec<AppName> = words.into_iter().filter_map(|word| self.name(word, path)).collect();
        (names.len() == count).then_some(names)
    }
}
