//! The one printer: stdout is data, stderr is talk, and every error has the same shape.
//!
//! A reader of stdout that has gone away, as `head` does, is no error: the command goes on to its end and its own exit
//! code, and what it would have printed is dropped. Any other failure to write is said once, and [`end`] makes the exit
//! code 1 of it.

use handover_core::{Error, ErrorKind};
use handover_runtime::config::ConfigError;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Nothing more is written to stdout.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Something could not be written to stdout, and its reader had not gone away.
static LOST: AtomicBool = AtomicBool::new(false);

/// What a command may fail with.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Problems in the configuration, with their lines.
    Config(Box<ConfigError>),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl Failure {
    /// What went wrong, in words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Config(error) => error.render(),
            Self::Error(error) => error.to_string(),
        }
    }
}

/// The result of a command.
pub(crate) type Outcome<T = ExitCode> = Result<T, Failure>;

/// Prints for a person, or as JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON is wanted.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether stderr is a terminal, for progress.
    pub(crate) fn talks_to_a_person(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// A line of data.
    pub(crate) fn data(self, line: impl Display) {
        if CLOSED.load(Ordering::SeqCst) {
            return;
        }
        let mut stdout = io::stdout().lock();
        let Err(e) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) else { return };
        drop(stdout);
        CLOSED.store(true, Ordering::SeqCst);
        if e.kind() != io::ErrorKind::BrokenPipe {
            LOST.store(true, Ordering::SeqCst);
            self.talk(format_args!("error: cannot write to standard output: {e}"));
        }
    }

    /// A value as JSON on one line.
    pub(crate) fn json(self, value: &impl Serialize) {
        self.data(serde_json::to_string(value).unwrap_or_default());
    }

    /// A line of talk.
    pub(crate) fn talk(self, line: impl Display) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Says what went wrong and gives the exit code: 1 the work failed, 2 the command or configuration is wrong.
    pub(crate) fn fail(self, failure: &Failure) -> ExitCode {
        match failure {
            Failure::Config(error) => {
                if self.json {
                    let problems: Vec<_> = error
                        .problems
                        .iter()
                        .map(|p| serde_json::json!({"path": p.path, "line": p.line, "column": p.column, "message": p.message, "hint": p.hint}))
                        .collect();
                    self.data(serde_json::json!({"error": {"code": ErrorKind::Config.code(), "message": "the configuration is wrong", "details": problems}}));
                } else {
                    self.talk(error.render().trim_end());
                }
                ExitCode::from(2)
            }
            Failure::Error(error) => {
                if self.json {
                    self.data(serde_json::json!({"error": {"code": error.code(), "message": error.to_string(), "hint": error.hint_text()}}));
                } else {
                    self.talk(format_args!("error: {error}"));
                    if let Some(hint) = error.hint_text() {
                        self.talk(format_args!("help: {hint}"));
                    }
                }
                if error.kind() == ErrorKind::Config { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        }
    }
}

/// The exit code of a command that ended with `code`: 1 instead of 0 where what it printed could not be written.
pub(crate) fn end(code: ExitCode) -> ExitCode {
    if LOST.load(Ordering::SeqCst) && code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
}
