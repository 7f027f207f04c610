//! What the ledger notes of its own claims of records: one row a claim, instead of an entry in an index for each record.

use crate::Postgres;
use crate::conformance::{Backend as _, LEASE, World, ask, held, ids};
use handover_core::{Delivery, DeliveryId, Kind, LeaseToken, Status};
use handover_ledger::{Answer, Answers, Filter, Outcome, Queue, Verdict};

type W = World<Postgres>;

/// Each claim that is noted: how many are open at most, and its numbers where they are not all from one to another.
async fn noted(w: &W) -> Vec<Vec<String>> {
    w.backend.rows("SELECT open, ids FROM claims ORDER BY least").await
}

fn row(open: usize, numbers: &[DeliveryId]) -> Vec<String> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let numbers = if numbers.is_empty() { String::new() } else { format!("{{{}}}", numbers.join(",")) };
    vec![open.to_string(), numbers]
}

fn done(claimed: &[Delivery]) -> Answers {
    let outcome = || Outcome::Completed { result: None, next: vec![] };
    let answers = claimed.iter().map(|one| Answer { id: one.id, outcome: outcome() }).collect();
    Answers { queue: Queue::Records, token: held(&claimed[0]).token, answers, whole: true }
}

#[tokio::test]
async fn a_claim_is_noted_until_all_of_it_has_ended() {
    let w = W::new().await;
    w.push_to(Kind::Record, "a", 6).await;
    let claimed = w.claim(Kind::Record, "a", 6).await;
    assert_eq!(noted(&w).await, [row(6, &[])]);
    w.ledger.answer(done(&claimed[..2])).await.unwrap();
    assert_eq!(noted(&w).await, [row(4, &[])]);
    w.fail(&held(&claimed[2]), Verdict::Retry).await.unwrap();
    w.fail(&held(&claimed[3]), Verdict::Final).await.unwrap();
    assert_eq!(w.ledger.release(vec![held(&claimed[4])], None).await.unwrap(), 1);
    assert_eq!(noted(&w).await, [row(1, &[])]);
    w.check_counts().await;
    w.complete(&held(&claimed[5])).await.unwrap();
    assert_eq!(noted(&w).await, Vec::<Vec<String>>::new());
    // What was given back is claimed again, with a note of its own; and files have none.
    let again = w.claim(Kind::Record, "a", 9).await;
    assert_eq!(ids(&again), [claimed[4].id]);
    w.held(Kind::File, "a").await;
    assert_eq!(noted(&w).await, [row(1, &[])]);
    w.check_counts().await;
}

#[tokio::test]
async fn what_lies_apart_is_noted_by_its_numbers_and_completed() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 5).await;
    w.backend
        .sql(&format!("UPDATE data_staging SET deleted_at = now() WHERE id = {}", all[2]))
        .await
        .unwrap();
    let claimed = w.claim(Kind::Record, "a", 9).await;
    let apart = [all[0], all[1], all[3], all[4]];
    assert_eq!(noted(&w).await, [row(4, &apart)]);
    let held: Vec<DeliveryId> =
        w.ledger.held_by(&held(&claimed[0]).token).await.unwrap().iter().map(|one| one.id).collect();
    assert_eq!(held, apart);
    w.ledger.answer(done(&claimed)).await.unwrap();
    assert_eq!(noted(&w).await, Vec::<Vec<String>>::new());
    assert_eq!(w.status(all[2]).await, Status::Pending, "what is deleted between them is left alone");
    w.check_counts().await;
}

/// Completing goes from the least to the greatest where these are all that there are between: what another holds there, and what
/// the token holds there and was not named, stays.
#[tokio::test]
async fn only_what_is_named_and_held_is_completed() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 6).await;
    let mine = w.claim(Kind::Record, "a", 6).await;
    let LeaseToken(token) = held(&mine[0]).token;
    let foreign = w.ledger.claim(ask(Kind::Record, "a", 1, "2-other")).await.unwrap();
    assert!(foreign.is_empty());
    w.ledger.release(vec![held(&mine[1])], None).await.unwrap();
    let foreign = w.ledger.claim(ask(Kind::Record, "a", 1, "2-other")).await.unwrap();
    assert_eq!(ids(&foreign), [all[1]]);
    let complete = async |named: &[DeliveryId]| {
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        let call = format!(
            "SELECT array_to_string(ARRAY(SELECT unnest(ids) ORDER BY 1), ',') FROM _complete_data_staging('{token}', ARRAY[{}]::bigint[])",
            named.join(",")
        );
        w.backend.rows(&call).await[0][0].clone()
    };
    assert_eq!(complete(&[]).await, "");
    // As long as a run from the fourth to the sixth would be, but without the fifth.
    assert_eq!(complete(&[all[3], all[3], all[5]]).await, format!("{},{}", all[3], all[5]));
    assert_eq!(w.status(all[4]).await, Status::Processing);
    assert_eq!(complete(&all[..3]).await, format!("{},{}", all[0], all[2]));
    assert_eq!(w.status(all[1]).await, Status::Processing, "another has it");
    assert_eq!(complete(&all).await, all[4].to_string());
    assert_eq!(noted(&w).await, [row(1, &[])], "the other's claim is left");
    w.check_counts().await;
}

