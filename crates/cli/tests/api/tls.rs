//! TLS as clients meet it: a certificate that they can check, HTTP/2 and HTTP/1.1 on one port, certificates that change, callers who
//! must show their own, and whoever speaks in the clear.

use crate::http::{Answer, Ask, connect, read_answer_of};
use crate::kit::{LONG, Site, client, serve_by_tls as serve};
use handover_testkit::process::wait_for;
use handover_testkit::{Authority, Project};
use http_body_util::Empty;
use hyper::Version;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";
const FILES: &str = "tls: { cert: tls/cert.pem, key: tls/key.pem }";

/// A certificate of this machine, and its key.
fn for_here(authority: &Authority) -> (String, String) {
    authority.signs("localhost")
}

/// Puts a certificate and its key where the server looks for them.
fn put(authority: &Authority, project: &Project) {
    let (cert, key) = for_here(authority);
    std::fs::create_dir_all(project.join("tls")).unwrap();
    std::fs::write(project.join("tls/key.pem"), key).unwrap();
    std::fs::write(project.join("tls/cert.pem"), cert).unwrap();
}

/// Asks over HTTP/1.1; none where the two do not come to terms.
fn ask(client: &ClientConfig, to: SocketAddr, ask: &Ask) -> Option<Answer> {
    let connection =
        ClientConnection::new(Arc::new(client.clone()), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, connect(to));
    stream.write_all(&ask.bytes()).ok()?;
    read_answer_of(&mut BufReader::new(stream), &ask.method)
}

fn live(client: &ClientConfig, to: SocketAddr) -> Option<u16> {
    ask(client, to, &Ask::get("/livez")).map(|answer| answer.status)
}

#[test]
fn both_versions_of_http_are_spoken_behind_tls_and_none_in_the_clear() {
    let site = Site::new(APPS, FILES);
    let authority = Authority::new();
    put(&authority, &site.project);
    let key = site.key(&[]);
    let (_run, address) = serve(&site);
    let trusting = client(&authority, None);
    let with_key = Ask::get("/api/v1/apps").header("Authorization", format!("Bearer {key}"));
    assert_eq!(ask(&trusting, address, &with_key).unwrap().status, 200);
    assert_eq!(
        live(&client(&Authority::new(), None), address),
        None,
        "signed by whom the client does not know"
    );
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(trusting.clone())
        .https_only()
        .enable_http1()
        .enable_http2()
        .build();
    let asked = async {
        let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
        client.get(format!("https://localhost:{}/livez", address.port()).parse().unwrap()).await.unwrap()
    };
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(asked);
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    let clear = read_answer_of(&mut BufReader::new(Ask::get("/livez").send(address)), "GET").unwrap();
    assert_eq!((clear.status, clear.code()), (400, "TLS_REQUIRED".into()));
    // A handshake that is none ends, and others go on.
    let mut broken = connect(address);
    broken.write_all(&[22, 3, 1, 0, 5, 1, 2, 3, 4, 5]).unwrap();
    let mut said = Vec::new();
    let _ = broken.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert_eq!(live(&trusting, address), Some(200));
}

#[test]
fn a_certificate_that_changes_is_shown_and_one_that_will_not_do_is_not() {
    let site = Site::new(APPS, FILES);
    let (first, second) = (Authority::new(), Authority::new());
    put(&first, &site.project);
    let (mut run, address) = serve(&site);
    let (old, new) = (client(&first, None), client(&second, None));
    assert_eq!((live(&old, address), live(&new, address)), (Some(200), None));
    std::fs::write(site.project.join("tls/cert.pem"), "no certificate").unwrap();
    run.says_within(LONG, "the API goes on with the certificate that it has");
    assert_eq!(live(&old, address), Some(200));
    put(&second, &site.project);
    wait_for(LONG, "the new certificate", || live(&new, address));
    assert_eq!(live(&old, address), None);
    let (other, _) = for_here(&first);
    std::fs::write(site.project.join("tls/cert.pem"), other).unwrap();
    run.says_within(LONG, "`api.tls.key` will not do");
    assert_eq!(live(&new, address), Some(200), "a key that is another's");
}

#[test]
fn callers_may_have_to_show_a_certificate_of_their_own() {
    let site = Site::new(APPS, "tls: { cert: tls/cert.pem, key: tls/key.pem, client_ca: tls/ca.pem }");
    let (authority, other) = (Authority::new(), Authority::new());
    put(&authority, &site.project);
    std::fs::write(site.project.join("tls/ca.pem"), &authority.pem).unwrap();
    let key = site.key(&[]);
    let (_run, address) = serve(&site);
    let known = client(&authority, Some(for_here(&authority)));
    let apps = Ask::get("/api/v1/apps");
    let with_key = apps.clone().header("X-API-Key", &key);
    assert_eq!(ask(&known, address, &with_key).unwrap().status, 200);
    assert_eq!(ask(&known, address, &apps).unwrap().status, 401, "who asks is said by a key all the same");
    assert_eq!(live(&client(&authority, None), address), None);
    assert_eq!(live(&client(&authority, Some(for_here(&other))), address), None);
}

#[test]
fn files_that_will_not_do_are_told_with_their_line() {
    let site = Site::new(APPS, FILES);
    let said = |site: &Site, words: &[&str]| {
        let mut run = site.project.start(words);
        let status = run.end_within(LONG);
        (status.success(), run.stdout() + &run.stderr())
    };
    let (fine, text) = said(&site, &["check"]);
    assert!(!fine && text.contains("tls/cert.pem") && text.contains("handover.yaml:"), "{text}");
    assert!(!said(&site, &["run"]).0, "it does not begin");
    let authority = Authority::new();
    put(&authority, &site.project);
    assert!(said(&site, &["check"]).0);
    let write = |name: &str, text: &str| std::fs::write(Path::new(&site.project.join(name)), text).unwrap();
    write("tls/key.pem", &for_here(&authority).1);
    let (fine, text) = said(&site, &["check"]);
    assert!(!fine && text.contains("do not go together"), "{text}");
}
