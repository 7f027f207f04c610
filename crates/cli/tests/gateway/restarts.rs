//! A service that restarts under load: who sends what may be done twice sees nothing of it.

use crate::http::Ask;
use crate::kit::{LONG, OPEN, Site};
use crate::proxying::{AT, ask};
use handover_testkit::process::wait_for;
use handover_testkit::{HttpServer, Reply};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What may be done twice, of each sort one.
fn repeatable(nth: usize) -> Ask {
    match nth % 3 {
        0 => Ask::get(format!("{AT}/x")),
        1 => Ask::new("PUT", format!("{AT}/x")).body("text/plain", "12345"),
        _ => Ask::post(format!("{AT}/x"))
            .header("Idempotency-Key", "k-1")
            .body("text/plain", "0".repeat(50_000)),
    }
}

fn size(asked: &handover_testkit::Asked) -> Reply {
    Reply::new(200, format!("{} {}", asked.method, asked.body.len()))
}

#[test]
fn a_restart_is_not_seen_by_those_whose_requests_may_be_done_twice() {
    let mut service = HttpServer::start(size);
    let site = Site::new(&format!("apps: {{ billing: {{ url: '{}' }} }}", service.url()), OPEN);
    let server = site.serve();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let wanted = ["GET 0", "PUT 5", "POST 50000"];
    let load = &|nth: usize| {
        let mut wrong = Vec::new();
        while !over.load(Ordering::SeqCst) {
            let answer = ask(&server, &repeatable(nth));
            match (answer.status, answer.text()) {
                (200, text) if text == wanted[nth % 3] => drop(answered.fetch_add(1, Ordering::SeqCst)),
                other => wrong.push(other),
            }
        }
        wrong
    };
    let some_more = || {
        let before = answered.load(Ordering::SeqCst);
        wait_for(LONG, "answers", || (answered.load(Ordering::SeqCst) > before + 60).then_some(()));
    };
    let wrong: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6).map(|nth| scope.spawn(move || load(nth))).collect();
        for _ in 0..3 {
            some_more();
            let address = service.address();
            drop(service);
            std::thread::sleep(Duration::from_millis(100));
            service = HttpServer::at(address, size);
        }
        some_more();
        over.store(true, Ordering::SeqCst);
        asking.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} wrong: {:?}", wrong.len(), wrong.first());
}
