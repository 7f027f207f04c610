//! Taking a file that changes, grows, vanishes or is replaced.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use handover_core::{ErrorKind, Manifest};
use handover_file::arrive::{Candidate, TakeLimits, take};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf, Candidate) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sales.csv");
    fs::write(&path, content).unwrap();
    let candidate = Candidate::look(&path).unwrap();
    (dir, path, candidate)
}

fn kind_of_failure(candidate: &Candidate) -> (ErrorKind, String) {
    let error = take(candidate, &TakeLimits::default(), &mut io::sink()).unwrap_err();
    (error.kind(), error.to_string())
}

/// Does something when the first bytes come.
struct Meanwhile<F: FnMut()>(Vec<u8>, Option<F>);

impl<F: FnMut()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(mut act) = self.1.take() {
            act();
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_is_taken_whole_whatever_its_size() {
    for size in [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000] {
        let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let (_dir, _path, candidate) = file(&content);
        let mut out = Vec::new();
        let taken = take(&candidate, &TakeLimits::default(), &mut out).unwrap();
        assert_eq!((taken.bytes, taken.still_there), (size as u64, true));
        assert!(out == content);
    }
}

#[test]
fn what_changed_between_the_scan_and_the_taking_is_not_taken() {
    let (dir, path, candidate) = file(b"12345678");
    fs::write(&path, "123456789").unwrap();
    let (kind, text) = kind_of_failure(&candidate);
    assert!(kind == ErrorKind::NotYet && text.contains("grew from 8 to 9 bytes"), "{text}");
    fs::write(&path, "1").unwrap();
    assert!(kind_of_failure(&candidate).1.contains("shrank"));
    let other = dir.path().join("other");
    fs::write(&other, "12345678").unwrap();
    fs::rename(&other, &path).unwrap();
    let (kind, text) = kind_of_failure(&candidate);
    assert!(kind == ErrorKind::NotYet && text.contains("replaced by another"), "{text}");
    fs::remove_file(&path).unwrap();
    assert_eq!(kind_of_failure(&candidate).0, ErrorKind::NotFound);
    symlink("/etc/passwd", &path).unwrap();
    let (kind, text) = kind_of_failure(&candidate);
    assert!(kind == ErrorKind::BadData && text.contains("symbolic link to /etc/passwd"), "{text}");
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(kind_of_failure(&candidate).0, ErrorKind::BadData);
}

#[test]
fn a_rewrite_of_the_same_size_is_noticed() {
    let (_dir, path, candidate) = file(b"12345678");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    (&file).write_all(b"87654321").unwrap();
    let next = std::time::SystemTime::from(candidate.mtime) + std::time::Duration::from_micros(1);
    file.set_times(fs::FileTimes::new().set_modified(next)).unwrap();
    assert!(kind_of_failure(&candidate).1.contains("written again"));
}

fn take_while(candidate: &Candidate, act: impl FnMut()) -> (Result<bool, (ErrorKind, String)>, Vec<u8>) {
    let mut out = Meanwhile(Vec::new(), Some(act));
    let taken = take(candidate, &TakeLimits::default(), &mut out);
    (taken.map(|taken| taken.still_there).map_err(|e| (e.kind(), e.to_string())), out.0)
}

#[test]
fn what_changes_while_it_is_read_is_not_taken() {
    let content = vec![b'x'; 3 << 20];
    let append = |path: &Path| {
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    };
    let (_dir, path, candidate) = file(&content);
    let (result, _) = take_while(&candidate, || append(&path));
    assert_eq!(result.unwrap_err().0, ErrorKind::NotYet);
    let (_dir, path, candidate) = file(&content);
    let (result, _) = take_while(&candidate, || fs::write(&path, "short").unwrap());
    assert_eq!(result.unwrap_err().0, ErrorKind::NotYet);
}

#[test]
fn what_vanishes_or_is_replaced_while_it_is_read_has_been_read_whole() {
    let content = vec![b'x'; 3 << 20];
    let (_dir, path, candidate) = file(&content);
    let (result, out) = take_while(&candidate, || fs::remove_file(&path).unwrap());
    assert!(!result.unwrap() && out == content);
    let (dir, path, candidate) = file(&content);
    let other = dir.path().join("other");
    fs::write(&other, "new").unwrap();
    let (result, out) = take_while(&candidate, || fs::rename(&other, &path).unwrap());
    assert!(!result.unwrap() && out == content);
}

fn manifest(size: u64, checksum: &str) -> Manifest {
    Manifest::parse(
        format!(
            r#"{{"filename":"sales.csv","created_at":"2025-11-24T10:30:00Z","created_by":"erp","file_size":{size},"checksum":"{checksum}"}}"#
        )
        .as_bytes(),
    )
    .unwrap()
}

#[test]
fn a_file_must_agree_with_its_manifest_and_keep_to_its_limit() {
    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let take_with = |content: &[u8], manifest: &Manifest, max_bytes: Option<u64>| {
        let (_dir, _path, candidate) = file(content);
        take(&candidate, &TakeLimits { max_bytes, manifest: Some(manifest) }, &mut io::sink())
    };
    assert!(take_with(b"", &manifest(0, EMPTY), Some(0)).is_ok());
    for (content, size, max, why) in [
        (&b"x"[..], 2, None, "its manifest says 2"),
        (b"x", 1, None, "checksum"),
        (b"xy", 2, Some(1), "the limit is 1"),
    ] {
        let error = take_with(content, &manifest(size, EMPTY), max).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData);
        assert!(error.to_string().contains(why) && error.hint_text().is_some(), "{error}");
    }
}

#[test]
fn a_full_disk_is_tried_again() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_dir, _path, candidate) = file(b"x");
    let error = take(&candidate, &TakeLimits::default(), &mut Full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotYet);
    assert!(error.to_string().contains("write"), "{error}");
}
