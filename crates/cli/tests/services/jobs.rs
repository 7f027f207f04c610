//! Jobs of a service app, submitted through the API, and what that says of it.

use crate::kit::Site;
use handover_testkit::{Asked, Reply, Running};
use serde_json::json;

/// What a process says when it serves.
const LISTENS: &str = "the API listens: http://";

fn echo(asked: &Asked) -> Reply {
    let said = asked.header("content-type").unwrap_or_default();
    Reply::of("application/json", json!({ "type": said, "text": asked.text() }).to_string())
}

/// Asks the API, as curl would.
fn ask(address: &str, head: &str, body: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nPrefer: wait=30\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A project that serves its API, with this limit of `bill`, and where it does.
fn serving(limit: &str) -> (Site, String, Running) {
    let flow = "in -> out\napi: { listen: '127.0.0.1:0', auth: none }";
    let site = Site::with(&format!(", limit: {limit}"), "", flow, echo);
    let mut run = site.run();
    run.says_within(crate::kit::LONG, LISTENS);
    let address = run.stderr().split(LISTENS).nth(1).unwrap().split('/').next().unwrap().to_owned();
    (site, address, run)
}

#[test]
fn the_limit_of_a_service_app_is_one_of_the_apis() {
    let (_site, address, _run) = serving("1/h");
    let submit = || ask(&address, "POST /api/v1/jobs", &json!({ "app": "bill" }).to_string());
    let first = submit();
    assert!(first.starts_with("HTTP/1.1 200") || first.starts_with("HTTP/1.1 202"), "{first}");
    let second = submit();
    assert!(second.starts_with("HTTP/1.1 429"), "{second}");
}

#[test]
fn a_jobs_input_is_posted_and_the_answer_is_its_result() {
    let (site, address, _run) = serving("1000/s");
    let answer =
        ask(&address, "POST /api/v1/jobs", &json!({ "app": "bill", "input": { "a": [1, 2] } }).to_string());
    assert!(answer.contains("\"completed\""), "{answer}");
    let asked = site.server.asked();
    assert_eq!(
        (asked[0].header("content-type"), asked[0].text()),
        (Some("application/json"), "{\"a\":[1,2]}".to_owned())
    );
    assert_eq!(asked[0].header("x-handover-sequence"), None, "{asked:?}");
    let id = asked[0].header("x-handover-delivery").unwrap().to_owned();
    let results = ask(&address, &format!("GET /api/v1/jobs/{id}/results"), "");
    assert!(results.contains("application/json") && results.contains("{\\\"a\\\":[1,2]}"), "{results}");
    let refused =
        ask(&address, "POST /api/v1/jobs", &json!({ "app": "bill", "config": { "a": 1 } }).to_string());
    assert!(refused.contains("is a service app, which is given the input alone"), "{refused}");
    let apps = ask(&address, "GET /api/v1/apps", "");
    assert!(apps.contains("\"runs\":\"service\"") && apps.contains("\"limit\":\"1000/s\""), "{apps}");
    let status = ask(&address, "GET /api/v1/apps/bill/status", "");
    for word in ["\"breaker\":\"closed\"", &site.server.url(), "\"limit\":\"1000/s\""] {
        assert!(status.contains(word), "{word}: {status}");
    }
}
