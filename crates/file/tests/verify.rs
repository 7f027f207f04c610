//! `verify`: every way in which a file can differ from its manifest has its own words.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use common::{Place, place, stem};
use handover_core::{ErrorKind, HolderId};
use handover_file::HolderLock;
use handover_file::publish::publish_now;
use handover_file::verify::{Finding, Grade, Subject, verify_dir};
use std::fs;
use std::path::Path;

fn publish(p: &Place, sequence: u32) {
    publish_now(p.request(sequence, "h\n1\n")).unwrap();
}

fn one(path: &Path) -> Finding {
    let mut findings = verify_dir(path).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

#[test]
fn each_fault_has_its_finding() {
    type Harm = fn(&Place);
    let change = |p: &Place, from: &str, to: &str| {
        let text = fs::read_to_string(p.manifest_path(1)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(p.manifest_path(1), text.replace(from, to)).unwrap();
    };
    let harms: [(Grade, Subject, &str, Harm); 8] = [
        (Grade::Ok, Subject::Whole, "4 bytes", |_| {}),
        (Grade::Fail, Subject::MissingData, "file is not", |p| fs::remove_file(p.path(1)).unwrap()),
        (Grade::Fail, Subject::WrongSize, "is 1 bytes, and the manifest says 4", |p| {
            fs::write(p.path(1), "x").unwrap()
        }),
        (Grade::Fail, Subject::WrongChecksum, "checksum is", |p| fs::write(p.path(1), "h\n2\n").unwrap()),
        (Grade::Fail, Subject::MalformedManifest, "manifest", |p| {
            fs::write(p.manifest_path(1), "{").unwrap()
        }),
        (Grade::Warn, Subject::NoManifest, "no manifest", |p| fs::remove_file(p.manifest_path(1)).unwrap()),
        (Grade::Fail, Subject::NoFile, "symbolic link", |p| {
            fs::remove_file(p.path(1)).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", p.path(1)).unwrap();
        }),
        (Grade::Fail, Subject::NoFile, "folder", |p| {
            fs::remove_file(p.path(1)).unwrap();
            fs::create_dir(p.path(1)).unwrap();
        }),
    ];
    for (grade, subject, words, harm) in harms {
        let p = place();
        publish(&p, 1);
        harm(&p);
        let finding = one(p.data.root());
        assert_eq!((finding.status, finding.what), (grade, subject), "{finding:?}");
        assert!(finding.message.contains(words), "{finding:?}");
    }
    let p = place();
    publish(&p, 1);
    change(&p, "v2.0", "v9.0");
    assert_eq!(one(p.data.root()).what, Subject::FutureVersion);
    change(&p, "\"filename\"", "\"file\"");
    assert_eq!(one(p.data.root()).what, Subject::MalformedManifest);
}

#[test]
fn a_single_file_is_verified_by_either_of_its_names() {
    let p = place();
    publish(&p, 1);
    assert_eq!(one(&p.path(1)).what, Subject::Whole);
    assert_eq!(one(&p.manifest_path(1)).what, Subject::Whole);
    let alone = p.dir.path().join("alone.txt");
    fs::write(&alone, "x").unwrap();
    assert_eq!(one(&alone).what, Subject::NoManifest);
    assert_eq!(verify_dir(&p.dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn twins_and_orphans_are_found_and_the_livings_work_is_not_an_orphan() {
    let p = place();
    publish(&p, 1);
    fs::write(p.folder().join(format!("{}.json", stem(1))), "[]").unwrap();
    fs::write(p.folder().join("notes.txt"), "not ours").unwrap();
    let living = HolderId::new(8);
    let lock = HolderLock::take(&p.data, living.clone()).unwrap();
    let dead = HolderId::new(9);
    for holder in [&living, &dead] {
        fs::write(p.data.tmp_dir().join(format!("{holder}-0.csv")), "").unwrap();
        fs::write(p.folder().join(format!(".handover-{holder}-1.tmp")), "").unwrap();
    }
    let of = |findings: &[Finding], subject| findings.iter().filter(|f| f.what == subject).count();
    let findings = verify_dir(p.data.root()).unwrap();
    assert_eq!(of(&findings, Subject::OrphanTemporary), 2, "{findings:?}");
    assert_eq!(of(&findings, Subject::DuplicateName), 1);
    assert_eq!((of(&findings, Subject::Whole), findings.len()), (1, 4));
    drop(lock);
    assert_eq!(of(&verify_dir(p.data.root()).unwrap(), Subject::OrphanTemporary), 4);
    assert_eq!(of(&verify_dir(&p.folder()).unwrap(), Subject::OrphanTemporary), 2);
    let json = serde_json::to_value(&findings).unwrap();
    let as_text = |finding: &serde_json::Value| format!("{} {}", finding["status"], finding["what"]);
    let told: Vec<String> = json.as_array().unwrap().iter().map(as_text).collect();
    assert!(told.contains(&r#""ok" "whole""#.to_owned()), "{told:?}");
}

#[test]
fn names_of_any_bytes_and_foreign_manifests_do_not_stop_it() {
    use std::os::unix::ffi::OsStrExt;
    let p = place();
    publish(&p, 1);
    let odd = p.folder().join(std::ffi::OsStr::from_bytes(b"a\n\xff.csv"));
    fs::write(&odd, "x").unwrap();
    fs::rename(p.manifest_path(1), p.folder().join("other.meta.json")).unwrap();
    let findings = verify_dir(p.data.root()).unwrap();
    let subjects: Vec<Subject> = findings.iter().map(|f| f.what).collect();
    assert_eq!(subjects, [Subject::WrongManifestName, Subject::Whole]);
}
