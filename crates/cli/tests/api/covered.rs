//! Every status that the document promises for an operation is seen, by a request that provokes it.
//!
//! Statuses that the door itself gives (401, 429, 503 and 400) are provoked for all operations alike; the others by a row of
//! their own. None is documented that is not provoked.

use crate::document::{Document, Pair};
use crate::http::Ask;
use crate::kit::{Client, LONG, MUCH, OPEN, Site};
use handover_testkit::process::wait_for;
use handover_testkit::{HttpServer, Reply};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;

const APPS: &str = "apps:
  up: { run: 'tr a-z A-Z', job: { output: text/plain } }
  bad: { run: \"sh -c 'exit 65'\" }
  wait: { run: sleep 300 }
  bill: { url: 'http://127.0.0.1:9' }
";

/// The paths of an operation, filled in.
fn filled(path: &str, id: i64) -> String {
    let name = if path.contains("/results/") { "output" } else { "up_t_2025-11-24_001.txt" };
    path.replace("{id}", &id.to_string())
        .replace("{app}", "up")
        .replace("{folder}", "up")
        .replace("{date}", "2025-11-24")
        .replace("{name}", name)
}

/// A request of each operation that is good, but for what a test adds.
fn each(document: &Document, id: i64) -> Vec<Ask> {
    let ask = |(path, method, operation): (&str, &str, &serde_json::Value)| {
        let ask = Ask::new(&method.to_uppercase(), filled(path, id));
        let content = operation["requestBody"]["content"].as_object();
        match content.and_then(|content| content.keys().next()).map(String::as_str) {
            Some("application/json") if path.ends_with("/jobs") && !path.contains("/apps/") => {
                ask.json(&json!({ "app": "up" }))
            }
            Some("application/json") => ask.json(&json!({})),
            Some(media_type) => ask.body(media_type, "{}\n"),
            None => ask,
        }
    };
    document.operations().filter(|(_, _, operation)| !is_open(operation)).map(ask).collect()
}

/// Whether it needs no key.
fn is_open(operation: &serde_json::Value) -> bool {
    operation["security"] == json!([{}])
}

#[test]
fn every_documented_status_of_every_operation_is_seen() {
    let mut seen = BTreeSet::new();
    let mut all = BTreeSet::new();
    for site in [
        at_the_door,
        from_another_page,
        when_it_is_full,
        by_their_rows,
        when_results_are_gone,
        when_a_body_will_not_do,
    ] {
        let document = site();
        seen.extend(document.seen());
        all.extend(document.pairs());
    }
    let missing: Vec<&Pair> = all.iter().filter(|pair| !seen.contains(*pair)).collect();
    assert!(missing.is_empty(), "{} of {} are not seen: {missing:#?}", missing.len(), all.len());
}

/// 400, 401 and 429 for all.
fn at_the_door() -> std::sync::Arc<Document> {
    let site = Site::new(APPS, &format!("limits: {{ default: 4/d, {} }}", MUCH.split(", ").last().unwrap()));
    let spent = site.key(&["--scope", "admin"]);
    let server = site.serve();
    for _ in 0..5 {
        server.client(&spent).get("/api/v1/apps");
    }
    for ask in each(&server.document, 1) {
        assert_eq!(server.anyone().ask(ask.clone()).status, 401);
        assert_eq!(server.client(&spent).ask(ask.clone()).status, 429);
        let mut wrong = ask;
        wrong.target.push_str("?api_key=x");
        assert_eq!(server.anyone().ask(wrong).status, 400);
    }
    server.document.clone()
}

/// 403 for all, where anyone on this machine may ask, and a page of somebody else's does.
fn from_another_page() -> std::sync::Arc<Document> {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    for ask in each(&server.document, 1) {
        assert_eq!(server.anyone().ask(ask.header("Origin", "https://evil.example")).status, 403);
    }
    server.document.clone()
}

/// 503 for all.
fn when_it_is_full() -> std::sync::Arc<Document> {
    let site = Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, requests: 1 }}"));
    let server = site.serve();
    let client = server.anyone();
    let id = client.submit("wait", "");
    let waits = Ask::get(format!("/api/v1/jobs/{id}")).header("Prefer", "wait=60").send(server.address);
    wait_for(LONG, "a full house", || (client.get("/api/v1/apps").status == 503).then_some(()));
    for ask in each(&server.document, id).into_iter().chain([Ask::get("/readyz")]) {
        assert_eq!(client.ask(ask).status, 503);
    }
    assert_eq!(client.get("/livez").status, 200);
    drop(waits);
    wait_for(LONG, "room", || (client.get("/readyz").status == 200).then_some(()));
    server.document.clone()
}

