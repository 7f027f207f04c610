//! The same content again: under the same name it is skipped; under another it goes through with a warning, is
//! skipped, or is rejected, as the configuration says. Each time the reason is kept.

use crate::kit::{Case, assert_says};

const SALES: &str = "id,name\n1,sale\n";

fn again(duplicates: &str) -> Case {
    let case = Case::importing(duplicates);
    case.put("first.csv", SALES);
    assert_eq!(case.once().code, Some(0));
    case.put("second.csv", SALES);
    case.put_good();
    case
}

fn note(case: &Case) -> String {
    let row = case.arrival("/incoming/second.csv");
    assert_eq!(row.status, "completed");
    row.result["notes"][0].as_str().unwrap().to_owned()
}

#[test]
fn under_another_name_it_goes_through_with_a_warning() {
    let case = again("");
    let ran = case.once();
    assert_eq!(ran.code, Some(0));
    assert_says(&ran.out, &["note: ", "/incoming/second.csv", "the same content was imported before"]);
    assert_says(&case.run(&["why", "incoming/second.csv"]).out, &["the same content was imported before"]);
    assert_says(
        &note(&case),
        &["same content was imported before under another name", "/incoming/first.csv", "delivery 1"],
    );
    assert_eq!(case.times_exported(SALES), 2);
    case.assert_went_on();
}

#[test]
fn under_another_name_it_is_skipped_where_that_is_asked_for() {
    let case = again(", duplicates: skip");
    let ran = case.once();
    assert_eq!(ran.code, Some(0));
    assert_says(&ran.out, &["SKIPPED"]);
    assert_says(&note(&case), &["skipped: the same content", "/incoming/first.csv", "delivery 1"]);
    assert_eq!(case.times_exported(SALES), 1);
    case.assert_went_on();
}

#[test]
fn under_another_name_it_is_rejected_where_that_is_asked_for() {
    let case = again(", duplicates: reject");
    assert_eq!(case.once().code, Some(1));
    assert_says(&case.the_failed().error, &["same content", "/incoming/first.csv", "delivery 1"]);
    let reason = case.reason_for("/incoming/second.csv");
    assert_says(&reason.message, &["same content"]);
    assert_eq!(std::fs::read_to_string(reason.kept).unwrap(), SALES);
    assert_eq!(case.times_exported(SALES), 1);
    case.assert_went_on();
}

#[test]
fn two_at_once_are_compared_too() {
    let case = Case::importing(", duplicates: skip");
    for index in 0..20 {
        case.put(format!("{index}.csv"), SALES);
    }
    case.put_good();
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported(SALES), 1);
    case.assert_went_on();
}

#[test]
fn the_same_name_with_the_same_content_is_skipped_and_with_new_content_is_new() {
    let case = Case::importing(", duplicates: reject");
    case.put("daily.csv", SALES);
    assert_eq!(case.once().code, Some(0));
    case.put("daily.csv", SALES);
    case.put_good();
    assert_eq!(case.once().code, Some(0), "the same name with the same content is no duplicate to reject");
    let rows = case.rows();
    let second = rows.iter().filter(|row| row.original().ends_with("/daily.csv")).nth(1).unwrap();
    assert_says(
        second.result["notes"][0].as_str().unwrap(),
        &["skipped: the same name with the same content", "delivery 1"],
    );
    assert_eq!(case.times_exported(SALES), 1);
    case.put("daily.csv", "id,name\n2,other\n");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id,name\n2,other\n"), 1);
    case.assert_went_on();
}

#[test]
fn those_that_are_claimed_at_once_are_compared_too() {
    for more in ["", ", workers: 4"] {
        let case = Case::new(&format!(
            "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, type: t, settle: 0s, duplicates: skip }}, retries: 0{more} }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }}, retries: 0 }}
flows:
  f: file-importer -> file-exporter
"
        ));
        case.once();
        case.pause("file-importer");
        (0..30).for_each(|index| drop(case.put(format!("{index}.csv"), SALES)));
        case.put_good();
        assert_eq!(case.once().code, Some(0), "all have arrived");
        case.resume();
        // Two processes at the same time.
        let mut runs = [case.project.start(&["run", "--once"]), case.project.start(&["run", "--once"])];
        for run in &mut runs {
            assert!(run.end_within(crate::kit::LONG).success(), "{}", run.stderr());
        }
        assert_eq!(case.times_exported(SALES), 1);
        let skipped = case.rows().into_iter().filter(|row| row.result["notes"][0].as_str().is_some());
        assert_eq!(skipped.count(), 29);
        case.assert_went_on();
    }
}
