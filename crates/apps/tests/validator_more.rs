//! The validator beyond one table and its schema: rules, checks of the whole, references, JSON records, compression,
//! dialects, a part of the input, and what is refused before a run.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use handover_apps::{AppIo, Outcome, RowApp, RunOptions, Validator, parse_config, validator::report_text};
use handover_core::ErrorKind;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

struct Ran {
    out: Vec<u8>,
    rejected: String,
    outcome: Outcome,
}

fn run_with(app: &Validator, ext: &str, input: &[u8], options: RunOptions) -> Ran {
    let (mut out, mut rejected) = (Vec::new(), Vec::new());
    let io = AppIo {
        input: &mut &input[..],
        input_ext: ext,
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| false,
        options,
        scratch: &|| Ok(tempfile::tempfile().unwrap()),
    };
    let outcome = app.run(io).unwrap();
    Ran { out, rejected: String::from_utf8(rejected).unwrap(), outcome }
}

fn run(app: &Validator, ext: &str, input: &str) -> Ran {
    run_with(app, ext, input.as_bytes(), RunOptions::default())
}

fn make_in(base: &Path, with: Value) -> handover_core::Result<Validator> {
    Validator::new(&parse_config("validator", &with)?, base)
}

fn make(with: Value) -> Validator {
    make_in(Path::new("."), with).unwrap()
}

