//! `push`: sources of any size, cut and gone on with, whole or not at all.

use crate::{Place, lines};
use std::io::Write as _;
use std::process::Stdio;

fn numbers(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

const TO: [&str; 5] = ["push", "--from", "shop", "--to", "billing"];

#[test]
fn lines_arrays_and_tables_become_records() {
    let place = Place::new();
    place.write("a.ndjson", "{\"n\":1}\n\n{\"n\":2}\n");
    place.write("b.json", "[{\"n\":3}, {\"n\":4}]");
    place.write("c.csv", "n;name\n5;\"Ann; Bob\"\n");
    place.write("d.ndjson.gz", {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"n\":6}\n").unwrap();
        gzip.finish().unwrap()
    });
    for (file, says) in [
        ("a.ndjson", "2 records"),
        ("b.json", "2 records"),
        ("c.csv", "1 record"),
        ("d.ndjson.gz", "1 record"),
    ] {
        assert_eq!(place.ok(&[&TO[..], &[file]].concat()), format!("{says} for billing\n"), "{file}");
    }
    let all = lines(&place.ok(&["pull", "--app", "billing", "--max", "99"]));
    assert_eq!(all.len(), 6);
    assert_eq!(all[4]["data"], serde_json::json!({"n": "5", "name": "Ann; Bob"}));
}

#[test]
fn a_file_is_taken_once_unless_it_is_asked_for_again() {
    let place = Place::new();
    place.write("a.ndjson", numbers(0, 2_500));
    let words = [&TO[..], &["a.ndjson"]].concat();
    assert_eq!(place.ok(&words), "2,500 records for billing\n");
    let again = place.run(&words);
    assert_eq!(again.code, 0);
    assert!(again.out.contains("pushed before, with 2,500 records"), "{}", again.out);
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 2_500);
    assert_eq!(place.ok(&[&words[..], &["--again"]].concat()), "2,500 records for billing\n");
    // What comes on standard input is new each time, but for its key.
    place.push("1\n");
    place.push("1\n");
    for _ in 0..2 {
        place.fed(&[&TO[..], &["--key", "k"]].concat(), "1\n");
    }
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 5_003);
}

#[test]
fn a_push_that_was_killed_goes_on_without_a_duplicate() {
    let place = Place::new();
    let words = [&TO[..], &["--key", "orders"]].concat();
    let mut child = place.command(&words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(numbers(0, 3_456).as_bytes()).unwrap();
    // What a source gave before it paused is committed.
    // Until the child has made its tables there is nothing to ask.
    let rows =
        || place.sql().query_row("SELECT rows FROM loads", [], |row| row.get::<_, i64>(0)).unwrap_or(0);
    while !place.ledger().exists() || rows() < 3_000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let is_in = place.number("SELECT count(*) FROM data_staging");
    assert_eq!(place.number("SELECT rows FROM loads"), is_in, "the place is just behind what is in");
    let answer = place.fed(&words, numbers(0, 10_000));
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.err.contains("were in already"), "{}", answer.err);
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 10_000);
    assert_eq!(place.number("SELECT count(DISTINCT json_extract(data, '$.n')) FROM data_staging"), 10_000);
    // Another source under the same key is noticed where it is shorter.
    place.fed(&[&TO[..], &["--key", "short"]].concat(), "1\n2\nbad\n");
    let shorter = place.fed(&[&TO[..], &["--key", "short"]].concat(), "1\n");
    assert_eq!(shorter.code, 2);
    assert!(shorter.err.contains("this source has fewer"), "{}", shorter.err);
}

