//! Callers are kept apart: what one key does under a name leaves another's alone, and a key for some apps sees nothing of others.

use crate::http::Ask;
use crate::kit::Site;
use serde_json::json;

const APPS: &str = "apps:
  up: { run: 'tr a-z A-Z' }
  other: { run: cat }
  bill: { url: 'http://127.0.0.1:9' }
  owed: { url: 'http://127.0.0.1:9' }
";

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

#[test]
fn a_load_is_its_callers_and_its_apps_own() {
    let site = Site::new(APPS, "");
    let (ann, bob) = (site.key(&["--scope", "submit"]), site.key(&["--scope", "submit"]));
    let server = site.serve();
    let push = |key: &str, target: &str, lines: &str| {
        let ask = Ask::post(format!("/api/v1/staging/{target}")).body("application/x-ndjson", lines);
        let answer = server.client(key).ask(ask);
        (answer.status, answer.json()["records"].as_u64())
    };
    assert_eq!(push(&ann, "bill?load=day-1", "{\"a\":1}\n{\"a\":2}\n"), (200, Some(2)));
    assert_eq!(push(&bob, "bill?load=day-1", "{\"b\":1}\n"), (200, Some(1)));
    assert_eq!(push(&ann, "owed?load=day-1", "{\"c\":1}\n"), (200, Some(1)));
    assert_eq!(push(&ann, "bill?load=day-1", "{\"a\":1}\n{\"a\":2}\n"), (200, Some(0)));
    // Not those of Handover itself either, by whatever name.
    assert_eq!(push(&ann, "bill?load=split:1", "{\"d\":1}\n"), (200, Some(1)));
    let counts = server.client(&site.key(&["--scope", "read"])).get("/api/v1/apps/bill/status").json();
    assert_eq!(counts["pending"], 4);
}

#[test]
fn a_key_for_some_apps_names_no_file_and_no_source_of_others() {
    let site = Site::new(APPS, "");
    let all = site.key(&["--scope", "submit,read"]);
    let other = site.key(&["--scope", "submit,read", "--app", "other"]);
    let server = site.serve();
    let upload =
        Ask::post("/api/v1/files?app=up&type=secret&ext=csv").body("application/octet-stream", "a\n1\n");
    let path = server.client(&all).ask(upload).json()["path"].as_str().unwrap().to_owned();
    let job = json!({ "app": "other", "input_file": path });
    let refused = server.client(&other).post("/api/v1/jobs", &job);
    assert_eq!((refused.status, refused.code()), (422, "VALIDATION_ERROR".into()));
    assert_eq!(server.client(&other).get(format!("/api/v1/files/{path}")).status, 404);
    assert_eq!(server.client(&all).post("/api/v1/jobs", &job).status, 202);
    let forged = Ask::post("/api/v1/staging/other?from=up").body("application/x-ndjson", "{}\n");
    assert_eq!(server.client(&other).ask(forged).status, 403);
}

#[test]
fn a_rotated_key_goes_on_as_the_first_did() {
    let site = Site::new(APPS, "");
    let first = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let order = |key: &str| {
        let ask = Ask::post("/api/v1/jobs")
            .json(&json!({ "app": "up", "input": "x" }))
            .header("Idempotency-Key", "order-1");
        server.client(key).ask(ask).id()
    };
    let id = order(&first);
    let second = site.command(&["keys", "rotate", id_of(&first), "--grace", "1h"]).trim().to_owned();
    let third = site.command(&["keys", "rotate", id_of(&second), "--grace", "1h"]).trim().to_owned();
    assert_eq!(
        (order(&second), order(&third), order(&first)),
        (id, id, id),
        "one job, whichever of them asks"
    );
    assert_eq!(server.client(&third).get(format!("/api/v1/jobs/{id}")).status, 200);
}

#[test]
fn the_typed_operation_tells_one_input_from_another() {
    let site = Site::new(APPS, "");
    let key = site.key(&["--scope", "submit,read"]);
    let server = site.serve();
    let client = server.client(&key);
    let upload = Ask::post("/api/v1/files?app=up&type=t&ext=csv").body("application/octet-stream", "a\n");
    let path = client.ask(upload).json()["path"].as_str().unwrap().to_owned();
    let ask = |query: &str| {
        let ask = Ask::post(format!("/api/v2/apps/other/jobs{query}")).json(&json!({}));
        client.ask(ask.header("Idempotency-Key", "k")).status
    };
    assert_eq!(
        (ask(&format!("?input_file={path}")), ask(""), ask(&format!("?input_file={path}"))),
        (202, 422, 202)
    );
}

#[test]
fn a_number_that_would_come_out_as_another_is_refused() {
    let site = Site::new(APPS, "");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let ask = |text: &str| {
        let answer = server.client(&key).ask(Ask::post("/api/v1/jobs").body("application/json", text));
        (answer.status, answer.code())
    };
    let invalid = (422, "VALIDATION_ERROR".to_owned());
    assert_eq!(ask(r#"{"app":"up","config":{"n":12345678901234567890123}}"#), invalid);
    assert_eq!(ask(r#"{"app":"up","app":"other"}"#), invalid);
    let many = format!("{{\"app\":\"up\",\"input\":[{}0]}}", "0,".repeat(60_000));
    assert_eq!(ask(&many), invalid);
}
