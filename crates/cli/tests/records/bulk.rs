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
