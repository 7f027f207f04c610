//! Who may ask what: keys, scopes, apps, ends of keys; and that no secret is told to anyone.

use crate::http::Ask;
use crate::kit::{Client, LONG, Site};
use handover_testkit::process::wait_for;
use serde_json::json;

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' }, other: { run: cat }, slow: { run: sleep 300 } }";
const EACH: [&str; 4] = ["read", "submit", "operate", "admin"];

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

#[track_caller]
fn refused(client: &Client) {
    let answer = client.get("/api/v1/apps");
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHORIZED".into()));
}

#[test]
fn without_a_good_key_nothing_is_answered() {
    let site = Site::new(APPS, "");
    let key = site.key(&[]);
    let server = site.serve();
    assert_eq!(server.client(&key).get("/api/v1/apps").status, 200);
    refused(&server.anyone());
    let (all, last) = key.split_at(key.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    let unknown = format!("ho_0123456789_{}", "0".repeat(32));
    for wrong in
        [&format!("{all}{other}"), all, &key[1..], &unknown, "x", &key.to_uppercase(), &format!("{key} x")]
    {
        refused(&server.client(wrong));
    }
    let with = |name: &str, value: &str| server.anyone().ask(Ask::get("/api/v1/apps").header(name, value));
    assert_eq!(with("X-API-Key", &key).status, 200);
    assert_eq!(with("authorization", &format!("bearer {key}")).status, 200);
    assert_eq!(with("Authorization", &format!("Basic {key}")).status, 401);
    assert_eq!(with("Authorization", &key).status, 401);
    assert_eq!(with("X-API-Key", "").status, 401);
    let twice = Ask::get("/api/v1/apps").header("X-API-Key", &key).header("X-API-Key", &key);
    assert_eq!(server.anyone().ask(twice).status, 400);
    for name in ["api_key", "key", "token", "ACCESS_TOKEN", "%61pikey", "x-api-key"] {
        let answer = server.client(&key).get(format!("/api/v1/apps?a=b&{name}={key}"));
        assert_eq!((answer.status, answer.code()), (400, "KEY_IN_QUERY".into()), "{name}");
    }
    // A path that is not there tells nothing to who may not ask.
    assert_eq!(server.anyone().get("/api/v1/nothing").status, 401);
    for open in ["/livez", "/readyz", "/api/openapi.json", "/api/docs/"] {
        assert_eq!(server.anyone().get(open).status, 200, "{open}");
    }
}

#[test]
fn keys_end_by_time_by_revoking_and_by_rotating() {
    let site = Site::new(APPS, "");
    let (expires, revoked, rotated) = (site.key(&["--expires", "4s"]), site.key(&[]), site.key(&[]));
    let server = site.serve();
    let ends = |key: &str| {
        let client = server.client(key);
        wait_for(LONG, "the end of a key", || (client.get("/api/v1/apps").status == 401).then_some(()));
    };
    let (revoke, rotate) = (server.client(&revoked), server.client(&rotated));
    assert_eq!((revoke.get("/api/v1/apps").status, rotate.get("/api/v1/apps").status), (200, 200));
    site.command(&["keys", "revoke", id_of(&revoked)]);
    ends(&revoked);
    let new = site.command(&["keys", "rotate", id_of(&rotated), "--grace", "1h"]).trim().to_owned();
    wait_for(LONG, "the new key", || (server.client(&new).get("/api/v1/apps").status == 200).then_some(()));
    assert_eq!(rotate.get("/api/v1/apps").status, 200, "the old one goes on");
    let last = site.command(&["keys", "rotate", id_of(&new), "--grace", "0s"]).trim().to_owned();
    ends(&new);
    wait_for(LONG, "the last key", || (server.client(&last).get("/api/v1/apps").status == 200).then_some(()));
    assert_eq!(rotate.get("/api/v1/apps").status, 200, "its time is its own");
    ends(&expires);
}

/// An operation, and which scopes may: 404 is for what a key may not see.
struct Row {
    ask: Ask,
    may: &'static [&'static str],
    hidden_from: &'static [&'static str],
}