fn refused(with: Value) -> String {
    let error = make_in(Path::new("."), with).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    format!("{error} / {}", error.hint_text().unwrap_or_default())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn sales() -> Value {
    json!({ "fields": [
        { "name": "id", "type": "integer", "constraints": { "required": true } },
        { "name": "quantity", "type": "integer" },
        { "name": "price", "type": "number" }
    ]})
}

#[test]
fn rules_reject_or_warn() {
    let app = make(json!({ "schema": sales(), "rules": [
        { "name": "positive", "check": "double(quantity) * double(price) > 0.0" },
        { "name": "large", "check": "int(quantity) < 100", "severity": "warning" }
    ]}));
    let ran = run(&app, "csv", "id,quantity,price\n1,2,3.5\n2,0,3\n3,500,1\n4,,1\nx,1,1\n");
    assert_eq!(text(&ran.out), "id,quantity,price\n1,2,3.5\n3,500,1\n");
    assert!(ran.rejected.contains("2,0,3,3,,row-constraint: positive: double(quantity)"), "{}", ran.rejected);
    assert!(ran.rejected.contains("row-constraint: positive: it cannot be answered"), "{}", ran.rejected);
    let report = ran.outcome.report.unwrap();
    // Rules are not asked of a row that is wrong already; a rule that cannot be answered does not hold.
    assert_eq!(report["by_rule"]["positive"], json!({ "severity": "error", "count": 2 }));
    assert_eq!(report["by_rule"]["large"], json!({ "severity": "warning", "count": 2 }));
    assert_eq!((&report["warnings"], &report["warning_examples"][0]["row"]), (&json!(2), &json!(4)));
    assert!(report_text(&report).contains("large     warning 2"), "{}", report_text(&report));
    assert!(ran.outcome.notes.iter().any(|note| note.contains("2 warnings")));
}

#[test]
fn rules_that_cannot_be_asked_are_refused_when_the_app_is_made() {
    let with = |check: &str| json!({ "schema": sales(), "rules": [{ "name": "r", "check": check }] });
    for (check, why) in [
        ("double(quantty) > 1.0", "quantity"),
        ("double(quantity) >", "rule \"r\""),
        ("size(price, 1, 2, 3) > 1 && nonsense(price)", "rule \"r\""),
        ("double(price) + 1.0", "true or false"),
    ] {
        let said = refused(with(check));
        assert!(said.contains(why), "{check}: {said}");
    }
    let twice = json!([{ "name": "r", "check": "true" }, { "name": "r", "check": "true" }]);
    assert!(refused(json!({ "schema": sales(), "rules": twice })).contains("name of its own"));
}

#[test]
fn checks_of_the_whole_table_refuse_the_file() {
    let input = "id,quantity,price\n1,2,0.1\n2,,0.2\n3,5,\nx,9,9\n";
    for (table, why) in [
        (json!({ "min_rows": 3, "max_rows": 3 }), None),
        (json!({ "min_rows": 4 }), Some("3 rows pass, fewer than min_rows 4")),
        (json!({ "max_rows": 2 }), Some("more than max_rows 2 rows")),
        (json!({ "sum": { "price": { "equals": 0.3 }, "quantity": { "minimum": 7, "maximum": 7 } } }), None),
        (
            json!({ "sum": { "quantity": { "minimum": 8 } } }),
            Some("the sum of quantity is 7, not at least 8"),
        ),
        (json!({ "unique": ["id", ["id", "price"]] }), None),
    ] {
        let ran = run(&make(json!({ "schema": sales(), "table": table })), "csv", input);
        let said = ran.outcome.refuse.as_ref().map(ToString::to_string);
        assert_eq!(said.is_some(), why.is_some(), "{table}: {said:?}");
        assert!(said.unwrap_or_default().contains(why.unwrap_or_default()), "{table}");
    }
    let ran = run(
        &make(json!({ "schema": sales(), "table": { "unique": ["price"] } })),
        "csv",
        "id,quantity,price\n1,2,1\n2,2,1.0\n",
    );
    assert!(
        ran.outcome.refuse.unwrap().to_string().contains("not unique by (price): rows 2 and 3 are the same")
    );
    let report = run(&make(json!({ "schema": sales(), "table": { "sum": { "price": {} } } })), "csv", input)
        .outcome
        .report
        .unwrap();
    assert_eq!(report["table"]["sum of price"], "0.3");
    assert!(
        refused(json!({ "schema": sales(), "table": { "sum": { "prise": {} } } }))
            .contains("did you mean price?")
    );
}

fn with_foreign_key(reference: Value) -> Value {
    json!({ "fields": [{ "name": "id", "type": "integer" }, { "name": "customer", "type": "integer" }],
        "foreignKeys": [{ "fields": "customer", "reference": reference }] })
}

#[test]
fn foreign_keys_to_reference_files_that_may_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("customers.csv");
    std::fs::write(&path, "name,number\nAnn,1\nBob,02\n,\n").unwrap();
    let schema = with_foreign_key(json!({ "resource": "customers", "fields": "number" }));
    let with = json!({ "schema": schema, "references": { "customers": "customers.csv" } });
    let app = make_in(dir.path(), with.clone()).unwrap();
    let input = "id,customer\n1,1\n2,2\n3,3\n4,\n";
    let ran = run(&app, "csv", input);
    assert_eq!(text(&ran.out), "id,customer\n1,1\n2,2\n4,\n");
    assert!(
        ran.rejected.contains(
            "3,3,4,customer,\"foreign-key: (customer) is not among (number) of \"\"customers\"\"\""
        ),
        "{}",
        ran.rejected
    );
    std::fs::write(&path, "name,number\nCleo,3\nmore and more,4\n").unwrap();
    assert_eq!(text(&run(&app, "csv", input).out), "id,customer\n3,3\n4,\n");
    std::fs::write(dir.path().join("customers.ndjson"), "{\"number\":2}\n{\"number\":\"x\"}\n").unwrap();
    let records = json!({ "schema": with["schema"], "references": { "customers": "customers.ndjson" } });
    assert_eq!(
        text(&run(&make_in(dir.path(), records).unwrap(), "csv", input).out),
        "id,customer\n2,2\n4,\n"
    );
    std::fs::write(&path, "name,other\nCleo,3\n").unwrap();
    let error = make_in(dir.path(), with.clone()).unwrap_err().to_string();
    assert!(error.contains("no column \"number\""), "{error}");
    assert!(refused(json!({ "schema": with["schema"] })).contains("references: { customers:"));
    assert!(refused(json!({ "schema": sales(), "references": { "x": "y" } })).contains("no foreign key"));
}

#[test]
fn a_table_that_refers_to_itself_is_read_twice() {
    let schema = json!({ "fields": [{ "name": "id" }, { "name": "parent" }],
        "foreignKeys": [{ "fields": "parent", "reference": { "resource": "", "fields": "id" } }] });
    let app = make(json!({ "schema": schema }));
    let ran = run(&app, "csv", "id,parent\n1,\n2,3\n3,1\n4,9\n");
    assert_eq!(text(&ran.out), "id,parent\n1,\n2,3\n3,1\n");
    assert!(ran.rejected.contains("foreign-key: (parent) is not among (id) of this table"));
    assert!(run(&app, "csv", "").outcome.refuse.unwrap().to_string().contains("empty"));
    let ran = run(
        &app,
        "ndjson",
        "{\"id\":\"1\",\"parent\":null}\n{\"id\":\"2\",\"parent\":\"1\"}\n{\"id\":\"3\",\"parent\":\"7\"}\n",
    );
    assert_eq!(ran.outcome.rows_out, 2);
}

