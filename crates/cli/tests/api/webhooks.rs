//! Who is told of ended jobs: a receiver on this machine hears of each, signed, until it has taken it.

use crate::kit::{LONG, Site};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_testkit::process::wait_for;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const KEY: &[u8] = b"a key of these tests, no other";

/// A message as it came.
#[derive(Debug, Clone)]
struct Message {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The rule of Standard Webhooks, written here once more.
    fn is_signed(&self) -> bool {
        let signed = [
            self.header("webhook-id").as_bytes(),
            b".",
            self.header("webhook-timestamp").as_bytes(),
            b".",
            &self.body,
        ];
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
        mac.update(&signed.concat());
        let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|one| one == right)
    }
}

/// Answers each message of a path with the next of its statuses, and then with 204.
struct Receiver {
    port: u16,
    heard: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    fn new(refuses: &'static [(&'static str, u16)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Message>>> = Arc::default();
        let all = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let all = all.clone();
                std::thread::spawn(move || receive(stream.unwrap(), &all, refuses));
            }
        });
        Self { port, heard }
    }

    fn heard(&self, path: &str) -> Vec<Message> {
        self.heard.lock().unwrap().iter().filter(|message| message.path == path).cloned().collect()
    }

    #[track_caller]
    fn hears(&self, path: &str, count: usize) -> Vec<Message> {
        wait_for(LONG, path, || Some(self.heard(path)).filter(|heard| heard.len() >= count))
    }
}

fn receive(stream: TcpStream, all: &Mutex<Vec<Message>>, refuses: &[(&str, u16)]) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut message = Message { path, headers, body: Vec::new() };
        message.body = vec![0; message.header("content-length").parse().unwrap()];
        reader.read_exact(&mut message.body).unwrap();
        let mut heard = all.lock().unwrap();
        let before = heard.iter().filter(|one| one.path == message.path).count();
        let status = refuses
            .iter()
            .filter(|(path, _)| *path == message.path)
            .nth(before)
            .map_or(204, |(_, status)| *status);
        heard.push(message);
        drop(heard);
        write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").unwrap();
        line.clear();
    }
}

fn site(receiver: &Receiver) -> Site {
    let api = format!(
        "auth: none, webhooks: {{ to: 'http://127.0.0.1:{}/hooks/', secret: 'whsec_{}' }}",
        receiver.port,
        STANDARD.encode(KEY)
    );
    Site::new(
        "apps: { up: { run: 'tr a-z A-Z' }, bad: { run: \"sh -c 'exit 65'\" }, wait: { run: sleep 300 } }",
        &api,
    )
}

#[test]
fn each_end_is_told_and_signed() {
    let receiver = Receiver::new(&[]);
    let site = site(&receiver);
    let server = site.serve();
    let client = server.anyone();
    let url = |path: &str| format!("http://127.0.0.1:{}/hooks/{path}", receiver.port);
    let submit = |app: &str, path: &str, more: Value| {
        let mut body = json!({ "app": app, "input": "x", "webhook": url(path) });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.post("/api/v1/jobs", &body).id()
    };
    let (done, failed) = (submit("up", "done", json!({})), submit("bad", "failed", json!({})));
    let late = submit("up", "late", json!({ "run_at": "2999-01-01T00:00:00Z" }));
    let runs = submit("wait", "runs", json!({}));
    submit("up", "asked?a=b", json!({}));
    client.until(runs, "processing");
    assert_eq!(client.act(format!("/api/v1/jobs/{late}/cancel")).status, 200);
    assert_eq!(client.act(format!("/api/v1/jobs/{runs}/cancel")).status, 202);
    let rows = [
        ("done", done, "job.completed", Value::Null),
        ("failed", failed, "job.failed", json!("BAD_DATA")),
        ("late", late, "job.failed", json!("CANCELLED")),
        ("runs", runs, "job.failed", json!("CANCELLED")),
    ];
    for (path, id, kind, code) in rows {
        let heard = receiver.hears(&format!("/hooks/{path}"), 1);
        let message = &heard[0];
        let body = message.json();
        assert!(message.is_signed(), "{message:?}");
        assert_eq!((&body["type"], &body["data"]["id"]), (&json!(kind), &json!(id)), "{body:#}");
        assert_eq!(body["data"]["error"]["code"], code, "{body:#}");
        assert_eq!(message.header("content-type"), "application/json");
        assert!(body["timestamp"].is_string(), "{body:#}");
    }
    // The query is part of the address.
    assert!(receiver.hears("/hooks/asked?a=b", 1)[0].is_signed());
}

