//! Services behind TLS: trusted by a `ca` of their own, asked for a certificate of ours, and with files
//! that are renewed.

use crate::kit::{get, request, send, service, settings};
use handover_service::{Failure, Settings, TlsFiles};
use handover_testkit::{Authority, Folder};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server of this authority, which admits whoever shows a certificate of the same; it answers which version of HTTP it was
/// asked by.
async fn serve(authority: &Authority, name: &str, http2: bool) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authority.trusted()), provider.clone())
            .build()
            .unwrap();
    let (cert, key) = authority.signs(name);
    let certs = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_client_cert_verifier(verifier).with_single_cert(certs, key).unwrap();
    config.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer_on(stream).await;
                }
            });
        }
    });
    format!("https://{address}")
}

/// Answers what comes by a connection with the version of HTTP, the path and the body.
async fn answer_on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let answer = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
        let text = format!("{:?} {}", request.version(), request.uri().path());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let text = format!("{text} {}", String::from_utf8_lossy(&body));
        Ok::<_, Infallible>(http::Response::new(Full::new(bytes::Bytes::from(text))))
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

fn with(url: &str, tls: TlsFiles) -> Settings {
    Settings { tls: Some(tls), retries: 0, ..settings(&[url.to_owned()]) }
}

#[tokio::test]
async fn both_sides_show_certificates() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let (cert, key) = authority.signs("handover");
    let ours = TlsFiles {
        ca: Some(folder.write("ca.pem", &authority.pem)),
        cert: Some(folder.write("own.pem", &cert)),
        key: Some(folder.write("own.key", &key)),
        server_name: None,
    };
    ours.check().unwrap();
    for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2.0")] {
        let url = serve(&authority, "127.0.0.1", http2).await;
        let service = service(with(&url, ours.clone()));
        assert_eq!(get(&service, "/orders").await.unwrap(), (200, format!("{version} /orders ")));
        let answer = send(&service, request(http::Method::POST, "/in", "some words")).await.unwrap();
        assert_eq!(answer, (200, format!("{version} /in some words")));
        let without = crate::kit::service(with(&url, TlsFiles { cert: None, key: None, ..ours.clone() }));
        assert!(get(&without, "/").await.is_err(), "nobody is admitted without a certificate");
        let untrusting = crate::kit::service(with(&url, TlsFiles { ca: None, ..ours.clone() }));
        let said = get(&untrusting, "/").await.unwrap_err().to_string();
        assert!(said.contains("certificate"), "{said}");
    }
    let named = serve(&authority, "billing.internal", true).await;
    assert!(
        get(&service(with(&named, ours.clone())), "/").await.is_err(),
        "its certificate has another name"
    );
    let name = Some("billing.internal".to_owned());
    let service = service(with(&named, TlsFiles { server_name: name, ..ours }));
    assert_eq!(get(&service, "/").await.unwrap().0, 200);
}

#[tokio::test]
async fn who_asks_for_another_protocol_gets_a_connection_of_its_own() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let (cert, key) = authority.signs("handover");
    let tls = TlsFiles {
        ca: Some(folder.write("ca.pem", &authority.pem)),
        cert: Some(folder.write("own.pem", &cert)),
        key: Some(folder.write("own.key", &key)),
        server_name: None,
    };
    let upgrade = |path: &str| {
        let mut asked = request(http::Method::GET, path, "");
        asked.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        asked.headers_mut().insert("connection", "upgrade".parse().unwrap());
        asked
    };
    let url = serve(&authority, "127.0.0.1", true).await;
    let service = service(Settings { http2: true, ..with(&url, tls) });
    assert_eq!(get(&service, "/a").await.unwrap(), (200, "HTTP/2.0 /a ".into()));
    assert_eq!(send(&service, upgrade("/b")).await.unwrap(), (200, "HTTP/1.1 /b ".into()));
    assert_eq!(get(&service, "/c").await.unwrap(), (200, "HTTP/2.0 /c ".into()));
    let plain = crate::kit::service(Settings { http2: true, ..settings(&["http://127.0.0.1:9".into()]) });
    match send(&plain, upgrade("/")).await {
        Err(Failure::Config { why, .. }) => assert!(why.contains("http2: true"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(plain.state()[0].upstreams[0].last_error.is_none(), "it is none of the upstream's");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_said_at_once() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), Folder::new());
    let ca = Some(folder.write("ca.pem", &stranger.pem));
    let url = serve(&authority, "127.0.0.1", false).await;
    let tls = TlsFiles { ca, cert: None, key: None, server_name: None };
    let service = service(Settings { retries: 3, ..with(&url, tls) });
    for _ in 0..10 {
        match get(&service, "/").await {
            Err(Failure::Untrusted { why, .. }) => {
                assert!(why.contains("its certificate is not trusted"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    let state = &service.state()[0].upstreams[0];
    assert_eq!(state.asked, 10, "none is tried again");
    assert!(state.last_error.as_ref().unwrap().0.contains("certificate"));
}

#[tokio::test]
async fn renewed_files_are_used_without_a_restart() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), Folder::new());
    let write = |(cert, key): (String, String)| (folder.write("own.pem", cert), folder.write("own.key", key));
    let (cert, key) = write(stranger.signs("handover"));
    let ca = Some(folder.write("ca.pem", &authority.pem));
    let url = serve(&authority, "127.0.0.1", false).await;
    let service = service(with(&url, TlsFiles { ca, cert: Some(cert), key: Some(key), server_name: None }));
    assert!(get(&service, "/").await.is_err(), "a certificate of somebody else");
    write(authority.signs("handover"));
    let began = std::time::Instant::now();
    while get(&service, "/").await.is_err() {
        assert!(began.elapsed() < crate::kit::LONG, "the new files are not used");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn files_that_will_not_do_are_named() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let (cert, key) = authority.signs("a");
    let (_, other) = authority.signs("b");
    let (cert, key) = (folder.write("own.pem", cert), folder.write("own.key", key));
    let said = |tls: TlsFiles| tls.check().unwrap_err().to_string();
    let missing = said(TlsFiles { ca: Some(folder.join("none.pem")), ..TlsFiles::default() });
    assert!(missing.contains("none.pem"), "{missing}");
    let empty = said(TlsFiles { ca: Some(folder.write("empty.pem", "")), ..TlsFiles::default() });
    assert!(empty.contains("empty.pem` holds no certificate"), "{empty}");
    let no_key = said(TlsFiles { cert: Some(cert.clone()), key: Some(cert.clone()), ..TlsFiles::default() });
    assert!(no_key.contains("own.pem` holds no private key"), "{no_key}");
    let wrong =
        TlsFiles { cert: Some(cert), key: Some(folder.write("other.key", other)), ..TlsFiles::default() };
    let wrong = said(wrong);
    assert!(wrong.contains("other.key` is not the key"), "{wrong}");
    let name = said(TlsFiles { server_name: Some("not a name".into()), ..TlsFiles::default() });
    assert!(name.contains("no name of a server") && key.exists(), "{name}");
}