fn table(id: i64) -> Vec<Row> {
    const READ: &[&str] = &["read", "operate", "admin"];
    const SUBMIT: &[&str] = &["submit", "admin"];
    const OPERATE: &[&str] = &["operate", "admin"];
    const NONE: &[&str] = &[];
    const OWN: &[&str] = &["submit"];
    let row = |ask: Ask, may, hidden_from| Row { ask, may, hidden_from };
    let mut rows = Vec::new();
    for v in ["/api/v1", "/api/v2"] {
        let get = |path: &str| Ask::get(format!("{v}/{path}"));
        let post = |path: &str| Ask::post(format!("{v}/{path}"));
        let job = json!({ "app": "up", "input": "x" });
        rows.extend([
            row(get("apps"), &EACH as &[_], NONE),
            row(get("apps/up/status"), READ, NONE),
            row(get("jobs"), &EACH as &[_], NONE),
            row(post("jobs").json(&job), SUBMIT, NONE),
            row(get("deliveries"), READ, NONE),
            row(post("staging/up").body("application/x-ndjson", "{}\n"), SUBMIT, NONE),
            row(post("staging/up/pull").json(&json!({})), SUBMIT, NONE),
            row(post("staging/up/ack").json(&json!({ "token": "x" })), SUBMIT, NONE),
            row(post("files?app=up&type=t&ext=txt").body("text/plain", "x"), SUBMIT, NONE),
            row(
                Ask::new("PUT", format!("{v}/files/up/2025-11-24/up_t_2025-11-24_001.txt"))
                    .body("text/plain", "x"),
                SUBMIT,
                NONE,
            ),
            row(get("files/up/2025-11-24/up_t_2025-11-24_009.txt"), READ, NONE),
        ]);
        for tail in ["", "/results", "/results/output", "/events", "/explain"] {
            rows.push(row(get(&format!("jobs/{id}{tail}")), READ, OWN));
        }
        for tail in ["/cancel", "/retry", "/replay"] {
            rows.push(row(post(&format!("jobs/{id}{tail}")), OPERATE, OWN));
            rows.push(row(post(&format!("deliveries/{id}{tail}")), OPERATE, NONE));
        }
        for tail in ["", "/explain"] {
            rows.push(row(get(&format!("deliveries/{id}{tail}")), READ, NONE));
        }
    }
    rows.push(row(Ask::post("/api/v2/apps/up/jobs").json(&json!({})), SUBMIT, NONE));
    rows
}

#[test]
fn each_scope_may_what_the_table_says_and_nothing_else() {
    let site = Site::new(APPS, "");
    let keys = EACH.map(|scope| site.key(&["--scope", scope]));
    let server = site.serve();
    let admin = server.client(&keys[3]);
    let id = admin.submit("up", "x");
    admin.ended(id);
    let rows = table(id);
    // Every operation of the document is in the table.
    let all: usize = server.document.operations().filter(|(path, _, _)| path.starts_with("/api/")).count();
    assert_eq!(rows.len(), all - 2, "the other apps' operations are as the first one's");
    for row in rows {
        for (scope, key) in EACH.iter().zip(&keys) {
            let answer = server.client(key).ask(row.ask.clone());
            let what = format!("{scope}: {} {}: {answer:?}", row.ask.method, row.ask.target);
            if row.may.contains(scope) {
                assert!(![401, 403].contains(&answer.status), "{what}");
            } else if row.hidden_from.contains(scope) {
                assert_eq!(answer.status, 404, "{what}");
            } else {
                assert_eq!((answer.status, answer.code()), (403, "FORBIDDEN".into()), "{what}");
            }
        }
    }
}

#[test]
fn a_key_that_may_submit_sees_and_ends_its_own_jobs_alone() {
    let site = Site::new(APPS, "");
    let (mine, others) = (site.key(&["--scope", "submit"]), site.key(&["--scope", "submit"]));
    let server = site.serve();
    let (mine, others) = (server.client(&mine), server.client(&others));
    let (id, other) = (mine.submit("up", "x"), others.submit("up", "y"));
    assert_eq!((mine.output(id), others.output(other)), ("X".into(), "Y".into()));
    let listed = mine.get("/api/v1/jobs").json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(listed["jobs"][0]["id"], id);
    for tail in ["", "/results", "/results/output", "/events", "/explain"] {
        assert_eq!(mine.get(format!("/api/v1/jobs/{other}{tail}")).status, 404, "{tail}");
    }
    let (slow, theirs) = (mine.submit("slow", ""), others.submit("slow", ""));
    assert_eq!(mine.act(format!("/api/v1/jobs/{theirs}/cancel")).status, 404);
    assert!([200, 202].contains(&mine.act(format!("/api/v1/jobs/{slow}/cancel")).status));
    assert_eq!(mine.act(format!("/api/v1/jobs/{id}/replay")).status, 403);
    assert!([200, 202].contains(&others.act(format!("/api/v1/jobs/{theirs}/cancel")).status));
}

