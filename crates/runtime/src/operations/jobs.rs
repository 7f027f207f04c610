//! Jobs: what somebody asks of an app is checked against the app's contract, and becomes a delivery for the ledger.
//!
//! Invariants: what is refused is refused with all its faults at once, each at its field; no message shows a value; the disk and
//! the ledger are asked only where the input is a file. Nothing is written here, so a crash leaves nothing.

use crate::config::{App, BuiltIn, Config, How, Input, Mode, Placeholder, Program, Routes, Runs};
use crate::delivery::payload::{FilePayload, JobPayload, Takes};
use crate::project::Project;
use handover_apps::validator::JsonSchema;
use handover_core::limits::{ARGUMENT_MAX_BYTES, FAULTS_TOLD_MAX, RECORD_MAX_BYTES};
use handover_core::{AppName, Error, ErrorKind, Kind, NewDelivery, Result, TypeName, media};
use handover_ledger::Filter;
use handover_records::FileKind;
use handover_records::json::has_nul;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Who hands jobs over, in their row's `source_app`.
pub const SOURCE: &str = "api";

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Of which app.
    pub app: String,
    /// Its configuration; null is none.
    pub config: Value,
    /// What it is to work on.
    pub input: Option<JobInput>,
    /// Where its end is to be told.
    pub webhook: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// The W3C trace context.
    pub trace: Option<String>,
}

/// What a job works on.
#[derive(Debug, Clone)]
pub enum JobInput {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// What it is.
        media_type: Option<String>,
    },
    /// A JSON value.
    Json(Value),
    /// A published file, by its path within the data directory.
    File(String),
}

/// What is wrong with one field of a submission.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Detail {
    /// Its path, such as `config.threshold` or `config.tags[0]`.
    pub field: String,
    /// What is wrong: a clause about the field, such as `is missing`.
    pub issue: String,
}

/// Why a submission was refused.
#[derive(Debug)]
pub enum Refused {
    /// There is no such app.
    NoSuchApp(Error),
    /// Some fields are wrong: at least one, at most [`FAULTS_TOLD_MAX`].
    Invalid(Vec<Detail>),
    /// It could not be checked.
    Failed(Error),
}

/// What is compiled once for a configuration: the schemas of its apps' jobs, and where their outputs go.
pub struct Contracts {
    schemas: HashMap<AppName, JsonSchema>,
    routes: Routes,
}

impl Contracts {
    /// Reads and compiles the schemas of a configuration.
    ///
    /// # Errors
    /// What is wrong with the first of them, with its app named.
    pub fn new(config: &Config) -> Result<Self> {
        let mut schemas = HashMap::new();
        for app in &config.apps {
            let Some(source) = &app.job.config else { continue };
            let schema = JsonSchema::new(source, &config.base)
                .map_err(|e| crate::built::about(format!("app {}: job: config", app.name), &e))?;
            schemas.insert(app.name.clone(), schema);
        }
        Ok(Self { schemas, routes: config.routes() })
    }

    /// The schema of an app's configuration, where it declares one.
    pub fn schema(&self, app: &str) -> Option<&Value> {
        self.schemas.get(app).map(JsonSchema::schema)
    }
}

/// Checks a submission and makes the delivery of it.
///
/// # Errors
/// What is wrong with it.
pub async fn prepare(
    project: &Project,
    contracts: &Contracts,
    submission: Submission,
) -> Result<NewDelivery, Refused> {
    let app = project.config.require_app(&submission.app);
    let app = app.map_err(|e| Refused::NoSuchApp(e.with_kind(ErrorKind::NotFound)))?;
    let mut faults = Faults::default();
    takes_jobs(app, &mut faults);
    faults.or_refuse()?;
    check_config(app, contracts, &submission.config, &mut faults);
    if let Some(webhook) = &submission.webhook {
        check_webhook(webhook, &mut faults);
    }
    let input = match submission.input {
        Some(input) => taken(project, app, input, &mut faults).await.map_err(Refused::Failed)?,
        None => {
            needs_input(app, &mut faults);
            None
        }
    };
    faults.or_refuse()?;
    let type_name = app.type_name.clone().map_or_else(|| TypeName::new("output"), Ok);
    let payload = JobPayload {
        type_name: type_name.map_err(Refused::Failed)?,
        date: project.clock.now().to_zoned(project.config.timezone.clone()).date(),
        flows: contracts.routes.entry_flows(&app.name).to_vec(),
        due: None,
        config: submission.config,
        submitted: true,
        input,
        webhook: submission.webhook,
    };
    Ok(NewDelivery {
        flow: payload.flows.first().cloned(),
        priority: submission.priority,
        run_at: submission.run_at,
        max_attempts: app.max_attempts(),
        trace: submission.trace,
        ..NewDelivery::new(Kind::Job, SOURCE, Some(app.name.to_string()), payload.to_value())
    })
}

