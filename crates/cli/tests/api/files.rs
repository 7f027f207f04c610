//! Files over HTTP: uploaded once under each name, whole or not at all, handed on, and fetched, from the archive too.

use crate::http::{Ask, read_answer};
use crate::kit::{LISTENS, LONG, OPEN, Server, Site};
use crate::results::gives_parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_testkit::files_below;
use handover_testkit::process::wait_for;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const APPS: &str = "apps: { in: { run: cat }, up: { run: 'tr a-z A-Z' } }\nflows: { f: in -> up }\n";

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

fn put(name: &str, content: &str) -> Ask {
    Ask::new("PUT", format!("/api/v1/files/in/2025-11-24/{name}")).body("text/csv", content)
}

#[test]
fn a_file_is_uploaded_handed_on_and_given_back() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let content: String = (0..20_000).map(|n| format!("row {n}\n")).collect();
    let ask = Ask::post("/api/v1/files?app=in&type=sales&ext=csv&date=2025-11-24")
        .body("text/csv", content.clone());
    let answer = client.ask(ask.clone().header("Content-Digest", digest(content.as_bytes())));
    assert_eq!(answer.status, 201, "{answer:?}");
    let file = answer.json();
    assert_eq!(
        (&file["size"], &file["rows"], &file["next_apps"]),
        (&json!(content.len()), &json!(19_999), &json!(["up"]))
    );
    let url = answer.header("location").unwrap().to_owned();
    assert_eq!(url, "/api/v1/files/in/2025-11-24/in_sales_2025-11-24_001.csv");
    gives_parts(&client, &url, content.as_bytes());
    let manifest = site.file("data/in/2025-11-24/in_sales_2025-11-24_001.meta.json");
    assert!(manifest.contains(file["checksum"].as_str().unwrap()), "{manifest}");
    // It went on, as any file does.
    let next = file["deliveries"][0].as_i64().unwrap();
    wait_for(LONG, "the next app", || {
        let delivery = client.get(format!("/api/v1/deliveries/{next}")).json();
        ["completed", "archived"].contains(&delivery["status"].as_str().unwrap()).then_some(())
    });
    let upper = "/api/v1/files/up/2025-11-24/up_sales_2025-11-24_001.csv";
    assert_eq!(client.get(upper).text(), content.to_uppercase());
    // The next free name, each time.
    assert_eq!(
        client.ask(ask.clone().chunked()).header("location"),
        Some("/api/v1/files/in/2025-11-24/in_sales_2025-11-24_002.csv")
    );
    // From the archive it is the same.
    wait_for(LONG, "the archive", || {
        site.command(&["archive", "--older-than", "0"]);
        (!site.project.join("data/in/2025-11-24/in_sales_2025-11-24_001.csv").exists()).then_some(())
    });
    gives_parts(&client, &url, content.as_bytes());
    assert_eq!(
        client.ask(Ask::new("PUT", &url).body("text/csv", "a\n")).status,
        409,
        "its name is taken for ever"
    );
    assert_eq!(client.ask(Ask::new("PUT", &url).body("text/csv", content)).status, 204);
}

#[test]
fn a_name_is_given_once_and_what_is_published_is_never_replaced() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let name = "in_sales_2025-11-24_007.csv";
    let made = client.ask(put(name, "a\n1\n"));
    assert_eq!(
        (made.status, made.header("location")),
        (201, Some(format!("/api/v1/files/in/2025-11-24/{name}").as_str()))
    );
    let again = client.ask(put(name, "a\n1\n"));
    assert_eq!((again.status, again.body.len()), (204, 0));
    let other = client.ask(put(name, "a\n2\n"));
    assert_eq!((other.status, other.code()), (409, "NAME_TAKEN".into()));
    assert_eq!(client.get(made.header("location").unwrap()).text(), "a\n1\n");
    let listed = client.get("/api/v1/deliveries?kind=file&app=up").json();
    assert_eq!(listed["deliveries"].as_array().unwrap().len(), 1, "it was handed on once");
    // Ten at once, all the same, are one.
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let one = || client.ask(put("in_sales_2025-11-24_008.csv", "same\n")).status;
        let all: Vec<_> = (0..10).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    // Of those that come while the first is at it, some cannot know yet that it is the same.
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert_eq!(client.ask(put("in_sales_2025-11-24_008.csv", "same\n")).status, 204);
    assert!(answers.iter().all(|status| [201, 204, 409].contains(status)), "{answers:?}");
}

#[test]
fn what_does_not_come_whole_or_right_is_not_published() {
    let site = Site::new(APPS, "auth: none, limits: { default: 1000/s, idle: 300ms }");
    let server = site.serve();
    let client = server.anyone();
    let name = "in_sales_2025-11-24_001.csv";
    let wrong = client.ask(put(name, "a\n").header("Content-Digest", digest(b"b\n")));
    assert_eq!((wrong.status, wrong.code()), (400, "DIGEST_MISMATCH".into()));
    let none = client.ask(put(name, "a\n").header("Content-Digest", "sha-256=:xx:"));
    assert_eq!((none.status, none.code()), (400, "BAD_DIGEST".into()));
    let cut = client.ask(put(name, "a\n").claims(100));
    assert_eq!((cut.status, cut.code()), (408, "BODY_CUT".into()));
    drop(put(name, "a\n").claims(100).send(server.address));
    for query in [
        "type=t&ext=csv",
        "app=in&type=T&ext=csv",
        "app=in&type=t&ext=../x",
        "app=in&type=t&ext=csv&date=x",
        "app=in&type=t&ext=csv&next=Up",
        "app=in&type=t&ext=csv&more=1",
    ] {
        let answer = client.ask(Ask::post(format!("/api/v1/files?{query}")).body("text/csv", "a\n"));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    let unknown =
        client.ask(Ask::post("/api/v1/files?app=in&type=t&ext=csv&next=nobody").body("text/csv", "a\n"));
    assert_eq!(unknown.status, 422, "{unknown:?}");
    assert!(files_below(&site.project.join("data/in")).is_empty());
    wait_for(LONG, "no drafts", || {
        files_below(&site.project.join("data/.handover/tmp")).is_empty().then_some(())
    });
    assert_eq!(client.ask(put(name, "a\n")).status, 201, "the name is free still");
}

#[test]
fn an_upload_whose_process_dies_can_be_asked_again() {
    for (point, then) in [("publish.written", 201), ("publish.synced", 201), ("publish.done", 204)] {
        let site = Site::new(APPS, OPEN);
        let name = "in_sales_2025-11-24_001.csv";
        let mut run = site.project.start_with_fault(&["run", "-v"], &format!("{point}:kill"));
        run.says_within(LONG, LISTENS);
        let server = Server::of(run);
        let asked = read_answer(put(name, "a\n1\n").send(server.address), "PUT");
        assert!(asked.is_none(), "{asked:?}");
        let server = site.serve();
        let client = server.anyone();
        let again = client.ask(put(name, "a\n1\n"));
        assert_eq!((again.status, client.ask(put(name, "a\n1\n")).status), (then, 204), "{point}: {again:?}");
        assert_eq!(client.ask(put(name, "a\n2\n")).status, 409);
        let handed_on = wait_for(LONG, "what it is handed on as", || {
            let listed = client.get("/api/v1/deliveries?kind=file&app=up").json()["deliveries"].clone();
            Some(listed).filter(|listed| listed[0].is_object())
        });
        assert_eq!(handed_on.as_array().unwrap().len(), 1, "{point}: {handed_on:#}");
    }
}