#[test]
fn a_key_for_some_apps_knows_no_others() {
    let site = Site::new(APPS, "");
    let (all, one) =
        (site.key(&["--scope", "admin"]), site.key(&["--scope", "read,submit,operate", "--app", "up"]));
    let server = site.serve();
    let (all, one) = (server.client(&all), server.client(&one));
    let (mine, other) = (one.submit("up", "x"), all.submit("other", "y"));
    all.ended(other);
    assert_eq!(one.output(mine), "X");
    let apps = one.get("/api/v1/apps").json();
    assert_eq!((apps["apps"].as_array().unwrap().len(), &apps["apps"][0]["name"]), (1, &json!("up")));
    for path in ["jobs", "deliveries"] {
        let listed = one.get(format!("/api/v1/{path}")).json();
        assert_eq!(listed[path].as_array().unwrap().len(), 1, "{listed:#}");
        assert_eq!(one.get(format!("/api/v1/{path}/{other}")).status, 404);
        assert_eq!(one.get(format!("/api/v1/{path}?app=other")).status, 403);
    }
    assert_eq!(one.get("/api/v1/apps/other/status").status, 403);
    assert_eq!(one.post("/api/v1/jobs", &json!({ "app": "other" })).status, 403);
    assert_eq!(one.post("/api/v2/apps/other/jobs", &json!({})).status, 403);
    let push = |app: &str| {
        one.ask(Ask::post(format!("/api/v1/staging/{app}")).body("application/x-ndjson", "{}\n")).status
    };
    assert_eq!((push("up"), push("other")), (200, 403));
    let put =
        |path: &str| one.ask(Ask::new("PUT", format!("/api/v1/files/{path}")).body("text/csv", "a\n")).status;
    assert_eq!(put("other/2025-11-24/other_t_2025-11-24_001.csv"), 403);
    assert_eq!(put("up/2025-11-24/up_t_2025-11-24_001.csv?next=other"), 403);
    assert_eq!(put("up/2025-11-24/up_t_2025-11-24_001.csv"), 201);
    let file = all.ask(
        Ask::new("PUT", "/api/v1/files/other/2025-11-24/other_t_2025-11-24_001.csv").body("text/csv", "a\n"),
    );
    assert_eq!(file.status, 201);
    assert_eq!(one.get(file.header("location").unwrap()).status, 404);
    assert_eq!(all.get(file.header("location").unwrap()).status, 200);
    // `--app` must name an app.
    let mut wrong = site.project.start(&["keys", "create", "x", "--app", "upp"]);
    assert_eq!(wrong.end_within(LONG).code(), Some(2), "{}", wrong.stderr());
}

#[test]
fn no_secret_is_told_to_anyone() {
    let secret = "whsec_bm90IGZvciBhbnlib2R5IGVsc2UgYXQgYWxs";
    let api = format!("webhooks: {{ to: 'http://127.0.0.1:1/', secret: '{secret}' }}");
    let site = Site::new(
        "apps: { env: { run: \"sh -c 'env; cat /proc/$PPID/cmdline /proc/$PPID/environ | tr \\\"\\\\0\\\" \\\"\\\\n\\\"'\" }, up: { run: cat } }",
        &api,
    );
    let key = site.key(&["--scope", "admin"]);
    let mut server = site.serve_by(&["run", "-vv"]);
    let client = server.client(&key);
    let mut answers = vec![client.get("/api/openapi.json"), client.get("/api/v1/apps")];
    let id = client.post("/api/v1/jobs", &json!({ "app": "env", "webhook": "http://127.0.0.1:1/x" })).id();
    let told = client.output(id);
    answers.push(client.get(format!("/api/v1/apps?api_key={key}")));
    answers.push(client.get(format!("/api/v1/jobs/{key}")));
    answers.push(client.get(format!("/api/v1/jobs?cursor={key}")));
    answers.push(server.client(&format!("{key}x")).get("/api/v1/apps"));
    answers.push(client.get(format!("/api/v1/deliveries/{id}")));
    answers.push(client.get("/api/v1/deliveries"));
    answers.push(client.get(format!("/api/v1/jobs/{id}/explain")));
    let ps = std::fs::read(format!("/proc/{}/cmdline", server.run.pid())).unwrap();
    server.run.signal(rustix::process::Signal::TERM);
    server.run.end_within(LONG);
    let log = server.run.stderr();
    assert!(
        log.contains("/api/v1/apps") && log.contains(id_of(&key)),
        "the log tells who asked what:\n{log}"
    );
    for answer in &answers {
        assert!(log.contains(answer.header("x-request-id").unwrap()), "{answer:?}\n{log}");
    }
    let whole = key.rsplit('_').next().unwrap();
    let listed = site.command(&["--json", "keys", "list"]);
    let said = [told, String::from_utf8_lossy(&ps).into_owned(), listed];
    for text in said.iter().cloned().chain(answers.iter().map(|answer| answer.text())) {
        assert!(!text.contains(whole) && !text.contains(&secret[6..]), "{text}");
    }
    // A path is logged: what stands in it was put there by the client. Nothing else of a key is.
    let log: Vec<&str> = log.lines().filter(|line| !line.contains(&format!("/jobs/{key}"))).collect();
    for line in log {
        assert!(!line.contains(whole) && !line.contains(&secret[6..]), "{line}");
    }
}

#[test]
fn anyone_may_ask_on_this_machine_alone() {
    for address in ["0.0.0.0:0", "[::]:0", "10.0.0.1:8080"] {
        let site = Site::at(APPS, address, "auth: none", None);
        for words in [&["check"][..], &["run"], &["run", "--dry-run"]] {
            let mut run = site.project.start(words);
            assert_eq!(run.end_within(LONG).code(), Some(2), "{address} {words:?}");
            assert!(run.stderr().contains("auth: none"), "{}", run.stderr());
        }
    }
}
