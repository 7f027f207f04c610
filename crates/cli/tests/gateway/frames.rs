//! HTTP/2 by the frame: what is no HTTP/2, and what is one in bad faith, ends its connection or its stream; the server lives
//! and answers the next; and no trick with a header makes two requests of one.

use crate::http::{Ask, connect};
use crate::kit::{OPEN, Server, Site};
use crate::proxying::{AT, ask};
use crate::upstream::Upstream;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Headers as HPACK writes them without any table.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            number(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// A number with a prefix of seven bits.
fn number(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        bytes.push(value as u8);
        return;
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push((value % 128 + 128) as u8);
        value /= 128;
    }
    bytes.push(value as u8);
}

fn request<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let mut headers =
        vec![(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", path)];
    headers.extend(more);
    block(&headers)
}

/// The preface, settings, and these.
fn begin(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[]), frames.concat()].concat()
}

/// Sends bytes and waits for the end of the connection, or for quiet.
fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(server.address);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = stream.try_clone().unwrap();
    // The other side says much while much is sent.
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = reader.read_to_end(&mut all);
        all
    });
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    reading.join().unwrap()
}

#[track_caller]
fn survives(cases: &[(&str, Vec<u8>)]) {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for (name, bytes) in cases {
        let before = upstream.got().len();
        exchange(&server, bytes);
        for got in &upstream.got()[before..] {
            assert!(got.wrong.is_some() || got.path().starts_with("/ok"), "{name}: {got:#?}");
        }
        let next = ask(&server, &Ask::get(format!("{AT}/ok/next")));
        assert_eq!(next.text(), "fine /ok/next", "after {name}");
    }
    assert!(!server.stop().contains("panic"));
}

#[test]
fn a_connection_in_bad_faith_ends_alone() {
    let path = format!("{AT}/ok");
    let open = |stream: u32| frame(HEADERS, END_HEADERS, stream, &request(&path, &[]));
    let whole = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(&path, &[]));
    let streams = || (0..2_000u32).map(|n| n * 2 + 1);
    survives(&[
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface with a mistake", [&PREFACE[..20], b"XX\r\n"].concat()),
        ("no settings", [PREFACE.to_vec(), whole(1)].concat()),
        ("an oversize frame", begin(&[open(1), frame(DATA, 0, 1, &vec![0; 20_000])])),
        ("a length of 16 MB", begin(&[vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]])),
        ("data on stream 0", begin(&[frame(DATA, 0, 0, b"x")])),
        ("headers on stream 0", begin(&[frame(HEADERS, END_HEADERS, 0, &request(&path, &[]))])),
        ("headers on an even stream", begin(&[whole(2)])),
        ("data on an idle stream", begin(&[frame(DATA, 0, 5, b"x")])),
        ("a stream that goes back", begin(&[whole(5), whole(3)])),
        (
            "a window that overflows",
            begin(&[open(1), frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffffu32.to_be_bytes())]),
        ),
        (
            "the connection's window overflows",
            begin(&[frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes())]),
        ),
        ("a window that grows by nothing", begin(&[frame(WINDOW_UPDATE, 0, 0, &[0; 4])])),
        ("settings of an odd length", begin(&[frame(SETTINGS, 0, 0, &[0; 5])])),
        ("settings on a stream", begin(&[frame(SETTINGS, 0, 1, &[])])),
        ("an acknowledgement with content", begin(&[frame(SETTINGS, 1, 0, &[0; 6])])),
        ("a ping of an odd length", begin(&[frame(PING, 0, 0, &[0; 7])])),
        ("a push by a client", begin(&[frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])])),
        ("HPACK that is none", begin(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 50])])),
        ("an index beyond the table", begin(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xfe])])),
        ("padding longer than the frame", begin(&[frame(DATA, 8, 1, &[200, 0])])),
        ("a stream that depends on itself", begin(&[frame(0x2, 0, 3, &[0, 0, 0, 3, 16])])),
        ("a continuation of nothing", begin(&[frame(CONTINUATION, END_HEADERS, 1, &[])])),
        (
            "another frame within headers",
            begin(&[frame(HEADERS, 0, 1, &request(&path, &[])), frame(PING, 0, 0, &[0; 8])]),
        ),
        ("an unknown frame", begin(&[frame(0xbe, 0xff, 7, b"what is this")])),
        ("a reset of an idle stream", begin(&[frame(RST_STREAM, 0, 9, &[0; 4])])),
        (
            "rapid resets",
            begin(
                &streams()
                    .map(|stream| [whole(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat())
                    .collect::<Vec<_>>(),
            ),
        ),
        ("more streams than are taken", begin(&streams().map(open).collect::<Vec<_>>())),
        (
            "continuations without end",
            begin(&[
                frame(HEADERS, 0, 1, &request(&path, &[])),
                frame(CONTINUATION, 0, 1, &block(&[("x-many", &"x".repeat(4_000))])).repeat(500),
            ]),
        ),
        (
            "empty continuations",
            begin(&[
                frame(HEADERS, 0, 1, &request(&path, &[])),
                frame(CONTINUATION, 0, 1, &[]).repeat(20_000),
            ]),
        ),
        ("empty data", begin(&[open(1), frame(DATA, 0, 1, &[]).repeat(20_000)])),
        ("settings without end", begin(&[frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(20_000)])),
        ("pings without end", begin(&[frame(PING, 0, 0, &[0; 8]).repeat(20_000)])),
    ]);
}

