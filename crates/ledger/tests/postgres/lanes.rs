//! Claims by lanes: the contract's cases once more, with every app claimed by lanes, and what is said of lanes alone.

use crate::Postgres;
use crate::chaos::{Workers, holder, worker};
use crate::conformance::{Backend, World, ask, completion, failure, held, ids, new, refused, stale};
use async_trait::async_trait;
use handover_core::{Delivery, DeliveryId, ErrorKind, Kind, NewDelivery, Status};
use handover_ledger::{Answer, Answered, Answers, Ledger, Outcome, Pushed, Queue, Verdict};
use handover_testkit::FakeClock;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// The same ledger, whose records are claimed by lanes.
struct Lanes(Postgres);

const APPS: [&str; 9] = ["a", "b", "c", "next", "scorer", "pending", "processing", "completed", "archived"];

#[async_trait]
impl Backend for Lanes {
    const NOT_JSON: &'static str = Postgres::NOT_JSON;
    const LANES: bool = true;

    async fn fresh(clock: Arc<FakeClock>) -> Self {
        Self(Postgres::fresh(clock).await)
    }

    async fn open(&self) -> Arc<dyn Ledger> {
        let ledger = self.0.open().await;
        ledger.claim_by("test", APPS.map(str::to_owned).to_vec(), vec![]).await.unwrap();
        ledger
    }

    async fn sql(&self, text: &str) -> Result<usize, String> {
        self.0.sql(text).await
    }

    async fn rows(&self, text: &str) -> Vec<Vec<String>> {
        self.0.rows(text).await
    }
}

// Not here: what plain SQL may claim, and how long what is completed stays.
conformance! { crate::lanes::Lanes;
    entering { a_dedup_key_is_one_delivery_per_app, a_dedup_key_holds_against_the_archive, ids_are_one_sequence }
    claiming {
        by_priority_then_age, not_before_its_time, a_batch_shares_one_token, nothing_of_a_paused_app,
        nothing_deleted, an_order_key_is_strict, a_retried_older_one_waits_for_the_younger,
        a_deleted_one_holds_nobody_up, claimers_of_two_handles_never_share, what_cannot_be_read_is_refused,
        a_claim_of_nothing_or_of_no_app, what_has_waited_longest_has_its_places,
        single_claims_come_to_what_has_waited_longest, what_has_waited_longest_keeps_its_order_key,
    }
    leases {
        a_renewed_lease_lasts, renewing_says_what_is_lost, holds_as_long_as_it_stands, a_stale_token_changes_nothing,
        release_gives_back_untouched, a_lease_that_ran_out_is_rescued, a_lost_holder_is_rescued_at_once,
        twenty_rescues_and_no_more, holders_are_those_with_leases,
    }
    ending {
        completing_hands_over, a_failing_next_rolls_all_back, retries_back_off_until_used_up,
        later_uses_up_no_attempt, a_final_failure_is_final, a_failure_may_publish_too, a_long_error_is_cut,
    }
    answers {
        each_answer_ends_its_delivery, a_stale_answer_leaves_the_others, whole_answers_count_all_or_none,
        a_thousand_at_once, a_token_holds_what_was_claimed_with_it, what_waits_is_counted_up_to_a_limit,
    }
    loads { a_load_goes_on_where_it_stopped, a_whole_load_is_unseen_until_its_end }
    by_hand {
        cancel_ends_what_has_not_ended, retry_is_for_the_failed, replay_of_whatever_ended,
        the_end_of_a_flow_is_not_replayed, restore_brings_back, pause_and_resume,
    }
    states { plain_sql_may_hand_over }
    history { a_whole_life_is_audited, a_rescue_and_a_cancel_are_audited, a_refused_move_leaves_no_trace }
    reading { the_next_due_time, the_oldest_pending }
    storm { a_random_storm_agrees_with_the_model }
    waking { a_push_wakes_the_other_handle, an_end_wakes_what_waited_for_it }
}

fn done(delivery: &Delivery) -> Answer {
    Answer { id: delivery.id, outcome: Outcome::Completed { result: None, next: vec![] } }
}

fn answers(claimed: &[Delivery], whole: bool) -> Answers {
    let token = held(&claimed[0]).token;
    Answers { queue: Queue::Records, token, answers: claimed.iter().map(done).collect(), whole }
}

