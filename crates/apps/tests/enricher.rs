//! The enricher as its callers see it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use handover_apps::{AppIo, Enricher, Outcome, RowApp, RunOptions, parse_config};
use handover_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::path::Path;

struct Ran {
    out: String,
    rejected: String,
    outcome: Outcome,
}

fn run(app: &Enricher, input: &[u8]) -> Ran {
    run_as(app, input, "csv", RunOptions::default())
}

fn run_as(app: &Enricher, input: &[u8], ext: &str, options: RunOptions) -> Ran {
    let (out, rejected, outcome) = run_bytes(app, input, ext, options);
    Ran {
        out: String::from_utf8_lossy(&out).into_owned(),
        rejected: String::from_utf8_lossy(&rejected).into_owned(),
        outcome,
    }
}

fn run_bytes(app: &Enricher, input: &[u8], ext: &str, options: RunOptions) -> (Vec<u8>, Vec<u8>, Outcome) {
    let (mut out, mut rejected) = (Vec::new(), Vec::new());
    let io = AppIo {
        input: &mut &input[..],
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| false,
        input_ext: ext,
        options,
        scratch: &|| tempfile::tempfile().map_err(|error| Error::io("create", "a temporary file", error)),
    };
    let outcome = app.run(io).unwrap();
    assert_eq!(outcome.rows_in, outcome.rows_out + outcome.rows_rejected + outcome.rows_filtered);
    (out, rejected, outcome)
}

fn enricher(dir: &Path, with: Value) -> Result<Enricher> {
    Enricher::new(&parse_config("enricher", &with)?, dir)
}

fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("reference")).unwrap();
    std::fs::write(
        dir.path().join("reference/customers.csv"),
        "customer_id,name,segment\r\n7,\"Ada, Ltd\",gold\r\n8,Bob,\r\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("reference/regions.csv"), "\u{feff}code,name\nN,North\nS,South\n")
        .unwrap();
    dir
}

fn as_in_the_design() -> Value {
    json!({
        "lookups": [
            { "from": "reference/customers.csv", "key": "customer_id", "take": ["name", "segment"] },
            { "from": "reference/regions.csv", "key": { "region": "code" }, "take": { "region_name": "name" } }
        ],
        "compute": { "total": "round(double(quantity) * double(price), 2)", "label": "name + ' ' + total" }
    })
}

#[test]
fn columns_are_appended_and_the_row_stays_as_it_was() {
    let dir = project();
    let app = enricher(dir.path(), as_in_the_design()).unwrap();
    let ran = run(&app, b"customer_id,region,quantity,price\r\n\"7\",N,3,2.50\r\n\r\n9,X,1,1\r\n8,S,NA,2");
    assert_eq!(
        ran.out,
        "customer_id,region,quantity,price,name,segment,region_name,total,label\r\n\
         \"7\",N,3,2.50,\"Ada, Ltd\",gold,North,7.5,\"Ada, Ltd 7.5\"\r\n\r\n\
         9,X,1,1,,,,1, 1\r\n"
    );
    assert_eq!(
        ran.rejected,
        "customer_id,region,quantity,price,_row,_field,_reason\r\n\
         8,S,NA,2,4,total,\"compute-error: `round(double(quantity) * double(price), 2)`: double(): string parse error: invalid float literal (quantity is \"\"NA\"\", price is \"\"2\"\")\"\r\n"
    );
    let references = &ran.outcome.manifest["references"];
    assert_eq!(
        (&references[0]["path"], &references[0]["rows"], &references[0]["unmatched"]),
        (&json!("reference/customers.csv"), &json!(2), &json!(1))
    );
    assert!(references[1]["checksum"].as_str().unwrap().starts_with("sha256:"));
    assert!(
        ran.outcome.notes.iter().any(|note| note.contains("1 rows have a key (customer_id)")),
        "{:?}",
        ran.outcome.notes
    );
}