/// The faults of one submission, as many as are told.
#[derive(Default)]
struct Faults(Vec<Detail>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, issue: impl Into<String>) {
        if self.0.len() < FAULTS_TOLD_MAX {
            self.0.push(Detail { field: field.into(), issue: issue.into() });
        }
    }

    fn or_refuse(&mut self) -> Result<(), Refused> {
        if self.0.is_empty() { Ok(()) } else { Err(Refused::Invalid(std::mem::take(&mut self.0))) }
    }
}

/// Whether the app works on jobs at all.
fn takes_jobs(app: &App, faults: &mut Faults) {
    let name = &app.name;
    match &app.runs {
        Runs::BuiltIn(BuiltIn::Importer(_)) => {
            faults.add(
                "app",
                format!("`{name}` is a file-importer, which takes files as they arrive: it has no jobs"),
            );
        }
        Runs::BuiltIn(_) | Runs::Program(_) | Runs::Service(_) => {}
    }
}

fn check_config(app: &App, contracts: &Contracts, config: &Value, faults: &mut Faults) {
    let empty = Map::new();
    let fields = match config {
        Value::Object(fields) => fields,
        Value::Null => &empty,
        _ => return faults.add("config", "must be an object"),
    };
    let Runs::Program(program) = &app.runs else {
        if !fields.is_empty() {
            let why = match app.is_service() {
                true => "is a service app, which is given the input alone",
                false => "is a built-in app, which is configured in handover.yaml",
            };
            faults.add("config", format!("`{}` {why}: leave it out", app.name));
        }
        return;
    };
    if has_nul(config) {
        faults.add("config", NUL);
    }
    if let Some(schema) = contracts.schemas.get(&app.name) {
        let given = if config.is_null() { &Value::Object(empty.clone()) } else { config };
        for fault in schema.faults(given, FAULTS_TOLD_MAX) {
            faults.add(dotted("config", &fault.path), fault.issue);
        }
    }
    check_arguments(program, fields, faults);
}

/// What no command line can hold.
fn check_arguments(program: &Program, fields: &Map<String, Value>, faults: &mut Faults) {
    for argument in program.arguments() {
        let Some(value) = fields.get(&argument.field) else { continue };
        let flag = match &argument.how {
            How::Joined(flag) => flag.len(),
            How::Flag(_) | How::Fill(_) => 0,
        };
        for word in crate::config::words_of(value) {
            let field = dotted("config", std::slice::from_ref(&argument.field));
            if flag + word.len() > ARGUMENT_MAX_BYTES {
                faults.add(
                    field,
                    format!("is longer than an argument may be ({} KiB)", (ARGUMENT_MAX_BYTES + 1) / 1024),
                );
            }
        }
    }
}

