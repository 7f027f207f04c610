//! Running programs, with real processes: how they end (`ends`), when one begins behind another (`behind`), that nothing of their trees is left (`trees`),
//! and what is left when the runtime or the guard is killed (`crashes`: nothing).
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod behind;
mod crashes;
mod ends;
mod trees;

use handover_core::HolderId;
use handover_runtime::program::{Guard, Input, Output, ProgramSpec};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const STAND_IN: &str = env!("CARGO_BIN_EXE_runtime-stand-in");

fn start_guard() -> Guard {
    Guard::start(Path::new(STAND_IN), &[OsStr::new("guard")]).unwrap()
}

fn words(words: &[&str]) -> ProgramSpec {
    ProgramSpec {
        words: words.iter().map(OsString::from).collect(),
        env: vec![("STAND_IN".into(), STAND_IN.into())],
        cwd: std::env::temp_dir(),
        stdin: Input::Null,
        stdout: Output::Null,
        timeout: Duration::from_secs(600),
        grace: Duration::from_secs(600),
        holder: HolderId("test-holder".to_owned()),
    }
}

/// A shell's script, run in `folder`.
fn sh(script: &str, folder: &Path) -> ProgramSpec {
    ProgramSpec { cwd: folder.to_owned(), ..words(&["sh", "-c", script]) }
}

fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}

/// Waits until `what` gives something.
async fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = what() {
            return value;
        }
        assert!(Instant::now() < deadline, "it did not happen within a minute");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// The numbers in a file, once it has a whole line of them.
async fn numbers(file: PathBuf) -> Vec<u32> {
    until(|| {
        let text = std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))?;
        Some(text.split_whitespace().map(|number| number.parse().unwrap()).collect())
    })
    .await
}

/// Whether a process is there and not merely unreaped.
fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.trim_start().chars().next())
        .is_some_and(|state| !"ZX".contains(state))
}

async fn gone(pid: u32) {
    until(|| (!alive(pid)).then_some(())).await;
}

fn kill(signal: &str, pid: u32) {
    assert!(std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn file(path: &Path) -> File {
    File::create_new(path).unwrap()
}
