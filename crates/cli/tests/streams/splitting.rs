//! Files that are handed over by database.

use crate::kit::{LONG, Records, all_but};
use handover_testkit::Running;
use handover_testkit::process::wait_for;
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

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

const SCHEMA: &str = r#"{
    "missingValues": ["", "n/a"],
    "fields": [
        {"name": "id", "type": "string", "missingValues": ["none"]},
        {"name": "n", "type": "integer", "groupChar": "."},
        {"name": "price", "type": "number", "decimalChar": ",", "bareNumber": false},
        {"name": "paid", "type": "boolean", "trueValues": ["yes"], "falseValues": ["no"]},
        {"name": "day", "type": "date"},
        {"name": "elsewhere", "type": "integer"}
    ]
}"#;

fn casts() -> Records {
    let place = Records::with("{ run: python3 work.py, mode: stream }", ", cast: schema.json", "");
    let script = "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(json.dumps(dict(id=r['id'], status='completed', data=r['data'])), flush=True)\n";
    place.project.write("work.py", script);
    place
}

#[test]
fn by_a_schema_cells_become_values() {
    let place = casts();
    place.project.write("schema.json", SCHEMA);
    let rows = [
        "id,n,price,paid,day,more",
        "007,1.234,\"€ 5,50\",yes,2025-11-24,08",
        "n/a,-7,\"0,1\",no,n/a,",
        "none,,,,,x",
        "4,many,1,yes,2025-11-24,",
        "5,1,1,perhaps,2025-11-24,",
        "6,123456789012345678901234567890,1,yes,,",
    ];
    place.project.arrive("incoming/t_2025-11-24.csv", rows.join("\n") + "\n");
    let run = place.well();
    let expect = [
        json!({"id": "007", "n": 1234, "price": 5.5, "paid": true, "day": "2025-11-24", "more": "08"}),
        json!({"id": "n/a", "n": -7, "price": 0.1, "paid": false, "day": null, "more": ""}),
        json!({"id": null, "n": null, "price": null, "paid": null, "day": null, "more": "x"}),
    ];
    assert_eq!(place.exported(), expect, "{}", run.stderr());
    let rejected = place.names("data/errors");
    assert_eq!(rejected, ["work_sales-rejected_2025-11-24_001.csv"]);
    let text =
        std::fs::read_to_string(place.project.join("data/errors/2025-11-24").join(&rejected[0])).unwrap();
    for why in
        ["is not a number as", "is not a boolean (yes or no)", "more digits than a number of JSON keeps"]
    {
        assert!(text.contains(why), "{why}: {text}");
    }
    assert!(run.stdout().contains("3 records for work, 3 rows rejected"), "{}", run.stdout());
    // Records of JSON have their types.
    place.project.arrive("incoming/a_2025-11-24.ndjson", "{\"n\":\"1.000\"}\n");
    place.well();
    assert!(place.exported().contains(&json!({"n": "1.000"})));
}

#[test]
fn a_cast_that_cannot_be_is_said_before_anything_runs() {
    let place = Records::with("{ run: cat }", ", cast: schema.json", "");
    for (schema, why) in [
        ("{\"properties\": {}}", "this is a JSON Schema"),
        ("{\"fields\": [{\"name\": \"n\", \"type\": \"number\", \"groupChar\": \"--\"}]}", "one character"),
        ("{", "not JSON"),
    ] {
        place.project.write("schema.json", schema);
        let check = place.project.command(&["check"]).output().unwrap();
        let said = String::from_utf8(check.stderr).unwrap();
        assert_eq!(check.status.code(), Some(2), "{said}");
        assert!(said.contains("the link from in to work: cast") && said.contains(why), "{said}");
    }
}

#[test]
fn a_split_that_was_cut_off_goes_on_by_the_schema_that_it_began_with() {
    let place = casts();
    let numbers = "{\"fields\": [{\"name\": \"n\", \"type\": \"integer\"}]}";
    place.project.write("schema.json", numbers);
    // Each tenth row is rejected.
    let rows: String =
        (1..=1_100).map(|n| if n % 10 == 0 { format!("x{n}\n") } else { format!("{n}\n") }).collect();
    place.project.arrive("incoming/t_2025-11-24.csv", format!("n\n{rows}"));
    let mut run = place.project.start_with_fault(&["run", "--once"], "split.loaded:kill@1");
    run.end_within(LONG);
    // By this one none would be: another row than the 501st would be the first that is not in.
    place.project.write("schema.json", numbers.replace("integer", "string"));
    place.once();
    let (_, error) = split_that_ended(&place);
    assert!(
        error.contains("500 records of this file are in") && error.contains("put the schema back"),
        "{error}"
    );
    place.project.write("schema.json", numbers);
    exports(&place, 990);
    let tenths: Vec<u64> = (1..=110).map(|n| n * 10).collect();
    assert_eq!(place.exported_numbers(), all_but(1_100, &tenths));
    assert_eq!(place.names("data/errors"), ["work_sales-rejected_2025-11-24_001.csv"]);
}

