//! The data-transformer as a whole: bytes in, bytes out.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests write as they like")]

use handover_apps::{AppIo, Outcome, RowApp, RunOptions, Transformer, parse_config};
use handover_core::{Error, ErrorKind, Result};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;

fn scratch() -> Result<File> {
    tempfile::tempfile().map_err(|error| Error::io("create", "a temporary file", error))
}

fn transformer(with: &Value, base: &Path) -> Result<Transformer> {
    Transformer::new(&parse_config("data-transformer", with)?, base)
}

struct Ran {
    out: String,
    rejected: String,
    outcome: Outcome,
}

fn run_bytes(
    app: &Transformer,
    ext: &str,
    input: &[u8],
    options: RunOptions,
) -> (Vec<u8>, Vec<u8>, Result<Outcome>) {
    let (mut input, mut out, mut rejected) = (input, Vec::new(), Vec::new());
    let outcome = app.run(AppIo {
        input: &mut input,
        input_ext: ext,
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| false,
        options,
        scratch: &scratch,
    });
    (out, rejected, outcome)
}

fn run(with: Value, ext: &str, input: &str) -> Ran {
    let app = transformer(&with, Path::new(".")).unwrap();
    let (out, rejected, outcome) = run_bytes(&app, ext, input.as_bytes(), RunOptions::default());
    Ran {
        out: String::from_utf8(out).unwrap(),
        rejected: String::from_utf8(rejected).unwrap(),
        outcome: outcome.unwrap(),
    }
}

fn counts(ran: &Ran) -> [u64; 4] {
    let Outcome { rows_in, rows_out, rows_rejected, rows_filtered, .. } = ran.outcome;
    [rows_in, rows_out, rows_rejected, rows_filtered]
}

#[test]
fn from_format_to_format() {
    let table = "a,b\n1,\"x, \"\"y\"\"\"\n,é\n";
    let lines = "{\"a\":\"1\",\"b\":\"x, \\\"y\\\"\"}\n{\"a\":null,\"b\":\"é\"}\n";
    let array = "[\n{\"a\":\"1\",\"b\":\"x, \\\"y\\\"\"},\n{\"a\":null,\"b\":\"é\"}\n]\n";
    for (ext, input) in [("csv", table), ("ndjson", lines), ("json", array)] {
        for (format, output) in [("csv", table), ("ndjson", lines), ("json", array)] {
            let ran = run(json!({ "output": { "format": format } }), ext, input);
            assert_eq!(ran.out, output, "{ext} to {format}");
            assert_eq!(counts(&ran), [2, 2, 0, 0]);
        }
    }
    assert_eq!(run(json!({ "output": { "format": "tsv" } }), "csv", "a,b\n1,2\n").out, "a\tb\n1\t2\n");
    let semicolons =
        json!({ "input": { "dialect": { "delimiter": ";", "header": false } }, "output": { "dialect": {} } });
    assert_eq!(run(semicolons, "csv", "1;2,3\n").out, "field1,field2\n1,\"2,3\"\n");
}

#[test]
fn compressed_in_and_out() {
    let with = json!({ "output": { "format": "ndjson", "compression": "zstd" } });
    let app = transformer(&with, Path::new(".")).unwrap();
    assert_eq!((app.output_ext("csv.gz").as_str(), app.rejected_ext("csv.gz")), ("ndjson.zst", "csv"));
    let plain = transformer(&json!({}), Path::new(".")).unwrap();
    let (gz, ..) = run_bytes(
        &transformer(&json!({ "output": { "compression": "gzip" } }), Path::new(".")).unwrap(),
        "csv",
        b"a\n1\n",
        RunOptions::default(),
    );
    assert_eq!(gz[..2], [0x1f, 0x8b]);
    let (zst, _, outcome) = run_bytes(&app, "csv.gz", &gz, RunOptions::default());
    assert_eq!(outcome.unwrap().rows_out, 1);
    let (again, _, _) = run_bytes(
        &transformer(&json!({ "output": { "compression": "none" } }), Path::new(".")).unwrap(),
        "ndjson.zst",
        &zst,
        RunOptions::default(),
    );
    assert_eq!(again, b"{\"a\":\"1\"}\n");
    let (_, _, cut) = run_bytes(&plain, "csv.gz", &gz[..gz.len() - 6], RunOptions::default());
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::BadData);
}

