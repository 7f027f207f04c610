use super::*;
use handover_core::{AppName, Checksum, ErrorKind, TypeName};
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

fn config(compression: Compression) -> Config {
    Config { compression: Some(compression), ..Config::to("out".into()) }
}

fn exporter(with: Value) -> Exporter {
    let mut with = with;
    with["to"] = json!("out");
    Exporter::new(&crate::parse_config("file-exporter", &with).unwrap()).unwrap()
}

struct Exported {
    files: Vec<PartFile<Vec<u8>>>,
    rejected: Vec<u8>,
    outcome: Outcome,
    /// Whether it was said before that the output is the input.
    same: bool,
}

impl Exported {
    fn texts(&self) -> Vec<&str> {
        self.files.iter().map(|file| std::str::from_utf8(&file.out).unwrap()).collect()
    }
}

fn export(app: &Exporter, input: &[u8], ext: &str, limit: Option<u64>) -> Exported {
    let mut rejected = Vec::new();
    let mut bytes = input;
    let from = ExportFrom {
        input: &mut bytes,
        input_ext: ext,
        watch: Watch::default(),
        options: RunOptions { limit, dry_run: false },
        known: None,
        hash_content: true,
    };
    let mut same = false;
    let mut open = |told| {
        same = told;
        Ok(Vec::new())
    };
    let (outcome, files) = app.export(from, &mut rejected, &mut open).unwrap();
    assert!(!same || files.len() == 1 && files[0].out == input, "what was said is what came of it");
    Exported { files, rejected, outcome, same }
}

fn expanded(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut dialect = handover_records::Dialect::default();
    let options = handover_records::InputOptions::new(Format::Csv);
    handover_records::open_bytes(bytes, &options, &mut dialect).unwrap().read_to_end(&mut text).unwrap();
    text
}

fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut sink = handover_records::Sink::new(Vec::new(), compression, None).unwrap();
    sink.write_all(bytes).unwrap();
    sink.finish().unwrap()
}

fn hash(bytes: &[u8]) -> Checksum {
    Checksum(Sha256::digest(bytes).into())
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        prop_assume!(Compression::of(&bytes) == Compression::None);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for ext in ["csv", "json", "ndjson", "pdf", ""] {
                let app = Exporter::new(&config(compression)).unwrap();
                let made = export(&app, &bytes, ext, None);
                prop_assert_eq!(&export(&app, &bytes, ext, None).files[0].out, &made.files[0].out);
                let [file] = &made.files[..] else { panic!("{}", made.files.len()) };
                let same = match compression {
                    Compression::None => file.out == bytes,
                    _ => {
                        let content = file.content.unwrap();
                        prop_assert_eq!(content, Content { checksum: hash(&bytes), bytes: bytes.len() as u64 });
                        matches!(bytes[..], [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0xef, 0xbb, 0xbf, ..])
                            || expanded(&file.out) == bytes
                    }
                };
                prop_assert!(same, "{:?} {}", compression, ext);
            }
        }
    }
}

#[test]
fn rows_are_counted_and_the_extension_says_the_compression() {
    for (compression, ext) in
        [(Compression::None, "csv"), (Compression::Gzip, "csv.gz"), (Compression::Zstd, "csv.zst")]
    {
        let app = Exporter::new(&config(compression)).unwrap();
        assert_eq!(app.output_ext("csv"), ext);
        assert_eq!(app.output_ext("csv.gz"), ext);
        let outcome = export(&app, b"a,b\r\n1,\"x\ny\"\r\n\r\n2,z", "csv", None).outcome;
        assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_rejected), (2, 2, 0));
        assert_eq!(export(&app, b"", "csv", None).outcome.rows_in, 0);
        assert_eq!(export(&app, b"{}\n{}\n", "ndjson", None).outcome.rows_in, 2);
        assert_eq!(export(&app, b"[1,2,3]", "json", None).outcome.rows_in, 3);
        assert_eq!(export(&app, b"1\n2\n3\n", "pdf", None).outcome.rows_in, 0);
    }
    let app = exporter(json!({}));
    for (ext, same) in [("csv.gz", "csv.gz"), ("tar.gz", "tar.gz"), ("pdf", "pdf")] {
        assert_eq!(app.output_ext(ext), same);
    }
    assert_eq!(exporter(json!({ "compression": "zstd" })).output_ext("tar.gz"), "tar.zst");
    assert_eq!(exporter(json!({ "format": "ndjson" })).output_ext("csv.gz"), "ndjson.gz");
}

