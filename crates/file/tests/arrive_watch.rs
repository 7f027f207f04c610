//! The watcher, on real folders that come and go.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use handover_file::arrive::{Event, EventKind, Watcher};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Far more than any event takes; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(30);

struct Seen(Receiver<Event>);

impl Seen {
    fn wait(&self, path: &Path, kind: EventKind) {
        let mut others = Vec::new();
        while let Ok(event) = self.0.recv_timeout(PATIENCE) {
            if event.path == path && event.kind == kind {
                return;
            }
            others.push(event);
        }
        panic!("{kind:?} of {path:?} did not come, but {others:?}");
    }
}

fn watcher() -> (Watcher, Seen, tempfile::TempDir) {
    let (told, events) = channel();
    let watcher = Watcher::start(move |event| drop(told.send(event))).unwrap();
    (watcher, Seen(events), tempfile::tempdir().unwrap())
}

fn rename_in(dir: &tempfile::TempDir, to: &Path) -> PathBuf {
    let from = dir.path().join("part");
    fs::write(&from, "x").unwrap();
    fs::rename(&from, to).unwrap();
    to.to_owned()
}

#[test]
fn each_way_in_which_a_file_comes_and_goes_is_told() {
    let (watcher, seen, dir) = watcher();
    let folder = dir.path().join("in");
    fs::create_dir(&folder).unwrap();
    watcher.watch(&folder).unwrap();
    let path = rename_in(&dir, &folder.join("new\nline.csv"));
    seen.wait(&path, EventKind::RenamedIn);
    fs::write(folder.join("b.csv"), "x").unwrap();
    seen.wait(&folder.join("b.csv"), EventKind::Changed);
    seen.wait(&folder.join("b.csv"), EventKind::Closed);
    fs::remove_file(&path).unwrap();
    seen.wait(&path, EventKind::Removed);
    fs::write(folder.join(".hidden"), "x").unwrap();
    fs::rename(folder.join(".hidden"), folder.join("c.csv")).unwrap();
    let next = seen.0.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        next,
        Event { path: folder.join("c.csv"), kind: EventKind::RenamedIn },
        "dot names are not told"
    );
}

#[test]
fn a_rename_into_a_folder_that_did_not_exist_at_the_start_is_seen() {
    let (watcher, seen, dir) = watcher();
    let folder = dir.path().join("later/still/in");
    watcher.watch(&folder).unwrap();
    fs::create_dir_all(&folder).unwrap();
    seen.wait(&folder, EventKind::Rescan);
    let path = rename_in(&dir, &folder.join("a.csv"));
    seen.wait(&path, EventKind::RenamedIn);
}

#[test]
fn a_folder_that_is_removed_or_moved_away_and_made_again_is_seen() {
    let (watcher, seen, dir) = watcher();
    let folder = dir.path().join("in");
    fs::create_dir(&folder).unwrap();
    watcher.watch(&folder).unwrap();
    for round in 0..3 {
        if round == 1 {
            fs::rename(&folder, dir.path().join("away")).unwrap();
        } else {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        seen.wait(&folder, EventKind::Rescan);
        let path = rename_in(&dir, &folder.join(format!("{round}.csv")));
        seen.wait(&path, EventKind::RenamedIn);
    }
}

#[test]
fn a_folder_behind_a_link_is_told_under_each_of_its_paths() {
    let (watcher, seen, dir) = watcher();
    let (folder, link) = (dir.path().join("in"), dir.path().join("link"));
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    watcher.watch(&folder).unwrap();
    watcher.watch(&link).unwrap();
    rename_in(&dir, &folder.join("a.csv"));
    let mut paths: Vec<PathBuf> = Vec::new();
    while paths.len() < 2 {
        let event = seen.0.recv_timeout(PATIENCE).unwrap();
        if event.kind == EventKind::RenamedIn {
            paths.push(event.path);
        }
    }
    paths.sort();
    assert_eq!(paths, [folder.join("a.csv"), link.join("a.csv")]);
}

#[test]
fn manifests_are_told_in_date_folders_that_come_later() {
    let (watcher, seen, dir) = watcher();
    let data = dir.path().join("data");
    watcher.watch_data(&data).unwrap();
    let day = data.join("imports/2025-11-24");
    fs::create_dir_all(&day).unwrap();
    seen.wait(&day, EventKind::Rescan);
    rename_in(&dir, &day.join("a.csv"));
    let manifest = rename_in(&dir, &day.join("a.meta.json"));
    let next = seen.0.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next, Event { path: manifest, kind: EventKind::RenamedIn }, "only manifests are told");
    let next_day = data.join("imports/2025-11-25");
    fs::create_dir(&next_day).unwrap();
    seen.wait(&next_day, EventKind::Rescan);
    fs::hard_link(day.join("a.meta.json"), next_day.join("b.meta.json")).unwrap();
    seen.wait(&next_day.join("b.meta.json"), EventKind::Changed);
}

#[test]
fn what_is_no_longer_watched_is_no_longer_told() {
    let (watcher, seen, dir) = watcher();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for folder in [&one, &two] {
        fs::create_dir(folder).unwrap();
        watcher.watch(folder).unwrap();
    }
    watcher.unwatch(&one);
    rename_in(&dir, &one.join("a.csv"));
    let path = rename_in(&dir, &two.join("b.csv"));
    let next = seen.0.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next, Event { path, kind: EventKind::RenamedIn });
    assert!(watcher.weakness().is_none());
}
