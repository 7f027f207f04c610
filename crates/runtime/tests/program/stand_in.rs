//! A stand-in for the `handover` binary in the tests of `handover_runtime::program`: real processes that a test
//! may kill.
//!
//! - `guard`: the guard.
//! - `run HOLDER COUNT WORDS…`: a runtime that runs `COUNT` of the same program at once and waits for them.
//! - `hide FILE`: starts `hidden FILE` and ends, so that its child is an orphan; `hide-bare`: without variables.
//! - `hidden FILE`: leaves its session, writes its number to the file and stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, clippy::zombie_processes)]

use handover_core::HolderId;
use handover_runtime::program::{Guard, Input, Output, ProgramSpec, guard};
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::time::Duration;

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().expect("UTF-8")).collect();
    match words[..] {
        ["guard"] => guard::serve().expect("the guard serves"),
        ["run", holder, count, ..] => run(holder, count.parse().expect("a number"), &args[3..]),
        ["hide", file] => hide(file, false),
        ["hide-bare", file] => hide(file, true),
        ["hidden", file] => {
            rustix::process::setsid().expect("a session of its own");
            std::fs::write(file, format!("{}\n", std::process::id())).expect("the file is written");
            std::thread::sleep(Duration::from_secs(1000));
        }
        _ => panic!("{words:?}"),
    }
}

fn hide(file: &str, bare: bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if bare {
        command.env_clear();
    }
    let nothing = Stdio::null;
    command.args(["hidden", file]).stdin(nothing()).stdout(nothing()).stderr(nothing()).spawn().unwrap();
}

fn run(holder: &str, count: usize, words: &[OsString]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let guard = Guard::start(&std::env::current_exe().unwrap(), &[OsStr::new("guard")]).unwrap();
        let (_sender, cancel) = tokio::sync::watch::channel(false);
        let run = |_| {
            let spec = ProgramSpec {
                words: words.to_vec(),
                env: Vec::new(),
                cwd: std::env::current_dir().unwrap(),
                stdin: Input::Null,
                stdout: Output::Null,
                timeout: Duration::from_secs(1000),
                grace: Duration::from_secs(1),
                holder: HolderId(holder.to_owned()),
            };
            guard.run(spec, cancel.clone(), None)
        };
        let mut runs: Vec<_> = (0..count).map(run).map(Box::pin).collect();
        std::future::poll_fn(|context| {
            runs.retain_mut(|run| run.as_mut().poll(context).is_pending());
            if runs.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        drop(runs);
        guard.shutdown().await;
    });
}
