//! Requests that two programs could read differently: each is refused, or reaches the service as exactly one request with one
//! unambiguous length; and whoever asks next gets their own answer.

use crate::http::{Ask, connect, read_answer_of, read_head};
use crate::kit::{OPEN, Server, Site};
use crate::proxying::{AT, ask};
use crate::upstream::Upstream;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// What becomes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The service gets nothing.
    Refused,
    /// The service gets one request, with this body.
    Passed(&'static str),
}
use End::{Passed, Refused};

const EVIL: &str = "GET /api/v1/services/billing/evil HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends bytes as they are; gives the status of the first answer, and all bytes that came. The client keeps its side open
/// until it has this text, or, where it waits for none, until nothing comes for a while.
fn exchange(server: &Server, bytes: &[u8], text: Option<&str>) -> (Option<u16>, String) {
    let mut stream = connect(server.address);
    if text.is_none() {
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    let _ = stream.write_all(bytes);
    let mut all = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        all.extend(&buffer[..count]);
        if text.is_some_and(|text| String::from_utf8_lossy(&all).contains(text)) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut all);
    let status = read_head(&mut BufReader::new(&all[..])).map(|answer| answer.status);
    (status, String::from_utf8_lossy(&all).into_owned())
}

/// A request whose head has these lines, and what comes behind it.
fn raw(method: &str, lines: &str, behind: &str) -> Vec<u8> {
    format!("{method} {AT}/case HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{behind}").into_bytes()
}

#[track_caller]
fn check(cases: &[(&str, Vec<u8>, End)]) {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for (name, bytes, end) in cases {
        let before = upstream.got().len();
        let waits_for = matches!(end, Passed(_)).then_some("fine /");
        let (status, text) = exchange(&server, bytes, waits_for);
        let got = upstream.got()[before..].to_vec();
        assert!(got.iter().all(|got| !got.path().contains("evil")), "{name}: {got:#?}");
        match end {
            Refused => {
                assert!(got.iter().all(|got| got.wrong.is_some()), "{name}: {text}\n{got:#?}");
                assert!(status.is_none_or(|status| (400..600).contains(&status)), "{name}: {text}");
                assert_eq!(
                    text.matches("HTTP/1.1 ").count(),
                    usize::from(status.is_some()),
                    "{name}: {text}"
                );
            }
            Passed(body) => {
                assert_eq!(status, Some(200), "{name}: {text}");
                assert_eq!(got.len(), 1, "{name}: {got:#?}");
                assert_eq!(got[0].wrong, None, "{name}: {got:#?}");
                assert_eq!(String::from_utf8_lossy(&got[0].body), *body, "{name}");
            }
        }
        let next = ask(&server, &Ask::get(format!("{AT}/next")));
        assert_eq!(next.text(), "fine /next", "after {name}");
    }
}

