//! The commands: one module each. A command parses nothing and formats little: it calls the runtime and hands what
//! it gets to the printer.

pub(crate) mod run;

use crate::cli::{Cli, Command};
use crate::printer::{Outcome, Printer};
use handover_core::{Error, Result};
use handover_runtime::Project;
use handover_runtime::config::{Config, FILE_NAME};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing::Level;

/// Runs the command.
pub(crate) fn run(cli: Cli, printer: &Printer) -> Outcome {
    let start = Start { config: cli.config, printer: *printer };
    let least = if matches!(cli.command, Command::Run(_)) { Level::INFO } else { Level::WARN };
    if !matches!(cli.command, Command::Guard) {
        crate::logging::start(least, cli.verbose);
    }
    match cli.command {
        Command::Run(args) => run::run(&start, args),
        Command::Guard => {
            handover_runtime::program::guard::serve()?;
            Ok(ExitCode::SUCCESS)
        }
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
        if let Some(file) = &self.config {
            return Ok(file.clone());
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

    /// Opens a project that has run before.
    pub(crate) fn existing(&self) -> Outcome<Project> {
        Ok(Project::open_existing(self.config()?)?)
    }
}

/// A runtime for a command's async calls.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("start", "the async runtime", e))?;
    let value = runtime.block_on(future);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(value)
}

/// Who acts, for the audit log: `cli:` and the user's name.
pub(crate) fn actor() -> String {
    format!("cli:{}", std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".into()))
}

/// A path as messages show it.
#[allow(dead_code)]
pub(crate) fn shown(path: &Path) -> String {
    handover_core::path_text::to_text(path)
}
