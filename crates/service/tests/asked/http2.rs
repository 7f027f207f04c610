//! Services by HTTP/2: one connection for all requests, which ends for all, and which one alone must not hold up.

use crate::kit::{LONG, get, request, service, settings};
use bytes::Bytes;
use handover_service::{Failure, Service, Settings};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// More than a stream may be ahead of its reader.
const BIG: usize = 4 << 20;

/// `/hang` is never answered, `/big` has much to say, and the rest says little.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path() {
        "/hang" => std::future::pending().await,
        "/big" => Ok(Response::new(Full::new(vec![b'x'; BIG].into()))),
        _ => Ok(Response::new(Full::new(format!("{:?}", request.version()).into()))),
    }
}

/// A service that is spoken to by HTTP/2 without TLS, and how many connections it got.
async fn start(timeout: Duration) -> (Arc<Service>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counting = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::SeqCst);
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                let answer = hyper::service::service_fn(answer);
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(io, answer).await;
            });
        }
    });
    (service(Settings { http2: true, timeout, ..settings(&[url]) }), connections)
}

#[tokio::test]
async fn one_connection_is_enough_for_all() {
    let (service, connections) = start(LONG).await;
    let ask = |nth: usize| {
        let service = service.clone();
        tokio::spawn(async move { get(&service, &format!("/{nth}")).await.unwrap() })
    };
    let asking: Vec<_> = (0..20).map(ask).collect();
    for one in asking {
        assert_eq!(one.await.unwrap(), (200, "HTTP/2.0".into()));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_on_which_a_request_timed_out_is_not_used_any_more() {
    let (service, connections) = start(Duration::from_secs(1)).await;
    assert_eq!(get(&service, "/").await.unwrap().0, 200);
    assert!(matches!(get(&service, "/hang").await, Err(Failure::TimedOut { .. })));
    assert_eq!(get(&service, "/").await.unwrap().0, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody_else() {
    let (service, connections) = start(LONG).await;
    let group = &service.settings().groups[0];
    let slow = service.send(group, request(Method::GET, "/big", "")).await.unwrap();
    let other = tokio::time::timeout(LONG / 4, async {
        let answer = service.send(group, request(Method::GET, "/big", "")).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes().len()
    });
    assert_eq!(other.await.expect("it is held up"), BIG);
    assert_eq!(slow.into_body().collect().await.unwrap().to_bytes().len(), BIG);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