#[test]
fn a_whole_load_is_all_or_nothing() {
    let place = Place::new();
    place.write("bad.ndjson", format!("{}no\n", numbers(0, 3_000)));
    let words = [&TO[..], &["--whole", "bad.ndjson"]].concat();
    let answer = place.run(&words);
    assert_eq!(answer.code, 1);
    assert!(
        answer.err.contains("line 3001: it is not JSON") && answer.err.contains("nothing of it is in"),
        "{}",
        answer.err
    );
    for table in ["data_staging", "load_rows", "loads"] {
        assert_eq!(place.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(place.ok(&[&words[..], &["--skip"]].concat()), "3,000 records for billing\n");
    // While it is under way nobody sees it, and a kill leaves it to go on with.
    let words = [&TO[..], &["--whole", "--key", "w"]].concat();
    let mut child = place.command(&words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(numbers(0, 2_000).as_bytes()).unwrap();
    // The end of its input ends it.
    assert!(child.wait().unwrap().success());
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 5_000);
    assert_eq!(place.number("SELECT count(*) FROM load_rows"), 0);
}

/// A push of this that is killed as soon as so many records are in.
fn cut(place: &Place, words: &[&str], input: &str, table: &str, count: i64) {
    let mut child = place.command(words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    let query = format!("SELECT count(*) FROM {table}");
    let rows = || place.sql().query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
    while !place.ledger().exists() || rows() < count {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_rejects_of_a_push_stay_where_the_same_reads_nothing() {
    let place = Place::new();
    place.write("a.ndjson", "1\nbad\n2\n");
    let words = [&TO[..], &["--skip", "--rejects", "rejects", "a.ndjson"]].concat();
    place.ok(&words);
    let rejects = || std::fs::read_to_string(place.path().join("rejects")).unwrap();
    assert_eq!(lines(&rejects())[0]["line"], 2);
    assert!(place.run(&words).out.contains("this was pushed before"));
    assert_eq!(lines(&rejects()).len(), 1, "{}", rejects());
}

#[test]
fn a_push_with_bad_lines_goes_on_at_its_place_in_the_source() {
    let place = Place::new();
    let words = [&TO[..], &["--key", "k", "--skip", "--rejects", "rejects"]].concat();
    let source = format!("bad\n{}", numbers(1, 10));
    cut(&place, &words, &source, "data_staging", 10);
    assert_eq!(place.number("SELECT skipped FROM loads"), 1);
    // Its bad line was mended: it is not in, and the place counted in good records would be another.
    let mended = format!("{{\"n\":0}}\n{}", numbers(1, 12));
    let answer = place.fed(&words, &mended);
    assert_eq!(answer.code, 2, "{answer:?}");
    for said in
        ["of the first 11 records of this source 1 were bad", "now 0 are", "push it as it was to go on"]
    {
        assert!(answer.err.contains(said), "{}", answer.err);
    }
    assert!(!answer.err.contains("push the same with"), "{}", answer.err);
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 10);
    assert!(!place.path().join("rejects").exists(), "what was refused leaves no rejects");
    // As it was it goes on, with all its rejects, and without --skip no earlier bad line ends it.
    let answer = place.fed(&[&TO[..], &["--key", "k"]].concat(), format!("{source}{}no\n", numbers(11, 1)));
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.err.contains("line 13: it is not JSON"), "{}", answer.err);
    let answer = place.fed(&words, format!("{source}{}no\n{}", numbers(11, 1), numbers(12, 1)));
    assert_eq!((answer.code, answer.out.as_str()), (0, "1 record for billing\n"), "{answer:?}");
    let rejects = lines(&std::fs::read_to_string(place.path().join("rejects")).unwrap());
    assert_eq!(rejects.iter().map(|line| line["line"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 13]);
    let all =
        "SELECT group_concat(json_extract(data, '$.n')) FROM (SELECT data FROM data_staging ORDER BY id)";
    let all: String = place.sql().query_row(all, [], |row| row.get(0)).unwrap();
    assert_eq!(all, "1,2,3,4,5,6,7,8,9,10,11,12");
}

#[test]
fn a_cut_push_does_not_go_on_with_other_options() {
    let place = Place::new();
    let keyed = [&TO[..], &["--key", "k"]].concat();
    cut(&place, &[&keyed[..], &["--dedup", "n"]].concat(), &numbers(0, 5), "data_staging", 5);
    for other in
        [&[][..], &["--dedup", "m"], &["--dedup", "n", "--order", "n"], &["--dedup", "n", "--format", "csv"]]
    {
        let answer = place.fed(&[&keyed[..], other].concat(), numbers(0, 9));
        assert_eq!(answer.code, 2, "{answer:?}");
        for said in ["5 records of this load are in by other options", "dedup n", "another key to begin anew"]
        {
            assert!(answer.err.contains(said), "{}", answer.err);
        }
    }
    let answer = place.fed(&[&keyed[..], &["--dedup", "n"]].concat(), numbers(0, 9));
    assert_eq!(answer.out, "4 records for billing\n", "{answer:?}");
}

#[test]
fn a_cut_whole_push_says_how_it_goes_on() {
    let place = Place::new();
    let keyed = [&TO[..], &["--key", "k"]].concat();
    cut(&place, &[&keyed[..], &["--whole"]].concat(), &numbers(0, 5), "load_rows", 5);
    let answer = place.fed(&keyed, numbers(0, 5));
    assert_eq!(answer.code, 2, "{answer:?}");
    for said in ["begun with --whole", "--whole goes on with it", "another --key begins anew"] {
        assert!(answer.err.contains(said), "{}", answer.err);
    }
    assert!(!answer.err.contains("records are in"), "{}", answer.err);
    assert_eq!(place.fed(&[&keyed[..], &["--whole"]].concat(), numbers(0, 6)).out, "1 record for billing\n");
    // And the other way round.
    let keyed = [&TO[..], &["--key", "l"]].concat();
    cut(&place, &keyed, &numbers(6, 5), "data_staging", 11);
    let answer = place.fed(&[&keyed[..], &["--whole"]].concat(), numbers(6, 5));
    assert!(answer.err.contains("begun without --whole"), "{}", answer.err);
}

#[test]
fn keys_priorities_and_delays_come_from_the_options() {
    let place = Place::new();
    let orders =
        "{\"id\":\"a\",\"c\":{\"n\":1}}\n{\"id\":\"b\",\"c\":{\"n\":1}}\n{\"id\":\"a\",\"c\":{\"n\":2}}\n";
    let words = [&TO[..], &["--dedup", "id", "--order", "c.n", "--priority", "-3", "--json"]].concat();
    let done: serde_json::Value = serde_json::from_str(&place.fed(&words, orders).out).unwrap();
    assert_eq!((&done["records"], &done["duplicates"]), (&3.into(), &1.into()));
    place.fed(&[&TO[..], &["--delay", "1h"]].concat(), "{\"late\":1}\n");
    place.fed(&[&TO[..], &["--priority", "5"]].concat(), "{\"first\":1}\n");
    // One of an order key at a time, the higher priority first, nothing before its time.
    let all = lines(&place.ok(&["pull", "--app", "billing", "--max", "9"]));
    let ids: Vec<_> = all.iter().map(|line| line["data"].to_string()).collect();
    assert_eq!(ids, ["{\"first\":1}", "{\"id\":\"a\",\"c\":{\"n\":1}}"]);
}

#[test]
fn memory_stays_bounded_whatever_comes() {
    let place = Place::new();
    // 200 MB in records of 20 kB; the process may use half of it.
    let record = format!("{{\"x\":\"{}\"}}\n", "y".repeat(20_000));
    let mut child = place
        .command(&[&TO[..], &["--skip"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut peak = 0;
    for _ in 0..100 {
        for _ in 0..100 {
            stdin.write_all(record.as_bytes()).unwrap();
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
        let kilobytes: u64 = anonymous.trim().trim_end_matches(" kB").trim().parse().unwrap();
        peak = peak.max(kilobytes);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 10_000);
    assert!(peak < 100_000, "{peak} kB");
}
