//! `pull`, `ack`, `fail`, `extend`, and what a person does to records.

use crate::{Place, lines};

fn pulled(place: &Place, max: &str) -> (String, Vec<String>) {
    let all = lines(&place.ok(&["pull", "--app", "billing", "--max", max]));
    let ids = all.iter().map(|line| line["id"].to_string()).collect();
    (all[0]["token"].as_str().unwrap().to_owned(), ids)
}

#[test]
fn what_is_pulled_is_answered_by_its_token() {
    let place = Place::new();
    place.push("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    let answer = place.run(&["pull", "--app", "billing", "--max", "2", "--lease", "10m"]);
    let all = lines(&answer.out);
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&all[0]["data"]["n"], &all[1]["data"]["n"], &all[0]["attempt"]),
        (&1.into(), &2.into(), &1.into())
    );
    let token = all[0]["token"].as_str().unwrap();
    assert!(
        answer.err.contains(&format!("2 records for billing for 10m: handover ack {token}")),
        "{}",
        answer.err
    );
    assert_eq!(place.ok(&["extend", token, "--lease", "1h"]), "2 records kept for 1h from now\n");
    let first = all[0]["id"].to_string();
    assert_eq!(place.ok(&["ack", token, &first, "--result", "{\"ok\":true}"]), "1 record completed\n");
    assert_eq!(place.json(&["show", &first])["result"]["ok"], true);
    assert!(place.ok(&["show", &first]).contains("\n  result       {\"ok\":true}\n"));
    assert_eq!(place.ok(&["ack", token]), "1 record completed\n", "what it still holds");
    // As one object.
    let one = place.json(&["pull", "--app", "billing", "--max", "9"]);
    assert_eq!((&one["records"][0]["data"]["n"], one["records"].as_array().unwrap().len()), (&3.into(), 1));
    let failed = place.json(&["fail", one["token"].as_str().unwrap(), "--error", "no", "--final"]);
    assert_eq!(failed[0]["status"], "failed");
    let nothing = place.run(&["pull", "--app", "billing"]);
    assert_eq!((nothing.code, nothing.out.as_str(), nothing.err.as_str()), (0, "", "nothing for billing\n"));
}