async fn in_flight(w: &World<Lanes>) -> i64 {
    w.number("SELECT coalesce(sum(cardinality(ids)), 0) FROM lanes").await
}

/// What is in flight lies in the table as it was, and every view shows who has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_lies_untouched_and_is_shown_as_processing() {
    let w = World::<Lanes>::new().await;
    w.push_to(Kind::Record, "a", 3).await;
    let claimed = w.claim(Kind::Record, "a", 2).await;
    let until = claimed[0].lease_until.unwrap();
    assert_eq!(
        w.number("SELECT count(*) FROM data_staging WHERE status = 'pending' AND attempts = 0").await,
        3
    );
    for view in ["v_data_staging", "v_deliveries"] {
        let shown = format!(
            "SELECT id, status, leased_by, attempts, floor(extract(epoch FROM lease_until))::bigint FROM {view} WHERE status = 'processing' ORDER BY id"
        );
        let one = |d: &Delivery| {
            vec![
                d.id.to_string(),
                "processing".into(),
                "1-worker".into(),
                "1".into(),
                until.as_second().to_string(),
            ]
        };
        assert_eq!(w.backend.rows(&shown).await, claimed.iter().map(one).collect::<Vec<_>>(), "{view}");
    }
    let depth = "SELECT pending, processing, archived FROM v_queue_depth WHERE target_app = 'a'";
    assert_eq!(w.backend.rows(depth).await, [["1", "2", "0"]]);
    let filter = handover_ledger::Filter { status: Some(Status::Processing), limit: 9, ..Default::default() };
    let listed = w.ledger.list(filter).await.unwrap();
    assert_eq!(ids(&listed), [claimed[1].id, claimed[0].id]);
    assert_eq!(listed[0], claimed[1], "a list shows it as the claim did");
    w.ledger.answer(answers(&claimed, true)).await.unwrap();
    assert_eq!(w.backend.rows(depth).await, [["1", "0", "2"]]);
    assert_eq!(w.number("SELECT sum(abs(missing)) FROM v_conservation").await, 0);
    assert_eq!(w.number("SELECT count(*) FROM lanes").await, 0);
    w.check_counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_claims_are_refused_and_other_changes_are_not() {
    let w = World::<Lanes>::new().await;
    let all = w.push_to(Kind::Record, "a", 4).await;
    let other = w.push_to(Kind::Record, "usual", 1).await;
    for status in ["processing", "completed"] {
        let change = format!("UPDATE data_staging SET status = '{status}' WHERE status = 'pending'");
        let why = w.backend.sql(&change).await.unwrap_err();
        assert!(why.contains("the records of a are claimed by lanes: plain SQL cannot claim"), "{why}");
    }
    assert_eq!(w.status(other[0]).await, Status::Pending, "the whole statement is refused");
    let claimed = w.claim(Kind::Record, "a", 1).await;
    for change in [
        "UPDATE data_staging SET status = 'failed'",
        "UPDATE data_staging SET target_app = 'usual'",
        "DELETE FROM data_staging",
    ] {
        let why = w.backend.sql(&format!("{change} WHERE id = {}", all[0])).await.unwrap_err();
        assert!(why.contains("a Handover worker holds this delivery"), "{change}: {why}");
    }
    let change = |what: &str, id| format!("{what} WHERE id = {id}");
    w.backend.sql(&change("UPDATE data_staging SET status = 'failed'", all[1])).await.unwrap();
    w.backend.sql(&change("DELETE FROM data_staging", all[2])).await.unwrap();
    w.backend.sql(&change("UPDATE data_staging SET data = '{}', priority = 4", all[3])).await.unwrap();
    w.backend.sql("UPDATE data_staging SET status = 'processing' WHERE target_app = 'usual'").await.unwrap();
    assert_eq!(ids(&w.claim(Kind::Record, "a", 9).await), [all[3]]);
    w.complete(&held(&claimed[0])).await.unwrap();
    w.check_counts().await;
}

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
        w.ledger.release(claimed.iter().map(held).collect()).await.unwrap();
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
        data: json!({ "n": n }),
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