#[tokio::test]
async fn what_ended_in_another_way_is_tidied_when_its_lease_has_run_out() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 4).await;
    let claimed = w.claim(Kind::Record, "a", 4).await;
    w.ledger.cancel("test", all[0]).await.unwrap();
    w.backend.sql(&format!("DELETE FROM data_staging WHERE id = {}", all[1])).await.unwrap();
    w.ledger.answer(done(&claimed[2..])).await.unwrap();
    assert_eq!(noted(&w).await, [row(2, &[])]);
    assert!(w.ledger.holders().await.unwrap().is_empty(), "nothing of it is worked on");
    assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    assert_eq!(noted(&w).await, [row(2, &[])]);
    w.advance(LEASE.as_secs() + 1);
    assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    assert_eq!(noted(&w).await, Vec::<Vec<String>>::new());
    w.check_counts().await;
}

/// Who ends some of a claim waits for nobody who does the same; what was not counted then is counted anew within the next look.
#[tokio::test]
async fn who_ends_some_of_a_claim_waits_for_nobody() {
    let w = W::new().await;
    w.push_to(Kind::Record, "a", 3).await;
    let claimed = w.claim(Kind::Record, "a", 3).await;
    let other = w.backend.foreign().await;
    other.batch_execute("BEGIN; SELECT open FROM claims FOR UPDATE").await.unwrap();
    w.complete(&held(&claimed[0])).await.unwrap();
    w.complete(&held(&claimed[1])).await.unwrap();
    assert_eq!(noted(&w).await, [row(3, &[])]);
    w.check_counts().await;
    // Nor is a renewal kept waiting: what it could not note is looked at when the earlier end has come.
    w.advance(10);
    assert!(w.ledger.renew(vec![held(&claimed[2])], LEASE).await.unwrap().is_empty());
    other.batch_execute("COMMIT").await.unwrap();
    assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    assert_eq!(noted(&w).await, [row(1, &[])]);
    assert_eq!(w.ledger.next_due().await.unwrap(), Some(w.now() + LEASE));
    w.complete(&held(&claimed[2])).await.unwrap();
    assert_eq!(noted(&w).await, Vec::<Vec<String>>::new());
    assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    assert_eq!(w.number("SELECT count(*) FROM uncounted_ends").await, 0);
}

/// A program's own transaction, of whatever isolation, may end one record where another ends the next.
#[tokio::test]
async fn ends_of_one_claim_do_not_meet_in_a_repeatable_read() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 3).await;
    let LeaseToken(token) = held(&w.claim(Kind::Record, "a", 3).await[0]).token;
    let program = w.backend.foreign().await;
    program
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM claims")
        .await
        .unwrap();
    w.backend.rows(&format!("SELECT ack('{token}', ARRAY[{}])", all[0])).await;
    program
        .batch_execute(&format!("SELECT ack('{token}', ARRAY[{}]); COMMIT", all[1]))
        .await
        .unwrap_or_else(|error| panic!("{error:?}"));
    w.check_counts().await;
    assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    assert_eq!(noted(&w).await, [row(1, &[])]);
    assert_eq!(w.status(all[2]).await, Status::Processing);
}

/// A lease that plain SQL makes shorter is over sooner; one that it takes away is over in an hour, and hinders no other.
#[tokio::test]
async fn a_lease_that_plain_sql_changes_is_looked_at_as_it_is() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 4).await;
    let endless = w.claim(Kind::Record, "a", 1).await;
    w.claim(Kind::Record, "a", 3).await;
    let change = async |what: &str, id: DeliveryId| {
        let update = format!("UPDATE data_staging SET lease_until = {what} WHERE id = {id}");
        assert_eq!(w.backend.sql(&update).await, Ok(1));
    };
    change("NULL", all[0]).await;
    change("lease_until - interval '50 seconds'", all[2]).await;
    w.check_counts().await;
    w.advance(11);
    let rescued = async || {
        let rescued = w.ledger.rescue("test", vec![]).await.unwrap();
        rescued.iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(rescued().await, [all[2]]);
    w.advance(50);
    assert_eq!(rescued().await, [all[1], all[3]]);
    assert_eq!(rescued().await, []);
    assert_eq!(noted(&w).await, [row(1, &[])]);
    let holder = endless[0].leased_by.clone().unwrap();
    assert_eq!(w.ledger.rescue("test", vec![holder]).await.unwrap().len(), 1);
    w.check_counts().await;
}