#[test]
fn unmatched_rows_can_be_rejected() {
    let dir = project();
    let app = enricher(dir.path(), json!({ "lookups": [
        { "from": "reference/regions.csv", "key": { "region": "code" }, "take": { "n": "name" }, "unmatched": "reject" }
    ]}))
    .unwrap();
    let ran = run(&app, b"region\nN\nX\n");
    assert_eq!(ran.out, "region,n\nN,North\n");
    assert!(
        ran.rejected.contains("X,3,region,\"lookup-error: \"\"X\"\" is not in reference/regions.csv\""),
        "{}",
        ran.rejected
    );
}

#[test]
fn a_lookup_may_use_what_an_earlier_one_found() {
    let dir = project();
    std::fs::write(dir.path().join("shops.csv"), "shop,region\n1,N\n").unwrap();
    let app = enricher(dir.path(), json!({ "lookups": [
        { "from": "shops.csv", "key": "shop", "take": ["region"] },
        { "from": "reference/regions.csv", "key": { "region": "code" }, "take": { "region_name": "name" } }
    ]}))
    .unwrap();
    assert_eq!(run(&app, b"shop\n1\n").out, "shop,region,region_name\n1,N,North\n");
}

#[test]
fn keys_of_several_columns_do_not_run_together() {
    let dir = project();
    std::fs::write(dir.path().join("r.csv"), "a,b,v\n1,23,x\n12,3,y\n").unwrap();
    let app = enricher(
        dir.path(),
        json!({ "lookups": [
            { "from": "r.csv", "key": { "p": "a", "q": "b" }, "take": "v" }
        ]}),
    )
    .unwrap();
    assert_eq!(run(&app, b"p,q\n12,3\n1,23\n123,\n").out, "p,q,v\n12,3,y\n1,23,x\n123,,\n");
}

