//! Stream programs that do as they should.

use crate::kit::{LONG, Records, all_but};
use handover_testkit::process::wait_for;
use serde_json::json;

#[test]
fn each_record_is_answered_and_goes_on() {
    let place = Records::stream("", "for r, d in records(): answer(r, data=dict(d, twice=2 * d['n']))\n");
    place.numbers(2_300);
    let run = place.well();
    let exported = place.exported();
    assert_eq!(place.exported_numbers(), all_but(2_300, &[]));
    assert!(exported.iter().all(|record| record["twice"].as_u64() == record["n"].as_u64().map(|n| 2 * n)));
    assert_eq!(place.names("outgoing").len(), 3, "a thousand rows a file");
    let said = run.stdout();
    assert!(said.contains("split: 1 file into 2,300 records for work"), "{said}");
    assert!(said.contains("gathered: 2,300 records into 3 files for out"), "{said}");
    place.nobody_else_lost_an_attempt();
    // The order of a file is kept by one worker, through split, program and gathering.
    let numbers: Vec<u64> = exported.iter().map(|record| record["n"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "the order was lost");
    // What is made keeps type and date of the file that it came from.
    assert_eq!(place.names("data/work")[0], "work_sales_2025-11-24_001.ndjson");
}

#[test]
fn completed_failed_retry_and_nothing() {
    let place = Records::stream(
        "",
        r#"
for r, d in records():
    if d["n"] == 1: answer(r, "failed", error="no customer")
    elif d["n"] == 2: answer(r, "retry", error="not now")
    elif d["n"] == 3: answer(r)
    elif d["n"] == 4: answer(r, "done", data=d)
    else: answer(r, data=d)
"#,
    );
    place.numbers(6);
    let run = place.once();
    assert_eq!(place.standing("failed"), [1]);
    assert_eq!(place.error_of(1), "no customer");
    assert_eq!(place.standing("pending"), [2, 4]);
    assert_eq!(place.error_of(2), "not now");
    assert!(place.error_of(4).contains("answered the status \"done\""), "{}", place.error_of(4));
    assert_eq!(place.exported_numbers(), [5, 6]);
    let said = run.stdout();
    assert!(said.contains("failed: delivery") && said.contains("no customer"), "{said}");
    assert!(said.contains("waits: delivery") && said.contains("not now"), "{said}");
}

#[test]
fn it_is_started_once_with_its_environment_and_hears_the_end() {
    let place = Records::stream(
        ", with: { limit: 5 }",
        r#"
config = json.load(open(os.environ["HANDOVER_CONFIG"]))
with open("starts", "a") as starts: starts.write("start\n")
for r, d in records():
    answer(r, data=dict(d, limit=config["limit"], app=os.environ["HANDOVER_APP"], loud=os.environ["PYTHONUNBUFFERED"],
                        one=os.environ["HANDOVER_DELIVERY_ID"]))
open("ended", "w").write("after the last record")
"#,
    );
    place.numbers(50);
    place.well();
    assert_eq!(std::fs::read_to_string(place.project.join("starts")).unwrap(), "start\n");
    assert_eq!(std::fs::read_to_string(place.project.join("ended")).unwrap(), "after the last record");
    let expect = json!({"n": 1, "limit": 5, "app": "work", "loud": "1", "one": ""});
    assert_eq!(place.exported()[0], expect);
}

#[test]
fn a_program_in_sh_and_one_in_awk() {
    for work in [
        r#"'while read -r line; do id=${line#*:}; id=${id%%,*}; printf "{\"id\":%s,\"status\":\"completed\",\"data\":{\"n\":%s}}\n" "$id" "$id"; done', shell: true"#,
        r#"'awk -W interactive -F "[:,]" "{ print \"{\\\"id\\\":\" $2 \",\\\"status\\\":\\\"completed\\\",\\\"data\\\":{\\\"n\\\":\" $2 \"}}\"; fflush() }"'"#,
    ] {
        let place = Records::of(&format!("{{ run: {work}, mode: stream, workers: 2 }}"), "");
        place.numbers(40);
        place.well();
        assert_eq!(place.exported().len(), 40, "{work}");
        assert_eq!(place.standing("completed").len(), 40);
    }
}

#[test]
fn records_by_plain_sql_and_workers_share_them() {
    let place = Records::stream("", "for r, d in records(): answer(r, data=dict(d, by=os.getpid()))\n");
    let config = place.project.join("handover.yaml");
    let two = std::fs::read_to_string(&config).unwrap().replace("workers: 1", "workers: 2");
    std::fs::write(config, two).unwrap();
    let mut daemon = place.project.start(&["run"]);
    wait_for(LONG, "the ledger is there", || {
        assert!(daemon.poll().is_none(), "{}", daemon.stderr());
        place.project.join("data/.handover/ledger.db").exists().then_some(())
    });
    wait_for(LONG, "its tables are there", || {
        place.sql().query_row("SELECT count(*) FROM data_staging", [], |_| Ok(())).ok()
    });
    let sql = place.sql();
    for n in 1..=300 {
        sql.execute(
            "INSERT INTO data_staging (source_app, target_app, data) VALUES ('My Program', 'work', json_object('n', ?1))",
            [n],
        )
        .unwrap();
    }
    wait_for(LONG, "all are exported", || (place.exported().len() == 300).then_some(()));
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.end_within(LONG).success(), "{}", daemon.stderr());
    assert_eq!(place.exported_numbers(), all_but(300, &[]));
}