/// Large claims look from where the last one ended; what comes back below that is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_below_the_hint_is_found() {
    let w = World::<Lanes>::new().await;
    let all = w.push_to(Kind::Record, "a", 200).await;
    let first = w.claim(Kind::Record, "a", 100).await;
    let second = w.claim(Kind::Record, "a", 100).await;
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    w.ledger.release(first.iter().take(3).map(held).collect()).await.unwrap();
    assert_eq!(ids(&w.claim(Kind::Record, "a", 100).await), all[..3], "nothing lies above");
    w.push_to(Kind::Record, "a", 100).await;
    assert_eq!(w.claim(Kind::Record, "a", 100).await.len(), 100);
    w.ledger.release(first.iter().skip(3).take(3).map(held).collect()).await.unwrap();
    let mut found = vec![];
    while found.len() < 3 {
        // Newer ones keep coming; within a second of the server's life it looks from the start.
        w.push_to(Kind::Record, "a", 64).await;
        found.extend(ids(&w.claim(Kind::Record, "a", 64).await).into_iter().filter(|id| all.contains(id)));
    }
    assert_eq!(found, all[3..6]);
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

/// Claimers go on while the mode is changed to and fro: each record is given once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_twice_while_the_way_of_claiming_changes() {
    const ALL: usize = 1_500;
    let w = World::<Lanes>::new().await;
    let pushed = w.push_to(Kind::Record, "a", ALL).await;
    let mut claimers = JoinSet::new();
    for number in 0..3 {
        let ledger = w.backend.open().await;
        claimers.spawn(async move {
            let mut mine = vec![];
            loop {
                let claimed = ledger.claim(ask(Kind::Record, "a", 7, &format!("{number}-w"))).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                for answered in ledger.answer(answers(&claimed, false)).await.unwrap() {
                    assert_eq!(answered, Answered::Completed(vec![]));
                }
                mine.extend(ids(&claimed));
            }
        });
    }
    let mut by_lanes = true;
    while !claimers.is_empty() {
        by_lanes = !by_lanes;
        let (lanes, usual) =
            if by_lanes { (vec!["a".to_owned()], vec![]) } else { (vec![], vec!["a".to_owned()]) };
        w.ledger.claim_by("test", lanes, usual).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
        if w.number("SELECT count(*) FROM v_data_staging WHERE status IN ('pending', 'processing')").await
            == 0
        {
            break;
        }
    }
    let mut all: Vec<DeliveryId> = claimers.join_all().await.into_iter().flatten().collect();
    all.sort();
    assert_eq!(all, pushed);
    w.check_counts().await;
}

/// Tokens that are stale, of another claim, or forged end nothing; a token ends only what its claim took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_what_its_claim_took() {
    let w = World::<Lanes>::new().await;
    w.push_to(Kind::Record, "a", 4).await;
    let (first, second) = (w.claim(Kind::Record, "a", 2).await, w.claim(Kind::Record, "a", 2).await);
    let foreign = Answers { token: held(&second[0]).token, ..answers(&first, true) };
    assert_eq!(refused(w.ledger.answer(foreign.clone()).await), ErrorKind::Stale);
    let answered = w.ledger.answer(Answers { whole: false, ..foreign }).await.unwrap();
    assert!(
        answered.iter().all(|one| matches!(one, Answered::Stale(why) if why.contains("held by 1-worker"))),
        "{answered:?}"
    );
    // Half of a lane fails, half completes: the lane is used up by both.
    let bad = Outcome::Failed { error: "it broke".into(), verdict: Verdict::Retry, result: None };
    let both = vec![done(&first[0]), Answer { id: first[1].id, outcome: bad }];
    let answered = w.ledger.answer(Answers { answers: both, ..answers(&first, true) }).await.unwrap();
    assert!(matches!(&answered[..], [Answered::Completed(_), Answered::Failed(_)]), "{answered:?}");
    assert_eq!((w.get(first[1].id).await.attempts, in_flight(&w).await), (1, 2));
    // One of a claim is cancelled, one restored for nothing: the rest of the claim stands.
    assert!(!w.ledger.restore("ann", second[1].id).await.unwrap());
    w.ledger.cancel("ann", second[0].id).await.unwrap();
    assert_eq!(w.ledger.held_by(&held(&second[0]).token).await.unwrap(), [held(&second[1])]);
    assert_eq!(refused(w.ledger.answer(answers(&second, true)).await), ErrorKind::Stale);
    let answered = w.ledger.answer(answers(&second, false)).await.unwrap();
    assert!(matches!(&answered[..], [Answered::Stale(_), Answered::Completed(_)]), "{answered:?}");
    assert_eq!(w.number("SELECT count(*) FROM lanes").await, 0);
    w.check_counts().await;
}

