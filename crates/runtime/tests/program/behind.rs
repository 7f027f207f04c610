//! A program that was put behind another: the guard begins it, and when.

use super::{alive, never, numbers, sh, start_guard, until};
use handover_core::ErrorKind;
use handover_runtime::program::{Guard, How, Run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

async fn behind(guard: &Guard, first: &Run, script: &str, folder: &Path) -> Run {
    guard.begin(sh(script, folder), None, Some(&first.handle())).await.unwrap()
}

#[tokio::test]
async fn it_begins_when_the_whole_tree_before_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    // The first one leaves a process behind, which is killed.
    let first = guard.begin(sh("sleep 1000 & echo $! >left; sleep 0.3; exit 3", folder.path()), None, None);
    let first = first.await.unwrap();
    let second =
        behind(&guard, &first, "kill -0 $(cat left) && exit 1; echo $PPID >second", folder.path()).await;
    let third = behind(&guard, &second, "echo third >&2; test -s second", folder.path()).await;
    // Nobody asks how the first one ended: the guard needs no word from us.
    numbers(folder.path().join("second")).await;
    assert_eq!(first.end(never()).await.unwrap().how, How::Exit(3));
    assert_eq!(second.end(never()).await.unwrap().how, How::Exit(0));
    let third = third.end(never()).await.unwrap();
    assert_eq!((third.how, third.stderr.as_str()), (How::Exit(0), "third\n"));
    guard.shutdown().await;
}

#[tokio::test]
async fn behind_one_that_has_ended_or_could_not_be_started_it_begins_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("no-such-interpreter");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let guard = start_guard();
    for (first, code) in [("exit 0", Some(0)), (script.to_str().unwrap(), None)] {
        let spec = match code {
            Some(_) => sh(first, folder.path()),
            None => super::words(&[first]),
        };
        let first = guard.begin(spec, None, None).await.unwrap();
        let before = first.handle();
        assert_eq!(first.end(never()).await.ok().map(|ended| ended.how), code.map(How::Exit));
        let second = guard.begin(sh("exit 7", folder.path()), None, Some(&before)).await.unwrap();
        assert_eq!(second.end(never()).await.unwrap().how, How::Exit(7));
    }
    // One that cannot be started lets go on what is behind it, though nobody listens.
    let first = guard.begin(sh("sleep 0.2", folder.path()), None, None).await.unwrap();
    let bad = super::words(&[script.to_str().unwrap()]);
    let bad = guard.begin(bad, None, Some(&first.handle())).await.unwrap();
    let last = behind(&guard, &bad, "exit 8", folder.path()).await;
    assert_eq!(last.end(never()).await.unwrap().how, How::Exit(8));
    assert_eq!(bad.end(never()).await.unwrap_err().kind(), ErrorKind::Config);
    guard.shutdown().await;
}

#[tokio::test]
async fn it_begins_at_once_when_it_is_told_to_and_never_when_it_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let first = guard.begin(sh("echo $$ >first; exec sleep 1000", folder.path()), None, None).await.unwrap();
    let pid = numbers(folder.path().join("first")).await[0];

    let second = behind(&guard, &first, "touch second", folder.path()).await;
    second.handle().withdraw();
    let error = second.end(never()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");

    let second = behind(&guard, &first, "touch second", folder.path()).await;
    let (cancel, cancelled) = watch::channel(true);
    assert_eq!(second.end(cancelled).await.unwrap().how, How::Cancelled);
    drop(cancel);

    // Dropped, it is not begun either.
    drop(behind(&guard, &first, "touch second", folder.path()).await);

    let third = behind(&guard, &first, "exit 5", folder.path()).await;
    third.handle().begin();
    assert_eq!(third.end(never()).await.unwrap().how, How::Exit(5));
    assert!(alive(pid), "the first one runs on");

    let fourth = behind(&guard, &first, "echo $$ >fourth; sleep 0.2; exit 6", folder.path()).await;
    fourth.handle().begin();
    numbers(folder.path().join("fourth")).await;
    // One that has begun has its time.
    fourth.handle().withdraw();
    assert_eq!(fourth.end(never()).await.unwrap().how, How::Exit(6));

    super::kill("-KILL", pid);
    assert_eq!(first.end(never()).await.unwrap().how, How::Signal(9));
    assert!(!folder.path().join("second").exists(), "what was withdrawn, cancelled or dropped never began");
    guard.shutdown().await;
}

#[tokio::test]
async fn nothing_begins_when_the_runtime_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let first = guard.begin(sh("echo $$ >first; exec sleep 1000", folder.path()), None, None).await.unwrap();
    let pid = numbers(folder.path().join("first")).await[0];
    let second = behind(&guard, &first, "touch second", folder.path()).await;
    // The guard kills what runs as it does when the runtime dies.
    guard.shutdown().await;
    until(|| (!alive(pid)).then_some(())).await;
    assert!(second.end(never()).await.is_err());
    assert!(first.end(never()).await.is_err());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!folder.path().join("second").exists());
}
