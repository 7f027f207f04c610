//! How programs start and end.

use super::{file, never, sh, start_guard, words};
use handover_core::{ErrorKind, Retry, limits};
use handover_runtime::program::{How, Input, Output, ProgramSpec, Verdict};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test]
async fn exit_codes_and_signals_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    for (script, how, verdict) in [
        ("exit 0", How::Exit(0), Verdict::Done),
        ("exit 65", How::Exit(65), Verdict::BadData),
        ("exit 75", How::Exit(75), Verdict::Later),
        ("exit 255", How::Exit(255), Verdict::Retry),
        ("no-such-command", How::Exit(127), Verdict::Retry),
        ("kill -KILL $$", How::Signal(9), Verdict::Retry),
        ("kill -TERM $$", How::Signal(15), Verdict::Retry),
    ] {
        let ended = guard.run(sh(script, folder.path()), never(), None).await.unwrap();
        assert_eq!((ended.how, ended.meaning().verdict), (how, verdict), "{script}");
    }
    guard.shutdown().await;
}

#[tokio::test]
async fn stdin_and_stdout_are_the_files_and_stderr_is_kept_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in"), "b\na\n").unwrap();
    let guard = start_guard();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let spec = ProgramSpec {
        stdin: Input::File(File::open(folder.path().join("in")).unwrap()),
        stdout: Output::File(file(&folder.path().join("out"))),
        ..sh("sort; echo one >&2; printf two >&2", folder.path())
    };
    let show = Box::new(move |line: &str| seen.lock().unwrap().push(line.to_owned()));
    let ended = guard.run(spec, never(), Some(show)).await.unwrap();
    assert_eq!((ended.how, ended.stderr.as_str()), (How::Exit(0), "one\ntwo"));
    assert_eq!(std::fs::read(folder.path().join("out")).unwrap(), b"a\nb\n");
    assert_eq!(*lines.lock().unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn a_program_has_our_variables_and_its_own_and_three_descriptors_and_no_signal_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // One that a careless parent left open to be inherited.
    let careless = rustix::io::dup(File::open("/dev/null").unwrap()).unwrap();
    let guard = start_guard();
    let script = r#"echo "$EXTRA|$HANDOVER_HOLDER|${HANDOVER_RUN:+run}|${HANDOVER_GUARD-unmarked}|${PATH:+path}|$(pwd)"
        ls /proc/$$/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; :"#;
    let mut spec = ProgramSpec { stdout: Output::File(file(&out)), ..sh(script, folder.path()) };
    spec.env.push(("EXTRA".into(), "a b".into()));
    let ended = guard.run(spec, never(), None).await.unwrap();
    drop(careless);
    assert_eq!(ended.how, How::Exit(0), "{}", ended.stderr);
    let text = std::fs::read_to_string(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let folder = folder.path().canonicalize().unwrap();
    assert_eq!(lines[0], format!("a b|test-holder|run|unmarked|path|{}", folder.display()));
    assert_eq!(&lines[1..4], ["0", "1", "2"]);
    for line in &lines[4..6] {
        let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGPIPE, libc::SIGTERM, libc::SIGCHLD] {
            assert_eq!(bits >> (signal - 1) & 1, 0, "signal {signal} in {line}");
        }
    }
    assert_eq!(lines.len(), 6, "{text}");
}

#[tokio::test]
async fn a_flood_on_stderr_ends_and_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let guard = start_guard();
    let script = "head -c 100000000 /dev/zero | tr '\\0' x >&2; echo the end >&2";
    let ended = guard.run(sh(script, folder.path()), never(), None).await.unwrap();
    assert_eq!(ended.how, How::Exit(0));
    let (said, kept) = ended.stderr.split_once('\n').unwrap();
    let cut = 100_000_008 - limits::STDERR_KEPT_BYTES;
    assert_eq!(said, format!("[{cut} bytes before this were not kept]"));
    assert!(kept.len() == limits::STDERR_KEPT_BYTES && kept.ends_with("xthe end\n"));
}

