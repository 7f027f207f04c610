//! What programs lock, and what they see of an earlier time: nobody waits for the one, and nothing is handed out twice by the other.

use crate::Postgres;
use crate::conformance::{Backend as _, LEASE, World, held};
use crate::lanes::{Lanes, in_flight};
use crate::plain_sql::refused;
use handover_core::{DeliveryId, Kind};

type W = World<Postgres>;

const OLD_VIEWS: [&str; 2] = ["REPEATABLE READ", "SERIALIZABLE"];

/// A transaction that looks at the lanes as they once were would hand out what was handed out since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_by_lanes_are_refused_to_who_sees_what_once_was() {
    for isolation in OLD_VIEWS {
        let w = World::<Lanes>::new().await;
        w.push_to(Kind::Record, "a", 2).await;
        let program = w.backend.0.foreign().await;
        let begin = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM lanes");
        program.batch_execute(&begin).await.unwrap();
        let claimed = w.claim(Kind::Record, "a", 9).await;
        for statement in [
            "SELECT pull('a', 9)",
            "SELECT _take_lane('a', 9, 'me', 'token', '1 minute')",
            "UPDATE data_staging SET status = 'failed'",
        ] {
            let (code, message) = refused(&program, statement).await;
            assert_eq!(code, "HO002", "{statement}: {message}");
            assert!(message.contains("READ COMMITTED"), "{message}");
            program.batch_execute(&begin).await.unwrap();
        }
        let land = format!("SELECT _land_one({})", claimed[0].id);
        assert_eq!(refused(&program, &land).await.0, "HO002");
        assert_eq!(in_flight(&w).await, 2);
        w.check_counts().await;
        for one in &claimed {
            w.complete(&held(one)).await.unwrap();
        }
        w.check_counts().await;
    }
}

/// Nor does it know that an app is claimed by lanes since it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_see_that_lanes_began_takes_nothing_of_them() {
    for isolation in OLD_VIEWS {
        let w = W::new().await;
        w.push_to(Kind::Record, "a", 2).await;
        let program = w.backend.foreign().await;
        let begin = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM lanes");
        program.batch_execute(&begin).await.unwrap();
        w.ledger.claim_by("test", vec!["a".into()], vec![]).await.unwrap();
        let claimed = w.claim(Kind::Record, "a", 9).await;
        assert_eq!(claimed.len(), 2);
        assert_eq!(refused(&program, "SELECT pull('a', 9)").await.0, "40001");
        program.batch_execute(&begin).await.unwrap();
        w.ledger.claim_by("test", vec!["b".into()], vec![]).await.unwrap();
        let (code, _) = refused(&program, "UPDATE data_staging SET status = 'processing'").await;
        assert_eq!(code, "40001");
        // An app that has no lanes is claimed as ever.
        w.push_to(Kind::Record, "usual", 1).await;
        program.batch_execute(&format!("{begin}; SELECT pull('usual'); COMMIT")).await.unwrap();
        assert_eq!(w.number("SELECT count(*) FROM _claimed").await, 1);
        w.check_counts().await;
    }
}

/// What ends or lengthens a claim by lanes locks it first: two who see the same end it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_is_ended_once_whatever_is_seen_of_it() {
    for isolation in OLD_VIEWS {
        for end in ["ack('{token}')", "fail('{token}')", "extend('{token}')", "ack('{token}', ARRAY[{id}])"] {
            let w = World::<Lanes>::new().await;
            let all = w.push_to(Kind::Record, "a", 3).await;
            let token = w.backend.rows("SELECT token FROM pull('a', 3)").await[0][0].clone();
            let program = w.backend.0.foreign().await;
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM lanes");
            program.batch_execute(&begin).await.unwrap();
            w.backend.sql(&format!("SELECT ack('{token}', ARRAY[{}])", all[0])).await.unwrap();
            let end = end.replace("{token}", &token).replace("{id}", &all[0].to_string());
            let end = format!("SELECT {end}");
            let (code, message) = refused(&program, &end).await;
            assert!(["40001", "HO001"].contains(&code.as_str()), "{end}: {code} {message}");
            assert_eq!(in_flight(&w).await, 2);
            w.check_counts().await;
            // One that began later ends it.
            program.batch_execute(&format!("{begin}; SELECT ack('{token}'); COMMIT")).await.unwrap();
            assert_eq!(w.number("SELECT count(*) FROM data_archive").await, 3);
            w.check_counts().await;
        }
    }
}

