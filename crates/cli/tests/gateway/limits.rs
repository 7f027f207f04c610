//! Who may, and how much.

use crate::http::{Ask, connect};
use crate::kit::{LONG, OPEN, Site};
use crate::proxying::{AT, ask};
use crate::upstream::Upstream;
use handover_testkit::process::wait_for;
use std::io::{Read as _, Write as _};
use std::time::Duration;

#[test]
fn keys_may_what_their_scopes_and_apps_say() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "");
    let submit = site.key(&["--scope", "submit"]);
    let read = site.key(&["--scope", "read"]);
    let operate = site.key(&["--scope", "operate"]);
    let other = site.key(&["--scope", "admin", "--app", "up"]);
    let server = site.serve();
    for (key, method, status) in [
        (Some(&submit), "GET", 200),
        (Some(&submit), "POST", 200),
        (Some(&submit), "DELETE", 200),
        (Some(&read), "GET", 200),
        (Some(&read), "HEAD", 200),
        (Some(&read), "POST", 403),
        (Some(&read), "OPTIONS", 403),
        (Some(&operate), "GET", 200),
        (Some(&operate), "PUT", 403),
        (Some(&other), "GET", 403),
        (None, "GET", 401),
    ] {
        let before = upstream.got().len();
        let request = Ask::new(method, format!("{AT}/x"));
        let request = match key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        };
        let answer = ask(&server, &request);
        assert_eq!(answer.status, status, "{key:?} {method}: {answer:?}");
        assert_eq!(upstream.got().len() - before, usize::from(status == 200), "{key:?} {method}");
        if status == 401 {
            assert!(answer.header("www-authenticate").is_some());
        }
    }
}

#[test]
fn what_is_no_service_is_not_found_and_the_nearest_is_named() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "auth: none");
    let server = site.serve();
    for (path, says) in [
        ("/api/v1/services/biling/x", "billing"),
        ("/api/v1/services/up/x", "no service app"),
        ("/api/v1/services/%62illing", "there is no app"),
        ("/api/v1/services/", "there is no app"),
        ("/api/v1/services", "nothing under this path"),
        ("/api/v3/services/billing/", "there is no version v3"),
    ] {
        let answer = ask(&server, &Ask::get(path));
        assert_eq!((answer.status, answer.code()), (404, "NOT_FOUND".into()), "{path}");
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
    let problem = ask(&server, &Ask::get("/api/v2/services/biling"));
    assert_eq!((problem.status, problem.media_type()), (404, "application/problem+json"));
    assert_eq!(problem.json()["instance"], "/api/v2/services/biling");
    assert!(upstream.got().is_empty());
}

#[test]
fn callers_have_rates_for_all_for_services_and_for_one() {
    let upstream = Upstream::fine();
    let declared =
        upstream.declared().replace("apps: {", "apps: { other: { url: 'http://127.0.0.1:1', retries: 0 },");
    for (limits, free, name) in [
        ("address: 1000/s, default: 3/h", 3, "default"),
        ("address: 1000/s, default: 1000/s, apps: { billing: 3/h }", 3, "app"),
        ("address: 1000/s, default: 1000/s, routes: { 'ANY /services/{app}': 3/h }", 3, "route"),
        ("address: 5/h, default: 1000/s", 4, "address"),
    ] {
        let site = Site::new(&declared, &format!("auth: none, limits: {{ {limits} }}"));
        let server = site.serve();
        for n in 0..free {
            let answer = ask(&server, &Ask::get(AT));
            assert_eq!(answer.status, 200, "{name} {n}: {answer:?}");
            if name != "address" {
                assert!(answer.header("ratelimit").is_some(), "{name}");
            }
        }
        let answer = ask(&server, &Ask::get(AT));
        assert_eq!((answer.status, answer.code()), (429, "RATE_LIMITED".into()), "{name}");
        assert!(answer.header("retry-after").is_some() && answer.text().contains(name), "{name}: {answer:?}");
    }
}

#[test]
fn a_version_that_goes_says_so() {
    let upstream = Upstream::fine();
    let said =
        "auth: none, versions: { v1: { deprecated: 2027-01-01T00:00:00Z, sunset: 2028-01-01T00:00:00Z } }";
    let site = Site::new(&upstream.declared(), said);
    let server = site.serve();
    let answer = ask(&server, &Ask::get(AT));
    assert_eq!(answer.header("deprecation"), Some("@1798761600"));
    assert_eq!(answer.header("sunset"), Some("Sat, 01 Jan 2028 00:00:00 GMT"));
    assert_eq!(ask(&server, &Ask::get("/api/v2/services/billing/")).header("deprecation"), None);
}

#[test]
fn an_answer_that_goes_on_holds_its_place_to_its_end() {
    let upstream = Upstream::raw(|mut stream, _| {
        let mut head = [0; 2_000];
        let count = stream.read(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head[..count]).into_owned();
        let answer = match (head.contains("/socket"), head.contains("/on")) {
            (true, _) => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            (_, true) => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine",
        };
        stream.write_all(answer.as_bytes()).unwrap();
        // Until the gateway goes.
        let _ = stream.read(&mut [0; 10]);
    });
    let site = Site::new(&upstream.declared(), &format!("{OPEN}, limits: {{ requests: 4 }}"));
    let server = site.serve();
    let begin = |path: &str| {
        let mut stream = connect(server.address);
        let more = if path == "/socket" { "Connection: upgrade\r\nUpgrade: x\r\n" } else { "" };
        write!(stream, "GET {AT}{path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        let began = [b"HTTP/1.1 200", b"HTTP/1.1 101"].contains(&&first);
        began.then_some(stream)
    };
    for path in ["/on", "/socket", "/on"] {
        // Three of four places are this caller's; those of what has just ended come back in their time.
        let under_way: Vec<_> = (0..3).map(|_| wait_for(LONG, path, || begin(path))).collect();
        for _ in 0..3 {
            let more = ask(&server, &Ask::get(AT));
            assert_eq!((more.status, more.code()), (429, "QUOTA_EXCEEDED".into()), "{path}: {more:?}");
        }
        drop(under_way);
        wait_for(LONG, "a place", || (ask(&server, &Ask::get(AT)).status == 200).then_some(()));
    }
}

#[test]
fn an_answer_that_goes_on_ends_with_its_key() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        while stream.write_all(b"5\r\nagain\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    });
    let site = Site::new(&upstream.declared(), "");
    let (key, other) = (site.key(&["--scope", "submit"]), site.key(&["--scope", "submit"]));
    let server = site.serve();
    let begin = |key: &str| Ask::get(AT).header("X-API-Key", key).send(server.address);
    let (mut ends, mut goes_on) = (begin(&key), begin(&other));
    for stream in [&mut ends, &mut goes_on] {
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    site.command(&["keys", "revoke", key.split('_').nth(1).unwrap()]);
    let mut rest = Vec::new();
    let _ = ends.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it does not look whole");
    // Whoever has a key that is worth something hears what is said after that.
    goes_on.read_exact(&mut vec![0; rest.len() + 100]).unwrap();
    assert!(server.stop().contains("the key or token that was shown has ended"));
}