#[test]
fn everything_at_once() {
    let with = json!({
        "output": { "format": "ndjson" },
        "missing": ["", "n/a"],
        "rename": { "Name": "name", "Datum": "date", "Preis": "price" },
        "split": { "name": { "by": " ", "into": ["first", "last"] } },
        "numbers": { "price": { "decimal": ",", "group": "." } },
        "dates": { "date": { "from": ["%d.%m.%Y", "%d. %B %Y"], "language": "de" } },
        "defaults": { "country": "DE", "quantity": 1 },
        "cast": { "quantity": "integer", "paid": "boolean" },
        "join": { "place": { "from": ["city", "country"], "with": ", " } },
        "compute": { "total": "round(double(price) * double(quantity), 2)" },
        "filter": "paid != 'false'",
        "select": ["date", "first", "last", "price", "quantity", "total", "paid", "place", "country"],
    });
    let input = "Name,Datum,Preis,quantity,paid,city\n\
        Ada King Lovelace,3. März 2013,\"1.234,50\",02,TRUE,London\n\
        Plato,31.01.2013,\"0,5\",,n/a,n/a\n\
        X,31.01.2013,5,1,false,\n\
        Bad,31.02.2013,1.23,1.5,maybe,\n";
    let ran = run(with, "csv", input);
    assert_eq!(
        ran.out,
        "{\"date\":\"2013-03-03\",\"first\":\"Ada\",\"last\":\"King Lovelace\",\"price\":1234.50,\"quantity\":2,\
         \"total\":2469,\"paid\":true,\"place\":\"London, DE\",\"country\":\"DE\"}\n\
         {\"date\":\"2013-01-31\",\"first\":\"Plato\",\"last\":null,\"price\":0.5,\"quantity\":1,\
         \"total\":0.5,\"paid\":null,\"place\":\"DE\",\"country\":\"DE\"}\n"
    );
    assert_eq!(counts(&ran), [4, 2, 1, 1]);
    assert!(
        ran.rejected.starts_with("Name,Datum,Preis,quantity,paid,city,_row,_field,_reason\n"),
        "{}",
        ran.rejected
    );
    assert!(ran.rejected.contains("5,date; price; quantity; paid,"), "{}", ran.rejected);
    assert!(ran.rejected.contains("is not an integer"), "{}", ran.rejected);
}

#[test]
fn nested_records_become_columns_and_back() {
    let input = "{\"id\":1,\"address\":{\"city\":\"Bonn\",\"geo\":{\"lat\":50.7}},\"tags\":[\"a\", \"b\"]}\n\
        {\"address\":{\"city\":null,\"geo\":{}},\"id\":2.50}\n";
    let table = "id,address.city,address.geo.lat,tags,address.geo\n\
        1,Bonn,50.7,\"[\"\"a\"\", \"\"b\"\"]\",\n\
        2.50,,,,{}\n";
    assert_eq!(run(json!({ "output": { "format": "csv" } }), "ndjson", input).out, table);
    let with = json!({ "flatten": true, "nest": true, "cast": { "address.geo.lat": "string" }, "rename": { "id": "key.id" } });
    assert_eq!(
        run(with, "ndjson", input.lines().next().unwrap()).out,
        "{\"key\":{\"id\":1},\"address\":{\"city\":\"Bonn\",\"geo\":{\"lat\":\"50.7\"}},\"tags\":[\"a\", \"b\"]}\n"
    );
    let back =
        json!({ "output": { "format": "ndjson" }, "nest": true, "infer": true, "cast": { "tags": "json" } });
    assert_eq!(
        run(back, "csv", "id,address.city,address.geo.lat,tags\n007,Bonn,50.7,\"[1,\n2]\"\n").out,
        "{\"id\":\"007\",\"address\":{\"city\":\"Bonn\",\"geo\":{\"lat\":50.7}},\"tags\":[1, 2]}\n"
    );
}

#[test]
fn records_keep_their_own_fields() {
    let ran =
        run(json!({ "drop": ["x"] }), "ndjson", "{\"b\":1,\"x\":0}\n{\"a\":\"\\u00e9\\n\",\"b\":null}\n{}\n");
    assert_eq!(ran.out, "{\"b\":1}\n{\"b\":null,\"a\":\"é\\n\"}\n{}\n");
    let with = json!({ "compute": { "c": "a.b + 1" }, "filter": "has(row.a)", "defaults": { "d": true } });
    let ran = run(with, "json", "[{\"a\":{\"b\":1}},{\"z\":1},{\"a\":{\"b\":2},\"d\":false}]");
    assert_eq!(
        ran.out,
        "[\n{\"a\":{\"b\":1},\"d\":true,\"c\":2},\n{\"a\":{\"b\":2},\"d\":false,\"c\":3}\n]\n"
    );
}

