//! The commands that look, on the real binary and a small project: what they say, their JSON, their exit codes.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const CONFIG: &str = r#"
apps:
  file-importer: { uses: file-importer, with: { from: ./in, pattern: "*.csv", type: sales, settle: 0ms, duplicates: skip } }
  picky: { run: "sh picky.sh", retries: 1 }
  file-exporter: { uses: file-exporter, with: { to: ./out } }
flows:
  sales: file-importer -> picky -> file-exporter
"#;
const PICKY: &str = r#"text=$(cat)
case "$text" in
  *bad*) echo "row 2 is bad" >&2; exit 65;;
  *later*) exit 75;;
esac
echo "$text"
"#;

struct Project(TempDir);

impl Project {
    /// A project with these files in its watched folder.
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs::create_dir(project.path().join("in")).unwrap();
        project.write("handover.yaml", CONFIG);
        project.write("picky.sh", PICKY);
        for (name, text) in files {
            project.write(&format!("in/{name}"), text);
        }
        project
    }

    /// The same after one run.
    fn ran(files: &[(&str, &str)]) -> Self {
        let project = Self::new(files);
        project.handover(&["run", "--once"]);
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn handover(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_handover"))
            .args(args)
            .current_dir(self.path())
            .env_remove("HANDOVER_CONFIG_FILE")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What a command prints; it ends with 0.
    fn says(&self, args: &[&str]) -> String {
        let output = self.handover(args);
        assert!(output.status.success(), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.says(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn why(&self, what: &str) -> Value {
        self.json(&["why", what])
    }

    /// The only file of a folder of the data directory whose name has this in it.
    fn data_file(&self, folder: &str, part: &str) -> String {
        let dates = fs::read_dir(self.path().join("data").join(folder)).unwrap();
        let date = dates.flatten().next().unwrap().path();
        let names: Vec<String> = fs::read_dir(date)
            .unwrap()
            .flatten()
            .map(|entry| entry.path().strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned())
            .filter(|name| name.contains(part) && !name.ends_with(".meta.json"))
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].clone()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn sentences(answer: &Value) -> String {
    answer["sentences"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_project_that_never_ran_is_not_made_by_looking_at_it() {
    let project = Project::new(&[]);
    let output = project.handover(&["show", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("help: `handover run` starts it"), "{}", stderr(&output));
    project.write("in/x.csv", "n\n1\n");
    for (args, said) in [
        (&["status"][..], "nothing; `handover run` starts it"),
        (&["list"], ""),
        (&["why", "in/x.csv"], "Nothing runs that would look for it"),
        (&["why", "in/no.csv"], "There is no such file"),
    ] {
        let output = project.handover(args);
        assert!(output.status.success(), "{args:?}");
        assert!(stderr(&output).contains("this project has never run"), "{}", stderr(&output));
        assert!(stdout(&output).contains(said), "{}", stdout(&output));
    }
    assert_eq!(project.json(&["list"]), serde_json::json!([]));
    let ledger = project.json(&["status"])["ledger"].as_str().unwrap().to_owned();
    assert_eq!(ledger, project.path().join("data/.handover/ledger.db").to_str().unwrap());
    project.says(&["check"]);
    assert!(!project.path().join("data").exists());
}

#[test]
fn without_a_configuration_the_exit_code_is_2_and_the_help_names_init() {
    let empty = tempfile::tempdir().unwrap();
    for args in [&["status"][..], &["check"], &["why", "1"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_handover"))
            .args(args)
            .current_dir(empty.path())
            .env_remove("HANDOVER_CONFIG_FILE")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("handover init"), "{}", stderr(&output));
    }
}

#[test]
fn status_counts_by_app_in_the_order_of_the_flow() {
    let project = Project::ran(&[("a.csv", "n\n1\n"), ("b.csv", "n\nbad\n")]);
    let text = project.says(&["status"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "sales: file-importer -> picky -> file-exporter");
    assert!(lines[2].starts_with("APP") && lines[2].ends_with("OLDEST PENDING"), "{text}");
    let words: Vec<Vec<&str>> = lines[3..6].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["file-importer", "0", "0", "2", "0"]);
    assert_eq!(words[1], ["picky", "0", "0", "1", "1"]);
    assert_eq!(words[2], ["file-exporter", "0", "0", "1", "0"]);
    assert!(text.contains("running         nothing; `handover run` starts it"), "{text}");
    let json = project.json(&["status"]);
    assert_eq!(json["apps"][1]["failed"], 1);
    assert_eq!(json["running"].as_array().unwrap().len(), 0);
    assert!(json["free_bytes"].as_u64().unwrap() > 0);
    assert_eq!(json["ended"], 2, "an export and a quarantined file");
}

#[test]
fn list_filters_pages_and_names_mistyped_apps() {
    let project = Project::ran(&[("a.csv", "n\n1\n"), ("b.csv", "n\nbad\n")]);
    let all = project.json(&["list"]);
    let ids: Vec<i64> = all.as_array().unwrap().iter().map(|d| d["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    let first = project.handover(&["list", "--limit", "2"]);
    assert!(stderr(&first).contains(&format!("--before {}", ids[1])), "{}", stderr(&first));
    let rest = project.json(&["list", "--before", &ids[1].to_string()]);
    assert_eq!(rest.as_array().unwrap().len(), ids.len() - 2);
    let failed = project.says(&["list", "--status", "failed", "--app", "picky", "--since", "1h"]);
    assert_eq!(failed.lines().count(), 2, "{failed}");
    assert!(failed.contains("row 2 is bad"), "{failed}");
    assert_eq!(project.says(&["list", "--kind", "job"]), "");
    assert_eq!(project.json(&["list", "--since", "2999-01-01"]), serde_json::json!([]));
    for (args, said) in [
        (&["list", "--app", "pickey"][..], "did you mean `picky`?"),
        (&["list", "--flow", "sale"], "did you mean `sales`?"),
        (&["list", "--since", "soon"], "write how long ago (2h, 3 days)"),
        (&["list", "--status", "done"], "pending, processing, completed, failed, archived"),
    ] {
        let output = project.handover(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn show_has_the_files_the_history_and_the_family() {
    let project = Project::ran(&[("a.csv", "n\n1\n")]);
    let json = project.json(&["show", "1"]);
    assert_eq!(json["status"], "completed");
    assert_eq!(json["outputs"][0]["to"], serde_json::json!(["picky"]));
    assert!(json["outputs"][0]["file"].as_str().unwrap().starts_with('/'));
    let history: Vec<&str> =
        json["history"].as_array().unwrap().iter().map(|e| e["to"].as_str().unwrap()).collect();
    assert_eq!(history, ["pending", "processing", "completed"]);
    let depths: Vec<u64> =
        json["lineage"]["tree"].as_array().unwrap().iter().map(|n| n["depth"].as_u64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 2, 3]);
    let text = project.says(&["show", "1"]);
    assert!(text.starts_with("delivery 1: completed\n"), "{text}");
    assert!(text.contains("original     in/a.csv"), "{text}");
    let root = text.lines().find(|line| line.ends_with("<- this one")).unwrap();
    assert_eq!(
        root.split_whitespace().take(4).collect::<Vec<_>>(),
        ["1", "in/a.csv", "file-importer", "completed"]
    );
    assert!(text.contains("└─ "), "{text}");
    let missing = project.handover(&["show", "999"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("there is no delivery 999"));
}

#[test]
fn why_tells_the_whole_way_of_a_file_by_any_of_its_names() {
    let project = Project::ran(&[("a.csv", "n\n1\n")]);
    let full = project.path().join("in/a.csv");
    for name in ["in/a.csv", "./in/../in/a.csv", "a.csv", full.to_str().unwrap()] {
        let answer = project.why(name);
        assert_eq!(answer["state"], "done", "{name}: {answer}");
        assert_eq!(answer["subject"], "in/a.csv", "{name}");
        assert_eq!(answer["steps"].as_array().unwrap().len(), 3, "{name}");
    }
    fs::create_dir(project.path().join("done")).unwrap();
    fs::rename(&full, project.path().join("done/a.csv")).unwrap();
    let gone = project.why("in/a.csv");
    assert!(gone["state"] == "done" && sentences(&gone).contains("no longer there"), "{gone}");
    assert!(sentences(&project.why("done/a.csv")).contains("moved here from in/a.csv"));
    let checkpoint = project.data_file("imports", "file-importer_sales");
    for name in [
        checkpoint.as_str(),
        checkpoint.strip_prefix("data/").unwrap(),
        checkpoint.rsplit('/').next().unwrap(),
    ] {
        assert_eq!(project.why(name)["state"], "done", "{name}");
    }
    let manifest = checkpoint.replace(".csv", ".meta.json");
    assert_eq!(project.why(&manifest)["subject"], checkpoint.as_str());
    let export = fs::read_dir(project.path().join("out")).unwrap().flatten().next().unwrap();
    let export = project.why(&format!("out/{}", export.file_name().to_str().unwrap()));
    assert!(sentences(&export).contains("is an export"), "{export}");
}

#[test]
fn why_tells_what_was_refused_and_where_it_is_kept() {
    let project = Project::ran(&[("b.csv", "n\nbad\n"), ("e.csv", "")]);
    let bad = project.why("in/b.csv");
    assert_eq!(bad["state"], "failed");
    assert!(
        sentences(&bad).contains("row 2 is bad") && sentences(&bad).contains("kept with its reason"),
        "{bad}"
    );
    assert!(
        bad["todo"].as_array().unwrap().iter().any(|t| t.as_str().unwrap().starts_with("handover retry "))
    );
    let kept = project.why(&project.data_file("errors", "picky_sales-quarantined"));
    assert_eq!(kept["state"], "quarantined");
    assert!(sentences(&kept).contains("row 2 is bad"), "{kept}");
    assert!(sentences(&project.why("in/e.csv")).contains("the file is empty"));
}

#[test]
fn why_tells_what_a_file_in_a_watched_folder_waits_for() {
    let project = Project::ran(&[("a.csv", "n\n1\n"), ("l.csv", "n\nlater\n")]);
    project.write("in/new.csv", "n\n2\n");
    project.write("in/notes.txt", "n");
    project.write("in/.hidden.csv", "n");
    project.write("elsewhere.csv", "n");
    fs::create_dir(project.path().join("in/sub")).unwrap();
    project.write("in/sub/s.csv", "n");
    for (name, state, said) in [
        ("in/l.csv", "delayed", "It was told to come again later"),
        ("in/new.csv", "waiting", "Nothing runs that would look for it"),
        ("in/notes.txt", "ignored", "Its name does not match *.csv"),
        ("in/.hidden.csv", "ignored", "begins with a dot"),
        ("in/sub/s.csv", "ignored", "file-importer looks only into in itself"),
        ("elsewhere.csv", "ignored", "in no folder that an importer watches"),
        ("in", "folder", "the folder that file-importer watches"),
        ("no-such.csv", "unknown", "There is no such file"),
        ("data/.handover/ledger.db", "internal", "belongs to Handover itself"),
    ] {
        let answer = project.why(name);
        assert_eq!(answer["state"], state, "{name}: {answer}");
        assert!(sentences(&answer).contains(said), "{name}: {answer}");
    }
    for (name, said) in [(".", "Files are taken one by one"), ("", "Files are taken one by one")] {
        let answer = project.why(name);
        assert!(answer.get("todo").is_none(), "{answer}");
        assert!(answer["release"].as_str().unwrap().contains(said), "{answer}");
    }
    project.write("in/notes.meta.json", "{}");
    let manifest = project.why("in/notes.meta.json");
    assert!(
        sentences(&manifest).contains("It is a manifest") && manifest.get("todo").is_none(),
        "{manifest}"
    );
    // Written again, it is a new state of the same file.
    project.write("in/a.csv", "n\n1\n3\n");
    let changed = project.why("in/a.csv");
    assert!(
        changed["state"] == "waiting" && sentences(&changed).contains("An earlier state of it arrived"),
        "{changed}"
    );
}

#[test]
fn why_tells_of_duplicates_links_and_writers() {
    let project = Project::ran(&[("a.csv", "n\n1\n")]);
    project.write("in/again.csv", "n\n1\n");
    std::os::unix::fs::symlink("a.csv", project.path().join("in/link.csv")).unwrap();
    let link = project.why("in/link.csv");
    assert!(link["state"] == "ignored" && sentences(&link).contains("symbolic link"), "{link}");
    project.handover(&["run", "--once"]);
    let again = project.why("in/again.csv");
    assert_eq!(again["state"], "skipped");
    assert!(
        sentences(&again).contains("imported before under another name")
            && sentences(&again).contains("(delivery 1)")
    );
    assert_eq!(project.why("in/link.csv")["state"], "refused");
    let open = fs::File::create(project.path().join("in/open.csv")).unwrap();
    let waits = project.why("in/open.csv");
    assert!(sentences(&waits).contains("is open for writing by"), "{waits}");
    drop(open);
}

#[test]
fn why_tells_what_strangers_put_into_the_data_directory() {
    let project = Project::ran(&[("a.csv", "n\n1\n")]);
    let checkpoint = project.data_file("picky", "picky_sales");
    let folder = checkpoint.rsplit_once('/').unwrap().0;
    let date = folder.rsplit_once('/').unwrap().1;
    let (file, manifest) =
        (format!("{folder}/ext_sales_{date}_005.csv"), format!("{folder}/ext_sales_{date}_005.meta.json"));
    project.write(&file, "n\n7\n");
    assert!(sentences(&project.why(&file)).contains("does not exist for anyone"));
    let checksum = "0".repeat(64);
    let write = |next: &str| {
        let text = format!(
            r#"{{"filename":"ext_sales_{date}_005.csv","created_at":"2025-11-24T10:30:00Z","created_by":"ext","row_count":1,"file_size":4,"checksum":"sha256:{checksum}","schema_version":"v2.0","next_app":"{next}"}}"#
        );
        project.write(&manifest, &text);
    };
    write("file-exportr");
    assert!(sentences(&project.why(&manifest)).contains("did you mean file-exporter?"));
    write("file-exporter");
    let waits = project.why(&file);
    assert_eq!(waits["state"], "waiting");
    assert_eq!(waits["todo"][0], "handover run --once");
    fs::remove_file(project.path().join(&file)).unwrap();
    assert!(sentences(&project.why(&manifest)).contains("is not there"));
}

#[test]
fn what_was_replayed_paused_and_archived_is_said() {
    let project = Project::ran(&[("a.csv", "n\n1\n"), ("b.csv", "n\nbad\n")]);
    let failed = project.json(&["list", "--status", "failed"])[0]["id"].to_string();
    // The rules are changed: the same file is good now, and its replay is what counts.
    project.write("picky.sh", "cat\n");
    project.says(&["replay", &failed]);
    project.says(&["pause", "picky"]);
    let paused = project.why("in/b.csv");
    assert_eq!(
        (&paused["state"], &paused["todo"][0]),
        (&"paused".into(), &"handover resume picky".into()),
        "{paused}"
    );
    assert!(project.says(&["status"]).contains("paused since"));
    project.says(&["resume", "picky"]);
    project.says(&["run", "--once"]);
    assert_eq!(project.why("in/b.csv")["state"], "done");
    assert!(sentences(&project.why(&failed)).contains("It was run again as delivery"));
    let checkpoint = project.data_file("picky", "_001.csv");
    project.says(&["archive", "--older-than", "0"]);
    assert!(!project.path().join(&checkpoint).exists());
    let archived = project.why(&checkpoint);
    assert!(archived["state"] == "done" && sentences(&archived).contains("in the archive"), "{archived}");
    let original = project.why("in/a.csv");
    let kept = original["steps"][0]["archived_as"].as_str().unwrap();
    assert!(kept.contains("/data/archive/") && Path::new(kept).exists(), "{original}");
    let shown = project.json(&["show", "1"]);
    assert_eq!(
        (&shown["status"], &shown["outputs"][0]["archived"]),
        (&"archived".into(), &true.into()),
        "{shown}"
    );
    assert_eq!(project.why("in/a.csv")["state"], "done");
    let kept = shown["outputs"][0]["file"].as_str().unwrap();
    assert_eq!(project.why(kept)["state"], "done");
}

#[test]
fn check_draws_the_flows_and_says_what_is_missing() {
    let project = Project::new(&[]);
    let text = project.says(&["check"]);
    assert!(text.starts_with("handover.yaml is fine: 3 apps, 1 flow\n"), "{text}");
    project.write("taken", "a file");
    project.write("handover.yaml", &CONFIG.replace("to: ./out", "to: ./taken/out"));
    let output = project.handover(&["check"]);
    assert!(stderr(&output).contains("`./taken/out` cannot be a folder"), "{}", stderr(&output));
    project.write("handover.yaml", &CONFIG.replace("flows:", "  asked: { run: date, type: day }\nflows:"));
    let output = project.handover(&["check"]);
    assert!(stderr(&output).contains("`handover work asked --once` runs it"), "{}", stderr(&output));
    let output = project.handover(&["run", "--once"]);
    assert!(!stderr(&output).contains("asked"), "a run does not say so each time: {}", stderr(&output));
    project.write("handover.yaml", CONFIG);
    assert!(text.contains("\nsales\n  file-importer -> picky -> file-exporter\n"), "{text}");
    fs::remove_dir(project.path().join("in")).unwrap();
    let output = project.handover(&["check"]);
    assert!(output.status.success());
    assert!(stderr(&output).contains("does not exist yet"), "{}", stderr(&output));
    let json = project.json(&["check"]);
    assert_eq!((&json["fine"], &json["problems"][0]["severity"]), (&Value::Bool(true), &"warning".into()));
    project.write("handover.yaml", &CONFIG.replace("-> picky", "-> pickey"));
    let wrong = project.handover(&["check"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("picky"), "{}", stderr(&wrong));
    project.write("handover.yaml", "apps:\n  v: { uses: validator, with: { schema: none.json } }\n");
    let wrong = project.handover(&["check"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stdout(&wrong));
    assert!(
        stderr(&wrong).contains("none.json") && stderr(&wrong).contains("cannot be run"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn schema_completions_and_reference_are_printed() {
    let project = Project::new(&[]);
    let schema: Value = serde_json::from_str(&project.says(&["schema"])).unwrap();
    assert_eq!(schema["title"], "handover.yaml");
    for shell in ["bash", "zsh", "fish"] {
        assert!(project.says(&["completions", shell]).contains("handover"), "{shell}");
    }
    let reference = project.says(&["reference"]);
    assert!(
        reference.contains("\n### handover why\n") && !reference.contains("### handover guard"),
        "{reference}"
    );
    let long =
        reference.lines().find(|line| line.chars().count() > 100 && !line.starts_with("stdout is data"));
    assert_eq!(long, None);
    assert!(!project.says(&["--help"]).contains("reference"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::ran(&[("a.csv", "n\n1\n")]);
    for args in [&["schema"][..], &["list"], &["reference"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_handover"))
            .args(args)
            .current_dir(project.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(stderr(&output), "", "{args:?}");
        assert!(output.status.success(), "{args:?}");
    }
}

#[test]
fn health_says_what_somebody_should_look_at_and_its_exit_code_too() {
    let project = Project::new(&[("good.csv", "a\n1\n")]);
    let well = project.handover(&["health"]);
    assert!(stdout(&well).contains("ledger       pass"), "{}", stdout(&well));
    // It was written long ago, and came a moment ago.
    let old = project.path().join("in/good.csv");
    Command::new("touch").args(["-d", "3 hours ago"]).arg(&old).status().unwrap();
    let stuck = project.handover(&["health", "--stuck"]);
    assert_eq!((stuck.status.code(), stdout(&stuck).as_str()), (Some(0), ""));
    // Nobody takes it: stuck, though the project never ran.
    let stuck = project.handover(&["health", "--stuck", "--older", "1ms"]);
    assert_eq!((stuck.status.code(), stdout(&stuck).trim().ends_with("in/good.csv")), (Some(1), true));
    // Taken, and its checkpoints are kept: not stuck.
    project.handover(&["run", "--once"]);
    let stuck = project.handover(&["health", "--stuck", "--older", "1ms"]);
    assert_eq!((stuck.status.code(), stdout(&stuck).as_str()), (Some(0), ""));
    // A failure that nobody has seen to, until it is replayed.
    project.write("in/bad.csv", "a\nbad\n");
    project.handover(&["run", "--once"]);
    let failed = project.handover(&["health", "--json"]);
    let seen: Value = serde_json::from_str(&stdout(&failed)).unwrap();
    let check = |seen: &Value| {
        let checks = seen["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "failed").unwrap()["verdict"].clone()
    };
    assert_eq!((failed.status.code(), check(&seen)), (Some(1), "warn".into()));
    let list = project.handover(&["list", "--status", "failed", "--json"]);
    let id = serde_json::from_str::<Value>(&stdout(&list)).unwrap()[0]["id"].to_string();
    project.handover(&["replay", &id]);
    let seen: Value = serde_json::from_str(&stdout(&project.handover(&["health", "--json"]))).unwrap();
    assert_eq!(check(&seen), "pass");
    // A waiting file of a paused app is stuck, with the sentence of `why`.
    project.handover(&["pause", "picky"]);
    let text = stdout(&project.handover(&["health", "--older", "1ms"]));
    assert!(text.contains("because picky is paused"), "{text}");
    // A ledger that cannot be opened is not well.
    project.write("handover.yaml", &format!("ledger: postgres://nobody@127.0.0.1:1/none\n{CONFIG}"));
    let broken = project.handover(&["health"]);
    assert_eq!(broken.status.code(), Some(2), "{}{}", stdout(&broken), stderr(&broken));
    assert!(stdout(&broken).starts_with("fail  "), "{}", stdout(&broken));
}
