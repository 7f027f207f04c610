//! Stream programs that do as they should not: each way has its defined result.

use crate::kit::{LONG, Records, all_but};
use handover_testkit::process::{is_running, wait_for};

/// A program that dies of the record with this number, wherever it stands.
fn dies_of(n: u64) -> String {
    format!(
        "for r, d in records():\n    if d['n'] == {n}:\n        sys.stderr.write('cannot stand %s\\n' % d['n'])\n        os._exit(9)\n    answer(r, data=d)\n"
    )
}

#[track_caller]
fn stands_alone_in_quarantine(poison: u64, of: u64) {
    let place = Records::stream("", &dies_of(poison));
    place.numbers(of);
    let run = place.once();
    assert_eq!(place.standing("failed"), [poison], "{}\n{}", run.stdout(), run.stderr());
    assert_eq!(place.exported_numbers(), all_but(of, &[poison]));
    assert!(place.error_of(poison).contains("with this record alone, the program died: exit code 9"));
    assert!(place.error_of(poison).contains("cannot stand"), "{}", place.error_of(poison));
    place.nobody_else_lost_an_attempt();
    let kept = place.names("data/errors");
    assert_eq!(kept, ["work_sales-quarantined_2025-11-24_001.ndjson"]);
    let line = std::fs::read_to_string(place.project.join("data/errors/2025-11-24").join(&kept[0])).unwrap();
    assert_eq!(line, format!("{{\"n\":{poison}}}\n"));
    let result = place.rows("SELECT result FROM data_staging WHERE status = 'failed'").concat();
    assert!(result.contains("cannot stand") && result.contains("exit code 9"), "{result}");
}

#[test]
fn the_record_that_kills_stands_alone_in_quarantine() {
    stands_alone_in_quarantine(20, 40);
}

#[test]
fn also_where_it_is_the_first_that_the_program_ever_gets() {
    stands_alone_in_quarantine(1, 20);
}

#[test]
fn also_where_there_is_no_other() {
    stands_alone_in_quarantine(1, 1);
}

#[test]
fn two_that_kill() {
    let script = dies_of(0).replace("d['n'] == 0", "d['n'] in (7, 8)");
    let place = Records::stream("", &script);
    place.numbers(20);
    place.once();
    assert_eq!(place.standing("failed"), [7, 8]);
    assert_eq!(place.exported_numbers(), all_but(20, &[7, 8]));
    place.nobody_else_lost_an_attempt();
}

/// A program that is broken itself: no record is blamed, and none loses an attempt.
#[track_caller]
fn is_broken(place: &Records, said: &str) {
    place.numbers(30);
    let mut run = place.project.start(&["run", "--once"]);
    let status = run.end_within(LONG);
    assert_eq!(status.code(), Some(1), "{}", run.stderr());
    assert!(
        run.stdout().contains("hindered: work gets no records for a while") && run.stdout().contains(said),
        "{}",
        run.stdout()
    );
    assert_eq!(place.standing("pending"), all_but(30, &[]), "{}", run.stderr());
    assert_eq!(place.rows("SELECT DISTINCT attempts FROM data_staging"), ["0"]);
    assert!(place.names("data/errors").is_empty());
    // Once it is mended, all goes on.
    place.project.write("work.py", "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(json.dumps(dict(id=r['id'], status='completed', data=r['data'])))\n");
    let config = place.project.join("handover.yaml");
    let mended = std::fs::read_to_string(&config).unwrap().replace("no-such-program-here", "python3 work.py");
    std::fs::write(config, mended).unwrap();
    place.all_are_due();
    place.well();
    assert_eq!(place.exported_numbers(), all_but(30, &[]));
}

#[test]
fn a_program_that_never_answers_is_broken_and_no_record_is_blamed() {
    is_broken(
        &Records::stream("", "sys.stderr.write('no module named x\\n'); sys.exit(1)\n"),
        "no module named x",
    );
}

/// Those that a program died of before it ever answered anything come again later than the others, or they would come first
/// for ever.
#[test]
fn several_that_kill_at_the_head_of_the_queue_do_not_stop_the_app() {
    let place = Records::stream("", &dies_of(0).replace("d['n'] == 0", "d['n'] <= 4"));
    place.numbers(20);
    let mut run = place.project.start(&["run", "--once", "-v"]);
    let status = run.end_within(LONG);
    assert_eq!(status.code(), Some(1), "{}\n{}", run.stdout(), run.stderr());
    assert!(run.stdout().contains("hindered: work gets no records for a while"), "{}", run.stdout());
    assert_eq!(place.standing("pending"), all_but(20, &[]));
    // None lost an attempt, those that it died of wait, and all say why.
    assert_eq!(place.rows("SELECT DISTINCT attempts FROM data_staging"), ["0"]);
    let put_off = "SELECT json_extract(data, '$.n') FROM data_staging WHERE snoozes = 1 AND run_at > updated_at ORDER BY 1";
    assert_eq!(place.rows(put_off), ["1", "2", "3"]);
    for n in [1, 2, 3, 5] {
        assert!(place.error_of(n).contains("the program died: exit code 9"), "{n}: {}", place.error_of(n));
    }
    place
        .sql()
        .execute("UPDATE data_staging SET run_at = '2999-01-01T00:00:00Z' WHERE snoozes = 1", [])
        .unwrap();
    // The fourth comes alone first, and then the others show that it is the record.
    place.once();
    assert_eq!((place.standing("pending"), place.standing("failed")), (vec![1, 2, 3], vec![4]));
    assert_eq!(place.exported_numbers(), all_but(20, &[1, 2, 3, 4]));
}