#[test]
fn a_wrong_configuration_or_reference_is_named() {
    let dir = project();
    std::fs::write(dir.path().join("twice.csv"), "k,v\na,1\nb,2\na,3\n").unwrap();
    std::fs::write(dir.path().join("ragged.csv"), "k,v\na\n").unwrap();
    std::fs::write(dir.path().join("empty.csv"), "").unwrap();
    let lookup = |from: &str| json!({ "lookups": [{ "from": from, "key": "k", "take": ["v"] }] });
    for (with, why) in [
        (json!({}), "nothing to add"),
        (lookup("no.csv"), "cannot read the reference: no.csv"),
        (lookup("twice.csv"), "has the key \"a\" (k) twice: in row 2 and in row 4"),
        (lookup("ragged.csv"), "1 cells in row 2"),
        (lookup("empty.csv"), "the file is empty"),
        (lookup("reference"), "not a file"),
        (lookup("reference/regions.csv"), "no column \"k\""),
        (json!({ "lookups": [{ "from": "twice.csv", "key": {}, "take": ["v"] }] }), "needs a `key`"),
        (
            json!({ "lookups": [{ "from": "twice.csv", "key": 5, "take": ["v"] }] }),
            "a column, a list of columns, or a map",
        ),
        (json!({ "lookups": [{ "frm": "x", "key": "k", "take": ["v"] }] }), "frm"),
        (json!({ "compute": { "x": "1 +" } }), "compute: x"),
        (json!({ "compute": { "x": "a * 2" } }), "compute: x"),
        (json!({ "compute": { "": "1" } }), "no name"),
    ] {
        let error = enricher(dir.path(), with.clone()).err().unwrap();
        assert!(error.to_string().contains(why), "{with}: {error}");
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused_whole() {
    let dir = project();
    let app = enricher(dir.path(), as_in_the_design()).unwrap();
    for (input, why) in [
        ("", "empty"),
        ("customer_id,region,quantity\n", "uses \"price\", which the file does not have"),
        ("customer_id,region,quantity,price,name\n", "has a column \"name\" already"),
        ("customer_id,region,quantity,price,price\n", "two such columns"),
        ("customer_id,quantity,price\n", "the lookup in reference/regions.csv uses \"region\""),
    ] {
        let ran = run(&app, input.as_bytes());
        let error = ran.outcome.refuse.unwrap();
        assert_eq!(error.kind(), ErrorKind::BadData);
        assert!(error.to_string().contains(why), "{input}: {error}");
        assert!(ran.out.is_empty());
    }
}

#[test]
fn rows_that_cannot_be_read_are_rejected() {
    let dir = project();
    let app = enricher(dir.path(), json!({ "compute": { "x": "a + '!'" } })).unwrap();
    let ran = run(&app, b"a,b\n1\n2,b,c\n\xff,b\n3,\xff\n3,b\n\0,b\n4,\"open");
    assert_eq!(ran.out, "a,b,x\n3,b,3!\n");
    assert_eq!((ran.outcome.rows_in, ran.outcome.rows_rejected), (7, 6));
    for reason in [
        "missing-cell",
        "extra-cell",
        "encoding-error",
        "source-error: it holds a NUL",
        "source-error: a quote",
    ] {
        assert!(ran.rejected.contains(reason), "{reason}: {}", ran.rejected);
    }
}

#[test]
fn a_reference_that_has_changed_is_read_again() {
    let dir = project();
    let with = json!({ "lookups": [{ "from": "reference/regions.csv", "key": { "r": "code" }, "take": { "n": "name" } }] });
    let app = enricher(dir.path(), with).unwrap();
    assert_eq!(run(&app, b"r\nN\n").out, "r,n\nN,North\n");
    std::fs::write(dir.path().join("reference/regions.csv"), "code,name\nN,The North\n").unwrap();
    let ran = run(&app, b"r\nN\n");
    assert_eq!(ran.out, "r,n\nN,The North\n");
    assert_eq!(ran.outcome.manifest["references"][0]["rows"], 1);
    std::fs::remove_file(dir.path().join("reference/regions.csv")).unwrap();
    let mut out = Vec::new();
    let io = AppIo {
        input: &mut &b"r\nN\n"[..],
        output: &mut out,
        rejected: &mut std::io::sink(),
        progress: None,
        cancelled: &|| false,
        input_ext: "csv",
        options: RunOptions::default(),
        scratch: &handover_apps::no_scratch,
    };
    assert_eq!(app.run(io).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_inner_join_rejects_or_filters_and_says_so() {
    let dir = project();
    let with = |unmatched: Option<&str>| {
        let mut lookup = json!({ "from": "reference/regions.csv", "key": { "r": "code" }, "take": { "n": "name" }, "join": "inner" });
        if let Some(word) = unmatched {
            lookup["unmatched"] = json!(word);
        }
        json!({ "lookups": [lookup] })
    };
    let ran = run(&enricher(dir.path(), with(None)).unwrap(), b"r\nN\nX\n");
    assert_eq!((ran.out.as_str(), ran.outcome.rows_rejected), ("r,n\nN,North\n", 1));
    let ran = run(&enricher(dir.path(), with(Some("filter"))).unwrap(), b"r\nN\nX\n\"S\"\n");
    assert_eq!(ran.out, "r,n\nN,North\n\"S\",South\n");
    assert_eq!((ran.outcome.rows_filtered, ran.rejected.as_str()), (1, ""));
    assert!(ran.outcome.notes[0].ends_with("does not have: left out"), "{:?}", ran.outcome.notes);
    let error = enricher(dir.path(), with(Some("keep"))).err().unwrap();
    assert!(error.to_string().contains("join is inner"), "{error}");
}

#[test]
fn rows_without_a_match_get_the_defaults() {
    let dir = project();
    let with = json!({ "lookups": [{
        "from": "reference/customers.csv", "key": { "c": "customer_id" }, "take": ["name", "segment"],
        "default": { "segment": "none, yet" },
    }], "compute": { "s": "segment + '!'" } });
    let ran = run(&enricher(dir.path(), with.clone()).unwrap(), b"c\n7\n9\n");
    assert_eq!(ran.out, "c,name,segment,s\n7,\"Ada, Ltd\",gold,gold!\n9,,\"none, yet\",\"none, yet!\"\n");
    let mut wrong = with;
    wrong["lookups"][0]["default"] = json!({ "segmnt": 1 });
    let error = enricher(dir.path(), wrong).err().unwrap();
    assert_eq!(error.hint_text(), Some("did you mean segment?"));
}

#[test]
fn of_a_doubled_key_the_first_or_the_last_counts_if_that_is_said() {
    let dir = project();
    std::fs::write(dir.path().join("twice.csv"), "k,v\na,1\nb,2\na,3\n").unwrap();
    for (word, expected) in [("first", "1"), ("last", "3")] {
        let with =
            json!({ "lookups": [{ "from": "twice.csv", "key": "k", "take": ["v"], "duplicates": word }] });
        let ran = run(&enricher(dir.path(), with).unwrap(), b"k\na\n");
        assert_eq!(ran.out, format!("k,v\na,{expected}\n"));
        assert_eq!(ran.outcome.manifest["references"][0]["rows"], 3);
    }
}

#[test]
fn references_have_any_format_dialect_and_compression() {
    let dir = project();
    let path = dir.path();
    std::fs::write(path.join("semi.csv"), "k;v\na;1,5\n'b;b';2\n").unwrap();
    std::fs::write(path.join("lines.ndjson"), "{\"k\":\"a\",\"v\":1.50}\n\n{\"v\":null,\"k\":7}\n").unwrap();
    std::fs::write(path.join("list.json"), "[{\"k\":\"a\",\n\"v\":{\"x\":\n[1]}},{\"k\":7}]").unwrap();
    std::fs::write(path.join("gzipped.csv.gz"), gzip(b"k,v\na,\"x\"\"y\"\n")).unwrap();
    std::fs::write(path.join("latin.tsv"), b"k\tv\na\t\xe9\n").unwrap();
    for (lookup, expected) in [
        (
            json!({ "from": "semi.csv", "input": { "dialect": { "delimiter": ";", "quote_char": "'" } } }),
            "k,v\na,\"1,5\"\n7,\n",
        ),
        (json!({ "from": "lines.ndjson" }), "k,v\na,1.50\n7,\n"),
        (json!({ "from": "list.json" }), "k,v\na,\"{\"\"x\"\": [1]}\"\n7,\n"),
        (json!({ "from": "gzipped.csv.gz" }), "k,v\na,\"x\"\"y\"\n7,\n"),
        (
            json!({ "from": "latin.tsv", "input": { "dialect": { "delimiter": "\t", "encoding": "iso-8859-1" } } }),
            "k,v\na,é\n7,\n",
        ),
    ] {
        let mut lookup = lookup;
        (lookup["key"], lookup["take"]) = (json!("k"), json!(["v"]));
        let ran = run(&enricher(path, json!({ "lookups": [lookup.clone()] })).unwrap(), b"k\na\n7\n");
        assert_eq!(ran.out, expected, "{lookup}");
    }
    std::fs::write(path.join("bad.ndjson"), "{\"k\":1}\n{\"v\":2}\n").unwrap();
    std::fs::write(path.join("cut.csv.gz"), &gzip(b"k,v\na,1\n")[..20]).unwrap();
    for (from, why) in [("bad.ndjson", "record 2: it has no \"k\""), ("cut.csv.gz", "cut.csv.gz")] {
        let error = enricher(path, json!({ "lookups": [{ "from": from, "key": "k", "take": ["v"] }] }))
            .err()
            .unwrap();
        assert!(error.to_string().contains(why), "{error}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_all_rows_with_a_key_come_to_stands_in_each() {
    let dir = project();
    let with = json!({
        "lookups": [{ "from": "reference/regions.csv", "key": { "r": "code" }, "take": { "n": "name" } }],
        "aggregate": { "by": "r", "columns": { "rows": "count()", "total": "sum(x)", "most": "max(x)" } },
        "compute": { "share": "round(double(x) / double(total), 2)" },
    });
    let app = enricher(dir.path(), with).unwrap();
    let ran = run(&app, b"r,x\nN,1\nS,2.5\n\"N\",3\nS,NA\n");
    assert_eq!(
        ran.out,
        "r,x,n,rows,total,most,share\nN,1,North,2,4,3,0.25\nS,2.5,South,1,2.5,2.5,1\n\"N\",3,North,2,4,3,0.75\n"
    );
    assert!(
        ran.rejected.contains("S,NA,5,x,\"aggregate-error: \"\"NA\"\" is not a number\""),
        "{}",
        ran.rejected
    );
    let ran =
        run_as(&app, b"r,x\nN,1\nN,2\nN,3\n", "csv", RunOptions { limit: Some(2), ..RunOptions::default() });
    assert_eq!(ran.out, "r,x,n,rows,total,most,share\nN,1,North,2,3,2,0.33\nN,2,North,2,3,2,0.67\n");
    let many: String = (0..600_000).map(|i| format!("N,{i},some text to make it longer\n")).collect();
    let ran = run(&app, format!("r,x,t\n{many}").as_bytes());
    assert_eq!(ran.outcome.rows_out, 600_000);
    assert!(ran.out.starts_with(
        "r,x,t,n,rows,total,most,share\nN,0,some text to make it longer,North,600000,179999700000,599999,0\n"
    ));
    let all = json!({ "aggregate": [{ "columns": { "rows": "count" } }] });
    assert_eq!(run(&enricher(dir.path(), all).unwrap(), b"r\nN\nS\n").out, "r,rows\nN,2\nS,2\n");
    for (with, why) in [
        (json!({ "aggregate": { "by": "r", "columns": { "x": "sun(y)" } } }), "sun is not known"),
        (json!({ "aggregate": { "by": "r", "colums": {} } }), "colums"),
    ] {
        let error = enricher(dir.path(), with).err().unwrap();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn records_get_fields() {
    let dir = project();
    let with = json!({
        "lookups": [{
            "from": "reference/customers.csv", "key": { "id": "customer_id" }, "take": { "who": "name" }, "default": { "who": null },
        }],
        "aggregate": { "by": "region", "columns": { "n": "count()", "sum": "sum(x)" } },
        "compute": { "twice": "double(x) * 2.0", "label": "who == null ? 'nobody' : string(who) + '!'" },
    });
    let app = enricher(dir.path(), with).unwrap();
    let input = b"{\"id\":7,\"x\":1.50,\"region\":\"N\" }\n\n{\"id\":\"9\",\"x\":2}\n[1]\n{\"id\":8,\"id\":8}\n{\"id\":8,\"x\":\"a\"}\n{\"x\":1,\"n\":5}\n{oops\n{\"id\":8}\n";
    let ran = run_as(&app, input, "ndjson", RunOptions::default());
    assert_eq!(
        ran.out,
        "{\"id\":7,\"x\":1.50,\"region\":\"N\",\"who\":\"Ada, Ltd\",\"n\":1,\"sum\":1.5,\"twice\":3,\"label\":\"Ada, Ltd!\"}\n\
         {\"id\":\"9\",\"x\":2,\"who\":null,\"n\":3,\"sum\":3,\"twice\":4,\"label\":\"nobody\"}\n"
    );
    let rejected: Vec<Value> = ran.rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<&str> = rejected.iter().map(|line| line["_errors"][0]["code"].as_str().unwrap()).collect();
    assert_eq!(
        codes,
        ["type-error", "source-error", "aggregate-error", "field-exists", "source-error", "compute-error"]
    );
    assert_eq!(rejected[0]["_row"], 3);
    let array = run_as(&app, b"[{\"id\":7,\n \"x\":1}, {}]", "json", RunOptions::default());
    assert_eq!(
        array.out,
        "[\n{\"id\":7,  \"x\":1,\"who\":\"Ada, Ltd\",\"n\":2,\"sum\":1,\"twice\":2,\"label\":\"Ada, Ltd!\"}\n]\n"
    );
    let only = enricher(dir.path(), json!({ "compute": { "a": "1 + 1" } })).unwrap();
    assert_eq!(run_as(&only, b"[{}]", "json", RunOptions::default()).out, "[\n{\"a\":2}\n]\n");
    assert_eq!(run_as(&only, b"[]", "json", RunOptions::default()).out, "[]\n");
    let typed = enricher(dir.path(), json!({ "input": { "format": "ndjson" }, "compute": { "a": "x * 2" } }))
        .unwrap();
    assert_eq!(run_as(&typed, b"{\"x\":3}", "txt", RunOptions::default()).out, "{\"x\":3,\"a\":6}\n");
}

#[test]
fn dialect_and_compression_of_the_input_are_kept() {
    let dir = project();
    let app = |with: Value| {
        let mut with = with;
        with["lookups"] = json!([{ "from": "reference/customers.csv", "key": { "c": "customer_id" }, "take": { "n": "name" } }]);
        enricher(dir.path(), with).unwrap()
    };
    let semi = app(
        json!({ "input": { "dialect": { "delimiter": ";", "escape_char": "\\", "double_quote": false } } }),
    );
    let ran = run(&semi, b"c;t\r\n7;a\\\r\n8;'x\r\n");
    assert_eq!(ran.out.lines().next(), Some("c;t;n"));
    assert!(ran.out.contains("8;'x;Bob\r\n"), "{}", ran.out);
    let bare = app(json!({ "input": { "dialect": { "header": false } } }));
    let ran = run(&bare, b"7,x\n");
    assert_eq!(ran.outcome.refuse.unwrap().kind(), ErrorKind::BadData);
    let plain = app(json!({}));
    let (out, _, _) = run_bytes(&plain, &gzip(b"c\n8\n"), "csv.gz", RunOptions::default());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&out[..]), &mut text).unwrap();
    assert_eq!((text.as_str(), plain.output_ext("csv.gz").as_str()), ("c,n\n8,Bob\n", "csv.gz"));
    let packed = app(json!({ "output": { "compression": "zstd" } }));
    assert_eq!(packed.output_ext("csv.gz"), "csv.zst");
    assert!(
        run_bytes(&packed, b"c\n8\n", "csv", RunOptions::default()).0.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    );
    let dry = RunOptions { dry_run: true, ..RunOptions::default() };
    assert_eq!(run_bytes(&packed, b"c\n8\n", "csv", dry).0, b"c,n\n8,Bob\n");
}

#[test]
fn a_limit_ends_the_run() {
    let dir = project();
    let app = enricher(dir.path(), json!({ "compute": { "x": "a + '!'" } })).unwrap();
    let input: String = (0..100_000).map(|i| format!("{i}\n")).collect();
    for limit in [0, 1, 70_000] {
        let ran = run_as(
            &app,
            format!("a\n{input}").as_bytes(),
            "csv",
            RunOptions { limit: Some(limit), ..RunOptions::default() },
        );
        assert_eq!((ran.outcome.rows_in, ran.out.lines().count() as u64), (limit, limit + 1));
    }
}

#[test]
fn a_broken_file_is_bad_data_and_other_encodings_are_read() {
    let dir = project();
    let app = enricher(dir.path(), json!({ "compute": { "x": "a + '!'" } })).unwrap();
    let long = format!("a\n{}", "abc\n".repeat(10_000));
    let cut = gzip(long.as_bytes());
    let bomb = gzip(format!("a\n{}", "0".repeat(80 * 1024 * 1024)).as_bytes());
    for (input, ext) in [
        (&cut[..cut.len() / 2], "csv.gz"),
        (&bomb[..], "csv.gz"),
        (b"[{\"a\":\"1\"},", "json"),
        (b"{}", "json"),
    ] {
        let (mut out, mut input) = (Vec::new(), input);
        let io = AppIo {
            input: &mut input,
            output: &mut out,
            rejected: &mut std::io::sink(),
            progress: None,
            cancelled: &|| false,
            input_ext: ext,
            options: RunOptions::default(),
            scratch: &handover_apps::no_scratch,
        };
        let error = app.run(io).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData, "{ext}: {error}");
    }
    let utf16: Vec<u8> = "\u{feff}a\né\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(run(&app, &utf16).out.trim_start_matches('\u{feff}'), "a,x\né,é!\n");
    assert_eq!(run(&app, b"a\r\"1\r\n2,\"\r\n3\n4").out, "a,x\r\"1\r\n2,\",\"1\r\n2,!\"\r\n3,3!\n4,4!");
    let ran = run(&app, format!("a\n{}\n1\n", "y".repeat(2 * 1024 * 1024)).as_bytes());
    assert_eq!((ran.out.as_str(), ran.outcome.rows_rejected), ("a,x\n1,1!\n", 1));
    let escaping = json!({
        "input": { "dialect": { "escape_char": "\\" } }, "compute": { "x": "a + '!'" },
    });
    assert_eq!(run(&enricher(dir.path(), escaping).unwrap(), b"b,a\n1,z\\").out, "b,a,x\n1,z,z!");
}
