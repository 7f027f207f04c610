//! Jobs of programs that run once: what they get, where their result is, what is kept of how they failed.

use crate::kit::{Jobs, text};
use handover_core::Status;
use handover_runtime::operations::jobs::JobInput;
use handover_testkit::files_below;
use serde_json::{Value, json};

#[test]
fn a_script_answers_a_job_and_a_small_result_is_no_file() {
    let jobs = Jobs::new("apps: { up: { run: 'tr a-z A-Z', ext: txt } }\n", &[]);
    let asked = jobs.submit("up", Value::Null, text("hello\n", "text/plain"));
    let json = jobs.submit("up", Value::Null, Some(JobInput::Json(json!({ "a": "b" }))));
    let nothing = jobs.submit("up", json!({}), None);
    jobs.once();
    let job = jobs.ended(asked);
    let output = &job.result.as_ref().unwrap()["output"];
    assert_eq!((&output["text"], &output["media_type"]), (&json!("HELLO\n"), &json!("text/plain")));
    assert_eq!(output["size"], 6);
    assert_eq!(output["checksum"], format!("sha256:{}", sha256(b"HELLO\n")));
    assert_eq!(jobs.output(json), "{\"A\":\"B\"}\n");
    assert_eq!(jobs.output(nothing), "");
    assert!(files_below(&jobs.project.join("data/up")).is_empty(), "nothing is published");
    assert!(job.result.unwrap()["outputs"].is_null());
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_program_gets_the_whole_of_its_job() {
    let script = r#"import json, os, sys
config = json.load(open(os.environ["HANDOVER_CONFIG"]))
print(json.dumps(dict(config=config, words=sys.argv[1:], read=sys.stdin.read(),
    ext=os.environ["HANDOVER_INPUT"].rsplit(".", 1)[-1], unbuffered=os.environ.get("PYTHONUNBUFFERED"))))
"#;
    let jobs = Jobs::new(
        "apps:
  tell:
    run: python3 tell.py {date} {region}
    with: { threshold: 1, keep: me }
    job:
      arguments: { threshold: --threshold, verbose: --verbose, tags: '--tag=', region: '{region}' }
      output: application/json
",
        &[("tell.py", script)],
    );
    let config = json!({ "threshold": 2.5, "verbose": true, "tags": ["a b", "--c"], "region": "$(id); 'x'" });
    let all = jobs.submit("tell", config.clone(), text("a,b\n1,2\n", "text/csv"));
    let none = jobs.submit("tell", json!({ "verbose": false }), None);
    jobs.once();
    let told: Value = serde_json::from_str(&jobs.output(all)).unwrap();
    let words: Vec<&str> =
        told["words"].as_array().unwrap()[1..].iter().map(|w| w.as_str().unwrap()).collect();
    assert_eq!(words, ["$(id); 'x'", "--threshold", "2.5", "--verbose", "--tag=a b", "--tag=--c"]);
    assert_eq!(
        (&told["read"], &told["ext"], &told["unbuffered"]),
        (&json!("a,b\n1,2\n"), &json!("csv"), &json!("1"))
    );
    let mut both = config;
    both["keep"] = json!("me");
    assert_eq!(told["config"], both, "the job's configuration over the app's");
    let told: Value = serde_json::from_str(&jobs.output(none)).unwrap();
    assert_eq!(told["words"].as_array().unwrap()[1..], [json!(""), json!("--threshold"), json!("1")]);
    let media_type = &jobs.get(none).result.unwrap()["output"]["media_type"];
    assert_eq!(*media_type, "application/json");
}

#[test]
fn in_a_shell_flags_are_its_arguments_and_values_are_no_code() {
    let jobs = Jobs::new(
        "apps:
  shell:
    run: \"printf '%s|' {who} \\\"$@\\\"\"
    shell: true
    job: { arguments: { who: '{who}', flag: --flag } }
",
        &[],
    );
    let evil = "`touch bad` $(touch bad) '; touch bad #";
    let id = jobs.submit("shell", json!({ "who": evil, "flag": evil }), None);
    jobs.once();
    assert_eq!(jobs.output(id), format!("{evil}|--flag|{evil}|"));
    assert!(!jobs.project.join("bad").exists());
}

#[test]
fn a_large_result_is_published_and_so_is_what_a_flow_leads_on_with() {
    let jobs = Jobs::new(
        "apps:
  big: { run: 'head -c 70000 /dev/zero', type: zeros, ext: bin }
  first: { run: 'echo 1', type: ones }
  second: { run: cat }
flows: { f: first -> second }
",
        &[],
    );
    let (big, first) = (jobs.submit("big", Value::Null, None), jobs.submit("first", Value::Null, None));
    jobs.once();
    let result = jobs.ended(big).result.unwrap();
    assert!(result["output"].is_null(), "{result}");
    let path = result["outputs"][0].as_str().unwrap();
    assert!(path.starts_with("big/") && path.contains("big_zeros_"), "{path}");
    assert_eq!(std::fs::metadata(jobs.project.join("data").join(path)).unwrap().len(), 70_000);
    let result = jobs.ended(first).result.unwrap();
    assert!(result["output"].is_null() && result["outputs"][0].as_str().unwrap().starts_with("first/"));
    assert_eq!(files_below(&jobs.project.join("data/second")).len(), 2, "the flow went on");
}

#[test]
fn bytes_that_are_no_text_are_base64_and_a_program_may_write_a_file() {
    let jobs = Jobs::new(
        "apps: { bytes: { run: \"sh -c 'printf \\\"\\\\377\\\\376\\\" > \\\"$0\\\"' {output}\", ext: png } }\n",
        &[],
    );
    let id = jobs.submit("bytes", Value::Null, None);
    jobs.once();
    let result = jobs.ended(id).result.unwrap();
    assert_eq!(
        (&result["output"]["base64"], &result["output"]["media_type"]),
        (&json!("//4="), &json!("image/png"))
    );
}

#[test]
fn what_an_exit_code_means_is_in_the_error_and_decides() {
    let jobs = Jobs::new(
        "apps:
  codes:
    run: \"sh -c 'echo because >&2; exit $0' {code}\"
    retries: 0
    job:
      arguments: { code: '{code}' }
      exit_codes: { 3: the model is missing, 4: { means: busy, then: later }, 5: { means: no good, then: bad-data } }
  last:
    run: \"sh -c 'exit 9'\"
    retries: 5
    job: { exit_codes: { 9: { means: never again, then: fail } } }
  slow: { run: sleep 60, retries: 0, timeout: 100ms }
",
        &[],
    );
    let ids: Vec<_> = [3, 4, 5, 6].map(|code| jobs.submit("codes", json!({ "code": code }), None)).to_vec();
    let (last, slow) = (jobs.submit("last", Value::Null, None), jobs.submit("slow", Value::Null, None));
    jobs.once();
    let said = |id| {
        let job = jobs.get(id);
        (
            job.status,
            job.last_error.unwrap(),
            job.result.unwrap()["code"].as_str().unwrap().to_owned(),
            job.attempts,
        )
    };
    assert_eq!(
        said(ids[0]),
        (
            Status::Failed,
            "exit code 3: the model is missing; it said: because".into(),
            "PROGRAM_FAILED".into(),
            1
        )
    );
    assert_eq!(
        said(ids[1]),
        (Status::Pending, "exit code 4: busy; it said: because".into(), "NOT_YET".into(), 0)
    );
    assert_eq!(
        said(ids[2]),
        (Status::Failed, "exit code 5: no good; it said: because".into(), "BAD_DATA".into(), 1)
    );
    assert_eq!((said(ids[3]).0, said(ids[3]).2), (Status::Failed, "PROGRAM_FAILED".into()));
    assert_eq!(
        said(last),
        (
            Status::Failed,
            "exit code 9: never again; it said nothing on stderr".into(),
            "PROGRAM_FAILED".into(),
            1
        )
    );
    assert_eq!((said(slow).0, said(slow).2), (Status::Failed, "TIMEOUT".into()));
}

#[test]
fn what_a_program_says_is_kept_line_by_line_and_no_flood_holds_it_up() {
    let jobs = Jobs::new(
        "apps:
  says: { run: \"sh -c 'echo one >&2; echo two >&2; echo done'\" }
  flood: { run: \"sh -c 'seq 1 200000 >&2; echo done'\" }
",
        &[],
    );
    let (says, flood) = (jobs.submit("says", Value::Null, None), jobs.submit("flood", Value::Null, None));
    jobs.once();
    assert_eq!((jobs.output(says), jobs.lines(says)), ("done\n".into(), vec!["one".into(), "two".into()]));
    assert_eq!(jobs.output(flood), "done\n");
    let kept = jobs.lines(flood);
    assert_eq!(kept.len(), 1_000);
    assert_eq!((kept[0].as_str(), kept[999].as_str()), ("1", "1000"));
}

#[test]
fn a_file_is_given_as_it_is_to_an_app_and_checked() {
    let jobs = Jobs::new(
        "apps: { count: { run: 'wc -l', ext: txt }, in: { run: cat } }\n",
        &[("x.csv", "a\n1\n2\n")],
    );
    let put = jobs.json(&["--json", "put", "x.csv", "--app", "in", "--type", "sales", "--next", "count"]);
    let path = put["path"].as_str().unwrap().to_owned();
    let good = jobs.submit("count", Value::Null, Some(JobInput::File(path.clone())));
    jobs.once();
    assert_eq!(jobs.output(good).trim(), "3");
    assert_eq!(jobs.get(good).result.unwrap()["rows_in"], 2);
    // What was changed behind our back is not believed.
    std::fs::write(jobs.project.join("data").join(&path), "a\n1\n9\n").unwrap();
    let changed = jobs.submit("count", Value::Null, Some(JobInput::File(path)));
    jobs.once();
    let job = jobs.ended(changed);
    assert_eq!((job.status, &job.result.unwrap()["code"]), (Status::Failed, &json!("BAD_DATA")));
    let why = jobs.refused("count", Value::Null, Some(JobInput::File("../handover.yaml".into())));
    assert_eq!(why, ["input names no published file of the data directory"]);
}

#[test]
fn a_replay_of_a_job_is_a_job_with_a_result_of_its_own() {
    let jobs = Jobs::new("apps: { up: { run: 'tr a-z A-Z' } }\n", &[]);
    let id = jobs.submit("up", Value::Null, text("again", "text/plain"));
    jobs.once();
    jobs.project.start(&["replay", &id.to_string()]).end_within(crate::kit::LONG);
    jobs.once();
    let again = handover_core::DeliveryId(id.0 + 1);
    assert_eq!((jobs.output(again), jobs.get(again).replay_of), ("AGAIN".into(), Some(id)));
}