#[test]
fn headers_of_http_2_make_no_second_request() {
    let path = format!("{AT}/case");
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let evil = "x\r\nContent-Length: 0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x";
    let body = b"hello";
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("a length that is too small", request(&path, &[("content-length", "2")])),
        ("a length that is too large", request(&path, &[("content-length", "50")])),
        ("two lengths", request(&path, &[("content-length", "5"), ("content-length", "6")])),
        ("chunked", request(&path, &[("transfer-encoding", "chunked")])),
        ("a connection", request(&path, &[("connection", "x-handover-caller")])),
        ("an upgrade", request(&path, &[("upgrade", "websocket")])),
        ("a line's end in a value", request(&path, &[("x", evil)])),
        ("a line's end in a name", request(&path, &[("x: y\r\ntransfer-encoding", "chunked")])),
        ("a colon in a name", request(&path, &[("x: y", "z")])),
        ("a capital in a name", request(&path, &[("X-Upper", "z")])),
        ("a line's end in the path", request(&format!("{path} HTTP/1.1\r\nX: y"), &[])),
        ("a space in the path", request(&format!("{path} HTTP/1.1"), &[])),
        ("another path", request(&path, &[(":path", "/evil")])),
        ("a pseudo-header behind", request(&path, &[("x", "y"), (":authority", "other")])),
        ("an unknown pseudo-header", request(&path, &[(":evil", "y")])),
        ("another host", request(&path, &[("host", "other")])),
        ("no path", block(&[(":method", "POST"), (":scheme", "http"), (":authority", "localhost")])),
        (
            "a method with a space",
            block(&[
                (":method", "GET /evil HTTP/1.1\r\nX: "),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", &path),
            ]),
        ),
        (
            "an authority with a line's end",
            block(&[(":method", "GET"), (":scheme", "http"), (":authority", "x\r\nX: y"), (":path", &path)]),
        ),
        ("te", request(&path, &[("te", "gzip")])),
    ];
    for (name, headers) in rows {
        let before = upstream.got().len();
        exchange(
            &server,
            &begin(&[frame(HEADERS, END_HEADERS, 1, &headers), frame(DATA, END_STREAM, 1, body)]),
        );
        let got = &upstream.got()[before..];
        assert!(got.len() < 2, "{name}: {got:#?}");
        for one in got.iter().filter(|got| got.wrong.is_none()) {
            assert_eq!((one.line.as_str(), &one.body[..]), ("POST /case HTTP/1.1", &body[..]), "{name}");
            assert_eq!((one.one("te"), one.one("upgrade")), (None, None), "{name}");
        }
        let next = ask(&server, &Ask::get(format!("{AT}/ok/next")));
        assert_eq!(next.text(), "fine /ok/next", "after {name}");
    }
}