#[test]
fn what_is_compressed_stays_as_it_is_unless_something_else_is_asked_for() {
    let text = b"a,b\n1,2\n3,4\n";
    let packed = packed(text, Compression::Gzip);
    for with in [json!({}), json!({ "compression": "gzip" })] {
        let made = export(&exporter(with), &packed, "csv.gz", None);
        assert_eq!(made.files[0].out, packed);
        assert_eq!(made.files[0].content.unwrap().checksum, hash(text));
        assert_eq!(made.outcome.rows_out, 2);
    }
    let made = export(&exporter(json!({ "compression": "none" })), &packed, "csv.gz", None);
    assert_eq!(made.files[0].out, text);
    let made = export(&exporter(json!({ "compression": "zstd" })), &packed, "csv.gz", None);
    assert_eq!(Compression::of(&made.files[0].out), Compression::Zstd);
    assert_eq!(expanded(&made.files[0].out), text);
    // Of unknown format: not even looked into.
    let broken = &packed[..packed.len() - 3];
    assert_eq!(export(&exporter(json!({})), broken, "tar.gz", None).files[0].out, broken);
}

#[test]
fn what_goes_out_as_it_came_is_known_before() {
    let text = "\u{feff}a,b\r\n1,\"x\ny\"\r\n".as_bytes();
    let utf16: Vec<u8> = "\u{feff}a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin = b"a,b\n1,\xfc\n";
    let packed = packed(text, Compression::Gzip);
    let plain = || json!({ "compression": "none" });
    let sniffed = || json!({ "compression": "none", "input": { "sniff": true } });
    for (with, input, ext, same) in [
        (json!({}), text, "csv", true),
        (plain(), text, "csv", true),
        (plain(), b"", "csv", true),
        (plain(), b"a,b\n1,\xff\n", "csv", true),
        (plain(), &utf16, "csv", true),
        (plain(), b"whatever", "dat", true),
        (json!({}), &packed, "csv.gz", true),
        (plain(), &packed, "csv.gz", false),
        (json!({ "compression": "gzip" }), text, "csv", false),
        (json!({ "compression": "gzip" }), &utf16, "csv", false),
        (sniffed(), latin, "csv", false),
        (sniffed(), text, "csv", false),
        (
            json!({ "input": { "dialect": { "encoding": "windows-1252" } }, "compression": "none" }),
            latin,
            "csv",
            false,
        ),
        (json!({ "format": "ndjson" }), text, "csv", false),
    ] {
        let made = export(&exporter(with.clone()), input, ext, None);
        assert_eq!(made.same, same, "{with} {ext}");
    }
}