#[track_caller]
fn expect(client: &Client, status: u16, ask: Ask) -> crate::http::Answer {
    let what = format!("{} {}", ask.method, ask.target);
    let answer = client.ask(ask);
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    answer
}

/// What each operation answers of itself, in both versions.
fn by_their_rows() -> std::sync::Arc<Document> {
    let service = HttpServer::start(|_| Reply::new(200, ""));
    let site = Site::new(&APPS.replace("http://127.0.0.1:9", &service.url()), "");
    let key = |words: &[&str]| site.key(words);
    let (admin, submit, read) =
        (key(&["--scope", "admin"]), key(&["--scope", "submit"]), key(&["--scope", "read"]));
    let bad_alone = key(&["--scope", "admin", "--app", "bad"]);
    let server = site.serve();
    let (all, submit, read) = (server.client(&admin), server.client(&submit), server.client(&read));
    let bad_alone = server.client(&bad_alone);
    for v in ["/api/v1", "/api/v2"] {
        let get = |path: &str| Ask::get(format!("{v}/{path}"));
        let post = |path: &str| Ask::post(format!("{v}/{path}"));
        let done = submit.submit("up", "x");
        let failed = all.submit("bad", "x");
        all.ended(done);
        all.ended(failed);
        for path in ["apps", "apps/up/status", "jobs", "deliveries"] {
            expect(&all, 200, get(path));
        }
        expect(&submit, 403, get("apps/up/status"));
        expect(&submit, 403, get("deliveries"));
        expect(&bad_alone, 403, get("jobs?app=up"));
        expect(&all, 404, get("apps/nope/status"));
        jobs_rows(&all, v, done, failed);
        for of in ["jobs", "deliveries"] {
            expect(&all, 404, get(&format!("{of}/999999")));
            expect(&all, 404, get(&format!("{of}/999999/explain")));
            expect(&all, 200, get(&format!("{of}/{done}")));
            expect(&all, 200, get(&format!("{of}/{done}/explain")));
            for act in ["cancel", "retry", "replay"] {
                expect(&all, 404, post(&format!("{of}/999999/{act}")));
                expect(&read, 403, post(&format!("{of}/{done}/{act}")));
            }
            for act in ["cancel", "retry"] {
                expect(&all, 409, post(&format!("{of}/{done}/{act}")));
            }
            expect(&all, 202, post(&format!("{of}/{done}/replay")));
            expect(&all, 202, post(&format!("{of}/{failed}/retry")));
            all.ended(failed);
            let later = json!({ "app": "up", "run_at": "2999-01-01T00:00:00Z" });
            let later = expect(&all, 202, post("jobs").json(&later)).id();
            expect(&all, 200, post(&format!("{of}/{later}/cancel")));
            let runs = all.submit("wait", "");
            all.until(runs, "processing");
            expect(&all, 202, post(&format!("{of}/{runs}/cancel")));
            all.ended(runs);
        }
        expect(&submit, 403, get(&format!("deliveries/{done}")));
        expect(&submit, 403, get(&format!("deliveries/{done}/explain")));
        expect(&read, 403, post("jobs").json(&json!({ "app": "up" })));
        staging_rows(&all, &read, v);
        files_rows(&all, &read, &submit, v);
    }
    for app in ["up", "bad", "wait", "bill"] {
        let typed = || Ask::post(format!("/api/v2/apps/{app}/jobs"));
        let id = expect(&all, 202, typed().json(&json!({}))).id();
        expect(&all, 422, typed().json(&json!([])));
        expect(&all, 415, typed().body("text/plain", "{}"));
        expect(&read, 403, typed().json(&json!({})));
        if app == "wait" {
            // It ends while another request for the same job waits for that.
            let twice = || typed().header("Idempotency-Key", "k").json(&json!({}));
            let slow = expect(&all, 202, twice()).id();
            let waiting = std::thread::spawn({
                let (all, twice) = (all.clone(), twice().header("Prefer", "wait=60"));
                move || all.ask(twice).status
            });
            expect(&all, 202, Ask::post(format!("/api/v1/jobs/{id}/cancel")));
            all.until(slow, "processing");
            expect(&all, 202, Ask::post(format!("/api/v1/jobs/{slow}/cancel")));
            assert_eq!(waiting.join().unwrap(), 200);
        } else {
            expect(&all, 200, typed().header("Prefer", "wait=60").json(&json!({})));
        }
    }
    for (path, _, operation) in server.document.operations().filter(|(path, _, _)| !path.starts_with("/api/"))
    {
        expect(&all, 200, Ask::get(path));
        if !is_open(operation) {
            expect(&submit, 403, Ask::get(path));
        }
    }
    server.document.clone()
}

