//! Jobs that are asked to end: at once where they wait, else when all that they started is gone.

use crate::kit::{Client, OPEN, Site, is_there};
use serde_json::{Value, json};

const TREE: &str = r#"apps:
  tree: { run: "sh -c 'trap \"\" TERM; sh -c \"trap \\\"\\\" TERM; echo \\$\\$ > child; while :; do sleep 0.05; done\" & echo $$ > pid; wait'", workers: 1 }
  quick: { run: cat }
"#;

#[track_caller]
fn is_cancelled(job: &Value) {
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!("CANCELLED")), "{job:#}");
    assert_eq!(job["cancelling"], false, "{job:#}");
}

#[track_caller]
fn cancel(client: &Client, version: &str, id: i64) -> (u16, Value) {
    let answer = client.act(format!("/api/{version}/jobs/{id}/cancel"));
    (answer.status, answer.json())
}

fn jobs_end_when_they_are_asked_to(site: &Site) {
    let server = site.serve();
    let client = server.anyone();
    let (runs, waits) = (client.submit("tree", "x"), client.submit("tree", "y"));
    let pids = [site.file("child"), site.file("pid")];
    let pending = cancel(&client, "v1", waits);
    assert_eq!(pending, (200, json!({ "id": waits, "status": "failed", "cancelling": false })));
    is_cancelled(&client.job(waits));
    // Its programs do not heed SIGTERM: it is cancelling until they are killed.
    let asked = (202, json!({ "id": runs, "status": "processing", "cancelling": true }));
    assert_eq!([cancel(&client, "v1", runs), cancel(&client, "v2", runs)], [asked.clone(), asked]);
    let job = client.job(runs);
    if job["status"] == "processing" {
        assert_eq!(job["cancelling"], true, "{job:#}");
    }
    is_cancelled(&client.ended(runs));
    for pid in pids {
        assert!(!is_there(&pid), "it has ended, and {pid} runs");
    }
    let results = client.get(format!("/api/v1/jobs/{runs}/results"));
    assert_eq!((results.status, results.code()), (409, "JOB_FAILED".into()));
    // What has ended stays as it is.
    for id in [runs, waits] {
        let again = client.act(format!("/api/v1/jobs/{id}/cancel"));
        assert_eq!((again.status, again.code()), (409, "ILLEGAL_TRANSITION".into()));
    }
    let done = client.submit("quick", "z");
    client.ended(done);
    assert_eq!(client.act(format!("/api/v1/jobs/{done}/cancel")).status, 409);
    assert_eq!(client.output(done), "z");
    assert_eq!(client.act("/api/v1/jobs/999999/cancel").status, 404);
}

#[test]
fn jobs_end_when_they_are_asked_to_and_all_their_programs_are_gone() {
    jobs_end_when_they_are_asked_to(&Site::new(TREE, OPEN));
}

#[test]
fn jobs_end_when_they_are_asked_to_on_a_server() {
    jobs_end_when_they_are_asked_to(&Site::on_a_server(TREE, OPEN));
}

#[test]
fn a_cancelled_job_can_be_tried_again_or_run_anew() {
    let site = Site::new("apps: { late: { run: cat }, other: { run: cat } }", OPEN);
    let server = site.serve();
    let client = server.anyone();
    let later = json!({ "app": "late", "input": "x", "run_at": "2999-01-01T00:00:00Z" });
    let id = client.post("/api/v1/jobs", &later).id();
    assert_eq!(client.act(format!("/api/v1/jobs/{id}/retry")).status, 409, "it has not failed");
    assert_eq!(cancel(&client, "v1", id).0, 200);
    let retried = client.act(format!("/api/v1/jobs/{id}/retry"));
    assert_eq!(retried.status, 202, "{retried:?}");
    assert_eq!(client.output(id), "x", "a retry is for now");
    let replayed = client.act(format!("/api/v1/jobs/{id}/replay"));
    assert_eq!((replayed.status, &replayed.json()["replay_of"]), (202, &json!(id)));
    let again = replayed.id();
    assert_eq!(replayed.header("location"), Some(format!("/api/v1/jobs/{again}").as_str()));
    assert_eq!((client.output(again), &client.job(again)["replay_of"]), ("x".into(), &json!(id)));
    let said = client.get(format!("/api/v1/jobs/{id}/explain"));
    assert_eq!((said.status, &said.json()["state"]), (200, &json!("done")));
}
