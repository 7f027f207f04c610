//! The cases of csv-spectrum: each table reads as its JSON says. See data/csv-spectrum/ORIGIN.md.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

use handover_records::csv::Reader;
use handover_records::{Dialect, json};
use serde_json::{Map, Value};
use std::path::Path;

fn table(bytes: &[u8]) -> Vec<Value> {
    let mut reader = Reader::new(bytes, &Dialect::default());
    let mut names: Vec<String> = Vec::new();
    let mut records = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        assert_eq!(row.fault(), None);
        let cells = row.cells().map(|cell| String::from_utf8(cell.into_owned()).unwrap());
        if row.number() == 1 {
            names = cells.collect();
        } else if !row.is_blank() {
            let pairs = names.iter().cloned().zip(cells.map(Value::from));
            records.push(Value::Object(pairs.collect::<Map<_, _>>()));
        }
    }
    records
}

#[test]
fn every_table_reads_as_its_json() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/csv-spectrum");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder.join("csvs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let ours = table(&std::fs::read(&path).unwrap());
        let theirs = std::fs::read(folder.join("json").join(format!("{name}.json"))).unwrap();
        let theirs = json::parse(&theirs).unwrap();
        let mut theirs = theirs.as_array().cloned().unwrap_or_else(|| vec![theirs]);
        if name == "location_coordinates" {
            theirs[0]["Contact Phone Number"] = "2095257564".into();
        }
        assert_eq!(ours, theirs, "{name}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}
