//! How much is taken: rates, quotas, room, sizes, and patience. What is too much is told, and what is not goes on.

use crate::events::Stream;
use crate::http::{Answer, Ask, connect, read_answer};
use crate::kit::{LONG, MUCH, OPEN, Site};
use handover_testkit::process::wait_for;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' }, wait: { run: sleep 300, workers: 1 } }";

fn submit(app: &str) -> Ask {
    Ask::post("/api/v1/jobs").json(&json!({ "app": app }))
}

#[track_caller]
fn left(answer: &Answer) -> &str {
    answer.header("ratelimit").unwrap().split(';').nth(1).unwrap()
}

#[test]
fn each_key_has_a_rate_and_each_address() {
    let site = Site::new(APPS, "limits: { default: 3/h, address: 20/h }");
    let (one, other) = (site.key(&[]), site.key(&[]));
    let server = site.serve();
    let (one, other) = (server.client(&one), server.client(&other));
    let answers: Vec<Answer> = (0..4).map(|_| one.get("/api/v1/apps")).collect();
    let said: Vec<_> = answers.iter().map(|answer| (answer.status, left(answer))).collect();
    assert_eq!(said, [(200, "r=2"), (200, "r=1"), (200, "r=0"), (429, "r=0")]);
    assert!(answers.iter().all(|one| one.header("ratelimit-policy") == Some("\"default\";q=3;w=3600")));
    assert_eq!(answers[3].code(), "RATE_LIMITED");
    assert_eq!(other.get("/api/v1/apps").status, 200, "the other has its own");
    // Who shows no key is counted by the address, with all others there.
    let counted = (0..30).map(|_| server.anyone().get("/api/v1/apps").status);
    let counted: Vec<u16> = counted.collect();
    assert_eq!((counted[0], counted[29]), (401, 429));
    assert_eq!(other.get("/api/v1/apps").status, 429);
    // Whether the process lives is told all the same.
    assert_eq!((server.anyone().get("/livez").status, server.anyone().get("/readyz").status), (200, 200));
}

#[test]
fn an_app_can_have_a_rate_of_its_own() {
    let site = Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, apps: {{ up: 2/h }} }}"));
    let server = site.serve();
    let client = server.anyone();
    let said: Vec<u16> = (0..3).map(|_| client.ask(submit("up")).status).collect();
    assert_eq!(said, [202, 202, 429]);
    let refused = client.ask(Ask::post("/api/v2/apps/up/jobs").json(&json!({})));
    assert_eq!((refused.status, refused.code()), (429, "RATE_LIMITED".into()));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"app\";q=2;w=3600"));
    assert_eq!((client.ask(submit("wait")).status, client.get("/api/v1/apps").status), (202, 200));
}

#[test]
fn a_caller_has_a_quota_and_a_queue_an_end() {
    let site = Site::new(APPS, &format!("limits: {{ {MUCH}, caller_jobs: 2, queue: 3 }}"));
    let keys = [0; 3].map(|_| site.key(&["--scope", "submit"]));
    site.command(&["pause", "up"]);
    let server = site.serve();
    let clients = keys.each_ref().map(|key| server.client(key));
    let first = clients[0].ask(submit("up"));
    assert_eq!((first.status, clients[0].ask(submit("up")).status), (202, 202));
    let refused = clients[0].ask(submit("wait"));
    assert_eq!((refused.status, refused.code()), (429, "QUOTA_EXCEEDED".into()));
    assert_eq!(clients[1].ask(submit("up")).status, 202, "the other's quota is its own");
    let full = clients[1].ask(submit("up"));
    assert_eq!((full.status, full.code()), (503, "QUEUE_FULL".into()));
    assert_eq!(clients[2].ask(submit("wait")).status, 202, "the other app's queue is its own");
    assert_eq!(clients[0].act(format!("/api/v1/jobs/{}/cancel", first.id())).status, 200);
    let again = wait_for(LONG, "room", || Some(clients[0].ask(submit("up"))).filter(|one| one.status == 202));
    assert!(again.id() > first.id());
}

#[test]
fn a_body_has_a_size_whether_it_is_said_or_not() {
    let site = Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, body: 10KiB, upload: 100KiB }}"));
    let server = site.serve();
    let client = server.anyone();
    let large = json!({ "app": "up", "input": "x".repeat(11_000) });
    let lines = "{\"a\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n".repeat(4_000);
    let asks = [
        Ask::post("/api/v1/jobs").json(&large),
        Ask::post("/api/v2/apps/up/jobs").json(&large),
        Ask::post("/api/v1/staging/up/pull").json(&large),
        Ask::post("/api/v1/staging/up").body("application/x-ndjson", lines.clone()),
        Ask::post("/api/v1/files?app=up&type=t&ext=txt").body("application/octet-stream", lines.clone()),
        Ask::new("PUT", "/api/v1/files/up/2025-11-24/up_t_2025-11-24_001.txt")
            .body("application/octet-stream", lines),
    ];
    for ask in asks {
        for ask in [ask.clone(), ask.clone().chunked(), ask.claims(u64::MAX / 2)] {
            let answer = client.ask(ask.clone());
            assert_eq!((answer.status, answer.code()), (413, "TOO_LARGE".into()), "{} {ask:?}", ask.target);
        }
    }
    assert_eq!(client.get("/api/v1/jobs").json()["jobs"], json!([]));
    assert_eq!(client.get("/api/v1/deliveries?kind=file").json()["deliveries"], json!([]));
    let fits = json!({ "app": "up", "input": "x".repeat(10_000) });
    assert_eq!(client.ask(Ask::post("/api/v1/jobs").json(&fits).chunked()).status, 202);
}