/// The same by itself, as long as `run` goes on.
#[test]
fn they_are_blamed_one_by_one_when_they_come_again() {
    let place = Records::stream("", &dies_of(0).replace("d['n'] == 0", "d['n'] <= 3"));
    place.numbers(20);
    let _run = place.project.start(&["run"]);
    let ledger = place.project.join("data/.handover/ledger.db");
    wait_for(LONG, "the ledger is made", || ledger.exists().then_some(()));
    let ended =
        "SELECT count(*) FROM data_staging WHERE target_app = 'work' AND status IN ('completed', 'failed')";
    wait_for(LONG, "all have ended", || {
        let count = place.sql().query_row(ended, [], |row| row.get::<_, i64>(0));
        (count == Ok(20)).then_some(())
    });
    assert_eq!(place.standing("failed"), [1, 2, 3]);
    assert!(place.error_of(2).contains("with this record alone, the program died"), "{}", place.error_of(2));
    place.nobody_else_lost_an_attempt();
}

/// What is behind a record that was put off, in its order, waits with it.
#[test]
fn nothing_overtakes_one_that_was_put_off_in_its_order() {
    let script = "for r, d in records():\n    if d['n'] < 4 and not os.path.exists('mended'): os._exit(9)\n    open('seen', 'a').write('%s ' % d['n'])\n    answer(r, data=d)\n";
    let place = Records::stream("", script);
    place.well();
    let orders = [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "b"), (6, "c"), (7, "d")];
    for (n, key) in orders {
        let insert = format!(
            "INSERT INTO data_staging (source_app, target_app, data, order_key) VALUES ('shop', 'work', '{{\"n\":{n}}}', '{key}')"
        );
        place.sql().execute(&insert, []).unwrap();
    }
    let (mut run, seen) = (place.project.start(&["run", "--once"]), place.project.join("seen"));
    assert_eq!(run.end_within(LONG).code(), Some(1), "{}", run.stdout());
    place
        .sql()
        .execute("UPDATE data_staging SET run_at = '2999-01-01T00:00:00Z' WHERE snoozes = 1", [])
        .unwrap();
    place.well();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "7 ");
    assert_eq!(place.standing("pending"), [1, 2, 3, 4, 5, 6]);
    place.project.write("mended", "");
    place.all_are_due();
    place.well();
    let seen: Vec<u64> =
        std::fs::read_to_string(&seen).unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    let at = |n| seen.iter().position(|seen| *seen == n).unwrap();
    assert!(at(1) < at(4) && at(2) < at(5) && at(3) < at(6), "{seen:?}");
}

#[test]
fn two_that_kill_a_program_that_never_answered_do_not_show_whether_it_is_the_program() {
    let place = Records::stream("", "next(records())\nos._exit(9)\n");
    place.numbers(2);
    let run = place.once();
    assert!(run.stdout().contains("hindered: work gets no records for a while"), "{}", run.stdout());
    assert_eq!(place.standing("pending"), [1, 2]);
    assert_eq!(place.rows("SELECT DISTINCT attempts || ' ' || snoozes FROM data_staging"), ["0 1"]);
}

#[test]
fn an_answer_that_cannot_be_read_is_told_of_the_record_that_waited_for_it() {
    let place = Records::stream(
        ", timeout: 700ms",
        "for r, d in records():\n    if d['n'] == 2: print('{\"id\": %s.0, \"status\": \"completed\"}' % r['id'])\n    elif d['n'] == 3: print('{\"id\": %s, \"data\": ]}' % r['id'])\n    else: answer(r, data=d)\n",
    );
    place.numbers(5);
    let run = place.once();
    assert_eq!(place.standing("failed"), [2, 3], "{}", run.stderr());
    for (n, why) in [(2, "its `id` is no number of a record"), (3, "it is no JSON: expected value")] {
        let error = place.error_of(n);
        assert!(error.contains("did not answer within its timeout of 700ms"), "{error}");
        assert!(error.contains("could not be read as an answer") && error.contains(why), "{error}");
    }
    assert_eq!(place.exported_numbers(), all_but(5, &[2, 3]));
}

