//! Services that are down, slow, or answer badly: the client learns it, never takes a part for the whole, and others go on.

use crate::http::{Ask, connect, read_answer};
use crate::kit::{LONG, OPEN, Server, Site};
use crate::proxying::{AT, ask};
use crate::upstream::{Upstream, read};
use handover_testkit::process::wait_for;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// One that reads a request and then does this with the connection.
fn does(what: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Upstream {
    Upstream::raw(move |mut stream, got| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(one) = read(&mut reader, &mut stream) {
            got.lock().unwrap().push(one.clone());
            if one.path().starts_with("/fine") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
                continue;
            }
            what(one.path(), &mut stream);
            return;
        }
    })
}

/// All bytes of an answer, to the end of its connection.
fn bytes(server: &Server, path: &str) -> String {
    let ask = Ask::get(format!("{AT}{path}")).header("Connection", "close");
    let mut all = Vec::new();
    let _ = ask.send(server.address).read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[track_caller]
fn others_go_on(server: &Server) {
    assert_eq!(ask(server, &Ask::get(format!("{AT}/fine"))).text(), "fine");
}

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    let upstream = does(|path, stream| {
        let head = match path {
            "/nothing" => String::new(),
            "/half" => "HTTP/1.1 200 OK\r\nContent-Le".into(),
            "/other" => "SSH-2.0-OpenSSH_9.2\r\n".into(),
            "/colon" => "HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n".into(),
            "/null" => "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n".into(),
            "/status" => "HTTP/1.1 999999 OK\r\n\r\n".into(),
            "/lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(),
            "/length" => "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into(),
            "/huge" => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2_000_000)),
            "/many" => format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(5_000)),
            "/switch" => {
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".into()
            }
            _ => panic!("{path}"),
        };
        let _ = stream.write_all(head.as_bytes());
    });
    let site = Site::new(&upstream.declared_with(", retries: 0"), OPEN);
    let server = site.serve();
    let paths = [
        "/nothing", "/half", "/other", "/colon", "/null", "/status", "/lengths", "/length", "/huge", "/many",
        "/switch",
    ];
    for path in paths {
        let answer = wait_for(LONG, path, || {
            // After some failures a service may be left alone for a moment.
            Some(ask(&server, &Ask::get(format!("{AT}{path}")))).filter(|answer| answer.status != 503)
        });
        assert_eq!((answer.status, answer.code()), (502, "BAD_GATEWAY".into()), "{path}: {answer:?}");
        wait_for(LONG, "others", || {
            let next = ask(&server, &Ask::get(format!("{AT}/fine")));
            (next.status == 200).then_some(()).or_else(|| {
                assert_eq!(next.status, 503);
                None
            })
        });
    }
}

