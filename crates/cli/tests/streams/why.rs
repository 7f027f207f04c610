//! What `why` says of records that a stream program does not get.

use crate::kit::{LONG, Records};
use handover_testkit::process::wait_for;
use serde_json::Value;

fn why(place: &Records, id: &str) -> Value {
    let run = place.project.command(&["why", id, "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    serde_json::from_slice(&run.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// Records of one order key, `{"n": 1}` to `{"n": count}`, and their numbers.
fn of_one_key(place: &Records, count: u64) -> Vec<String> {
    for n in 1..=count {
        let insert = format!(
            "INSERT INTO data_staging (source_app, target_app, data, order_key) VALUES ('shop', 'work', '{{\"n\":{n}}}', 'k')"
        );
        place.sql().execute(&insert, []).unwrap();
    }
    place.rows("SELECT id FROM data_staging ORDER BY id")
}

#[test]
fn what_is_behind_another_of_its_order_key_names_that_one_and_no_workers() {
    let place = Records::stream("", "import time\nfor r, d in records(): time.sleep(1000)\n");
    place.well();
    let ids = of_one_key(&place, 3);
    let (first, last) = (&ids[0], &ids[2]);
    let names_the_first = |stands: &str| {
        let said = why(&place, last).to_string();
        for word in [&format!("waits for delivery {first}, {stands}, and 1 other between them"), "order key"]
        {
            assert!(said.contains(word), "{said}");
        }
        assert!(said.contains(&format!("handover why {first}")), "{said}");
        for word in ["process ", "worker", "nothing runs"] {
            assert!(!said.contains(word), "{said}");
        }
    };
    names_the_first("which waits too");
    let later = format!("UPDATE data_staging SET run_at = '2999-01-01T00:00:00Z' WHERE id = {first}");
    place.sql().execute(&later, []).unwrap();
    names_the_first("which is tried again at 2999-01-01 00:00");
    place.all_are_due();
    let _run = place.project.start(&["run"]);
    wait_for(LONG, "the first is worked on", || (place.standing("processing") == [1]).then_some(()));
    names_the_first("which is being worked on");
}

#[test]
fn a_program_that_cannot_be_started_is_the_reason_whether_anything_runs_or_not() {
    let place = Records::of("{ run: no-such-program-here, mode: stream }", "");
    place.numbers(2);
    assert_eq!(place.once().end_within(LONG).code(), Some(1));
    let ids = place.rows("SELECT id FROM data_staging ORDER BY id");
    let said = why(&place, &ids[1]).to_string();
    for word in ["given back by work", "it cannot be started", "no-such-program-here", "handover run --once"]
    {
        assert!(said.contains(word), "{said}");
    }
    let _run = place.project.start(&["run"]);
    wait_for(LONG, "it says so under run", || {
        let said = why(&place, &ids[1]).to_string();
        let all = ["given back by work", "it cannot be started", "again by itself"];
        all.iter().all(|word| said.contains(word)).then_some(())
    });
}
