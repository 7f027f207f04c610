//! From a file to a [`Config`]: read, parse, fill in the environment, decode, check.
//!
//! Invariants: no file makes this panic or use much memory (its size, depth and number of values have limits);
//! the configuration is either complete and checked, or an error with all that was found.

use super::app::{self, App, Around};
use super::environment::{Lookup, fill};
use super::error::{ConfigError, Problem, Severity};
use super::flow::{self, ReadFlow};
use super::report::{Document, Report};
use super::settings::{self, Archive, RawConfig, UnknownApps};
use super::{Config, api, check, decode, health, service, traces, watch, yaml};
use handover_core::{limits::CONFIG_MAX_BYTES, path_text};
use jiff::tz::TimeZone;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the configuration file.
pub const FILE_NAME: &str = "handover.yaml";

impl Config {
    /// Reads the configuration in this file, or in this folder under its usual name.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place; or that there is none.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, &|name| std::env::var_os(name))
    }

    /// The same with variables from elsewhere than the process's environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(path: &Path, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        let text = read(&file).map_err(|problem| ConfigError::whole(shown(&file), *problem))?;
        Self::from_text(&text, &file, lookup)
    }

    /// Reads the configuration in `text`; relative paths in it are relative to the folder of `file`.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn from_text(text: &str, file: &Path, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let fail = |problems| ConfigError::new(shown(file), text, problems);
        let root = yaml::parse(text).map_err(|problem| fail(vec![*problem]))?;
        match &root.body {
            yaml::Body::Scalar { value, .. } if value.is_null() => return Err(fail(vec![yaml::empty()])),
            yaml::Body::Map(entries) if entries.is_empty() => return Err(fail(vec![yaml::empty()])),
            yaml::Body::Map(_) => {}
            _ => {
                let mut problem = Problem::whole("a configuration is a mapping of keys to values")
                    .hint("begin with `apps:`; `handover init` writes an example");
                (problem.line, problem.column) = (root.at.line, root.at.column);
                return Err(fail(vec![problem]));
            }
        }
        let mut document = Document { root, text: text.to_owned(), secrets: Vec::new() };
        let unset = fill(&mut document, lookup);
        let document = Arc::new(document);
        let mut report = Report::new(&document);
        report.problems = unset;
        let config = build(&mut report, &document, file);
        let problems = report.problems;
        match config {
            Some(mut config) if !problems.iter().any(|problem| problem.severity == Severity::Error) => {
                config.notices.extend(problems);
                config.notices.sort_by_key(|notice| (notice.line, notice.column));
                Ok(config)
            }
            _ => {
                // Beside an error, what is only worth saying is noise, and may be a consequence of it.
                let errors = problems.into_iter().filter(|problem| problem.severity == Severity::Error);
                Err(fail(errors.collect()))
            }
        }
    }
}

/// The file's name as it is shown: without `./`, control characters made visible.
pub(super) fn shown(file: &Path) -> String {
    path_text::to_text(file.strip_prefix("./").unwrap_or(file))
}