#[test]
fn bad_records_are_rejected_each_with_its_reason() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(300), "]".repeat(300));
    let input = format!(
        "{{\"a\":1}}\n{{\"a\":1,\"a\":2}}\n{{\"a\":{{\"x\":1,\"x\":2}}}}\n{deep}\n[1]\n{{bad\n{{\"a\":\"\\ud800\"}}\n{{\"b\":1}}\n{{\"a\":\"x\"}}\n"
    );
    let ran = run(
        json!({ "output": { "format": "csv" }, "select": ["a"], "cast": { "a": "integer" } }),
        "ndjson",
        &input,
    );
    assert_eq!(ran.out, "a\n1\n\"\"\n");
    assert_eq!(counts(&ran), [9, 2, 7, 0]);
    let reasons: Vec<String> = ran
        .rejected
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            format!("{} {} {}", line["_row"], line["_errors"][0]["code"], line["_errors"][0]["message"])
        })
        .collect();
    for (reason, why) in reasons.iter().zip([
        "2 \"source-error\" \"the name \\\"a\\\" comes twice",
        "3 \"source-error\" \"the name \\\"x\\\" comes twice",
        "4 \"source-error\" \"it is nested more than",
        "5 \"type-error\" \"the record is no object",
        "6 \"source-error\" \"it is not JSON",
        "7 \"source-error\" \"a text in it cannot be read",
        "9 \"type-error\" \"\\\"x\\\" is not an integer",
    ]) {
        assert!(reason.starts_with(why), "{reason}: {why}");
    }
    let bare = run(json!({ "output": { "format": "csv" } }), "ndjson", "{}\n");
    assert_eq!((counts(&bare), bare.out.as_str()), ([1, 0, 1, 0], ""));
    let late = run(
        json!({ "output": { "format": "csv" } }),
        "ndjson",
        &("{\"a\":1}\n".repeat(60_000) + "{\"b\":1}\n"),
    );
    assert!(
        late.rejected.contains("extra-field") && late.rejected.contains("name it in `select`"),
        "{}",
        late.rejected
    );
    assert_eq!(counts(&late), [60_001, 60_000, 1, 0]);
}

#[test]
fn bad_rows_are_rejected_each_with_its_reason() {
    let ran = run(
        json!({ "cast": { "n": "integer" }, "compute": { "h": "100 / int(n)" } }),
        "csv",
        "n,t\r\n5,a\r\n1\r\n1,2,3\r\nx,y\r\n0,z\r\n10,nul\0\r\n\n20,b\r\n5,\"open\n",
    );
    assert_eq!(ran.out, "n,t,h\n5,a,20\n20,b,5\n");
    assert_eq!(counts(&ran), [8, 2, 6, 0]);
    for why in ["missing-cell", "extra-cell", "type-error", "compute-error", "NUL byte", "never closed"] {
        assert!(ran.rejected.contains(why), "{why}: {}", ran.rejected);
    }
    let app = transformer(&json!({}), Path::new(".")).unwrap();
    let (out, rejected, _) = run_bytes(&app, "csv", b"a\n\xff\nok\n", RunOptions::default());
    assert_eq!(out, b"a\nok\n");
    assert!(String::from_utf8_lossy(&rejected).contains("encoding-error"));
}

#[test]
fn files_that_do_not_fit_the_mapping_are_refused() {
    for (with, ext, input, why) in [
        (json!({}), "csv", "", "the file is empty"),
        (json!({ "select": ["prise"] }), "csv", "price\n1\n", "no column \"prise\""),
        (json!({ "rename": { "x": "y" } }), "csv", "a\n1\n", "no column \"x\""),
        (json!({ "cast": { "x": "integer" } }), "csv", "a\n1\n", "no column \"x\""),
        (json!({ "filter": "x == ''" }), "csv", "a\n1\n", "no column \"x\""),
        (json!({ "sort": ["a"] }), "csv", "a,a\n1,2\n", "two such columns"),
        (json!({ "output": { "format": "json" } }), "csv", "a,a\n1,2\n", "two columns \"a\""),
        (
            json!({ "output": { "format": "json" }, "nest": true }),
            "csv",
            "a,a.b\n1,2\n",
            "a value and an object",
        ),
        (json!({ "nest": true }), "ndjson", "{\"a\":1}\n{\"a.b\":1}\n", "a value and an object"),
    ] {
        let ran = run(with.clone(), ext, input);
        let refused = ran.outcome.refuse.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(why), "{with} {input:?}: {refused}");
    }
    let hint = run(json!({ "select": ["prise"] }), "csv", "price\n1\n").outcome.refuse.unwrap();
    assert_eq!(hint.hint_text(), Some("did you mean price?"));
}

