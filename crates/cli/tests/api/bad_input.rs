//! Whatever is sent is answered in one form, with the request's id, and the server goes on.

use crate::http::{Answer, Ask, connect, read_answer};
use crate::kit::{Client, OPEN, Server, Site};
use serde_json::json;
use std::io::Write;

const APPS: &str = "apps:
  up: { run: 'tr a-z A-Z' }
  scorer: { run: cat, job: { config: { type: object, properties: { threshold: { type: number, maximum: 1 } }, required: [threshold], additionalProperties: false }, input: [text/csv] } }
  own: { uses: validator, with: { schema: schema.json } }
  in: { uses: file-importer, with: { from: ./incoming, type: t } }
";

fn site() -> Site {
    let site = Site::new(APPS, OPEN);
    site.project.write("schema.json", r#"{"fields": [{"name": "a"}]}"#);
    site
}

#[track_caller]
fn lives(server: &Server) {
    let client = server.anyone();
    assert_eq!(client.get("/readyz").status, 200);
    assert!(!server.run.stderr().contains("panic"), "{}", server.run.stderr());
}

#[track_caller]
fn jobs(client: &Client, version: &str, body: &[u8]) -> Answer {
    client.ask(Ask::post(format!("/api/{version}/jobs")).body("application/json", body))
}

#[test]
fn what_is_no_json_is_refused_in_either_form() {
    let site = site();
    let server = site.serve();
    let client = server.anyone();
    let deep = [b"[".repeat(100_000), b"{\"a\":".repeat(100_000)];
    let closed =
        format!("{{\"app\":\"up\",\"config\":{{\"a\":{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    let whole = br#"{"app": "up", "input": "hello", "config": {"a": [1, 2.5, null, true, "x"]}}"#;
    let mut bodies: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    bodies.extend(deep);
    for text in [
        "nul",
        "{\"app\":\"up\"}}",
        "{'app':'up'}",
        "{\"app\":\"up\",}",
        "\u{feff}{}",
        "{\"app\":\"up\",\"priority\":1e999}",
        "NaN",
        "\0",
    ] {
        bodies.push(text.into());
    }
    bodies.push(b"{\"app\":\"\xff\xfe\"}".to_vec());
    bodies.push(b"{\"app\":\"\\ud800\"}".to_vec());
    // JSON, and deeper than is taken.
    let answer = jobs(&client, "v1", closed.as_bytes());
    assert_eq!((answer.status, answer.code()), (422, "VALIDATION_ERROR".into()));
    for body in &bodies {
        let answer = jobs(&client, "v1", body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!((answer.status, answer.code()), (400, "MALFORMED_JSON".into()), "{shown}");
    }
    for body in &bodies[bodies.len() - 10..] {
        assert_eq!(jobs(&client, "v2", body).code(), "MALFORMED_JSON");
    }
    let problem = Ask::post("/api/v1/jobs").header("Accept", "application/json, application/problem+json");
    let answer = client.ask(problem.body("application/json", "{"));
    assert_eq!((answer.status, &answer.json()["type"]), (400, &json!("urn:handover:error:MALFORMED_JSON")));
    lives(&server);
    assert_eq!(jobs(&client, "v1", whole).status, 202);
}

#[test]
fn what_will_not_do_is_named_by_its_field() {
    let site = site();
    let server = site.serve();
    let client = server.anyone();
    let rows = [
        (json!({}), "app"),
        (json!({ "app": 7 }), "app"),
        (json!({ "app": "up", "confg": {} }), "confg"),
        (json!({ "app": "up", "config": [] }), "config"),
        (json!({ "app": "up", "config": "x" }), "config"),
        (json!({ "app": "up", "priority": 1.5 }), "priority"),
        (json!({ "app": "up", "priority": 1u64 << 40 }), "priority"),
        (json!({ "app": "up", "run_at": "soon" }), "run_at"),
        (json!({ "app": "up", "input": "x", "input_file": "y" }), "input_file"),
        (json!({ "app": "up", "input": "x", "input_type": "no type" }), "input"),
        (json!({ "app": "up", "input_file": "../handover.yaml" }), "input_file"),
        (json!({ "app": "up", "input_file": "/etc/passwd" }), "input_file"),
        (json!({ "app": "up", "webhook": "http://127.0.0.1/" }), "webhook"),
        (json!({ "app": "scorer", "config": {} }), "config.threshold"),
        (json!({ "app": "scorer", "config": { "threshold": 2 } }), "config.threshold"),
        (json!({ "app": "scorer", "config": { "threshold": "x" } }), "config.threshold"),
        (json!({ "app": "scorer", "config": { "threshold": 1, "x": 1 } }), "config.x"),
        (json!({ "app": "scorer", "config": { "threshold": 1 }, "input": {} }), "input"),
        (json!({ "app": "own", "config": { "x": 1 }, "input": "a\n", "input_type": "text/csv" }), "config"),
        (json!({ "app": "own" }), "input"),
        (json!({ "app": "in" }), "app"),
    ];
    for (body, field) in rows {
        for version in ["v1", "v2"] {
            let answer = client.post(format!("/api/{version}/jobs"), &body);
            assert_eq!((answer.status, answer.code()), (422, "VALIDATION_ERROR".into()), "{body}");
            let json = answer.json();
            let details = if version == "v1" { &json["error"]["details"] } else { &json["errors"] };
            assert_eq!(details[0]["field"], field, "{body}: {json:#}");
        }
    }
    for body in [
        json!([]),
        json!("x"),
        json!(7),
        json!(null),
        json!({ "app": "up", "input": "a\0b" }),
        json!({ "app": "up", "config": { "a\0": 1 } }),
    ] {
        assert_eq!(client.post("/api/v1/jobs", &body).status, 422, "{body}");
    }
    let typed = client.post("/api/v2/apps/scorer/jobs", &json!({ "threshold": 2, "more": 1 }));
    assert_eq!((typed.status, typed.json()["errors"].as_array().unwrap().len()), (422, 2));
    for app in ["no", "", "UP", "../up", "up\0", "üp"] {
        let answer = client.post("/api/v1/jobs", &json!({ "app": app }));
        assert!([404, 422].contains(&answer.status), "{app}: {answer:?}");
    }
    let near = client.post("/api/v1/jobs", &json!({ "app": "scorr" }));
    assert!(near.text().contains("scorer"), "{}", near.text());
    for (target, field) in [
        ("jobs?limit=0", "limit"),
        ("jobs?limit=501", "limit"),
        ("jobs?limit=x", "limit"),
        ("jobs?limit=-1", "limit"),
        ("jobs?statu=failed", "statu"),
        ("jobs?status=archived", "status"),
        ("jobs?cursor=!", "cursor"),
        ("jobs?cursor=AAAAAAAAAAA", "cursor"),
        ("jobs?since=today", "since"),
        ("deliveries?kind=x", "kind"),
        ("deliveries?parent=x", "parent"),
        ("deliveries?limit=1&limit=2", "limit"),
    ] {
        let answer = client.get(format!("/api/v1/{target}"));
        assert_eq!((answer.status, answer.code()), (400, "BAD_REQUEST".into()), "{target}");
        assert_eq!(answer.json()["error"]["details"][0]["field"], field, "{target}: {}", answer.text());
    }
    assert_eq!(client.get("/api/v1/jobs").json()["jobs"], json!([]), "nothing came of it");
    lives(&server);
}

#[test]
fn a_body_of_another_type_is_not_taken() {
    let site = site();
    let server = site.serve();
    let client = server.anyone();
    let body = json!({ "app": "up" }).to_string();
    for wrong in
        ["text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "", "json", ";;"]
    {
        let answer = client.ask(Ask::post("/api/v1/jobs").body(wrong, body.clone()));
        assert_eq!((answer.status, answer.code()), (415, "UNSUPPORTED_MEDIA_TYPE".into()), "{wrong}");
        let answer = client.ask(Ask::post("/api/v1/staging/up").body(wrong, "{}\n"));
        assert_eq!((answer.status, answer.code()), (415, "UNSUPPORTED_MEDIA_TYPE".into()), "{wrong}");
        assert!(answer.header("accept").unwrap().contains("ndjson"));
    }
    let right = client.ask(Ask::post("/api/v1/jobs").body("Application/JSON; charset=utf-8", body));
    assert_eq!(right.status, 202);
}

#[test]
fn tricks_with_paths_lead_nowhere() {
    let site = site();
    let server = site.serve();
    let client = server.anyone();
    for path in [
        "/api/v1/files/../../handover.yaml",
        "/api/v1/files/%2e%2e/handover.yaml",
        "/api/v1/files/%2E%2E/x",
        "/api/v1/./jobs",
        "/api/v1/files/a%2fb/c",
        "/api/v1/files/a%5cb",
        "/api/v1/files/a\\b",
        "/api/v1/jobs/1%00",
        "/api/v1/files/a%0d%0ab",
        "/api/v1/jobs/%ff",
        "/api/v1/files/imports/..",
        "/..",
        "/api/docs/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/files/%252e%252e/handover.yaml",
        "/api/v1/files/..;/handover.yaml",
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.code()), (400, "BAD_PATH".into()), "{path}");
    }
    for path in [
        "/api/v1/files//etc/passwd",
        "/api/v1/files/.handover/ledger.db",
        "/api/v1/files/",
        "/api/v1/files/.handover/tmp/x",
        "/api/v1/files/handover.yaml",
        "/api/v1/jobs/abc",
        "/api/v1/jobs/1e3",
        "/api/v1/jobs/",
        "/api/v1//jobs",
        "/api/v1/jobs/9223372036854775808",
        "/api/v3/jobs",
        "/api/v0/apps",
        "/api/jobs",
        "/api/",
        "/api/docs/x",
        "/api/v1/apps/nope/status",
        "/favicon.ico",
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.code()), (404, "NOT_FOUND".into()), "{path}");
    }
    assert!(client.get("/api/v3/jobs").text().contains("there is no version v3"));
    for path in [
        "x.csv",
        "up/2025-11-24/x.csv",
        "up/up_t_2025-11-24_001.csv",
        "other/2025-11-24/up_t_2025-11-24_001.csv",
        "up/2025-11-25/up_t_2025-11-24_001.csv",
        "up/2025-11-24/up_t_2025-11-24_001.meta.json",
    ] {
        let answer = client.ask(Ask::new("PUT", format!("/api/v1/files/{path}")).body("text/csv", "a\n"));
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    // What is no request at all gets no answer of ours, and leaves no trace.
    for raw in [
        &b"GET /api/v1/jobs\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    ] {
        let mut stream = connect(server.address);
        let _ = stream.write_all(raw);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        if let Some(answer) = read_answer(stream, "GET") {
            assert_eq!(answer.status, 400, "{raw:?}");
        }
    }
    lives(&server);
}

#[test]
fn a_method_that_a_path_does_not_take_is_told_those_that_it_takes() {
    let site = site();
    let server = site.serve();
    let client = server.anyone();
    let documented: Vec<String> = server
        .document
        .operations()
        .map(|(path, _, _)| path.to_owned())
        .filter(|path| !path.contains("/apps/own/"))
        .collect();
    for path in documented {
        let filled = path
            .replace("{id}", "1")
            .replace("{app}", "up")
            .replace("{folder}", "up")
            .replace("{date}", "2025-11-24")
            .replace("{name}", "up_t_2025-11-24_001.csv");
        let taken: Vec<String> = server
            .document
            .operations()
            .filter(|(one, _, _)| *one == path)
            .map(|(_, method, _)| method.to_uppercase())
            .collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if taken.iter().any(|one| one == method) {
                continue;
            }
            let answer = client.ask(Ask::new(method, &filled));
            assert_eq!(
                (answer.status, answer.code()),
                (405, "METHOD_NOT_ALLOWED".into()),
                "{method} {filled}"
            );
            let allow = answer.header("allow").unwrap().to_owned();
            assert!(taken.iter().all(|one| allow.contains(one.as_str())), "{method} {filled}: {allow}");
        }
    }
    let options = client.ask(Ask::new("OPTIONS", "/api/v1/jobs"));
    assert_eq!(
        (options.status, options.header("allow").is_some_and(|allow| allow.contains("POST"))),
        (200, true)
    );
    let head = client.ask(Ask::new("HEAD", "/api/v1/jobs"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(client.ask(Ask::new("HEAD", "/api/v1/jobs/7")).status, 404);
    lives(&server);
}
