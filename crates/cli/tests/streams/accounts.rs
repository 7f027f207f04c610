//! The account of a flow through all its doors: a file, a validator, records, a stream program, gathered files, an export.

use crate::kit::{LONG, Records};
use handover_testkit::Project;
use serde_json::{Value, json};

const CONFIGURATION: &str = "apps:
  in: { uses: file-importer, with: { from: incoming, pattern: '*', type: sales, settle: 0s } }
  check: { uses: validator, with: { schema: schema.json } }
  work: { run: python3 work.py, mode: stream, retries: 0 }
  out: { uses: file-exporter, with: { to: outgoing } }
flows:
  f:
    - in -> check
    - { from: check, to: work, by: database, cast: schema.json }
    - { from: work, to: out, by: file, gather: { rows: 50 } }
  parts: in -> [check, out]
";
const SCHEMA: &str = r#"{"fields": [{"name": "n", "type": "integer", "constraints": {"minimum": 0}}]}"#;
/// Sevens fail, threes go no further.
const SCRIPT: &str = r#"
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    n = r["data"]["n"]
    if n % 25 == 7:
        answer = dict(status="failed", error="a seven")
    elif n % 50 == 3:
        answer = dict(status="completed")
    else:
        answer = dict(status="completed", data=r["data"])
    print(json.dumps(dict(id=r["id"], **answer)), flush=True)
"#;

fn place() -> Records {
    let configuration = CONFIGURATION.replace("  parts: in -> [check, out]\n", "");
    let project = Project::new(env!("CARGO_BIN_EXE_handover"), &configuration);
    std::fs::create_dir_all(project.join("incoming")).unwrap();
    project.write("schema.json", SCHEMA);
    project.write("work.py", SCRIPT);
    Records { project }
}