#[test]
fn streams_and_requests_have_so_much_room() {
    let site = Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, streams: 1, requests: 1 }}"));
    let server = site.serve();
    let client = server.anyone();
    let id = client.submit("wait", "");
    client.until(id, "processing");
    let mut stream = Stream::open(&client, id, None);
    assert_eq!(stream.next().unwrap().name, "state");
    let refused = client.get(format!("/api/v1/jobs/{id}/events"));
    assert_eq!((refused.status, refused.code()), (503, "OVERLOADED".into()));
    drop(stream);
    wait_for(LONG, "room for a stream", || {
        let ask = Ask::get(format!("/api/v1/jobs/{id}/events"));
        let mut start = [0; 12];
        ask.send(server.address).read_exact(&mut start).unwrap();
        (&start == b"HTTP/1.1 200").then_some(())
    });
    // One request waits, and is all that is taken.
    let waits = Ask::get(format!("/api/v1/jobs/{id}")).header("Prefer", "wait=60").send(server.address);
    let refused =
        wait_for(LONG, "a full house", || Some(client.get("/api/v1/apps")).filter(|one| one.status == 503));
    assert_eq!(refused.code(), "OVERLOADED");
    assert_eq!(client.get("/readyz").status, 503, "it takes no more");
    assert_eq!(client.get("/livez").status, 200, "and it lives");
    drop(waits);
    wait_for(LONG, "room again", || (client.get("/api/v1/apps").status == 200).then_some(()));
}

#[test]
fn more_connections_than_are_taken_wait_for_their_turn() {
    let site = Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, connections: 2 }}"));
    let server = site.serve();
    let held = [connect(server.address), connect(server.address)];
    let third = Ask::get("/livez").send(server.address);
    third.set_nonblocking(true).unwrap();
    assert_eq!((&third).read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    third.set_nonblocking(false).unwrap();
    drop(held);
    assert_eq!(read_answer(third, "GET").unwrap().status, 200);
}

/// What comes after these bytes and then silence, to the end of the connection.
#[track_caller]
fn after(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream: TcpStream = connect(address);
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    // A connection that is cut may be reset; one that stays open fails by its timeout.
    if let Err(e) = stream.read_to_end(&mut all) {
        assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "{e}");
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn who_is_slow_is_cut_off() {
    let site = Site::new(APPS, &format!("{OPEN}, limits: {{ {MUCH}, idle: 300ms }}"));
    let server = site.serve();
    let silent: [&[u8]; 6] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n\r\nS",
        b"GET /api/v1/apps",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"\r\n",
    ];
    for bytes in silent {
        let said = after(server.address, bytes);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{bytes:?}: {said}");
    }
    let slow = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"app\"";
    let said = after(server.address, slow);
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("BODY_CUT"), "{said}");
    let pushed = b"POST /api/v1/staging/up HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\n1\n\r\n";
    let said = after(server.address, pushed);
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("BODY_CUT"), "{said}");
    // A connection that is kept, and asks no more.
    let said = after(server.address, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // Who waits for an end is not slow, and neither is who follows.
    let client = server.anyone();
    let id = client.submit("wait", "");
    client.until(id, "processing");
    let job = client.ask(Ask::get(format!("/api/v1/jobs/{id}")).header("Prefer", "wait=1"));
    assert_eq!(job.json()["status"], "processing");
    let mut stream = Stream::open(&client, id, None);
    assert_eq!([stream.next().unwrap().name, stream.next().unwrap().name], ["state", "state"]);
    let waited = client.ask(Ask::get(format!("/api/v1/jobs/{id}")).header("Prefer", "wait=1"));
    assert_eq!(waited.status, 200);
    client.act(format!("/api/v1/jobs/{id}/cancel"));
    assert!(std::iter::from_fn(|| stream.next()).any(|event| event.name == "end"));
}

#[test]
fn a_flood_of_headers_is_refused_and_the_next_is_served() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "y".repeat(64 * 1024));
    for flood in [many, long] {
        let mut stream = connect(server.address);
        let _ = stream.write_all(format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{flood}\r\n").as_bytes());
        if let Some(answer) = read_answer(stream, "GET") {
            assert_eq!(answer.status, 431);
        }
        assert_eq!(server.anyone().get("/livez").status, 200);
    }
    let target = format!("/livez?{}", "x".repeat(60 * 1024));
    if let Some(answer) = read_answer(Ask::get(target).send(server.address), "GET") {
        assert!([414, 431].contains(&answer.status), "{answer:?}");
    }
}