#[test]
fn a_program_that_is_not_there() {
    is_broken(&Records::of("{ run: no-such-program-here, mode: stream }", ""), "no-such-program-here");
}

/// It answers nothing: after `timeout` it is stopped, and what it had is given one at a time.
#[test]
fn a_program_that_hangs_on_a_record() {
    let place = Records::stream(
        ", timeout: 700ms",
        "import time\nfor r, d in records():\n    if d['n'] == 4: time.sleep(1000)\n    answer(r, data=d)\n",
    );
    place.numbers(9);
    let run = place.once();
    assert_eq!(place.standing("failed"), [4], "{}", run.stderr());
    assert!(
        place.error_of(4).contains("did not answer within its timeout of 700ms"),
        "{}",
        place.error_of(4)
    );
    assert_eq!(place.exported_numbers(), all_but(9, &[4]));
    place.nobody_else_lost_an_attempt();
}

#[test]
fn it_says_what_is_no_answer_answers_twice_and_for_others() {
    let place = Records::stream(
        "",
        r#"
for r, d in records():
    print("I am working")
    print(json.dumps([1, 2]))
    print(json.dumps(dict(id=999999, status="failed", error="not mine")))
    answer(r, data=d)
    answer(r, "failed", error="twice")
"#,
    );
    place.numbers(30);
    let run = place.well();
    assert_eq!(place.exported_numbers(), all_but(30, &[]));
    let log = run.stderr();
    assert!(log.contains("I am working"), "{log}");
    assert!(log.contains("lines that were no answers"), "{log}");
    assert!(log.matches("that is no answer").count() <= 10, "the log is flooded:\n{log}");
}

#[test]
fn it_floods_both_its_outputs() {
    let place = Records::stream(
        "",
        "for r, d in records():\n    sys.stdout.write('noise\\n' * 20000)\n    sys.stderr.write('e' * 300000)\n    answer(r, data=d)\n",
    );
    place.numbers(20);
    place.well();
    assert_eq!(place.exported_numbers(), all_but(20, &[]));
}

#[test]
fn it_writes_half_a_line_and_dies() {
    let place = Records::stream(
        "",
        r#"
for r, d in records():
    if d["n"] == 5:
        sys.stdout.write(json.dumps(dict(id=r["id"], status="completed", data=d)))
        sys.stdout.flush()
        os._exit(0 if os.path.exists("once") else 4)
    answer(r, data=d)
"#,
    );
    place.numbers(10);
    let run = place.once();
    assert_eq!(place.standing("failed"), [5]);
    assert!(run.stderr().contains("its end is missing"), "{}", run.stderr());
    assert_eq!(place.exported_numbers(), all_but(10, &[5]));
}

#[test]
fn it_writes_more_than_a_line_may_hold() {
    let place = Records::stream(
        "",
        "for r, d in records():\n    answer(r, data=dict(d, big='x' * (17 << 20)) if d['n'] == 3 else d)\n",
    );
    place.numbers(6);
    let run = place.once();
    assert_eq!(place.standing("failed"), [3], "{}", run.stderr());
    assert!(place.error_of(3).contains("a line of more than 16 MiB"), "{}", place.error_of(3));
    assert_eq!(place.exported_numbers(), all_but(6, &[3]));
}

/// It ends with 0 after every third record, as a program may that wants to begin anew: no record is blamed.
#[test]
fn it_ends_in_the_middle_without_a_fault() {
    let place = Records::stream(
        "",
        "n = 0\nfor r, d in records():\n    answer(r, data=d)\n    n += 1\n    if n == 3: os._exit(0)\n",
    );
    place.numbers(20);
    place.well();
    assert_eq!(place.exported_numbers(), all_but(20, &[]));
    place.nobody_else_lost_an_attempt();
}

#[test]
fn it_says_later() {
    let place = Records::stream("", "next(records())\nsys.exit(75)\n");
    place.numbers(3);
    let run = place.well();
    assert_eq!(place.standing("pending"), [1, 2, 3], "{}", run.stderr());
    assert_eq!(place.rows("SELECT DISTINCT attempts || ' ' || snoozes FROM data_staging"), ["0 1"]);
}

#[test]
fn it_does_not_read_and_it_does_not_end() {
    let place = Records::stream(
        ", timeout: 700ms",
        "import time, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('pid', 'w').write(str(os.getpid()))\nsys.stdin.close()\nos.close(0)\nos.close(1)\ntime.sleep(1000)\n",
    );
    place.numbers(1);
    let run = place.once();
    assert_eq!(place.standing("failed"), [1], "{}", run.stderr());
    let pid = std::fs::read_to_string(place.project.join("pid")).unwrap().parse().unwrap();
    wait_for(LONG, "nothing of it is left", || (!is_running(pid)).then_some(()));
}