/// Runs until so many records are exported.
#[track_caller]
fn exports(place: &Records, count: usize) {
    let mut run = place.project.start(&["run"]);
    wait_for(LONG, "all records are exported", || (place.exported().len() >= count).then_some(()));
    run.signal(Signal::TERM);
    run.end_within(LONG);
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
fn a_number_that_the_ledger_would_change_is_rejected() {
    let texts = [
        "{\"n\":1,\"id\":12345678901234567890123}",
        "{\"n\":2,\"id\":18446744073709551615,\"x\":0.1,\"text\":\"12345678901234567890123\"}",
        "{\"n\":3,\"deep\":[{\"x\":3.14159265358979323846}]}",
        "{\"n\":4,\"x\":1e400}",
        "{\"n\":5,\"x\":1.50}",
        "{\"n\":6,\"text\":\"a\\u0000b\"}",
    ];
    for (name, text) in [
        ("a_2025-11-24.ndjson", texts.join("\n") + "\n"),
        ("a_2025-11-24.json", format!("[{}]", texts.join(",\n"))),
    ] {
        let place = passes_on();
        place.project.arrive(format!("incoming/{name}"), text);
        let run = place.well();
        assert_eq!(place.exported_numbers(), [2, 5], "{}", run.stdout());
        let kept =
            place.rows("SELECT data FROM data_staging WHERE target_app = 'work' AND data LIKE '%\"n\":2%'");
        assert_eq!(kept, [texts[1]], "to the last digit");
        let rejected = place.names("data/errors");
        let rejected =
            std::fs::read_to_string(place.project.join("data/errors/2025-11-24").join(&rejected[0]));
        let rejected = rejected.unwrap();
        for why in [
            "the number 12345678901234567890123 cannot be kept exactly as it is written",
            "the number 3.14159265358979323846 cannot",
            "1e400",
            "NUL",
        ] {
            assert!(rejected.contains(why), "{why}: {rejected}");
        }
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
    run.end_within(LONG);
    let before = place.rows("SELECT count(*) FROM data_staging WHERE target_app = 'work'").concat();
    assert_eq!(before, "1000", "two batches were in");
    place.well();
    assert_eq!(place.exported_numbers(), all_but(1_700, &[]));
}

/// A split of 1,700 rows that is stopped, as by a debugger, behind its first batch. Where that was in the middle of another
/// thread's transaction, nobody else could write: then anew.
#[track_caller]
fn stopped_behind_a_batch(more: &str) -> (Records, Running) {
    for _ in 0..20 {
        let place = Records::stream(more, "for r, d in records(): answer(r, data=d)\n");
        place.numbers(1_700);
        let mut run = place.project.start_with_fault(&["run", "--once"], "split.loaded:stop@1");
        run.stopped_within(LONG);
        let sql = place.sql();
        sql.busy_timeout(Duration::ZERO).unwrap();
        if sql.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
            return (place, run);
        }
    }
    panic!("the ledger is always locked");
}

/// The file's delivery: its number and its last error.
#[track_caller]
fn split_that_ended(place: &Records) -> (String, String) {
    let file = "FROM deliveries WHERE target_app = 'work' AND status <> 'completed'";
    let records = "SELECT count(*) FROM v_deliveries WHERE source_app = 'in' AND kind = 'record'";
    assert_eq!(place.rows(records), ["500"], "more entered");
    (
        place.rows(&format!("SELECT id {file}")).concat(),
        place.rows(&format!("SELECT last_error {file}")).concat(),
    )
}

#[test]
fn a_split_that_takes_too_long_is_cut_off_between_two_batches() {
    let (place, mut run) = stopped_behind_a_batch(", timeout: 1s");
    std::thread::sleep(Duration::from_millis(1_100));
    run.signal(Signal::CONT);
    run.end_within(LONG);
    let (_, error) = split_that_ended(&place);
    assert!(error.contains("longer than its timeout of 1s"), "{error}");
    let attempts = "SELECT attempts FROM deliveries WHERE target_app = 'work'";
    assert_eq!(place.rows(attempts), ["1"], "an attempt is used up, so that it ends at last");
    let configuration = std::fs::read_to_string(place.project.join("handover.yaml")).unwrap();
    place.project.write("handover.yaml", configuration.replace("timeout: 1s", "timeout: 1h"));
    exports(&place, 1_700);
    assert_eq!(place.exported_numbers(), all_but(1_700, &[]));
}

#[test]
fn a_split_that_is_cancelled_ends_between_two_batches() {
    let (place, mut run) = stopped_behind_a_batch("");
    let id = place.rows("SELECT id FROM deliveries WHERE target_app = 'work'").concat();
    let cancel = place.project.command(&["cancel", &id]).output().unwrap();
    assert!(cancel.status.success(), "{cancel:?}");
    run.signal(Signal::CONT);
    run.end_within(LONG);
    let (id, error) = split_that_ended(&place);
    assert!(error.contains("cancelled"), "{error}");
    assert!(place.project.command(&["retry", &id]).status().unwrap().success());
    place.well();
    assert_eq!(place.exported_numbers(), all_but(1_700, &[]));
}
