//! Asking twice is one job: at the same moment, after a death, and for each caller by itself.

use crate::http::{Answer, Ask};
use crate::kit::{Client, OPEN, Site};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CLIENTS: usize = 50;
/// Each run of the program leaves a line.
const NOTES: &str = "apps: { note: { run: \"sh -c 'cat; echo run >> runs'\" } }";

fn keyed(key: &str, input: &str) -> Ask {
    Ask::post("/api/v1/jobs").header("Idempotency-Key", key).json(&json!({ "app": "note", "input": input }))
}

#[track_caller]
fn runs(site: &Site) -> usize {
    site.file("runs").lines().count()
}

fn fifty_equal_requests_make_one_job(site: &Site) {
    let server = site.serve();
    let client = server.anyone();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| client.ask(keyed("\"order-1\"", "hello")))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    let ids: BTreeSet<i64> = answers.iter().map(Answer::id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let bodies: BTreeSet<Vec<u8>> = answers.iter().map(|answer| answer.body.clone()).collect();
    assert_eq!(bodies.len(), 1, "all are told the same");
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!(first, 1, "one made it, all others are told of it");
    let id = answers[0].id();
    assert_eq!(answers[0].header("location"), Some(format!("/api/v1/jobs/{id}").as_str()));
    assert_eq!((client.output(id), runs(site)), ("hello".into(), 1));
    assert_eq!(client.get("/api/v1/jobs").json()["jobs"].as_array().unwrap().len(), 1);
    let differs = client.ask(keyed("order-1", "another"));
    assert_eq!((differs.status, differs.code()), (422, "IDEMPOTENCY_KEY_REUSED".into()));
    // The same after the process was killed, from the next one.
    server.kill();
    let server = site.serve();
    let client = server.anyone();
    let again = client.ask(keyed("order-1", "hello"));
    assert_eq!((again.status, again.id()), (202, id));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, answers[0].body, "it is answered as it was the first time");
    assert_eq!(client.ask(keyed("order-1", "another")).status, 422);
    let waits = client.ask(keyed("order-1", "hello").header("Prefer", "wait=10"));
    assert_eq!((waits.status, &waits.json()["status"]), (200, &json!("completed")));
    assert_eq!((client.output(id), runs(site)), ("hello".into(), 1));
}

#[test]
fn fifty_equal_requests_at_once_make_one_job() {
    fifty_equal_requests_make_one_job(&Site::new(NOTES, OPEN));
}

#[test]
fn fifty_equal_requests_at_once_make_one_job_on_a_server() {
    let site = Site::on_a_server(NOTES, OPEN);
    assert!(site.has_server());
    fifty_equal_requests_make_one_job(&site);
}

#[test]
fn the_same_in_another_writing_is_the_same_and_an_app_can_demand_a_key() {
    let site = Site::new(
        "apps: { must: { run: cat, job: { idempotency_key: required } }, may: { run: cat } }",
        OPEN,
    );
    let server = site.serve();
    let client = server.anyone();
    let missing = client.post("/api/v1/jobs", &json!({ "app": "must", "input": "x" }));
    assert_eq!((missing.status, missing.code()), (400, "IDEMPOTENCY_KEY_REQUIRED".into()));
    let missing = client.post("/api/v2/apps/must/jobs", &json!({}));
    assert_eq!((missing.status, missing.code()), (400, "IDEMPOTENCY_KEY_REQUIRED".into()));
    let ask = |key: &str, body: &str| {
        client.ask(Ask::post("/api/v1/jobs").header("Idempotency-Key", key).body("application/json", body))
    };
    let first = ask("a", r#"{"app": "must", "config": {"x": 1, "y": [2]}}"#);
    let spaced = ask("\"a\"", "{ \"config\": {\"y\":[2],\n \"x\":1}, \"app\":\"must\" }");
    assert_eq!((first.status, spaced.status, spaced.id()), (202, 202, first.id()));
    assert_ne!(ask("b", r#"{"app": "must", "config": {"x": 1, "y": [2]}}"#).id(), first.id());
    for wrong in ["\"", "\"open", &"x".repeat(256)] {
        let answer = ask(wrong, r#"{"app": "may"}"#);
        assert_eq!((answer.status, answer.code()), (400, "IDEMPOTENCY_KEY_INVALID".into()), "{wrong}");
    }
    let twice = Ask::post("/api/v1/jobs").header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    assert_eq!(client.ask(twice.json(&json!({ "app": "may" }))).code(), "IDEMPOTENCY_KEY_INVALID");
    // A refused request uses its key up for nobody.
    assert_eq!(ask("c", r#"{"app": "must", "config": 7}"#).status, 422);
    assert_eq!(ask("c", r#"{"app": "must", "config": {}}"#).status, 202);
}

#[test]
fn equal_keys_of_two_callers_are_two() {
    let site = Site::new(NOTES, "");
    let keys = [site.key(&["--scope", "submit,read"]), site.key(&["--scope", "submit,read"])];
    let server = site.serve();
    let clients: Vec<Client> = keys.iter().map(|key| server.client(key)).collect();
    let ids: Vec<i64> = clients.iter().map(|client| client.ask(keyed("k", "x")).id()).collect();
    assert_ne!(ids[0], ids[1]);
    let again: Vec<Value> =
        clients.iter().map(|client| client.ask(keyed("k", "x")).json()["id"].clone()).collect();
    assert_eq!(again, [json!(ids[0]), json!(ids[1])]);
}

#[test]
fn what_was_taken_is_answered_though_it_would_not_be_taken_any_more() {
    let apps = |least: u32| {
        format!(
            "apps: {{ up: {{ run: cat, job: {{ config: {{ type: object, properties: {{ n: {{ type: integer, minimum: {least} }} }} }} }} }} }}"
        )
    };
    let site = Site::new(&apps(0), OPEN);
    let ask = |n: u32| {
        Ask::post("/api/v1/jobs")
            .json(&json!({ "app": "up", "config": { "n": n } }))
            .header("Idempotency-Key", "k")
    };
    let server = site.serve();
    let id = server.anyone().ask(ask(1)).id();
    server.stop();
    let text = site.file("handover.yaml").replace("minimum: 0", "minimum: 5");
    site.project.write("handover.yaml", &text);
    let server = site.serve();
    let again = server.anyone().ask(ask(1));
    assert_eq!((again.status, again.id(), again.header("idempotency-replayed")), (202, id, Some("true")));
    let other = server.anyone().ask(ask(2));
    assert_eq!((other.status, other.code()), (422, "VALIDATION_ERROR".into()));
}