#[test]
fn records_by_a_json_schema() {
    let schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["id"],
        "properties": { "id": { "type": "integer", "minimum": 1 }, "at": { "type": "string", "format": "date" },
            "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } } },
        "$defs": { "line": { "type": "object", "properties": { "price": { "type": "number" } } } } });
    let with = json!({ "schema": schema, "rules": [{ "name": "even", "check": "id % 2 == 0", "severity": "warning" }] });
    let app = make(with);
    let input = "{\"id\": 1, \"lines\": [{\"price\": 1.50}]}\n{\"id\":0}\n\n{bad\n{\"id\":2,\"at\":\"soon\",\"lines\":[{\"price\":\"x\"}]}\n{\"id\":4,\"id\":5}\n{\"id\":6}\n";
    let ran = run(&app, "ndjson", input);
    assert_eq!(text(&ran.out), "{\"id\": 1, \"lines\": [{\"price\": 1.50}]}\n{\"id\":6}\n");
    let lines: Vec<Value> = ran.rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["_row"], &lines[0]["record"]), (&json!(2), &json!({ "id": 0 })));
    assert_eq!(
        (&lines[0]["_errors"][0]["field"], &lines[0]["_errors"][0]["code"]),
        (&json!("/id"), &json!("json-schema"))
    );
    assert_eq!(
        (&lines[1]["record"], &lines[1]["_errors"][0]["code"]),
        (&json!("{bad"), &json!("source-error"))
    );
    assert_eq!(lines[2]["_errors"].as_array().unwrap().len(), 2);
    assert_eq!(lines[3]["_errors"][0]["code"], "source-error");
    let report = ran.outcome.report.unwrap();
    assert_eq!(report["by_field"]["/lines/0/price"], json!({ "json-schema": 1 }));
    assert_eq!((&report["total"], &report["warnings"]), (&json!(6), &json!(1)));
    let ran = run(&app, "json", "[{\"id\":2},\n {\"id\":0},{\"id\":3}]");
    assert_eq!(text(&ran.out), "[\n{\"id\":2},\n{\"id\":3}\n]\n");
    assert_eq!(text(&run(&app, "json", "[]").out), "[]\n");
    let mut input = &b"id\n1\n"[..];
    let io = AppIo {
        input: &mut input,
        input_ext: "csv",
        output: &mut Vec::new(),
        rejected: &mut Vec::new(),
        progress: None,
        cancelled: &|| false,
        options: RunOptions::default(),
        scratch: &handover_apps::no_scratch,
    };
    assert!(
        app.run(io).unwrap_err().to_string().contains("the schema is a JSON Schema, and the input a table")
    );
}

#[test]
fn records_by_a_table_schema() {
    let schema = json!({ "fields": [
        { "name": "id", "type": "integer", "constraints": { "required": true, "unique": true } },
        { "name": "day", "type": "date" }, { "name": "tags", "type": "array", "constraints": { "maxLength": 1 } } ] });
    let app = make(json!({ "schema": schema, "input": { "format": "ndjson" },
        "rules": [{ "name": "small", "check": "id < 10" }] }));
    let input = "{\"id\":1,\"day\":\"2025-01-01\",\"tags\":[1]}\n{\"id\":1.0}\n{\"id\":\"2\",\"day\":null}\n{\"day\":\"x\"}\n{\"id\":3,\"more\":1}\n[]\n{\"id\":4.5}\n{\"id\":77}\n{}\n";
    let ran = run(&app, "ndjson", input);
    assert_eq!(text(&ran.out), "{\"id\":1,\"day\":\"2025-01-01\",\"tags\":[1]}\n");
    let kinds = ran.outcome.report.unwrap()["by_kind"].clone();
    for (kind, count) in [
        ("unique-error", 1),
        ("type-error", 2),
        ("constraint-error", 1),
        ("extra-cell", 1),
        ("row-constraint", 2),
        ("blank-row", 1),
    ] {
        assert_eq!(kinds[kind], count, "{kind}: {kinds}");
    }
}

