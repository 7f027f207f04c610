//! The demo, from nothing to the last row, and over again.

use crate::Place;
use serde_json::{Value, json};

fn row<'a>(report: &'a Value, app: &str) -> &'a Value {
    report["apps"].as_array().unwrap().iter().find(|row| row["app"] == app).unwrap()
}

#[test]
fn every_flight_is_accounted_for_and_a_second_run_repeats_nothing() {
    let place = Place::empty();
    let report = place.json(&["demo", "flights"]);
    assert_eq!(report["every_row_accounted_for"], true);
    assert_eq!([&report["rows_in"], &report["rows_out"], &report["rows_rejected"]], [80_789, 77_911, 2_878]);
    for (app, rows_in, rows_out, rejected) in [
        ("file-importer", 80_789, 80_789, 0),
        ("validator", 80_789, 77_911, 2_878),
        ("on-time", 77_911, 77_911, 0),
        ("enricher", 77_911, 77_911, 0),
        ("file-exporter", 77_911, 77_911, 0),
    ] {
        let row = row(&report, app);
        let sums = ["files", "failed", "rows_in", "rows_out", "rows_rejected"].map(|key| row[key].clone());
        assert_eq!(sums, [90, 0, rows_in, rows_out, rejected].map(|n: u64| json!(n)), "{app}");
    }
    assert_eq!(report["examples"].as_array().unwrap().len(), 5);
    assert_eq!(place.names("flights/incoming").len(), 90);
    let exports = place.names("flights/outgoing");
    assert_eq!(exports.iter().filter(|name| name.ends_with(".csv.gz")).count(), 90);
    assert_eq!(exports.len(), 180, "each with its manifest");

    place.write(
        "flights/handover.yaml",
        &place.read("flights/handover.yaml").replace("adds the column", "adds a column"),
    );
    let again = place.run(&["demo", "flights"]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("is in flights already"), "{}", again.err);
    assert!(again.out.contains("80,789 rows in = 77,911 out + 2,878 rejected"), "{}", again.out);
    assert!(place.read("flights/handover.yaml").contains("adds a column"), "what a person changed stays");
    assert_eq!(place.names("flights/outgoing"), exports);

    let verified = place.ok(&["verify", "flights"]);
    assert!(verified.contains("each is what its manifest says"), "{verified}");
}

#[test]
fn a_folder_that_holds_something_else_is_not_touched() {
    let place = Place::empty();
    place.write("mine/note.txt", "x");
    let answer = place.run(&["demo", "mine"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("not empty") && answer.err.contains("help: "), "{}", answer.err);
    assert_eq!(place.names("mine"), ["note.txt"]);
    assert_eq!(place.run(&["demo", "mine/note.txt"]).code, 2);
}
