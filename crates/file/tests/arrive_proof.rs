//! Each proof of completeness, with a real writer.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use handover_core::ErrorKind;
use handover_file::arrive::{Candidate, Hint, Inspector, Proof, Readiness};
use jiff::{SignedDuration, Timestamp};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SETTLE: Duration = Duration::from_secs(1);
const CONTENT: &str = "a,b\n1,2\n";
const CHECKSUM: &str = "sha256:b17b9c4e6fe8d4b0d5b1f9c29cb9ad1f2ac9c39f1cd2b8ed7cd1b4d3f3b4f0a1";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.at(name), content).unwrap();
        self.at(name)
    }

    fn manifest(&self, name: &str, of: &str, size: usize) -> PathBuf {
        let text = format!(
            r#"{{"filename":"{of}","created_at":"2025-11-24T10:30:00Z","created_by":"erp","file_size":{size},"checksum":"{CHECKSUM}"}}"#
        );
        self.put(name, &text)
    }
}

/// Another process that has the file open for appending. It writes each line that it is told, and answers.
struct Writer(Child);

impl Writer {
    fn open(path: &Path) -> Self {
        let script =
            r#"exec 3>>"$1"; echo open; while read -r line; do echo "$line" >&3; echo written; done"#;
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut writer = Self(child);
        writer.answer("open");
        writer
    }

    fn write(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.answer("written");
    }

    fn answer(&mut self, expected: &str) {
        let mut line = String::new();
        // One byte at a time is asked for and one line is answered, so that the buffer never holds a second line.
        BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected);
    }

    fn close(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(60)
}

fn judge_at(path: &Path, hint: Option<Hint>, now: Timestamp) -> Readiness {
    Inspector::new().readiness(&Candidate::look(path).unwrap(), SETTLE, hint, now)
}

fn judge(path: &Path) -> Readiness {
    judge_at(path, None, Timestamp::now())
}

fn proof(readiness: Readiness) -> Proof {
    match readiness {
        Readiness::Ready { proof, .. } => proof,
        other => panic!("{other:?}"),
    }
}

fn waiting(readiness: Readiness) -> (String, Option<Timestamp>) {
    match readiness {
        Readiness::Waiting { reason, until } => (reason, until),
        other => panic!("{other:?}"),
    }
}

fn refused(readiness: Readiness) -> handover_core::Error {
    match readiness {
        Readiness::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_a_process_writes_waits_whatever_its_age_and_the_process_is_named() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    let mut writer = Writer::open(&path);
    let (reason, until) = waiting(judge_at(&path, None, later()));
    assert!(reason.contains(&format!("(process {})", writer.0.id())) && until.is_none(), "{reason}");
    writer.write("3,4");
    let (reason, _) = waiting(judge_at(&path, None, later()));
    assert!(reason.contains("12 bytes"), "{reason}");
    writer.close();
    assert_eq!(proof(judge_at(&path, None, later())), Proof::Unopened);
}

#[test]
fn a_file_that_grew_since_it_was_seen_is_still_being_written() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    let seen = Candidate::look(&path).unwrap();
    let mut writer = Writer::open(&path);
    writer.write("3,4");
    writer.close();
    let now = Timestamp::now();
    let (reason, until) = waiting(Inspector::new().readiness(&seen, SETTLE, Some(Hint::RenamedIn), now));
    assert!(reason.starts_with("is still being written (12 bytes, last written "), "{reason}");
    assert!(until > Some(now));
}

#[test]
fn a_closed_file_waits_until_it_has_settled_and_says_until_when() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    let mtime = Candidate::look(&path).unwrap().mtime;
    let (reason, until) = waiting(judge_at(&path, None, mtime + SignedDuration::from_millis(200)));
    assert_eq!(until, Some(mtime + SignedDuration::from_secs(1)));
    assert!(reason.contains("left alone for 1.0 s; 8 bytes, last written 0.2 s ago"), "{reason}");
    assert_eq!(proof(judge_at(&path, None, mtime + SignedDuration::from_secs(1))), Proof::Unopened);
}

#[test]
fn a_file_renamed_in_is_ready_at_once_unless_its_writer_still_has_it() {
    let folder = Folder::new();
    let path = folder.at("sales.csv");
    fs::rename(folder.put("part", CONTENT), &path).unwrap();
    assert_eq!(proof(judge_at(&path, Some(Hint::RenamedIn), Timestamp::now())), Proof::RenamedIn);
    let writer = Writer::open(&path);
    let (reason, _) = waiting(judge_at(&path, Some(Hint::RenamedIn), later()));
    assert!(reason.contains("open for writing"), "{reason}");
    writer.close();
}

