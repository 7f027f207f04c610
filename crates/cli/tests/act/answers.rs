//! What the commands answer where something waits, was refused, or went several ways.

use super::{PROGRAMS, Place};
use serde_json::Value;

fn sentences(answer: &Value) -> String {
    let sentences = answer["sentences"].as_array().unwrap();
    sentences.iter().map(|s| s.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_run_lists_what_earlier_runs_left_waiting() {
    let place = Place::with(
        "apps:\n  later: { run: \"sh -c 'exit 75'\" }\n  spare: { run: cat }\nflows: { f: spare -> later }\n",
    );
    place.write("in.txt", "abc\n");
    place.ok(&["put", "in.txt", "--app", "spare", "--type", "note"]);
    // The delay of the first retry may be half a second: the app is kept from a second attempt by what is tried here.
    assert!(place.ok(&["run", "--once"]).contains("waits: delivery 1 of later is tried again"));
    let again = place.json(&["run", "--once"]);
    assert_eq!(again["later"][0]["id"], "1".parse::<i64>().unwrap(), "{again}");
    let work = place.json(&["work", "later", "--once"]);
    assert_eq!(work["later"].as_array().unwrap().len(), 1, "{work}");
    place.ok(&["pause", "later"]);
    let paused = place.ok(&["run", "--once"]);
    assert!(paused.contains("waits: 1 delivery of later, paused since"), "{paused}");
    assert!(paused.contains("nothing to do now"), "{paused}");
    assert_eq!(place.json(&["run", "--once"])["waiting"][0]["pending"], 1);
    place.ok(&["resume", "later"]);
    let mut nameless = place.command(&["pause", "later"]);
    nameless.env_remove("USER").env_remove("LOGNAME");
    assert!(nameless.output().unwrap().status.success());
    assert!(place.ok(&["status"]).contains("by cli:uid-"));
}

#[test]
fn a_program_without_output_says_how_many_rows_it_read() {
    let place = Place::with(
        "apps:\n  tell: { run: wc, output: none }\n  spare: { run: cat }\nflows: { f: spare -> tell }\n",
    );
    place.write("in.csv", "n\n1\n2\n");
    place.ok(&["put", "in.csv", "--app", "spare", "--type", "note"]);
    assert_eq!(place.json(&["run", "--once"])["apps"]["tell"]["rows_in"], 2);
}

#[test]
fn a_file_that_is_stuck_on_several_ways_says_so() {
    let place = Place::with(
        "apps:
  file-importer: { uses: file-importer, with: { from: in, pattern: '*.csv', type: t, settle: 0s } }
  good: { run: cat }
  bad: { run: \"sh -c 'exit 65'\" }
  worse: { run: \"sh -c 'exit 65'\" }
  later: { run: \"sh -c 'exit 75'\" }
flows:
  a: file-importer -> good
  b: file-importer -> bad
  c: file-importer -> worse
  d: file-importer -> later
",
    );
    place.write("in/x.csv", "n\n1\n");
    assert_eq!(place.run(&["run", "--once"]).code, 1);
    let answer = place.json(&["why", "in/x.csv"]);
    assert_eq!(answer["state"], "failed");
    assert!(sentences(&answer).contains("On its other ways 1 more failed, 1 more waits"), "{answer}");
    assert_eq!(answer["steps"].as_array().unwrap().len(), 5, "{answer}");
    let text = place.ok(&["why", "in/x.csv"]);
    for word in ["STATUS", "good", "bad", "worse", "later", "pending"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_file_refused_for_its_manifest_goes_through_when_that_is_mended_and_it_is_retried() {
    let place = Place::with(
        "apps:
  file-importer: { uses: file-importer, with: { from: in, pattern: '*.csv', type: t, settle: 0s } }
  out: { uses: file-exporter, with: { to: out } }
flows: { f: file-importer -> out }
",
    );
    let manifest = |size: u64| {
        let checksum = "sha256:c23b5b7a5d6e8bdd3dc2a8a3b3e3b1ddb3e9d4ab2ab9c7fb7b3d6e0b5f0c1d2e";
        format!(
            r#"{{"filename":"x.csv","created_at":"2025-11-24T10:30:00Z","created_by":"ext","file_size":{size},"checksum":"{checksum}","schema_version":"v2.0"}}"#
        )
    };
    place.write("in/x.csv", "n\n1\n");
    place.write("in/x.meta.json", &manifest(99));
    assert_eq!(place.run(&["run", "--once"]).code, 1);
    let answer = place.json(&["why", "in/x.csv"]);
    let todo: Vec<&str> = answer["todo"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let retry = todo.iter().find(|t| t.starts_with("handover retry ")).unwrap();
    let id = retry.rsplit(' ').next().unwrap();
    // Still wrong: found out again.
    place.write("in/x.meta.json", "{");
    place.ok(&["retry", id]);
    assert_eq!(place.run(&["run", "--once"]).code, 1);
    std::fs::remove_file(place.path().join("in/x.meta.json")).unwrap();
    place.ok(&["retry", id]);
    place.ok(&["run", "--once"]);
    assert_eq!(place.names("out").len(), 2);
    assert!(sentences(&place.json(&["why", "in/x.csv"])).contains("It went its whole way"));
}

#[test]
fn foreign_files_are_explained_by_any_name_and_foretold() {
    let place = Place::with(PROGRAMS);
    place.ok(&["run", "--once"]);
    let folder = "data/ext/2025-11-24";
    let manifest = |name: &str, filename: &str, next: &str, version: &str| {
        let text = format!(
            r#"{{"filename":"{filename}","created_at":"2025-11-24T10:30:00Z","created_by":"ext","file_size":4,"checksum":"sha256:{}","schema_version":"{version}","next_app":"{next}"}}"#,
            "0".repeat(64)
        );
        place.write(&format!("{folder}/{name}.meta.json"), &text);
    };
    for nth in ["001", "002", "003", "004"] {
        place.write(&format!("{folder}/ext_o_2025-11-24_{nth}.csv"), "n\n1\n");
    }
    manifest("ext_o_2025-11-24_001", "ext_o_2025-11-24_001.csv", "upper", "v9.0");
    manifest("ext_o_2025-11-24_002", "../ext_o_2025-11-24_002.csv", "upper", "v2.0");
    manifest("ext_o_2025-11-24_003", "ext_o_2025-11-24_003.csv", "nobody", "v2.0");
    manifest("ext_o_2025-11-24_004", "ext_o_2025-11-24_004.csv", "upper", "v2.0");
    let plan = place.json(&["run", "--dry-run"]);
    let fates: Vec<&str> =
        plan["adoptions"].as_array().unwrap().iter().map(|a| a["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["refused", "refused", "waits", "taken"], "{plan}");
    let before = place.json(&["why", &format!("{folder}/ext_o_2025-11-24_001.csv")]);
    assert!(
        sentences(&before).contains("ext_o_2025-11-24_001.meta.json, cannot be used as it is"),
        "{before}"
    );
    place.run(&["run", "--once"]);
    for nth in ["001", "002"] {
        let name = format!("ext_o_2025-11-24_{nth}");
        for asked in [format!("{folder}/{name}.csv"), format!("{name}.csv")] {
            let answer = place.json(&["why", &asked]);
            assert_eq!(answer["state"], "refused", "{asked}: {answer}");
            assert!(sentences(&answer).contains(&format!("{name}.meta.json, was refused")), "{answer}");
        }
        assert_eq!(place.json(&["why", &format!("{name}.meta.json")])["state"], "refused");
    }
    assert_eq!(place.json(&["why", "ext_o_2025-11-24_003.csv"])["state"], "waiting");
    assert_ne!(place.json(&["why", "ext_o_2025-11-24_004.meta.json"])["state"], "unknown");
}

#[test]
fn an_original_asked_for_by_its_path_has_its_earlier_states_too() {
    let place = Place::with(
        "apps:
  file-importer: { uses: file-importer, with: { from: in, pattern: '*.csv', type: t, settle: 0s } }
  out: { uses: file-exporter, with: { to: out } }
flows: { f: file-importer -> out }
",
    );
    place.write("in/x.csv", "n\n1\n");
    place.ok(&["run", "--once"]);
    place.write("in/x.csv", "n\n1\n2\n");
    place.ok(&["run", "--once"]);
    for asked in ["x.csv", "in/x.csv"] {
        let answer = place.json(&["why", asked]);
        assert!(sentences(&answer).contains("Earlier states of this file were delivery 1"), "{answer}");
    }
    let export = place.names("out").into_iter().find(|name| name.ends_with("_002.csv")).unwrap();
    let text = place.ok(&["why", &format!("out/{export}")]);
    assert_eq!(text.matches(&export).count(), 1, "its name stands once: {text}");
}
