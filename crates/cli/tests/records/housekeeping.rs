//! What is old or was archived by SQL goes to the archive.

use crate::{Place, lines};

fn complete_all(place: &Place) {
    let all = lines(&place.ok(&["pull", "--app", "billing", "--max", "99"]));
    place.ok(&["ack", all[0]["token"].as_str().unwrap()]);
}

/// Makes everything that has ended look so many days older, as only a test may.
fn age(place: &Place, days: u32) {
    let text = format!(
        "UPDATE data_staging SET processed_at = strftime('%Y-%m-%dT%H:%M:%fZ', processed_at, '-{days} days') WHERE processed_at IS NOT NULL"
    );
    place.sql().execute(&text, []).unwrap();
}

/// Its place may be wanted for something else meanwhile.
#[test]
fn a_copy_that_is_refused_makes_nothing() {
    let place = Place::new();
    place.push("1\n");
    let held = lines(&place.ok(&["pull", "--app", "billing"]));
    let words = ["ledger", "copy", "data/.handover/ledger.db", "copy.db"];
    let refused = place.run(&words);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("is working on deliveries of this ledger"), "{}", refused.err);
    assert!(!place.path().join("copy.db").exists());
    place.ok(&["ack", held[0]["token"].as_str().unwrap()]);
    place.ok(&words);
    assert!(place.path().join("copy.db").exists());
}

#[test]
fn records_come_of_age_as_configured() {
    let place = Place::new();
    place.push("1\n2\n");
    complete_all(&place);
    place.push("3\n");
    let failing = lines(&place.ok(&["pull", "--app", "billing"]));
    place.ok(&["fail", failing[0]["token"].as_str().unwrap(), "--error", "x", "--final"]);
    assert!(place.ok(&["archive"]).contains("nothing to archive"));
    age(&place, 8);
    assert!(place.ok(&["archive", "--dry-run"]).contains("would archive 0 files and 2 deliveries"));
    assert!(place.ok(&["archive"]).contains("archived 0 files and 2 deliveries"), "completed after 7 days");
    age(&place, 23);
    assert!(place.ok(&["archive"]).contains("archived 0 files and 1 delivery"), "failed after 30");
    assert_eq!(place.number("SELECT count(*) FROM data_archive"), 3);
    let own = Place::with(&format!("{}archive: {{ records: {{ completed: 1h }} }}\n", crate::CONFIG));
    own.push("1\n");
    complete_all(&own);
    age(&own, 1);
    assert!(own.ok(&["archive"]).contains("1 delivery"));
}

#[test]
fn a_running_engine_moves_what_sql_has_archived() {
    let place = Place::new();
    place.push("1\n");
    complete_all(&place);
    place.sql().execute("UPDATE data_staging SET status = 'archived'", []).unwrap();
    let mut daemon = place.command(&["run"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while place.number("SELECT count(*) FROM data_archive") == 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "not within a minute");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(place.number("SELECT count(*) FROM data_staging"), 0);
}

#[test]
fn what_was_kept_long_enough_is_deleted_and_stays_counted() {
    let place =
        Place::with(&format!("{}archive: {{ records: {{ completed: 1h }}, keep: 30d }}\n", crate::CONFIG));
    place.push("1\n2\n3\n");
    complete_all(&place);
    age(&place, 1);
    place.push("4\n");
    let said = place.ok(&["archive"]);
    assert!(said.contains("3 deliveries") && !said.contains("deleted"), "{said}");
    let text = "UPDATE data_archive SET archived_at = strftime('%Y-%m-%dT%H:%M:%fZ', archived_at, '-31 days') WHERE id < 3";
    place.sql().execute(text, []).unwrap();
    let said = place.ok(&["archive"]);
    assert!(said.contains("deleted from the archive, as kept long enough: 2"), "{said}");
    assert_eq!(place.number("SELECT count(*) FROM data_archive"), 1);
    let status = place.ok(&["status"]);
    assert!(status.contains("shop: 4 pushed = 1 live + 1 archived + 2 deleted"), "{status}");
    let labels: Vec<&str> = status.lines().filter(|line| line.contains("records by ")).collect();
    assert!(
        labels.len() == 2 && labels[0].contains("records by app") && labels[1].contains("records by source"),
        "{status}"
    );
    // A running process does it by itself.
    place.sql().execute(&text.replace("id < 3", "true"), []).unwrap();
    place.ok(&["run", "--once"]);
    let begun = std::time::Instant::now();
    while place.number("SELECT count(*) FROM data_archive") > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "not deleted");
        place.ok(&["run", "--once"]);
    }
}
