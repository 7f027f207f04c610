//! What a scan returns, refuses and passes over.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use globset::{Glob, GlobSet, GlobSetBuilder};
use handover_core::ErrorKind;
use handover_file::arrive::{Candidate, ScanOptions, scan, why_passed_over};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

fn globs(patterns: &[&str]) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(Glob::new(pattern).unwrap());
    }
    builder.build().unwrap()
}

fn names(candidates: &[Candidate]) -> Vec<&OsStr> {
    candidates.iter().map(Candidate::name).collect()
}

fn touch(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn any_name_is_found_and_the_oldest_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let odd: [&[u8]; 6] =
        [b"b.csv", b"a.csv", b"with space.csv", b"new\nline.csv", b"not\xffutf8.csv", b"a..b.csv"];
    for (index, name) in odd.iter().enumerate() {
        touch(&dir.path().join(OsStr::from_bytes(name)), 1_000 + index as u64 / 2);
    }
    touch(&dir.path().join("other.txt"), 1);
    touch(&dir.path().join("..hidden.csv"), 1);
    let found = scan(dir.path(), &globs(&["*.csv"]), &ScanOptions::default()).unwrap();
    let expected: [&[u8]; 6] =
        [b"a.csv", b"b.csv", b"new\nline.csv", b"with space.csv", b"a..b.csv", b"not\xffutf8.csv"];
    assert_eq!(names(&found.candidates), expected.map(OsStr::from_bytes));
    assert_eq!(found.skipped.dot_names, 1);
    assert!(found.refused.is_empty() && found.next.is_none());
}

#[test]
fn what_is_no_regular_file_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("secret"), "x").unwrap();
    symlink(at("secret"), at("link.csv")).unwrap();
    symlink(at("nowhere"), at("dangling.csv")).unwrap();
    fs::create_dir(at("folder.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.csv")).status().unwrap().success());
    let _socket = UnixListener::bind(at("socket.csv")).unwrap();
    let found = scan(dir.path(), &globs(&["*.csv"]), &ScanOptions::default()).unwrap();
    assert!(found.candidates.is_empty());
    let whys = ["nowhere", "a folder", "secret", "a named pipe", "a socket"];
    assert_eq!(found.refused.len(), whys.len());
    for (refusal, why) in found.refused.iter().zip(whys) {
        let text = refusal.error.to_string();
        assert!(text.contains(why), "{text}");
        assert_eq!(refusal.error.kind(), ErrorKind::BadData);
        assert!(refusal.error.hint_text().is_some() && refusal.seen.is_some());
    }
}

#[test]
fn markers_and_manifests_are_passed_over_and_other_json_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("a.csv", "x"),
        ("a.csv.done", ""),
        ("b.csv", "x"),
        ("b.csv.meta.json", "half writ"),
        ("c.csv.gz", "x"),
        ("c.meta.json", ""),
        ("later.meta.json", r#"{"filename":"later.csv"}"#),
        ("steam.meta.json", r#"{"degrees":100}"#),
        ("gone.csv.done", ""),
    ] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let found = scan(dir.path(), &globs(&["*"]), &ScanOptions::default()).unwrap();
    let found_names: BTreeSet<&OsStr> = names(&found.candidates).into_iter().collect();
    assert_eq!(found_names, ["a.csv", "b.csv", "c.csv.gz", "steam.meta.json"].map(OsStr::new).into());
    assert_eq!((found.skipped.done_markers, found.skipped.manifests), (2, 3));
    let why = |name: &str| why_passed_over(&dir.path().join(name), &globs(&["*"]));
    assert!(why("a.csv").is_none() && why("steam.meta.json").is_none());
    assert!(why("a.csv.done").unwrap().contains("done marker"));
    assert!(why("c.meta.json").unwrap().contains("manifest"));
    assert!(why(".x").unwrap().contains("dot"));
    assert!(why_passed_over(Path::new("x.txt"), &globs(&["*.csv"])).unwrap().contains("patterns"));
}

#[test]
fn a_large_folder_comes_in_batches_that_miss_nothing_and_repeat_nothing() {
    const FILES: usize = 20_000;
    const BATCH: usize = 3_000;
    let dir = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        fs::File::create(dir.path().join(format!("{n}.csv"))).unwrap();
    }
    let patterns = globs(&["*.csv"]);
    let (mut seen, mut after, mut last) = (BTreeSet::<PathBuf>::new(), None, None);
    loop {
        let options = ScanOptions { batch: BATCH, after: after.take(), ..ScanOptions::default() };
        let found = scan(dir.path(), &patterns, &options).unwrap();
        assert!(found.candidates.len() <= BATCH && found.candidates.capacity() <= 2 * BATCH);
        for candidate in found.candidates {
            let place = Some((candidate.mtime, candidate.path.clone()));
            assert!(last < place, "in order");
            last = place;
            assert!(seen.insert(candidate.path));
        }
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), FILES);
}

#[test]
fn what_is_known_does_not_fill_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    (0..10).for_each(|n| touch(&dir.path().join(format!("{n}.csv")), n));
    let known = |candidate: &Candidate| candidate.name() < OsStr::new("8");
    let options = ScanOptions { batch: 5, known: Some(&known), ..ScanOptions::default() };
    let found = scan(dir.path(), &globs(&["*"]), &options).unwrap();
    assert_eq!(names(&found.candidates), ["8.csv", "9.csv"].map(OsStr::new));
    assert_eq!((found.skipped.known, found.next), (8, None));
}

#[test]
fn folders_inside_are_read_when_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["x/y", ".hidden"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join("a.csv"), "").unwrap();
    }
    symlink(dir.path(), dir.path().join("x/round")).unwrap();
    let options = ScanOptions { recursive: true, ..ScanOptions::default() };
    let found = scan(dir.path(), &globs(&["*.csv"]), &options).unwrap();
    assert_eq!(found.candidates.len(), 1);
    assert_eq!(found.candidates[0].path, dir.path().join("x/y/a.csv"));
    assert!(scan(dir.path(), &globs(&["*.csv"]), &ScanOptions::default()).unwrap().candidates.is_empty());
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let error = scan(Path::new("/nonexistent/in"), &globs(&["*"]), &ScanOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_was_refused_before_makes_room_for_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let most = handover_file::arrive::scan::REFUSALS_MAX;
    for n in 0..most + 5 {
        std::os::unix::fs::symlink("elsewhere", dir.path().join(format!("{n}.csv"))).unwrap();
    }
    let first = scan(dir.path(), &globs(&["*.csv"]), &ScanOptions::default()).unwrap();
    assert_eq!((first.refused.len(), first.refused_more), (most, 5));
    let refused: std::collections::HashSet<_> = first.refused.iter().map(|r| r.path.clone()).collect();
    let known = |candidate: &Candidate| refused.contains(&candidate.path);
    let options = ScanOptions { known: Some(&known), ..ScanOptions::default() };
    let second = scan(dir.path(), &globs(&["*.csv"]), &options).unwrap();
    assert_eq!((second.refused.len(), second.refused_more, second.skipped.known), (5, 0, most as u64));
}
