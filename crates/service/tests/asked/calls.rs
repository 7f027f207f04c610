//! One call: where it goes, what becomes of a connection, of a body, of a failure.

use crate::kit::{get, request, send, service, settings};
use handover_service::{Alarm, Failure, Group, Settings};
use handover_testkit::{Asked, HttpServer, Reply};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn echo(asked: &Asked) -> Reply {
    Reply::of("text/plain", format!("{} {} {}", asked.method, asked.target, asked.text()))
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn requests_go_behind_the_upstreams_path_and_connections_are_used_again() {
    let server = HttpServer::start(echo);
    let plain = service(settings(&[server.url()]));
    let below = service(settings(&[format!("{}/billing/", server.url())]));
    for nth in 0..5 {
        let answer = get(&plain, &format!("/orders?nth={nth}")).await.unwrap();
        assert_eq!(answer, (200, format!("GET /orders?nth={nth} ")));
    }
    assert_eq!(server.connections(), 1, "one connection for five requests");
    let asked = server.asked();
    assert_eq!(asked[0].header("host"), Some(server.address().to_string().as_str()));
    let answer = send(&below, request(Method::POST, "/orders?a=1", "text")).await.unwrap();
    assert_eq!(answer, (200, "POST /billing/orders?a=1 text".into()));
    assert_eq!(server.asked().last().unwrap().header("content-length"), Some("4"));
    let state = plain.state();
    assert_eq!((state[0].upstreams[0].asked, state[0].upstreams[0].outstanding), (5, 0));
}

#[tokio::test]
async fn a_version_has_upstreams_of_its_own() {
    let (old, new) =
        (HttpServer::start(|_| Reply::new(200, "old")), HttpServer::start(|_| Reply::new(200, "new")));
    let mut both = settings(&[old.url()]);
    both.groups.push(Group { version: Some("v2".into()), upstreams: vec![new.url().parse().unwrap()] });
    let service = service(both);
    for (path, wanted) in [("/v2/orders", "new"), ("/orders", "old"), ("/v22/orders", "old")] {
        let (group, rest) = service.group(path).unwrap();
        let answer = service.send(group, request(Method::GET, rest, "")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let server = if wanted == "new" { &new } else { &old };
        assert_eq!(server.asked().last().unwrap().target, rest);
    }
    assert_eq!((old.asked().len(), new.asked().len()), (2, 1));
}

#[tokio::test]
async fn what_cannot_have_been_acted_upon_is_tried_again_whatever_it_is() {
    let server = HttpServer::start(echo);
    let service = service(settings(&[nowhere(), server.url()]));
    for _ in 0..20 {
        let answer = send(&service, request(Method::POST, "/orders", "a body")).await.unwrap();
        assert_eq!(answer, (200, "POST /orders a body".into()));
    }
    let state = service.state();
    assert!(state[0].upstreams[0].last_error.is_some(), "{state:?}");
}

#[tokio::test]
async fn without_a_server_a_call_ends_in_a_failure_that_says_so() {
    let alone = service(Settings { retries: 0, ..settings(&[nowhere()]) });
    match get(&alone, "/").await {
        Err(Failure::NoAnswer { app, why, not_begun: true }) => {
            assert_eq!(app, "billing");
            assert!(why.contains("refused"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..10 {
        let _ = get(&alone, "/").await;
    }
    assert!(matches!(get(&alone, "/").await, Err(Failure::Unavailable { .. })), "its breaker is open");
}

#[tokio::test]
async fn only_what_may_be_done_twice_is_sent_twice() {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    let server = HttpServer::start(move |asked| match counting.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Reply::Nothing,
        _ => echo(asked),
    });
    let service = service(settings(&[server.url()]));
    let sent = |after: usize| count.load(Ordering::SeqCst) - after;
    assert_eq!(get(&service, "/a").await.unwrap().0, 200);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    // The server closes this one too, and it may have been acted upon.
    let before = count.load(Ordering::SeqCst);
    match send(&service, request(Method::POST, "/b", "")).await {
        Err(Failure::NoAnswer { not_begun: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(sent(before), 1);
    let _ = get(&service, "/even").await;
    if count.load(Ordering::SeqCst) % 2 == 1 {
        let _ = send(&service, request(Method::POST, "/odd", "")).await;
    }
    let before = count.load(Ordering::SeqCst);
    let mut keyed = request(Method::POST, "/c", "");
    keyed.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
    assert_eq!(send(&service, keyed).await.unwrap().0, 200);
    assert_eq!(sent(before), 2, "a key makes it one that may be done twice");
    if count.load(Ordering::SeqCst) % 2 == 1 {
        let _ = send(&service, request(Method::POST, "/odd", "")).await;
    }
    let before = count.load(Ordering::SeqCst);
    let put = send(&service, request(Method::PUT, "/d", "a body that was read")).await;
    assert_eq!(put.unwrap(), (200, "PUT /d a body that was read".into()));
    assert_eq!(sent(before), 2, "a short body is kept");
    if count.load(Ordering::SeqCst) % 2 == 1 {
        let _ = send(&service, request(Method::POST, "/odd", "")).await;
    }
    let before = count.load(Ordering::SeqCst);
    let put = send(&service, request(Method::PUT, "/e", &"x".repeat(64 * 1024 + 1))).await;
    assert!(matches!(put, Err(Failure::NoAnswer { not_begun: false, .. })), "{put:?}");
    assert_eq!(sent(before), 1, "its body has gone");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_no_failure_of_the_upstream() {
    let server = HttpServer::start(|asked| if asked.target == "/b" { Reply::Nothing } else { echo(asked) });
    let service = service(settings(&[server.url()]));
    assert_eq!(send(&service, request(Method::POST, "/a", "a body")).await.unwrap().0, 200);
    let post = send(&service, request(Method::POST, "/b", "a body")).await;
    assert!(matches!(post, Err(Failure::NoAnswer { not_begun: false, .. })), "{post:?}");
    assert_eq!((server.connections(), server.asked().len()), (1, 2), "it is not sent again");
    assert!(service.state()[0].upstreams[0].last_error.is_none());
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout_and_is_not_tried_again() {
    let server = HttpServer::start(|_| Reply::After(Duration::from_secs(60), Box::new(Reply::new(200, ""))));
    let service = service(Settings { timeout: Duration::from_millis(50), ..settings(&[server.url()]) });
    match get(&service, "/").await {
        Err(Failure::TimedOut { within, .. }) => assert_eq!(within, Duration::from_millis(50)),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_overwhelmed_is_passed_over_where_there_is_another() {
    let (full, free) = (HttpServer::start(|_| Reply::new(503, "full")), HttpServer::start(echo));
    let both = service(settings(&[full.url(), free.url()]));
    for _ in 0..10 {
        assert_eq!(get(&both, "/").await.unwrap().0, 200);
    }
    let alone = service(settings(&[full.url()]));
    assert_eq!(get(&alone, "/").await.unwrap(), (503, "full".into()), "its answer is the answer");
}

#[tokio::test]
async fn a_post_that_goes_nowhere_is_an_error_of_configuration() {
    let mut versioned = settings(&[nowhere()]);
    versioned.groups[0].version = Some("v2".into());
    let both = [
        Settings { post: "/v3/in".into(), ..versioned },
        Settings { post: "no path".into(), ..settings(&[nowhere()]) },
    ];
    for settings in both {
        let posted = service(settings).post(http::HeaderMap::new(), handover_service::whole("x")).await;
        match posted.err() {
            Some(Failure::Config { why, .. }) => assert!(why.contains("`post`"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn posting_reads_the_answer_in_pieces() {
    let server = HttpServer::start(|asked| match asked.target.as_str() {
        "/in" => Reply::of("text/csv", asked.body.repeat(2)),
        _ => Reply::Half(b"some".to_vec()),
    });
    let service = |post: &str| service(Settings { post: post.into(), ..settings(&[server.url()]) });
    let file = tempfile::tempfile().unwrap();
    let content = "0123456789".repeat(100_000);
    std::os::unix::fs::FileExt::write_all_at(&file, content.as_bytes(), 0).unwrap();
    let body = handover_service::of_file(file, content.len() as u64);
    let mut answer = service("/in").post(http::HeaderMap::new(), body).await.unwrap();
    let mut got = Vec::new();
    while let Some(piece) = answer.piece().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert_eq!((answer.status.as_u16(), got.len()), (200, 2 * content.len()));
    assert_eq!(server.asked()[0].header("content-length"), Some("1000000"));
    let body = handover_service::whole("x");
    let mut half = service("/half").post(http::HeaderMap::new(), body).await.unwrap();
    let broke = loop {
        match half.piece().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an answer that broke off is none"),
            Err(e) => break e,
        }
    };
    assert!(matches!(broke, Failure::NoAnswer { not_begun: false, .. }), "{broke:?}");
}

#[tokio::test]
async fn a_body_of_unknown_length_reaches_a_service_whatever_the_method() {
    let server = HttpServer::start(echo);
    let service = service(settings(&[server.url()]));
    for method in [Method::GET, Method::POST, Method::DELETE, Method::HEAD] {
        let mut asked = request(method.clone(), "/search", "");
        let words = handover_service::whole("words");
        *asked.body_mut() = handover_service::Body::new(Unmeasured(words));
        assert_eq!(send(&service, asked).await.unwrap().0, 200);
        let got = server.asked().last().unwrap().clone();
        assert_eq!(
            (got.text(), got.header("transfer-encoding")),
            ("words".into(), Some("chunked")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_caller_who_pauses_is_no_failure_of_the_upstream() {
    let server = HttpServer::start(echo);
    let service = service(Settings { timeout: Duration::from_millis(50), ..settings(&[server.url()]) });
    for method in [Method::POST, Method::PUT] {
        let mut asked = request(method, "/", "");
        *asked.body_mut() = handover_service::Body::new(Paused(Some("a".into())));
        match send(&service, asked).await {
            Err(Failure::CallerPaused { within }) => assert_eq!(within, Duration::from_millis(50)),
            other => panic!("{other:?}"),
        }
    }
    assert!(service.state()[0].upstreams[0].last_error.is_none());
}

/// A body of ten bytes of which but the first comes.
struct Paused(Option<bytes::Bytes>);

impl http_body::Body for Paused {
    type Data = bytes::Bytes;
    type Error = handover_service::BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, handover_service::BoxError>>> {
        match self.0.take() {
            Some(first) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(first)))),
            None => std::task::Poll::Pending,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(10)
    }
}

/// A body that does not say how long it is.
struct Unmeasured(handover_service::Body);

impl http_body::Body for Unmeasured {
    type Data = bytes::Bytes;
    type Error = handover_service::BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, handover_service::BoxError>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test]
async fn a_call_on_its_way_is_small() {
    let service = service(settings(&[nowhere()]));
    let (parts, body) = request(Method::GET, "/", "").into_parts();
    let head = parts.into();
    let mut deadline = Alarm::default();
    let call = service.ask(
        &service.settings().groups[0],
        &head,
        Some(body),
        tokio::time::Instant::now(),
        &mut deadline,
    );
    assert!(std::mem::size_of_val(&call) <= 1_280, "{} bytes", std::mem::size_of_val(&call));
}
