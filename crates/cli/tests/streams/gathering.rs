//! Records that become files.

use crate::kit::{LONG, Records, all_but};
use handover_testkit::process::wait_for;

const PASSES_ON: &str = "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(json.dumps(dict(id=r['id'], status='completed', data=r['data'])), flush=True)\n";

fn gathering(more: &str, gather: &str) -> Records {
    let work = format!("{{ run: python3 work.py, mode: stream, workers: 1{more} }}");
    let place = Records::of(&work, &format!(", gather: {{ {gather} }}"));
    place.project.write("work.py", PASSES_ON);
    place
}

fn rows_of_files(place: &Records) -> Vec<usize> {
    let names = place.names("data/work/2025-11-24");
    let text = |name: &String| {
        std::fs::read_to_string(place.project.join("data/work/2025-11-24").join(name)).unwrap()
    };
    names.iter().map(|name| text(name).lines().count()).collect()
}

#[test]
fn by_rows() {
    let place = gathering("", "rows: 40, every: 1h");
    place.numbers(100);
    let run = place.well();
    let mut rows = rows_of_files(&place);
    rows.sort_unstable();
    assert_eq!(rows, [20, 40, 40], "{}", run.stderr());
    assert_eq!(place.exported_numbers(), all_but(100, &[]));
}

#[test]
fn by_size() {
    let place = gathering("", "rows: 1000, size: 100, every: 1h");
    place.numbers(30);
    place.well();
    let sizes =
        place.rows("SELECT json_extract(data, '$.file_size') FROM deliveries WHERE source_app = 'work'");
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| size.parse::<u64>().unwrap() <= 100), "{sizes:?}");
    assert_eq!(place.exported_numbers(), all_but(30, &[]));
}

/// A file that is full by size is made at once; what is beyond waits for more.
#[test]
fn size_alone_makes_a_file_in_a_daemon() {
    let place = gathering("", "rows: 1000, size: 100, every: 1h");
    place.numbers(30);
    let mut daemon = place.project.start(&["run"]);
    wait_for(LONG, "full files are exported", || {
        assert!(daemon.poll().is_none(), "{}", daemon.stderr());
        (place.exported().len() >= 20).then_some(())
    });
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.end_within(LONG).success());
    let sizes = place.rows(
        "SELECT json_extract(data, '$.file_size') FROM deliveries WHERE source_app = 'work' ORDER BY id",
    );
    let sizes: Vec<u64> = sizes.iter().map(|size| size.parse().unwrap()).collect();
    assert!(sizes.iter().all(|size| (90..=100).contains(size)), "each is full: {sizes:?}");
    let left = place.rows("SELECT id FROM data_staging WHERE target_app = 'out' AND status = 'pending'");
    assert!(!left.is_empty(), "what is beyond waits");
    place.well();
    assert_eq!(place.exported_numbers(), all_but(30, &[]));
}

#[test]
fn by_time_in_a_daemon_and_no_lease_is_held_meanwhile() {
    let place = gathering("", "every: 300ms");
    place.numbers(5);
    let mut daemon = place.project.start(&["run"]);
    wait_for(LONG, "they are exported", || {
        assert!(daemon.poll().is_none(), "{}", daemon.stderr());
        (place.exported().len() == 5).then_some(())
    });
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.end_within(LONG).success());
    assert_eq!(place.exported_numbers(), all_but(5, &[]));
}

#[test]
fn while_they_wait_nobody_holds_them_and_why_says_so() {
    let place = gathering("", "rows: 1000, every: 1h");
    place.numbers(5);
    let mut daemon = place.project.start(&["run"]);
    let waiting = "SELECT id FROM data_staging WHERE target_app = 'out' AND status = 'pending'";
    wait_for(LONG, "they wait", || {
        assert!(daemon.poll().is_none(), "{}", daemon.stderr());
        let there = place.project.join("data/.handover/ledger.db").exists();
        let tables = there && place.sql().prepare("SELECT 1 FROM data_staging").is_ok();
        (tables && place.rows(waiting).len() == 5).then_some(())
    });
    let why = place.project.command(&["why", &place.rows(waiting)[0]]).output().unwrap();
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains("gathered"), "{why}");
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.end_within(LONG).success());
    assert_eq!(place.rows(waiting).len(), 5, "nothing was begun at the end");
    place.well();
    assert_eq!(place.exported_numbers(), all_but(5, &[]));
}

#[test]
fn as_a_table() {
    let place = gathering(", ext: csv, type: scored", "rows: 100");
    place
        .project
        .arrive("incoming/a_2025-11-24.ndjson", "{\"a\":1,\"b\":\"x,y\"}\n5\n{\"b\":null,\"c\":true}\n");
    place.once();
    let file = place.project.join("data/work/2025-11-24/work_scored_2025-11-24_001.csv");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "a,b,c\n1,\"x,y\",\n,,true\n");
    let failed = place.rows("SELECT last_error FROM data_staging WHERE status = 'failed'");
    assert_eq!(failed, ["the record is no object, so it cannot be a row of a table"]);
}

/// A dry run counts the records that would be claimed, and says by whom, and changes nothing.
#[test]
fn a_dry_run_says_how_many_records_would_be_claimed() {
    let place = gathering("", "rows: 40, every: 1h");
    place.well();
    assert!(place.project.command(&["pause", "work"]).output().unwrap().status.success());
    place.numbers(5);
    place.well();
    let plan = || -> serde_json::Value {
        let run = place.project.command(&["run", "--dry-run", "--json"]).output().unwrap();
        assert!(run.status.success());
        serde_json::from_slice(&run.stdout).unwrap()
    };
    let said = || {
        let run = place.project.command(&["run", "--dry-run"]).output().unwrap();
        String::from_utf8(run.stdout).unwrap()
    };
    place.sql().execute_batch(
        "INSERT INTO data_staging (source_app, target_app, data) VALUES ('shop', 'work', '1'), ('work', 'out', '2'), ('work', 'out', '3'), ('x', 'nobody', '4');
         INSERT INTO data_staging (source_app, target_app, data, run_at) VALUES ('work', 'out', '5', '2999-01-01T00:00:00Z');",
    ).unwrap();
    let text = said();
    assert!(text.contains("left: the app is paused"), "{text}");
    assert!(place.project.command(&["resume", "work"]).output().unwrap().status.success());
    let of = |app: &str| {
        let plan = plan();
        let all = plan["records"].as_array().unwrap();
        all.iter().find(|queue| queue["app"] == app).unwrap_or_else(|| panic!("{plan}")).clone()
    };
    let (work, out, nobody) = (of("work"), of("out"), of("nobody"));
    assert_eq!((&work["pending"], &work["fate"]), (&1.into(), &"worked_on".into()));
    assert_eq!(
        (&out["pending"], &out["later"], &out["fate"]["gathered"]["rows"]),
        (&2.into(), &1.into(), &40.into())
    );
    assert_eq!((&nobody["pending"], &nobody["fate"]), (&1.into(), &"not_declared".into()));
    let text = said();
    for expected in [
        "worked on",
        "gathered into files of 40 records or 10.5 MB at most; 1 more later",
        "left: the app is not declared",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("a run would do nothing"), "{text}");
    assert_eq!(place.rows("SELECT count(*) FROM data_staging WHERE status <> 'pending'"), ["0"]);
}
