//! The validator as its callers see it: bytes in, bytes out, rejected rows, report.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use handover_apps::{AppIo, Outcome, RowApp, RunOptions, Validator, parse_config};
use handover_core::ErrorKind;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn validator(with: Value) -> Validator {
    Validator::new(&parse_config("validator", &with).unwrap(), Path::new(".")).unwrap()
}

struct Ran {
    out: Vec<u8>,
    rejected: Vec<u8>,
    outcome: Outcome,
}

fn run(app: &Validator, input: &[u8]) -> Ran {
    let (mut out, mut rejected) = (Vec::new(), Vec::new());
    let io = AppIo {
        input: &mut &input[..],
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| false,
        input_ext: "csv",
        options: RunOptions::default(),
        scratch: &handover_apps::no_scratch,
    };
    let outcome = app.run(io).unwrap();
    assert_eq!(outcome.rows_in, outcome.rows_out + outcome.rows_rejected);
    Ran { out, rejected, outcome }
}

fn two_columns() -> Validator {
    validator(json!({ "schema": { "fields": [
        { "name": "id", "type": "integer", "constraints": { "required": true } },
        { "name": "name", "type": "string" }
    ]}}))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn valid_rows_pass_byte_for_byte_and_the_others_get_reasons() {
    let input = b"\xef\xbb\xbf\"id\",name\r\n1,\"a\"\r\nx,b\r\n\"3\",\"c,\"\"d\"\"\"\r\n,e\r\n";
    let ran = run(&two_columns(), input);
    assert_eq!(ran.out, b"\xef\xbb\xbf\"id\",name\r\n1,\"a\"\r\n\"3\",\"c,\"\"d\"\"\"\r\n");
    assert_eq!(
        text(&ran.rejected),
        "\u{feff}\"id\",name,_row,_field,_reason\r\n\
         x,b,3,id,\"type-error: \"\"x\"\" is not an integer\"\r\n\
         ,e,5,id,constraint-error: a value is required\r\n"
    );
    let report = ran.outcome.report.unwrap();
    assert_eq!(report["by_field"], json!({ "id": { "type-error": 1, "constraint-error": 1 } }));
    assert_eq!(report["by_kind"], json!({ "type-error": 1, "constraint-error": 1 }));
    assert_eq!((&report["total"], &report["valid"], &report["invalid"]), (&json!(4), &json!(2), &json!(2)));
    assert_eq!((&report["error_rate"], &report["refused"]), (&json!(0.5), &json!(false)));
    assert_eq!(
        report["examples"][0],
        json!({
            "row": 3, "field": "id", "code": "type-error", "value": "x", "message": "\"x\" is not an integer"
        })
    );
    assert!(ran.outcome.notes[0].starts_with("row 3: id: type-error"), "{:?}", ran.outcome.notes);
}

#[test]
fn ragged_and_blank_rows_are_rejected_and_nothing_of_them_is_lost() {
    let ran = run(&two_columns(), b"id,name\n1\n2,b,more,\"x,y\"\n,\n\n4,d\n");
    assert_eq!(text(&ran.out), "id,name\n\n4,d\n");
    assert_eq!(
        text(&ran.rejected),
        "id,name,_row,_field,_reason\n\
         1,,2,name,missing-cell: the row has 1 cells of 2\n\
         2,b,3,,\"extra-cell: the row has 4 cells of 2: more,\"\"x,y\"\"\"\n\
         ,,4,,blank-row: the row is blank\n"
    );
    assert_eq!((ran.outcome.rows_in, ran.outcome.rows_rejected), (4, 3));
}

#[test]
fn an_unclosed_quote_takes_the_last_row_only() {
    let ran = run(&two_columns(), b"id,name\n1,a\n2,\"open\n3,c\n");
    assert_eq!(text(&ran.out), "id,name\n1,a\n");
    assert_eq!(
        text(&ran.rejected),
        "id,name,_row,_field,_reason\n2,\"open\n3,c\n\",3,,\"source-error: a quote is opened and never closed, so the row goes to the end of the file\"\n"
    );
    assert!(ran.outcome.refuse.is_none());
}

#[test]
fn an_unclosed_quote_over_more_than_can_be_kept_refuses_the_file() {
    let mut input = b"id,name\n1,\"".to_vec();
    input.extend("2,b\n".repeat(600_000).bytes());
    let ran = run(&two_columns(), &input);
    assert!(ran.outcome.refuse.unwrap().to_string().contains("row 2 is never closed"));
}

#[test]
fn a_cell_that_is_too_long_is_rejected_and_the_rest_goes_on() {
    let mut input = b"id,name\n1,".to_vec();
    input.extend(vec![b'x'; 3 * 1024 * 1024]);
    input.extend(b"\n2,b\n");
    let ran = run(&two_columns(), &input);
    assert_eq!(text(&ran.out), "id,name\n2,b\n");
    assert!(ran.rejected.len() < 4096);
    assert!(text(&ran.rejected).contains(",2,,source-error: a cell is longer than"));
}

#[test]
fn bytes_that_are_not_utf8_and_nul() {
    let ran = run(&two_columns(), b"id,name\n1,\xff\n2,a\0b\n\0,c\n");
    assert_eq!(ran.out, b"id,name\n");
    assert!(ran.rejected.windows(4).any(|bytes| bytes == b"1,\xff,"));
    let kinds = &ran.outcome.report.unwrap()["by_kind"];
    assert_eq!(kinds, &json!({ "encoding-error": 1, "source-error": 2 }));
}

#[test]
fn a_file_without_rows_is_fine_and_one_without_a_header_is_not() {
    for input in [&b"id,name"[..], b"id,name\r\n"] {
        let ran = run(&two_columns(), input);
        assert_eq!((ran.out.as_slice(), ran.outcome.rows_in), (input, 0));
        assert!(ran.outcome.refuse.is_none() && ran.rejected.is_empty());
    }
    let ran = run(&two_columns(), b"");
    let error = ran.outcome.refuse.unwrap();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::BadData, "the file is empty: not even a header")
    );
    assert_eq!(ran.outcome.report.unwrap()["refused"], "the file is empty: not even a header");
}

