//! What is passed on, what is not, and what is said on the way.

use crate::http::{Answer, Ask, connect, read_answer, read_head};
use crate::kit::{LONG, OPEN, Server, Site};
use crate::upstream::{Got, Upstream};
use handover_testkit::process::wait_for;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::io::{BufReader, Read, Write};

/// Where the service is.
pub(crate) const AT: &str = "/api/v1/services/billing";

/// Asks without being held against the document: a service's paths are its own.
#[track_caller]
pub(crate) fn ask(server: &Server, ask: &Ask) -> Answer {
    let answer = read_answer(ask.send(server.address), &ask.method);
    answer.unwrap_or_else(|| panic!("no answer to {} {}", ask.method, ask.target))
}

fn with(key: &str, ask: Ask) -> Ask {
    ask.header("X-API-Key", key)
}

#[test]
fn a_request_goes_as_it_came_and_says_who_asks() {
    let upstream = Upstream::new(|_, stream| {
        let head = "HTTP/1.1 418 Teapot\r\nContent-Length: 5\r\nConnection: X-Private, keep-alive\r\nX-Private: 1\r\n\
                    Keep-Alive: timeout=5\r\nX-Own: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Request-Id: theirs\r\n\
                    Access-Control-Allow-Origin: *\r\n\r\nshort";
        stream.write_all(head.as_bytes()).is_ok()
    });
    let site = Site::new(&upstream.declared(), "");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = with(&key, Ask::new("PATCH", format!("{AT}/a%20b//c;d?x=1&key=own&y=%2F")))
        .header("X-Own", "mine")
        .header("traceparent", trace)
        .header("tracestate", "a=b")
        .header("Connection", "X-Drop, X-Handover-Caller")
        .header("X-Drop", "1")
        .header("Keep-Alive", "1")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic eA==")
        .header("TE", "gzip, trailers")
        .header("X-Handover-Caller", "key:admin")
        .header("X-Handover-Other", "x")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Port", "1")
        .header("Forwarded", "for=6.6.6.6")
        .header("X-Real-IP", "6.6.6.6")
        .header("X-Request-Id", "mine")
        .header("Authorization", "Basic dXNlcg==")
        .header("Via", "1.0 other")
        .body("text/plain", "hello");
    let answer = ask(&server, &request);
    assert_eq!((answer.status, answer.text()), (418, "short".into()), "its errors are its own");
    assert_eq!(answer.header("x-own"), Some("yes"));
    let cookies = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count();
    assert_eq!(cookies, 2);
    for gone in ["x-private", "keep-alive", "access-control-allow-origin"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    for said in ["ratelimit", "ratelimit-policy"] {
        assert!(answer.header(said).is_some(), "{said}: {answer:?}");
    }
    let got = upstream.only();
    assert_eq!(got.line, "PATCH /a%20b//c;d?x=1&key=own&y=%2F HTTP/1.1");
    assert_eq!(got.body, b"hello");
    let id = key.split('_').nth(1).unwrap();
    for (name, value) in [
        ("host", Some(upstream.address.to_string())),
        ("x-own", Some("mine".into())),
        ("content-type", Some("text/plain".into())),
        ("x-handover-caller", Some(format!("key:{id}"))),
        ("x-handover-other", None),
        ("x-forwarded-for", Some("127.0.0.1".into())),
        ("x-forwarded-proto", Some("http".into())),
        ("x-forwarded-host", Some("localhost".into())),
        ("x-forwarded-prefix", Some(AT.into())),
        ("x-forwarded-port", None),
        ("x-real-ip", None),
        ("forwarded", Some("for=127.0.0.1;host=\"localhost\";proto=http".into())),
        ("x-drop", None),
        ("keep-alive", None),
        ("proxy-connection", None),
        ("proxy-authorization", None),
        ("te", Some("trailers".into())),
        ("x-api-key", None),
        ("authorization", Some("Basic dXNlcg==".into())),
        ("traceparent", Some(trace.into())),
        ("tracestate", Some("a=b".into())),
        ("x-request-id", answer.header("x-request-id").map(str::to_owned)),
    ] {
        assert_eq!(got.one(name).map(str::to_owned), value, "{name}");
    }
    let via = got.all("via");
    assert!(via.len() == 2 && via[0] == "1.0 other" && via[1].starts_with("1.1 handover-"), "{via:?}");
    assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
    // What is logged has the same id, the app, and the trace.
    let log = server.stop();
    let line = log.lines().find(|line| line.contains("\"method\":\"PATCH\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["app"], "billing");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["context"]["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(line["context"]["status"], 418);
    assert_eq!(line["context"]["path"], format!("{AT}/a%20b//c;d"));
    assert_eq!(line["context"]["caller"], format!("key:{id}"));
    assert!(!log.contains("key=own"), "queries are not logged");
}

#[test]
fn a_bearer_that_was_ours_is_not_passed_on_and_a_trace_is_begun() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let request = Ask::get(AT).header("Authorization", format!("bearer {key}")).header("traceparent", "none");
    let answer = ask(&server, &request.header("tracestate", "a=b"));
    assert_eq!((answer.status, answer.text()), (200, "fine /".into()));
    let got = upstream.only();
    assert_eq!((got.one("authorization"), got.one("tracestate")), (None, None));
    let trace = got.one("traceparent").unwrap();
    assert!(trace.len() == 55 && trace.starts_with("00-"), "{trace}");
    let answer = ask(&server, &Ask::get(format!("{AT}?x={key}")).header("X-API-Key", &key));
    assert_eq!((answer.status, answer.code()), (400, "KEY_IN_QUERY".into()));
    assert_eq!(upstream.got().len(), 1);
}

#[test]
fn every_method_goes_but_those_of_tunnels() {
    let upstream = Upstream::new(|got, stream| {
        let head = match got.line.split(' ').next().unwrap() {
            "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            "DELETE" => "HTTP/1.1 204 No Content\r\n\r\n",
            "GET" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        stream.write_all(head.as_bytes()).is_ok()
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for (method, status) in [
        ("HEAD", 200),
        ("DELETE", 204),
        ("GET", 304),
        ("OPTIONS", 200),
        ("PUT", 200),
        ("POST", 200),
        ("PROPFIND", 200),
        ("TRACE", 405),
    ] {
        let answer = ask(&server, &Ask::new(method, format!("{AT}/x")));
        assert_eq!(answer.status, status, "{method}");
        match method {
            "HEAD" => assert_eq!(answer.header("content-length"), Some("1000")),
            "TRACE" => assert_eq!(answer.code(), "METHOD_NOT_ALLOWED"),
            "GET" => assert_eq!((answer.header("etag"), answer.body.len()), (Some("\"x\""), 0)),
            _ => assert!(answer.body.len() < 3, "{method}: {answer:?}"),
        }
    }
    let mut stream = connect(server.address);
    stream.write_all(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n").unwrap();
    let answer = read_head(&mut BufReader::new(stream)).unwrap();
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let mut stream = connect(server.address);
    write!(stream, "GET {AT}/old HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.0 304"), "{text}");
    assert!(upstream.last().all("via")[0].starts_with("1.0 handover-"));
    assert!(upstream.got().iter().all(|got| got.wrong.is_none() && !got.line.starts_with("TRACE")));
}

#[test]
fn pages_of_origins_that_are_allowed_may_call_services() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "cors: 'https://app.example.com'");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let origin = "https://app.example.com";
    let preflight = Ask::new("OPTIONS", format!("{AT}/x"))
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "PUT")
        .header("Access-Control-Request-Headers", "x-api-key");
    let answer = ask(&server, &preflight);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
    assert!(upstream.got().is_empty(), "it is answered here");
    for (origin, may) in [(origin, Some(origin)), ("https://evil.example.com", None)] {
        let answer = ask(&server, &with(&key, Ask::get(AT)).header("Origin", origin));
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, may));
        assert!(answer.header("vary").unwrap().contains("origin"));
        let answer = ask(&server, &Ask::get(AT).header("Origin", origin));
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, may));
    }
}