#[test]
fn what_was_not_taken_is_sent_again_as_the_same_message() {
    let receiver = Receiver::new(&[("/hooks/twice", 500), ("/hooks/gone", 410)]);
    let site = site(&receiver);
    let server = site.serve();
    let client = server.anyone();
    let submit = |path: &str| {
        let url = format!("http://127.0.0.1:{}/hooks/{path}", receiver.port);
        client.post("/api/v1/jobs", &json!({ "app": "up", "webhook": url })).id()
    };
    let (gone, twice) = (submit("gone"), submit("twice"));
    let heard = receiver.hears("/hooks/twice", 2);
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
    assert!(heard.iter().all(Message::is_signed));
    assert_eq!(heard[0].json()["data"]["id"], twice);
    assert_eq!(heard[0].body, heard[1].body);
    // 410 ends it, and the outbox is empty in the end.
    wait_for(LONG, "the outbox to settle", || {
        let outbox = client.get("/api/v1/deliveries?app=handover-webhook").json();
        let all = outbox["deliveries"].as_array().unwrap();
        let stands = |status: &str| all.iter().filter(|one| one["status"] == status).count();
        (stands("completed") == 1 && stands("failed") == 1).then_some(())
    });
    assert_eq!((receiver.heard("/hooks/twice").len(), receiver.heard("/hooks/gone").len()), (2, 1));
    assert_eq!(client.job(gone)["status"], "completed", "the job is none the worse");
    assert_eq!(
        client.get("/api/v1/jobs").json()["jobs"].as_array().unwrap().len(),
        2,
        "the outbox holds no jobs of anyone"
    );
}

#[test]
fn who_is_not_allowed_is_not_told() {
    let receiver = Receiver::new(&[]);
    let site = site(&receiver);
    let server = site.serve();
    let client = server.anyone();
    let port = receiver.port;
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}/hooks"),
        format!("https://127.0.0.1:{port}/hooks/x"),
        format!("http://127.0.0.1:{}/hooks/x", port + 1),
        format!("http://localhost:{port}/hooks/x"),
        format!("http://x@127.0.0.1:{port}/hooks/x"),
        format!("http://127.0.0.1:{port}@evil.example.com/hooks/x"),
        format!("http://127.0.0.1:{port}/hooks/../x"),
        format!("http://127.0.0.1:{port}/hooks/%2e%2E/x"),
        format!("http://127.0.0.1:{port}/hooks/a\\..\\x"),
        format!("http://127.0.0.1:{port}/hooks/a b"),
        "file:///etc/passwd".to_owned(),
        "hooks/x".to_owned(),
        String::new(),
        format!("http://127.0.0.1:{port}/hooks/{}", "x".repeat(3_000)),
    ] {
        let answer = client.post("/api/v1/jobs", &json!({ "app": "up", "webhook": url }));
        assert_eq!((answer.status, answer.code()), (422, "VALIDATION_ERROR".into()), "{url}");
        assert_eq!(answer.json()["error"]["details"][0]["field"], "webhook", "{url}");
    }
    assert_eq!(client.get("/api/v1/jobs").json()["jobs"], json!([]));
    assert!(receiver.heard.lock().unwrap().is_empty());
}

#[test]
fn a_message_outlives_the_process_that_was_to_send_it() {
    let receiver = Receiver::new(&[("/hooks/x", 500)]);
    let site = site(&receiver);
    let server = site.serve();
    let url = format!("http://127.0.0.1:{}/hooks/x", receiver.port);
    let id = server.anyone().post("/api/v1/jobs", &json!({ "app": "up", "webhook": url })).id();
    receiver.hears("/hooks/x", 1);
    server.kill();
    let server = site.serve();
    let heard = receiver.hears("/hooks/x", 2);
    assert_eq!((heard[1].is_signed(), &heard[1].json()["data"]["id"]), (true, &json!(id)));
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
    server.stop();
}
