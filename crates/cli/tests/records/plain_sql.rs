//! Programs that know nothing of Handover take part by plain SQL: one in shell around Python's sqlite3, one in Python.

use crate::{Place, lines};
use std::process::Command;

/// Runs a program in the project's folder.
fn program(place: &Place, words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(place.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Takes what waits for billing and completes it, with the specification's own columns alone.
const CONSUMER: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect("data/.handover/ledger.db", timeout=30, isolation_level=None)
done = 0
while True:
    db.execute("BEGIN IMMEDIATE")
    row = db.execute("SELECT id, data FROM data_staging WHERE target_app = 'billing' AND status = 'pending' ORDER BY id LIMIT 1").fetchone()
    if row is None:
        db.execute("COMMIT")
        break
    db.execute("UPDATE data_staging SET status = 'processing' WHERE id = ?", (row[0],))
    db.execute("COMMIT")
    record = json.loads(row[1])
    state = "failed" if record.get("bad") else "completed"
    db.execute("UPDATE data_staging SET status = ? WHERE id = ?", (state, row[0]))
    if state == "completed":
        db.execute("INSERT INTO data_staging (source_app, target_app, data) VALUES ('billing', 'shipping', ?)", (json.dumps({"billed": record["n"]}),))
    done += 1
print(done)
"#;

#[test]
fn a_python_program_takes_part_by_sql_alone() {
    let place = Place::new();
    place.push("{\"n\":1}\n{\"n\":2,\"bad\":true}\n{\"n\":3}\n");
    place.write("consumer.py", CONSUMER);
    assert_eq!(program(&place, &["python3", "consumer.py"]), "3\n");
    let failed = place.json(&["list", "--status", "failed"]);
    assert_eq!(failed.as_array().unwrap().len(), 1);
    // What it handed on is pulled by ours.
    let all = lines(&place.ok(&["pull", "--app", "shipping", "--max", "9"]));
    let billed: Vec<_> = all.iter().map(|line| line["data"]["billed"].as_u64().unwrap()).collect();
    assert_eq!(billed, [1, 3]);
    // All of it is audited and counted.
    let id = failed[0]["id"].to_string();
    let history = place.json(&["show", &id])["history"].clone();
    let steps: Vec<&str> =
        history.as_array().unwrap().iter().map(|entry| entry["to"].as_str().unwrap()).collect();
    assert_eq!(steps, ["pending", "processing", "failed"]);
    let sources = place.json(&["status"])["sources"].clone();
    assert!(sources.as_array().unwrap().iter().all(|source| source["conserved"] == true), "{sources}");
}

#[test]
fn a_shell_program_takes_part_by_sql_and_by_commands() {
    let place = Place::new();
    // sql TEXT: what any client of SQLite does; Python has one everywhere.
    let script = r#"
set -eu
sql() { python3 -c 'import sqlite3, sys
db = sqlite3.connect("data/.handover/ledger.db", timeout=30)
for row in db.execute(sys.argv[1]): print(*row, sep="|")
db.commit()' "$1"; }
sql "INSERT INTO data_staging (source_app, target_app, data) VALUES ('legacy', 'billing', '{\"n\": 1}'), ('legacy', 'billing', '{\"n\": 2}')"
batch=$("$HANDOVER" pull --app billing --max 10 2>/dev/null)
token=$(printf '%s\n' "$batch" | head -1 | sed 's/.*"token":"\([0-9a-f]*\)".*/\1/')
printf '%s\n' "$batch" | wc -l
"$HANDOVER" ack "$token"
sql "SELECT count(*), min(status) FROM data_staging"
"#;
    place.push("{\"first\":true}\n");
    let all = lines(&place.ok(&["pull", "--app", "billing"]));
    place.ok(&["ack", all[0]["token"].as_str().unwrap()]);
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(place.path())
        .env("HANDOVER", env!("CARGO_BIN_EXE_handover"))
        .env_remove("HANDOVER_CONFIG_FILE")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let said: Vec<&str> = out.lines().map(str::trim).collect();
    assert_eq!(said, ["2", "2 records completed", "3|completed"]);
}

#[test]
fn what_plain_sql_may_not_do_is_said() {
    let place = Place::new();
    place.push("1\n2\n");
    let id = lines(&place.ok(&["pull", "--app", "billing"]))[0]["id"].to_string();
    let sql = place.sql();
    for (text, says) in [
        (
            format!("UPDATE data_staging SET status = 'completed' WHERE id = {id}"),
            "a Handover worker holds this delivery",
        ),
        ("UPDATE data_staging SET status = 'done' WHERE status = 'pending'".to_owned(), "status must be"),
        (
            "UPDATE data_staging SET lease_token = 'mine' WHERE status = 'pending'".to_owned(),
            "leave lease_token out",
        ),
        (
            "INSERT INTO data_staging (source_app, target_app, data) VALUES ('a', 'b', 'no')".to_owned(),
            "data must be JSON",
        ),
    ] {
        let why = sql.execute(&text, []).unwrap_err().to_string();
        assert!(why.contains(says), "{text}: {why}");
    }
    // A plain claim has its lease, and no puller takes it meanwhile.
    assert_eq!(
        sql.execute("UPDATE data_staging SET status = 'processing' WHERE status = 'pending'", []).unwrap(),
        1
    );
    assert_eq!(place.run(&["pull", "--app", "billing"]).out, "");
    let (by, left): (String, f64) = sql
        .query_row(
            "SELECT leased_by, (julianday(lease_until) - julianday('now')) * 24 FROM data_staging WHERE lease_token IS NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!(by == "sql" && (0.9..=1.0).contains(&left), "{by} {left}");
}
