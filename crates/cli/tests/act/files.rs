//! `init`, `put`, `archive`, `verify`, `app`.

use crate::{PROGRAMS, Place};
use std::io::Write as _;
use std::process::Stdio;

#[test]
fn init_makes_a_project_that_works_and_never_writes_over_anything() {
    let place = Place::empty();
    place.write("sales/score.py", "my own");
    let said = place.ok(&["init", "sales"]);
    assert!(said.contains("Left as they were: score.py") && said.contains("cd sales"), "{said}");
    assert_eq!(place.read("sales/score.py"), "my own");
    assert_eq!(place.names("sales"), [".gitignore", "handover.yaml", "incoming", "schemas", "score.py"]);
    let again = place.run(&["init", "sales"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("nothing was changed"), "{}", again.err);

    place.ok(&["init", "new"]);
    place.ok(&["check", "-c", "new/handover.yaml"]);
}

#[test]
fn what_is_put_in_goes_along_the_links_and_nothing_is_replaced() {
    let place = Place::with(PROGRAMS);
    let file = place.write("in.txt", "abc\n");
    let first = place.json(&["put", "in.txt", "--app", "upper", "--type", "note", "--date", "2025-11-24"]);
    let second = place.json(&[
        "put",
        file.to_str().unwrap(),
        "--app",
        "upper",
        "--type",
        "note",
        "--date",
        "2025-11-24",
    ]);
    assert_eq!(first["path"], "upper/2025-11-24/upper_note_2025-11-24_001.txt");
    assert_eq!(second["path"], "upper/2025-11-24/upper_note_2025-11-24_002.txt");
    assert_eq!(first["next_apps"][0], "out");
    assert_ne!(first["delivery_id"], second["delivery_id"]);
    let manifest: serde_json::Value =
        serde_json::from_str(&place.read("data/upper/2025-11-24/upper_note_2025-11-24_001.meta.json"))
            .unwrap();
    assert_eq!(manifest["next_app"], "out");
    assert_eq!(manifest["delivery_id"], first["delivery_id"].to_string());
    place.ok(&["run", "--once"]);
    assert_eq!(place.names("out").len(), 4);
    assert_eq!(place.read("out/out_note_2025-11-24_002.txt"), "abc\n");
}

#[test]
fn standard_input_is_put_in_for_an_app_that_is_named() {
    let place = Place::with(PROGRAMS);
    let words =
        ["put", "-", "--app", "elsewhere", "--type", "note", "--ext", "txt", "--next", "upper", "--json"];
    let mut child = place.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe\n").unwrap();
    let put: serde_json::Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((&put["next_apps"][0], &put["flows"][0]), (&"upper".into(), &"text".into()));
    place.ok(&["run", "--once"]);
    let export = place.names("out").into_iter().find(|name| name.ends_with(".txt")).unwrap();
    assert_eq!(place.read(&format!("out/{export}")), "FROM A PIPE\n");
}

#[test]
fn a_put_that_cannot_be_says_what_to_do() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    for (words, says) in [
        (&["put", "in.txt", "--app", "uper", "--type", "x"][..], "did you mean `upper`?"),
        (&["put", "in.txt", "--app", "x", "--type", "x", "--next", "uper"], "did you mean `upper`?"),
        (&["put", "in.txt", "--app", "upper", "--type", "x", "--flow", "txt"], "did you mean `text`?"),
        (&["put", "in.txt", "--app", "upper", "--type", "x", "--flow", "bad"], "does not lead there"),
        (&["put", "-", "--app", "upper", "--type", "x"], "--ext csv"),
        (&["put", ".", "--app", "upper", "--type", "x"], "a file is wanted"),
        (&["put", "in.txt", "--app", "upper", "--type", "No Type"], "single hyphens"),
    ] {
        let answer = place.run(words);
        assert_eq!(answer.code, 2, "{words:?}: {}", answer.err);
        assert!(answer.err.contains(says), "{words:?}: {}", answer.err);
    }
    assert!(place.names("data/upper").is_empty());
}

#[test]
fn what_is_archived_can_be_verified_and_replayed() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    let put = place.json(&["put", "in.txt", "--app", "upper", "--type", "note", "--date", "2025-11-24"]);
    let id = put["delivery_id"].to_string();
    let unended = place.run(&["archive", &id]);
    assert_eq!(unended.code, 1);
    assert!(unended.err.contains("cancel"), "{}", unended.err);
    place.ok(&["run", "--once"]);
    assert!(place.ok(&["archive"]).contains("nothing ended longer than 7d ago"));
    let would = place.json(&["archive", &id, "--dry-run"]);
    assert_eq!((&would["files"], &would["deliveries"]), (&1.into(), &1.into()));
    assert!(place.names("data/archive").is_empty());
    assert_eq!(place.json(&["archive", &id])["files"], 1);
    assert_eq!(place.names("data/archive/2025-11/upper").len(), 2);
    assert!(place.names("data/upper/2025-11-24").is_empty());
    assert!(place.ok(&["verify"]).contains("1 file: each is what its manifest says"));
    place.ok(&["replay", &id]);
    place.ok(&["run", "--once"]);
    assert_eq!(place.read("out/out_note_2025-11-24_002.txt"), "abc\n");
}

#[test]
fn verify_finds_damage_anywhere() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    place.ok(&["put", "in.txt", "--app", "upper", "--type", "note", "--date", "2025-11-24"]);
    place.ok(&["run", "--once"]);
    place.write("out/out_note_2025-11-24_001.txt", "abd\n");
    // Without any project, as on a backup.
    std::fs::remove_file(place.path().join("handover.yaml")).unwrap();
    let answer = place.run(&["verify", "out", "data"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.out.contains("FAIL") && answer.out.contains("out_note_2025-11-24_001.txt"),
        "{}",
        answer.out
    );
    assert!(answer.out.contains("1 file sound, 1 failed"), "{}", answer.out);
    let all = place.run(&["verify", "data", "--all"]);
    assert!(all.out.contains("ok "), "{}", all.out);
    assert_eq!(place.run(&["verify", "nowhere"]).code, 1);
}

#[test]
fn a_built_in_app_is_a_console_program() {
    let place = Place::empty();
    place.ok(&["init"]);
    let good = ["app", "validator", "--schema", "schemas/sales.json", "incoming/sales.csv"];
    let answer = place.run(&good);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 9), "{}", answer.err);
    let refused = place.run(&[&good[..], &["--max-error-rate", "0.1"]].concat());
    assert_eq!(refused.code, 65, "{}", refused.err);
    // The options that every command has do not get in its way.
    assert_eq!(place.run(&[&["--json", "-v"], &good[..]].concat()).code, 0);
    assert_eq!(place.run(&[&["-c", "none.json"], &good[..]].concat()).code, 2);
    let mut set = place.command(&good);
    assert_eq!(set.env("HANDOVER_CONFIG_FILE", "none").output().unwrap().status.code(), Some(0));
}

#[test]
fn a_put_beside_the_highest_sequence_that_there_can_be_says_what_to_do() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    place.write("data/upper/2025-11-24/upper_note_2025-11-24_4294967295.txt", "theirs");
    place.write("data/upper/2025-11-24/upper_note_2025-11-24_001.txt", "theirs");
    let put = place.run(&["put", "in.txt", "--app", "upper", "--type", "note", "--date", "2025-11-24"]);
    assert_eq!(put.code, 1, "{}", put.err);
    assert!(put.err.contains("no higher sequence left"), "{}", put.err);
}
