//! What an importer's configuration says about bad files and about originals.

use crate::kit::{Case, GOOD, LONG, assert_says};
use handover_testkit::process::wait_for;

#[test]
fn a_file_above_max_size_is_quarantined() {
    let case = Case::importing(", max_size: 100");
    case.put("large.csv", "id,name\n".repeat(20));
    case.put_good();
    assert_eq!(case.once().code, Some(1));
    assert_says(
        &case.the_failed().error,
        &["the file has 160 bytes", "the limit is 100", "/incoming/large.csv"],
    );
    assert_says(&case.reason_for("/incoming/large.csv").hint, &["max_size"]);
    case.assert_went_on();
}

fn sources(list: &str) -> Case {
    Case::new(&format!(
        "apps:
  file-importer:
    uses: file-importer
    retries: 0
    with:
      settle: 0s
      sources:
{list}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }} }}
flows:
  f: file-importer -> file-exporter
"
    ))
}

#[test]
fn several_sources_each_have_their_type_and_one_that_is_missing_stops_none() {
    let case = sources(
        "        - { from: nowhere, type: none }
        - { from: incoming, pattern: 'o*.csv', type: orders }
        - { from: incoming, pattern: 'r*.txt', type: returns, ext: csv, max_size: 20 }
        - { from: incoming, pattern: 'good*', type: good }",
    );
    case.put("o1.csv", "id\n1\n");
    case.put("r1.txt", "id\n2\n");
    case.put("r2.txt", "id\n".repeat(50));
    case.put("unmatched.dat", "id\n3\n");
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&ran.log, &["nowhere", "it is noticed when it appears"]);
    let names: Vec<String> = case.exported().into_keys().collect();
    let begins: Vec<&str> = names.iter().map(|name| name.split("_20").next().unwrap()).collect();
    assert_eq!(begins, ["file-exporter_good", "file-exporter_orders", "file-exporter_returns"]);
    assert!(names.iter().all(|name| name.ends_with(".csv")));
    assert!(
        case.reason_for("/incoming/r2.txt").kept.file_name().unwrap().to_string_lossy().contains("returns")
    );
    case.assert_went_on();
    case.project.arrive("nowhere/late.csv", "id\n9\n");
    assert_eq!(case.once().code, Some(0));
    assert_eq!(case.times_exported("id\n9\n"), 1);
}

#[test]
fn an_original_is_left_moved_or_deleted_and_a_bad_one_stays() {
    for (more, left, moved) in [
        ("", true, false),
        (", original: delete", false, false),
        (", original: move, move_to: taken", false, true),
    ] {
        let case = Case::importing(more);
        case.put("empty.csv", "");
        case.put_good();
        assert_eq!(case.once().code, Some(1));
        assert_eq!(case.join("incoming/good.csv").exists(), left, "{more}");
        assert_eq!(
            std::fs::read_to_string(case.join("taken/good.csv")).ok().as_deref(),
            moved.then_some(GOOD),
            "{more}"
        );
        assert!(case.join("incoming/empty.csv").exists(), "what was not imported is not taken away: {more}");
        case.assert_went_on();
        assert_eq!(case.once().code, Some(0), "what is bad is refused once");
        assert_eq!(case.reasons().len(), 1);
    }
}

#[test]
fn an_original_is_never_moved_over_another() {
    let case = Case::importing(", original: move, move_to: taken");
    case.project.write("taken/good.csv", "an older one");
    case.put_good();
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(std::fs::read_to_string(case.join("taken/good.csv")).unwrap(), "an older one");
    assert!(!case.join("incoming/good.csv").exists());
    assert!(crate::kit::data_files(&case.join("taken")).values().any(|content| content == GOOD.as_bytes()));
    case.assert_went_on();
}

#[test]
fn folders_inside_count_where_that_is_asked_for() {
    for (more, times) in [("", 0), (", recursive: true", 1)] {
        let case = Case::importing(more);
        case.put("2025/11/deep.csv", "id\ndeep\n");
        case.put(".hidden/deep.csv", "id\nhidden\n");
        // A circle of links is not followed.
        std::os::unix::fs::symlink(case.join("incoming"), case.join("incoming/2025/circle")).unwrap();
        case.put_good();
        let ran = case.once();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(case.times_exported("id\ndeep\n"), times);
        assert_eq!(case.times_exported("id\nhidden\n"), 0);
        case.assert_went_on();
    }
}

#[test]
fn a_done_marker_speaks_for_a_file_that_is_too_young() {
    let case = Case::importing("");
    let configuration = std::fs::read_to_string(case.join("handover.yaml")).unwrap();
    case.project.write("handover.yaml", configuration.replace("settle: 0s", "settle: 1h"));
    std::fs::create_dir(case.join("incoming")).unwrap();
    std::fs::write(case.join("incoming/good.csv"), GOOD).unwrap();
    std::fs::write(case.join("incoming/young.csv"), "id\n1\n").unwrap();
    std::fs::write(case.join("incoming/good.csv.done"), "").unwrap();
    let _running = case.serve();
    wait_for(LONG, "the marked one goes through", || (case.times_exported(GOOD) == 1).then_some(()));
    assert_eq!(case.exported().len(), 1);
    assert!(
        case.rows().iter().all(|row| !row.original().contains("young") && !row.original().contains(".done"))
    );
    std::fs::write(case.join("incoming/young.csv.done"), "").unwrap();
    wait_for(LONG, "the other is marked too", || (case.exported().len() == 2).then_some(()));
}

#[test]
fn a_run_that_could_not_look_says_so_and_exits_1() {
    let case = Case::importing("");
    case.project.write("incoming", "a file in the place of the folder");
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&ran.out, &["file-importer", "cannot look for new files", "/incoming"]);
    std::fs::remove_file(case.join("incoming")).unwrap();
    assert_eq!(case.once().code, Some(0), "a folder that is not there yet is no hindrance");
}

#[test]
fn more_refusals_than_one_scan_describes_all_get_their_reason() {
    let case = Case::importing("");
    std::fs::create_dir(case.join("incoming")).unwrap();
    let most = handover_file::arrive::scan::REFUSALS_MAX + 5;
    for index in 0..most {
        std::os::unix::fs::symlink("elsewhere", case.join(format!("incoming/{index}.csv"))).unwrap();
    }
    assert_eq!(case.once().code, Some(1));
    assert_eq!((case.failed().len(), case.reasons().len()), (most, most));
}