#[test]
fn a_part_never_looks_whole() {
    let upstream = does(|path, stream| {
        let head = match path {
            "/short" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            "/chunks" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "/chunk" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nshort",
            "/wrong" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n",
            "/both" => {
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"
            }
            "/bare" => "HTTP/1.1 200 OK\r\n\r\nshort",
            _ => panic!("{path}"),
        };
        let _ = stream.write_all(head.as_bytes());
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    // Neither a length nor chunks: that its connection ends is the only end that it has, broken off or not.
    assert!(bytes(&server, "/bare").ends_with("\r\n\r\n5\r\nshort\r\n0\r\n\r\n"));
    for path in ["/short", "/chunks", "/chunk", "/wrong", "/both"] {
        let text = bytes(&server, path);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {text}"));
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {text}");
        let head = head.to_lowercase();
        let whole = match head.contains("transfer-encoding: chunked") {
            true => body.ends_with("0\r\n\r\n"),
            false => !head.contains("content-length: 10") || body.len() >= 10,
        };
        assert!(!whole, "{path}: {text}");
        others_go_on(&server);
    }
    // Each is said in the log.
    let log = server.stop();
    assert_eq!(log.matches("an answer was cut").count(), 5, "{log}");
}

#[test]
fn what_comes_behind_an_answer_is_nobodys() {
    let upstream = Upstream::new(|got, stream| {
        let path = got.path();
        let more = if path == "/long" { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" } else { "" };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}{more}", path.len()).is_ok()
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for n in 0..20 {
        assert_eq!(ask(&server, &Ask::get(format!("{AT}/long"))).text(), "/long");
        let next = ask(&server, &Ask::get(format!("{AT}/{n}")));
        assert_eq!((next.status, next.text()), (200, format!("/{n}")));
    }
}

#[test]
fn what_comes_before_an_answer_is_passed_over() {
    let upstream = does(|path, stream| {
        let count = if path == "/some" { 50 } else { 1_000_000 };
        for _ in 0..count {
            if stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").is_err() {
                return;
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let site = Site::new(&upstream.declared_with(", timeout: 2s, retries: 0"), OPEN);
    let server = site.serve();
    let answer = ask(&server, &Ask::get(format!("{AT}/some")));
    assert_eq!((answer.status, answer.text()), (200, "ok".into()));
    let endless = ask(&server, &Ask::get(format!("{AT}/endless")));
    assert!([200, 502, 504].contains(&endless.status), "{endless:?}");
}

#[test]
fn slow_services_are_waited_for_as_long_as_they_may_take() {
    let upstream = does(|path, stream| {
        if path == "/pauses" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
        }
        // Until the gateway goes.
        let _ = stream.read(&mut [0; 10]);
    });
    let site = Site::new(&upstream.declared_with(", timeout: 1s, retries: 0"), OPEN);
    let server = site.serve();
    let answer = ask(&server, &Ask::get(format!("{AT}/never")));
    assert_eq!((answer.status, answer.code()), (504, "GATEWAY_TIMEOUT".into()));
    assert!(answer.text().contains("1s"), "{}", answer.text());
    let text = bytes(&server, "/pauses");
    assert!(text.ends_with("\r\n\r\nshort"), "{text}");
    others_go_on(&server);
    let problem =
        read_answer(Ask::get("/api/v2/services/billing/never").send(server.address), "GET").unwrap();
    assert_eq!(
        (problem.media_type(), problem.code()),
        ("application/problem+json", "GATEWAY_TIMEOUT".into())
    );
    assert!(server.stop().contains("the service paused for longer than its `timeout`"));
}

#[test]
fn a_service_that_is_down_is_said_to_be() {
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new(&format!("apps: {{ billing: {{ url: 'http://{address}', retries: 0 }} }}"), OPEN);
    let server = site.serve();
    let answer = ask(&server, &Ask::post(AT).body("text/plain", "x"));
    assert!([502, 503].contains(&answer.status), "{answer:?}");
    assert_eq!(
        answer.header("x-request-id").unwrap(),
        answer.json()["error"]["request_id"].as_str().unwrap()
    );
    // The address is for the log alone.
    assert!(!answer.text().contains(&address.port().to_string()), "{}", answer.text());
    let log = server.stop();
    assert!(log.contains(answer.header("x-request-id").unwrap()), "{log}");
}

/// Passes connections on to where an address leads, for as long as the test runs.
fn relay(listener: TcpListener, to: SocketAddr) {
    std::thread::spawn(move || {
        for from in listener.incoming() {
            let (from, to) = (from.unwrap(), TcpStream::connect(to).unwrap());
            for (mut read, mut write) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                std::thread::spawn(move || std::io::copy(&mut read, &mut write));
            }
        }
    });
}

#[test]
fn a_service_whose_address_leads_back_here_is_found_out() {
    // What leads here at once `check` finds.
    let between = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = between.local_addr().unwrap();
    let loops = format!("apps: {{ billing: {{ url: 'http://{there}{AT}', retries: 0 }} }}");
    let site = Site::new(&loops, "");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    relay(between, server.address);
    let answer = ask(&server, &Ask::get(AT).header("X-API-Key", key));
    assert_eq!((answer.status, answer.code()), (508, "LOOP_DETECTED".into()));
}

#[test]
fn an_answer_before_the_whole_body_is_an_answer() {
    let upstream = Upstream::raw(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            std::io::BufRead::read_line(&mut reader, &mut head).unwrap();
        }
        let _ =
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        let _ = reader.read(&mut [0; 10_000]);
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let mut stream = connect(server.address);
    write!(stream, "POST {AT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx").unwrap();
    let answer = read_answer(stream, "POST").unwrap();
    assert_eq!((answer.status, answer.text()), (413, "big".into()));
}