#[test]
fn a_length_is_one_length() {
    let evil = EVIL.len();
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let one = chunk("hello");
    let te = "Transfer-Encoding: chunked\r\n";
    check(&[
        ("a length", raw("POST", "Content-Length: 5\r\n", "hello"), Passed("hello")),
        ("chunks", raw("POST", te, &one), Passed("hello")),
        ("odd case", raw("POST", "tRANSFER-eNCODING: cHuNkEd\r\n", &one), Passed("hello")),
        ("a tab before the value", raw("POST", "Transfer-Encoding:\tchunked\t \r\n", &one), Passed("hello")),
        // The parser reads the chunks and forgets the length; so does the service, which never sees it.
        (
            "CL.TE",
            raw("POST", &format!("Content-Length: 6\r\n{te}"), &format!("0\r\n\r\nX{EVIL}")),
            Passed(""),
        ),
        ("TE.CL", raw("POST", &format!("{te}Content-Length: 4\r\n"), &chunk(EVIL)), Passed(EVIL)),
        ("two lengths", raw("POST", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), Refused),
        ("a list of lengths", raw("POST", "Content-Length: 5, 5\r\n", "hello"), Refused),
        (
            "the same length twice",
            raw("POST", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            Passed("hello"),
        ),
        ("negative", raw("POST", "Content-Length: -5\r\n", "hello"), Refused),
        ("with a plus", raw("POST", "Content-Length: +5\r\n", "hello"), Refused),
        ("hexadecimal", raw("POST", "Content-Length: 0x5\r\n", "hello"), Refused),
        ("a fraction", raw("POST", "Content-Length: 5.0\r\n", "hello"), Refused),
        ("empty", raw("POST", "Content-Length: \r\n", EVIL), Refused),
        ("with a space within", raw("POST", "Content-Length: 1 0\r\n", "hello"), Refused),
        ("beyond all numbers", raw("POST", "Content-Length: 99999999999999999999\r\n", "hello"), Refused),
        ("2^64", raw("POST", "Content-Length: 18446744073709551616\r\n", EVIL), Refused),
        ("more than comes", raw("POST", &format!("Content-Length: {}\r\n", evil + 9), EVIL), Refused),
        ("identity", raw("POST", "Transfer-Encoding: identity\r\n", EVIL), Refused),
        ("xchunked", raw("POST", "Transfer-Encoding: xchunked\r\n", &one), Refused),
        ("chunked twice", raw("POST", "Transfer-Encoding: chunked, chunked\r\n", &one), Refused),
        ("gzip, chunked", raw("POST", "Transfer-Encoding: gzip, chunked\r\n", &one), Refused),
        ("chunked, identity", raw("POST", "Transfer-Encoding: chunked, identity\r\n", &one), Refused),
        (
            "chunked, then identity",
            raw("POST", &format!("{te}Transfer-Encoding: identity\r\n"), &one),
            Refused,
        ),
        (
            "identity, then chunked",
            raw("POST", &format!("Transfer-Encoding: identity\r\n{te}"), &one),
            Refused,
        ),
        ("quoted", raw("POST", "Transfer-Encoding: \"chunked\"\r\n", &one), Refused),
        ("vertical tab", raw("POST", "Transfer-Encoding: \x0bchunked\r\n", &one), Refused),
        ("a parameter", raw("POST", "Transfer-Encoding: chunked;a=b\r\n", &one), Refused),
        ("space before the colon", raw("POST", "Transfer-Encoding : chunked\r\n", &one), Refused),
        ("space before the name", raw("POST", "X: y\r\n Transfer-Encoding: chunked\r\n", EVIL), Refused),
        (
            "HTTP/1.0 with chunks",
            format!("POST {AT}/case HTTP/1.0\r\nHost: localhost\r\n{te}\r\n{one}").into(),
            Refused,
        ),
        ("a GET with a body", raw("GET", "Content-Length: 5\r\n", "hello"), Passed("hello")),
        (
            "Connection names the length",
            raw("POST", "Connection: close, Content-Length\r\nContent-Length: 5\r\n", "hello"),
            Passed("hello"),
        ),
        ("an underscore", raw("POST", "Content_Length: 50\r\nContent-Length: 5\r\n", "hello"), Refused),
        (
            "an underscore in the coding",
            raw("POST", "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
            Refused,
        ),
    ]);
}

#[test]
fn chunks_are_chunks() {
    let post = |behind: &str| raw("POST", "Transfer-Encoding: chunked\r\n", behind);
    check(&[
        ("an extension", post("5;a=b\r\nhello\r\n0\r\n\r\n"), Passed("hello")),
        ("a quoted extension", post("5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n"), Passed("hello")),
        ("leading zeros", post("0005\r\nhello\r\n000\r\n\r\n"), Passed("hello")),
        ("capital digits", post("A\r\n0123456789\r\n0\r\n\r\n"), Passed("0123456789")),
        ("an extension with a bare LF", post("5;a\nxx\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a bare LF behind the size", post("5\nhello\r\n0\r\n\r\n"), Refused),
        ("a bare CR behind the size", post("5\rhello\r\n0\r\n\r\n"), Refused),
        ("no CRLF behind the bytes", post("5\r\nhello0\r\n\r\n"), Refused),
        ("a bare LF behind the bytes", post("5\r\nhello\n0\r\n\r\n"), Refused),
        ("two bytes instead of CRLF", post("5\r\nhelloXX0\r\n\r\n"), Refused),
        ("negative", post("-5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("with 0x", post("0x5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("beyond all numbers", post("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), Refused),
        ("empty", post("\r\nhello\r\n0\r\n\r\n"), Refused),
        ("no end", post("5\r\nhello\r\n"), Refused),
        ("garbage behind the last", post("5\r\nhello\r\n0\r\n\r\nGARBAGE\0\r\n\r\n"), Passed("hello")),
        (
            "trailers",
            post("5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 50\r\nX-Handover-Caller: root\r\n\r\n"),
            Passed("hello"),
        ),
        ("a trailer that is none", post("5\r\nhello\r\n0\r\nGET /evil HTTP/1.1\r\n\r\n"), Refused),
    ]);
}

#[test]
fn lines_are_lines_and_names_are_names() {
    let get = |lines: &str| raw("GET", lines, "");
    let first = |line: &str, host: &str| format!("{line}\r\n{host}\r\n").into_bytes();
    check(&[
        ("nothing special", get(""), Passed("")),
        ("folded", get("X: a\r\n b\r\n"), Refused),
        ("folded with a tab", get("X: a\r\n\tb\r\n"), Refused),
        ("a bare CR in a value", get("X: a\rX-Handover-Caller: root\r\n"), Refused),
        ("NUL in a value", get("X: a\0b\r\n"), Refused),
        ("NUL in a name", get("X\0: a\r\n"), Refused),
        ("a space in a name", get("X Y: a\r\n"), Refused),
        ("no name", get(": a\r\n"), Refused),
        ("no colon", get("X\r\n"), Refused),
        ("a letter beyond ASCII in a name", get("X\u{e9}: a\r\n"), Refused),
        ("ours with an underscore", get("X_Handover_Caller: root\r\n"), Refused),
        ("ours half with an underscore", get("X-Forwarded_For: 6.6.6.6\r\n"), Refused),
        ("ours with a dot", get("X.Handover.Caller: root\r\n"), Refused),
        ("another's with an underscore", get("my_header: 1\r\n"), Passed("")),
        ("two hosts", get("Host: other\r\n"), Refused),
        ("a host with a user", first(&format!("GET {AT} HTTP/1.1"), "Host: root@localhost\r\n"), Refused),
        (
            "a host with a quote",
            first(&format!("GET {AT} HTTP/1.1"), "Host: localhost\";for=\"6.6.6.6\r\n"),
            Refused,
        ),
        ("an empty host", first(&format!("GET {AT} HTTP/1.1"), "Host:\r\n"), Refused),
        ("no host", first(&format!("GET {AT} HTTP/1.1"), ""), Refused),
        (
            "a target with its host",
            first(&format!("GET http://localhost{AT}/case HTTP/1.1"), "Host: localhost\r\n"),
            Passed(""),
        ),
        (
            "a target with another host",
            first(&format!("GET http://other{AT}/case HTTP/1.1"), "Host: localhost\r\n"),
            Refused,
        ),
        ("a target with a space", first(&format!("GET {AT}/a b HTTP/1.1"), "Host: localhost\r\n"), Refused),
        ("a target with a tab", first(&format!("GET {AT}/a\tb HTTP/1.1"), "Host: localhost\r\n"), Refused),
        (
            "a target with a fragment",
            first(&format!("GET {AT}/case#x HTTP/1.1"), "Host: localhost\r\n"),
            Passed(""),
        ),
        ("dots", first(&format!("GET {AT}/../up HTTP/1.1"), "Host: localhost\r\n"), Refused),
        ("dots and a parameter", first(&format!("GET {AT}/..;/up HTTP/1.1"), "Host: localhost\r\n"), Refused),
        (
            "dots encoded twice",
            first(&format!("GET {AT}/%252e%252e/up HTTP/1.1"), "Host: localhost\r\n"),
            Refused,
        ),
        ("no host", first(&format!("GET {AT} HTTP/1.1"), ""), Refused),
        (
            "a host in the target alone",
            first(&format!("GET http://localhost{AT}/case HTTP/1.1"), ""),
            Refused,
        ),
        ("encoded dots", first(&format!("GET {AT}/%2E%2e/up HTTP/1.1"), "Host: localhost\r\n"), Refused),
        (
            "an encoded line's end",
            first(&format!("GET {AT}/a%0d%0aX:b HTTP/1.1"), "Host: localhost\r\n"),
            Refused,
        ),
        ("another version", first(&format!("GET {AT} HTTP/1.2"), "Host: localhost\r\n"), Refused),
        ("no version", first(&format!("GET {AT}"), ""), Refused),
        (
            "HTTP/2 asked for on the way",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            Passed(""),
        ),
        ("an expectation that is none", get("Expect: miracles\r\n"), Refused),
        ("a hundred and one headers", get(&"X-Many: 1\r\n".repeat(101)), Refused),
        ("a header of 40 kB", get(&format!("X: {}\r\n", "x".repeat(40_000))), Refused),
    ]);
}

#[test]
fn lines_that_end_in_lf_alone_are_one_request_to_the_service_too() {
    // RFC 9112 (2.2) lets a recipient take them; the service gets them with CRLF.
    let bytes = format!("POST {AT}/case HTTP/1.1\nHost: localhost\nContent-Length: 5\n\nhello").into_bytes();
    check(&[("bare LF", bytes, Passed("hello"))]);
}

#[test]
fn requests_of_one_connection_are_answered_in_their_order() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let post = |n: usize| {
        format!("POST {AT}/{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello").into_bytes()
    };
    let get = |n: usize| format!("GET {AT}/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    // Those without a body go another way until the first that has one.
    let mixed = |n: usize| if n % 7 == 6 { post(n) } else { get(n) };
    for (name, of) in [("posts", &post as &dyn Fn(usize) -> Vec<u8>), ("gets", &get), ("both", &mixed)] {
        let bytes: Vec<u8> = (0..20).flat_map(of).collect();
        let (_, text) = exchange(&server, &bytes, Some("fine /19"));
        let answers: Vec<&str> =
            text.split("fine /").skip(1).map(|rest| rest.split("HTTP").next().unwrap()).collect();
        assert_eq!(answers, (0..20).map(|n| n.to_string()).collect::<Vec<_>>(), "{name}");
    }
    // In pieces that end anywhere.
    let mut stream = connect(server.address);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for n in 0..9 {
        for piece in mixed(n).chunks(11 + n) {
            stream.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        let answer = read_answer_of(&mut reader, "GET").unwrap();
        assert_eq!(answer.text(), format!("fine /{n}"));
    }
}
