//! `retry`, `cancel`, `pause`, `resume`, `restore`, `replay`.

use crate::{PROGRAMS, Place};

fn put(place: &Place, next: &str) -> String {
    place.write("in.txt", "abc\n");
    let put = place.json(&[
        "put",
        "in.txt",
        "--app",
        "outsider",
        "--type",
        "note",
        "--date",
        "2025-11-24",
        "--next",
        next,
    ]);
    put["delivery_id"].to_string()
}

#[test]
fn a_failed_delivery_is_said_and_can_be_tried_again() {
    let place = Place::with(PROGRAMS);
    let id = put(&place, "bad");
    let run = place.run(&["run", "--once"]);
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(run.out.contains(&format!("failed: delivery {id} of bad")), "{}", run.out);
    assert!(run.err.contains(&format!("handover why {id}")), "{}", run.err);
    let tried = place.run(&["retry", &id]);
    assert_eq!(tried.code, 0);
    assert!(tried.out.contains("waits for bad again"), "{}", tried.out);
    assert!(tried.err.contains("nothing runs now"), "{}", tried.err);
    // Its cause is mended.
    place.write("handover.yaml", &PROGRAMS.replace("exit 65", "exit 0"));
    place.ok(&["run", "--once"]);
    let again = place.run(&["retry", &id, "999"]);
    assert_eq!(again.code, 1);
    assert!(
        again.err.contains("it is completed") && again.err.contains("there is no delivery 999"),
        "{}",
        again.err
    );
}

#[test]
fn all_that_failed_and_fit_are_tried_again() {
    let place = Place::with(PROGRAMS);
    let ids = [put(&place, "bad"), put(&place, "bad")];
    assert_eq!(place.run(&["run", "--once"]).code, 1);
    let looked = place.run(&["retry", "--app", "bad", "--since", "1h", "--dry-run"]);
    assert_eq!(looked.code, 0, "{}", looked.err);
    assert!(
        looked.out.contains("bad") && looked.err.contains("2 would be tried again"),
        "{}{}",
        looked.out,
        looked.err
    );
    let status = |id: &str| place.json(&["show", id])["status"].clone();
    assert!(ids.iter().all(|id| status(id) == "failed"), "a dry run does nothing");
    assert!(place.ok(&["retry", "--app", "upper"]).contains("nothing has failed that fits"));
    assert!(
        place
            .ok(&["retry", "--app", "bad", "--until", "2001-01-01"])
            .contains("nothing has failed that fits")
    );
    let done = place.json(&["retry", "--app", "bad", "--since", "1h"]);
    assert_eq!((&done["retried"], &done["left"], &done["apps"]["bad"]), (&2.into(), &0.into(), &2.into()));
    assert!(ids.iter().all(|id| status(id) == "pending"));
    for wrong in [&["retry"][..], &["retry", "1", "--app", "bad"], &["retry", "--app", "baad"]] {
        assert_ne!(place.run(wrong).code, 0, "{wrong:?}");
    }
}

#[test]
fn what_is_cancelled_is_not_begun_and_comes_back_by_retry() {
    let place = Place::with(PROGRAMS);
    let id = put(&place, "upper");
    assert!(place.ok(&["cancel", &id]).contains("it is not begun"));
    assert!(place.ok(&["run", "--once"]).contains("nothing to do"));
    assert_eq!(place.run(&["cancel", &id]).code, 1);
    assert_eq!(place.json(&["retry", &id])[0]["done"], true);
    place.ok(&["run", "--once"]);
    assert_eq!(place.names("out").len(), 2);
    assert!(place.ok(&["restore", &id]).contains("was not deleted"));
}

