//! Records over HTTP: pushed in bulk in each format, cut and resumed, pulled and answered.

use crate::http::{Answer, Ask, connect, read_answer};
use crate::kit::{Client, LONG, OPEN, Site};
use handover_testkit::process::wait_for;
use serde_json::{Value, json};
use std::io::Write;

/// Nobody here works on their records but who pulls them.
const APPS: &str = "apps: { bill: { url: 'http://127.0.0.1:9' }, other: { url: 'http://127.0.0.1:9' } }";

fn push(query: &str, media_type: &str, body: &str) -> Ask {
    Ask::post(format!("/api/v1/staging/bill{query}")).body(media_type, body)
}

#[track_caller]
fn pull(client: &Client, body: &Value) -> Value {
    let answer = client.post("/api/v1/staging/bill/pull", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn ack(client: &Client, token: &Value, more: &Value) -> Answer {
    let mut body = more.clone();
    body["token"] = token.clone();
    client.post("/api/v1/staging/bill/ack", &body)
}

fn ids(pulled: &Value) -> Vec<i64> {
    pulled["records"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
}

fn waiting(client: &Client) -> Value {
    client.get("/api/v1/apps/bill/status").json()["pending"].clone()
}

#[test]
fn records_are_pushed_in_each_format_and_pulled_as_they_are() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let rows = [
        ("application/x-ndjson", "{\"n\":1}\n\n{\"n\":2}"),
        ("application/json", "[{\"n\":3},{\"n\":4}]"),
        ("text/csv; charset=utf-8", "n\n5\n6\n"),
    ];
    for (media_type, body) in rows {
        let answer = client.ask(push("", media_type, body));
        assert_eq!((answer.status, &answer.json()["records"]), (200, &json!(2)), "{answer:?}");
    }
    assert_eq!(client.ask(push("", "application/x-ndjson", "{\"n\":7}\n").chunked()).json()["records"], 1);
    let pulled = pull(&client, &json!({ "max": 100 }));
    let data: Vec<String> =
        pulled["records"].as_array().unwrap().iter().map(|one| one["data"]["n"].to_string()).collect();
    assert_eq!(data, ["1", "2", "3", "4", "\"5\"", "\"6\"", "7"], "cells of CSV are text");
    let done = ack(&client, &pulled["token"], &json!({}));
    assert_eq!((done.status, done.json()), (200, json!({ "records": 7 })));
    assert_eq!(pull(&client, &json!({}))["records"], json!([]));
    let none = client.act("/api/v1/staging/bill/pull");
    assert_eq!((none.status, &none.json()["token"]), (200, &Value::Null), "no body is no wish");
    // By a dedup key a record is taken once.
    let twice = "{\"k\":\"a\"}\n{\"k\":\"a\"}\n{\"k\":\"b\"}\n";
    let answer = client.ask(push("?dedup=k", "application/x-ndjson", twice));
    assert_eq!((&answer.json()["records"], &answer.json()["duplicates"]), (&json!(3), &json!(1)));
    assert_eq!(waiting(&client), 2);
}

#[test]
fn a_push_that_was_cut_goes_on_under_its_load() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let all: String =
        (0..30_000).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(40))).collect();
    // Half of it comes, and the connection ends.
    let mut stream = connect(server.address);
    let head = format!(
        "POST /api/v1/staging/bill?load=orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        all.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&all.as_bytes()[..all.len() / 2]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    if let Some(answer) = read_answer(stream, "POST") {
        assert_eq!((answer.status, answer.code()), (408, "BODY_CUT".into()), "{answer:?}");
    }
    let resumed = wait_for(LONG, "the load to be free", || {
        let answer = client.ask(push("?load=orders", "application/x-ndjson", &all));
        (answer.status != 409).then_some(answer)
    });
    assert_eq!(resumed.status, 200, "{resumed:?}");
    let done = resumed.json();
    assert_eq!(done["records"].as_u64().unwrap() + done["already"].as_u64().unwrap(), 30_000, "{done:#}");
    assert_eq!(waiting(&client), 30_000);
    let again = client.ask(push("?load=orders", "application/x-ndjson", &all)).json();
    assert_eq!((&again["ended_before"], &again["records"]), (&json!(true), &json!(0)));
    assert_eq!(waiting(&client), 30_000, "nothing twice, nothing missing");
}

#[test]
fn a_record_that_will_not_do_is_told_with_what_is_in() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let bad = "{\"n\":1}\n{\"n\":2}\n{oops\n{\"n\":3}\n";
    let answer = client.ask(push("?load=l", "application/x-ndjson", bad));
    assert_eq!((answer.status, answer.code()), (422, "VALIDATION_ERROR".into()));
    let said = answer.json()["error"]["details"][0].to_string();
    assert!(said.contains("line 3") && said.contains("in the ledger"), "{said}");
    let is_in = waiting(&client).as_u64().unwrap();
    assert!(
        said.contains(&format!("{is_in} records")) || (is_in == 0 && said.contains("nothing of it")),
        "{is_in}: {said}"
    );
    // Mended, it goes on under the same name.
    let mended = client.ask(push("?load=l", "application/x-ndjson", &bad.replace("{oops", "{\"n\":0}")));
    assert_eq!((mended.status, waiting(&client)), (200, json!(4)), "{mended:?}");
    // Whole or not at all.
    let whole = client.ask(push("?load=w&whole=true", "application/x-ndjson", bad));
    assert_eq!((whole.status, waiting(&client)), (422, json!(4)));
    for (media_type, body) in [
        ("application/json", "[{\"n\":1},"),
        ("application/json", "{\"n\":1}x"),
        ("text/csv", "a,b\n1\n"),
        ("application/x-ndjson", "[1]\n\0\n"),
    ] {
        let answer = client.ask(push("", media_type, body));
        assert!([200, 422].contains(&answer.status), "{media_type} {body:?}: {answer:?}");
    }
    for query in ["?whole=true", "?load=", "?from=A+b", "?flow=none", "?priority=x", "?more=1"] {
        assert_eq!(client.ask(push(query, "text/csv", "a\n1\n")).status, 400, "{query}");
    }
    let nobody = client.ask(Ask::post("/api/v1/staging/nobody").body("text/csv", "a\n1\n"));
    assert_eq!((nobody.status, nobody.code()), (404, "NOT_FOUND".into()));
}

