//! `handover run`: the daemon, one run for cron, or what a run would do.

use super::api::{Api, Doorkeeper};
use super::{Start, block_on, plan};
use crate::printer::{Outcome, Printer};
use crate::supervisor::Supervisor;
use crate::table::{Column, Table};
use handover_core::units::format_size;
use handover_core::{Error, Result, path_text};
use handover_file::probe::probe;
use handover_runtime::config::{BuiltIn, Config, Flow, Runs};
use handover_runtime::engine::events::Observer;
use handover_runtime::engine::{OnceSummary, Options, WaitingApp};
use handover_runtime::operations::times::{self, count, number};
use handover_runtime::{Engine, Project};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::PoisonError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

/// So many deliveries that are tried again later are shown; `--json` has more.
const LATER_SHOWN_MAX: usize = 50;

const HELP: &str = "\
Stays until it is stopped, unless --once is given. SIGTERM or Ctrl-C: nothing new is begun, what runs may end; a second \
one stops at once. SIGHUP reads the configuration anew. Any number may run at the same time; what a killed one leaves \
is taken up by the next.

--once ends when nothing is runnable now: for cron. Exit code 1 where a delivery failed or a file was refused in this \
run; rejected rows are no failure.

Examples:
  handover run
  handover run --dry-run
  */10 * * * *  cd /srv/sales && handover run --once";

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Work until nothing is runnable, then end
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) once: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Runs it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let config = start.config()?;
    if args.dry_run {
        return plan::run(start, config);
    }
    for notice in config.notices() {
        if args.once || std::io::stderr().is_terminal() {
            start.printer.talk(format_args!("note: {}", notice.message));
        } else {
            tracing::warn!("{}", notice.message);
        }
    }
    let project = Project::open(config)?;
    let options = Options { only: None, once: args.once };
    block_on(serve(Serve { start: start.clone(), project, options, reread: Box::new(Ok) }))?
}

/// What is to be served.
pub(crate) struct Serve {
    pub(crate) start: Start,
    pub(crate) project: Project,
    pub(crate) options: Options,
    /// What is done to a configuration that is loaded anew.
    pub(crate) reread: Reread,
}

/// Changes a configuration after it was loaded anew.
pub(crate) type Reread = Box<dyn Fn(Config) -> Outcome<Config> + Send>;

