//! Apps: what runs, how often, for how long, and where its files lie.

use super::api::Rate;
use super::builtin::{self, BuiltIn};
use super::command::{ClaimBy, Input, Mode, Output, Placeholder, Program};
use super::decode::decode;
use super::expect::{self, Expect};
use super::job::{self, How, JobContract, RawJob};
use super::one_or_many::OneOrMany;
use super::report::{Report, did_you_mean};
use super::schedule::Schedule;
use super::service::{self, RawTls};
use handover_core::{AppName, TypeName, limits, name::check_ext, units};
use handover_file::layout::{ARCHIVE_FOLDER, ERRORS_FOLDER, default_folder};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many workers an app may have.
const WORKERS_MAX: u32 = 1024;
/// So many retries an app may have.
const RETRIES_MAX: u32 = 1000;

/// What the names of Handover's own workers begin with, such as that of the one that calls webhooks: no app has one.
const OWN_PREFIX: &str = "handover-";

/// A declared app.
#[derive(Clone)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// The folder of its files in the data directory.
    pub folder: String,
    /// What runs.
    pub runs: Runs,
    /// How many of its deliveries run at the same time on this machine; a source has one.
    pub workers: usize,
    /// How its records are claimed.
    pub claim: ClaimBy,
    /// How often a delivery is tried again after its first attempt.
    pub retries: u32,
    /// How long one run may take.
    pub timeout: Duration,
    /// The type of the files that it makes, where it is not their input's.
    pub type_name: Option<TypeName>,
    /// The extension of the files that it makes, where it is not their input's.
    pub ext: Option<String>,
    /// When it runs by itself.
    pub schedule: Option<Schedule>,
    /// What is expected of it.
    pub expect: Option<Expect>,
    /// A file that waits for it for so long is stuck, where that is not as long as for all.
    pub stuck_after: Option<Duration>,
    /// A picture for it.
    pub icon: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its own configuration: `with:`, variables filled in. A program gets it as a file.
    pub with: Option<Value>,
    /// What it says of its jobs.
    pub job: JobContract,
    /// How much one caller may ask of it through the API, where it is a service app that says so.
    pub limit: Option<Rate>,
    /// So large an answer to one delivery may be, where it is a service app.
    pub max_answer: u64,
    /// The whole declaration, to see what a reload changes.
    pub(crate) declared: Value,
}

/// What runs when an app runs.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each app")]
pub enum Runs {
    /// A built-in app.
    BuiltIn(BuiltIn),
    /// A console program.
    Program(Program),
    /// A service that is called by HTTP.
    Service(handover_service::Settings),
}

impl std::fmt::Debug for App {
    /// Without `with` and the command, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("name", &self.name).field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl App {
    /// Whether files come into being here: it imports, or runs by a schedule. A source has no input.
    pub fn is_source(&self) -> bool {
        self.schedule.is_some() || matches!(&self.runs, Runs::BuiltIn(BuiltIn::Importer(_)))
    }

    /// Whether it is a service app.
    pub fn is_service(&self) -> bool {
        matches!(self.runs, Runs::Service(_))
    }

    /// The program, if it is one.
    pub fn program(&self) -> Option<&Program> {
        match &self.runs {
            Runs::Program(program) => Some(program),
            _ => None,
        }
    }

    /// How often a delivery may be attempted in all.
    pub fn max_attempts(&self) -> u32 {
        self.retries + 1
    }
}

