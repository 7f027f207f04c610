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

/// A claim of more than two fails with this error from now on: those that this function gives.
fn fails_beyond_two(server: &TemporaryPostgres, by_lanes: bool, code: &str, message: &str) {
    let (function, arguments, count, call) = match by_lanes {
        false => (
            "_claim_data_staging",
            "p_app text, p_max bigint, p_holder text, p_token text, p_lease interval, p_now timestamptz, p_from_id bigint",
            "p_max",
            "p_app, p_max, p_holder, p_token, p_lease, p_now, p_from_id",
        ),
        true => (
            "_lane_rows",
            "p_token text, p_skip bigint",
            "(SELECT cardinality(ids) FROM integration.lanes WHERE token = p_token)",
            "p_token, p_skip",
        ),
    };
    server.sql(&format!("ALTER FUNCTION integration.{function} RENAME TO {function}_as_it_is"));
    server.sql(&format!(
        "CREATE FUNCTION integration.{function}({arguments}) RETURNS SETOF integration.v_deliveries LANGUAGE plpgsql AS $f$ BEGIN \
         IF {count} > 2 THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END IF; \
         RETURN QUERY SELECT * FROM integration.{function}_as_it_is({call}); END $f$"
    ));
}

/// What is too large for one row of the server, which a claimed batch is, is claimed by fewer; any other error is an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_claimed_by_fewer() {
    let too_large = [
        ("54000", "array size exceeds the maximum allowed (1073741823)"),
        ("53200", "out of memory"),
        ("XX000", "invalid memory alloc request size 1073741824"),
    ];
    let others = [("XX000", "could not find block"), ("22012", "division by zero")];
    for by_lanes in [false, true] {
        for (n, (code, message)) in too_large.iter().chain(&others).enumerate() {
            let server = TemporaryPostgres::new();
            let ledger = PostgresLedger::open(&server.url(), true).unwrap();
            if by_lanes {
                ledger.claim_by("test", vec!["a".into()], vec![]).await.unwrap();
            }
            ledger.push("test", records("a", 9)).await.unwrap();
            fails_beyond_two(&server, by_lanes, code, message);
            let claimed = ledger.claim(ask(Kind::Record, "a", 9, "1-worker")).await;
            let waits = ledger.waiting(Kind::Record.into(), "a", 100).await.unwrap().count;
            if n >= too_large.len() {
                let said = claimed.unwrap_err().to_string();
                assert!(said.contains(message), "{said}");
                assert_eq!(waits, 9, "{by_lanes} {code}: what could not be read is given back");
                continue;
            }
            let claimed = claimed.unwrap_or_else(|error| panic!("{by_lanes} {code}: {error}"));
            assert_eq!(claimed.len(), 2, "{by_lanes} {code}");
            assert_eq!(waits, 7, "what was given up waits again");
            assert!(claimed.iter().all(|one| one.attempts == 1));
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