#[test]
fn a_header_that_does_not_match_refuses_the_file_and_writes_nothing() {
    for (header, code) in [
        ("id\n", "missing-label"),
        ("id,name,more\n", "extra-label"),
        ("name,id\n", "incorrect-label"),
        ("id,id\n", "duplicate-label"),
        ("id,\n", "blank-label"),
    ] {
        let ran = run(&two_columns(), format!("{header}1,a\n").as_bytes());
        let error = ran.outcome.refuse.unwrap();
        assert!(error.to_string().starts_with("the header does not match the schema: "), "{error}");
        let report = ran.outcome.report.unwrap();
        assert!(report["by_kind"].get(code).is_some(), "{header}: {report}");
        assert!(ran.out.is_empty() && ran.rejected.is_empty());
    }
}

#[test]
fn too_many_errors_refuse_the_file() {
    let with = |rate: f64| {
        validator(
            json!({ "schema": { "fields": [{ "name": "n", "type": "integer" }] }, "max_error_rate": rate }),
        )
    };
    let input = b"n\n1\n2\nx\n4\n";
    let error = run(&with(0.05), input).outcome.refuse.unwrap();
    assert_eq!(error.to_string(), "1 of 4 rows are bad: error rate 25% is above max_error_rate 5%");
    assert!(run(&with(0.25), input).outcome.refuse.is_none());
    assert!(run(&with(0.0), b"n\n1\n").outcome.refuse.is_none());
    let config = parse_config("validator", &json!({ "schema": {}, "max_error_rate": 5 })).unwrap();
    assert!(Validator::new(&config, Path::new(".")).unwrap_err().to_string().contains("max_error_rate is 5"));
}

#[test]
fn missing_values_and_keys() {
    let app = validator(json!({ "schema": {
        "fields": [
            { "name": "id", "type": "integer" },
            { "name": "code", "type": "string", "constraints": { "unique": true } },
            { "name": "n", "type": "number", "missingValues": ["-"] }
        ],
        "missingValues": ["", "NA"],
        "primaryKey": ["id"],
        "uniqueKeys": [["code", "n"]]
    }}));
    let ran = run(&app, b"id,code,n\n1,a,-\n01,b,1\nNA,c,1\n4,a,1\nx,d,2\n5,d,2\n6,NA,NA\n7,,-\n8,,-\n");
    assert_eq!(text(&ran.out), "id,code,n\n1,a,-\n5,d,2\n7,,-\n8,,-\n");
    let rejected = text(&ran.rejected);
    for line in [
        "01,b,1,3,id,primary-key: (id) is the same as in row 2",
        "NA,c,1,4,id,primary-key: the primary key (id) has no value",
        "4,a,1,5,code,unique-error: (code) is the same as in row 2",
        "x,d,2,6,id,\"type-error: \"\"x\"\" is not an integer\"",
        "6,NA,NA,8,n,\"type-error: \"\"NA\"\" is not a number\"",
    ] {
        assert!(rejected.contains(line), "{line}\n{rejected}");
    }
}