#[tokio::test]
async fn what_cannot_be_started_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    put("plain", "", 0o644);
    put("noise", "\u{1}\u{2}", 0o755);
    put("script", "#!/no/such/interpreter\n", 0o755);
    let guard = start_guard();
    let huge = "x".repeat(200_000);
    for (program, hint) in [
        (vec!["no-such-program-anywhere"], "not found in PATH; "),
        (vec!["./missing"], "relative to"),
        (vec!["./plain"], "chmod +x"),
        (vec!["."], "not found in PATH; "),
        (vec!["./"], "path of a program"),
        (vec!["./noise"], "#!/bin/sh"),
        (vec!["./script"], "asks for /no/such/interpreter"),
        (vec!["true", &huge], "128 KiB"),
        (vec!["true", "a\0b"], "stdin"),
        (vec![""], "give `run:`"),
        (vec![], "give `run:`"),
    ] {
        let spec = ProgramSpec { cwd: folder.path().to_owned(), ..words(&program) };
        let error = guard.run(spec, never(), None).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Config, Retry::AfterChange), "{error}");
        assert!(error.hint_text().unwrap().contains(hint), "{program:?}: {error:?}");
    }
    let nowhere = ProgramSpec { cwd: folder.path().join("no"), ..words(&["true"]) };
    let error = guard.run(nowhere, never(), None).await.unwrap_err();
    assert!(error.to_string().contains("folder"), "{error}");
    // The guard is none the worse for it.
    assert_eq!(guard.run(words(&["true"]), never(), None).await.unwrap().how, How::Exit(0));
}

#[tokio::test]
async fn an_environment_too_large_for_the_system_is_an_error() {
    let guard = start_guard();
    for count in [50, 120] {
        let mut spec = words(&["true"]);
        spec.env.extend((0..count).map(|i| (format!("V{i}").into(), "x".repeat(100_000).into())));
        let error = guard.run(spec, never(), None).await.unwrap_err();
        assert!(error.to_string().contains("too large"), "{count}: {error}");
    }
    for name in ["", "A=B"] {
        let mut spec = words(&["true"]);
        spec.env.push((name.into(), "x".into()));
        assert_eq!(guard.run(spec, never(), None).await.unwrap_err().kind(), ErrorKind::Config);
    }
    // Large, but not too large: more than one piece on the socket.
    let mut spec = words(&["true"]);
    spec.env.extend((0..10).map(|i| (format!("V{i}").into(), "x".repeat(100_000).into())));
    assert_eq!(guard.run(spec, never(), None).await.unwrap().how, How::Exit(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let guard = Arc::new(start_guard());
    let mut runs = tokio::task::JoinSet::new();
    for i in 0..200 {
        let guard = Arc::clone(&guard);
        let out = folder.path().join(format!("{i}"));
        let script = format!("echo {i}; echo err {i} >&2; sleep 0.2; exit {}", i % 100);
        let spec = ProgramSpec { stdout: Output::File(file(&out)), ..sh(&script, folder.path()) };
        runs.spawn(async move {
            let ended = guard.run(spec, never(), None).await.unwrap();
            assert_eq!((ended.how, ended.stderr), (How::Exit(i % 100), format!("err {i}\n")));
            assert_eq!(std::fs::read_to_string(out).unwrap(), format!("{i}\n"));
        });
    }
    while let Some(done) = runs.join_next().await {
        done.unwrap();
    }
    Arc::into_inner(guard).unwrap().shutdown().await;
}

#[tokio::test]
async fn a_time_limit_may_be_beyond_the_clock() {
    let guard = start_guard();
    let spec = ProgramSpec { timeout: Duration::MAX, grace: Duration::MAX, ..words(&["true"]) };
    assert_eq!(guard.run(spec, never(), None).await.unwrap().how, How::Exit(0));
}

#[test]
fn a_guard_that_is_none_is_said() {
    let error = handover_runtime::program::Guard::start("/bin/true".as_ref(), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "outside of the runtime");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let start = |exe: &str| handover_runtime::program::Guard::start(exe.as_ref(), &[]);
        assert!(start("/bin/true").unwrap_err().to_string().contains("guard"));
        assert!(start("/no/such/handover").unwrap_err().to_string().contains("guard"));
    });
}
