//! Exports: a file that is not ours is never replaced, and a folder that cannot be written is said.

use crate::kit::{Case, GOOD, assert_says};

/// An importer and an exporter with this configuration.
fn exporting(with: &str) -> Case {
    Case::new(&format!(
        "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, type: t, settle: 0s, date: arrived }}, retries: 0 }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing, {with} }}, retries: 0 }}
flows:
  f: file-importer -> file-exporter
"
    ))
}

#[test]
fn a_name_may_have_the_contents_hash() {
    let case = exporting("name: '{type}-{hash}.{ext}'");
    case.put_good();
    case.put("other.csv", "id\n2\n");
    assert_eq!(case.once().code, Some(0));
    let names: Vec<String> = case.exported().into_keys().collect();
    assert!(names.iter().all(|name| name.starts_with("t-") && name.len() == 2 + 12 + 4), "{names:?}");
    case.assert_went_on();
}

#[test]
fn a_foreign_file_of_that_name_is_never_replaced() {
    let case = exporting("name: '{type}-{sequence}.{ext}'");
    case.project.write("outgoing/t-001.csv", "not ours");
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(std::fs::read_to_string(case.join("outgoing/t-001.csv")).unwrap(), "not ours");
    assert_eq!(std::fs::read_to_string(case.join("outgoing/t-002.csv")).unwrap(), GOOD);
}

#[test]
fn where_there_is_no_other_name_the_export_fails_with_what_to_do() {
    let case = exporting("name: '{type}.{ext}'");
    case.project.write("outgoing/t.csv", "not ours");
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(
        &case.the_failed().error,
        &["the name of this export is taken", "/outgoing/t.csv", "{sequence} or {hash}"],
    );
    assert_eq!(std::fs::read_to_string(case.join("outgoing/t.csv")).unwrap(), "not ours");
    assert_eq!(crate::kit::data_files(&case.join("outgoing")).len(), 1, "nothing half is left there");
}

#[test]
fn a_foreign_file_of_the_usual_name_is_passed_by() {
    let case = exporting("");
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let days = [today, today.tomorrow().unwrap()];
    for day in days {
        case.project.write(format!("outgoing/file-exporter_t_{day}_001.csv"), "not ours");
    }
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for day in days {
        assert_eq!(
            std::fs::read_to_string(case.join(format!("outgoing/file-exporter_t_{day}_001.csv"))).unwrap(),
            "not ours"
        );
    }
    assert_eq!(case.times_exported(GOOD), 1);
}

#[test]
fn a_folder_that_is_missing_is_made_and_one_that_is_a_file_is_said() {
    let case = exporting("compression: none");
    case.put_good();
    assert!(!case.join("outgoing").exists());
    assert_eq!(case.once().code, Some(0));
    case.assert_went_on();

    let case = exporting("compression: none");
    case.project.write("outgoing", "a file");
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&case.the_failed().error, &["/outgoing"]);
    assert!(!case.the_failed().error.contains("os error"), "{}", case.the_failed().error);
    assert_eq!(std::fs::read_to_string(case.join("outgoing")).unwrap(), "a file");
}

/// An export whose first attempt failed after its name was reserved; then somebody else's file has that name.
fn retried_beside(with: &str, name: &str) -> Case {
    let case = exporting(with);
    case.put_good();
    let mut run = case.project.start_with_fault(&["run", "--once"], "publish.written:error@2");
    assert_eq!(run.end_within(crate::kit::LONG).code(), Some(1));
    let failed = case.the_failed();
    assert_eq!(failed.app, "file-exporter");
    case.project.write(format!("outgoing/{name}"), "theirs");
    assert_eq!(case.run(&["retry", &failed.id.to_string()]).code, Some(0));
    case
}

#[test]
fn a_retry_never_replaces_a_file_that_somebody_put_there_meanwhile() {
    let case = retried_beside("name: '{type}.{ext}'", "t.csv");
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&case.the_failed().error, &["taken", "/outgoing/t.csv"]);
    assert_eq!(std::fs::read_to_string(case.join("outgoing/t.csv")).unwrap(), "theirs");

    let case = retried_beside("name: '{type}-{sequence}.{ext}', compression: none", "t-001.csv");
    case.once();
    assert_eq!(std::fs::read_to_string(case.join("outgoing/t-001.csv")).unwrap(), "theirs");
}

#[test]
fn what_comes_after_an_exporter_reads_what_it_exported() {
    for name in ["", ", name: '{type}-{hash}.{ext}'"] {
        let case = Case::new(&format!(
            "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, type: t, settle: 0s }}, retries: 0 }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing, compression: gzip{name} }}, retries: 0 }}
  upload: {{ run: gzip -dc, ext: csv, retries: 0 }}
flows:
  f: file-importer -> file-exporter -> upload
"
        ));
        case.put_good();
        let ran = case.once();
        assert_eq!(ran.code, Some(0), "{name}: {ran:?} {:#?}", case.failed());
        let uploaded = crate::kit::data_files(&case.join("data/upload"));
        assert_eq!(uploaded.values().collect::<Vec<_>>(), [GOOD.as_bytes()]);
    }
}

#[test]
fn a_path_outside_that_is_no_export_of_ours_is_not_read() {
    let case = Case::program("cat", "");
    case.once();
    case.pause("middle");
    case.put_good();
    case.once();
    let secret = case.project.write("secret.csv", "id\nsecret\n");
    let manifest = case.rows().into_iter().find(|row| row.app == "middle").unwrap().data;
    let at = secret.with_file_name("secret.meta.json");
    let mut manifest = manifest.as_object().unwrap().clone();
    manifest.insert("filename".into(), "secret.csv".into());
    std::fs::write(at, serde_json::Value::from(manifest).to_string()).unwrap();
    case.sql(&format!(
        "UPDATE deliveries SET data = json_set(data, '$.path', '{}') WHERE target_app = 'middle'",
        secret.display()
    ));
    case.resume();
    assert_eq!(case.once().code, Some(1));
    assert_says(&case.the_failed().error, &["inside the data directory", "no export of ours"]);
    let kept = crate::kit::data_files(&case.join("data/errors"));
    assert!(kept.values().all(|content| !content.ends_with(b"secret\n")), "{kept:?}");
}
