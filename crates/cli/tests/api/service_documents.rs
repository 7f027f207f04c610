//! What service apps say of themselves is a part of the API's document: when they come, and what is known of them stays.

use crate::http::{Ask, read_answer};
use crate::kit::{LONG, OPEN, Server, Site};
use handover_testkit::process::wait_for;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A service that gives its document when it is up, and how its requests begin.
fn service(document: &Value, up: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, body) = (listener.local_addr().unwrap().port(), document.to_string());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut first = String::new();
            let _ = reader.read_line(&mut first);
            let mut line = String::from("-");
            while !line.trim().is_empty() {
                line.clear();
                let _ = reader.read_line(&mut line);
            }
            let (status, body) =
                match (up.load(Ordering::Relaxed), first.starts_with("GET /shop/openapi.json ")) {
                    (true, true) => ("200 OK", body.as_str()),
                    (true, false) => ("404 Not Found", ""),
                    (false, _) => ("503 Service Unavailable", ""),
                };
            let head =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = write!(reader.into_inner(), "{head}{body}");
        }
    });
    port
}

fn served(server: &Server) -> Value {
    read_answer(Ask::get("/api/openapi.json").send(server.address), "GET").unwrap().json()
}

#[test]
fn services_are_in_the_document_as_they_come() {
    let orders = json!({
        "openapi": "3.0.3", "info": { "title": "Orders", "version": "1" },
        "paths": { "/orders": { "get": { "operationId": "list", "responses": { "200": {
            "description": "all", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Job" } } } } } } } },
        "components": { "schemas": { "Job": { "type": "string", "nullable": true } } },
    });
    let up = Arc::new(AtomicBool::new(false));
    let port = service(&orders, up.clone());
    let apps = format!(
        "apps:
  orders: {{ url: 'http://127.0.0.1:{port}/shop', openapi: /openapi.json }}
  bill: {{ url: 'http://127.0.0.1:9', openapi: ./bill.json }}
  old: {{ url: 'http://127.0.0.1:9', openapi: ./old.json }}
"
    );
    let site = Site::new(&apps, OPEN);
    let bill = json!({ "openapi": "3.1.0", "info": { "title": "Bills", "version": "1" },
        "paths": { "/bills": { "post": { "responses": { "200": { "description": "one" } } } } } });
    site.project.write("bill.json", bill.to_string());
    site.project.write("old.json", json!({ "swagger": "2.0", "paths": {} }).to_string());
    let mut server = site.serve();
    let bills = "/api/v1/services/bill/bills";
    wait_for(LONG, "the file", || served(&server)["paths"].get(bills).map(drop));
    let before = served(&server);
    assert!(
        before["paths"].get("/api/v1/services/orders/{path}").is_some(),
        "what is not known is told in general"
    );
    assert!(before["paths"].get("/api/v1/services/old/{path}").is_some());
    server.run.says_within(LONG, "the OpenAPI document of old (./old.json) is not taken");
    server
        .run
        .says_within(LONG, "the OpenAPI document of orders (/openapi.json) is not taken: the answer was 503");
    up.store(true, Ordering::Relaxed);
    let path = "/api/v1/services/orders/orders";
    wait_for(LONG, "the service", || served(&server)["paths"].get(path).map(drop));
    let after = served(&server);
    let schema = &after["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/orders.Job");
    assert_eq!(after["components"]["schemas"]["orders.Job"], json!({ "type": ["string", "null"] }));
    assert_eq!(after["components"]["schemas"]["Job"], before["components"]["schemas"]["Job"]);
    assert!(
        after["paths"].get("/api/v1/services/orders/{path}").is_none() && after["paths"].get(bills).is_some()
    );
    // Every client generator needs names that are unique.
    let items =
        after["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<&str> = items.filter_map(|one| one["operationId"].as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    // A reload goes on with what is known, though the service is away.
    up.store(false, Ordering::Relaxed);
    let again = server.run.stderr().matches("is not taken: the answer was 503").count();
    server.run.signal(rustix::process::Signal::HUP);
    wait_for(LONG, "the reload", || {
        (server.run.stderr().matches("is not taken: the answer was 503").count() > again).then_some(())
    });
    assert!(served(&server)["paths"].get(path).is_some());
}
