//! `notify: COMMAND`: told of each failed delivery and every quarantined file by a line of JSON on its stdin.
//!
//! One command runs at a time, in the order of what happened; one that fails or hangs is said in the log and does
//! not hold the work up. Who is told of alerts by a list of targets is in [`crate::notices`].

use super::ended;
use super::events::Event;
use crate::context::Process;
use crate::program::{How, Input, Output, ProgramSpec};
use crate::project::Project;
use handover_core::{Error, Result, path_text};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// How long the command may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More than this many lines wait for nobody: the rest is counted and said.
const WAITING_MAX: usize = 1_000;

/// Starts listening; the lines go to the task that [`serve`] is.
pub(crate) fn listen(process: &Process) -> mpsc::Receiver<Value> {
    let (sender, lines) = mpsc::channel(WAITING_MAX);
    process.observer.listen(move |event| {
        if let Some(line) = line(event)
            && sender.try_send(line).is_err()
        {
            warn!("`notify` cannot keep up: a failure was not told; it is in the ledger all the same");
        }
    });
    lines
}

/// What is told of an event, if it is one that is told.
fn line(event: &Event) -> Option<Value> {
    match event {
        Event::Failed { app, id, file, error, quarantined } => Some(json!({
            "event": if *quarantined { "quarantined" } else { "failed" },
            "app": app, "delivery_id": id.to_string(), "file": file, "error": error, "time": jiff::Timestamp::now(),
        })),
        Event::Refused { app, id, original, error } => Some(json!({
            "event": "quarantined", "app": app, "delivery_id": id.to_string(), "file": original, "error": error,
            "time": jiff::Timestamp::now(),
        })),
        _ => None,
    }
}

/// Runs the command for each line until the lines end, or, once `end` is true, until none waits.
pub(crate) async fn serve(
    project: Project,
    process: Arc<Process>,
    mut lines: mpsc::Receiver<Value>,
    mut end: watch::Receiver<bool>,
) {
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = ended(&mut end) => lines.try_recv().ok(),
        };
        let Some(line) = line else { return };
        let Some(command) = project.config.notify.clone() else { continue };
        if let Err(e) = tell(&project, &process, &command, &line).await {
            warn!("`notify` failed: {e}");
        }
    }
}

/// Runs a command with this line of JSON on its stdin.
pub(crate) async fn tell(project: &Project, process: &Process, command: &str, line: &Value) -> Result<()> {
    let words = crate::config::Program::new(command, false)?.command(&crate::config::Placeholders::default());
    let (data, holder, text) = (project.data.clone(), process.holder.clone(), format!("{line}\n"));
    let draft = crate::delivery::small_draft(data, holder, text).await?;
    let stdin = std::fs::File::open(draft.path())
        .map_err(|e| Error::io("open", path_text::to_text(draft.path()), e))?;
    let spec = ProgramSpec {
        words,
        env: Vec::new(),
        cwd: project.config.base.clone(),
        stdin: Input::File(stdin),
        stdout: Output::Null,
        timeout: TIMEOUT,
        grace: Duration::from_secs(1),
        holder: process.holder.clone(),
    };
    let (_never, stop) = watch::channel(false);
    let ended = process.guard.run(spec, stop, None).await?;
    if ended.how == How::Exit(0) {
        return Ok(());
    }
    let last = ended.stderr.lines().last().unwrap_or_default();
    Err(Error::new(handover_core::ErrorKind::Program, ended.meaning().sentence).on(last))
}