#[test]
fn a_done_marker_is_the_writers_word_unless_it_is_left_from_an_earlier_file() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    folder.put("sales.csv.done", "");
    assert_eq!(proof(judge(&path)), Proof::DoneMarker("sales.csv.done".into()));
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    let marker = fs::OpenOptions::new().append(true).open(folder.at("sales.csv.done")).unwrap();
    marker.set_times(fs::FileTimes::new().set_modified(old)).unwrap();
    waiting(judge(&path));
}

#[test]
fn a_manifest_of_either_name_is_the_writers_word() {
    for (file, name) in [
        ("sales.csv", "sales.csv.meta.json"),
        ("sales.csv", "sales.meta.json"),
        ("sales.csv.gz", "sales.meta.json"),
        ("sales 1.2.csv", "sales 1.2.meta.json"),
    ] {
        let folder = Folder::new();
        let path = folder.put(file, CONTENT);
        folder.manifest(name, file, CONTENT.len());
        match judge(&path) {
            Readiness::Ready { proof, manifest } => {
                assert_eq!(proof, Proof::Manifest(name.into()));
                assert_eq!(manifest.unwrap().file_size, CONTENT.len() as u64);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_manifest_that_came_before_the_rest_of_its_file_makes_it_wait_and_then_be_checked() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    folder.manifest("sales.meta.json", "sales.csv", 1000);
    folder.put("sales.csv.done", "");
    let (reason, _) = waiting(judge(&path));
    assert!(reason.starts_with("has 8 of the 1000 bytes that its manifest says, and waits"), "{reason}");
    assert_eq!(proof(judge_at(&path, None, later())), Proof::Manifest("sales.meta.json".into()));
}

#[test]
fn a_manifest_that_cannot_be_used_is_waited_for_and_then_refused() {
    for (content, why) in [
        ("{\"filename\": \"sal".to_owned(), "manifest"),
        (String::new(), "manifest"),
        ("x".repeat(2 << 20), "larger"),
        (
            format!(
                r#"{{"filename":"../sales.csv","created_at":"2025-11-24T10:30:00Z","created_by":"erp","file_size":8,"checksum":"{CHECKSUM}"}}"#
            ),
            "plain file name",
        ),
        (
            format!(
                r#"{{"filename":"sales.csv","created_at":"2025-11-24T10:30:00Z","created_by":"erp","file_size":8,"checksum":"{CHECKSUM}","schema_version":"v9.0"}}"#
            ),
            "v9.0",
        ),
    ] {
        let folder = Folder::new();
        let path = folder.put("sales.csv", CONTENT);
        folder.put("sales.meta.json", &content);
        let (reason, until) = waiting(judge(&path));
        assert!(reason.starts_with("has a manifest that waits") && until.is_some(), "{reason}");
        let error = refused(judge_at(&path, None, later()));
        assert_eq!(error.kind(), ErrorKind::BadData);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_manifest_speaks_only_for_the_file_that_it_names() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    folder.put("sales.json", CONTENT);
    folder.manifest("sales.meta.json", "sales.json", CONTENT.len());
    assert_eq!(proof(judge_at(&path, None, later())), Proof::Unopened, "it is another file's");
    folder.manifest("sales.csv.meta.json", "sales.json", CONTENT.len());
    assert!(refused(judge_at(&path, None, later())).to_string().contains("names another file"));
}

#[test]
fn what_was_replaced_or_has_gone_is_not_judged() {
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    let seen = Candidate::look(&path).unwrap();
    let judge = || Inspector::new().readiness(&seen, SETTLE, None, later());
    fs::rename(folder.put("other", CONTENT), &path).unwrap();
    let (reason, _) = waiting(judge());
    assert!(reason.contains("replaced"), "{reason}");
    fs::remove_file(&path).unwrap();
    assert_eq!(refused(judge()).kind(), ErrorKind::NotFound);
    symlink(folder.put("secret", "x"), &path).unwrap();
    assert!(refused(judge()).to_string().contains("symbolic link"));
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(refused(judge()).to_string().contains("named pipe"));
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.put("sales.csv", CONTENT);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read everything.
    if fs::File::open(&path).is_err() {
        let error = refused(judge_at(&path, None, later()));
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint_text().unwrap().contains("read"), "{error:?}");
    }
}