#[test]
fn at_the_end_of_a_flow_what_was_made_is_kept_with_the_record() {
    let place = Records::of("{ run: cat }", "");
    place.project.write(
        "handover.yaml",
        "apps:
  in: { uses: file-importer, with: { from: incoming, pattern: '*', type: sales, settle: 0s } }
  work: { run: python3 work.py, mode: stream, workers: 1 }
flows:
  f: [ { from: in, to: work, by: database } ]
",
    );
    let script = "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(json.dumps(dict(id=r['id'], status='completed', data=[r['data']['n']])))\n";
    place.project.write("work.py", script);
    place.numbers(3);
    place.well();
    let kept = place.rows("SELECT result FROM data_staging ORDER BY id");
    assert_eq!(kept, [r#"{"data":[[1]]}"#, r#"{"data":[[2]]}"#, r#"{"data":[[3]]}"#]);
    let shown = place.project.command(&["show", "3"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("{\"n\":1}"), "{shown}");
}

/// A record as another program wrote it by SQL, which a reader of JSON would round, shorten and lose a value of.
const ODD: &str = "{\"n\":1, \"t\":12.50,\"e\":1E5,\n\"big\":123456789012345678901234567890,\"a\":{\"x\":1,\"x\":2},\"z\":-0}";

/// Sends what it gets on, without reading it.
const AS_IT_IS: &str = r#"
for line in sys.stdin:
    id, data = line[len('{"id":'):].split(',"data":', 1)
    print('{"id":%s,"status":"completed","data":%s}' % (id, data.rstrip()[:-1]))
"#;

#[test]
fn a_record_goes_through_all_programs_as_the_text_that_it_came_as() {
    for place in [Records::stream("", AS_IT_IS), Records::of("{ run: cat }", "")] {
        place.well();
        let insert = "INSERT INTO data_staging (source_app, target_app, data, flow) VALUES ('legacy', 'work', ?1, 'f')";
        place.sql().execute(insert, [ODD]).unwrap();
        let mut list = place.project.start(&["list", "--json"]);
        list.end_within(LONG);
        let listed = list.stdout();
        assert!(listed.contains(&format!("\"data\":{},", ODD.replace('\n', " "))), "{listed}");
        place.well();
        let name = place.names("outgoing").remove(0);
        let exported = std::fs::read_to_string(place.project.join("outgoing").join(name)).unwrap();
        assert_eq!(exported, ODD.replace('\n', " ") + "\n");
    }
}
