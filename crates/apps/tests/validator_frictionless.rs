//! The validator against Frictionless: a corpus of tables that hits each type, format and constraint, with Frictionless's
//! verdict on each row (dev/frictionless-corpus.py made it). Rows on which we differ on purpose say why.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use handover_apps::{AppIo, RowApp, RunOptions, Validator, parse_config};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Codes = BTreeSet<String>;

/// The kinds of error in the header and in each row, as we see them.
fn judge(schema: &Value, csv: &str) -> (Codes, BTreeMap<String, Codes>) {
    let with = json!({ "schema": schema, "examples": 10_000 });
    let app = Validator::new(&parse_config("validator", &with).unwrap(), Path::new(".")).unwrap();
    let (mut out, mut rejected) = (Vec::new(), Vec::new());
    let io = AppIo {
        input: &mut csv.as_bytes(),
        input_ext: "csv",
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| false,
        options: RunOptions::default(),
        scratch: &|| Ok(tempfile::tempfile().unwrap()),
    };
    let outcome = app.run(io).unwrap();
    let report = outcome.report.unwrap();
    let (mut header, mut rows) = (Codes::new(), BTreeMap::new());
    for example in report["examples"].as_array().unwrap() {
        let code = example["code"].as_str().unwrap().to_owned();
        if outcome.refuse.is_some() {
            header.insert(code);
        } else {
            rows.entry(example["row"].to_string()).or_insert_with(Codes::new).insert(code);
        }
    }
    (header, rows)
}

fn codes(value: &Value) -> Codes {
    value.as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

#[test]
fn we_agree_row_for_row() {
    let corpus: Value = serde_json::from_str(include_str!("frictionless/corpus.json")).unwrap();
    let mut differences = Vec::new();
    for case in corpus["cases"].as_array().unwrap() {
        let csv = case["csv"].as_str().unwrap();
        let (header, rows) = judge(&case["schema"], csv);
        if header != codes(&case["header"]) {
            differences.push(format!("{}: header: {header:?}, not {}", case["name"], case["header"]));
        }
        if !header.is_empty() {
            continue;
        }
        let count = csv::ReaderBuilder::new().flexible(true).from_reader(csv.as_bytes()).records().count();
        for row in (2..count + 2).map(|row| row.to_string()) {
            let ours = rows.get(&row).cloned().unwrap_or_default();
            let theirs = case["rows"].get(&row).map(codes).unwrap_or_default();
            let on_purpose = case.get("different").is_some_and(|different| different.get(&row).is_some());
            if (ours == theirs) == on_purpose {
                let line = csv.lines().nth(row.parse::<usize>().unwrap() - 1).unwrap_or("");
                differences.push(format!("{} row {row} ({line}): {ours:?}, not {theirs:?}", case["name"]));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