#[tokio::test]
async fn what_another_is_ending_keeps_nobody_from_the_rest() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 4).await;
    w.claim(Kind::Record, "a", 4).await;
    let other = w.backend.foreign().await;
    let lock = format!("BEGIN; SELECT FROM data_staging WHERE id IN ({}, {}) FOR UPDATE", all[0], all[1]);
    other.batch_execute(&lock).await.unwrap();
    let rescue = "SELECT id FROM _rescue_data_staging('test', ARRAY['1-worker'], 20, p_max => 2)";
    let rescued: Vec<String> = w.backend.rows(rescue).await.concat();
    assert_eq!(rescued, [all[2].to_string(), all[3].to_string()]);
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(w.backend.rows(rescue).await.len(), 2);
    assert_eq!(noted(&w).await, Vec::<Vec<String>>::new());
    w.check_counts().await;
}

#[tokio::test]
async fn of_a_claim_what_was_not_renewed_is_taken_back() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 3).await;
    let claimed = w.claim(Kind::Record, "a", 3).await;
    let first = w.now();
    w.advance(40);
    let renewed: Vec<_> = claimed[..2].iter().map(held).collect();
    assert!(w.ledger.renew(renewed, LEASE).await.unwrap().is_empty());
    assert_eq!(w.ledger.next_due().await.unwrap(), Some(first + LEASE), "the third ends first");
    w.advance(30);
    let rescued = w.ledger.rescue("test", vec![]).await.unwrap();
    assert_eq!(rescued.iter().map(|one| one.id).collect::<Vec<_>>(), [all[2]]);
    assert_eq!(noted(&w).await, [row(2, &[])]);
    assert_eq!(w.ledger.next_due().await.unwrap(), Some(first + LEASE + std::time::Duration::from_secs(40)));
    w.check_counts().await;
    w.ledger.answer(done(&claimed[..2])).await.unwrap();
    assert_eq!(noted(&w).await, Vec::<Vec<String>>::new());
}

#[tokio::test]
async fn a_lost_holder_leaves_no_note() {
    let w = W::new().await;
    w.push_to(Kind::Record, "a", 3).await;
    let claimed = w.claim(Kind::Record, "a", 3).await;
    let other = w.push_to(Kind::Record, "b", 1).await;
    let of_other = w.ledger.claim(ask(Kind::Record, "b", 1, "2-other")).await.unwrap();
    assert_eq!(ids(&of_other), other);
    let lost = held(&claimed[0]);
    let holder = claimed[0].leased_by.clone().unwrap();
    assert_eq!(w.ledger.rescue("test", vec![holder]).await.unwrap().len(), 3);
    assert_eq!(noted(&w).await, [row(1, &[])]);
    assert!(w.complete(&lost).await.is_err());
    w.check_counts().await;
}

/// What plain SQL claims has no token, and is found by its lease; both are listed, and searched for, as processing.
#[tokio::test]
async fn what_is_processing_is_listed_whoever_claimed_it() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 3).await;
    let plain = format!("UPDATE data_staging SET status = 'processing' WHERE id = {}", all[1]);
    assert_eq!(w.backend.sql(&plain).await, Ok(1));
    assert_eq!(w.claim(Kind::Record, "a", 1).await.len(), 1);
    let filter = Filter { status: Some(Status::Processing), limit: 10, ..Filter::default() };
    let listed = ids(&w.ledger.list(filter.clone()).await.unwrap());
    assert_eq!(listed, [all[1], all[0]]);
    assert_eq!(ids(&w.ledger.search(filter, 1_000).await.unwrap().deliveries), listed);
    let holders = w.ledger.holders().await.unwrap();
    assert_eq!(holders.len(), 2, "{holders:?}");
    w.check_counts().await;
}

/// The note of a claim has the first end of what it began with: who waits for that comes too early, and never too late.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_claim_is_looked_at_early_and_never_late() {
    let w = W::new().await;
    let began = w.now();
    w.push_to(Kind::Record, "a", 2).await;
    let claimed = w.claim(Kind::Record, "a", 2).await;
    w.advance(5);
    let longer = w.now() + LEASE;
    assert_eq!(w.ledger.renew(vec![held(&claimed[0])], LEASE).await.unwrap(), []);
    assert_eq!(w.ledger.next_due().await.unwrap(), Some(began + LEASE), "the other's");
    w.complete(&held(&claimed[1])).await.unwrap();
    assert_eq!(w.ledger.next_due().await.unwrap(), Some(began + LEASE), "as it was noted");
    // Once that is over, the look at it finds the truth.
    w.advance(56);
    assert!(w.ledger.rescue("test", Vec::new()).await.unwrap().is_empty());
    assert_eq!(w.ledger.next_due().await.unwrap(), Some(longer));
}