/// Runs an engine under the process's signals, once or until stopped.
pub(crate) async fn serve(serve: Serve) -> Outcome {
    let Serve { start, project, options, reread } = serve;
    let observer = Observer::default();
    let summary = OnceSummary::listen(&observer);
    let once = options.once;
    let (stop, reloads) = signals(start.config_file()?, reread, once)?;
    let api = if once || options.only.is_some() { None } else { Api::bind(start.printer, &project)? };
    let greeting = greeting(&project, &options);
    let (looked_at, only) = (project.clone(), options.only.clone());
    let engine = Engine::start(project, options, observer).await?;
    if !once {
        greeting.say(start.printer);
        let doorkeeper = Doorkeeper::new(start.printer, looked_at, engine.holder().clone(), api)?;
        let (forward, reload) = mpsc::channel(1);
        let supervisor = Supervisor::from_environment();
        supervisor.ready();
        let told = stopping_is_told(&supervisor, stop.clone());
        let serving = doorkeeper.serve(stop.clone(), reloads, forward);
        let working = async { tokio::join!(engine.run(stop, reload), serving, told) };
        let ran = tokio::select! {
            (ran, (), ()) = working => ran,
            never = supervisor.keep_alive() => match never {},
        };
        ran?;
        say_always(start.printer, "stopped");
        return Ok(ExitCode::SUCCESS);
    }
    engine.run_once(stop).await?;
    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner).clone();
    summary.ask(&looked_at, only.as_deref()).await?;
    say(start.printer, &looked_at.config, &summary);
    Ok(if summary.failed.is_empty() && summary.refused.is_empty() && summary.hindered.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Tells the supervisor as soon as the daemon is to stop.
async fn stopping_is_told(supervisor: &Supervisor, mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    supervisor.stopping();
}

/// What a daemon says when it has begun.
struct Greeting(Vec<String>);

fn greeting(project: &Project, options: &Options) -> Greeting {
    let config = &project.config;
    let name = path_text::to_text(&config.file);
    let mut lines = vec![format!(
        "handover {} runs {name}, data in {}",
        env!("CARGO_PKG_VERSION"),
        super::shown_here(&config.data)
    )];
    if options.once {
        return Greeting(lines);
    }
    let mut watched = Vec::new();
    match &options.only {
        Some(app) => lines.push(format!("works for {app} alone; nothing is watched")),
        None => {
            lines.extend(config.flows.iter().map(flow_line));
            watched = config.apps.iter().flat_map(|app| watched_by(config, app)).collect();
            for app in config.apps.iter() {
                let next = app.schedule.as_ref().and_then(|s| s.next_after(project.clock.now()));
                lines.extend(next.map(|next| {
                    format!(
                        "{} runs next at {}",
                        app.name,
                        times::at_and_ago(next, &config.timezone, project.clock.now())
                    )
                }));
            }
            lines.extend(watched.iter().map(|folder| format!("watches {}", super::shown_here(folder))));
        }
    }
    lines.extend(
        probe(&config.data, &watched).weaknesses.into_iter().map(|weakness| format!("weak: {weakness}")),
    );
    Greeting(lines)
}

fn flow_line(flow: &Flow) -> String {
    let apps: Vec<&str> = flow.apps().iter().map(|app| app.as_str()).collect();
    let linear = flow.links.len() + 1 == apps.len()
        && flow.links.iter().zip(&apps).all(|(link, app)| link.from.as_str() == *app);
    if linear {
        format!("flow {}: {}", flow.name, apps.join(" -> "))
    } else {
        format!("flow {}: {} apps, {} links", flow.name, apps.len(), flow.links.len())
    }
}

fn watched_by(config: &Config, app: &handover_runtime::config::App) -> Vec<PathBuf> {
    let Runs::BuiltIn(BuiltIn::Importer(with)) = &app.runs else { return Vec::new() };
    with.sources(&config.base)
        .map(|sources| sources.into_iter().map(|source| source.from).collect())
        .unwrap_or_default()
}

impl Greeting {
    fn say(self, printer: Printer) {
        for line in self.0 {
            say_always(printer, &line);
        }
    }
}

/// A line of the daemon's own: plain on a terminal, else a line of the log, whatever the log's level.
pub(super) fn say_always(printer: Printer, line: &str) {
    if std::io::stderr().is_terminal() {
        printer.talk(line);
    } else {
        info!(target: crate::logging::ALWAYS, "{line}");
    }
}

/// SIGTERM and SIGINT stop, a second one at once; SIGHUP loads the configuration anew.
pub(crate) fn signals(
    file: PathBuf,
    reread: Reread,
    once: bool,
) -> Result<(watch::Receiver<bool>, mpsc::Receiver<Config>)> {
    let of = |kind: SignalKind| signal(kind).map_err(|e| Error::io("listen for", "signals", e));
    let (terminate, interrupt) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(stopping(terminate, interrupt, stop));
    if !once {
        tokio::spawn(reloading(of(SignalKind::hangup())?, file, reread, reload));
    }
    Ok((stopped, reloads))
}

async fn stopping(mut terminate: Signal, mut interrupt: Signal, stop: watch::Sender<bool>) {
    let printer = Printer::new(false);
    let mut asked = false;
    loop {
        tokio::select! {
            Some(()) = terminate.recv() => {}
            Some(()) = interrupt.recv() => {}
            else => return,
        }
        if asked {
            error!("stopped at once; what was running is rescued by the next run");
            std::process::exit(1);
        }
        asked = true;
        say_always(printer, "stopping: nothing new is begun, what runs may end; once more stops at once");
        stop.send_replace(true);
    }
}

async fn reloading(mut hang_up: Signal, file: PathBuf, reread: Reread, reload: mpsc::Sender<Config>) {
    while hang_up.recv().await.is_some() {
        let loaded = Config::load(&file).map_err(crate::printer::Failure::from).and_then(&reread);
        match loaded {
            Ok(config) => {
                say_always(
                    Printer::new(false),
                    "the configuration was read anew: what begins from now on follows it",
                );
                let _ = reload.send(config).await;
            }
            Err(e) => error!(
                "the configuration is not loaded anew, because it is wrong; the old one stays in force:\n{}",
                e.text()
            ),
        }
    }
}

/// The last lines of a run: what each app did, what failed, what waits.
fn say(printer: Printer, config: &Config, summary: &OnceSummary) {
    if printer.is_json() {
        return say_json(printer, summary);
    }
    if !summary.apps.is_empty() {
        printer.data(sums_by_app(config, summary));
    }
    for line in doors(summary) {
        printer.data(line);
    }
    for (id, app, error) in &summary.failed {
        printer.data(format_args!("failed: delivery {id} of {app}: {error}"));
    }
    for text in &summary.hindered {
        printer.data(format_args!("hindered: {text}"));
    }
    for (id, file, error) in &summary.refused {
        // Most reasons name the file themselves.
        let file = if error.contains(file.as_str()) { String::new() } else { format!("{file}: ") };
        printer.data(format_args!("refused: delivery {id}: {file}{error}"));
    }
    let now = jiff::Timestamp::now();
    for (id, (app, error, at)) in summary.later.iter().take(LATER_SHOWN_MAX) {
        let at = at
            .map(|at| times::at(at, &config.timezone, now))
            .map_or_else(|| "later".to_owned(), |at| format!("at {at}"));
        let error = if error.is_empty() { String::new() } else { format!(": {error}") };
        printer.data(format_args!("waits: delivery {id} of {app} is tried again {at}{error}"));
    }
    if summary.later.len() > LATER_SHOWN_MAX {
        printer.data(format_args!(
            "waits: … and {} more",
            number((summary.later.len() - LATER_SHOWN_MAX) as u64)
        ));
    }
    for waiting in &summary.waiting {
        printer.data(waits_for_somebody(config, waiting));
    }
    for notice in &summary.notices {
        printer.data(format_args!("note: {notice}"));
    }
    if let Some((id, _, _)) = summary.failed.first() {
        printer.talk(format_args!(
            "`handover why {id}` says more; `handover retry {id}` tries it again once its cause is mended"
        ));
    }
    if summary.apps.is_empty() && summary.refused.is_empty() {
        let waits = !summary.later.is_empty() || !summary.waiting.is_empty();
        printer.data(if waits { "nothing to do now" } else { "nothing to do" });
    }
}

/// What changed doors, and how the records of each app stand now.
fn doors(summary: &OnceSummary) -> Vec<String> {
    let mut lines = Vec::new();
    for (app, moved) in &summary.split {
        let (files, records) = (count(moved.files, "file"), count(moved.records, "record"));
        let rejected = match moved.rejected {
            0 => String::new(),
            rejected => format!(", {} rejected", count(rejected, "row")),
        };
        lines.push(format!("split: {files} into {records} for {app}{rejected}"));
    }
    for (app, moved) in &summary.gathered {
        let (files, records) = (count(moved.files, "file"), count(moved.records, "record"));
        lines.push(format!("gathered: {records} into {files} for {app}"));
    }
    lines.extend(summary.records.iter().map(|records| format!("records of {records}")));
    lines
}

/// What each app did, in the order of the configuration.
fn sums_by_app(config: &Config, summary: &OnceSummary) -> Table {
    let skipped = summary.apps.values().any(|sums| sums.skipped > 0);
    let mut columns = vec![Column::left("app"), Column::right("done"), Column::right("failed")];
    if skipped {
        columns.insert(2, Column::right("skipped"));
    }
    let filtered = summary.apps.values().any(|sums| sums.rows_filtered > 0);
    columns.extend(["rows in", "rows out", "rejected"].map(Column::right));
    if filtered {
        columns.push(Column::right("filtered"));
    }
    columns.push(Column::right("written"));
    let mut table = Table::new(&columns);
    for (app, sums) in config.apps.iter().filter_map(|app| summary.apps.get_key_value(&app.name)) {
        let done = sums.completed - sums.skipped;
        let mut row = vec![app.to_string(), number(done), number(sums.failed)];
        if skipped {
            row.insert(2, number(sums.skipped));
        }
        row.extend([sums.rows_in, sums.rows_out, sums.rows_rejected].map(number));
        if filtered {
            row.push(number(sums.rows_filtered));
        }
        row.push(if done == 0 { "-".to_owned() } else { format_size(sums.bytes_out) });
        table.row(row);
    }
    table
}

fn waits_for_somebody(config: &Config, waiting: &WaitingApp) -> String {
    let (app, pending) = (&waiting.app, waiting.pending);
    let many = if pending == 1 { "1 delivery".to_owned() } else { format!("{} deliveries", number(pending)) };
    match &waiting.paused {
        Some(pause) => {
            let since = times::at(pause.since, &config.timezone, jiff::Timestamp::now());
            format!(
                "waits: {many} of {app}, paused since {since} by {}: `handover resume {app}` goes on",
                pause.by
            )
        }
        None if config.app(app).is_some() => format!(
            "waits: {many} of {app}, records that no link brings to it: link to it by database, or gather them by file"
        ),
        None => format!("waits: {many} of {app}, which is not declared: declare it, or cancel them"),
    }
}

fn say_json(printer: Printer, summary: &OnceSummary) {
    let later: Vec<_> = summary
        .later
        .iter()
        .map(|(id, (app, error, at))| serde_json::json!({"id": id, "app": app, "error": error, "run_at": at}))
        .collect();
    let failed: Vec<_> = summary
        .failed
        .iter()
        .map(|(id, app, error)| serde_json::json!({"id": id, "app": app, "error": error}))
        .collect();
    let refused: Vec<_> = summary
        .refused
        .iter()
        .map(|(id, file, error)| serde_json::json!({"id": id, "file": file, "error": error}))
        .collect();
    printer.json(&serde_json::json!({
        "arrived": summary.arrived, "apps": summary.apps, "failed": failed, "refused": refused, "later": later,
        "waiting": summary.waiting, "notices": summary.notices, "split": summary.split, "gathered": summary.gathered,
        "records": summary.records, "hindered": summary.hindered,
    }));
}
