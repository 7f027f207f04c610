//! Jobs that are cancelled, or whose process is killed: no program goes on, and each ends once.

use crate::kit::{Jobs, is_there, text};
use handover_core::{Delivery, Status};
use handover_testkit::process::wait_for;
use rustix::process::Signal;
use serde_json::{Value, json};

#[track_caller]
fn is_cancelled(job: &Delivery) {
    assert_eq!(job.status, Status::Failed, "{job:?}");
    assert!(job.last_error.as_deref().unwrap().starts_with("cancelled by "), "{job:?}");
    assert_eq!(job.result.as_ref().unwrap()["code"], "CANCELLED", "{job:?}");
}

#[test]
fn a_job_that_runs_ends_when_its_whole_tree_is_gone() {
    let jobs = Jobs::new(
        "apps: { tree: { run: \"sh -c 'sleep 300 & echo $! > child; echo started >&2; wait'\", retries: 3 } }\n",
        &[],
    );
    let _run = jobs.run();
    let id = jobs.submit("tree", Value::Null, None);
    let child = jobs.file("child");
    let said = jobs.cancel(id);
    assert!(said.contains("cancelling") && said.contains("ends when"), "{said}");
    let job = jobs.ended(id);
    is_cancelled(&job);
    assert!(!is_there(&child), "its child is gone when it has ended");
    assert_eq!((job.attempts, jobs.lines(id)), (1, vec!["started".to_owned()]));
}

#[test]
fn a_job_that_waits_ends_at_once() {
    let jobs = Jobs::new("apps: { wait: { run: sleep 300, workers: 1 } }\n", &[]);
    let first = jobs.submit("wait", Value::Null, None);
    let said = jobs.cancel(first);
    assert!(said.contains("is cancelled: it is not begun"), "{said}");
    is_cancelled(&jobs.get(first));
    let _run = jobs.run();
    let (runs, waits) = (jobs.submit("wait", Value::Null, None), jobs.submit("wait", Value::Null, None));
    jobs.until(runs, Status::Processing);
    jobs.cancel(waits);
    is_cancelled(&jobs.ended(waits));
    assert_eq!(jobs.get(runs).status, Status::Processing, "the other goes on");
    jobs.cancel(runs);
    is_cancelled(&jobs.ended(runs));
}

const SLOW: &str = r#"import json, os, sys, time
for line in sys.stdin:
    r = json.loads(line)
    open("pids", "a").write("%d\n" % os.getpid())
    if r["data"].get("sleep"): time.sleep(r["data"]["sleep"])
    print(json.dumps(dict(id=r["id"], status="completed", data=os.getpid())))
"#;

#[test]
fn a_job_that_a_stream_program_has_is_ended_and_what_it_had_beside_is_given_again() {
    let jobs = Jobs::new(
        "apps: { slow: { run: python3 slow.py, mode: stream, workers: 1, retries: 0 } }\n",
        &[("slow.py", SLOW)],
    );
    let _run = jobs.run();
    let id = jobs.submit("slow", json!({ "sleep": 300 }), None);
    let first = jobs.file("pids");
    for n in 0..3 {
        jobs.push("slow", json!({ "n": n }));
    }
    let waiting = jobs.submit("slow", json!({ "n": 9 }), None);
    let unwanted = jobs.submit("slow", json!({ "n": 10 }), None);
    jobs.cancel(unwanted);
    is_cancelled(&jobs.ended(unwanted));
    assert_eq!(jobs.get(id).status, Status::Processing);
    jobs.cancel(id);
    is_cancelled(&jobs.ended(id));
    assert!(!is_there(first.lines().next().unwrap()), "the program that had it is gone");
    assert_eq!(jobs.ended(waiting).status, Status::Completed);
    let records = wait_for(crate::kit::LONG, "the records", || {
        let filter = handover_ledger::Filter {
            app: Some("slow".into()),
            status: Some(Status::Completed),
            kind: Some(handover_core::Kind::Record),
            limit: 10,
            ..Default::default()
        };
        Some(jobs.list(filter)).filter(|records| records.len() == 3)
    });
    assert!(records.iter().all(|record| record.attempts == 1), "{records:?}");
}

#[test]
fn the_process_that_runs_a_job_is_killed_and_the_next_runs_it_once_to_its_end() {
    let jobs = Jobs::new(
        "apps: { job: { run: \"sh -c 'echo $$ >> pids; test -e go && echo done && exit; sleep 300'\", retries: 0 } }\n",
        &[],
    );
    let mut run = jobs.run();
    let id = jobs.submit("job", Value::Null, text("x", "text/plain"));
    let pid = jobs.file("pids");
    run.signal(Signal::KILL);
    run.end_within(crate::kit::LONG);
    wait_for(crate::kit::LONG, "the end of its program", || (!is_there(&pid)).then_some(()));
    jobs.project.write("go", "");
    jobs.once();
    assert_eq!(jobs.output(id), "done\n");
    assert_eq!(jobs.file("pids").lines().count(), 2);
    assert_eq!(jobs.get(id).attempts, 1, "a lost process costs no attempt");
}

