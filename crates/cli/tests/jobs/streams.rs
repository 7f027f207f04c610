//! Jobs of programs that go on running.

use crate::kit::{Jobs, text};
use handover_core::Status;
use handover_runtime::operations::jobs::JobInput;
use serde_json::{Value, json};

const ECHO: &str = r#"import json, os, sys, time
for line in sys.stdin:
    r = json.loads(line)
    d = r["data"]
    if isinstance(d, dict) and "die" in d: os._exit(3)
    if isinstance(d, dict) and "sleep" in d: time.sleep(d["sleep"])
    if isinstance(d, dict) and "fail" in d:
        print(json.dumps(dict(id=r["id"], status="failed", error="no " + d["fail"]))); continue
    if isinstance(d, dict) and "big" in d: d = "x" * d["big"]
    print(json.dumps(dict(id=r["id"], status="completed", data=dict(pid=os.getpid(), data=d, config=r.get("config")))))
"#;

fn project(more: &str) -> Jobs {
    let apps = format!("apps:\n  echo: {{ run: python3 echo.py, mode: stream, workers: 1{more} }}\n");
    Jobs::new(&apps, &[("echo.py", ECHO)])
}

fn answer(jobs: &Jobs, id: handover_core::DeliveryId) -> Value {
    serde_json::from_str(&jobs.output(id)).unwrap()
}

#[test]
fn jobs_and_records_are_answered_by_one_program() {
    let jobs = project("");
    let _run = jobs.run();
    let config = jobs.submit("echo", json!({ "a": 1 }), None);
    let first = answer(&jobs, config);
    assert_eq!((&first["data"], &first["config"]), (&json!({ "a": 1 }), &Value::Null));
    let input = jobs.submit("echo", Value::Null, text("hello", "text/plain"));
    let both = jobs.submit("echo", json!({ "b": 2 }), Some(JobInput::Json(json!([1, 2]))));
    jobs.push("echo", json!({ "n": 1 }));
    let (input, both) = (answer(&jobs, input), answer(&jobs, both));
    assert_eq!((&input["data"], &input["config"]), (&json!("hello"), &Value::Null));
    assert_eq!((&both["data"], &both["config"]), (&json!([1, 2]), &json!({ "b": 2 })));
    assert_eq!([&input["pid"], &both["pid"]], [&first["pid"], &first["pid"]], "it is one program");
}

#[test]
fn a_failed_answer_fails_the_job_and_a_large_one_is_a_file() {
    let jobs = project("");
    let failed = jobs.submit("echo", json!({ "fail": "luck" }), None);
    let big = jobs.submit("echo", json!({ "big": 100_000 }), None);
    jobs.once();
    let job = jobs.ended(failed);
    assert_eq!((job.status, job.last_error.as_deref()), (Status::Failed, Some("no luck")));
    assert_eq!((&job.result.unwrap()["code"], job.attempts), (&json!("PROGRAM_FAILED"), 1));
    let result = jobs.ended(big).result.unwrap();
    let path = result["outputs"][0].as_str().unwrap();
    assert!(path.ends_with(".json"), "{path}");
    let text = std::fs::read_to_string(jobs.project.join("data").join(path)).unwrap();
    assert!(text.contains(&"x".repeat(100_000)));
}

#[test]
fn a_job_that_is_not_answered_in_time_fails_and_the_next_is_answered() {
    let jobs = project(", timeout: 500ms, retries: 0");
    let slow = jobs.submit("echo", json!({ "sleep": 60 }), None);
    let next = jobs.submit("echo", json!({ "a": 1 }), None);
    jobs.once();
    let job = jobs.ended(slow);
    assert_eq!((job.status, &job.result.unwrap()["code"]), (Status::Failed, &json!("TIMEOUT")));
    assert_eq!(answer(&jobs, next)["data"], json!({ "a": 1 }));
}

#[test]
fn the_job_that_kills_its_program_fails_alone() {
    let jobs = project(", retries: 0");
    let ids: Vec<_> = (0..5).map(|n| jobs.submit("echo", json!({ "n": n }), None)).collect();
    let deadly = jobs.submit("echo", json!({ "die": true }), None);
    let after = jobs.submit("echo", json!({ "n": 5 }), None);
    jobs.once();
    assert_eq!(jobs.ended(deadly).status, Status::Failed);
    for id in ids.into_iter().chain([after]) {
        assert_eq!(jobs.ended(id).attempts, 1);
        assert!(answer(&jobs, id)["data"]["n"].is_number());
    }
}

#[test]
fn a_program_that_cannot_be_started_is_said_in_the_job() {
    let jobs = Jobs::new("apps: { gone: { run: ./no-such-program, mode: stream } }\n", &[]);
    let id = jobs.submit("gone", json!({}), None);
    jobs.once();
    let job = jobs.get(id);
    assert_eq!((job.status, job.attempts), (Status::Pending, 0), "{job:?}");
    assert!(job.last_error.as_deref().unwrap().contains("no-such-program"), "{job:?}");
}

#[test]
fn an_idle_program_begins_a_job_while_another_works() {
    let apps = "apps:\n  echo: { run: python3 echo.py, mode: stream, workers: 2 }\n";
    let jobs = Jobs::new(apps, &[("echo.py", ECHO)]);
    let _run = jobs.run();
    let slow = jobs.submit("echo", json!({ "sleep": 300 }), None);
    jobs.until(slow, Status::Processing);
    let quick = jobs.submit("echo", json!({ "a": 1 }), None);
    assert_eq!(answer(&jobs, quick)["data"], json!({ "a": 1 }));
    assert_eq!(jobs.get(slow).status, Status::Processing);
    jobs.cancel(slow);
}
