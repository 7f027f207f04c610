//! Claims by lanes, where several are at it: workers, plain SQL, changes of the mode, and death.

use crate::chaos::{Workers, holder, worker};
use crate::conformance::{Backend, World, ask, completion, failure, held, ids, new, stale};
use crate::faults::terminate;
use crate::lanes::{Lanes, answers, in_flight};
use handover_core::{DeliveryId, Kind, NewDelivery, Status};
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{Answered, Ledger, Pushed, Verdict};
use handover_testkit::{Random, TemporaryPostgres};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A claim that locks no record must not take one that plain SQL is just changing: it waits for the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_waits_for_what_plain_sql_is_changing() {
    let w = World::<Lanes>::new().await;
    let all = w.push_to(Kind::Record, "a", 2).await;
    for (end, expected) in [("ROLLBACK", 2), ("COMMIT", 1)] {
        let sql = w.backend.0.foreign().await;
        let change = format!("BEGIN; UPDATE data_staging SET status = 'failed' WHERE id = {}", all[0]);
        sql.batch_execute(&change).await.unwrap();
        let ledger = w.ledger.clone();
        let claiming = tokio::spawn(async move { ledger.claim(ask(Kind::Record, "a", 9, "1-w")).await });
        while w.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").await == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sql.batch_execute(end).await.unwrap();
        let claimed = claiming.await.unwrap().unwrap();
        assert_eq!(claimed.len(), expected, "{end}");
        w.ledger.release(claimed.iter().map(held).collect(), None).await.unwrap();
        w.check_counts().await;
    }
}

/// Several workers, keys with failures and retries: no record is with two, and within a key each comes after those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_within_a_key_holds_across_workers_and_failures() {
    const KEYS: usize = 7;
    const EACH: usize = 12;
    let w = World::<Lanes>::new().await;
    let of = |n: usize| NewDelivery {
        order_key: Some(format!("k{}", n % KEYS)),
        data: json!({ "n": n }).into(),
        max_attempts: 100,
        ..new(Kind::Record, "a")
    };
    w.ledger.push("test", (0..KEYS * EACH).map(of).collect()).await.unwrap();
    let seen: Arc<Mutex<HashMap<usize, Vec<usize>>>> = Arc::default();
    let working: Arc<Mutex<HashMap<DeliveryId, usize>>> = Arc::default();
    let mut workers = JoinSet::new();
    for number in 0..4 {
        let (ledger, clock) = (w.backend.open().await, w.clock.clone());
        let (seen, working) = (seen.clone(), working.clone());
        workers.spawn(async move {
            let mut turn = number;
            while seen.lock().unwrap().values().map(Vec::len).sum::<usize>() < KEYS * EACH {
                let claimed = ledger.claim(ask(Kind::Record, "a", 5, &format!("{number}-w"))).await.unwrap();
                if claimed.is_empty() {
                    clock.advance(Duration::from_secs(1));
                    continue;
                }
                for one in &claimed {
                    assert!(working.lock().unwrap().insert(one.id, number).is_none(), "two have {}", one.id);
                }
                tokio::task::yield_now().await;
                for one in &claimed {
                    turn += 1;
                    working.lock().unwrap().remove(&one.id);
                    if turn % 3 == 0 {
                        ledger.fail(failure(&held(one), Verdict::Retry)).await.unwrap();
                        continue;
                    }
                    let n = usize::try_from(one.data["n"].as_u64().unwrap()).unwrap();
                    // Noted before it ends: the next of its key comes after that.
                    seen.lock().unwrap().entry(n % KEYS).or_default().push(n);
                    ledger.complete(completion(&held(one), vec![])).await.unwrap();
                }
            }
        });
    }
    workers.join_all().await;
    for (key, order) in seen.lock().unwrap().iter() {
        assert_eq!(*order, (0..EACH).map(|n| key + n * KEYS).collect::<Vec<_>>());
    }
    w.check_counts().await;
}

