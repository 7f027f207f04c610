//! What becomes of an original, also when the process is killed on the way.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use handover_file::arrive::{Candidate, Disposal, Outcome, settle_original};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHECKSUM: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Place {
    _dirs: Vec<tempfile::TempDir>,
    from: PathBuf,
    to: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("in"), dir.path().join("done/2025"));
        fs::create_dir(&from).unwrap();
        Self { _dirs: vec![dir], from, to }
    }

    /// Two folders on two file systems, where this machine has a memory file system.
    fn across() -> Option<Self> {
        let here = tempfile::tempdir().unwrap();
        let there = tempfile::tempdir_in("/dev/shm").ok()?;
        let device = |dir: &tempfile::TempDir| fs::metadata(dir.path()).unwrap().dev();
        let (from, to) = (here.path().join("in"), there.path().join("done"));
        fs::create_dir(&from).unwrap();
        (device(&here) != device(&there)).then(|| Self { _dirs: vec![here, there], from, to })
    }

    fn original(&self, content: &str) -> Candidate {
        let path = self.from.join("sales.csv");
        fs::write(&path, content).unwrap();
        Candidate::look(&path).unwrap()
    }

    fn companions(&self, size: usize) {
        fs::write(self.from.join("sales.csv.done"), "").unwrap();
        let manifest = format!(
            r#"{{"filename":"sales.csv","created_at":"2025-11-24T10:30:00Z","created_by":"erp","file_size":{size},"checksum":"{CHECKSUM}"}}"#
        );
        fs::write(self.from.join("sales.meta.json"), manifest).unwrap();
    }

    fn moved(&self) -> Disposal {
        Disposal::Move(self.to.clone())
    }

    fn places() -> impl Iterator<Item = Self> {
        [Some(Self::new()), Self::across()].into_iter().flatten()
    }
}

fn list(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn it_is_left_unless_something_else_is_asked_for() {
    let place = Place::new();
    let candidate = place.original("x");
    assert_eq!(settle_original(&candidate, &Disposal::Leave).unwrap(), Outcome::Left(None));
    assert_eq!(list(&place.from), ["sales.csv"]);
}

#[test]
fn it_goes_with_what_lies_beside_it_and_replaces_nothing() {
    for place in Place::places() {
        for (content, name) in [("one", "sales.csv"), ("two", "sales-2.csv"), ("three", "sales-3.csv")] {
            let candidate = place.original(content);
            place.companions(content.len());
            let outcome = settle_original(&candidate, &place.moved()).unwrap();
            assert_eq!(outcome, Outcome::Moved(place.to.join(name)));
            assert_eq!(fs::read_to_string(place.to.join(name)).unwrap(), content);
            assert!(list(&place.from).is_empty());
        }
        assert_eq!(
            list(&place.to),
            [
                "sales-2.csv",
                "sales-2.csv.done",
                "sales-2.meta.json",
                "sales-3.csv",
                "sales-3.csv.done",
                "sales-3.meta.json",
                "sales.csv",
                "sales.csv.done",
                "sales.meta.json"
            ]
        );
    }
}

#[test]
fn a_copy_keeps_the_times_and_rights_of_its_original() {
    let Some(place) = Place::across() else { return };
    let candidate = place.original("x");
    let mode = fs::metadata(&candidate.path).unwrap().mode();
    settle_original(&candidate, &place.moved()).unwrap();
    let copy = fs::metadata(place.to.join("sales.csv")).unwrap();
    assert_eq!((copy.mtime(), copy.mode()), (candidate.mtime.as_second(), mode));
}

#[test]
fn it_is_deleted_with_what_lies_beside_it_and_nothing_of_others_is() {
    let place = Place::new();
    let candidate = place.original("x");
    place.companions(1);
    fs::write(place.from.join("sales.csv.meta.json"), "of something else").unwrap();
    assert_eq!(settle_original(&candidate, &Disposal::Delete).unwrap(), Outcome::Deleted);
    assert_eq!(list(&place.from), ["sales.csv.meta.json"]);
    assert_eq!(settle_original(&candidate, &Disposal::Delete).unwrap(), Outcome::Gone);
}

#[test]
fn a_file_that_is_no_longer_the_one_that_was_taken_stays() {
    for disposal in [Disposal::Delete, Place::new().moved()] {
        let place = Place::new();
        let candidate = place.original("x");
        place.companions(1);
        fs::write(&candidate.path, "new content").unwrap();
        let Outcome::Left(Some(why)) = settle_original(&candidate, &disposal).unwrap() else { panic!() };
        assert!(why.contains("written again"), "{why}");
        fs::write(place.from.join("other"), "x").unwrap();
        fs::rename(place.from.join("other"), &candidate.path).unwrap();
        let Outcome::Left(Some(why)) = settle_original(&candidate, &disposal).unwrap() else { panic!() };
        assert!(why.contains("another file"), "{why}");
        assert_eq!(list(&place.from), ["sales.csv", "sales.csv.done", "sales.meta.json"]);
    }
}

/// Runs the settling in a process of its own, which the fault point kills. This very test is that process.
#[test]
fn child_settles() {
    let Ok(text) = std::env::var("HANDOVER_TEST_SETTLE") else { return };
    let (candidate, disposal): (Candidate, Disposal) = serde_json::from_str(&text).unwrap();
    settle_original(&candidate, &disposal).unwrap();
}

fn killed_at(point: &str, candidate: &Candidate, disposal: &Disposal) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_settles", "--nocapture"])
        .env("HANDOVER_TEST_SETTLE", serde_json::to_string(&(candidate, disposal)).unwrap())
        .env("HANDOVER_FAULT", format!("{point}:kill"))
        .output()
        .unwrap()
        .status;
    assert_eq!(status.signal(), Some(9), "{point} was not reached");
}