/// A program that has locked a record keeps nobody from lengthening the other claims; its own record is held still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_waits_for_nobody() {
    let w = W::new().await;
    for kind in [Kind::Record, Kind::File] {
        let table = if kind == Kind::Record { "data_staging" } else { "deliveries" };
        let all = w.push_to(kind, "a", 3).await;
        let first: Vec<_> = w.claim(kind, "a", 2).await.iter().map(held).collect();
        let second: Vec<_> = w.claim(kind, "a", 1).await.iter().map(held).collect();
        let program = w.backend.foreign().await;
        let touch = format!("BEGIN; UPDATE {table} SET priority = 1 WHERE id = {}", all[0]);
        program.batch_execute(&touch).await.unwrap();
        w.advance(50);
        let both = [first.clone(), second.clone()].concat();
        assert_eq!(w.ledger.renew(both.clone(), LEASE).await.unwrap(), []);
        for id in &all[1..] {
            assert_eq!(w.get(*id).await.lease_until, Some(w.now() + LEASE));
        }
        w.advance(20);
        assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty(), "it is locked");
        program.batch_execute("COMMIT").await.unwrap();
        if kind == Kind::Record {
            assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty(), "the claim's note says so");
        }
        assert_eq!(w.ledger.renew(both, LEASE).await.unwrap(), []);
        assert_eq!(w.get(all[0]).await.lease_until, Some(w.now() + LEASE));
        w.check_counts().await;
        // What has ended, however it is locked, is lost.
        w.complete(&first[0]).await.unwrap();
        program.batch_execute(&touch).await.unwrap();
        assert_eq!(w.ledger.renew(first.clone(), LEASE).await.unwrap(), [first[0].clone()]);
        program.batch_execute("ROLLBACK").await.unwrap();
        w.complete(&first[1]).await.unwrap();
        w.complete(&second[0]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_waits_for_no_lane() {
    let w = World::<Lanes>::new().await;
    w.push_to(Kind::Record, "a", 3).await;
    let first: Vec<_> = w.claim(Kind::Record, "a", 2).await.iter().map(held).collect();
    let second = w.claim(Kind::Record, "a", 1).await;
    let program = w.backend.0.foreign().await;
    let acks = format!("BEGIN; SELECT ack('{}', ARRAY[{}])", first[0].token.0, first[0].id);
    program.batch_execute(&acks).await.unwrap();
    w.advance(50);
    let both = [first.clone(), vec![held(&second[0])]].concat();
    assert_eq!(w.ledger.renew(both.clone(), LEASE).await.unwrap(), []);
    assert_eq!(w.get(second[0].id).await.lease_until, Some(w.now() + LEASE));
    program.batch_execute("COMMIT").await.unwrap();
    assert_eq!(w.ledger.renew(both, LEASE).await.unwrap(), [first[0].clone()]);
    assert_eq!(w.get(first[1].id).await.lease_until, Some(w.now() + LEASE));
    w.check_counts().await;
}

/// What a program has locked is taken back the next time, and keeps nothing else from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rescue_waits_for_no_record_of_a_lane() {
    let w = World::<Lanes>::new().await;
    let all = w.push_to(Kind::Record, "a", 3).await;
    let other = w.push_to(Kind::Record, "b", 1).await;
    let claimed = w.claim(Kind::Record, "a", 3).await;
    assert_eq!(w.claim(Kind::Record, "b", 1).await.len(), 1);
    let program = w.backend.0.foreign().await;
    program
        .batch_execute(&format!("BEGIN; UPDATE data_staging SET priority = 1 WHERE id = {}", all[1]))
        .await
        .unwrap();
    let rescue = async || {
        let mut back: Vec<DeliveryId> =
            w.ledger.rescue("test", vec![]).await.unwrap().iter().map(|one| one.id).collect();
        back.sort_unstable();
        back
    };
    w.advance(LEASE.as_secs() + 1);
    assert_eq!(rescue().await, [all[0], all[2], other[0]]);
    assert_eq!(rescue().await, []);
    assert_eq!(in_flight(&w).await, 1);
    program.batch_execute("COMMIT").await.unwrap();
    w.check_counts().await;
    assert_eq!(rescue().await, [all[1]]);
    assert_eq!(in_flight(&w).await, 0);
    // One whose claim another is ending, too; and a record that is there no more leaves its lane.
    let claimed = [w.claim(Kind::Record, "a", 3).await, claimed].concat();
    let (token, id) = (held(&claimed[0]).token.0, claimed[0].id);
    w.backend.rows(&format!("SELECT _land('{token}', ARRAY[{id}])")).await;
    program.batch_execute(&format!("BEGIN; SELECT ack('{token}', ARRAY[{id}])")).await.unwrap();
    w.advance(LEASE.as_secs() + 1);
    assert_eq!(rescue().await, []);
    program.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(rescue().await, all);
    w.check_counts().await;
    let gone = w.claim(Kind::Record, "a", 1).await;
    w.backend.rows(&format!("DELETE FROM data_staging_live WHERE id = {}", gone[0].id)).await;
    w.advance(LEASE.as_secs() + 1);
    assert_eq!(rescue().await, []);
    assert_eq!(in_flight(&w).await, 0);
}