fn check_webhook(webhook: &str, faults: &mut Faults) {
    let rest = webhook.strip_prefix("https://").or_else(|| webhook.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let is_address = host.is_some_and(|host| !host.is_empty())
        && webhook.len() <= 2048
        && !webhook.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_address {
        faults.add("webhook", "must be an address that begins with http:// or https://");
    }
}

/// The input as it is kept; none where something is wrong with it.
async fn taken(project: &Project, app: &App, input: JobInput, faults: &mut Faults) -> Result<Option<Takes>> {
    let before = faults.0.len();
    if let Some(why) = takes_no_input(app, &input) {
        faults.add("input", why);
        return Ok(None);
    }
    let taken = match input {
        JobInput::Text { text, media_type } => {
            match &media_type {
                Some(media_type) if !media::is_media_type(media_type) => {
                    faults.add("input", format!("{media_type:?} is no media type"));
                }
                media_type => check_media_type(app, media_type.as_deref(), faults),
            }
            if text.len() > RECORD_MAX_BYTES {
                faults.add("input", too_large());
            } else if text.contains('\0') {
                faults.add("input", NUL);
            }
            Takes::Text { text, media_type }
        }
        JobInput::Json(value) => {
            check_media_type(app, Some("application/json"), faults);
            if has_nul(&value) {
                faults.add("input", NUL);
            }
            Takes::Json(value)
        }
        JobInput::File(path) => match file_at(project, app, &path, faults).await? {
            Some(payload) => Takes::File(payload.to_value()),
            None => return Ok(None),
        },
    };
    Ok((faults.0.len() == before).then_some(taken))
}

/// What is said of a text that no ledger keeps.
const NUL: &str =
    "holds a NUL character, which a ledger on PostgreSQL cannot keep: hand such data over as a file";

fn too_large() -> String {
    format!("is larger than {} MiB: put it in as a file, and name that", RECORD_MAX_BYTES / (1024 * 1024))
}

/// Why an app cannot be given this sort of input.
fn takes_no_input(app: &App, input: &JobInput) -> Option<String> {
    let (name, is_file) = (&app.name, matches!(input, JobInput::File(_)));
    match &app.runs {
        Runs::BuiltIn(BuiltIn::Exporter(_)) if !is_file => {
            Some(format!("`{name}` exports files: put it in as a file, and name that"))
        }
        Runs::Program(program) if program.mode == Mode::Stream && is_file => Some(format!(
            "`{name}` is a stream program, which is given a text or JSON: put the file in for it instead"
        )),
        Runs::Program(program) if program.input == Input::None => {
            Some(format!("`{name}` runs by its schedule and has no input"))
        }
        _ => None,
    }
}

/// Whether the app can work without an input.
fn needs_input(app: &App, faults: &mut Faults) {
    let name = &app.name;
    match &app.runs {
        Runs::Program(program) if program.mode == Mode::Once && program.uses(Placeholder::Input) => {
            faults.add("input", format!("is missing: `{name}` reads a file (`{{input}}`)"));
        }
        Runs::BuiltIn(_) => faults.add("input", format!("is missing: `{name}` works on rows")),
        Runs::Program(_) | Runs::Service(_) => {}
    }
}

/// Whether an input of this sort is one that the app takes.
fn check_media_type(app: &App, given: Option<&str>, faults: &mut Faults) {
    let declared = &app.job.input;
    if !declared.is_empty()
        && !given.is_some_and(|given| declared.iter().any(|range| media::takes(range, given)))
    {
        let given =
            given.map_or_else(|| "does not say its media type".to_owned(), |given| format!("is {given}"));
        return faults.add("input", format!("{given}: `{}` takes {}", app.name, declared.join(", ")));
    }
    if !matches!(app.runs, Runs::BuiltIn(_)) {
        return;
    }
    let ext = given.and_then(media::extension);
    if ext.is_none_or(|ext| FileKind::of_ext(ext).is_none()) {
        let given =
            given.map_or_else(|| "does not say its media type".to_owned(), |given| format!("is {given}"));
        let known = "text/csv, text/tab-separated-values, application/json and application/x-ndjson";
        faults.add("input", format!("{given}: `{}` reads {known}", app.name));
    }
}

/// The published file at a path.
async fn file_at(
    project: &Project,
    app: &App,
    path: &str,
    faults: &mut Faults,
) -> Result<Option<FilePayload>> {
    let filter = Filter { path: Some(path.to_owned()), archived: true, limit: 1, ..Filter::default() };
    let found = project.ledger.list(filter).await?.first().and_then(FilePayload::in_delivery);
    let Some(payload) = found.filter(|payload| payload.outside().is_none()) else {
        faults.add("input", "names no published file of the data directory");
        return Ok(None);
    };
    let ext = payload.manifest.filename.split_once('.').map_or("", |(_, ext)| ext);
    if !app.job.input.is_empty() {
        check_media_type(app, Some(media::of_extension(ext)), faults);
    }
    Ok(Some(payload))
}

/// `config.tags[0]`.
fn dotted(top: &str, path: &[String]) -> String {
    let segments: Vec<&str> = std::iter::once(top).chain(path.iter().map(String::as_str)).collect();
    crate::config::dotted(&segments)
}