#[test]
fn a_compressed_input_that_is_cut_short_is_bad_data() {
    let packed = packed(&b"a,b\n1,2\n".repeat(1000), Compression::Gzip);
    let mut cut = &packed[..packed.len() - 5];
    let from = ExportFrom {
        input: &mut cut,
        input_ext: "csv.gz",
        watch: Watch::default(),
        options: RunOptions::default(),
        known: None,
        hash_content: false,
    };
    let app = exporter(json!({}));
    let error = app.export(from, &mut std::io::sink(), &mut |_| Ok(Vec::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[test]
fn formats_and_dialects_are_converted() {
    for (with, ext, input, output) in [
        (
            json!({ "format": "ndjson" }),
            "csv",
            "a,b\n1,\"x\"\"\ny\"\n2,\n",
            "{\"a\":\"1\",\"b\":\"x\\\"\\ny\"}\n{\"a\":\"2\",\"b\":\"\"}\n",
        ),
        (json!({ "format": "json" }), "csv", "a\n1\n2\n", "[\n{\"a\":\"1\"},\n{\"a\":\"2\"}\n]\n"),
        (json!({ "format": "json" }), "csv", "a\n", "[]\n"),
        (json!({ "format": "json" }), "ndjson", "{\"a\":1}\n[2]\n", "[\n{\"a\":1},\n[2]\n]\n"),
        (json!({ "format": "ndjson" }), "json", "[{\"a\":\n1},\n2]", "{\"a\": 1}\n2\n"),
        (
            json!({ "format": "csv" }),
            "ndjson",
            "{\"a\":1.50,\"b\":\"x,y\"}\n{\"b\":null,\"a\":[1]}\n{}\n",
            "a,b\n1.50,\"x,y\"\n[1],\n,\n",
        ),
        (json!({ "dialect": { "delimiter": ";" } }), "csv", "a,b\r\n\"1;\",2\r\n", "a;b\n\"1;\";2\n"),
        (json!({ "format": "tsv" }), "csv", "a,b\n1,2\n", "a\tb\n1\t2\n"),
        (json!({ "quoting": "all" }), "csv", "a,b\n1,2\n", "\"a\",\"b\"\n\"1\",\"2\"\n"),
        (
            json!({ "input": { "dialect": { "header": false } }, "format": "ndjson" }),
            "csv",
            "1,2\n",
            "{\"field1\":\"1\",\"field2\":\"2\"}\n",
        ),
        (json!({ "input": { "sniff": true }, "dialect": {} }), "csv", "a;b\n1;2\n3;4\n", "a,b\n1,2\n3,4\n"),
    ] {
        let made = export(&exporter(with.clone()), input.as_bytes(), ext, None);
        assert_eq!(made.texts(), [output], "{with} {input:?}");
        assert!(made.rejected.is_empty() && made.outcome.refuse.is_none());
    }
}

#[test]
fn what_cannot_be_said_in_the_new_format_is_rejected_with_its_reason() {
    let app = exporter(json!({ "format": "ndjson" }));
    let made = export(&app, b"a,b\n1\n1,2,3\n4,5\n6,\"7\n", "csv", None);
    assert_eq!(made.texts(), ["{\"a\":\"4\",\"b\":\"5\"}\n"]);
    let rejected = String::from_utf8(made.rejected).unwrap();
    for why in [
        "missing-cell: the row has 1",
        "extra-cell: the row has 3 cells, and the header 2: 3",
        "source-error",
    ] {
        assert!(rejected.contains(why), "{rejected}");
    }
    assert_eq!((made.outcome.rows_in, made.outcome.rows_out, made.outcome.rows_rejected), (4, 1, 3));
    for (input, why) in [("a,a\n1,2\n", "duplicate-label"), ("a,\n1,2\n", "blank-label"), ("", "empty")] {
        let refused = export(&app, input.as_bytes(), "csv", None).outcome.refuse.unwrap();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let app = exporter(json!({ "format": "csv" }));
    let made = export(&app, b"{\"a\":1}\n{\"c\":1}\n7\n{\"a\":1,\"a\":2}\n{\n", "ndjson", None);
    assert_eq!((made.texts(), made.outcome.rows_rejected), (vec!["a\n1\n"], 4));
}

#[test]
fn an_export_is_split_into_parts_that_are_whole() {
    let app = exporter(json!({ "split": { "rows": 2 } }));
    let made = export(&app, b"a\n1\n2\n3\n4\n5", "csv", None);
    assert_eq!(made.texts(), ["a\n1\n2\n", "a\n3\n4\n", "a\n5\n"]);
    assert_eq!(made.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!((made.outcome.rows_in, made.outcome.rows_out), (5, 5));
    let app = exporter(json!({ "split": { "size": "8 B" } }));
    assert_eq!(
        export(&app, b"a\n1\n2\n3\n123456789\n", "csv", None).texts(),
        ["a\n1\n2\n3\n", "a\n123456789\n"]
    );
    assert_eq!(export(&app, b"a\n", "csv", None).texts(), ["a\n"]);
    let app = exporter(json!({ "split": { "rows": 1 }, "format": "json" }));
    assert_eq!(
        export(&app, b"a\n1\n2\n", "csv", None).texts(),
        ["[\n{\"a\":\"1\"}\n]\n", "[\n{\"a\":\"2\"}\n]\n"]
    );
    let app = exporter(json!({ "split": { "rows": 1 }, "compression": "gzip" }));
    let made = export(&app, b"a\n1\n2\n", "csv", None);
    assert_eq!(expanded(&made.files[1].out), b"a\n2\n");
    assert_eq!(made.files[1].content.unwrap().checksum, hash(b"a\n2\n"));
    let many = "1\n".repeat(501);
    let app = exporter(json!({ "split": { "rows": 1 } }));
    let mut input = many.as_bytes();
    let from = ExportFrom {
        input: &mut input,
        input_ext: "csv",
        watch: Watch::default(),
        options: RunOptions::default(),
        known: None,
        hash_content: false,
    };
    let many = app.export(from, &mut std::io::sink(), &mut |_| Ok(Vec::new())).map(|(_, files)| files.len());
    assert_eq!(many.unwrap(), 500, "the first line is the header");
}

#[test]
fn a_limit_ends_after_so_many_rows() {
    let app = exporter(json!({}));
    let made = export(&app, b"a\n1\n\n2\n3\n", "csv", Some(2));
    assert_eq!((made.texts(), made.outcome.rows_in), (vec!["a\n1\n\n2\n"], 2));
}

#[test]
fn what_the_input_is_known_to_be_is_not_hashed_again() {
    let known = Content { checksum: Checksum([7; 32]), bytes: 4 };
    for (with, expected) in [
        (json!({ "compression": "gzip" }), Some(known)),
        (json!({ "compression": "gzip", "format": "ndjson" }), None),
    ] {
        let mut input = &b"a\n1\n"[..];
        let from = ExportFrom {
            input: &mut input,
            input_ext: "csv",
            watch: Watch::default(),
            options: RunOptions::default(),
            known: Some(known),
            hash_content: true,
        };
        let app = exporter(with);
        let (_, files) = app.export(from, &mut std::io::sink(), &mut |_| Ok(Vec::new())).unwrap();
        match expected {
            Some(known) => assert_eq!(files[0].content, Some(known)),
            None => assert_ne!(files[0].content.unwrap().checksum, known.checksum),
        }
    }
}

#[test]
fn names_are_rendered() {
    let parts = NameParts {
        app: &AppName::new("file-exporter").unwrap(),
        type_name: &TypeName::new("sales").unwrap(),
        date: jiff::civil::date(2025, 11, 24),
        sequence: 7,
        ext: "csv.gz",
        checksum: Checksum([0xab; 32]),
        part: 2,
    };
    for (pattern, name) in [
        ("{app}_{type}_{date}_{sequence}.{ext}", "file-exporter_sales_2025-11-24_007.csv.gz"),
        ("{type}-{hash}.{ext}", "sales-abababababab.csv.gz"),
        ("daily {date}", "daily 2025-11-24"),
        ("{type}-{part}.{ext}", "sales-002.csv.gz"),
    ] {
        let app = Exporter::new(&Config { name: pattern.to_owned(), ..config(Compression::Gzip) }).unwrap();
        assert_eq!(app.render_name(&parts).unwrap(), name);
        assert_eq!(app.name_needs_hash(), pattern.contains("hash"));
    }
    let long = Config { name: format!("{}{{date}}", "x".repeat(250)), ..config(Compression::None) };
    assert!(Exporter::new(&long).unwrap().render_name(&parts).is_err());
}

#[test]
fn how_much_is_looked_at_again_is_said_by_a_word_and_changes_no_byte() {
    let by = |verify: Value| exporter(json!({"verify": verify, "compression": "gzip"}));
    let all = [json!(true), json!(false), json!("content")].map(by);
    assert_eq!(all.each_ref().map(Exporter::verifies), [true, false, true]);
    let made = all.map(|app| export(&app, b"a,b\n1,2\n", "csv", None).files.remove(0).out);
    assert_eq!(expanded(&made[0]), b"a,b\n1,2\n");
    assert!(made[0] == made[1] && made[1] == made[2]);
    let wrong = crate::parse_config::<Config>("file-exporter", &json!({"to": "out", "verify": "twice"}));
    assert!(wrong.unwrap_err().to_string().contains("true, false or content"));
}

#[test]
fn what_is_no_name_or_level_is_refused() {
    for (name, why) in [
        ("{typ}", "{typ} is not known"),
        ("{type", "not closed"),
        ("{type}}", "'}'"),
        ("a/{type}", "'/'"),
        ("../{type}", "'/'"),
        (".{type}", "dot"),
        ("{type}.meta.json", "manifests"),
        ("{type}\n", "'\\n'"),
        ("fixed.csv", "the same name"),
        ("", "the same name"),
    ] {
        let error =
            Exporter::new(&Config { name: name.to_owned(), ..config(Compression::None) }).unwrap_err();
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
    for (compression, level) in
        [(Compression::None, 1), (Compression::Gzip, 13), (Compression::Gzip, -1), (Compression::Zstd, 23)]
    {
        assert!(
            Exporter::new(&Config { level: Some(level), ..config(compression) }).is_err(),
            "{compression:?} {level}"
        );
    }
    for (compression, level) in [(Compression::Gzip, 0), (Compression::Gzip, 12), (Compression::Zstd, 22)] {
        assert!(Exporter::new(&Config { level: Some(level), ..config(compression) }).is_ok());
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (with, why) in [
        (json!({ "to": [] }), "0 folders"),
        (json!({ "to": ["out", "./out/"] }), "given twice"),
        (json!({ "to": "out", "split": {} }), "neither rows nor size"),
        (json!({ "to": "out", "split": { "rows": 0 } }), "nothing in it"),
        (json!({ "to": "out", "split": { "rows": 5 }, "name": "{type}.csv" }), "one name"),
    ] {
        let config = crate::parse_config("file-exporter", &with).unwrap();
        let error = Exporter::new(&config).unwrap_err().to_string();
        assert!(error.contains(why), "{with}: {error}");
    }
    let two = crate::parse_config("file-exporter", &json!({ "to": ["a", "b"] })).unwrap();
    assert_eq!(Exporter::new(&two).unwrap().folders().len(), 2);
}

#[test]
fn an_output_that_fails_is_said_as_one() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let packed = packed(b"a\n1\n", Compression::Gzip);
    for (input, ext) in [(&b"a\n1\n"[..], "csv"), (b"a\n1\n", "pdf"), (&packed, "csv.gz")] {
        let mut input = input;
        let from = ExportFrom {
            input: &mut input,
            input_ext: ext,
            watch: Watch::default(),
            options: RunOptions::default(),
            known: None,
            hash_content: false,
        };
        let error = exporter(json!({})).export(from, &mut std::io::sink(), &mut |_| Ok(Full)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotYet);
    }
}
