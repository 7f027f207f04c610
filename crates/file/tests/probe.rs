//! The probe of a data directory.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use handover_file::probe::probe;
use std::fs;

#[test]
fn a_probe_tells_what_there_is_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let folder = dir.path().join("in");
    fs::create_dir(&folder).unwrap();
    let found = probe(&data, &[folder, dir.path().join("missing")]);
    assert!(found.writable && found.hard_links, "{found:?}");
    assert!(found.filesystem.free_bytes.is_some() && found.time_resolution_ns.is_some());
    assert!(found.watched[0].exists && found.watched[0].same_device && !found.watched[1].exists);
    assert!(found.weaknesses.iter().any(|sentence| sentence.contains("missing does not exist")));
    if cfg!(target_os = "linux") {
        assert!(found.events && found.rename_noreplace, "{found:?}");
    }
    assert!(!data.exists());
    let json = serde_json::to_value(&found).unwrap();
    assert!(json["filesystem"].is_string() && json["free_bytes"].is_u64(), "{json}");
}

#[test]
fn a_probe_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let tmp = dir.path().join(".handover/tmp");
    fs::create_dir_all(&tmp).unwrap();
    fs::write(tmp.join("draft"), "x").unwrap();
    assert!(probe(dir.path(), &[]).writable);
    let left: Vec<_> = fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["draft"]);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let found = probe(&file.join("data"), &[]);
    assert!(!found.writable && !found.events);
    assert!(found.weaknesses[0].contains("cannot be written"), "{:?}", found.weaknesses);
}
