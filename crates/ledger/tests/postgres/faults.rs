//! What happens to the server and to connections stops nobody: what was asked is done once, whenever it breaks.

use crate::conformance::{ask, completion, held, new};
use handover_core::{DeliveryId, Kind, NewDelivery};
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{Ledger, Pushed};
use handover_testkit::postgres::OwnPostgres;
use handover_testkit::{Random, TemporaryPostgres};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

fn records(app: &str, count: usize) -> Vec<NewDelivery> {
    vec![new(Kind::Record, app); count]
}

pub(crate) fn terminate(server: &TemporaryPostgres) {
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'handover'",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_made_again() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let mut wake = ledger.wake();
    for round in 0..5 {
        let pushed = ledger.push("test", records("a", 3)).await.unwrap();
        terminate(&server);
        let claimed = ledger.claim(ask(Kind::Record, "a", 10, "1-worker")).await.unwrap();
        assert_eq!(claimed.len(), 3, "round {round}");
        terminate(&server);
        for (delivery, pushed) in claimed.iter().zip(&pushed) {
            assert_eq!(delivery.id, pushed.id());
            ledger.complete(completion(&held(delivery), vec![])).await.unwrap();
        }
    }
    // The listening connection is made again too: a foreign insert still wakes.
    terminate(&server);
    loop {
        wake.mark_unchanged();
        server.sql(
            "INSERT INTO integration.data_staging (source_app, target_app, data) VALUES ('s', 'b', '{}')",
        );
        if tokio::time::timeout(Duration::from_secs(3), wake.changed()).await.is_ok() {
            break;
        }
    }
}

/// Workers push, claim and complete while all connections are broken again and again, at whatever they are at. Each
/// completion hands over one delivery, so that what was done twice or not at all would be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_each_thing_is_done_once() {
    const PUSHERS: usize = 3;
    const BATCHES: usize = 40;
    const BATCH: usize = 25;
    let server = Arc::new(TemporaryPostgres::new());
    let ledger = Arc::new(PostgresLedger::open(&server.url(), true).unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let breaker = {
        let (server, done) = (server.clone(), done.clone());
        std::thread::spawn(move || {
            let mut random = Random::new(7);
            let mut broken = 0;
            while !done.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20 + random.below(60) as u64));
                terminate(&server);
                broken += 1;
            }
            broken
        })
    };
    let mut pushers = JoinSet::new();
    for _ in 0..PUSHERS {
        let ledger = ledger.clone();
        pushers.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..BATCHES {
                let pushed = ledger.push("test", records("in", BATCH)).await.unwrap();
                mine.extend(pushed.into_iter().map(Pushed::id));
            }
            mine
        });
    }
    let mut workers = JoinSet::new();
    let all = PUSHERS * BATCHES * BATCH;
    let worked = Arc::new(std::sync::Mutex::new(Vec::<DeliveryId>::new()));
    for number in 0..3 {
        let (ledger, worked) = (ledger.clone(), worked.clone());
        workers.spawn(async move {
            while worked.lock().unwrap().len() < all {
                let claimed =
                    ledger.claim(ask(Kind::Record, "in", 20, &format!("{number}-w"))).await.unwrap();
                for delivery in claimed {
                    let next =
                        ledger.complete(completion(&held(&delivery), records("out", 1))).await.unwrap();
                    assert_eq!(next.len(), 1);
                    worked.lock().unwrap().push(delivery.id);
                }
            }
        });
    }
    let pushed: Vec<DeliveryId> = pushers.join_all().await.into_iter().flatten().collect();
    workers.join_all().await;
    done.store(true, Ordering::SeqCst);
    assert!(breaker.join().unwrap() > 3, "it was hardly broken");
    assert_eq!(pushed.len(), all);
    let worked: HashSet<DeliveryId> = worked.lock().unwrap().iter().copied().collect();
    assert_eq!(worked, pushed.into_iter().collect());
    let count = |query: &str| server.sql(&format!("SELECT count(*) FROM {query}"));
    assert_eq!(count("integration.data_staging WHERE target_app = 'in'"), all.to_string(), "pushed once");
    assert_eq!(count("integration.data_staging WHERE target_app = 'out'"), all.to_string(), "handed on once");
    assert_eq!(count("integration.data_staging WHERE status = 'processing'"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_is_waited_for() {
    let server = Arc::new(OwnPostgres::start());
    let ledger = PostgresLedger::open(&server.url("postgres"), true).unwrap();
    for at_once in [false, true] {
        let pushed = ledger.push("test", records("a", 1)).await.unwrap();
        let stopping = server.clone();
        tokio::task::spawn_blocking(move || stopping.stop(at_once)).await.unwrap();
        let starting = server.clone();
        let started = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(300));
            starting.start_again();
        });
        // Asked while there is no server.
        let claimed = ledger.claim(ask(Kind::Record, "a", 10, "1-worker")).await.unwrap();
        started.await.unwrap();
        assert_eq!(claimed.iter().map(|d| d.id).collect::<Vec<_>>(), [pushed[0].id()]);
        ledger.complete(completion(&held(&claimed[0]), vec![])).await.unwrap();
    }
}
