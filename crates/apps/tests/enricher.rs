//! The enricher as its callers see it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use handover_apps::{AppIo, Enricher, Outcome, RowApp, parse_config};
use handover_core::{ErrorKind, Result};
use serde_json::{Value, json};
use std::path::Path;

struct Ran {
    out: String,
    rejected: String,
    outcome: Outcome,
}

fn run(app: &Enricher, input: &[u8]) -> Ran {
    let (mut out, mut rejected) = (Vec::new(), Vec::new());
    let io = AppIo {
        input: &mut &input[..],
        output: &mut out,
        rejected: &mut rejected,
        progress: None,
        cancelled: &|| false,
    };
    let outcome = app.run(io).unwrap();
    assert_eq!(outcome.rows_in, outcome.rows_out + outcome.rows_rejected);
    Ran {
        out: String::from_utf8_lossy(&out).into_owned(),
        rejected: String::from_utf8_lossy(&rejected).into_owned(),
        outcome,
    }
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
    let ran = run(&app, b"a,b\n1\n2,b,c\n\xff,b\n3,\xff\n4,\"open");
    assert_eq!(ran.out, "a,b,x\n3,\u{fffd},3!\n");
    assert_eq!((ran.outcome.rows_in, ran.outcome.rows_rejected), (5, 4));
    for reason in ["missing-cell", "extra-cell", "encoding-error", "source-error"] {
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
    };
    assert_eq!(app.run(io).unwrap_err().kind(), ErrorKind::NotFound);
}
