//! What becomes of what is printed, and of a wrong command: exit codes, and errors as JSON.

use super::{PROGRAMS, Place};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::process::Stdio;

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_said_and_makes_the_exit_code_1() {
    let place = Place::with(PROGRAMS);
    place.ok(&["run", "--once"]);
    for words in [&["list", "--json"][..], &["schema"], &["status"], &["completions", "bash"], &["--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = place.command(words).stdout(Stdio::from(full)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot write to standard output: No space left"), "{words:?}: {said}");
    }
}

#[test]
fn a_run_that_fails_says_so_whether_anybody_reads_it_or_not() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    place.ok(&["put", "in.txt", "--app", "spare", "--type", "note"]);
    let mut child = place.command(&["run", "--once"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn errors_have_one_list_of_codes() {
    let place = Place::with(PROGRAMS);
    place.ok(&["run", "--once"]);
    for (words, code, exit) in [
        (&["show", "99", "--json"][..], "NOT_FOUND", 1),
        (&["list", "--app", "nosuch", "--json"], "CONFIG_ERROR", 2),
        (&["-c", "none.yaml", "status", "--json"], "CONFIG_ERROR", 2),
        (&["list", "--status", "nosuch", "--json"], "USAGE_ERROR", 2),
    ] {
        let answer = place.run(words);
        assert_eq!(answer.code, exit, "{words:?}");
        let json: Value = serde_json::from_str(&answer.out).unwrap_or_else(|e| panic!("{e}: {}", answer.out));
        assert_eq!(json["error"]["code"], code, "{json}");
        assert!(json["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
    }
}

#[test]
fn commands_that_ask_for_what_is_not_there_or_cannot_be_are_told_apart() {
    let place = Place::with(PROGRAMS);
    place.write("in.txt", "abc\n");
    place.ok(&["run", "--once"]);
    for (words, exit, said) in [
        (&["put", "nosuch.csv", "--app", "upper", "--type", "t"][..], 1, "check the path"),
        (&["put", "in.txt", "--app", "nosuch", "--type", "t"], 2, "; or say who gets the file: --next APP"),
        (&["put", "in.txt", "--app", "errors", "--type", "t", "--next", "upper"], 2, "is kept for"),
        (&["put", "in.txt", "--app", "archive", "--type", "t", "--next", "upper"], 2, "is kept for"),
        (&["replay", "3", "--since", "1h"], 2, "cannot be used with"),
        (&["replay", "--since", "1h"], 2, "--flow <FLOW>"),
        (&["replay", "--flow", "txt"], 2, "did you mean `text`?"),
        (&["replay", "--flow", "text"], 2, "--flow needs a time"),
    ] {
        let answer = place.run(words);
        assert_eq!(answer.code, exit, "{words:?}: {}", answer.err);
        assert!(answer.err.contains(said), "{words:?}: {}", answer.err);
    }
    assert!(!place.run(&["replay", "--since", "1h"]).err.contains("<ID>..."), "only the flow is missing");
    assert!(place.names("data/errors").is_empty());
    assert!(place.ok(&["help", "list"]).contains("handover list --status failed"));
}

#[test]
fn a_stand_alone_app_replaces_nothing_that_it_reads() {
    let place = Place::empty();
    place.write("s.json", r#"{"fields":[{"name":"n","type":"integer"}]}"#);
    let table = "n\n1\nx\n";
    place.write("t.csv", table);
    let app = ["app", "validator", "--schema", "s.json", "t.csv"];
    for more in [
        &["-o", "same.csv", "--rejected", "same.csv"][..],
        &["--rejected", "t.csv"],
        &["--report", "s.json"],
        &["-o", "t.csv"],
    ] {
        let answer = place.run(&[&app[..], more].concat());
        assert_eq!(answer.code, 2, "{more:?}: {}", answer.err);
        assert_eq!(place.read("t.csv"), table);
    }
    assert!(!place.path().join("same.csv").exists());
    place.ok(&[&app[..], &["-o", "t.csv", "--rejected", "bad.csv"]].concat());
    assert_eq!(place.read("t.csv"), "n\n1\n");
    let here = place.run(&["app", "validator", "--schema", "nosuch.json", "t.csv"]);
    assert!(here.err.contains("relative to the current folder"), "{}", here.err);
    let near = place.run(&["app", "validator", "--config", r#"{"max":1}"#, "--schema", "s.json", "t.csv"]);
    assert!(near.err.contains("did you mean max_error_rate?"), "{}", near.err);
    let from_stdin = File::open(place.path().join("t.csv")).unwrap();
    let mut command = place.command(&["app", "validator", "--schema", "s.json", "-o", "t.csv"]);
    assert_eq!(command.stdin(from_stdin).output().unwrap().status.code(), Some(2));
}