fn jobs_rows(all: &Client, v: &str, done: i64, failed: i64) {
    let get = |path: String| Ask::get(format!("{v}/{path}"));
    let post = || Ask::post(format!("{v}/jobs"));
    expect(all, 202, post().json(&json!({ "app": "up" })));
    expect(all, 200, post().header("Prefer", "wait=60").json(&json!({ "app": "up" })));
    expect(all, 404, post().json(&json!({ "app": "nope" })));
    expect(all, 415, post().body("text/plain", "{}"));
    expect(all, 422, post().json(&json!({})));
    expect(all, 200, get(format!("jobs/{done}/results")));
    expect(all, 409, get(format!("jobs/{failed}/results")));
    expect(all, 404, get("jobs/999999/results".into()));
    expect(all, 200, get(format!("jobs/{done}/events")));
    expect(all, 404, get("jobs/999999/events".into()));
    let output = || get(format!("jobs/{done}/results/output"));
    let etag = expect(all, 200, output()).header("etag").unwrap().to_owned();
    expect(all, 206, output().header("Range", "bytes=0-0"));
    expect(all, 304, output().header("If-None-Match", etag));
    expect(all, 416, output().header("Range", "bytes=100-"));
    expect(all, 404, get(format!("jobs/{done}/results/nothing")));
    expect(all, 409, get(format!("jobs/{failed}/results/output")));
}

