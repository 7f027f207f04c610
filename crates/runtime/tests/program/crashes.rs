//! The runtime, the guard or both are killed: no program goes on running.

use super::{STAND_IN, alive, gone, kill, never, numbers, sh, start_guard, until, words};
use handover_core::{ErrorKind, HolderId, Retry};
use handover_runtime::program::{HolderState, How, sweep_leftovers};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Leaves its number, its guard's and its children's: one in its group, one hidden.
const PROGRAM: &str = "trap '' TERM HUP INT; $STAND_IN hide hidden.$$; while [ ! -s hidden.$$ ]; do sleep 0.01; done
                       sleep 1000 & echo $PPID $$ $! $(cat hidden.$$) > pids.$$.part; mv pids.$$.part pids.$$; wait";

/// A runtime that runs three of [`PROGRAM`]; its guards, and all their processes.
async fn start_runtime(folder: &Path, holder: &str) -> (Child, Vec<u32>, Vec<u32>) {
    let runtime = Command::new(STAND_IN)
        .args(["run", holder, "3", "sh", "-c", PROGRAM])
        .env("STAND_IN", STAND_IN)
        .current_dir(folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let files = until(|| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = names
            .filter(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                name.starts_with("pids.") && !name.ends_with(".part")
            })
            .collect();
        (files.len() == 3).then_some(files)
    })
    .await;
    let (mut guards, mut pids) = (Vec::new(), Vec::new());
    for file in files {
        let of_one = numbers(file).await;
        guards.push(of_one[0]);
        pids.extend(&of_one[1..]);
    }
    assert_eq!(pids.len(), 9);
    guards.sort_unstable();
    guards.dedup();
    (runtime, guards, pids)
}

#[tokio::test]
async fn a_runtime_that_is_killed_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let (mut runtime, guards, pids) = start_runtime(folder.path(), "killed-runtime").await;
    assert!(pids.iter().all(|pid| alive(*pid)));
    // What a terminal or a service manager may send to all of them changes nothing.
    for signal in ["-INT", "-TERM", "-HUP"] {
        guards.iter().for_each(|guard| kill(signal, *guard));
    }
    runtime.kill().unwrap();
    runtime.wait().unwrap();
    for pid in pids.into_iter().chain(guards) {
        gone(pid).await;
    }
}

#[tokio::test]
async fn both_killed_at_once_leave_programs_that_the_next_runtime_sweeps() {
    let folder = tempfile::tempdir().unwrap();
    let holder = HolderId::new(std::process::id());
    let (mut runtime, guards, pids) = start_runtime(folder.path(), &holder.0).await;
    guards.iter().for_each(|guard| kill("-STOP", *guard));
    runtime.kill().unwrap();
    runtime.wait().unwrap();
    for guard in guards {
        kill("-KILL", guard);
        gone(guard).await;
    }
    let others = sweep_leftovers(|_| HolderState::Unknown);
    let living =
        sweep_leftovers(|one| if *one == holder { HolderState::Alive } else { HolderState::Unknown });
    assert_eq!((others, living), Default::default());
    assert!(pids.iter().all(|pid| alive(*pid)));

    let swept = sweep_leftovers(|one| if *one == holder { HolderState::Dead } else { HolderState::Unknown });
    assert_eq!((swept.killed, swept.left), (9, 0));
    assert!(pids.iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn a_guard_that_is_killed_takes_its_programs_along_and_a_new_one_comes() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let spec = sh(
        "trap '' TERM; $STAND_IN hide hidden; while [ ! -s hidden ]; do sleep 0.01; done
                   sleep 1000 & echo $PPID $$ $! $(cat hidden) > pids; wait",
        folder.path(),
    );
    let (ended, pids) = tokio::join!(guard.run(spec, never(), None), async {
        let pids = numbers(folder.path().join("pids")).await;
        kill("-KILL", pids[0]);
        pids
    });
    let error = ended.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Program, Retry::Yes), "{error}");
    assert!(error.to_string().contains("guard"), "{error}");
    assert!(pids.iter().all(|pid| !alive(*pid)), "gone before it is said");
    assert_eq!(guard.run(words(&["true"]), never(), None).await.unwrap().how, How::Exit(0));
    guard.shutdown().await;
}