fn read(file: &Path) -> Result<String, Box<Problem>> {
    let opened = std::fs::File::open(file).and_then(|opened| {
        let is_folder = opened.metadata()?.is_dir();
        if is_folder { Err(std::io::Error::from(std::io::ErrorKind::IsADirectory)) } else { Ok(opened) }
    });
    let opened = opened.map_err(|error| Box::new(unreadable(file, &error)))?;
    let mut bytes = Vec::new();
    opened
        .take(CONFIG_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Box::new(unreadable(file, &error)))?;
    if bytes.len() as u64 > CONFIG_MAX_BYTES {
        let most = CONFIG_MAX_BYTES / (1024 * 1024);
        let large = Problem::whole(format!("the file is larger than {most} MiB"));
        return Err(large.hint("is this the right file?").into());
    }
    String::from_utf8(bytes).map_err(|error| Box::new(not_utf8(&error)))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    if error.kind() != std::io::ErrorKind::NotFound {
        return Problem::whole(format!("the file cannot be read: {error}"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_usual = file.file_name().is_some_and(|name| name == FILE_NAME);
    let place =
        folder.map_or_else(|| "here".to_owned(), |folder| format!("in {}", path_text::to_text(folder)));
    if is_usual && folder.is_none_or(Path::is_dir) {
        return Problem::whole(format!("there is no {FILE_NAME} {place}"))
            .hint("`handover init` makes one, `handover demo` shows a whole example");
    }
    Problem::whole("there is no such file").hint("check the path")
}

fn not_utf8(error: &std::string::FromUtf8Error) -> Problem {
    let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let byte = error.as_bytes().get(before.len()).copied().unwrap_or_default();
    if error.as_bytes().starts_with(&[0xff, 0xfe]) || error.as_bytes().starts_with(&[0xfe, 0xff]) {
        return Problem::whole("the file is UTF-16 text").hint("save it as UTF-8");
    }
    Problem::whole(format!("the file is not UTF-8 text: line {line} holds the byte 0x{byte:02x}"))
        .hint("save it as UTF-8")
}

fn build(report: &mut Report<'_>, document: &Arc<Document>, file: &Path) -> Option<Config> {
    let raw: RawConfig = decode::decode_what_is_right(report, &[])?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let data = data(report, &base, raw.data.as_deref());
    let ledger = settings::ledger(report, &base, &data, raw.ledger.as_deref());
    let timezone = match raw.timezone.as_deref() {
        Some(name) => settings::timezone(report, &["timezone"], name).unwrap_or(TimeZone::UTC),
        None => TimeZone::UTC,
    };
    let lease = settings::lease(report, raw.lease);
    let traces = traces::read(report);
    let (notify, targets) = watch::notify(report, raw.notify.as_ref(), &base);
    let health = health::read(report);
    let archive = raw.archive.as_ref().map_or_else(Archive::default, Archive::read);
    let unknown_apps = raw.unknown_apps.unwrap_or_default();
    let declared = keys(report, "apps", "declare at least one app, such as `copy: { run: cat }`");
    if declared.is_none() && raw.apps.is_none() && unknown_apps == UnknownApps::Refuse {
        report
            .key(&[], "there are no `apps:`")
            .help("declare at least one, such as `apps: { copy: { run: cat } }`");
    }
    let declared = declared.unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let around = Around { base: &base, zone: &timezone, cores };
    let apps: Vec<App> = declared.iter().filter_map(|name| app::read(report, name, &around)).collect();
    let names = keys(report, "flows", "write at least one, such as `sales: a -> b -> c`").unwrap_or_default();
    let flows: Vec<ReadFlow> = names.iter().filter_map(|name| flow::read(report, name)).collect();
    check::flows(report, &apps, &declared, &flows);
    check::apps(report, &apps, &base, &data);
    let mut api = api::read(report, &base, &declared);
    service::limits_of(report, &apps, api.as_mut());
    service::leads_back(report, &apps, api.as_ref());
    Some(Config {
        file: file.to_owned(),
        base,
        data,
        ledger,
        timezone,
        lease,
        migrate: raw.migrate.unwrap_or(true),
        notify,
        targets,
        health,
        archive,
        metrics: raw.metrics.unwrap_or(true),
        traces,
        unknown_apps,
        apps: apps.into_iter().collect(),
        flows: flows.into_iter().map(|read| read.flow).collect(),
        api,
        document: document.clone(),
        notices: Vec::new(),
    })
}

fn data(report: &mut Report<'_>, base: &Path, given: Option<&str>) -> PathBuf {
    let text = given.unwrap_or("./data");
    if text.trim().is_empty() {
        report.value(&["data"], "`data` is empty").help("name a folder, such as ./data");
    } else if let Some((scheme, _)) = text.split_once("://") {
        report
            .value(&["data"], format!("a data directory at `{scheme}://` comes with a later version"))
            .help("name a local folder, such as ./data");
    }
    base.join(text.strip_prefix("./").unwrap_or(text))
}

/// The keys below `apps:` or `flows:`.
fn keys(report: &mut Report<'_>, section: &str, hint: &str) -> Option<Vec<String>> {
    let node = report.document.node(&[section])?;
    match &node.body {
        yaml::Body::Map(entries) if !entries.is_empty() => {
            Some(entries.iter().map(|(key, _)| key.clone()).collect())
        }
        yaml::Body::Map(_) => {
            report.key(&[section], format!("`{section}` is empty")).help(hint);
            Some(Vec::new())
        }
        yaml::Body::Scalar { value, .. } if value.is_null() => {
            report.key(&[section], format!("`{section}` is empty")).help(hint);
            Some(Vec::new())
        }
        _ => {
            report.value(&[section], format!("`{section}` must be a mapping of names")).help(hint);
            Some(Vec::new())
        }
    }
}