#[test]
fn mappings_that_cannot_work_are_refused_when_they_are_read() {
    for (with, why) in [
        (json!({ "colums": [] }), "colums"),
        (json!({ "cast": { "a": "int" } }), "cast.a"),
        (json!({ "rename": { "a": "c", "b": "c" } }), "two fields would be called"),
        (json!({ "split": { "a": { "by": "", "into": ["b"] } } }), "may not be empty"),
        (json!({ "split": { "a": { "by": " ", "into": ["b"] } }, "compute": { "b": "1" } }), "made twice"),
        (json!({ "numbers": { "a": { "decimal": ",", "group": "," } } }), "both"),
        (json!({ "dates": { "a": "%d.%m" } }), "does not say enough"),
        (json!({ "dates": { "a": "%d.%m.%Y" }, "numbers": { "a": {} } }), "in numbers and in dates"),
        (json!({ "defaults": { "a": "x" }, "cast": { "a": "integer" } }), "not an integer"),
        (json!({ "compute": { "t": "nofunction(a)" } }), "compute: t"),
        (json!({ "compute": { "t": "1 / 0" } }), "compute: t"),
        (json!({ "input": { "format": "csv" }, "compute": { "t": "a * 2" } }), "compute: t"),
        (json!({ "filter": "'text'" }), "true or false is wanted"),
        (json!({ "select": [] }), "no field is left"),
        (json!({ "select": ["a", "a"] }), "given twice"),
        (json!({ "select": ["a"], "drop": ["a"] }), "in select and in drop"),
        (json!({ "deduplicate": [] }), "names no field"),
        (json!({ "sort": ["a", { "by": "a" }] }), "given twice"),
        (json!({ "mapping": "nowhere.yaml" }), "nowhere.yaml"),
        (json!({ "output": { "level": 3 } }), "level"),
    ] {
        let error = transformer(&with, Path::new(".")).err().map(|error| error.to_string());
        assert!(error.as_deref().is_some_and(|error| error.contains(why)), "{with}: {error:?}");
    }
}

#[test]
fn a_mapping_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("map.yaml"),
        "rename: { a: b }\nselect: [b]\noutput: { format: ndjson }\n",
    )
    .unwrap();
    let app = transformer(&json!({ "mapping": "map.yaml", "output": { "format": "json" } }), folder.path())
        .unwrap();
    assert_eq!(app.mapping_path(), Some(folder.path().join("map.yaml").as_path()));
    let (out, ..) = run_bytes(&app, "csv", b"a,c\n1,2\n", RunOptions::default());
    assert_eq!(out, b"[\n{\"b\":\"1\"}\n]\n");
    std::fs::write(folder.path().join("bad.yaml"), "selekt: [b]\n").unwrap();
    let error = transformer(&json!({ "mapping": "bad.yaml" }), folder.path()).err().unwrap();
    assert!(error.to_string().contains("selekt") && error.to_string().contains("bad.yaml"), "{error}");
    assert_eq!(error.hint_text(), Some("did you mean select?"));
}

#[test]
fn sorted_and_without_duplicates() {
    let input = "id,n,t\n1,10,b\n2,9,a\n1,,c\n3,x,a\n2,-1.5,z\n";
    let ran = run(json!({ "sort": [{ "by": "n", "as": "number" }] }), "csv", input);
    assert_eq!(ran.out, "id,n,t\n2,-1.5,z\n2,9,a\n1,10,b\n3,x,a\n1,,c\n");
    let ran =
        run(json!({ "sort": [{ "by": "t", "order": "desc" }, "id"], "select": ["id", "t"] }), "csv", input);
    assert_eq!(ran.out, "id,t\n2,z\n1,c\n1,b\n2,a\n3,a\n");
    let ran = run(json!({ "deduplicate": ["id"], "select": ["t"] }), "csv", input);
    assert_eq!((ran.out.as_str(), counts(&ran)), ("t\nb\na\na\n", [5, 3, 0, 2]));
    let last = json!({ "deduplicate": { "by": ["id"], "keep": "last" }, "output": { "format": "json" }, "select": ["t"] });
    assert_eq!(run(last, "csv", input).out, "[\n{\"t\":\"c\"},\n{\"t\":\"a\"},\n{\"t\":\"z\"}\n]\n");
    let both = json!({ "deduplicate": ["id"], "sort": [{ "by": "id", "order": "desc" }], "drop": ["n"] });
    assert_eq!(run(both, "csv", input).out, "id,t\n3,a\n2,a\n1,b\n");
    assert_eq!(run(json!({ "sort": ["a"] }), "csv", "a\n").out, "a\n");
    let records = "{\"n\":10}\n{\"n\":9}\n{\"n\":\"x\"}\n{}\n{\"n\":1e1}\n";
    assert_eq!(
        run(json!({ "sort": ["n"], "deduplicate": ["n"] }), "ndjson", records).out,
        "{\"n\":9}\n{\"n\":10}\n{\"n\":\"x\"}\n{}\n"
    );
}

