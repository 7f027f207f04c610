//! What a browser asks before and after a page's request, and HTTP/2.

use crate::http::{Ask, read_answer};
use crate::kit::{OPEN, Site};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";

#[test]
fn pages_of_origins_that_are_allowed_may_ask_and_others_not() {
    let site = Site::new(APPS, "cors: 'https://app.example.com'");
    let key = site.key(&["--scope", "admin"]);
    let server = site.serve();
    let preflight = |origin: &str| {
        let ask = Ask::new("OPTIONS", "/api/v1/jobs")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization,content-type,idempotency-key");
        read_answer(ask.send(server.address), "OPTIONS").unwrap()
    };
    let allowed = preflight("https://app.example.com");
    assert_eq!(allowed.status, 200);
    assert!(allowed.header("x-request-id").is_some());
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example.com"));
    let headers = allowed.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    // `*` does not hold for Authorization: it must be named (Fetch, CORS-safelisted names).
    assert!(
        ["authorization", "content-type", "idempotency-key"].iter().all(|one| headers.contains(one)),
        "{headers}"
    );
    assert!(
        ["*", "POST"].iter().any(|one| allowed.header("access-control-allow-methods").unwrap().contains(one))
    );
    assert!(allowed.header("vary").unwrap_or_default().to_lowercase().contains("origin"));
    let other = preflight("https://evil.example.com");
    assert_eq!(other.header("access-control-allow-origin"), None);
    let real = |origin: &str, key: &str| {
        let job = json!({ "app": "up", "input": "x" });
        server.client(key).ask(Ask::post("/api/v1/jobs").header("Origin", origin).json(&job))
    };
    let answer = real("https://app.example.com", &key);
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (202, Some("https://app.example.com"))
    );
    assert!(answer.header("access-control-expose-headers").is_some());
    let wrong = real("https://app.example.com", "no key");
    let origin = wrong.header("access-control-allow-origin");
    assert_eq!((wrong.status, origin), (401, Some("https://app.example.com")), "a page can read its errors");
    let other = real("https://evil.example.com", &key);
    assert_eq!((other.status, other.header("access-control-allow-origin")), (202, None));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[test]
fn without_origins_no_page_may_ask() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let ask = |name: &str, value: &str| server.anyone().ask(Ask::get("/api/v1/apps").header(name, value));
    // Without keys a page could act by simple requests, whose answers it cannot read.
    let answer = ask("Origin", "https://app.example.com");
    assert_eq!((answer.status, answer.code()), (403, "FORBIDDEN".into()));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(ask("Origin", "http://localhost:3000").status, 200);
}

#[test]
fn http_2_is_spoken_with_who_begins_so() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let address = server.address;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, version, job): (u16, hyper::Version, Value) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let body = json!({ "app": "up", "input": "two" }).to_string();
        let request = hyper::Request::post(format!("http://{address}/api/v1/jobs"))
            .header("content-type", "application/json")
            .header("prefer", "wait=30")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let (status, version) = (answer.status().as_u16(), answer.version());
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, version, serde_json::from_slice(&bytes).unwrap())
    });
    assert_eq!((status, version, &job["status"]), (200, hyper::Version::HTTP_2, &json!("completed")));
    assert_eq!(server.anyone().output(job["id"].as_i64().unwrap()), "TWO");
}

#[test]
fn a_version_that_goes_out_of_use_says_so() {
    let site = Site::new(
        APPS,
        "auth: none, versions: { v1: { deprecated: 2027-01-01T00:00:00Z, sunset: 2028-01-01T00:00:00Z, link: 'https://example.com/v2' } }",
    );
    let server = site.serve();
    for path in ["/api/v1/apps", "/api/v1/jobs/7"] {
        let answer = server.anyone().get(path);
        assert_eq!(answer.header("deprecation"), Some("@1798761600"));
        assert_eq!(answer.header("sunset"), Some("Sat, 01 Jan 2028 00:00:00 GMT"));
        assert!(answer.header("link").unwrap().starts_with("<https://example.com/v2>; rel=\"deprecation\""));
    }
    assert_eq!(server.anyone().get("/api/v2/apps").header("deprecation"), None);
}
