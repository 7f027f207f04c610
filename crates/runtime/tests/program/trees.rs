//! Stopping a program stops its tree, and a program has ended only when its tree is gone.

use super::{alive, gone, never, numbers, sh, start_guard};
use handover_runtime::program::{Ended, How, ProgramSpec};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Runs a script and cancels it when `file` has numbers; gives them too.
async fn cancelled(script: &str, folder: &Path, grace: Duration) -> (Ended, Vec<u32>) {
    let guard = start_guard();
    let (sender, cancel) = watch::channel(false);
    let spec = ProgramSpec { grace, ..sh(script, folder) };
    let (ended, pids) = tokio::join!(guard.run(spec, cancel, None), async {
        let pids = numbers(folder.join("pids")).await;
        sender.send(true).unwrap();
        pids
    });
    (ended.unwrap(), pids)
}

fn all_gone(pids: &[u32]) {
    assert!(!pids.is_empty());
    for pid in pids {
        assert!(!alive(*pid), "{pid} of {pids:?} is alive");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_stopped_by_its_timeout_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let script = "echo talk >&2; sleep 1000 & echo $$ $! > pids; wait";
    let spec = ProgramSpec { timeout: Duration::from_millis(300), ..sh(script, folder.path()) };
    let ended = guard.run(spec, never(), None).await.unwrap();
    assert_eq!((ended.how, ended.stderr.as_str()), (How::TimedOut, "talk\n"));
    assert!(ended.wall >= Duration::from_millis(300));
    all_gone(&numbers(folder.path().join("pids")).await);
}

#[tokio::test]
async fn children_that_stay_behind_in_the_group_are_killed_when_the_program_ends() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let script = "trap '' TERM; sleep 1000 & (sleep 1000 & sleep 1000 & echo $! > inner; wait) & \
                  while [ ! -s inner ]; do sleep 0.01; done; echo $! $(cat inner) > pids; exit 3";
    let ended = guard.run(sh(script, folder.path()), never(), None).await.unwrap();
    assert_eq!(ended.how, How::Exit(3));
    all_gone(&numbers(folder.path().join("pids")).await);
}

#[tokio::test]
async fn children_that_hide_in_sessions_of_their_own_are_killed_too() {
    for hide in ["hide", "hide-bare"] {
        let folder = tempfile::tempdir().unwrap();
        let guard = start_guard();
        let script = format!("$STAND_IN {hide} pids; while [ ! -s pids ]; do sleep 0.01; done");
        let ended = guard.run(sh(&script, folder.path()), never(), None).await.unwrap();
        assert_eq!(ended.how, How::Exit(0), "{}", ended.stderr);
        all_gone(&numbers(folder.path().join("pids")).await);
    }
}

#[tokio::test]
async fn a_hidden_child_of_one_run_does_not_suffer_from_the_end_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    for hide in ["hide", "hide-bare"] {
        let (pids, go) = (format!("{hide}.pids"), format!("{hide}.go"));
        let script = format!("$STAND_IN {hide} {pids}; while [ ! -e {go} ]; do sleep 0.01; done");
        let (ended, hidden) = tokio::join!(guard.run(sh(&script, folder.path()), never(), None), async {
            let hidden = numbers(folder.path().join(&pids)).await;
            let other = guard.run(sh("sleep 1000 & exit 0", folder.path()), never(), None).await.unwrap();
            assert_eq!(other.how, How::Exit(0));
            assert!(alive(hidden[0]), "{hide}");
            std::fs::write(folder.path().join(&go), "").unwrap();
            hidden
        });
        assert_eq!(ended.unwrap().how, How::Exit(0));
        all_gone(&hidden);
    }
}

#[tokio::test]
async fn a_cancelled_program_may_tidy_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo tidy > tidied; exit 0' TERM; sleep 1000 & echo $$ $! > pids; wait";
    let (ended, pids) = cancelled(script, folder.path(), Duration::from_secs(600)).await;
    assert_eq!(ended.how, How::Cancelled);
    assert_eq!(std::fs::read_to_string(folder.path().join("tidied")).unwrap(), "tidy\n");
    all_gone(&pids);
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_or_is_stopped_is_killed_after_its_grace() {
    for script in [
        "trap '' TERM; $STAND_IN hide hidden; while [ ! -s hidden ]; do sleep 0.01; done
         sleep 1000 & echo $$ $! $(cat hidden) > pids; while :; do sleep 1000; done",
        "trap '' TERM; echo $$ > pids; kill -STOP $$; sleep 1000",
    ] {
        for grace in [Duration::ZERO, Duration::from_millis(50)] {
            let folder = tempfile::tempdir().unwrap();
            let (ended, pids) = cancelled(script, folder.path(), grace).await;
            assert_eq!(ended.how, How::Cancelled);
            all_gone(&pids);
        }
    }
}

#[tokio::test]
async fn cancelled_before_it_starts_it_never_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (_sender, cancel) = watch::channel(true);
    let ended = start_guard().run(sh("echo > ran", folder.path()), cancel, None).await.unwrap();
    assert_eq!(ended.how, How::Cancelled);
    assert!(!folder.path().join("ran").exists());
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_any_more_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let guard = Arc::new(start_guard());
    let runner = Arc::clone(&guard);
    let spec = sh("trap '' TERM; sleep 1000 & echo $$ $! > pids; wait", folder.path());
    let task = tokio::spawn(async move { runner.run(spec, never(), None).await.map(drop) });
    let pids = numbers(folder.path().join("pids")).await;
    task.abort();
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn after_shutdown_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let spec = sh("trap '' TERM; echo $$ $PPID > pids; sleep 1000", folder.path());
    {
        let run = guard.run(spec, never(), None);
        tokio::pin!(run);
        let pids = numbers(folder.path().join("pids"));
        tokio::select! {
            _ = &mut run => panic!("it ended"),
            _ = pids => {}
        }
    }
    guard.shutdown().await;
    all_gone(&numbers(folder.path().join("pids")).await);
}

#[tokio::test]
async fn a_runtime_inside_a_run_is_part_of_its_tree() {
    let folder = tempfile::tempdir().unwrap();
    // The inner guard and its programs are in other sessions, with another holder.
    let script = "$STAND_IN run inner-holder 2 sh -c 'trap \"\" TERM; echo $$ $PPID > .pid.$$; mv .pid.$$ pid.$$; sleep 1000' &
                  while [ $(ls pid.* 2>/dev/null | wc -l) -lt 2 ]; do sleep 0.01; done; cat pid.* > pids
                  trap '' TERM; wait";
    let (ended, pids) = cancelled(script, folder.path(), Duration::from_millis(50)).await;
    assert_eq!(ended.how, How::Cancelled);
    assert_eq!(pids.len(), 4);
    all_gone(&pids);
}