/// An app as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "App")]
pub(crate) struct RawApp {
    /// A built-in app.
    #[schemars(extend("enum" = ["file-importer", "validator", "enricher", "file-exporter"]))]
    pub(crate) uses: Option<String>,
    /// A console program and its arguments. {input} {output} {manifest} {config} {delivery_id} {type} {date}
    /// {sequence} are filled in; without {input} the input is stdin, without {output} stdout is the output.
    pub(crate) run: Option<String>,
    /// The address of a service app, or several that serve the same, such as http://127.0.0.1:9000.
    pub(crate) url: Option<OneOrMany>,
    /// Of a service app: addresses of its versions, by the first segment of a path.
    pub(crate) versions: Option<BTreeMap<String, OneOrMany>>,
    /// Of a service app: the path at which it says whether it is well, or that and more.
    #[schemars(with = "Option<service::AnyHealth>")]
    pub(crate) health: Option<Value>,
    /// Of a service app: how much one caller may ask of it through the API, such as 100/s.
    pub(crate) limit: Option<String>,
    /// Of a service app: the files that TLS to it needs.
    pub(crate) tls: Option<RawTls>,
    /// Of a service app: whether an address at http:// is spoken to by HTTP/2.
    pub(crate) http2: Option<bool>,
    /// Of a service app: the path that links post deliveries to; by default /.
    pub(crate) post: Option<String>,
    /// Of a service app: how large its answer to one delivery may be; by default 10GB.
    #[serde(default, with = "units::size::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) max_answer: Option<u64>,
    /// Of a service app: where its OpenAPI document (JSON, 3.0 or 3.1) is: a path at the service, such as /openapi.json, or a file,
    /// such as ./orders.json. It becomes a part of the API's own.
    pub(crate) openapi: Option<String>,
    /// The app's own configuration.
    pub(crate) with: Option<Value>,
    /// Whether `run` is a script for the shell.
    pub(crate) shell: Option<bool>,
    /// What the program's output is: what it prints, the file it writes, or nothing.
    pub(crate) output: Option<Output>,
    /// Whether the program is started for each delivery (`once`), or goes on running and gets one record a line
    /// (`stream`).
    pub(crate) mode: Option<Mode>,
    /// How many deliveries run at the same time; by default one for each core, and 4 with a service app.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) workers: Option<u32>,
    /// How its records are claimed: each marked as claimed (`rows`, the default), or noted by the batch and archived as soon as
    /// they are completed (`lanes`), which is faster on PostgreSQL and refuses plain SQL's claims.
    pub(crate) claim: Option<ClaimBy>,
    /// How often a delivery is tried again; by default 3 times.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) retries: Option<u32>,
    /// How long one run may take, such as 30s or 5m; by default an hour. Of a service app, how long it may take until its answer
    /// begins; by default 30s.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) timeout: Option<Duration>,
    /// The folder of its files in the data directory; by default after its name.
    pub(crate) folder: Option<String>,
    /// The type of the files that it makes; by default their input's.
    #[serde(rename = "type")]
    pub(crate) type_name: Option<String>,
    /// The extension of the files that it makes; by default their input's.
    pub(crate) ext: Option<String>,
    /// When it runs by itself: a cron pattern (minute, hour, day, month, weekday).
    pub(crate) schedule: Option<String>,
    /// The time zone of `schedule`; by default that of the whole configuration.
    pub(crate) timezone: Option<String>,
    /// What jobs may ask of it, and how that reaches its program.
    pub(crate) job: Option<RawJob>,
    /// What should come, until when, and how much of it: late, missing, too small, too old or the same as before is told.
    #[schemars(with = "Option<expect::RawExpect>")]
    pub(crate) expect: Option<Value>,
    /// A file that waits for it for so long is stuck; by default as `health: { stuck: … }` says.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) stuck_after: Option<Duration>,
    /// A picture for it.
    pub(crate) icon: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
}

/// What an app's meaning depends on beside its own words.
pub(crate) struct Around<'a> {
    /// The folder of the configuration.
    pub(crate) base: &'a std::path::Path,
    /// The time zone of the whole configuration.
    pub(crate) zone: &'a TimeZone,
    /// How many cores there are.
    pub(crate) cores: usize,
}