#[test]
fn a_claim_is_answered_once_by_its_token() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let six: String = (0..6).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    client.ask(push("", "application/x-ndjson", &six));
    let first = pull(&client, &json!({ "max": 5, "lease_seconds": 60 }));
    let (token, claimed) = (&first["token"], ids(&first));
    assert_eq!(claimed.len(), 5);
    assert_eq!(ids(&pull(&client, &json!({ "max": 5 }))).len(), 1, "what is claimed is nobody else's");
    assert_eq!(
        ack(&client, token, &json!({ "outcome": "extend", "lease_seconds": 600 })).json()["records"],
        5
    );
    let one = |n: usize, outcome: &str| {
        ack(&client, token, &json!({ "ids": [claimed[n]], "outcome": outcome, "error": "because" }))
    };
    assert_eq!(one(0, "completed").json()["records"], 1);
    assert_eq!(one(1, "failed").json()["records"], 1);
    assert_eq!(one(2, "retry").json()["records"], 1);
    let delivery = |n: usize| client.get(format!("/api/v1/deliveries/{}", claimed[n])).json();
    assert_eq!(delivery(0)["status"], "completed");
    assert_eq!((&delivery(1)["status"], &delivery(1)["last_error"]), (&json!("failed"), &json!("because")));
    assert_eq!((&delivery(2)["status"], &delivery(2)["attempts"]), (&json!("pending"), &json!(1)));
    let twice = one(0, "completed");
    assert_eq!((twice.status, twice.code()), (409, "STALE".into()));
    // All count, or none.
    let mixed = ack(&client, token, &json!({ "ids": [claimed[3], claimed[0]] }));
    assert_eq!((mixed.status, &delivery(3)["status"]), (409, &json!("processing")));
    let elsewhere = client.post("/api/v1/staging/other/ack", &json!({ "token": token }));
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    assert_eq!(ack(&client, token, &json!({})).json()["records"], 2);
    assert_eq!(ack(&client, token, &json!({})).status, 409);
    // A failed one is tried again by hand, and a lease that ends gives its records back.
    assert_eq!(client.act(format!("/api/v1/deliveries/{}/retry", claimed[1])).status, 202);
    let short = wait_for(LONG, "the retried", || {
        let pulled = pull(&client, &json!({ "max": 1, "lease_seconds": 1, "wait_seconds": 1 }));
        pulled["token"].is_string().then_some(pulled)
    });
    let id = ids(&short)[0];
    wait_for(LONG, "the end of its lease", || {
        (client.get(format!("/api/v1/deliveries/{id}")).json()["status"] == "pending").then_some(())
    });
    assert_eq!(ack(&client, &short["token"], &json!({})).status, 409);
    for wrong in [
        json!({ "max": 0 }),
        json!({ "max": -1 }),
        json!({ "lease_seconds": 0 }),
        json!({ "wait_seconds": 61 }),
        json!({ "mex": 1 }),
    ] {
        assert_eq!(client.post("/api/v1/staging/bill/pull", &wrong).status, 422, "{wrong}");
    }
    for wrong in [
        json!({}),
        json!({ "token": "x" }),
        json!({ "token": short["token"], "outcome": "done" }),
        json!({ "token": 7 }),
    ] {
        assert_eq!(client.post("/api/v1/staging/bill/ack", &wrong).status, 422, "{wrong}");
    }
}

#[test]
fn who_waits_for_records_gets_them_when_they_come() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let waits =
        Ask::post("/api/v1/staging/bill/pull").json(&json!({ "wait_seconds": 60 })).send(server.address);
    client.ask(push("", "application/x-ndjson", "{\"n\":1}\n"));
    let pulled = read_answer(waits, "POST").unwrap().json();
    assert_eq!(pulled["records"][0]["data"]["n"], 1, "{pulled:#}");
    let waits =
        Ask::post("/api/v1/staging/bill/pull").json(&json!({ "wait_seconds": 60 })).send(server.address);
    // A request that has not been read when the server stops gets no answer.
    wait_for(LONG, "the request that waits", || {
        let metrics = client.get("/metrics").text();
        let taken = metrics.lines().find_map(|line| line.strip_prefix("handover_api_requests_in_flight "));
        // The one for the metrics is the other.
        (taken == Some("2")).then_some(())
    });
    server.stop();
    assert_eq!(read_answer(waits, "POST").map(|answer| answer.json()["records"].clone()), Some(json!([])));
}
