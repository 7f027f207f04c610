//! The built-in apps alone, with the flags that they share, and the exporter's files in a flow.

use crate::Place;
use std::io::Read as _;

const TABLE: &str = "id,name\n1,a\n2,\"b;c\"\n3,d\n";

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let place = Place::empty();
    place.write("in.csv", TABLE);
    place.write(
        "s.json",
        r#"{"fields":[{"name":"id","type":"integer"},{"name":"name","constraints":{"enum":["a","d"]}}]}"#,
    );
    let words = [
        "app",
        "validator",
        "--schema",
        "s.json",
        "--dry-run",
        "in.csv",
        "-o",
        "out.csv",
        "--rejected",
        "bad.csv",
        "--report",
        "r.json",
        "--json",
    ];
    let answer = place.run(&words);
    let summary: serde_json::Value = serde_json::from_str(answer.err.trim()).unwrap();
    assert_eq!((summary["rows_in"].as_u64(), summary["rows_out"].as_u64()), (Some(3), Some(2)));
    assert_eq!((summary["rows_rejected"].as_u64(), summary["dry_run"].as_bool()), (Some(1), Some(true)));
    for name in ["out.csv", "bad.csv", "r.json"] {
        assert!(!place.path().join(name).exists(), "{name}");
    }
}

#[test]
fn every_app_stops_at_the_limit() {
    let place = Place::empty();
    place.write("in.csv", TABLE);
    place.write("s.json", r#"{"fields":[{"name":"id"},{"name":"name"}]}"#);
    let apps: [&[&str]; 5] = [
        &["validator", "--schema", "s.json"],
        &["data-transformer"],
        &["enricher", "--compute", "n=size(name)"],
        &["file-exporter"],
        &["file-importer"],
    ];
    for app in apps {
        let words = [&["app"], app, &["in.csv", "--limit", "2", "--json"]].concat();
        let answer = place.run(&words);
        let summary: serde_json::Value = serde_json::from_str(answer.err.trim()).unwrap();
        assert_eq!(summary["rows_in"].as_u64(), Some(2), "{app:?}: {}", answer.err);
        assert_eq!(answer.out.lines().count(), 3, "{app:?}: {}", answer.out);
    }
}

#[test]
fn formats_follow_from_names_and_flags() {
    let place = Place::empty();
    place.write("in.csv", "id;name\n1;'x;y'\n");
    let dialect = ["--delimiter", ";", "--quote", "'"];
    let export =
        |more: &[&str]| place.ok(&[&["app", "file-exporter", "in.csv", "-q"], &dialect[..], more].concat());
    assert_eq!(export(&[]), "id;name\n1;'x;y'\n");
    assert_eq!(export(&["--out-format", "ndjson"]), "{\"id\":\"1\",\"name\":\"x;y\"}\n");
    assert_eq!(export(&["--out-format", "csv", "--out-delimiter", "|"]), "id|name\n1|x;y\n");
    export(&["-o", "out.json.gz"]);
    let mut text = String::new();
    let packed = std::fs::File::open(place.path().join("out.json.gz")).unwrap();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
    assert_eq!(text, "[\n{\"id\":\"1\",\"name\":\"x;y\"}\n]\n");
    let words = [
        "app",
        "data-transformer",
        "in.csv",
        "-q",
        "--select",
        "name",
        "--filter",
        "id == '1'",
        "-o",
        "out.ndjson",
    ];
    place.ok(&[&words[..], &dialect[..]].concat());
    assert_eq!(place.read("out.ndjson"), "{\"name\":\"x;y\"}\n");
    // Unpacked again, standard output is as a person reads it.
    assert_eq!(
        place.ok(&["app", "file-exporter", "out.json.gz", "-q", "--out-format", "csv"]),
        "id,name\n1,x;y\n"
    );
}

#[test]
fn an_export_is_split_into_files_that_are_whole() {
    let place = Place::empty();
    place.write("in.csv", TABLE);
    place.ok(&["app", "file-exporter", "in.csv", "-q", "--split-rows", "2", "-o", "out.csv"]);
    assert_eq!(place.read("out-001.csv"), "id,name\n1,a\n2,\"b;c\"\n");
    assert_eq!(place.read("out-002.csv"), "id,name\n3,d\n");
    let answer = place.run(&["app", "file-exporter", "in.csv", "--split-rows", "2"]);
    assert_eq!(answer.code, 2, "{}", answer.err);
}

#[test]
fn a_first_schema_is_inferred_and_accepts_its_table() {
    let place = Place::empty();
    place.write("in.csv", TABLE);
    place.ok(&["app", "validator", "--infer", "in.csv", "-o", "s.json"]);
    assert_eq!(place.ok(&["app", "validator", "--schema", "s.json", "in.csv", "-q"]), TABLE);
}

const FLOW: &str = r#"
apps:
  in: { uses: file-importer, with: { from: ./incoming, type: t, pattern: "*" } }
  shape: { uses: data-transformer, with: { filter: "id != '2'" } }
  out:
    uses: file-exporter
    with: { to: [./a, ./b], format: ndjson, compression: gzip, split: { rows: 1 }, name: "{type}-{sequence}-{part}.{ext}" }
flows: { f: in -> shape -> out }
"#;

#[test]
fn an_exports_parts_are_published_in_every_folder_and_every_row_is_accounted_for() {
    let place = Place::with(FLOW);
    std::fs::create_dir(place.path().join("incoming")).unwrap();
    place.write("incoming/x.csv", TABLE);
    let summary = place.json(&["run", "--once"]);
    let shape = &summary["apps"]["shape"];
    assert_eq!((shape["rows_in"].as_u64(), shape["rows_out"].as_u64()), (Some(3), Some(2)), "{summary}");
    assert_eq!(shape["rows_filtered"].as_u64(), Some(1), "{summary}");
    for folder in ["a", "b"] {
        let files =
            ["t-001-001.meta.json", "t-001-001.ndjson.gz", "t-001-002.meta.json", "t-001-002.ndjson.gz"];
        assert_eq!(place.names(folder), files, "{folder}");
        for (part, id) in [(1, "1"), (2, "3")] {
            let manifest = place.read(&format!("{folder}/t-001-00{part}.meta.json"));
            let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
            assert_eq!(manifest["part"], serde_json::json!({ "number": part, "of": 2 }));
            assert_eq!(manifest["row_count"], 1);
            let mut text = String::new();
            let packed =
                std::fs::File::open(place.path().join(format!("{folder}/t-001-00{part}.ndjson.gz"))).unwrap();
            flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
            assert!(text.starts_with(&format!("{{\"id\":\"{id}\"")), "{text}");
        }
        place.ok(&["verify", folder]);
    }
    let shown = place.ok(&["run", "--once"]);
    assert!(!shown.contains("failed"), "{shown}");
}
