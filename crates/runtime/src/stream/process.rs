//! A stream program that runs: its pipes, and what comes out of them.
//!
//! Its stdin is written and its stdout read by a task each, so neither waits for the other; what is read and not yet
//! heard is bounded, and a program that floods waits. The guard ends the run only when its whole tree is gone.

use super::lines::{Lines, Said};
use crate::config::{App, Program};
use crate::context::Context;
use crate::delivery::{blocking, small};
use crate::program::{Ended, Input, Output, ProgramSpec};
use handover_core::limits::SHUTDOWN_GRACE_MS;
use handover_core::{Error, Result};
use handover_file::draft::Draft;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

/// What is read from its stdout at once.
const READ_BYTES: usize = 64 * 1024;
/// So many reads that nobody has heard yet may wait.
const UNHEARD_MAX: usize = 4;
/// So many lines of one program that are no answers are shown; the rest is counted.
const STRANGE_SHOWN: u64 = 10;

/// Why we stopped a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It did not answer in time.
    TimedOut,
    /// It wrote a line that is too long.
    TooLong,
    /// Nothing more is wanted of it.
    Unwanted,
    /// The end of something that it had was asked for.
    Cancelled,
}

/// What happened with a program.
pub(super) enum Heard {
    /// It said this.
    Lines(Vec<Said>),
    /// It ended.
    Ended(Result<Ended>),
}

/// A running program.
pub(super) struct Process {
    heard: mpsc::Receiver<Vec<Said>>,
    closed: bool,
    stdin: Option<mpsc::UnboundedSender<Vec<u8>>>,
    cancel: watch::Sender<bool>,
    run: JoinHandle<Result<Ended>>,
    /// Why it was stopped, where we did.
    pub(super) stopped: Option<Stopped>,
    /// How many records it has answered.
    pub(super) answered: u64,
    strange: u64,
    /// The last line that was no answer, and why it is none.
    pub(super) complaint: Option<String>,
    app: Arc<App>,
    /// Its configuration's file: removed with it. (A mutex, because a draft is no one's to share.)
    _config: std::sync::Mutex<Option<Draft>>,
    _alive: Alive,
}

