//! The commands: one module each. A command parses nothing and formats little: it calls the runtime and hands what
//! it gets to the printer.

pub(crate) mod ack;
pub(crate) mod advise;
pub(crate) mod alerts;
pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod by_hand;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod extend;
pub(crate) mod fail;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod list;
pub(crate) mod openapi;
pub(crate) mod plan;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod put;
pub(crate) mod reference;
pub(crate) mod replay;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod service;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod why;
pub(crate) mod work;

use crate::cli::{Cli, Command};
use crate::logging::Quiet;
use crate::printer::{Outcome, Printer};
use handover_core::{DeliveryId, Error, LeaseToken, Result};
use handover_ledger::{Answered, NewAction};
use handover_runtime::Project;
use handover_runtime::config::{Config, FILE_NAME};
use handover_runtime::operations::records;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(cli: Cli, printer: &Printer) -> Outcome {
    let start = Start { config: cli.config, printer: *printer };
    if !matches!(cli.command, Command::Guard) {
        crate::logging::start(quiet_about(&cli.command), cli.verbose);
    }
    match cli.command {
        Command::Demo(args) => demo::run(&start, &args),
        Command::Init(args) => init::run(&start, &args),
        Command::Check(args) => check::run(&start, args),
        Command::Run(args) => run::run(&start, &args),
        Command::Put(args) => put::run(&start, args),
        Command::Push(args) => push::run(&start, args),
        Command::Pull(args) => pull::run(&start, args),
        Command::Ack(args) => ack::run(&start, &args),
        Command::Fail(args) => fail::run(&start, args),
        Command::Extend(args) => extend::run(&start, &args),
        Command::Work(args) => work::run(&start, args),
        Command::Status(args) => status::run(&start, &args),
        Command::Health(args) => health::run(&start, &args),
        Command::List(args) => list::run(&start, args),
        Command::Show(args) => show::run(&start, args),
        Command::Why(args) => why::run(&start, args),
        Command::Replay(args) => replay::run(&start, &args),
        Command::Retry(args) => retry::run(&start, &args),
        Command::Cancel(args) => by_hand::cancel(&start, &args),
        Command::Restore(args) => by_hand::restore(&start, &args),
        Command::Pause(args) => by_hand::pause(&start, &args),
        Command::Resume(args) => by_hand::resume(&start, &args),
        Command::Archive(args) => archive::run(&start, &args),
        Command::Alerts(args) => alerts::run(&start, args),
        Command::Audit(args) => audit::run(&start, &args),
        Command::Verify(args) => verify::run(&start, &args),
        Command::Keys(args) => keys::run(&start, args),
        Command::Service(args) => service::run(&start, &args),
        Command::Ledger(args) => ledger::run(&start, args),
        Command::App(args) => Ok(app::run(&args).map(ExitCode::from)?),
        Command::Advise(args) => advise::run(&start, &args),
        Command::Openapi(args) => openapi::run(&start, &args),
        Command::Schema(args) => schema::run(&start, args),
        Command::Completions(args) => completions::run(&start, args),
        Command::Reference => reference::run(&start),
        Command::Guard => {
            handover_runtime::program::guard::serve()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What the log leaves out unless it is asked for more: what the command itself says at its end.
fn quiet_about(command: &Command) -> Quiet {
    match command {
        Command::Demo(_) => Quiet::Failures,
        Command::Run(args) if args.once => Quiet::Failures,
        Command::Work(args) if args.once => Quiet::Failures,
        _ => Quiet::No,
    }
}

/// What every command begins with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    config: Option<PathBuf>,
    /// Where it prints.
    pub(crate) printer: Printer,
}

impl Start {
    /// The configuration's file: the one named, else the nearest `handover.yaml` from here upwards.
    pub(crate) fn config_file(&self) -> Result<PathBuf> {
        let named =
            || std::env::var_os("HANDOVER_CONFIG_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
        if let Some(file) = self.config.clone().or_else(named) {
            return Ok(file);
        }
        let here = std::env::current_dir().map_err(|e| Error::io("find", "the current folder", e))?;
        let found = here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file());
        // Shown as a person would name it: relative where it is here.
        Ok(match found {
            Some(file) if file.parent() == Some(&here) => PathBuf::from(FILE_NAME),
            Some(file) => file,
            None => PathBuf::from(FILE_NAME),
        })
    }

    /// Reads the configuration.
    pub(crate) fn config(&self) -> Outcome<Config> {
        Ok(Config::load(&self.config_file()?)?)
    }

    /// Opens the project, making what is missing.
    pub(crate) fn project(&self) -> Outcome<Project> {
        Ok(Project::open(self.config()?)?)
    }

    /// Opens the project for looking alone; that it never ran is said.
    pub(crate) fn look(&self) -> Outcome<Project> {
        let project = Project::look(self.config()?)?;
        if project.never_ran() {
            self.printer.talk(
                "this project has never run: `handover run` starts it, `handover run --once` runs it once",
            );
        }
        Ok(project)
    }

    /// Opens a project that has run before.
    pub(crate) fn existing(&self) -> Outcome<Project> {
        Ok(Project::open_existing(self.config()?)?)
    }
}

/// Answers what a token holds, or these of it, and counts what was answered.
pub(crate) async fn answered(
    project: &Project,
    token: &LeaseToken,
    ids: &[DeliveryId],
    ended: handover_ledger::Outcome,
) -> Result<Vec<(DeliveryId, Answered)>> {
    let answered = handover_database::token::answer(project.ledger.as_ref(), token, ids, ended).await?;
    // The answer stands, whether it could be counted or not.
    match records::count_answered(project, &answered).await {
        Ok(()) => project.add_counts().await,
        Err(e) => tracing::warn!("cannot count what was answered: {e}"),
    }
    Ok(answered)
}

/// A runtime for a command's async calls.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    // Tasks here wait more than they work; what works, runs on threads of its own or in programs. A worker a core would
    // mostly wake its like.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(2))
        .enable_all()
        .build()
        .map_err(|e| Error::io("start", "the async runtime", e))?;
    let value = runtime.block_on(future);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(value)
}

/// Who acts, for the audit log: `cli:` and the user's name; the number where the environment has no name, as under cron
/// or in a container.
pub(crate) fn actor() -> String {
    let named = |key: &str| std::env::var(key).ok().filter(|name| !name.is_empty());
    let name = named("USER").or_else(|| named("LOGNAME"));
    format!("cli:{}", name.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw())))
}