#[test]
fn what_was_to_end_and_lost_its_process_ends_when_that_is_seen() {
    let jobs = Jobs::new("apps: { wait: { run: \"sh -c 'echo $$ > pid; sleep 300'\" } }\n", &[]);
    let mut run = jobs.run();
    let id = jobs.submit("wait", Value::Null, None);
    jobs.file("pid");
    run.stop_where(|| jobs.is_unlocked());
    assert!(jobs.cancel(id).contains("cancelling"));
    run.signal(Signal::KILL);
    run.end_within(crate::kit::LONG);
    assert_eq!(jobs.get(id).status, Status::Processing);
    jobs.once();
    is_cancelled(&jobs.get(id));
}

#[test]
fn why_tells_what_a_job_waits_for_and_that_it_is_to_end() {
    let jobs = Jobs::new("apps: { wait: { run: \"sh -c 'echo $$ > pid; sleep 300'\", workers: 1 } }\n", &[]);
    let why = |id: handover_core::DeliveryId| jobs.json(&["--json", "why", &id.to_string()]);
    let first = jobs.submit("wait", Value::Null, None);
    let said = why(first).to_string();
    assert!(said.contains("nothing runs that would work on it"), "{said}");
    let mut run = jobs.run();
    jobs.file("pid");
    let second = jobs.submit("wait", Value::Null, None);
    let said = why(second);
    let sentences = said["sentences"].to_string();
    assert!(
        sentences.contains("It waits for a free worker")
            && sentences.contains("1 worker, of its deliveries 1 is being"),
        "{said}"
    );
    let busy = format!("wait works on delivery {first} since ");
    assert!(sentences.contains(&busy) && sentences.contains(&format!("process {}", run.pid())), "{said}");
    run.stop_where(|| jobs.is_unlocked());
    jobs.cancel(first);
    let said = why(first);
    assert_eq!(said["state"], "cancelling", "{said}");
    assert!(said["sentences"][0].as_str().unwrap().starts_with("It was asked to stop at "), "{said}");
    assert!(said["release"].as_str().unwrap().contains("when its programs are gone"), "{said}");
    run.signal(Signal::CONT);
    is_cancelled(&jobs.ended(first));
    assert_eq!(why(first)["state"], "cancelled");
    jobs.cancel(second);
}

#[test]
fn a_file_that_is_worked_on_is_cancelled_the_same_way() {
    let jobs = Jobs::new(
        "apps: { in: { run: cat }, work: { run: \"sh -c 'sleep 300 & echo $! > child; wait'\" } }\n",
        &[("x.csv", "a\n1\n")],
    );
    let _run = jobs.run();
    let put = jobs.json(&["--json", "put", "x.csv", "--app", "in", "--type", "sales", "--next", "work"]);
    let id = put["delivery_id"].to_string().trim_matches('"').parse().unwrap();
    let child = jobs.file("child");
    jobs.cancel(id);
    is_cancelled(&jobs.ended(id));
    assert!(!is_there(&child));
    assert_eq!(handover_testkit::files_below(&jobs.project.join("data/work")).len(), 0);
}

#[test]
fn on_a_server_jobs_end_and_are_cancelled_too() {
    let server = handover_testkit::TemporaryPostgres::new();
    let configuration = format!(
        "ledger: '{}'\napps:\n  up: {{ run: tr a-z A-Z }}\n  wait: {{ run: \"sh -c 'echo $$ > pid; echo on >&2; sleep 300'\" }}\n  slow: {{ run: python3 slow.py, mode: stream, workers: 1 }}\n",
        server.url()
    );
    let jobs = Jobs::new(&configuration, &[("slow.py", SLOW)]);
    let _run = jobs.run();
    let (up, wait) =
        (jobs.submit("up", Value::Null, text("x", "text/plain")), jobs.submit("wait", Value::Null, None));
    let slow = jobs.submit("slow", json!({ "sleep": 300 }), None);
    assert_eq!(jobs.output(up), "X");
    let (pid, _) = (jobs.file("pid"), jobs.file("pids"));
    for id in [wait, slow] {
        assert!(jobs.cancel(id).contains("cancelling"));
        is_cancelled(&jobs.ended(id));
    }
    assert!(!is_there(&pid));
    assert_eq!(jobs.lines(wait), ["on"]);
    let quick = jobs.submit("slow", json!({}), None);
    assert_eq!(jobs.ended(quick).status, Status::Completed);
}