/// Counts the programs that run, so that a shutdown waits for them.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Process {
    /// Starts the program.
    ///
    /// # Errors
    /// Where its pipes or its configuration cannot be made. That it cannot be started is its end.
    pub(super) async fn start(
        ctx: &Arc<Context>,
        app: &Arc<App>,
        program: &Program,
        alive: &Arc<AtomicUsize>,
    ) -> Result<Self> {
        let failed = |e| Error::io("make a pipe for", &app.name, e);
        let (stdin, to_it) = io::pipe().map_err(failed)?;
        let (from_it, stdout) = io::pipe().map_err(failed)?;
        let to_it = pipe::Sender::from_owned_fd(to_it.into()).map_err(failed)?;
        let from_it = pipe::Receiver::from_owned_fd(from_it.into()).map_err(failed)?;
        let config = configuration(ctx, app).await?;
        let values = crate::config::Placeholders {
            config: config.as_ref().map(|draft| draft.path().into()).unwrap_or_default(),
            ..Default::default()
        };
        let spec = ProgramSpec {
            words: program.command(&values),
            env: environment(app, &values.config),
            cwd: ctx.config().base.clone(),
            stdin: Input::File(File::from(OwnedFd::from(stdin))),
            stdout: Output::File(File::from(OwnedFd::from(stdout))),
            timeout: Duration::MAX,
            grace: Duration::from_millis(SHUTDOWN_GRACE_MS),
            holder: ctx.process.holder.clone(),
        };
        let (cancel, cancelled) = watch::channel(false);
        let (name, process) = (app.name.clone(), ctx.process.clone());
        let on_line = move |line: &str| debug!(app = %name, "stderr: {line}");
        alive.fetch_add(1, Ordering::SeqCst);
        let counted = Alive(alive.clone());
        let run =
            tokio::spawn(async move { process.guard.run(spec, cancelled, Some(Box::new(on_line))).await });
        let (speaks, heard) = mpsc::channel(UNHEARD_MAX);
        tokio::spawn(hear(from_it, speaks));
        let (stdin, lines) = mpsc::unbounded_channel();
        tokio::spawn(write(to_it, lines));
        Ok(Self {
            heard,
            closed: false,
            stdin: Some(stdin),
            cancel,
            run,
            stopped: None,
            answered: 0,
            strange: 0,
            complaint: None,
            app: app.clone(),
            _config: std::sync::Mutex::new(config),
            _alive: counted,
        })
    }

    /// Gives it lines. That it does not take them is known by its end.
    pub(super) fn give(&self, lines: Vec<u8>) {
        if let Some(stdin) = &self.stdin {
            let _ = stdin.send(lines);
        }
    }

    /// Ends its stdin, after what was given.
    pub(super) fn close(&mut self) {
        self.stdin = None;
    }

    /// Stops it: SIGTERM to its group, SIGKILL to all that is left of it after the grace.
    pub(super) fn stop(&mut self, why: Stopped) {
        self.stopped = self.stopped.or(Some(why));
        self.cancel.send_replace(true);
    }

    /// What happens next. All that it has said comes before its end. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Heard {
        if !self.closed {
            match self.heard.recv().await {
                Some(lines) => return Heard::Lines(lines),
                None => self.closed = true,
            }
        }
        let end = (&mut self.run).await;
        Heard::Ended(end.map_err(|e| Error::internal("a task broke off").because(e)).and_then(|end| end))
    }

    /// A line came that is nobody's answer. A flood of them is counted, not shown.
    pub(super) fn strange(&mut self, line: &str, why: &str) {
        self.strange += 1;
        self.complaint = Some(format!("{why}: {line}"));
        match self.strange {
            ..=STRANGE_SHOWN => {
                warn!(app = %self.app.name, "its stdout has a line that is no answer ({why}): {line}")
            }
            n if n == STRANGE_SHOWN + 1 => {
                warn!(app = %self.app.name, "more such lines are counted, and shown no more; what is not for Handover belongs on stderr");
            }
            _ => {}
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.strange > STRANGE_SHOWN {
            warn!(app = %self.app.name, "its stdout had {} lines that were no answers", self.strange);
        }
    }
}

/// `with:` as a file, for as long as the program runs.
async fn configuration(ctx: &Arc<Context>, app: &App) -> Result<Option<Draft>> {
    let Some(with) = app.with.clone() else { return Ok(None) };
    let (data, holder) = (ctx.project.data.clone(), ctx.process.holder.clone());
    blocking(move || small(data.draft(&holder, "json")?, with.to_string().as_bytes()).map(Some)).await
}

/// The variables of one run; those of a single delivery are empty.
fn environment(app: &App, config: &std::ffi::OsStr) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = vec![
        ("HANDOVER_APP".into(), app.name.to_string().into()),
        ("HANDOVER_CONFIG".into(), config.to_owned()),
        // What it answers is to come at once.
        ("PYTHONUNBUFFERED".into(), "1".into()),
    ];
    let of_one = ["DELIVERY_ID", "ATTEMPT", "INPUT", "OUTPUT", "MANIFEST"];
    all.extend(of_one.map(|name| (format!("HANDOVER_{name}").into(), OsString::new())));
    all
}

/// Reads its stdout until it ends, or nobody listens any more.
async fn hear(stdout: pipe::Receiver, into: mpsc::Sender<Vec<Said>>) {
    let mut lines = Lines::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        if stdout.readable().await.is_err() {
            break;
        }
        let count = match stdout.try_read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(_) => break,
        };
        let mut said = Vec::new();
        lines.push(&bytes[..count], &mut said);
        if !said.is_empty() && into.send(said).await.is_err() {
            return;
        }
    }
    let mut said = Vec::new();
    lines.end(&mut said);
    if !said.is_empty() {
        let _ = into.send(said).await;
    }
}

/// Writes its stdin; ends it when nothing more is to come.
async fn write(stdin: pipe::Sender, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = lines.recv().await {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if stdin.writable().await.is_err() {
                return;
            }
            match stdin.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                // It reads no more; its end tells the rest.
                Err(_) => return,
            }
        }
    }
}