/// Notes in the ledger what somebody did by this command, where no move of a delivery says so already.
pub(crate) async fn note(project: &Project, command: &str, did: &str, what: NewAction) -> Result<()> {
    let (actor, via, did) = (actor(), format!("handover {command}"), did.to_owned());
    project.ledger.note_action(NewAction { actor, via, did, ..what }).await
}

/// Reads an argument of the command line; what is wrong with it is said with its hint.
pub(crate) fn parsed<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: Error| match e.hint_text() {
        Some(hint) => format!("{e} ({hint})"),
        None => e.to_string(),
    })
}

/// Reads a length of time of the command line.
pub(crate) fn length(text: &str) -> Result<std::time::Duration, String> {
    handover_core::units::parse_duration(text).map_err(|e| match e.hint_text() {
        Some(hint) => format!("{e} ({hint})"),
        None => e.to_string(),
    })
}

/// Reads how long a lease is: longer than nothing, or what was pulled would be anybody's at once.
pub(crate) fn lease(text: &str) -> Result<std::time::Duration, String> {
    let lease = length(text)?;
    match lease.is_zero() {
        true => Err("a lease must be longer than nothing: such as 30s or 5m".to_owned()),
        false => Ok(lease),
    }
}

/// A path as messages show it.
#[allow(dead_code)]
pub(crate) fn shown(path: &Path) -> String {
    handover_core::path_text::to_text(path)
}

/// A path as messages show it, relative to the current folder where it lies below.
pub(crate) fn shown_here(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    shown(below.filter(|below| !below.as_os_str().is_empty()).unwrap_or(path))
}