fn staging_rows(all: &Client, read: &Client, v: &str) {
    let post = |path: &str| Ask::post(format!("{v}/staging/{path}"));
    let (ndjson, line) = ("application/x-ndjson", "{\"n\":1}\n");
    expect(all, 200, post("bill").body(ndjson, line));
    expect(all, 415, post("bill").body("text/plain", line));
    expect(all, 422, post("bill").body(ndjson, "{oops\n"));
    expect(all, 404, post("nope").body(ndjson, line));
    expect(read, 403, post("bill").body(ndjson, line));
    let pulled = expect(all, 200, post("bill/pull").json(&json!({}))).json();
    expect(all, 415, post("bill/pull").body("text/plain", "{}"));
    expect(all, 422, post("bill/pull").json(&json!({ "max": 0 })));
    expect(all, 404, post("nope/pull").json(&json!({})));
    expect(read, 403, post("bill/pull").json(&json!({})));
    let token = json!({ "token": pulled["token"] });
    expect(all, 200, post("bill/ack").json(&token));
    expect(all, 409, post("bill/ack").json(&token));
    expect(all, 415, post("bill/ack").body("text/plain", "{}"));
    expect(all, 422, post("bill/ack").json(&json!({})));
    expect(all, 404, post("nope/ack").json(&token));
    expect(read, 403, post("bill/ack").json(&token));
    // The same load from two at once: whoever finds that the other went on is told.
    let load = format!("bill?load=shared-{}", &v[5..]);
    let (some, rest) = (line.repeat(20_000), line.repeat(10));
    let held = post(&load).body(ndjson, some.clone()).claims((some.len() + rest.len()) as u64);
    let held = all.with_key(held);
    let mut first = held.send(all.address);
    let whole = post(&load).body(ndjson, some + &rest);
    // While the first brings its part in, this one may be the one that is told.
    wait_for(LONG, "the whole load", || (all.ask(whole.clone()).status == 200).then_some(()));
    first.write_all(rest.as_bytes()).unwrap();
    assert_eq!(all.finish(&held, first).status, 409);
}

fn files_rows(all: &Client, read: &Client, submit: &Client, v: &str) {
    let path = format!("{v}/files/up/2025-11-24/up_{}_2025-11-24_001.txt", &v[5..]);
    let put = |text: &str| Ask::new("PUT", &path).body("application/octet-stream", text);
    let made = expect(all, 201, put("hello")).json()["delivery_id"].clone();
    expect(all, 409, Ask::post(format!("{v}/deliveries/{made}/replay")));
    expect(all, 204, put("hello"));
    expect(all, 409, put("other"));
    expect(read, 403, put("hello"));
    let mut nobody = put("x");
    nobody.target.push_str("?next=nobody");
    nobody.target = nobody.target.replace("_001", "_002");
    expect(all, 422, nobody);
    let get = || Ask::get(&path);
    let etag = expect(all, 200, get()).header("etag").unwrap().to_owned();
    expect(all, 206, get().header("Range", "bytes=0-0"));
    expect(all, 304, get().header("If-None-Match", etag));
    expect(all, 416, get().header("Range", "bytes=100-"));
    expect(all, 404, Ask::get(path.replace("_001", "_009")));
    expect(submit, 403, get());
    let post = |query: &str| Ask::post(format!("{v}/files?{query}")).body("application/octet-stream", "x");
    expect(all, 201, post("app=up&type=t&ext=txt"));
    expect(all, 422, post("app=up&type=t&ext=txt&next=nobody"));
    expect(read, 403, post("app=up&type=t&ext=txt"));
}

/// 410.
fn when_results_are_gone() -> std::sync::Arc<Document> {
    let site = Site::new(APPS, "auth: none, results: 0s");
    let server = site.serve();
    let client = server.anyone();
    let id = client.submit("up", "x");
    client.ended(id);
    for v in ["v1", "v2"] {
        expect(&client, 410, Ask::get(format!("/api/{v}/jobs/{id}/results")));
        expect(&client, 410, Ask::get(format!("/api/{v}/jobs/{id}/results/output")));
    }
    server.document.clone()
}

/// 408 and 413.
fn when_a_body_will_not_do() -> std::sync::Arc<Document> {
    let site =
        Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, idle: 200ms, body: 1KiB, upload: 1KiB }}"));
    let server = site.serve();
    let client = server.anyone();
    let with_body: Vec<Ask> =
        each(&server.document, 1).into_iter().filter(|ask| !ask.body.is_empty()).collect();
    std::thread::scope(|scope| {
        for mut ask in with_body {
            let client = client.clone();
            scope.spawn(move || {
                if ask.path().ends_with("/files") {
                    ask.target.push_str("?app=up&type=t&ext=txt");
                }
                expect(&client, 408, ask.clone().claims(100));
                expect(&client, 413, ask.claims(100_000));
            });
        }
    });
    server.document.clone()
}