#[test]
fn a_lease_of_nothing_is_refused() {
    let place = Place::new();
    place.push("1\n");
    for lease in ["0s", "0"] {
        let answer = place.run(&["pull", "--app", "billing", "--lease", lease]);
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{answer:?}");
    }
    let (token, _) = pulled(&place, "1");
    let answer = place.run(&["extend", &token, "--lease", "0s"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.err.contains("a lease must be longer than nothing"), "{}", answer.err);
    place.ok(&["ack", &token]);
}

#[test]
fn what_is_shown_has_nothing_that_a_terminal_obeys() {
    let place = Place::new();
    place.push("1\n");
    let evil = "\u{1b}]0;title\u{7}\u{1b}[2Jshop\rx";
    place
        .sql()
        .execute(
            "INSERT INTO data_staging (source_app, target_app, data, flow) VALUES (?1, 'billing', '{}', ?1)",
            [evil],
        )
        .unwrap();
    let all = lines(&place.ok(&["pull", "--app", "billing", "--max", "9"]));
    place.ok(&["fail", all[1]["token"].as_str().unwrap(), "--error", evil, "--final"]);
    let id = all[1]["id"].to_string();
    for command in ["show", "why"] {
        let shown = place.ok(&[command, &id]);
        assert!(shown.contains("shop"), "{shown:?}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}

#[test]
fn a_failure_is_tried_again_or_not_as_it_says() {
    let place = Place::new();
    place.push("1\n2\n3\n");
    for (words, status, attempts) in [
        (&["--error", "later, please", "--later"][..], "pending", 0),
        (&["--error", "it broke"], "pending", 1),
        (&["--error", "never", "--final"], "failed", 1),
    ] {
        let (token, ids) = pulled(&place, "1");
        place.ok(&[&["fail", &token], words].concat());
        let shown = place.json(&["show", &ids[0]]);
        assert_eq!((&shown["status"], &shown["attempts"]), (&status.into(), &attempts.into()), "{words:?}");
        assert_eq!(shown["last_error"], words[1]);
    }
    // An app without retries.
    place.fed(&["push", "--from", "shop", "--to", "shipping"], "1\n");
    let all = lines(&place.ok(&["pull", "--app", "shipping"]));
    assert_eq!(place.ok(&["fail", all[0]["token"].as_str().unwrap(), "--error", "x"]), "1 record failed\n");
}

#[test]
fn a_token_that_does_not_hold_changes_nothing() {
    let place = Place::new();
    place.push("1\n2\n");
    let (token, ids) = pulled(&place, "2");
    place.ok(&["cancel", &ids[1]]);
    let foreign = "0123456789abcdef0123456789abcdef";
    for word in ["ack", "fail", "extend"] {
        let more: &[&str] = if word == "fail" { &["--error", "x"] } else { &[] };
        for (given, says) in [("nonsense", "is no token"), ("", "is no token"), (foreign, "holds nothing")] {
            let answer = place.run(&[&[word, given], more].concat());
            assert_eq!(answer.code, 1, "{word} {given}: {answer:?}");
            assert!(answer.err.contains(says) && answer.err.contains("nothing was changed"), "{answer:?}");
        }
    }
    // One of two is stale: none counts.
    let both = place.run(&["ack", &token, &ids[0], &ids[1]]);
    assert_eq!(both.code, 1);
    assert!(both.err.contains(&format!("does not hold delivery {}", ids[1])), "{}", both.err);
    assert_eq!(place.json(&["show", &ids[0]])["status"], "processing");
    place.ok(&["ack", &token]);
    let twice = place.run(&["ack", &token]);
    assert_eq!((twice.code, twice.out.as_str()), (1, ""));
    let json = place.run(&["ack", &token, "--json"]);
    assert!(json.out.contains("\"STALE\""), "{}", json.out);
}

#[test]
fn a_claim_of_a_script_outlives_its_command_until_its_lease_ends() {
    let place = Place::new();
    place.push("1\n");
    let (token, ids) = pulled(&place, "1");
    // A process that looks for lost work does not take it: nobody is lost.
    place.ok(&["run", "--once"]);
    assert_eq!(place.json(&["show", &ids[0]])["status"], "processing");
    let why = place.ok(&["why", &ids[0]]);
    assert!(why.contains("Another program") && why.contains("when its lease ends"), "{why}");
    place.sql().execute("UPDATE data_staging SET lease_until = '2020-01-01T00:00:00.000Z'", []).unwrap();
    place.ok(&["run", "--once"]);
    assert_eq!(place.json(&["show", &ids[0]])["status"], "pending");
    assert_eq!(place.run(&["ack", &token]).code, 1);
    let (again, _) = pulled(&place, "1");
    place.ok(&["ack", &again]);
}

#[test]
fn a_puller_waits_for_what_comes() {
    let place = Place::new();
    place.push("0\n");
    let (token, _) = pulled(&place, "1");
    place.ok(&["ack", &token]);
    let mut waiting = place.command(&["pull", "--app", "billing", "--wait", "60s"]);
    let waiting =
        waiting.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    place.push("{\"late\":true}\n");
    let answer: crate::Answer = waiting.wait_with_output().unwrap().into();
    assert_eq!(lines(&answer.out)[0]["data"]["late"], true);
    let none = place.run(&["pull", "--app", "billing", "--wait", "10ms"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
}

#[test]
fn a_person_sees_and_moves_records_as_anything_else() {
    let place = Place::new();
    place.push("{\"n\":1}\n{\"n\":2}\n");
    let list = place.ok(&["list", "--kind", "record"]);
    assert!(list.contains("{\"n\":2}") && list.contains("billing"), "{list}");
    let id = place.json(&["list", "--kind", "record"])[0]["id"].to_string();
    assert!(place.ok(&["why", &id]).contains("handover pull --app billing"));
    assert!(place.ok(&["show", &id]).contains("{\"n\":2}"));
    place.ok(&["pause", "billing"]);
    assert_eq!(place.run(&["pull", "--app", "billing"]).out, "");
    assert!(place.ok(&["why", &id]).contains("paused"));
    place.ok(&["resume", "billing"]);
    place.ok(&["cancel", &id]);
    assert_eq!(place.json(&["show", &id])["status"], "failed");
    place.ok(&["retry", &id]);
    place.sql().execute("UPDATE data_staging SET deleted_at = created_at WHERE id = ?1", [&id]).unwrap();
    let (token, ids) = pulled(&place, "9");
    assert!(!ids.contains(&id) && ids.len() == 1);
    place.ok(&["ack", &token]);
    place.ok(&["restore", &id]);
    let (token, ids) = pulled(&place, "9");
    assert_eq!(ids, std::slice::from_ref(&id));
    place.ok(&["ack", &token]);
    assert!(place.ok(&["why", &id]).contains("billing has completed it"));
    assert!(place.ok(&["archive", &id]).contains("1 delivery"));
    let again = place.json(&["replay", &id])["replayed"][0]["id"].to_string();
    let (token, ids) = pulled(&place, "9");
    assert_eq!(ids, [again]);
    place.ok(&["ack", &token]);
    let status = place.ok(&["status"]);
    assert!(status.contains("shop: 3 pushed = 2 live + 1 archived + 0 deleted"), "{status}");
    let sources = &place.json(&["status"])["sources"];
    assert_eq!((&sources[0]["source"], &sources[0]["conserved"]), (&"shop".into(), &true.into()));
}
