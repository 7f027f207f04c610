//! Files with odd names are imported like any other; what is no file, or holds nothing, is refused with its reason.

use crate::kit::{Case, assert_says};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

#[test]
fn an_odd_name_is_only_a_name() {
    let case = Case::importing("");
    case.put_good();
    let long = [&b"x".repeat(251)[..], b".csv"].concat();
    let odd: [&[u8]; 12] = [
        b"with space.csv",
        b"new\nline.csv",
        b"tab\tand \x1b[31mred.csv",
        b"not\xff\xfeutf-8.csv",
        b"-rf.csv",
        b"--help.csv",
        b"a..b..csv",
        b"%2e%2e%2fescape.csv",
        b"quote'\"$(reboot)`id`;.csv",
        b"{input}${HOME}.csv",
        "\u{1f600}\u{202e}vsc.csv".as_bytes(),
        &long,
    ];
    for (index, name) in odd.iter().enumerate() {
        case.put(OsStr::from_bytes(name), format!("id,name\n{index},odd\n"));
    }
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (index, name) in odd.iter().enumerate() {
        assert_eq!(
            case.times_exported(format!("id,name\n{index},odd\n")),
            1,
            "{:?}",
            String::from_utf8_lossy(name)
        );
    }
    case.assert_went_on();
    assert_eq!(case.failed().len(), 0);
    // In the ledger and the log a name is one line, without loss and without control characters.
    let arrived = |name: &str| case.rows().iter().any(|row| row.original().ends_with(name));
    assert!(arrived(r"/incoming/new\x0aline.csv") && arrived(r"/incoming/not\xff\xfeutf-8.csv"));
    assert!(ran.log.lines().all(|line| line.starts_with('{')) && !ran.log.contains('\x1b'), "{}", ran.log);
    // What lies there is known now.
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.exported().len(), odd.len() + 1);
}

#[test]
fn what_is_no_file_is_refused_and_never_read() {
    let case = Case::importing("");
    case.put_good();
    let incoming = case.join("incoming");
    let elsewhere = case.project.write("elsewhere/secret.csv", "id,name\n7,secret\n");
    symlink(&elsewhere, incoming.join("link.csv")).unwrap();
    symlink("nowhere", incoming.join("dangling.csv")).unwrap();
    symlink(case.join("elsewhere"), incoming.join("folder-link.csv")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        incoming.join("pipe.csv"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    std::fs::create_dir(incoming.join("folder.csv")).unwrap();
    // A folder whose name is no file's is none of an importer's business.
    std::fs::create_dir(incoming.join("done")).unwrap();
    let _socket = UnixListener::bind(incoming.join("socket.csv")).unwrap();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "a file that was refused is a delivery that failed: {ran:?}");
    for (name, words) in [
        ("link.csv", ["symbolic link to", "links are not followed"]),
        ("dangling.csv", ["symbolic link to nowhere", "links are not followed"]),
        ("folder-link.csv", ["symbolic link to", "links are not followed"]),
        ("pipe.csv", ["named pipe", "no file"]),
        ("folder.csv", ["folder", "no file"]),
        ("socket.csv", ["socket", "no file"]),
    ] {
        let (row, reason) =
            (case.arrival(&format!("/incoming/{name}")), case.reason_for(&format!("/incoming/{name}")));
        assert_eq!((row.status.as_str(), row.app.as_str()), ("failed", "file-importer"));
        assert_says(&row.error, &words);
        assert_says(&reason.message, &words);
        assert!(!reason.hint.is_empty() && reason.not_kept.is_some(), "{reason:?}");
        let line = ran.out.lines().find(|line| line.contains(&format!("/{name}"))).unwrap();
        assert_eq!(line.matches(&format!("/incoming/{name}")).count(), 1, "a path is said once: {line}");
    }
    assert_eq!(case.reasons().len(), 6);
    case.assert_went_on();
    // Each is refused once.
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((case.failed().len(), case.reasons().len()), (6, 6));
}

#[test]
fn an_empty_file_is_quarantined() {
    let case = Case::importing("");
    case.put_good();
    case.put("empty.csv", "");
    assert_eq!(case.once().code, Some(1));
    let (row, reason) = (case.the_failed(), case.the_reason());
    assert_says(&row.error, &["the file is empty", "/incoming/empty.csv", "header"]);
    assert_says(&reason.message, &["the file is empty"]);
    assert_eq!(reason.kept.metadata().unwrap().len(), 0);
    case.assert_went_on();
}

#[test]
fn a_hidden_file_is_left_alone_until_it_is_renamed() {
    let case = Case::importing("");
    case.put_good();
    let hidden = case.put("..part.csv", "id,name\n5,late\n");
    assert_eq!(case.once().code, Some(0));
    case.assert_went_on();
    assert_eq!(case.exported().len(), 1);
    std::fs::rename(hidden, case.join("incoming/part.csv")).unwrap();
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id,name\n5,late\n"), 1);
}

#[test]
fn thousands_of_files_are_each_taken_once() {
    let case = Case::new(
        "apps:
  file-importer: { uses: file-importer, with: { from: incoming, type: t, settle: 0s }, retries: 0 }
  sink: { run: 'true', output: none }
flows:
  f: [ { from: file-importer, to: sink } ]
",
    );
    const FILES: usize = 5_000;
    std::fs::create_dir(case.join("incoming")).unwrap();
    for index in 0..FILES {
        std::fs::write(case.join(format!("incoming/{index}.csv")), format!("id\n{index}\n")).unwrap();
    }
    let mut running = case.serve();
    let imported =
        || case.rows().iter().filter(|row| row.app == "file-importer" && row.status == "completed").count();
    handover_testkit::process::wait_for(crate::kit::LONG, "all are imported", || {
        (imported() == FILES).then_some(())
    });
    running.signal(rustix::process::Signal::TERM);
    assert!(running.end_within(crate::kit::LONG).success());
    assert_eq!(case.failed().len(), 0);
    let contents: std::collections::BTreeSet<_> =
        crate::kit::data_files(&case.join("data/imports")).into_values().collect();
    assert_eq!(contents.len(), FILES);
}
