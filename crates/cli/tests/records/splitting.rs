//! Files that are handed over by database.

use crate::kit::Records;
use serde_json::json;

fn passes_on() -> Records {
    Records::stream("", "for r, d in records(): answer(r, data=d)\n")
}

#[test]
fn the_rows_of_a_table_are_records_of_texts() {
    let place = passes_on();
    place.project.arrive("incoming/t_2025-11-24.csv", "n,name\n1,\"a, b\"\n2,\n3\n4,\"say \"\"hi\"\"\"\n");
    let run = place.well();
    let expect = [
        json!({"n": "1", "name": "a, b"}),
        json!({"n": "2", "name": ""}),
        json!({"n": "4", "name": "say \"hi\""}),
    ];
    assert_eq!(place.exported(), expect);
    assert_eq!(place.names("data/errors"), ["work_sales-rejected_2025-11-24_001.csv"]);
    assert!(
        run.stdout().contains("split: 1 file into 3 records for work, 1 row rejected"),
        "{}",
        run.stdout()
    );
    let result = place.rows("SELECT result FROM deliveries WHERE target_app = 'work'").concat();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(
        (&result["rows_in"], &result["records"], &result["rows_rejected"]),
        (&json!(4), &json!(3), &json!(1))
    );
    let parents = place.rows(
        "SELECT count(*) FROM data_staging r JOIN deliveries f ON f.id = r.parent_id WHERE r.target_app = 'work' AND f.target_app = 'work'",
    );
    assert_eq!(parents, ["3"]);
}

#[test]
fn records_are_as_they_are_whatever_the_file_is() {
    for (name, text) in [
        ("a_2025-11-24.ndjson", "{\"n\":1,\"x\":[1.50,null]}\nnot json\n\n\"text\"\n".to_owned()),
        ("a_2025-11-24.json", "[ {\"n\":1,\n\"x\":[1.50,null]}, \"text\" ]".to_owned()),
    ] {
        let place = passes_on();
        place.project.arrive(format!("incoming/{name}"), text);
        place.well();
        assert_eq!(place.exported(), [json!({"n": 1, "x": [1.5, null]}), json!("text")], "{name}");
    }
}

#[test]
fn a_file_that_is_no_table_goes_to_quarantine() {
    let place = passes_on();
    place.project.arrive("incoming/a_2025-11-24.txt", "hello\n");
    let run = place.once();
    assert!(run.stdout().contains("cannot be split into records"), "{}", run.stdout());
    assert_eq!(place.names("data/errors"), ["work_sales-quarantined_2025-11-24_001.txt"]);
}

#[test]
fn a_large_file_enters_in_batches_and_each_row_once() {
    let place = passes_on();
    place.numbers(1_700);
    let mut run = place.project.start_with_fault(&["run", "--once"], "split.loaded:kill@2");
    run.end_within(crate::kit::LONG);
    let before = place.rows("SELECT count(*) FROM data_staging WHERE target_app = 'work'").concat();
    assert_eq!(before, "1000", "two batches were in");
    place.well();
    assert_eq!(place.exported_numbers(), crate::kit::all_but(1_700, &[]));
}
