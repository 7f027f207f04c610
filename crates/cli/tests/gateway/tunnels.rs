//! Connections that change their protocol.

use crate::bodies::is_over;
use crate::http::{Answer, connect, read_head};
use crate::kit::{LONG, OPEN, Server, Site};
use crate::proxying::AT;
use crate::upstream::{Upstream, read};
use handover_testkit::process::wait_for;
use rustix::process::Signal;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

/// One that changes its protocol, and then says all again in capitals.
fn loud() -> Upstream {
    Upstream::raw(|mut stream, got| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some(one) = read(&mut reader, &mut stream) else { return };
        let upgrades = one.one("upgrade") == Some("websocket") && one.path() != "/no";
        got.lock().unwrap().push(one);
        if !upgrades {
            let _ = stream.write_all(
                b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno",
            );
            return;
        }
        let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst";
        stream.write_all(head).unwrap();
        let mut buffer = [0; 1_000];
        while let Ok(count) = reader.read(&mut buffer) {
            if count == 0 || stream.write_all(&buffer[..count].to_ascii_uppercase()).is_err() {
                return;
            }
        }
    })
}

fn open(server: &Server, path: &str, protocol: &str) -> (TcpStream, BufReader<TcpStream>, Answer) {
    open_with(server, path, protocol, "")
}

/// The same with another header.
fn open_with(
    server: &Server,
    path: &str,
    protocol: &str,
    more: &str,
) -> (TcpStream, BufReader<TcpStream>, Answer) {
    let mut stream = connect(server.address);
    write!(stream, "GET {AT}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: k\r\n{more}\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = Vec::new();
    // `read_head` passes over 1xx, which 101 is.
    let answer = loop {
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
        if line.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(line.clone()).unwrap().replacen(" 101 ", " 299 ", 1);
            break read_head(&mut BufReader::new(text.as_bytes())).unwrap();
        }
    };
    (stream, reader, answer)
}

fn opened(server: &Server) -> u64 {
    server.anyone().get("/api/v1/apps/billing/status").json()["requests"]["upgraded"].as_u64().unwrap()
}

#[test]
fn what_a_connection_has_become_goes_both_ways_until_either_ends_it() {
    let upstream = loud();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let (mut stream, mut reader, answer) = open(&server, "/socket", "websocket");
    assert_eq!((answer.status, answer.header("upgrade")), (299, Some("websocket")));
    assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
    assert!(answer.header("x-request-id").is_some());
    let mut first = [0; 5];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    for n in 0..100 {
        let text = format!("message {n:05}");
        stream.write_all(text.as_bytes()).unwrap();
        let mut back = vec![0; text.len()];
        reader.read_exact(&mut back).unwrap();
        assert_eq!(back, text.to_ascii_uppercase().as_bytes());
    }
    assert_eq!(opened(&server), 1);
    let got = upstream.only();
    assert_eq!((got.one("upgrade"), got.one("connection")), (Some("websocket"), Some("upgrade")));
    drop((stream, reader));
    wait_for(LONG, "its end", || (opened(&server) == 0).then_some(()));
}

#[test]
fn a_tunnel_ends_when_the_server_does() {
    let upstream = loud();
    let site = Site::new(&upstream.declared(), OPEN);
    let mut server = site.serve();
    let (mut stream, reader, _) = open(&server, "/socket", "websocket");
    drop(reader);
    server.run.signal(Signal::TERM);
    let status = server.run.end_within(LONG);
    assert!(status.success());
    assert!(!server.run.stderr().contains("did not take their answers"), "{}", server.run.stderr());
    wait_for(LONG, "its end", || is_over(&mut stream).then_some(()));
}

#[test]
fn a_tunnel_ends_with_its_key() {
    let upstream = loud();
    let site = Site::new(&upstream.declared(), "");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let (mut stream, mut reader, answer) =
        open_with(&server, "/socket", "websocket", &format!("X-API-Key: {key}\r\n"));
    assert_eq!(answer.status, 299);
    reader.read_exact(&mut [0; 5]).unwrap();
    stream.write_all(b"more").unwrap();
    reader.read_exact(&mut [0; 4]).unwrap();
    site.command(&["keys", "revoke", key.split('_').nth(1).unwrap()]);
    wait_for(LONG, "its end", || is_over(&mut stream).then_some(()));
}

#[test]
fn a_service_that_does_not_change_answers_as_ever() {
    let upstream = loud();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let (mut stream, reader, answer) = open(&server, "/no", "websocket");
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
    drop(reader);
    // The connection is what it was: no bytes go to the service past everything.
    write!(stream, "GET {AT}/evil HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
    let mut rest = [0; 2_000];
    let _ = stream.read(&mut rest);
    assert!(upstream.got().iter().all(|got| got.path() != "/evil"));
}

#[test]
fn http_2_and_tls_are_not_changed_to() {
    let upstream = loud();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c"] {
        let (_, _, answer) = open(&server, "/socket", protocol);
        assert_eq!(answer.status, 426, "{protocol}");
        let got = upstream.last();
        assert_eq!((got.one("upgrade"), got.one("connection")), (None, None), "{protocol}");
    }
}