#[test]
fn a_kill_at_any_step_is_made_good_by_doing_it_again() {
    for point in ["original.before_remove", "original.removed"] {
        for place in Place::places() {
            let candidate = place.original("x");
            place.companions(1);
            killed_at(point, &candidate, &place.moved());
            let outcome = settle_original(&candidate, &place.moved()).unwrap();
            assert_eq!(outcome, Outcome::Moved(place.to.join("sales.csv")), "{point}");
            assert_eq!(list(&place.to), ["sales.csv", "sales.csv.done", "sales.meta.json"]);
            assert!(list(&place.from).is_empty());
        }
        let place = Place::new();
        let candidate = place.original("x");
        place.companions(1);
        killed_at(point, &candidate, &Disposal::Delete);
        let outcome = settle_original(&candidate, &Disposal::Delete).unwrap();
        let expected = if point.ends_with("removed") { Outcome::Gone } else { Outcome::Deleted };
        assert_eq!(outcome, expected);
        assert!(list(&place.from).is_empty());
    }
}

#[test]
fn what_a_crash_left_out_of_reach_is_found_again() {
    for disposal in [Disposal::Delete, Disposal::Move(PathBuf::new())] {
        for place in Place::places() {
            let disposal = if disposal == Disposal::Delete { Disposal::Delete } else { place.moved() };
            let candidate = place.original("x");
            let aside =
                place.from.join(format!(".handover-removing-{}-{}", candidate.device, candidate.inode));
            fs::rename(&candidate.path, &aside).unwrap();
            fs::create_dir_all(&place.to).unwrap();
            let half = place.to.join(format!(".handover-moving-{}-{}", candidate.device, candidate.inode));
            if disposal != Disposal::Delete && candidate.device != fs::metadata(&place.to).unwrap().dev() {
                fs::write(half, "half of a copy").unwrap();
            }
            settle_original(&candidate, &disposal).unwrap();
            assert!(list(&place.from).is_empty());
            let expected: &[&str] = if disposal == Disposal::Delete { &[] } else { &["sales.csv"] };
            assert_eq!(list(&place.to), expected);
        }
    }
}

#[test]
fn a_newer_file_that_a_crash_left_out_of_reach_gets_its_name_back() {
    let place = Place::new();
    let candidate = place.original("x");
    let aside = place.from.join(format!(".handover-removing-{}-{}", candidate.device, candidate.inode));
    fs::write(place.from.join("newer"), "newer").unwrap();
    fs::rename(place.from.join("newer"), &aside).unwrap();
    fs::remove_file(&candidate.path).unwrap();
    assert!(matches!(settle_original(&candidate, &Disposal::Delete).unwrap(), Outcome::Left(Some(_))));
    assert_eq!(fs::read_to_string(&candidate.path).unwrap(), "newer");
}
