//! Connections whose clients do not do as they should: each is let go in time, and none of them holds up the end.

use crate::bodies::is_over;
use crate::http::{Ask, connect, read_answer_of};
use crate::kit::{LONG, OPEN, Site, client, serve_by_tls};
use crate::proxying::{AT, ask};
use crate::upstream::Upstream;
use handover_testkit::Authority;
use handover_testkit::process::wait_for;
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};

const GET: &str = "GET /api/v1/services/billing/a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A connection over which one request was answered.
fn used(to: SocketAddr) -> TcpStream {
    let mut stream = connect(to);
    stream.write_all(GET.as_bytes()).unwrap();
    let answer = read_answer_of(&mut BufReader::new(&stream), "GET").unwrap();
    assert_eq!(answer.text(), "fine /a");
    stream
}

#[test]
fn what_began_as_http_1_does_not_go_on_as_http_2() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let server = site.serve();
    for more in ["PRI * HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let mut stream = used(server.address);
        stream.write_all(more.as_bytes()).unwrap();
        wait_for(LONG, "its end", || is_over(&mut stream).then_some(()));
    }
    assert_eq!(ask(&server, &Ask::get(AT)).text(), "fine /");
}

#[test]
fn a_head_that_is_half_there_does_not_hold_up_the_end() {
    let upstream = Upstream::fine();
    let site = Site::new(&upstream.declared(), OPEN);
    let mut server = site.serve();
    let mut streams: Vec<TcpStream> = (0..3).map(|_| used(server.address)).collect();
    for (stream, length) in streams.iter_mut().zip([0, 10, 50]) {
        stream.write_all(&GET.as_bytes()[..length]).unwrap();
    }
    server.run.signal(Signal::TERM);
    // What comes now may find nobody.
    for stream in &mut streams {
        let _ = stream.write_all(b"x");
    }
    assert!(server.run.end_within(LONG).success());
    let said = server.run.stderr();
    assert!(!said.contains("panic") && !said.contains("did not take their answers"), "{said}");
    for stream in &mut streams {
        wait_for(LONG, "its end", || is_over(stream).then_some(()));
    }
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let (ended, ends) = mpsc::channel();
    let upstream = Upstream::raw(move |mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
            line.clear();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[0; 65_536]).is_ok() {}
        ended.send(()).unwrap();
    });
    let authority = Authority::new();
    let (cert, key) = authority.signs("localhost");
    let trusting = Arc::new(client(&authority, None));
    let here = || ServerName::try_from("localhost").unwrap();
    let by_tls = || ClientConnection::new(trusting.clone(), here()).unwrap();
    for (listens, secure) in [("", false), (", tls: { cert: cert.pem, key: key.pem }", true)] {
        let site = Site::new(
            &upstream.declared(),
            &format!("{OPEN}{listens}, limits: {{ idle: 1s, default: 1000/s }}"),
        );
        std::fs::write(site.project.join("cert.pem"), &cert).unwrap();
        std::fs::write(site.project.join("key.pem"), &key).unwrap();
        let (_server, address) = serve(&site, secure);
        let stream = connect(address);
        let mut stream: Box<dyn Write> = match secure {
            false => Box::new(stream),
            true => Box::new(StreamOwned::new(by_tls(), stream)),
        };
        stream.write_all(GET.as_bytes()).unwrap();
        ends.recv_timeout(LONG).unwrap();
        drop(stream);
    }
}

/// A server, for as long as this is kept, and where.
fn serve(site: &Site, secure: bool) -> (Box<dyn Any>, SocketAddr) {
    if secure {
        let (run, address) = serve_by_tls(site);
        return (Box::new(run), address);
    }
    let server = site.serve();
    let address = server.address;
    (Box::new(server), address)
}
