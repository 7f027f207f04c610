//! `handover run`: the daemon, one run for cron, or what a run would do.

use super::{Start, block_on};
use crate::printer::{Outcome, Printer};
use handover_core::{Error, Result};
use handover_runtime::config::Config;
use handover_runtime::engine::events::Observer;
use handover_runtime::engine::{OnceSummary, Options};
use handover_runtime::{Engine, Project};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::PoisonError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Work until nothing is runnable, then end: for cron
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) once: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Runs it.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let config = start.config()?;
    config.runnable()?;
    for notice in config.notices() {
        tracing::warn!("{}", notice.message);
    }
    let project = Project::open(config)?;
    let options = Options { only: None, once: args.once };
    block_on(serve(start.clone(), project, options))?
}

/// Runs an engine under the process's signals, once or until stopped.
pub(crate) async fn serve(start: Start, project: Project, options: Options) -> Outcome {
    let observer = Observer::default();
    let summary = OnceSummary::listen(&observer);
    let file = start.config_file()?;
    let once = options.once;
    let (stop, reload) = signals(file)?;
    let engine = Engine::start(project, options, observer).await?;
    info!("running as {}", engine.holder());
    if !once {
        engine.run(stop, reload).await?;
        info!("stopped");
        return Ok(ExitCode::SUCCESS);
    }
    engine.run_once(stop).await?;
    let summary = summary.lock().unwrap_or_else(PoisonError::into_inner).clone();
    say(start.printer, &summary);
    Ok(if summary.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// SIGTERM and SIGINT stop, a second one at once; SIGHUP loads the configuration anew.
fn signals(file: PathBuf) -> Result<(watch::Receiver<bool>, mpsc::Receiver<Config>)> {
    let of = |kind: SignalKind| signal(kind).map_err(|e| Error::io("listen for", "signals", e));
    let (terminate, interrupt, hang_up) =
        (of(SignalKind::terminate())?, of(SignalKind::interrupt())?, of(SignalKind::hangup())?);
    let (stop, stopped) = watch::channel(false);
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(stopping(terminate, interrupt, stop));
    tokio::spawn(reloading(hang_up, file, reload));
    Ok((stopped, reloads))
}

async fn stopping(mut terminate: Signal, mut interrupt: Signal, stop: watch::Sender<bool>) {
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
        info!("stopping: nothing new is begun, what runs may end; once more stops at once");
        stop.send_replace(true);
    }
}

async fn reloading(mut hang_up: Signal, file: PathBuf, reload: mpsc::Sender<Config>) {
    while hang_up.recv().await.is_some() {
        let loaded = Config::load(&file).and_then(|config| config.runnable().map(|()| config));
        match loaded {
            Ok(config) => {
                let _ = reload.send(config).await;
            }
            Err(e) => error!("the configuration is not loaded anew, because it is wrong; the old one stays in force:\n{}", e.render()),
        }
    }
}

/// The last lines of a run: what each app did, what failed, what waits.
fn say(printer: Printer, summary: &OnceSummary) {
    if printer.is_json() {
        let later: Vec<_> = summary
            .later
            .iter()
            .map(|(id, (app, error, at))| serde_json::json!({"id": id, "app": app, "error": error, "run_at": at}))
            .collect();
        let failed: Vec<_> =
            summary.failed.iter().map(|(id, app, error)| serde_json::json!({"id": id, "app": app, "error": error})).collect();
        let refused: Vec<_> = summary
            .refused
            .iter()
            .map(|(id, file, error)| serde_json::json!({"id": id, "file": file, "error": error}))
            .collect();
        printer.json(&serde_json::json!({
            "arrived": summary.arrived, "apps": summary.apps, "failed": failed, "refused": refused, "later": later,
            "notices": summary.notices,
        }));
        return;
    }
    for (app, sums) in &summary.apps {
        printer.data(format_args!(
            "{app:20} {:>6} done {:>4} failed  {:>9} rows in {:>9} out {:>7} rejected",
            sums.completed, sums.failed, sums.rows_in, sums.rows_out, sums.rows_rejected
        ));
    }
    for (id, app, error) in &summary.failed {
        printer.data(format_args!("failed: delivery {id} of {app}: {error}"));
    }
    for (id, file, error) in &summary.refused {
        printer.data(format_args!("refused: {file} (delivery {id}): {error}"));
    }
    for (id, (app, error, at)) in &summary.later {
        let at = at.map(handover_core::clock::rfc3339).unwrap_or_default();
        printer.data(format_args!("waits: delivery {id} of {app} is tried again at {at}: {error}"));
    }
    if summary.apps.is_empty() && summary.refused.is_empty() && summary.later.is_empty() {
        printer.data("nothing to do");
    }
}
