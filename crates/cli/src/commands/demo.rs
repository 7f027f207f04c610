//! `handover demo`: three months of real flights through a whole flow, in one command.
//!
//! The folder becomes a project like any other. Invariants: a folder that holds anything else is not touched; a file
//! that is there is never written over, so a second run adds what is missing and repeats nothing: the ledger knows what
//! was imported. The table is summed from the ledger, not from what this process saw.

mod files;
mod report;

use super::run::signals;
use super::{Start, block_on, shown};
use crate::printer::{Outcome, Printer};
use crate::progress::Progress;
use handover_core::{AppName, Error, Result};
use handover_runtime::config::{Config, FILE_NAME};
use handover_runtime::engine::events::Observer;
use handover_runtime::engine::{OnceSummary, Options};
use handover_runtime::operations::times::{count, number};
use handover_runtime::{Engine, Project};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::PoisonError;

const HELP: &str = "\
Every flight that left New York City in January to March 2013, one file a day, goes through import, validation, awk \
(any program would do), enrichment and export. It takes some seconds and leaves a project to look around in: every \
checkpoint, manifest, rejected row and report, and the ledger. To be rid of it, delete the folder.

Examples:
  handover demo
  handover demo flights";

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// An empty or a new folder [default: a new one among the temporary files]
    dir: Option<PathBuf>,
}

/// Makes the project, runs it, and says what came of it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let printer = start.printer;
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("handover-demo-{}", &handover_core::id::random_hex()[..8])),
    };
    let again = files::is_demo(&dir);
    if !again {
        must_be_empty(&dir)?;
    }
    let made = files::make(&dir)?;
    announce(printer, &dir, again, &made);
    let config = Config::load(&dir.join(FILE_NAME))?;
    let project = Project::open(config)?;
    let apps = apps_of(&project);
    let failed = block_on(work(printer, project.clone(), &apps, made.days))??;
    let report = block_on(report::gather(&project, &dir, &apps))??;
    if printer.is_json() {
        printer.json(&report);
    } else {
        report.say(printer, again && made.days == 0);
    }
    Ok(if failed == 0 && report.every_row_accounted_for { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn must_be_empty(dir: &Path) -> Result<()> {
    let refuse = |what: &str| {
        Error::config(what.to_owned())
            .on(shown(dir))
            .hint("give an empty or a new folder; without one a temporary one is made")
    };
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(refuse("the folder is not empty, and holds no demo: nothing was changed")),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            Err(refuse("this is a file, and a folder is wanted"))
        }
        Err(e) => Err(Error::io("look into", shown(dir), e)),
    }
}

fn announce(printer: Printer, dir: &Path, again: bool, made: &files::Made) {
    if printer.is_json() {
        return;
    }
    let folder = shown(dir);
    if !again {
        let (rows, days) = (number(made.rows), count(made.days, "file"));
        printer.talk(format_args!("{rows} real flights, in {days} of a day each, are in {folder}/incoming.\nThey go through the flow that {folder}/{FILE_NAME} declares.\n"));
        return;
    }
    match made.days {
        0 => printer.talk(format_args!(
            "The demo is in {folder} already. Nothing is written over, and nothing is imported twice.\n"
        )),
        days => printer.talk(format_args!(
            "A demo was begun in {folder}: {} that were missing are added, and it goes on.\n",
            count(days, "file")
        )),
    }
}

/// The apps in the order of the flow.
fn apps_of(project: &Project) -> Vec<AppName> {
    project.config.flows.first().map(|flow| flow.apps().to_vec()).unwrap_or_default()
}

/// Works until all is through. Returns how many deliveries failed.
async fn work(printer: Printer, project: Project, apps: &[AppName], total: u64) -> Result<usize> {
    let observer = Observer::default();
    let summary = OnceSummary::listen(&observer);
    let file = project.config.file.clone();
    let progress = Progress::listen(&observer, printer, if total > 0 { apps } else { &[] }, total);
    let (stop, _) = signals(file, Box::new(Ok), true)?;
    let engine = Engine::start(project, Options { only: None, once: true }, observer).await?;
    engine.run_once(stop).await?;
    progress.end();
    let summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
    for (id, app, error) in &summary.failed {
        printer.talk(format_args!("failed: delivery {id} of {app}: {error}"));
    }
    for (id, (app, error, _)) in &summary.later {
        printer.talk(format_args!("waits: delivery {id} of {app} is tried again later: {error}"));
    }
    Ok(summary.failed.len() + summary.later.len())
}
