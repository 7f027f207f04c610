//! Claims by lanes: the contract's cases once more, with every app claimed by lanes, and what is said of lanes alone.

use crate::Postgres;
use crate::conformance::{Backend, World, held, ids, refused};
use async_trait::async_trait;
use handover_core::{Delivery, DeliveryId, ErrorKind, Kind, Status};
use handover_ledger::{Answer, Answered, Answers, Ledger, Outcome, Queue, Verdict};
use handover_testkit::FakeClock;
use serde_json::json;
use std::sync::Arc;

/// The same ledger, whose records are claimed by lanes.
pub(crate) struct Lanes(pub(crate) Postgres);

const APPS: [&str; 9] = ["a", "b", "c", "next", "scorer", "pending", "processing", "completed", "archived"];

#[async_trait]
impl Backend for Lanes {
    const NOT_JSON: &'static str = Postgres::NOT_JSON;
    const LANES: bool = true;
    const NEVER: Option<&'static str> = Postgres::NEVER;

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

    async fn compact(&self) {
        self.0.compact().await;
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
        whether_a_claim_would_find_anything, single_claims_come_to_what_has_waited_longest, what_has_waited_longest_keeps_its_order_key,
    }
    leases {
        a_renewed_lease_lasts, renewing_says_what_is_lost, holds_as_long_as_it_stands, a_stale_token_changes_nothing,
        release_gives_back_untouched, what_is_given_back_says_why, a_lease_that_ran_out_is_rescued, a_lost_holder_is_rescued_at_once,
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
    reading { what_has_an_order_key_is_listed, what_ever_came_is_counted, the_next_due_time, the_oldest_pending }
    storm { a_random_storm_agrees_with_the_model }
    waking { a_push_wakes_the_other_handle, an_end_wakes_what_waited_for_it }
}

fn done(delivery: &Delivery) -> Answer {
    Answer { id: delivery.id, outcome: Outcome::Completed { result: None, next: vec![] } }
}

pub(crate) fn answers(claimed: &[Delivery], whole: bool) -> Answers {
    let token = held(&claimed[0]).token;
    Answers { queue: Queue::Records, token, answers: claimed.iter().map(done).collect(), whole }
}

pub(crate) async fn in_flight(w: &World<Lanes>) -> i64 {
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

/// Large claims look from where the last one ended; what comes back below that is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_below_the_hint_is_found() {
    let w = World::<Lanes>::new().await;
    let all = w.push_to(Kind::Record, "a", 200).await;
    let first = w.claim(Kind::Record, "a", 100).await;
    let second = w.claim(Kind::Record, "a", 100).await;
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    w.ledger.release(first.iter().take(3).map(held).collect(), None).await.unwrap();
    assert_eq!(ids(&w.claim(Kind::Record, "a", 100).await), all[..3], "nothing lies above");
    w.push_to(Kind::Record, "a", 100).await;
    assert_eq!(w.claim(Kind::Record, "a", 100).await.len(), 100);
    w.ledger.release(first.iter().skip(3).take(3).map(held).collect(), None).await.unwrap();
    let mut found = vec![];
    while found.len() < 3 {
        // Newer ones keep coming; within a second of the server's life it looks from the start.
        w.push_to(Kind::Record, "a", 64).await;
        found.extend(ids(&w.claim(Kind::Record, "a", 64).await).into_iter().filter(|id| all.contains(id)));
    }
    assert_eq!(found, all[3..6]);
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