#[test]
fn a_deleted_delivery_is_brought_back() {
    let place = Place::with(PROGRAMS);
    let id = put(&place, "upper");
    let ledger = rusqlite::Connection::open(place.path().join("data/.handover/ledger.db")).unwrap();
    let text = "UPDATE deliveries SET deleted_at = created_at WHERE id = ?1";
    assert_eq!(ledger.execute(text, [&id]).unwrap(), 1);
    drop(ledger);
    assert!(place.ok(&["run", "--once"]).contains("nothing to do"));
    assert!(place.ok(&["restore", &id]).contains("is back"));
    assert!(place.ok(&["run", "--once"]).contains("upper"));
}

#[test]
fn a_paused_app_waits_and_a_wrong_name_gets_the_nearest() {
    let place = Place::with(PROGRAMS);
    put(&place, "upper");
    let paused = place.run(&["pause", "upper"]);
    assert_eq!(paused.code, 0, "{}", paused.err);
    assert!(paused.err.contains("1 delivery waits for it"), "{}", paused.err);
    assert!(place.ok(&["pause", "upper"]).contains("paused already"));
    assert!(place.ok(&["run", "--once"]).contains("nothing to do"));
    assert!(place.ok(&["run", "--dry-run"]).contains("paused: nothing is done"));
    for word in ["pause", "resume"] {
        let wrong = place.run(&[word, "uper"]);
        assert_eq!(wrong.code, 2);
        assert!(wrong.err.contains("did you mean `upper`?"), "{}", wrong.err);
    }
    assert!(place.ok(&["resume", "upper"]).contains("goes on: 1 delivery waits"));
    assert!(place.ok(&["resume", "upper"]).contains("was not paused"));
    place.ok(&["run", "--once"]);
    assert_eq!(place.names("out").len(), 2);
}

#[test]
fn a_replay_makes_new_files_and_leaves_the_old() {
    let place = Place::with(PROGRAMS);
    let id = put(&place, "upper");
    place.ok(&["run", "--once"]);
    let would = place.json(&["replay", &id, "--dry-run"]);
    assert_eq!(would["replayed"][0]["id"], serde_json::Value::Null);
    let new = place.json(&["replay", &id])["replayed"][0]["id"].to_string();
    assert_ne!(new, id);
    place.ok(&["run", "--once"]);
    assert_eq!(place.read("out/out_note_2025-11-24_001.txt"), "ABC\n");
    assert_eq!(place.read("out/out_note_2025-11-24_002.txt"), "ABC\n");
    let manifest = place.read("out/out_note_2025-11-24_002.meta.json");
    assert!(manifest.contains(&format!("\"replay_of\": \"{id}\"")), "{manifest}");
}

#[test]
fn a_flow_is_replayed_from_its_first_checkpoint_once() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    for _ in 0..3 {
        place.ok(&["put", "in.txt", "--app", "upper", "--type", "note", "--date", "2025-11-24"]);
    }
    let early = place.json(&["replay", "--flow", "text", "--since", "2020-01-01"]);
    assert_eq!((&early["replayed"], &early["unended"]), (&serde_json::json!([]), &3.into()));
    place.ok(&["run", "--once"]);
    let words = ["replay", "--flow", "text", "--since", "1h"];
    assert_eq!(place.json(&words)["replayed"].as_array().unwrap().len(), 3);
    place.ok(&["run", "--once"]);
    assert_eq!(place.names("out").len(), 12);
    // What was itself a replay is not replayed again.
    assert_eq!(place.json(&words)["replayed"].as_array().unwrap().len(), 3);
    let past = place.run(&["replay", "--flow", "text", "--since", "1h", "--until", "2020-01-01"]);
    assert!(past.out.contains("nothing entered"), "{}", past.out);
    for (words, says) in [
        (&["replay", "--flow", "txt", "--since", "1h"][..], "did you mean `text`?"),
        (&["replay", "--flow", "text", "--since", "soon"], "is not a time"),
        (&["replay", "--flow", "text"], "--since"),
        (&["replay"], "<ID>"),
        (&["replay", "x"], "is not a delivery's number"),
    ] {
        let answer = place.run(words);
        assert_eq!(answer.code, 2, "{words:?}");
        assert!(answer.err.contains(says), "{words:?}: {}", answer.err);
    }
}
