//! Programs that run once for each record.

use crate::kit::{Records, all_but};
use serde_json::json;

fn once(run: &str, script: &str) -> Records {
    let place = Records::of(&format!("{{ run: {run}, retries: 0, workers: 4 }}"), "");
    place.project.write("work.py", script);
    place
}

#[test]
fn the_record_is_its_stdin_and_what_it_prints_goes_on() {
    let place = once(
        "python3 work.py",
        "import json, os, sys\nd = json.load(sys.stdin)\nd['id'] = os.environ['HANDOVER_DELIVERY_ID']\nprint(json.dumps(d, indent=2))\n",
    );
    place.numbers(12);
    place.well();
    assert_eq!(place.exported_numbers(), all_but(12, &[]));
    let ids =
        place.rows("SELECT id FROM data_staging WHERE target_app = 'work' AND json_extract(data, '$.n') = 7");
    let seventh = place.exported().into_iter().find(|record| record["n"] == 7).unwrap();
    assert_eq!(seventh["id"], json!(ids[0]));
}

#[test]
fn by_its_path_several_and_none() {
    let place = once(
        "'python3 work.py {input} {type} {date}'",
        "import json, sys\nd = json.load(open(sys.argv[1]))\nif d['n'] > 1:\n    for i in range(d['n']):\n        print(json.dumps(dict(n=d['n'], i=i, of=sys.argv[2:])))\n",
    );
    place.numbers(3);
    let run = place.well();
    assert_eq!(place.exported_numbers(), [2, 2, 3, 3, 3]);
    assert_eq!(place.exported()[0]["of"], json!(["sales", "2025-11-24"]));
    assert!(run.stdout().contains("FILTERED"), "{}", run.stdout());
}

#[test]
fn what_is_no_json_fails_and_bad_data_is_kept() {
    let place = once(
        "python3 work.py",
        "import json, sys\nd = json.load(sys.stdin)\nif d['n'] == 1: print('hello')\nelif d['n'] == 2: sys.exit('so bad') if False else (sys.stderr.write('so bad\\n'), sys.exit(65))\nelse: print(json.dumps(d))\n",
    );
    place.numbers(3);
    place.once();
    assert_eq!(place.standing("failed"), [1, 2]);
    assert!(place.error_of(1).contains("is no JSON"), "{}", place.error_of(1));
    assert!(place.error_of(2).contains("so bad"), "{}", place.error_of(2));
    assert_eq!(place.names("data/errors"), ["work_sales-quarantined_2025-11-24_001.ndjson"]);
    assert_eq!(place.exported_numbers(), [3]);
}

/// What waits behind a delayed one of its order key waits with it, and keeps no run from its end.
#[test]
fn what_an_older_one_of_its_key_holds_up_is_not_waited_for() {
    let place = Records::stream("", "for r, d in records(): answer(r)\n");
    place.well();
    place
        .sql()
        .execute_batch(
            "INSERT INTO data_staging (source_app, target_app, data, order_key, run_at)
                 VALUES ('shop', 'work', '{\"n\":1}', 'k', '2999-01-01T00:00:00Z');
             INSERT INTO data_staging (source_app, target_app, data, order_key)
                 VALUES ('shop', 'work', '{\"n\":2}', 'k'), ('shop', 'work', '{\"n\":3}', 'other');",
        )
        .unwrap();
    place.well();
    assert_eq!((place.standing("completed"), place.standing("pending")), (vec![3], vec![1, 2]));
    let plan = place.project.command(&["run", "--dry-run", "--json"]).output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(
        (&plan["records"][0]["pending"], &plan["records"][0]["later"]),
        (&json!(0), &json!(2)),
        "{plan}"
    );
}