#[test]
fn http_2_comes_in_and_goes_on_as_http_1() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let address = server.address;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let calls = (0..20).map(|n| {
            let request = hyper::Request::post(format!("http://localhost{AT}/{n}"))
                .header("te", "trailers")
                .header("x-n", n.to_string());
            sender.send_request(request.body(Full::new(Bytes::from(format!("body {n}")))).unwrap())
        });
        let calls: Vec<_> = calls.collect();
        for (n, call) in calls.into_iter().enumerate() {
            let answer = call.await.unwrap();
            assert_eq!(answer.status(), 200);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("fine /{n}"));
        }
    });
    let got: Vec<Got> = upstream.got();
    assert_eq!(got.len(), 20);
    for one in got {
        assert_eq!(one.wrong, None);
        assert_eq!(one.body, format!("body {}", &one.path()[1..]).as_bytes());
        assert_eq!(one.one("x-forwarded-host"), Some("localhost"));
        assert!(one.all("via")[0].starts_with("2 handover-"));
    }
}

#[test]
fn what_apps_did_is_counted() {
    let upstream = Upstream::new(|got, stream| {
        let status = if got.path() == "/no" { "500 No" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nabc").is_ok()
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for path in ["/yes", "/yes", "/no"] {
        ask(&server, &Ask::post(format!("{AT}{path}")).body("text/plain", "12345"));
    }
    let counted = wait_for(LONG, "the counts", || {
        let status = server.anyone().get("/api/v1/apps/billing/status").json();
        (status["requests"]["bytes_out"] == 9).then(|| status["requests"].clone())
    });
    assert_eq!(
        (&counted["status_2xx"], &counted["status_5xx"], &counted["status_4xx"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert_eq!(counted["bytes_in"], 15);
    let buckets = counted["latency"]["buckets"].as_array().unwrap();
    assert_eq!(buckets.last().unwrap()["count"], 3, "{counted:#}");
    let other = server.anyone().get("/api/v1/apps/up/status").json();
    assert!(other["requests"].is_null());
}
