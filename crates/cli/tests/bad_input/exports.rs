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
