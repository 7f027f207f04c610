//! Manifests that disagree, are malformed, come too early, or come again: beside a file that is imported, and put
//! into the data directory by another program.

use crate::kit::{Case, GOOD, LONG, assert_says};
use handover_testkit::process::wait_for;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;

const FOLDER: &str = "data/imports/2025-11-24";
const NAME: &str = "other_sales_2025-11-24_001";
const ROWS: &str = "id,name\n5,foreign\n";

fn checksum(content: &str) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn manifest(file: &str, content: &str) -> Value {
    json!({
        "filename": file, "created_at": "2025-11-24T10:30:00Z", "created_by": "other", "row_count": 1,
        "file_size": content.len(), "checksum": checksum(content), "schema_version": "v2.0", "next_app": "file-exporter",
    })
}

/// The usual manifest with some fields changed.
fn but(changes: Value) -> Value {
    let mut manifest = manifest(&format!("{NAME}.csv"), ROWS);
    for (key, value) in changes.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    manifest
}

/// A project with a foreign file and this manifest in its data directory, and a good file that arrives.
fn handed(manifest: impl ToString) -> Case {
    let case = Case::importing("");
    case.project.arrive(format!("{FOLDER}/{NAME}.csv"), ROWS);
    case.project.arrive(format!("{FOLDER}/{NAME}.meta.json"), manifest.to_string());
    case.put_good();
    case
}

#[test]
fn a_good_one_is_adopted_once() {
    let case = handed(but(json!({})));
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported(ROWS), 1);
    case.assert_went_on();
}

#[test]
fn one_that_disagrees_with_its_file_puts_the_file_into_quarantine() {
    for (manifest, words) in [
        (
            but(json!({ "checksum": checksum("other") })),
            ["the checksum is sha256:", "the manifest says sha256:"],
        ),
        (but(json!({ "file_size": 99 })), ["the size is 18 bytes", "the manifest says 99"]),
    ] {
        let case = handed(manifest);
        assert_eq!(case.once().code, Some(1));
        assert_says(&case.the_failed().error, &words);
        let reason = case.the_reason();
        assert_says(&reason.message, &words);
        assert_eq!(std::fs::read_to_string(reason.kept).unwrap(), ROWS);
        assert_eq!((case.exported().len(), case.times_exported(GOOD)), (1, 1));
    }
}

#[test]
fn one_that_is_malformed_is_refused_once_with_its_reason() {
    let name = format!("{NAME}.csv");
    for (manifest, words) in [
        ("{ not json".to_owned(), vec!["not JSON"]),
        (String::new(), vec!["not JSON"]),
        ("[]".to_owned(), vec!["manifest"]),
        (json!({ "filename": name }).to_string(), vec!["created_at"]),
        (but(json!({ "checksum": "md5:1234" })).to_string(), vec!["md5:1234", "is not a checksum"]),
        (but(json!({ "file_size": -1 })).to_string(), vec!["-1", "line 1"]),
        (
            but(json!({ "schema_version": "v9.0" })).to_string(),
            vec!["v9.0", "this Handover knows up to v2.0"],
        ),
        (but(json!({ "filename": "../../../etc/passwd" })).to_string(), vec!["../../../etc/passwd"]),
        (
            but(json!({ "filename": "other_sales_2025-11-24_002.csv" })).to_string(),
            vec![NAME, "other_sales_2025-11-24_002.csv"],
        ),
    ] {
        let case = handed(&manifest);
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{manifest}: {ran:?}");
        assert_says(&case.the_failed().error, &words);
        let reason = case.the_reason();
        assert_says(&reason.message, &words);
        assert_eq!(
            std::fs::read_to_string(reason.kept).unwrap(),
            manifest,
            "the manifest is kept with the reason"
        );
        let ran = case.once();
        assert_eq!((ran.code, case.reasons().len()), (Some(0), 1), "once: {ran:?}");
        assert_eq!((case.exported().len(), case.times_exported(GOOD)), (1, 1));
    }
}

#[test]
fn one_that_was_corrected_is_adopted() {
    let case = handed("{ not json");
    assert_eq!(case.once().code, Some(1));
    case.project.write(format!("{FOLDER}/{NAME}.meta.json"), but(json!({})).to_string());
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(case.times_exported(ROWS), 1);
}

#[test]
fn one_without_its_file_waits_for_it() {
    let case = handed(but(json!({})));
    let data = case.join(format!("{FOLDER}/{NAME}.csv"));
    std::fs::remove_file(&data).unwrap();
    assert_eq!(case.once().code, Some(0));
    assert_eq!((case.exported().len(), case.reasons().len(), case.failed().len()), (1, 0, 0));
    let _running = case.serve();
    std::fs::write(&data, ROWS).unwrap();
    wait_for(LONG, "it comes", || (case.times_exported(ROWS) == 1).then_some(()));
    case.assert_went_on();
}

#[test]
fn one_for_an_app_that_is_not_declared_waits_for_that() {
    let case = handed(but(json!({ "next_app": "file-exporters" })));
    let ran = case.once();
    assert_eq!(ran.code, Some(0));
    assert_says(&ran.log, &["other_sales_2025-11-24_001", "file-exporters", "not declared"]);
    assert_eq!((case.exported().len(), case.failed().len()), (1, 0));
    let configuration = std::fs::read_to_string(case.join("handover.yaml")).unwrap();
    case.project.write(
        "handover.yaml",
        configuration
            .replace("file-exporter:", "file-exporters:")
            .replace("-> file-exporter", "-> file-exporters"),
    );
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported(ROWS), 1);
}