/// Reads the app of this name; what is wrong goes to the report.
pub(crate) fn read(report: &mut Report<'_>, key: &str, around: &Around<'_>) -> Option<App> {
    let path = ["apps", key];
    let name = match AppName::new(key) {
        Ok(name) if key.starts_with(OWN_PREFIX) => {
            report
                .key(
                    &path,
                    format!(
                        "`{name}` is no name for an app: what begins with `{OWN_PREFIX}` is Handover's own"
                    ),
                )
                .help("choose another name");
            None
        }
        Ok(name) => Some(name),
        Err(_) if key.contains(':') => {
            report
                .key(&path, format!("a space is missing after the `:` in `{key}`"))
                .help("write `name: { run: cat }`");
            return None;
        }
        Err(error) => {
            report.key(&path, error.to_string()).maybe_help(error.hint_text().map(str::to_owned));
            None
        }
    };
    if !matches!(report.document.node(&path)?.body, super::yaml::Body::Map(_)) {
        let hint = match report.document.node(&path)?.to_value() {
            Value::String(command) => format!("for a program write `{key}: {{ run: {command} }}`"),
            _ => WHAT_RUNS.to_owned(),
        };
        report.value(&path, format!("`{key}` must say what runs")).help(hint);
        return None;
    }
    let mut raw: RawApp = decode(report, &path)?;
    let job = raw.job.take().map(|raw| job::read(report, &at(&path, "job"), raw)).unwrap_or_default();
    let schedule = schedule(report, &path, &raw, around.zone);
    let runs = runs(report, &path, &raw, &job, around.base);
    service::check_others(report, &path, &raw);
    let limit = service::limit(report, &path, raw.limit.as_deref());
    let folder = folder(report, &path, key, raw.folder.as_deref());
    let type_name = type_name(report, &path, raw.type_name.as_deref());
    check_numbers(report, &path, &raw);
    if let Some(Err(error)) = raw.ext.as_deref().map(check_ext) {
        report.value(&at(&path, "ext"), error.to_string()).maybe_help(error.hint_text().map(str::to_owned));
    }
    let mut app = App {
        name: name?,
        folder,
        runs: runs?,
        workers: 1,
        claim: raw.claim.unwrap_or_default(),
        retries: raw.retries.unwrap_or(limits::RETRIES_DEFAULT),
        timeout: raw.timeout.unwrap_or(Duration::from_millis(match raw.url {
            Some(_) => limits::SERVICE_TIMEOUT_MS,
            None => limits::TIMEOUT_DEFAULT_MS,
        })),
        type_name,
        ext: raw.ext,
        schedule,
        expect: raw.expect.is_some().then(|| expect::read(report, &path, around.zone)).flatten(),
        stuck_after: raw.stuck_after,
        icon: raw.icon,
        description: raw.description,
        with: raw.with,
        job,
        limit,
        max_answer: raw.max_answer.unwrap_or(limits::SERVICE_ANSWER_MAX_BYTES),
        declared: report.document.node(&path)?.to_value(),
    };
    finish(report, &path, &mut app, raw.schedule.is_some());
    app.workers = match raw.workers {
        _ if app.is_source() => 1,
        Some(workers) => usize::try_from(workers).unwrap_or(1).max(1),
        None if app.is_service() => limits::SERVICE_WORKERS,
        None => around.cores.max(1),
    };
    if app.is_source() && raw.workers.is_some_and(|workers| workers > 1) {
        report.key(&at(&path, "workers"), format!("`{key}` is a source and has one worker")).warning();
    }
    Some(app)
}

const WHAT_RUNS: &str =
    "`uses: validator` for a built-in app, `run: python3 script.py` for a program, or `url:` for a service";

fn at<'p>(path: &[&'p str], key: &'p str) -> Vec<&'p str> {
    path.iter().copied().chain([key]).collect()
}

