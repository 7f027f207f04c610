//! The publish protocol, killed, failed and stopped at each of its points in a process of its own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use common::{Place, place, request, written};
use handover_core::HolderId;
use handover_file::publish::publish_now;
use handover_file::{DataDir, HolderLock, Publisher, lock, verify};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

const POINTS: [&str; 7] = [
    "publish.written",
    "publish.synced",
    "publish.linked",
    "publish.dir_synced",
    "publish.manifest_written",
    "publish.manifest_linked",
    "publish.done",
];

/// Not a test by itself: what the child process does. It publishes files 1 to 3 as a holder of its own, and
/// prints one line for each outcome.
#[test]
fn child() {
    let Some(root) = std::env::var_os("HANDOVER_TEST_ROOT").map(PathBuf::from) else { return };
    let data = DataDir::open(&root).unwrap();
    let _lock = HolderLock::take(&data, HolderId::new(std::process::id())).unwrap();
    let lease_file = root.join("lease-is-lost");
    let folder = data.folder("imports", jiff::civil::date(2025, 11, 24));
    let (sender, outcomes) = mpsc::channel();
    let publisher = Publisher::start().unwrap();
    for n in 1..=3 {
        let draft = written(data.draft(_lock.holder(), "csv").unwrap(), &text(n, "child"));
        let lease_file = lease_file.clone();
        let request = request(draft, &folder, n).replacing(move || Ok(!lease_file.exists()));
        let sender = sender.clone();
        publisher.submit(request, move |outcome| {
            let said = outcome
                .map_or_else(|refused| format!("{:?}", refused.error.kind()), |_| "published".to_owned());
            sender.send(format!("outcome {n} {said}")).unwrap();
        });
    }
    drop((publisher, sender));
    outcomes.iter().for_each(|line| eprintln!("{line}"));
}

fn text(n: u32, by: &str) -> String {
    format!("h\n{n} {by}\n")
}

fn start(p: &Place, fault: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("HANDOVER_TEST_ROOT", p.data.root())
        .env("HANDOVER_FAULT", fault)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The outcomes that the child printed.
fn outcomes(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().filter_map(|line| line.strip_prefix("outcome ")).map(str::to_owned).collect()
}

fn assert_clean(p: &Place, by: &str) {
    (1..=3).for_each(|n| p.assert_published(n, &text(n, by)));
    assert_eq!((p.in_sight().len(), p.temporaries()), (6, 0));
    assert!(verify::verify_dir(p.data.root()).unwrap().iter().all(|f| f.status == verify::Grade::Ok));
}

#[test]
fn killed_at_any_point_a_second_attempt_gives_the_same_and_nothing_is_left() {
    for point in POINTS {
        for at in 1..=3 {
            let p = place();
            let ended = start(&p, &format!("{point}:kill@{at}")).wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{point}");
            // Whatever has a manifest is whole; what is in sight without one is unfinished.
            let findings = verify::verify_dir(p.data.root()).unwrap();
            assert!(findings.iter().all(|f| f.status != verify::Grade::Fail), "{point}: {findings:?}");
            lock::sweep(&p.data, &[]).unwrap();
            assert_eq!(p.temporaries(), 0, "{point}");
            for n in 1..=3 {
                publish_now(p.request(n, &text(n, "second")).replacing(|| Ok(true))).unwrap();
            }
            assert_clean(&p, "second");
        }
    }
}

#[test]
fn failed_at_any_point_one_file_is_undone_and_the_others_are_published() {
    for point in POINTS {
        let p = place();
        let outcomes = outcomes(start(&p, &format!("{point}:error@2")));
        assert_eq!(outcomes.len(), 3, "{point}: {outcomes:?}");
        let failed: Vec<_> = outcomes.iter().filter(|line| line.ends_with("Io")).collect();
        assert_eq!(failed.len(), 1, "{point}: {outcomes:?}");
        // After the commit marker stands the file is published, whatever comes then.
        let left = if matches!(point, "publish.manifest_linked" | "publish.done") { 6 } else { 4 };
        assert_eq!((p.in_sight().len(), p.temporaries()), (left, 0), "{point}");
        for n in 1..=3 {
            publish_now(p.request(n, &text(n, "second")).replacing(|| Ok(true))).unwrap();
        }
        assert_clean(&p, "second");
    }
}

#[test]
fn stopped_past_its_lease_at_any_point_the_late_one_leaves_the_winners_files_alone() {
    for point in POINTS {
        let p = place();
        let child = start(&p, &format!("{point}:stop@2"));
        wait_until_stopped(child.id());
        for n in 1..=3 {
            publish_now(p.request(n, &text(n, "winner")).replacing(|| Ok(true))).unwrap();
        }
        std::fs::write(p.data.root().join("lease-is-lost"), "").unwrap();
        // A sweep meanwhile leaves the stopped one's files alone: it lives.
        lock::sweep(&p.data, &[]).unwrap();
        assert!(Command::new("kill").args(["-CONT", &child.id().to_string()]).status().unwrap().success());
        let outcomes = outcomes(child);
        assert_eq!(outcomes.len(), 3, "{point}: {outcomes:?}");
        let fine = |line: &String| line.ends_with("Stale") || line.ends_with("published");
        assert!(outcomes.iter().all(fine), "{point}: {outcomes:?}");
        if !point.ends_with("manifest_linked") && !point.ends_with("done") {
            assert!(outcomes.iter().any(|line| line.ends_with("Stale")), "{point}: {outcomes:?}");
        }
        std::fs::remove_file(p.data.root().join("lease-is-lost")).unwrap();
        assert_clean(&p, "winner");
    }
}

fn wait_until_stopped(pid: u32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
            Some('T') => return,
            Some('Z') => panic!("the child ended before it was stopped"),
            _ => std::thread::yield_now(),
        }
    }
}