#[test]
fn one_without_a_next_app_is_known_and_goes_nowhere() {
    let case = handed(but(json!({ "next_app": null })));
    assert_eq!(case.once().code, Some(0));
    assert_eq!((case.exported().len(), case.failed().len()), (1, 0));
    let row = case.rows().into_iter().find(|row| row.data["filename"] == format!("{NAME}.csv")).unwrap();
    assert_eq!((row.app.as_str(), row.status.as_str()), ("", "completed"));
    case.assert_went_on();
}

#[test]
fn a_copy_of_ours_is_never_adopted_again() {
    let case = Case::importing("");
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    let imports = crate::kit::manifests_in(&case.join("data/imports"));
    let (path, _) = &imports[0];
    let copies = case.join(FOLDER);
    std::fs::create_dir_all(&copies).unwrap();
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file: PathBuf = file.unwrap().path();
        std::fs::copy(&file, copies.join(file.file_name().unwrap())).unwrap();
    }
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(case.exported().len(), 1);
    assert_says(&ran.log, &["this ledger knows", "not adopted again"]);
}

#[test]
fn a_link_for_a_data_file_is_not_followed() {
    let case = handed(but(json!({})));
    let data = case.join(format!("{FOLDER}/{NAME}.csv"));
    std::fs::rename(&data, case.join("elsewhere.csv")).unwrap();
    std::os::unix::fs::symlink(case.join("elsewhere.csv"), &data).unwrap();
    assert_eq!(case.once().code, Some(1));
    assert_says(&case.the_failed().error, &["symbolic link", "not followed"]);
    assert_eq!((case.exported().len(), case.times_exported(GOOD)), (1, 1));
}

/// A file with its manifest beside it arrives where the importer looks.
fn arriving(file: &str, manifest: impl ToString) -> Case {
    let case = Case::importing("");
    case.put("sales.meta.json", manifest.to_string());
    case.put("sales.csv", file);
    case.put_good();
    case
}

#[test]
fn a_manifest_beside_an_original_is_believed_only_where_it_agrees() {
    let case = arriving(ROWS, manifest("sales.csv", ROWS));
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported(ROWS), 1);
    case.assert_went_on();

    for (file, words) in [
        (
            "id,name\n5,foreigm\n",
            ["disagrees with the manifest beside it: its checksum is sha256:", "its manifest says sha256:"],
        ),
        (
            "id,name\n5,for\n",
            ["disagrees with the manifest beside it: it has 14 bytes", "its manifest says 18"],
        ),
    ] {
        let case = arriving(file, manifest("sales.csv", ROWS));
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_says(&case.the_failed().error, &words);
        let reason = case.reason_for("/incoming/sales.csv");
        assert_says(&reason.message, &words);
        assert_says(&reason.hint, &["send the file again"]);
        assert_eq!(std::fs::read_to_string(reason.kept).unwrap(), file);
        case.assert_went_on();
    }
}

#[test]
fn a_malformed_manifest_beside_an_original_refuses_it() {
    for (text, words) in
        [("{ no", "not JSON"), (r#"{"schema_version":"v7.1","filename":"sales.csv"}"#, "v7.1")]
    {
        let case = arriving(ROWS, text);
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_says(&case.arrival("/incoming/sales.csv").error, &[words]);
        assert_says(&case.reason_for("/incoming/sales.csv").message, &[words]);
        case.assert_went_on();
    }
}

#[test]
fn one_that_comes_before_all_of_its_file_waits_for_the_rest() {
    let case = Case::importing("");
    case.project.write(format!("{FOLDER}/{NAME}.meta.json"), but(json!({})).to_string());
    let data = case.project.write(format!("{FOLDER}/{NAME}.csv"), &ROWS[..10]);
    let mut running = case.serve();
    running.says_within(LONG, "10 of the 18 bytes of other_sales_2025-11-24_001.csv are there");
    case.put_good();
    std::fs::write(data, ROWS).unwrap();
    wait_for(LONG, "it comes", || (case.times_exported(ROWS) == 1).then_some(()));
    wait_for(LONG, "the good one too", || (case.times_exported(GOOD) == 1).then_some(()));
    assert_eq!(case.failed().len(), 0);
    case.assert_went_on();
}

#[test]
fn one_that_is_still_being_written_is_waited_for() {
    use std::io::Write as _;
    let case = Case::importing("");
    case.project.write(format!("{FOLDER}/{NAME}.csv"), ROWS);
    let mut running = case.serve();
    let text = but(json!({})).to_string();
    let path = case.join(format!("{FOLDER}/{NAME}.meta.json"));
    let mut manifest = std::fs::File::create(path).unwrap();
    manifest.write_all(&text.as_bytes()[..20]).unwrap();
    running.says_within(LONG, "it is still being written");
    case.put_good();
    wait_for(LONG, "the good one goes through", || (case.times_exported(GOOD) == 1).then_some(()));
    manifest.write_all(&text.as_bytes()[20..]).unwrap();
    drop(manifest);
    wait_for(LONG, "it is adopted", || (case.times_exported(ROWS) == 1).then_some(()));
    assert_eq!((case.failed().len(), case.reasons().len()), (0, 0));
    case.assert_went_on();
}
