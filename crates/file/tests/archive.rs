//! The archive: what goes in comes out, at every step that a crash can interrupt.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use common::{Place, manifest, place, stem, written};
use handover_core::{ErrorKind, Manifest};
use handover_file::archive::{archive, original_of};
use handover_file::publish::{PublishRequest, publish_now};
use handover_file::read::{read_manifest, retained};
use handover_file::verify::{Grade, verify_dir};
use std::fs;
use std::io::Read;
use std::path::Path;

fn now() -> jiff::Timestamp {
    "2025-12-24T00:00:00Z".parse().unwrap()
}

fn published(p: &Place, sequence: u32, text: &str) -> (String, Manifest) {
    let published = publish_now(p.request(sequence, text)).unwrap();
    (p.data.relative(&published.path).unwrap(), published.manifest)
}

fn read(p: &Place, relative: &str) -> String {
    let mut text = String::new();
    retained(&p.data, relative).unwrap().open().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn sound(p: &Place) {
    let findings = verify_dir(p.data.root()).unwrap();
    assert!(findings.iter().all(|f| f.status == Grade::Ok), "{findings:?}");
    assert_eq!(p.temporaries(), 0);
}

#[test]
fn a_file_goes_to_the_archive_and_is_read_through_it() {
    let p = place();
    let text = "h\n1\n".repeat(1000);
    let (relative, before) = published(&p, 1, &text);
    assert!(!retained(&p.data, &relative).unwrap().is_archived());
    let archived = archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
    assert_eq!(archived.path, format!("archive/2025-11/imports/{}.csv.zst", stem(1)));
    assert!(!archived.already && archived.size_after < archived.size_before);
    assert!(!p.folder().exists(), "the empty date folder goes too");
    assert_eq!(read(&p, &relative), text);
    let found = retained(&p.data, &relative).unwrap();
    assert!(found.is_archived());
    assert_eq!(found.checksum(), before.checksum);
    let original = original_of(found.manifest()).unwrap();
    assert_eq!((original.path.as_str(), original.file_size), (relative.as_str(), 4000));
    assert_eq!(found.manifest().row_count, before.row_count);
    let path = found.path(&p.data, &p.holder).unwrap();
    assert_eq!(fs::read_to_string(path.path()).unwrap(), text);
    assert!(path.path().to_str().unwrap().ends_with(".csv"));
    drop(path);
    sound(&p);
    let again = archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
    assert!(again.already);
    assert_eq!(retained(&p.data, "imports/2025-11-24/none.csv").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn whatever_a_crash_left_archiving_again_finishes() {
    type Crash = fn(&Place, &Path, &Path, &[u8], &[u8]);
    let crashes: [Crash; 4] = [
        // After the copy was published: both places hold it.
        |_, path, manifest, data, text| {
            fs::write(path, data).unwrap();
            fs::write(manifest, text).unwrap();
        },
        // After the original's manifest was removed.
        |_, path, _, data, _| fs::write(path, data).unwrap(),
        // Before the copy's manifest stood.
        |p, path, manifest, data, text| {
            fs::write(path, data).unwrap();
            fs::write(manifest, text).unwrap();
            fs::remove_file(p.data.root().join(format!("archive/2025-11/imports/{}.meta.json", stem(1))))
                .unwrap();
        },
        // After everything.
        |_, path, _, _, _| fs::remove_dir(path.parent().unwrap()).unwrap(),
    ];
    for crash in crashes {
        let p = place();
        let (relative, before) = published(&p, 1, "h\n1\n");
        let (data, text) = (fs::read(p.path(1)).unwrap(), fs::read(p.manifest_path(1)).unwrap());
        archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
        fs::create_dir_all(p.folder()).unwrap();
        crash(&p, &p.path(1), &p.manifest_path(1), &data, &text);
        assert_eq!(read(&p, &relative), "h\n1\n");
        archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
        assert_eq!(read(&p, &relative), "h\n1\n");
        assert_eq!(p.in_sight().len(), 2);
        sound(&p);
    }
}

#[test]
fn a_damaged_file_is_not_archived_and_a_damaged_archive_costs_no_original() {
    let p = place();
    let (relative, before) = published(&p, 1, "h\n1\n");
    fs::write(p.path(1), "h\n2\n").unwrap();
    let error = archive(&p.data, &p.holder, &relative, &before, now()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData, "{error}");
    assert!(p.path(1).exists() && !p.data.root().join("archive").exists());
    fs::write(p.path(1), "h\n1\n").unwrap();
    let text = fs::read(p.manifest_path(1)).unwrap();
    let archived = archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
    fs::create_dir_all(p.folder()).unwrap();
    fs::write(p.path(1), "h\n1\n").unwrap();
    fs::write(p.manifest_path(1), text).unwrap();
    fs::write(p.data.absolute(&archived.path).unwrap(), "rubbish").unwrap();
    assert_eq!(
        archive(&p.data, &p.holder, &relative, &before, now()).unwrap_err().kind(),
        ErrorKind::BadData
    );
    p.assert_published(1, "h\n1\n");
    let gone = archive(&p.data, &p.holder, "imports/2025-11-24/x.csv", &before, now()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Internal);
}

#[test]
fn what_is_compressed_already_is_stored_as_it_is_and_patterned_names_never_meet() {
    let p = place();
    let publish_as = |name: &str, stem: &str, day: i8, text: &str| {
        let folder = p.data.folder("exports", jiff::civil::date(2025, 11, day));
        let ext = name.rsplit_once('.').unwrap().1;
        let draft = written(p.data.draft(&p.holder, ext).unwrap(), text);
        let manifest = manifest(&draft, name, 1);
        let done =
            publish_now(PublishRequest::new(draft, folder, name.into(), stem.into(), manifest)).unwrap();
        (p.data.relative(&done.path).unwrap(), done.manifest)
    };
    let files = [
        publish_as("sales_v1.2.csv", "sales_v1.2", 24, "a"),
        publish_as("sales_v1.3.csv", "sales_v1.3", 24, "b"),
        publish_as("sales_v1.2.csv", "sales_v1.2", 25, "c"),
        publish_as("sales.csv.gz", "sales", 24, "d"),
        publish_as("validator_sales_2025-11-24_001.gz", "validator_sales_2025-11-24_001", 24, "e"),
    ];
    let paths: Vec<String> = files
        .iter()
        .map(|(relative, manifest)| archive(&p.data, &p.holder, relative, manifest, now()).unwrap().path)
        .collect();
    assert_eq!(paths[0], "archive/2025-11/exports/2025-11-24/sales_v1.2.csv.zst");
    assert_eq!(paths[3], "archive/2025-11/exports/2025-11-24/sales.csv.gz");
    assert_eq!(paths[4], "archive/2025-11/exports/validator_sales_2025-11-24_001.gz");
    for ((relative, _), text) in files.iter().zip(["a", "b", "c", "d", "e"]) {
        assert_eq!(read(&p, relative), text, "{relative}");
        let found = retained(&p.data, relative).unwrap();
        let path = found.path(&p.data, &p.holder).unwrap();
        assert_eq!(fs::read_to_string(path.path()).unwrap(), text);
    }
    let stored =
        read_manifest(&p.data.root().join("archive/2025-11/exports/2025-11-24/sales.csv.gz.meta.json"));
    assert_eq!(stored.unwrap().more["archived_at"], "2025-12-24T00:00:00.000Z");
    sound(&p);
}

#[test]
fn another_files_place_in_the_archive_is_not_taken() {
    let p = place();
    let (relative, before) = published(&p, 1, "h\n1\n");
    let archived = archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
    let there = p.data.root().join(format!("archive/2025-11/imports/{}.meta.json", stem(1)));
    let text = fs::read_to_string(&there).unwrap().replace(&relative, "elsewhere/2025-11-24/x.csv");
    fs::write(&there, text).unwrap();
    let (relative, before) = published(&p, 1, "h\n2\n");
    assert_eq!(archive(&p.data, &p.holder, &relative, &before, now()).unwrap_err().kind(), ErrorKind::Exists);
    p.assert_published(1, "h\n2\n");
    assert!(archive(&p.data, &p.holder, &archived.path, &archived.manifest, now()).is_err());
}

#[test]
fn an_empty_file_and_a_large_one_survive() {
    let p = place();
    for (n, text) in [String::new(), "0123456789\n".repeat(50_000)].iter().enumerate() {
        let (relative, before) = published(&p, n as u32 + 1, text);
        archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
        assert_eq!(&read(&p, &relative), text);
    }
    sound(&p);
}

/// Not a test by itself: what the child process does.
#[test]
fn child() {
    let Some(root) = std::env::var_os("HANDOVER_TEST_ROOT").map(std::path::PathBuf::from) else { return };
    let data = handover_file::DataDir::open(&root).unwrap();
    let relative = std::env::var("HANDOVER_TEST_FILE").unwrap();
    let found = retained(&data, &relative).unwrap();
    let holder = handover_core::HolderId::new(std::process::id());
    let _ = archive(&data, &holder, &relative, found.manifest(), now());
}

#[test]
fn killed_or_failed_at_any_point_of_its_publication_nothing_is_lost_and_a_second_run_finishes() {
    for point in ["written", "synced", "linked", "dir_synced", "manifest_written", "manifest_linked", "done"]
    {
        for action in ["kill", "error"] {
            let p = place();
            let (relative, before) = published(&p, 1, "h\n1\n");
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child"])
                .env("HANDOVER_TEST_ROOT", p.data.root())
                .env("HANDOVER_TEST_FILE", &relative)
                .env("HANDOVER_FAULT", format!("publish.{point}:{action}"))
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.success(), action == "error", "{point}");
            assert_eq!(read(&p, &relative), "h\n1\n");
            p.assert_published(1, "h\n1\n");
            handover_file::lock::sweep(&p.data, &[]).unwrap();
            archive(&p.data, &p.holder, &relative, &before, now()).unwrap();
            assert_eq!(read(&p, &relative), "h\n1\n");
            assert_eq!(p.in_sight().len(), 2, "{point}");
            sound(&p);
        }
    }
}
