use super::*;
use serde_json::{Value, json};

fn sources(with: Value) -> Result<Vec<ImportSource>> {
    crate::parse_config::<Config>("file-importer", &with)?.sources(Path::new("/project"))
}

#[test]
fn one_source_and_its_defaults() {
    let found = sources(json!({ "from": "./incoming", "type": "sales" })).unwrap();
    let [source] = &found[..] else { panic!("{found:?}") };
    assert_eq!(source.from, Path::new("/project/./incoming"));
    assert_eq!((source.pattern.as_str(), source.settle), ("*.csv", Duration::from_secs(1)));
    assert_eq!(
        (source.original, source.duplicates, source.date),
        (Original::Leave, Duplicates::Warn, Dating::Name)
    );
    assert_eq!((source.recursive, source.max_size), (false, None));
}

#[test]
fn several_sources_share_what_stands_beside_them() {
    let found = sources(json!({ "from": "in", "settle": "5s", "max_size": "500 MB", "sources": [
        { "pattern": "orders-*.csv", "type": "orders" },
        { "pattern": "returns-*.csv", "type": "returns", "settle": "0s", "original": "move", "move_to": "done" }
    ]}))
    .unwrap();
    assert_eq!((found[0].settle, found[1].settle), (Duration::from_secs(5), Duration::ZERO));
    assert_eq!(found[1].max_size, Some(500_000_000));
    assert_eq!(found[1].move_to.as_deref(), Some(Path::new("/project/done")));
}

#[test]
fn what_is_missing_or_does_not_go_together_is_said() {
    for (with, why) in [
        (json!({}), "needs `from`"),
        (json!({"from": "in"}), "needs `type`"),
        (json!({"from": "in", "type": "Sales"}), "no name for a type"),
        (json!({"from": "in", "type": "a", "pattern": "[x"}), "no glob"),
        (json!({"from": "in", "type": "a", "settle": "soon"}), "not a duration"),
        (json!({"from": "in", "type": "a", "settle": 5}), "no unit"),
        (json!({"from": "in", "type": "a", "max_size": "5 XB"}), "not a unit of size"),
        (json!({"from": "in", "type": "a", "original": "move"}), "needs `move_to`"),
        (json!({"from": "in", "type": "a", "move_to": "x"}), "original is not move"),
        (json!({"from": "in", "type": "a", "original": "move", "move_to": "in"}), "arrive in"),
        (json!({"from": "in", "type": "a", "original": "burn"}), "burn"),
        (json!({"from": "in", "type": "a", "ext": "../x"}), "no extension"),
        (json!({"from": "in", "sources": []}), "empty list"),
        (json!({"sources": [{"type": "a"}]}), "sources[0]"),
        (json!({"from": "in", "sources": [{"type": "a"}, {"type": "b"}]}), "two sources"),
        (json!({"from": "in", "type": "a", "patern": "x"}), "patern"),
    ] {
        let error = sources(with.clone()).unwrap_err().to_string();
        assert!(error.contains(why), "{with}: {error}");
    }
}

#[test]
fn a_pattern_stays_in_its_folder() {
    let glob =
        sources(json!({ "from": "in", "type": "a", "pattern": "*.{csv,tsv}" })).unwrap()[0].glob().unwrap();
    let matcher = glob.compile_matcher();
    assert!(matcher.is_match("a.tsv") && !matcher.is_match("sub/a.csv"));
}

#[test]
fn the_copy_is_byte_for_byte() {
    let input = b"\xef\xbb\xbfa,b\r\n1,\"x\ny\"\r\n";
    let mut output = Vec::new();
    let outcome = Importer::copying(InputConfig::default())
        .unwrap()
        .run(AppIo {
            input: &mut &input[..],
            output: &mut output,
            rejected: &mut std::io::sink(),
            progress: None,
            cancelled: &|| false,
            input_ext: "csv",
            options: crate::RunOptions::default(),
            scratch: &crate::no_scratch,
        })
        .unwrap();
    assert_eq!((output.as_slice(), outcome.rows_in), (&input[..], 1));
}