fn account(place: &Records) -> (Option<i32>, Value) {
    let run = place.project.command(&["status", "--rows", "f", "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    (run.status.code(), serde_json::from_slice(&run.stdout).unwrap_or_else(|e| panic!("{e}: {said}")))
}

fn sums(account: &Value) -> [u64; 6] {
    ["rows_in", "rows_out", "rejected", "left_out", "failed", "waiting"]
        .map(|key| account[key].as_u64().unwrap())
}

#[test]
fn every_row_of_a_flow_through_all_doors_is_accounted_for() {
    let place = place();
    // 0 to 199, ten of them negative.
    let rows: String =
        (0..200).map(|n| if n % 20 == 1 { format!("-{n}\n") } else { format!("{n}\n") }).collect();
    place.project.arrive("incoming/a_2025-11-24.csv", format!("n\n{rows}"));
    let mut run = place.project.start(&["run", "--once"]);
    run.end_within(LONG);
    let bad = (0..200).filter(|n| n % 20 == 1).count() as u64;
    let good = || (0..200).filter(|n| n % 20 != 1);
    let failed = good().filter(|n| n % 25 == 7).count() as u64;
    let left_out = good().filter(|n| n % 25 != 7 && n % 50 == 3).count() as u64;
    let out = 200 - bad - failed - left_out;
    let (code, said) = account(&place);
    assert_eq!(sums(&said), [200, out, bad, left_out, failed, 0], "{said}\n{}", run.stderr());
    assert_eq!((code, &said["balanced"]), (Some(0), &json!(true)));
    assert_eq!(place.exported().len() as u64, out, "and so many there are");
    // A second file waits behind a pause, a replay enters anew, what has failed is retried, and all is archived.
    assert!(place.project.command(&["pause", "work"]).output().unwrap().status.success());
    place.project.arrive("incoming/b_2025-11-24.csv", "n\n1000\n1001\n");
    place.well();
    let (code, said) = account(&place);
    assert_eq!((code, sums(&said)), (Some(0), [202, out, bad, left_out, failed, 2]), "{said}");
    assert!(place.project.command(&["resume", "work"]).output().unwrap().status.success());
    place.well();
    let record = place.rows("SELECT id FROM data_staging WHERE target_app = 'work' AND status = 'completed' AND json_extract(data, '$.n') = 5");
    assert!(place.project.command(&["replay", &record[0]]).output().unwrap().status.success());
    place.well();
    let (code, said) = account(&place);
    assert_eq!((code, sums(&said)), (Some(0), [203, out + 3, bad, left_out, failed, 0]), "{said}");
    assert!(place.project.command(&["archive", "--older-than", "0"]).output().unwrap().status.success());
    let (code, said) = account(&place);
    assert_eq!((code, sums(&said)), (Some(0), [203, out + 3, bad, left_out, failed, 0]), "{said}");
    let text = place.project.command(&["status", "--rows", "f"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("203 rows in = ") && text.contains("every row is accounted for"), "{text}");
}

#[test]
fn a_row_that_somebody_deleted_is_said_and_is_not_lost() {
    for delete in
        ["DELETE FROM data_staging", "UPDATE data_staging SET deleted_at = '2025-11-24T12:00:00.000Z'"]
    {
        let place = place();
        place
            .project
            .write("work.py", format!("import os, sys\nif os.path.exists('later'): sys.exit(75)\n{SCRIPT}"));
        place.project.write("later", "");
        place.project.arrive("incoming/a_2025-11-24.csv", "n\n1\n2\n3\n4\n");
        place.well();
        assert_eq!(place.standing("pending"), [1, 2, 3, 4]);
        let says = |n: u64, parts: [u64; 6], deleted: u64| {
            let which = format!("target_app = 'work' AND json_extract(data, '$.n') = {n}");
            assert_eq!(place.sql().execute(&format!("{delete} WHERE {which}"), []).unwrap(), 1);
            let (code, said) = account(&place);
            assert_eq!((code, sums(&said)), (Some(0), parts), "{delete}: {said}");
            let text = place.project.command(&["status", "--rows", "f"]).output().unwrap();
            let text = String::from_utf8(text.stdout).unwrap();
            assert!(text.contains(&format!(" + {deleted} deleted: every row is accounted for")), "{text}");
            assert!(text.contains("DELETED"), "{text}");
        };
        says(1, [4, 0, 0, 0, 0, 3], 1);
        std::fs::remove_file(place.project.join("later")).unwrap();
        place.all_are_due();
        place.well();
        // The row of one that has gone on is where it went; what was left out is gone with its record.
        says(2, [4, 2, 0, 1, 0, 0], 1);
        says(3, [4, 2, 0, 0, 0, 0], 2);
    }
}

#[test]
fn a_row_that_is_lost_is_said() {
    let place = place();
    place.project.arrive("incoming/a_2025-11-24.csv", "n\n1\n2\n3\n4\n");
    place.well();
    assert_eq!(account(&place).0, Some(0));
    // Gone, and the ledger was not told of a deletion.
    let sql = place.sql();
    sql.execute("DELETE FROM data_staging WHERE target_app = 'work' AND json_extract(data, '$.n') = 3", [])
        .unwrap();
    sql.execute("UPDATE sources SET deleted = 0", []).unwrap();
    let (code, said) = account(&place);
    assert_eq!((code, &said["balanced"]), (Some(1), &json!(false)), "{said}");
}

/// A program that makes `n` records of each, none of some: what it made and what it left out are both said, also where one of
/// those that it made was deleted.
#[test]
fn what_a_program_multiplies_and_leaves_out_is_both_said() {
    let configuration = "apps:
  in: { uses: file-importer, with: { from: incoming, pattern: '*', type: sales, settle: 0s } }
  times: { run: python3 times.py, retries: 0 }
  work: { run: python3 work.py, mode: stream, retries: 0 }
  out: { uses: file-exporter, with: { to: outgoing } }
flows:
  f:
    - { from: in, to: times, by: database }
    - { from: times, to: work, by: database }
    - { from: work, to: out, by: file, gather: { rows: 50 } }
";
    let project = Project::new(env!("CARGO_BIN_EXE_handover"), configuration);
    std::fs::create_dir_all(project.join("incoming")).unwrap();
    project.write("work.py", SCRIPT);
    project.write(
        "times.py",
        "import json, sys\nd = json.load(sys.stdin)\nfor i in range(d['n']): print(json.dumps(d))\n",
    );
    let place = Records { project };
    place.project.arrive("incoming/a_2025-11-24.ndjson", "{\"n\":0}\n{\"n\":0}\n{\"n\":1}\n{\"n\":5}\n");
    place.well();
    // Of `times`, which is second: two left out, four more made of the last.
    let (code, said) = account(&place);
    assert_eq!((code, sums(&said)), (Some(0), [8, 6, 0, 2, 0, 0]), "{said}");
    let step = |said: &Value| (said["steps"][1]["left_out"].clone(), said["steps"][1]["made"].clone());
    assert_eq!(step(&said), (json!(2), json!(4)), "{said}");
    // One of those that it made is deleted after it has gone on, and one that did not.
    let one = |app: &str, n: u64| {
        let which = format!(
            "SELECT max(id) FROM data_staging WHERE target_app = '{app}' AND json_extract(data, '$.n') = {n}"
        );
        assert_eq!(
            place.sql().execute(&format!("DELETE FROM data_staging WHERE id = ({which})"), []).unwrap(),
            1
        );
        let (code, said) = account(&place);
        assert_eq!((code, &said["balanced"]), (Some(0), &json!(true)), "{said}");
        (said["rows_out"].clone(), said["deleted"].clone())
    };
    assert_eq!(one("work", 5), (json!(6), json!(0)));
    assert_eq!(one("times", 0), (json!(6), json!(1)));
    assert_eq!(one("times", 1), (json!(6), json!(1)));
}

#[test]
fn what_retention_deleted_is_said_and_accuses_nobody() {
    let place = place();
    place.project.arrive("incoming/a_2025-11-24.csv", "n\n1\n2\n4\n");
    place.well();
    let keep =
        format!("archive: {{ keep: 30d }}\n{CONFIGURATION}").replace("  parts: in -> [check, out]\n", "");
    place.project.write("handover.yaml", keep);
    // Of the flow's middle one is gone.
    let mut archive = vec!["archive".to_owned()];
    archive.extend(place.rows("SELECT id FROM data_staging WHERE target_app = 'work' LIMIT 1"));
    let archive: Vec<&str> = archive.iter().map(String::as_str).collect();
    assert!(place.project.command(&archive).output().unwrap().status.success());
    place.sql().execute("UPDATE data_archive SET archived_at = '2020-01-01T00:00:00.000Z'", []).unwrap();
    assert!(place.project.command(&["archive"]).output().unwrap().status.success());
    assert!(place.rows("SELECT id FROM data_archive").is_empty());
    let (code, said) = account(&place);
    assert_eq!(
        (code, &said["balanced"], &said["records_expired"]),
        (Some(0), &json!(true), &json!(1)),
        "{said}"
    );
    let text = place.project.command(&["status", "--rows", "f"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("retention deleted 0 files and 1 record, "), "{text}");
}

#[test]
fn a_flow_that_parts_has_no_such_sum() {
    let place = place();
    place.project.write("handover.yaml", CONFIGURATION);
    let run = place.project.command(&["status", "--rows", "parts"]).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("part or meet"));
}