#[test]
fn sorting_more_than_fits_into_memory() {
    let count = 600_000u64;
    let mut input = String::from("n,text\n");
    for i in 0..count {
        input.push_str(
            &format!("{},some text that takes room in memory and on the disk, row {i}\n", i * 7919 % count)
                .replacen(", row", " row", 1),
        );
    }
    let ran = run(
        json!({ "sort": [{ "by": "n", "as": "number" }], "deduplicate": { "by": ["n"], "keep": "last" }, "select": ["n"] }),
        "csv",
        &input,
    );
    assert_eq!(counts(&ran), [count, count, 0, 0]);
    assert!(ran.out.lines().skip(1).enumerate().all(|(at, n)| n == at.to_string()));
}

#[test]
fn a_dry_run_and_a_limit() {
    let app = transformer(&json!({ "cast": { "n": "integer" }, "sort": ["n"] }), Path::new(".")).unwrap();
    let options = RunOptions { limit: Some(3), dry_run: true };
    let (_, _, outcome) = run_bytes(&app, "csv", b"n\n3\nx\n1\n2\n", options);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_rejected), (3, 2, 1));
}

#[test]
fn a_cancelled_run_ends() {
    let app = transformer(&json!({}), Path::new(".")).unwrap();
    let mut input = &b"a\n1\n"[..];
    let outcome = app.run(AppIo {
        input: &mut input,
        input_ext: "csv",
        output: &mut Vec::new(),
        rejected: &mut Vec::new(),
        progress: None,
        cancelled: &|| true,
        options: RunOptions::default(),
        scratch: &scratch,
    });
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn fields_beyond_measure_are_rejected() {
    let record = |from: usize| {
        let fields: Vec<String> = (from..from + 5_001).map(|i| format!("\"f{i}\":{i}")).collect();
        format!("{{{}}}\n", fields.join(","))
    };
    let ran = run(json!({}), "ndjson", &(record(0) + &record(5_001) + &record(0)));
    assert_eq!(counts(&ran), [3, 2, 1, 0]);
    assert!(ran.rejected.contains("more than 10000 different fields"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_every_row_goes_somewhere(
        text in "[ab1,\"\n{}:\\[\\] .é\\\\-]{0,120}", ext in 0usize..3, to in 0usize..3, which in 0usize..6,
    ) {
        let formats = ["csv", "ndjson", "json"];
        let mut with = [
            json!({}),
            json!({ "infer": true, "trim": true, "nest": true }),
            json!({ "flatten": true, "sort": ["a"], "select": ["a"] }),
            json!({ "deduplicate": { "by": ["a"], "keep": "last" } }),
            json!({ "cast": { "a": "number" }, "defaults": { "a": 1 }, "filter": "true" }),
            json!({ "compute": { "n": "size(row)" }, "missing": ["", "1"] }),
        ][which].clone();
        with["output"] = json!({ "format": formats[to] });
        let app = transformer(&with, Path::new(".")).unwrap();
        let input = if ext == 0 { format!("a,b\n{text}") } else { text };
        let (out, rejected, outcome) = run_bytes(&app, formats[ext], input.as_bytes(), RunOptions::default());
        match outcome {
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::BadData),
            Ok(outcome) if outcome.refuse.is_none() => {
                let sum = outcome.rows_out + outcome.rows_rejected + outcome.rows_filtered;
                prop_assert_eq!(outcome.rows_in, sum);
                prop_assert_eq!(rejected.is_empty(), outcome.rows_rejected == 0);
                let count = handover_records::RowCounter::for_ext(formats[to]).map(|mut counter| {
                    counter.push(&out);
                    counter.finish()
                });
                prop_assert_eq!(count.flatten(), Some(outcome.rows_out));
            }
            Ok(_) => {}
        }
    }
}
