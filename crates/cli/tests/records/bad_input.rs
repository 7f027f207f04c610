//! What is wrong is refused with its line and its reason, and never swallowed.

use crate::Place;

const TO: [&str; 5] = ["push", "--from", "shop", "--to", "billing"];

#[test]
fn the_first_bad_line_ends_a_push_and_what_was_before_it_is_in() {
    let place = Place::new();
    let answer = place.fed(&TO, "{\"n\":1}\n{\"n\":2}\n{\"n\":}\n{\"n\":4}\n");
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    assert!(answer.err.contains("line 3: it is not JSON"), "{}", answer.err);
    assert!(answer.err.contains("2 records before it are in"), "{}", answer.err);
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 2);
    // Mended, it goes on where its key says.
    place.write("x.ndjson", "1\n2\noops\n4\n");
    let cut = place.run(&[&TO[..], &["x.ndjson"]].concat());
    let key = cut.err.split("--key ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    place.write("x.ndjson", "1\n2\n3\n4\n");
    assert_eq!(place.ok(&[&TO[..], &["x.ndjson", "--key", &key]].concat()), "2 records for billing\n");
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 6);
}

#[test]
fn bad_lines_are_skipped_named_and_kept_where_that_is_asked_for() {
    let place = Place::new();
    let deep = "[".repeat(200) + &"]".repeat(200);
    let cases: Vec<(String, &str)> = vec![
        ("{\"a\":".into(), "not JSON"),
        ("{\"a\":\"x\\u0000y\"}".into(), "NUL"),
        ("{\"a\":1,\"a\":2}".into(), "comes twice"),
        ("{\"a\":1e999}".into(), "cannot be kept exactly"),
        ("{\"a\":123456789012345678901234567890}".into(), "cannot be kept exactly"),
        (deep, "127 levels deep"),
        ("{\"b\":1} trailing".into(), "not JSON"),
    ];
    let mut input = Vec::new();
    for (line, _) in &cases {
        input.extend_from_slice(b"{\"good\":true}\n");
        input.extend_from_slice(line.as_bytes());
        input.push(b'\n');
    }
    input.extend_from_slice(b"\xff\xfe\n{\"good\":true}\n");
    let answer = place.fed(&[&TO[..], &["--skip", "--rejects", "bad.ndjson"]].concat(), &input);
    assert_eq!((answer.code, answer.out.as_str()), (0, "8 records for billing\n"), "{answer:?}");
    let said: Vec<&str> = answer.err.lines().filter(|line| line.starts_with("skipped: line")).collect();
    assert_eq!(said.len(), 8, "{}", answer.err);
    for (index, (_, says)) in cases.iter().enumerate() {
        let number = 2 * index + 2;
        assert!(
            said[index].contains(&format!("line {number}: ")) && said[index].contains(says),
            "{}",
            said[index]
        );
    }
    assert!(answer.err.contains("8 skipped"), "{}", answer.err);
    let kept = std::fs::read_to_string(place.path().join("bad.ndjson")).unwrap();
    let kept = crate::lines(&kept);
    assert_eq!((kept.len(), &kept[0]["line"], &kept[0]["record"]), (8, &2.into(), &"{\"a\":".into()));
}

#[test]
fn a_document_beyond_the_limit_is_refused_and_the_next_is_taken() {
    let place = Place::new();
    let mut input = b"{\"x\":\"".to_vec();
    input.resize(100_000_000, b'y');
    input.extend_from_slice(b"\"}\n{\"n\":1}\n");
    let answer = place.fed(&[&TO[..], &["--skip"]].concat(), &input);
    assert_eq!((answer.code, answer.out.as_str()), (0, "1 record for billing\n"), "{}", answer.err);
    assert!(answer.err.contains("line 1: the record is longer than 16"), "{}", answer.err);
    let stopped = place.fed(&TO, &input);
    assert_eq!(stopped.code, 1);
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 1);
}

#[test]
fn an_unknown_app_is_refused_with_the_nearest_name_or_accepted_as_configured() {
    let place = Place::new();
    let to = |app: &'static str| ["push", "--from", "shop", "--to", app];
    let answer = place.fed(&to("biling"), "1\n");
    assert_eq!((answer.code, answer.out.as_str()), (2, ""));
    assert!(
        answer.err.contains("did you mean `billing`?") && answer.err.contains("unknown_apps: accept"),
        "{}",
        answer.err
    );
    assert_eq!(place.run(&["pull", "--app", "biling"]).code, 2);
    assert_eq!(place.fed(&[&to("other")[..], &["--accept-unknown"]].concat(), "1\n").code, 0);
    assert_eq!(crate::lines(&place.ok(&["pull", "--app", "other"])).len(), 1, "the ledger knows it now");
    let open = Place::with("unknown_apps: accept\n");
    assert_eq!(open.fed(&to("anything"), "1\n").code, 0);
    assert_eq!(crate::lines(&open.ok(&["pull", "--app", "anything"])).len(), 1);
    assert_eq!(open.run(&["pull", "--app", "whoever"]).code, 0);
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    let place = Place::new();
    place.push("1\n");
    for (words, says) in [
        (&["push", "--from", "shop"][..], "--to"),
        (&["push", "--from", "Shop!", "--to", "billing"], "Shop!"),
        (&["push", "--from", "shop", "--to", "billing", "--key", " "], "the key is empty"),
        (&["push", "--from", "shop", "--to", "billing", "--rejects", "x"], "--skip"),
        (&["push", "--from", "shop", "--to", "billing", "--delay", "soon"], "soon"),
        (&["push", "--from", "shop", "--to", "billing", "--stop", "--skip"], "cannot be used"),
        (&["push", "--from", "shop", "--to", "billing", "."], "a folder"),
        (&["pull", "--app", "billing", "--max", "0"], "0"),
        (&["fail", "0123456789abcdef0123456789abcdef"], "--error"),
        (&["ack", "0123456789abcdef0123456789abcdef", "--result", "{"], "not JSON"),
    ] {
        let answer = place.run(words);
        assert_eq!(answer.code, 2, "{words:?}: {answer:?}");
        assert!(answer.err.contains(says), "{words:?}: {}", answer.err);
    }
    let missing = place.run(&["push", "--from", "shop", "--to", "billing", "nowhere.ndjson"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("nowhere.ndjson") && missing.err.contains("check the path"),
        "{}",
        missing.err
    );
    // A key is a field that each record has.
    let keyed = place.fed(&[&TO[..], &["--dedup", "id"]].concat(), "{\"id\":1}\n{\"n\":1}\n");
    assert_eq!(keyed.code, 1);
    assert!(keyed.err.contains("line 2: it has no field `id`"), "{}", keyed.err);
    // A table whose rows do not fit its header.
    place.write("t.csv", "a,b\n1,2\n3\n");
    let table = place.run(&[&TO[..], &["t.csv"]].concat());
    assert!(table.err.contains("line 3: it has 1 cells, and the header has 2"), "{}", table.err);
}