/// The mode changes while records are in flight under either: each token stays good, nothing is lost or given twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_of_claiming_changes_while_records_are_in_flight() {
    let w = World::<Lanes>::new().await;
    let other = w.backend.open().await;
    let lanes = || vec!["a".to_owned()];
    let all = w.push_to(Kind::Record, "a", 6).await;
    let by_lanes = w.claim(Kind::Record, "a", 2).await;
    w.ledger.claim_by("test", vec![], lanes()).await.unwrap();
    assert_eq!(in_flight(&w).await, 0, "it is landed");
    let landed = w.get(all[0]).await;
    assert_eq!(landed, by_lanes[0], "and stands as it did");
    // The other handle believes in lanes still; the ledger says otherwise.
    let usual = other.claim(ask(Kind::Record, "a", 2, "2-other")).await.unwrap();
    assert_eq!(ids(&usual), all[2..4]);
    assert_eq!(in_flight(&w).await, 0);
    other.claim_by("test", lanes(), vec![]).await.unwrap();
    // This one does not know of it.
    let again = w.claim(Kind::Record, "a", 9).await;
    assert_eq!((ids(&again), in_flight(&w).await), (all[4..].to_vec(), 2));
    for claimed in [by_lanes, usual, again] {
        let answered = w.ledger.answer(answers(&claimed, true)).await.unwrap();
        assert_eq!(answered, [Answered::Completed(vec![]), Answered::Completed(vec![])]);
        stale(w.complete(&held(&claimed[0])).await);
    }
    let stands = [
        Status::Completed,
        Status::Completed,
        Status::Completed,
        Status::Completed,
        Status::Archived,
        Status::Archived,
    ];
    for (id, status) in all.into_iter().zip(stands) {
        assert_eq!(w.status(id).await, status);
    }
    w.check_counts().await;
}

/// What a claim took is its own, also where it is landed before the claim has read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_landed_before_it_was_read_is_claimed_all_the_same() {
    let w = World::<Lanes>::new().await;
    let sql = w.backend.0.foreign().await;
    sql.batch_execute(
        "CREATE FUNCTION land_at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            PERFORM integration._land(NEW.token, NULL); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER land_at_once AFTER INSERT ON integration.lanes DEFERRABLE INITIALLY DEFERRED \
            FOR EACH ROW EXECUTE FUNCTION land_at_once()",
    )
    .await
    .unwrap();
    let all = w.push_to(Kind::Record, "a", 5).await;
    let first = w.claim(Kind::Record, "a", 3).await;
    assert_eq!((ids(&first), in_flight(&w).await), (all[..3].to_vec(), 0));
    sql.batch_execute("DROP TRIGGER land_at_once ON integration.lanes").await.unwrap();
    let second = w.claim(Kind::Record, "a", 3).await;
    assert_eq!((ids(&second), in_flight(&w).await), (all[3..].to_vec(), 2));
    for (claimed, many) in [(first, 3), (second, 2)] {
        let answered = w.ledger.answer(answers(&claimed, true)).await.unwrap();
        assert_eq!(answered, vec![Answered::Completed(vec![]); many]);
    }
    w.check_counts().await;
}

/// Claimers go on while the mode is changed to and fro: each record is given once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_twice_while_the_way_of_claiming_changes() {
    const ALL: usize = 1_500;
    let w = World::<Lanes>::new().await;
    let pushed = w.push_to(Kind::Record, "a", ALL).await;
    let given = Arc::new(AtomicUsize::new(0));
    let mut claimers = JoinSet::new();
    for number in 0..3 {
        let (ledger, given) = (w.backend.open().await, given.clone());
        claimers.spawn(async move {
            let mut mine = vec![];
            // A claim may find nothing while others have the rest, or while the mode just changes.
            while given.load(Ordering::SeqCst) < ALL {
                let claimed = ledger.claim(ask(Kind::Record, "a", 7, &format!("{number}-w"))).await.unwrap();
                if claimed.is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                for answered in ledger.answer(answers(&claimed, false)).await.unwrap() {
                    assert_eq!(answered, Answered::Completed(vec![]));
                }
                given.fetch_add(claimed.len(), Ordering::SeqCst);
                mine.extend(ids(&claimed));
            }
            mine
        });
    }
    let (mut all, mut by_lanes): (Vec<DeliveryId>, bool) = (vec![], true);
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        match tokio::time::timeout(Duration::from_millis(15), claimers.join_next()).await {
            Ok(None) => break,
            Ok(Some(mine)) => all.extend(mine.unwrap()),
            Err(_) => {
                by_lanes = !by_lanes;
                let app = || vec!["a".to_owned()];
                let (lanes, usual) = if by_lanes { (app(), vec![]) } else { (vec![], app()) };
                w.ledger.claim_by("test", lanes, usual).await.unwrap();
                let count = given.load(Ordering::SeqCst);
                assert!(Instant::now() < end, "{count} of {ALL} were given, and then no more");
            }
        }
    }
    all.sort();
    assert_eq!(all, pushed);
    w.check_counts().await;
}

