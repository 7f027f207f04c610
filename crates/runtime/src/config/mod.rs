//! handover.yaml: read, checked, and turned into what the rest of the runtime works with.
//!
//! The way of a configuration: [`load`] reads the text, `yaml` makes a tree that knows its places, `environment`
//! fills in `${NAME}`, `decode` gives it types, and [`check`](Config::check_environment) and its like compare the
//! parts. [`error`] shows what is wrong. What is written and what it means are two sets of types: the `Raw…` ones
//! stay in here.
//!
//! Invariants: a [`Config`] that exists is complete and consistent; all problems of a file are found at once; no
//! message shows a value of the environment. Nothing here writes anything, so a crash loses nothing.

mod api;
mod app;
mod apps;
mod arguments;
mod builtin;
mod check;
mod command;
mod decode;
mod diff;
mod doors;
mod environment;
mod error;
mod expect;
mod flow;
mod gather;
mod health;
mod job;
mod json_schema;
mod load;
mod one_or_many;
mod outside;
mod report;
mod routes;
mod schedule;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod traces;
mod watch;
mod yaml;
mod yaml_words;

pub use api::{API_VERSIONS, Api, ApiLimits, ApiTls, Auth, Deprecation, OAuth, Rate, Webhooks};
pub(crate) use app::is_kept;
pub use app::{App, Runs};
pub use apps::Apps;
pub(crate) use arguments::words_of;
pub use builtin::BuiltIn;
pub(crate) use command::stands;
pub use command::{ClaimBy, Input, Mode, Output, Placeholder, Placeholders, Program};
pub use diff::Changes;
pub use doors::{Doors, Enters};
pub use environment::Lookup;
pub use error::{Also, ConfigError, Problem, Severity, render};
pub use expect::{Due, Expect};
pub use flow::{By, Flow, Link};
pub use gather::Gather;
pub use health::HealthLimits;
pub use job::{Argument, ExitCode, How, JobContract, Then};
pub use json_schema::json_schema;
pub use load::FILE_NAME;
pub(crate) use report::dotted;
pub use routes::{Hop, Routes};
pub use schedule::{Schedule, ScheduleError};
pub use settings::{Archive, LedgerAddress, Secret, UnknownApps};
pub use traces::Traces;
pub use watch::{NotifyTarget, NotifyTo};

use handover_core::AppName;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A configuration that has been read and checked.
#[derive(Clone)]
pub struct Config {
    /// The file it was read from, as it was named.
    pub file: PathBuf,
    /// The folder of the file, absolute: relative paths in the file are relative to it, and programs run in it.
    pub base: PathBuf,
    /// The data directory, absolute.
    pub data: PathBuf,
    /// Where the ledger is.
    pub ledger: LedgerAddress,
    /// The time zone of dates in file names, and of schedules that do not say.
    pub timezone: TimeZone,
    /// How long a claim lasts unless it is renewed.
    pub lease: Duration,
    /// Whether `run` brings the ledger's tables up to date.
    pub migrate: bool,
    /// A command that is told, by a line of JSON on its stdin, of each failed delivery and each quarantined file.
    pub notify: Option<String>,
    /// Who is told of alerts: what is wrong, and that it has ended.
    pub targets: Vec<NotifyTarget>,
    /// From when on a health check finds fault.
    pub health: HealthLimits,
    /// When and how completed deliveries are archived.
    pub archive: Archive,
    /// Whether rows, bytes and latencies are counted.
    pub metrics: bool,
    /// Where spans are sent to.
    pub traces: Option<Traces>,
    /// What becomes of records for an app that is not declared.
    pub unknown_apps: UnknownApps,
    /// The apps, in the order of the file.
    pub apps: Apps,
    /// The flows, in the order of the file.
    pub flows: Vec<Flow>,
    /// What listens on the network.
    pub api: Option<Api>,
    document: Arc<report::Document>,
    notices: Vec<Problem>,
}

impl std::fmt::Debug for Config {
    /// Without what may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Config");
        shown.field("file", &self.file).field("data", &self.data);
        shown
            .field("ledger", &self.ledger)
            .field("apps", &self.apps)
            .field("flows", &self.flows)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The app of this name.
    pub fn app(&self, name: &str) -> Option<&Arc<App>> {
        self.apps.get(name)
    }

    /// The app of this name.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where there is none; the hint names the nearest.
    pub fn require_app(&self, name: &str) -> handover_core::Result<&Arc<App>> {
        self.app(name).ok_or_else(|| {
            let hint = report::did_you_mean(name, self.apps.iter().map(|app| app.name.as_str()));
            handover_core::Error::config(format!("there is no app `{name}` in {}", self.shown_name()))
                .hint(hint.unwrap_or_default())
        })
    }

    /// The flow of this name.
    pub fn flow(&self, name: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.name == name)
    }

    /// The names of the apps that have no input: they import, or run by a schedule.
    pub fn sources(&self) -> impl Iterator<Item = &AppName> {
        self.apps.iter().filter(|app| app.is_source()).map(|app| &app.name)
    }

    /// Where each app's output goes.
    pub fn routes(&self) -> Routes {
        Routes::new(&self.flows)
    }

    /// How deliveries enter each app.
    pub fn doors(&self) -> Doors {
        Doors::new(&self.apps, &self.flows)
    }

    /// Whether `run` works on the records of an app; those of any other are taken by whoever pulls them, or claims them by
    /// SQL.
    pub fn takes_records(&self, app: &str) -> bool {
        self.app(app).is_some_and(|app| self.doors().enters(&app.name) != Enters::Waits)
    }

    /// What is worth saying though nothing is wrong: warnings, and what may have been forgotten.
    pub fn notices(&self) -> &[Problem] {
        &self.notices
    }

    /// Problems or notices of this configuration as a person reads them, with their lines.
    pub fn render(&self, problems: &[Problem]) -> String {
        render(problems, &self.shown_name(), &self.document.text)
    }

    pub(crate) fn shown_name(&self) -> String {
        load::shown(&self.file)
    }
}
