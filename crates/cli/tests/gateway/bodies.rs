//! Bodies as they go: at once, at the pace of the slower side, in bounded memory; and what breaks off on one side ends the
//! other.

use crate::http::{Ask, connect, read_answer, read_chunk, read_head};
use crate::kit::{LONG, OPEN, Site};
use crate::proxying::{AT, ask};
use crate::upstream::{Upstream, read};
use handover_testkit::process::wait_for;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Reads a head, and leaves what is behind it.
fn read_lines(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            break;
        }
    }
    head
}

#[test]
fn each_piece_goes_on_before_the_next_has_come() {
    let (to_service, from_test) = mpsc::channel::<&'static str>();
    let from_test = Mutex::new(from_test);
    let upstream = Upstream::raw(move |mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_lines(&mut reader);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        // What comes in goes out again, and what the test says between.
        while let Some(piece) = read_chunk(&mut reader) {
            let more = from_test.lock().unwrap().recv().unwrap();
            let piece = [&piece[..], more.as_bytes()].concat();
            write!(stream, "{:x}\r\n", piece.len()).unwrap();
            stream.write_all(&piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let mut stream = connect(server.address);
    write!(stream, "POST {AT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let head = read_head(&mut reader).unwrap();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
    for n in 0..5 {
        stream.write_all(format!("5\r\nping{n}\r\n").as_bytes()).unwrap();
        to_service.send("pong").unwrap();
        assert_eq!(read_chunk(&mut reader).unwrap(), format!("ping{n}pong").as_bytes());
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read_chunk(&mut reader), None);
}

#[test]
fn a_client_that_takes_nothing_stops_the_service() {
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let (ended, ends) = mpsc::channel();
    let upstream = Upstream::raw(move |mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_lines(&mut reader);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[0; 65_536]).is_ok() {
            count.fetch_add(65_536, Ordering::Relaxed);
        }
        ended.send(()).unwrap();
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let stream = Ask::get(AT).send(server.address);
    // What fills the sockets' buffers and ours, and no more.
    let stalled = wait_for(LONG, "a stall", || {
        let before = written.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
        let after = written.load(Ordering::Relaxed);
        (before == after && after > 0).then_some(after)
    });
    assert!(stalled < 64 << 20, "{stalled}");
    assert!(ends.try_recv().is_err(), "it waits");
    drop(stream);
    ends.recv_timeout(LONG).unwrap();
    assert!(written.load(Ordering::Relaxed) < 64 << 20);
}

#[test]
fn a_client_that_leaves_ends_the_call() {
    let (ended, ends) = mpsc::channel();
    let upstream = Upstream::raw(move |mut stream, got| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        got.lock().unwrap().push(read(&mut reader, &mut stream).unwrap());
        // No answer: the next thing that happens is the end of the connection.
        let mut byte = [0; 1];
        let end = !matches!(stream.read(&mut byte), Ok(1..));
        ended.send(end).unwrap();
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let stream = Ask::get(AT).send(server.address);
    wait_for(LONG, "the request", || (!upstream.got().is_empty()).then_some(()));
    assert!(ends.try_recv().is_err(), "it is being waited for");
    drop(stream);
    assert!(ends.recv_timeout(LONG).unwrap());
}

#[test]
fn a_body_that_breaks_off_is_no_request() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared_with(", retries: 0"), OPEN);
    let server = site.serve();
    let mut stream = connect(server.address);
    write!(stream, "POST {AT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    wait_for(LONG, "the call", || {
        let status = server.anyone().get("/api/v1/apps/billing/status").json();
        (status["requests"]["bytes_in"] == 4).then_some(())
    });
    drop(stream);
    let got = wait_for(LONG, "the request", || upstream.got().first().cloned());
    assert_eq!(got.wrong.as_deref(), Some("the body is not whole"));
    assert_eq!(ask(&server, &Ask::get(AT)).text(), "fine /");
}

#[test]
fn a_client_that_pauses_is_let_go() {
    let upstream = Upstream::fine();
    let site = Site::new(
        &upstream.declared_with(", retries: 0"),
        &format!("{OPEN}, limits: {{ idle: 1s, default: 1000/s }}"),
    );
    let server = site.serve();
    let mut stream = connect(server.address);
    write!(stream, "POST {AT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    let answer = read_answer(stream, "POST").unwrap();
    assert_eq!((answer.status, answer.code()), (408, "TIMEOUT".into()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(upstream.got().iter().all(|got| got.wrong.is_some()));
}

#[test]
fn a_large_body_goes_both_ways() {
    let upstream = Upstream::new(|got, stream| {
        let sum: u64 = got.body.iter().map(|byte| u64::from(*byte)).sum();
        let head = format!("HTTP/1.1 200 OK\r\nX-Sum: {sum}\r\nContent-Length: {}\r\n\r\n", got.body.len());
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&got.body).is_ok()
    });
    // Larger than what an upload may be here, which is for the files of apps alone.
    let site = Site::new(
        &upstream.declared(),
        &format!("{OPEN}, limits: {{ body: 1000, upload: 1000, default: 1000/s }}"),
    );
    let server = site.serve();
    let body: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    for chunked in [false, true] {
        let request = Ask::post(AT).body("application/octet-stream", body.clone());
        let answer = ask(&server, &if chunked { request.chunked() } else { request });
        assert_eq!((answer.status, answer.header("x-sum")), (200, Some(sum.to_string().as_str())));
        assert!(answer.body == body, "chunked: {chunked}");
    }
}

#[test]
fn trailers_go_both_ways() {
    let upstream = Upstream::new(|_, stream| {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n";
        stream.write_all(bytes).is_ok()
    });
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    let mut stream = connect(server.address);
    let head = "Connection: close, TE\r\nTE: trailers\r\nTrailer: X-Sum, X-Handover-Caller\r\nTransfer-Encoding: chunked";
    write!(stream, "POST {AT} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\nX-Handover-Caller: root\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.to_lowercase().ends_with("2\r\nok\r\n0\r\nx-sum: 9\r\n\r\n"), "{text}");
    let got = upstream.only();
    let trailers: Vec<_> =
        got.trailers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    assert_eq!(trailers, [("x-sum".into(), "7".into())]);
}

#[test]
fn a_body_that_waits_to_be_asked_for_is_asked_for_when_it_may_come() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), "");
    let key = site.key(&["--scope", "submit"]);
    let server = site.serve();
    let begin = |key: &str| {
        let mut stream = connect(server.address);
        let head =
            format!("Host: localhost\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\nContent-Length: 5");
        write!(stream, "POST {AT} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        (stream, line)
    };
    let (_, line) = begin("none");
    assert!(line.starts_with("HTTP/1.1 401 "), "nothing is asked for in vain: {line}");
    let (mut stream, line) = begin(&key);
    assert!(line.starts_with("HTTP/1.1 100 "), "{line}");
    stream.write_all(b"hello").unwrap();
    wait_for(LONG, "the body", || upstream.got().iter().any(|got| got.body == b"hello").then_some(()));
}

/// Whether the other side has ended a connection.
pub(crate) fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
