//! A disk that is full or read-only: the write fails whole, nothing half is in sight, and work resumes when there is
//! room. These need a small file system of their own, which only root can mount.

use crate::kit::{Case, GOOD, LONG, assert_says, skip};
use handover_testkit::process::wait_for;
use handover_testkit::{HttpServer, Reply};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory, taken away at the end.
struct Mount(PathBuf);

impl Mount {
    /// Mounts one of this size; none where that is not allowed.
    fn new(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                skip(&format!("cannot mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr)));
                None
            }
            Err(e) => {
                skip(&format!("cannot run mount: {e}"));
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn with_the_disk_full_nothing_half_is_seen_and_work_resumes_when_there_is_room() {
    let case = Case::importing("");
    let Some(_mount) = Mount::new(&case.join("data"), "size=16m") else { return };
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    case.assert_went_on();
    // A file that fits, and one that is larger than what is left.
    let large = "id,name\n".repeat(1_500_000);
    case.put("large.csv", &large);
    let running = case.serve();
    wait_for(LONG, "it is said that there is no room", || {
        let said = running.stderr();
        (said.contains("disk is full") || said.contains("No space left")).then_some(())
    });
    case.assert_nothing_half();
    assert_eq!(case.exported().len(), 1);
    assert_eq!(case.failed().len(), 0, "it waits");
    _mount.remount("size=64m");
    wait_for(LONG, "it resumes by itself", || (case.times_exported(&large) == 1).then_some(()));
    case.assert_went_on();
    assert_eq!(case.failed().len(), 0);
}

#[test]
fn a_program_whose_output_meets_a_full_disk_is_run_again() {
    // The program does not notice that its writes fail.
    let case = Case::program(
        "grep -q big \"$HANDOVER_INPUT\" && { head -c 20000000 /dev/zero 2>/dev/null; true; } || cat",
        "",
    );
    let Some(mount) = Mount::new(&case.join("data"), "size=16m") else { return };
    case.put_good();
    case.put("big.csv", "id\nbig\n");
    let running = case.serve();
    wait_for(LONG, "it is said", || running.stderr().contains("the disk is full").then_some(()));
    assert!(
        case.exported().values().all(|content| content == GOOD.as_bytes()),
        "what was cut off is not believed"
    );
    mount.remount("size=128m");
    wait_for(LONG, "both go through", || (case.exported().len() == 2).then_some(()));
    assert!(case.exported().values().any(|content| content.len() == 20_000_000), "whole");
    assert_eq!(case.failed().len(), 0);
    case.assert_went_on();
}

fn a_failing_program_waits_for_room(command: &str, said: &str) {
    let case = Case::program(command, "");
    let Some(mount) = Mount::new(&case.join("data"), "size=16m") else { return };
    let large = "id,name\n".repeat(1_100_000);
    case.put("large.csv", &large);
    let running = case.serve();
    wait_for(LONG, "it is said", || running.stderr().contains(said).then_some(()));
    assert_eq!(case.failed().len(), 0, "it waits, although there are no retries");
    mount.remount("size=64m");
    wait_for(LONG, "it goes through", || (case.times_exported(&large) == 1).then_some(()));
    assert_eq!(case.failed().len(), 0);
}

#[test]
fn a_program_that_fails_for_want_of_room_uses_up_no_retry() {
    a_failing_program_waits_for_room("cat", "No space left on device (the disk is full");
}

#[test]
fn a_program_that_fails_while_the_disk_is_full_uses_up_no_retry() {
    a_failing_program_waits_for_room("cat 2>/dev/null", "the disk is full: it runs again by itself");
}

#[test]
fn a_service_whose_answer_would_fill_the_disk_is_asked_again_when_there_is_room() {
    let large = "id,name\n".repeat(12_000_000);
    let answer = large.clone();
    let service = HttpServer::start(move |_| Reply::of("text/csv", answer.clone()));
    let case = Case::declared(&format!("url: '{}', retries: 0", service.url()));
    let Some(mount) = Mount::new(&case.join("data"), "size=64m") else { return };
    case.put_good();
    let running = case.serve();
    let said = "the disk is full, so what the service answered is not believed";
    wait_for(LONG, "it is said", || running.stderr().contains(said).then_some(()));
    assert!(
        !running.stderr().contains("No space left"),
        "some room is left for others: {}",
        running.stderr()
    );
    assert_eq!(
        (case.exported().len(), case.failed().len()),
        (0, 0),
        "it waits, although there are no retries"
    );
    case.assert_nothing_half();
    mount.remount("size=256m");
    wait_for(LONG, "it goes through", || (case.times_exported(&large) == 1).then_some(()));
    assert_eq!(case.failed().len(), 0);
}

#[test]
fn with_the_disk_full_from_the_start_the_run_says_so() {
    let case = Case::importing("");
    let Some(mount) = Mount::new(&case.join("data"), "size=16m") else { return };
    assert_eq!(case.once().code, Some(0));
    let _ = std::fs::write(case.join("data/filler"), vec![0; 20_000_000]);
    case.put_good();
    let ran = case.once();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert_says(&ran.log, &["disk is full", "make room"]);
    assert_eq!(case.exported().len(), 0);
    std::fs::remove_file(case.join("data/filler")).unwrap();
    assert_eq!(case.once().code, Some(0));
    case.assert_went_on();
    drop(mount);
}

#[test]
fn an_export_to_a_full_disk_waits_for_room() {
    let case = Case::importing("");
    let Some(mount) = Mount::new(&case.join("outgoing"), "size=1m") else { return };
    let large = "id,name\n".repeat(500_000);
    case.put("large.csv", &large);
    case.put_good();
    let running = case.serve();
    wait_for(LONG, "it is said", || running.stderr().contains("the disk is full").then_some(()));
    wait_for(LONG, "the good one goes through", || (case.times_exported(GOOD) == 1).then_some(()));
    assert_eq!((case.exported().len(), case.failed().len()), (1, 0));
    mount.remount("size=64m");
    wait_for(LONG, "it resumes", || (case.times_exported(&large) == 1).then_some(()));
    case.assert_went_on();
}

#[test]
fn a_read_only_data_directory_is_said_at_once() {
    let case = Case::importing("");
    let Some(mount) = Mount::new(&case.join("data"), "size=16m") else { return };
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    mount.remount("ro");
    case.put("later.csv", "id\n2\n");
    let ran = case.once();
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    assert_says(&ran.log, &["/data", "read-only", "help: "]);
    mount.remount("rw");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id\n2\n"), 1);
    case.assert_went_on();
}