fn runs(
    report: &mut Report<'_>,
    path: &[&str],
    raw: &RawApp,
    job: &JobContract,
    base: &std::path::Path,
) -> Option<Runs> {
    let said: Vec<&str> =
        [("uses", raw.uses.is_some()), ("run", raw.run.is_some()), ("url", raw.url.is_some())]
            .into_iter()
            .filter_map(|(key, there)| there.then_some(key))
            .collect();
    let name = path.last().copied().unwrap_or_default();
    match said[..] {
        [] => {
            report.key(path, format!("`{name}` must say what runs")).help(WHAT_RUNS);
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("`{name}` has both `{first}` and `{second}`");
            report.key(&at(path, second), message).help("keep one of the two: they say what runs");
            return None;
        }
    }
    if raw.url.is_none() && raw.openapi.is_some() {
        report
            .key(&at(path, "openapi"), "`openapi` is for a service app")
            .help(format!("remove it: `{name}` has no `url:`"));
    }
    if raw.run.is_none() {
        let only =
            [("shell", raw.shell.is_some()), ("output", raw.output.is_some()), ("mode", raw.mode.is_some())];
        for (key, _) in only.into_iter().filter(|(_, there)| *there) {
            report
                .key(&at(path, key), format!("`{key}` is for a program"))
                .help(format!("remove it: `{name}` has no `run:`"));
        }
        job::check_other(report, path, job, raw.url.is_some());
    }
    if let Some(uses) = &raw.uses {
        return builtin::read(report, path, uses, base).map(Runs::BuiltIn);
    }
    if let Some(run) = &raw.run {
        return program(report, path, run, raw, job).map(Runs::Program);
    }
    service::read(report, path, raw, base).map(Runs::Service)
}

fn program(
    report: &mut Report<'_>,
    path: &[&str],
    run: &str,
    raw: &RawApp,
    job: &JobContract,
) -> Option<Program> {
    let run_at = at(path, "run");
    let mut program = match Program::with_arguments(run, raw.shell.unwrap_or(false), job.arguments.clone()) {
        Ok(program) => program,
        Err(error) => {
            report
                .value(&run_at, format!("this cannot be run: {error}"))
                .maybe_help(error.hint_text().map(str::to_owned));
            return None;
        }
    };
    program.mode = raw.mode.unwrap_or(Mode::Once);
    job::check_program(report, path, run, &program);
    if let Some(output) = raw.output {
        if program.uses(Placeholder::Output) && output != Output::File {
            report
                .value(&at(path, "output"), "the program writes to `{output}`, so its output is a file")
                .help("write `output: file`, or take `{output}` out of `run:`");
        }
        program.output = output;
    }
    let fields = job.arguments.iter().filter_map(|argument| match &argument.how {
        How::Fill(word) => Some(word.as_str()),
        How::Flag(_) | How::Joined(_) => None,
    });
    let known: Vec<&str> = Placeholder::ALL.map(Placeholder::word).into_iter().chain(fields).collect();
    for word in braced(run) {
        let known = known.iter().copied();
        let near = did_you_mean(word, known.clone()).filter(|hint| hint.starts_with("did you mean"));
        if let Some(hint) = near.filter(|_| !known.clone().any(|one| one == word)) {
            report
                .word(&run_at, word, 0, format!("`{{{word}}}` is not filled in"))
                .help(hint.replacen('`', "`{", 1).replacen("`?", "}`?", 1))
                .warning();
        }
    }
    Some(program)
}

/// The words in braces of a command line.
fn braced(run: &str) -> impl Iterator<Item = &str> {
    run.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(word, _)| word))
        .filter(|word| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

fn folder(report: &mut Report<'_>, path: &[&str], key: &str, given: Option<&str>) -> String {
    let folder = given.unwrap_or_else(|| default_folder(key));
    let path = if given.is_some() { at(path, "folder") } else { path.to_vec() };
    let parts_fine = folder.split('/').all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    });
    if given.is_some() && (!parts_fine || folder.len() > 200) {
        report
            .value(&path, format!("{folder:?} is no folder in the data directory"))
            .help("use letters, digits, `-`, `_` and `.`, such as `reports` or `sales/checked`");
    } else if is_kept(folder) {
        report
            .value(&path, format!("the folder `{folder}` is kept for what is quarantined or archived"))
            .help("choose another with `folder:`");
    }
    folder.to_owned()
}

