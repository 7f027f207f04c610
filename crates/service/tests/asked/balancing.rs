//! Several upstreams, and one that restarts: no request is lost that may be tried again.

use crate::kit::{get, health, request, send, service, settings, until};
use handover_service::{BreakerState, Failure, Service, Services, Settings};
use handover_testkit::{HttpServer, Reply};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn ok(_: &handover_testkit::Asked) -> Reply {
    Reply::new(200, "fine")
}

/// A request that may be done twice: of each sort one.
fn repeatable(nth: usize) -> http::Request<handover_service::Body> {
    match nth % 3 {
        0 => request(Method::GET, "/", ""),
        1 => request(Method::PUT, "/", "a body"),
        _ => {
            let mut keyed = request(Method::POST, "/", &"0123456789".repeat(5_000));
            keyed.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
            keyed
        }
    }
}

/// Asks all the time, by several at once, until it is told to stop; how many were answered, and what went wrong.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    asking: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(service: &Arc<Service>, by: usize) -> Self {
        let (over, answered): (Arc<AtomicBool>, Arc<AtomicUsize>) = (Arc::default(), Arc::default());
        let ask = |nth: usize| {
            let (service, over, answered) = (service.clone(), over.clone(), answered.clone());
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    match send(&service, repeatable(nth)).await {
                        Ok((200, _)) => drop(answered.fetch_add(1, Ordering::SeqCst)),
                        other => wrong.push(format!("{other:?}")),
                    }
                }
                wrong
            })
        };
        let asking = (0..by).map(ask).collect();
        Self { over, answered, asking }
    }

    async fn some_more(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        until("answers", || self.answered.load(Ordering::SeqCst) > before + 50).await;
    }

    async fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::SeqCst);
        let mut wrong = Vec::new();
        for one in self.asking {
            wrong.extend(one.await.unwrap());
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_one_restarts_and_nobody_notices() {
    let first = HttpServer::start(ok);
    let mut second = HttpServer::start(ok);
    let service = service(settings(&[first.url(), second.url()]));
    let load = Load::on(&service, 8);
    for _ in 0..3 {
        load.some_more().await;
        let address = second.address();
        drop(second);
        load.some_more().await;
        second = HttpServer::at(address, ok);
        until("the second to be asked", || !second.asked().is_empty()).await;
    }
    let wrong = load.end().await;
    assert!(wrong.is_empty(), "{} errors: {:?}", wrong.len(), wrong.first());
    assert!(!first.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alone_that_is_down_for_a_moment_is_waited_for() {
    let mut server = HttpServer::start(ok);
    let service = service(settings(&[server.url()]));
    let load = Load::on(&service, 8);
    for down in [100, 500] {
        load.some_more().await;
        let address = server.address();
        drop(server);
        tokio::time::sleep(Duration::from_millis(down)).await;
        server = HttpServer::at(address, ok);
        until("it to be asked again", || !server.asked().is_empty()).await;
    }
    load.some_more().await;
    let wrong = load.end().await;
    assert!(wrong.is_empty(), "{} errors: {:?}", wrong.len(), wrong.first());
}

#[tokio::test]
async fn a_breaker_opens_and_closes_with_its_upstream() {
    let well = Arc::new(AtomicBool::new(false));
    let says = well.clone();
    let server =
        HttpServer::start(
            move |_| if says.load(Ordering::SeqCst) { Reply::new(200, "") } else { Reply::Nothing },
        );
    let service = service(Settings { retries: 0, ..settings(&[server.url()]) });
    let breaker = || service.state()[0].upstreams[0].breaker;
    for _ in 0..5 {
        assert!(matches!(get(&service, "/").await, Err(Failure::NoAnswer { .. })));
    }
    assert_eq!(breaker(), BreakerState::Open);
    let asked = server.asked().len();
    match get(&service, "/").await {
        Err(Failure::Unavailable { again, .. }) => assert!(again <= Duration::from_millis(100)),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.asked().len(), asked, "it was left alone");
    well.store(true, Ordering::SeqCst);
    while get(&service, "/").await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(breaker(), BreakerState::Closed);
    assert!(service.state()[0].upstreams[0].last_error.is_some());
}

#[tokio::test]
async fn an_upstream_that_says_it_is_not_well_gets_no_requests_until_it_is() {
    let well = Arc::new(AtomicBool::new(true));
    let says = well.clone();
    let asked_for_health = move |asked: &handover_testkit::Asked| match asked.target.as_str() {
        "/health" if !says.load(Ordering::SeqCst) => Reply::new(500, "ill"),
        _ => Reply::new(200, ""),
    };
    let (first, second) = (HttpServer::start(ok), HttpServer::start(asked_for_health));
    let services = Services::new([Settings {
        health: Some(health("/health")),
        ..settings(&[first.url(), second.url()])
    }]);
    services.watch();
    services.watch();
    let service = services.get("billing").unwrap().clone();
    let healthy = |nth: usize| service.state()[0].upstreams[nth].healthy;
    well.store(false, Ordering::SeqCst);
    until("the second to be ill", || healthy(1) == Some(false)).await;
    let paths = |server: &HttpServer| server.asked().iter().filter(|asked| asked.target == "/").count();
    let before = paths(&second);
    for _ in 0..20 {
        assert_eq!(get(&service, "/").await.unwrap().0, 200);
    }
    assert_eq!((paths(&second) - before, healthy(0)), (0, Some(true)));
    let looks = service.look(crate::kit::LONG).await;
    assert_eq!(looks.iter().map(|look| look.error.is_some()).collect::<Vec<_>>(), [false, true]);
    well.store(true, Ordering::SeqCst);
    until("the second to be well", || healthy(1) == Some(true)).await;
    while paths(&second) == before {
        get(&service, "/").await.unwrap();
    }
}

#[tokio::test]
async fn what_is_declared_as_before_keeps_its_connections() {
    let server = HttpServer::start(ok);
    let one = settings(&[server.url()]);
    let before = Services::new([one.clone(), Settings { name: "other".into(), ..one.clone() }]);
    get(before.get("billing").unwrap(), "/").await.unwrap();
    let after = before.renewed([one.clone(), Settings { name: "other".into(), retries: 0, ..one }]);
    let same = |name: &str| Arc::ptr_eq(before.get(name).unwrap(), after.get(name).unwrap());
    assert!(same("billing") && !same("other"));
    get(after.get("billing").unwrap(), "/").await.unwrap();
    assert_eq!(server.connections(), 1);
}