/// Results go to their records, also where some of the answers are stale and some records were changed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_go_to_their_records() {
    let w = World::<Lanes>::new().await;
    for stale in [false, true] {
        let all = w.push_to(Kind::Record, "a", 5).await;
        let claimed = w.claim(Kind::Record, "a", 5).await;
        w.backend
            .sql(&format!("UPDATE data_staging SET priority = 0 WHERE id IN ({}, {})", all[1], all[4]))
            .await
            .unwrap();
        if stale {
            w.ledger.cancel("ann", all[0]).await.unwrap();
        }
        let with = |one: &Delivery| {
            let result = (one.id != all[3]).then(|| json!({ "of": one.id }));
            Answer { id: one.id, outcome: Outcome::Completed { result, next: vec![] } }
        };
        let given = Answers { answers: claimed.iter().map(with).collect(), ..answers(&claimed, false) };
        let answered = w.ledger.answer(given).await.unwrap();
        assert_eq!(
            answered.iter().filter(|one| matches!(one, Answered::Stale(_))).count(),
            usize::from(stale)
        );
        for id in &all[usize::from(stale)..] {
            let done = w.get(*id).await;
            let expected = (*id != all[3]).then(|| json!({ "of": id }));
            assert_eq!((done.status, done.result), (Status::Archived, expected), "{id}");
        }
        w.check_counts().await;
    }
}

/// The functions of plain SQL know lanes: pull, extend, fail and ack by the token alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sql_functions_pull_and_answer() {
    let w = World::<Lanes>::new().await;
    let all = w.push_to(Kind::Record, "a", 3).await;
    let pulled = w.backend.rows("SELECT id, token, attempt FROM integration.pull('a', 3)").await;
    let token = &pulled[0][1];
    assert_eq!(
        pulled.iter().map(|row| row[0].clone()).collect::<Vec<_>>(),
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    assert!(pulled.iter().all(|row| row[2] == "1") && in_flight(&w).await == 3);
    w.backend.sql(&format!("SELECT integration.extend('{token}', '10 minutes')")).await.unwrap();
    let failed = w
        .backend
        .rows(&format!("SELECT id, status FROM integration.fail('{token}', ARRAY[{}], 'no')", all[1]))
        .await;
    assert_eq!(failed, [[all[1].to_string(), "pending".into()]]);
    assert_eq!(
        w.backend.rows(&format!("SELECT integration.ack('{token}', ARRAY[{}])", all[0])).await,
        [["1"]]
    );
    let why =
        w.backend.sql(&format!("SELECT integration.ack('{token}', ARRAY[{}])", all[0])).await.unwrap_err();
    assert!(why.contains("it is archived"), "{why}");
    assert_eq!(w.backend.rows(&format!("SELECT integration.ack('{token}')")).await, [["1"]]);
    w.backend.sql(&format!("SELECT integration.ack('{token}')")).await.unwrap_err();
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

/// An answer that counted before its connection was lost is told so when it is asked again, and counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_asked_again_counted_once() {
    let w = World::<Lanes>::new().await;
    w.push_to(Kind::Record, "a", 3).await;
    let claimed = w.claim(Kind::Record, "a", 3).await;
    let (token, all) = (held(&claimed[0]).token.0, ids(&claimed));
    w.ledger.answer(answers(&claimed[..2], true)).await.unwrap();
    let ask = |which: &[DeliveryId], again: bool| {
        let numbers: Vec<String> = which.iter().map(ToString::to_string).collect();
        format!(
            "SELECT array_to_string(ARRAY(SELECT unnest(integration._complete_lane('{token}', ARRAY[{}], p_whole => true, p_again => {again})) ORDER BY 1), ',')",
            numbers.join(",")
        )
    };
    let told = async |query: String| w.backend.rows(&query).await[0][0].clone();
    let first_two = format!("{},{}", all[0], all[1]);
    assert_eq!(told(ask(&all[..2], true)).await, first_two, "the lane is there still");
    assert_eq!(told(ask(&all[..2], false)).await, "", "who asks for the first time has not done it");
    w.ledger.answer(answers(&claimed[2..], true)).await.unwrap();
    assert_eq!(told(ask(&all[..2], true)).await, first_two, "it is gone");
    assert_eq!(w.number("SELECT count(*) FROM data_archive").await, 3);
    w.check_counts().await;
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