#[test]
fn a_schema_is_read_from_its_file_and_named_in_report_and_manifest() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.json"), r#"{"fields":[{"name":"n"}]}"#).unwrap();
    let new = |with: Value| Validator::new(&parse_config("validator", &with).unwrap(), dir.path());
    let ran = run(&new(json!({ "schema": "s.json" })).unwrap(), b"n\n1\n");
    assert_eq!(ran.outcome.report.unwrap()["schema"], "s.json");
    assert!(ran.outcome.manifest["schema"]["checksum"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(new(json!({ "schema": "no.json" })).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(dir.path().join("bad.json"), "{").unwrap();
    assert!(new(json!({ "schema": "bad.json" })).unwrap_err().to_string().contains("not JSON"));
}

#[test]
fn cancelling_and_progress() {
    let app = two_columns();
    let seen = std::sync::atomic::AtomicU64::new(0);
    let note = |bytes: u64| seen.store(bytes, std::sync::atomic::Ordering::Relaxed);
    let (mut out, mut rejected) = (Vec::new(), Vec::new());
    let mut input = &b"id,name\n1,a\n"[..];
    let io = AppIo {
        input: &mut input,
        output: &mut out,
        rejected: &mut rejected,
        progress: Some(&note),
        cancelled: &|| false,
        input_ext: "csv",
        options: RunOptions::default(),
        scratch: &handover_apps::no_scratch,
    };
    app.run(io).unwrap();
    assert_eq!(seen.into_inner(), 12);
    let mut input = &b"id,name\n1,a\n"[..];
    let io = AppIo {
        input: &mut input,
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| true,
        input_ext: "csv",
        options: RunOptions::default(),
        scratch: &handover_apps::no_scratch,
    };
    assert_eq!(app.run(io).unwrap_err().kind(), ErrorKind::Cancelled);
}

/// A cell as somebody may write it, and the row ends.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,4}",
        "[a-z ]{0,5}",
        "[a-z,\"\n\r]{0,6}".prop_map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))),
    ]
}

proptest! {
    #[test]
    fn what_passes_and_what_is_rejected_is_what_came_in(
        rows in proptest::collection::vec((cell(), cell(), 0usize..3), 0..30),
        ends in proptest::sample::select(vec!["\n", "\r\n"]),
        last_ends in any::<bool>(),
    ) {
        let mut input = format!("id,name{ends}");
        let mut lines = Vec::new();
        for (index, (first, second, blanks)) in rows.iter().enumerate() {
            let end = if index + 1 < rows.len() || last_ends { ends } else { "" };
            lines.push(format!("{first},{second}{end}"));
            input.push_str(&lines[index]);
            if !end.is_empty() {
                input.push_str(&ends.repeat(*blanks));
            }
        }
        let ran = run(&two_columns(), input.as_bytes());
        let out = text(&ran.out);
        let rejected = text(&ran.rejected);
        // Every row is in one of the two, as it stood, and the rows of each are in their order.
        let mut passed = out.strip_prefix(&format!("id,name{ends}")).unwrap_or("");
        let mut refused = rejected.strip_prefix(&format!("id,name,_row,_field,_reason{ends}")).unwrap_or("");
        for (index, line) in lines.iter().enumerate() {
            let content = line.strip_suffix(ends).unwrap_or(line);
            let number = format!(",{},", index + 2);
            passed = passed.trim_start_matches(['\r', '\n']);
            if let Some(rest) = refused.strip_prefix(content).filter(|rest| rest.starts_with(&number)) {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(rest.as_bytes());
                let mut record = csv::ByteRecord::new();
                prop_assert!(reader.read_byte_record(&mut record).unwrap());
                refused = &rest[usize::try_from(reader.position().byte()).unwrap()..];
                refused = refused.trim_start_matches(['\r', '\n']);
            } else {
                prop_assert!(passed.starts_with(line.as_str()), "{:?} is not next in {:?}", line, passed);
                passed = &passed[line.len()..];
            }
        }
        prop_assert!(passed.trim().is_empty() && refused.trim().is_empty());
        prop_assert_eq!(ran.outcome.rows_in, rows.len() as u64);
    }

    #[test]
    fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut input = b"id,name\n".to_vec();
        input.extend(&bytes);
        run(&two_columns(), &input);
        run(&two_columns(), &bytes);
    }
}