/// A key that is pushed again just while its record is completed is the same record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dedup_key_holds_while_its_record_goes_to_the_archive() {
    let w = World::<Lanes>::new().await;
    for round in 0..40 {
        let keyed = NewDelivery { dedup_key: Some(format!("k{round}")), ..new(Kind::Record, "a") };
        let id = w.push(keyed.clone()).await;
        let claimed = w.claim(Kind::Record, "a", 1).await;
        let ledger = w.backend.open().await;
        let (pushed, answered) =
            tokio::join!(ledger.push("test", vec![keyed]), w.ledger.answer(answers(&claimed, true)));
        answered.unwrap();
        assert_eq!(pushed.unwrap(), [Pushed::Duplicate(id)], "round {round}");
    }
}

/// A worker is killed at each point of a claim and of an answer: what it had comes back, and each record ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_point_a_worker_is_killed_at_each_record_ends_once() {
    const ALL: usize = 400;
    for point in ["claim.before_commit", "claim.committed", "complete.before_commit", "complete.committed"] {
        let w = World::<Lanes>::new().await;
        let url = w.backend.0.server.url();
        w.push_to(Kind::Record, "work", ALL).await;
        let mut killed = worker(&url, true, Some(&format!("{point}:kill@3")));
        assert!(killed.wait().unwrap().code().is_none(), "{point}: it was killed");
        w.ledger.rescue("test", vec![holder(&killed)]).await.unwrap();
        assert_eq!(w.number("SELECT count(*) FROM lanes").await, 0, "{point}");
        let _others = Workers(vec![worker(&url, true, None)]);
        let open = "SELECT count(*) FROM v_data_staging WHERE target_app = 'work'";
        while w.number(open).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let archived = "SELECT count(*) FROM data_archive WHERE target_app = 'work'";
        let completed = "SELECT count(*) FROM v_audit WHERE to_status = 'completed'";
        let all = i64::try_from(ALL).unwrap();
        assert_eq!((w.number(archived).await, w.number(completed).await), (all, all), "{point}");
        let effects =
            "SELECT count(*) - count(DISTINCT parent_id) FROM data_staging WHERE target_app = 'effects'";
        assert_eq!(w.number(effects).await, 0, "{point}");
        w.check_counts().await;
    }
}

/// All connections are broken again and again, at whatever they are at: each answer counts once, and is told to have counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_connection_breaks_counts_once_and_says_so() {
    const ALL: usize = 3_000;
    let server = Arc::new(TemporaryPostgres::new());
    let ledger = Arc::new(PostgresLedger::open(&server.url(), true).unwrap());
    ledger.claim_by("test", vec!["a".into()], vec![]).await.unwrap();
    ledger.push("test", vec![new(Kind::Record, "a"); ALL]).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let breaker = {
        let (server, done) = (server.clone(), done.clone());
        std::thread::spawn(move || {
            let mut random = Random::new(11);
            while !done.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5 + random.below(25) as u64));
                terminate(&server);
            }
        })
    };
    let mut workers = JoinSet::new();
    for number in 0..3 {
        let ledger = ledger.clone();
        workers.spawn(async move {
            let mut mine = vec![];
            loop {
                let claimed = ledger.claim(ask(Kind::Record, "a", 10, &format!("{number}-w"))).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                for answered in ledger.answer(answers(&claimed, number == 0)).await.unwrap() {
                    assert_eq!(answered, Answered::Completed(vec![]));
                }
                mine.extend(ids(&claimed));
            }
        });
    }
    let mut all: Vec<DeliveryId> = workers.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::SeqCst);
    breaker.join().unwrap();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), ALL);
    let of = |what: &str| server.sql(&format!("SELECT {what}"));
    assert_eq!(of("count(*) FROM integration.data_archive"), ALL.to_string());
    assert_eq!(of("count(*) FROM integration.v_audit WHERE to_status = 'completed'"), ALL.to_string());
    assert_eq!(of("count(*) FROM integration.lanes"), "0");
}