#[test]
fn compression_and_dialects_go_through() {
    let mut packed = Vec::new();
    let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, b"id,quantity,price\n1,2,3\nx,2,3\n").unwrap();
    encoder.finish().unwrap();
    let app = make(json!({ "schema": sales() }));
    assert_eq!(app.output_ext("csv.gz"), "csv.gz");
    let ran = run_with(&app, "csv.gz", &packed, RunOptions::default());
    let mut plain = String::new();
    flate2::read::MultiGzDecoder::new(&ran.out[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "id,quantity,price\n1,2,3\n");
    let plain = make(json!({ "schema": sales(), "output": { "compression": "none" } }));
    assert_eq!(plain.output_ext("csv.gz"), "csv");
    assert_eq!(run_with(&plain, "csv.gz", &packed, RunOptions::default()).out, b"id,quantity,price\n1,2,3\n");
    let cut = &packed[..packed.len() - 12];
    let mut input = cut;
    let io = AppIo {
        input: &mut input,
        input_ext: "csv.gz",
        output: &mut Vec::new(),
        rejected: &mut Vec::new(),
        progress: None,
        cancelled: &|| false,
        options: RunOptions::default(),
        scratch: &handover_apps::no_scratch,
    };
    assert_eq!(app.run(io).unwrap_err().kind(), ErrorKind::BadData);
    let dialect = json!({ "delimiter": ";", "quoteChar": "'", "header": false, "commentChar": "#", "encoding": "windows-1252" });
    let app = make(
        json!({ "schema": { "fields": [{ "name": "n", "type": "integer" }, { "name": "t" }] }, "input": { "dialect": dialect } }),
    );
    let ran = run_with(&app, "csv", b"#c\n1;'a;\xe9'\nx;'b'\n2;c;d\n", RunOptions::default());
    assert_eq!(text(&ran.out), "#c\n1;'a;é'\n");
    assert_eq!(ran.rejected.lines().next().unwrap(), "n;t;_row;_field;_reason");
    assert!(
        refused(json!({ "schema": sales(), "output": { "format": "json" } })).contains("only compression")
    );
}

#[test]
fn a_part_of_the_input() {
    let app = make(json!({ "schema": sales() }));
    let input = b"id,quantity,price\n1,2,3\nx,2,3\n3,2,3\n";
    let ran = run_with(&app, "csv", input, RunOptions { dry_run: false, limit: Some(2) });
    assert_eq!((ran.outcome.rows_in, ran.outcome.rows_out, ran.outcome.rows_rejected), (2, 1, 1));
    assert_eq!(text(&ran.out), "id,quantity,price\n1,2,3\n");
    let ran = run_with(&app, "csv", input, RunOptions { dry_run: true, limit: Some(0) });
    assert_eq!(ran.outcome.rows_in, 0);
}

#[test]
fn columns_by_name() {
    let with = |matching: &str| {
        let mut schema = sales();
        schema["fieldsMatch"] = json!(matching);
        json!({ "schema": schema, "rules": [{ "name": "r", "check": "quantity != '9'" }] })
    };
    let ran = run(&make(with("subset")), "csv", "price,more,quantity,id\n1.5,z,2,1\n,,,\nx,z,9,x\n1,z,9,4\n");
    assert_eq!(text(&ran.out), "price,more,quantity,id\n1.5,z,2,1\n");
    assert!(ran.rejected.contains(",4,price; id,"), "{}", ran.rejected);
    let ran = run(&make(with("superset")), "csv", "price,id\n1.5,1\n");
    assert!(ran.outcome.refuse.unwrap().to_string().contains("does not go with the rules"));
}

#[test]
fn bad_input_gets_its_reason() {
    let app = make(json!({ "schema": sales() }));
    let utf16: Vec<u8> =
        "\u{feff}id,quantity,price\n1,2,3\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let ran = run_with(&app, "csv", &utf16, RunOptions::default());
    assert_eq!((ran.outcome.rows_out, ran.outcome.refuse.is_none()), (1, true));
    for (input, code) in [
        ("id,quantity,price\n1,2\n", "missing-cell"),
        ("id,quantity,price\n1,2,3,4\n", "extra-cell"),
        ("id,quantity,price\n1,2,\"3\n", "source-error"),
        ("id,quantity,price\n1,2,3\0\n", "source-error"),
        ("id,quantity,price\n1,\"2\nx\",3\n", "type-error"),
        ("id,quantity,price\r1,2,x\r", "type-error"),
        ("id,quantity,price\n99999999999999999999999999x,2,3\n", "type-error"),
    ] {
        let ran = run(&app, "csv", input);
        assert_eq!(ran.outcome.rows_rejected, 1, "{input:?}");
        assert!(ran.outcome.report.unwrap()["by_kind"].get(code).is_some(), "{input:?}");
    }
    let ran = run(
        &app,
        "csv",
        "id,quantity,price\n1,2,3\r\n2,2,3\r3,2,3\n4,123456789012345678901234567890,1e400\n",
    );
    assert_eq!(ran.outcome.rows_out, 4);
}