/// Whether a folder of the data directory is one that nothing is published into but what is quarantined or archived.
pub(crate) fn is_kept(folder: &str) -> bool {
    [ERRORS_FOLDER, ARCHIVE_FOLDER].contains(&folder.split('/').next().unwrap_or_default())
}

fn type_name(report: &mut Report<'_>, path: &[&str], given: Option<&str>) -> Option<TypeName> {
    match TypeName::new(given?) {
        Ok(name) => Some(name),
        Err(error) => {
            let hint = error.hint_text().map(|hint| hint.replace("file-importer", "sales"));
            report.value(&at(path, "type"), error.to_string()).maybe_help(hint);
            None
        }
    }
}

fn check_numbers(report: &mut Report<'_>, path: &[&str], raw: &RawApp) {
    if raw.workers.is_some_and(|workers| !(1..=WORKERS_MAX).contains(&workers)) {
        report.value(&at(path, "workers"), format!("`workers` must be 1 to {WORKERS_MAX}"));
    }
    if raw.retries.is_some_and(|retries| retries > RETRIES_MAX) {
        report.value(&at(path, "retries"), format!("`retries` must be 0 to {RETRIES_MAX}"));
    }
    if raw.timeout.is_some_and(|timeout| timeout.is_zero()) {
        report.value(&at(path, "timeout"), "`timeout` must be more than nothing").help("such as 30s or 5m");
    }
    if raw.max_answer == Some(0) {
        report.value(&at(path, "max_answer"), "`max_answer` must be more than nothing").help("such as 500MB");
    }
}

fn schedule(report: &mut Report<'_>, path: &[&str], raw: &RawApp, zone: &TimeZone) -> Option<Schedule> {
    let zone = match &raw.timezone {
        Some(name) => {
            super::settings::timezone(report, &at(path, "timezone"), name).unwrap_or_else(|| zone.clone())
        }
        None => zone.clone(),
    };
    let Some(pattern) = raw.schedule.as_deref() else {
        if raw.timezone.is_some() {
            report
                .key(&at(path, "timezone"), "this time zone is for a `schedule`, and there is none")
                .warning();
        }
        return None;
    };
    match Schedule::new(pattern, zone) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let path = at(path, "schedule");
            match &error.part {
                Some((part, nth)) => report.word(&path, part, *nth, error.message),
                None => report.value(&path, error.message),
            }
            .help(error.hint);
            None
        }
    }
}

/// What follows from a schedule.
fn finish(report: &mut Report<'_>, path: &[&str], app: &mut App, scheduled: bool) {
    if !scheduled {
        return;
    }
    let Runs::Program(program) = &mut app.runs else {
        report
            .key(&at(path, "schedule"), "only a program can have a schedule")
            .help("a file-importer watches its folder all the time; other apps run when a delivery comes");
        return;
    };
    if let Some(one) = [Placeholder::Input, Placeholder::Manifest].into_iter().find(|one| program.uses(*one))
    {
        let word = one.word();
        report
            .word(&at(path, "run"), word, 0, format!("a program with a schedule has no `{{{word}}}`"))
            .help("remove the placeholder, or the schedule: then it runs when a delivery comes");
    }
    program.input = Input::None;
    if program.output != Output::None && app.type_name.is_none() {
        report
            .key(path, format!("`{}` must say the `type` of what it prints", app.name))
            .help("such as `type: orders`; with `output: none` there is nothing to name");
    }
    if program.output != Output::None && app.ext.is_none() {
        app.ext = Some("txt".to_owned());
    }
}
