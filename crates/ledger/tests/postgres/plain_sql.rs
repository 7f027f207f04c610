//! What plain SQL and the schema's functions are refused on a server, and what is done where they hold a lock.

use crate::Postgres;
use crate::conformance::{Backend as _, LEASE, World, ask, held, ids, new};
use crate::lanes::{Lanes, in_flight};
use handover_core::{DeliveryId, Kind, NewDelivery, Status};
use handover_ledger::Filter;
use jiff::Timestamp;
use tokio_postgres::Client;

type W = World<Postgres>;

/// The code and the text of the error of these statements, whatever they stand in; fails where there is none, or it says nothing to do.
async fn refused(client: &Client, text: &str) -> (String, String) {
    let error = client.batch_execute(text).await.expect_err(text);
    let said = error.as_db_error().unwrap();
    let code = said.code().code().to_owned();
    assert!(code == "40001" || said.hint().is_some(), "{text}: {said:?}");
    let _ = client.batch_execute("ROLLBACK").await;
    (code, said.message().to_owned())
}

/// Everything that a refused statement might have changed.
async fn everything(w: &W) -> Vec<Vec<String>> {
    w.backend
        .rows(
            "SELECT 'row', d::text FROM v_deliveries AS d UNION ALL SELECT 'audit', a::text FROM audit_log AS a \
             UNION ALL SELECT 'tally', t::text FROM tally AS t UNION ALL SELECT 'claim', c::text FROM claims AS c ORDER BY 1, 2",
        )
        .await
}

const COLUMNS: [&str; 6] = ["created_at", "run_at", "lease_until", "processed_at", "updated_at", "deleted_at"];
const NO_TIMES: [&str; 5] =
    ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01 00:00:00+00", "294276-12-31 00:00:00+00"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_not_every_program_can_read_are_refused() {
    let w = W::new().await;
    w.push_to(Kind::Record, "a", 2).await;
    w.push_to(Kind::File, "a", 1).await;
    let token = w.backend.rows("SELECT token FROM pull('a')").await[0][0].clone();
    let client = w.backend.foreign().await;
    let before = everything(&w).await;
    for time in NO_TIMES {
        let mut tried: Vec<String> = vec![
            format!("SELECT push('s', 'a', '1', run_at => '{time}')"),
            format!("SELECT push_many('s', 'a', '[1, 2]', run_at => '{time}')"),
        ];
        for column in COLUMNS {
            tried.push(format!(
                "INSERT INTO data_staging (source_app, target_app, data, {column}) VALUES ('s', 'a', '1', '{time}')"
            ));
            tried.push(format!("UPDATE data_staging SET {column} = '{time}'"));
            tried.push(format!("UPDATE deliveries SET {column} = '{time}'"));
        }
        for statement in tried {
            let (code, message) = refused(&client, &statement).await;
            assert_eq!(code, "22008", "{statement}: {message}");
            assert!(message.contains("neither infinite nor outside"), "{statement}: {message}");
        }
    }
    for (statement, expected) in [
        ("SELECT pull('a', 1, '366 days')", "22023"),
        ("SELECT pull('a', 1, '178000000 years')", "22023"),
        ("SELECT pull('a', 100001)", "22023"),
        ("SELECT pull('a', 9223372036854775807)", "22023"),
        ("SELECT pull('a', 0)", "HO004"),
        ("SELECT pull('a', 1, '0')", "HO004"),
        ("SELECT extend('{token}', '366 days')", "22023"),
        ("SELECT extend('{token}', '178000000 years')", "22023"),
        ("SELECT extend('{token}', NULL)", "HO004"),
        ("SELECT fail('{token}', delay => '178000000 years')", "22008"),
        ("SELECT fail('{token}', delay => '-178000000 years')", "22008"),
    ] {
        let statement = statement.replace("{token}", &token);
        assert_eq!(refused(&client, &statement).await.0, expected, "{statement}");
    }
    assert_eq!(everything(&w).await, before);
    // The last of what can be written, and what has no end, are read.
    client.batch_execute("UPDATE data_staging SET processed_at = '9999-12-31 23:59:59+00'").await.unwrap();
    assert_eq!(w.ledger.list(Filter { limit: 9, ..Filter::default() }).await.unwrap().len(), 3);
    w.check_counts().await;
}

/// Whoever owns the tables may write what he likes into their parts: nothing of that stops an app, or a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_beyond_ours_are_read_as_the_nearest() {
    for kind in [Kind::Record, Kind::File] {
        let w = W::new().await;
        let table = if kind == Kind::Record { "data_staging_live" } else { "deliveries_live" };
        beyond(&w, kind, table).await;
    }
    let w = World::<Lanes>::new().await;
    beyond(&w, Kind::Record, "data_staging_live").await;
}

async fn beyond<B: crate::conformance::Backend>(w: &World<B>, kind: Kind, table: &str) {
    for time in NO_TIMES {
        let all = w.push_to(kind, "a", 2).await;
        let early = time.starts_with('-') || time.ends_with("BC");
        let run_at = if early { format!("'{time}'") } else { "run_at".into() };
        let write = format!(
            "UPDATE {table} SET created_at = '{time}', updated_at = '{time}', processed_at = '{time}', run_at = {run_at} WHERE id = {}",
            all[0]
        );
        w.backend.sql(&write).await.unwrap();
        let claimed = w.claim(kind, "a", 9).await;
        assert_eq!(ids(&claimed), all, "{time}");
        let nearest = if early { claimed[0].created_at < Timestamp::UNIX_EPOCH } else { claimed[0].created_at == Timestamp::MAX };
        assert!(nearest, "{time}: {}", claimed[0].created_at);
        w.ledger.oldest_pending("a").await.unwrap();
        w.ledger.next_due().await.unwrap();
        assert!(w.ledger.get(all[0]).await.unwrap().is_some());
        w.ledger.list(Filter { limit: 99, ..Filter::default() }).await.unwrap();
        for one in &claimed {
            w.complete(&held(one)).await.unwrap();
        }
        assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    }
    w.check_counts().await;
}

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

/// A sequence that was set back is said, and nothing is lost; who opens the ledger sets it right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_is_behind_is_said_and_set_right() {
    let w = W::new().await;
    let all = w.push_to(Kind::Record, "a", 4).await;
    let client = w.backend.foreign().await;
    for statement in [
        "SELECT push('s', 'a', '1')",
        "SELECT push_many('s', 'a', '[1, 2, 3, 4, 5, 6]')",
        "SELECT push('s', 'a', '1', dedup_key => 'k')",
    ] {
        client.batch_execute("SELECT setval('delivery_ids', 1)").await.unwrap();
        let before = everything(&w).await;
        let error = client.batch_execute(statement).await.unwrap_err();
        let said = error.as_db_error().unwrap();
        assert_eq!(said.code().code(), "55000", "{said:?}");
        assert!(said.message().contains("sequence of numbers is behind its records"), "{said:?}");
        assert_eq!(everything(&w).await, before);
        // What the hint says sets it right.
        let hint = said.hint().unwrap();
        let right = &hint[hint.find("SELECT setval").unwrap()..];
        client.batch_execute(right).await.unwrap();
        client.batch_execute(statement).await.unwrap();
        w.check_counts().await;
    }
    client.batch_execute("SELECT setval('delivery_ids', 1)").await.unwrap();
    let error = w.ledger.push("test", vec![new(Kind::Record, "a"); 200]).await.unwrap_err();
    assert!(error.hint_text().is_some_and(|hint| hint.contains("sequence of numbers is behind")), "{error:?}");
    // Numbers that the archive alone has are not given again either.
    let last = *w.push_to(Kind::File, "a", 300).await.last().unwrap();
    w.ledger.cancel("test", last).await.unwrap();
    assert_eq!(w.ledger.archive("test", vec![last]).await.unwrap(), 1);
    client.batch_execute(&format!("SELECT setval('delivery_ids', {})", all[0])).await.unwrap();
    let opened = w.backend.open().await;
    let next = opened.push("test", vec![new(Kind::Record, "a")]).await.unwrap()[0].id();
    assert_eq!(next.0, last.0 + 1);
    w.check_counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_that_cannot_be_are_refused() {
    let w = W::new().await;
    let client = w.backend.foreign().await;
    let before = everything(&w).await;
    for more in [
        "'s', 'a', '{}', max_attempts => 0",
        "'s', 'a', '{}', max_attempts => -1",
        "'s', 'a', '{}', max_attempts => 4294967296",
        "'', 'a', '{}'",
        "'s', '', '{}'",
    ] {
        assert_eq!(refused(&client, &format!("SELECT push({more})")).await.0, "23514", "{more}");
        let many = more.replace("{}", "[1, 2]");
        assert_eq!(refused(&client, &format!("SELECT push_many({many})")).await.0, "23514", "{many}");
    }
    for (columns, values) in [
        ("id", "0"),
        ("id", "-1"),
        ("id", "4611686018427387904"),
        ("id", "9223372036854775807"),
        ("target_app", "''"),
    ] {
        let insert = format!("INSERT INTO data_staging (source_app, data, {columns}) VALUES ('s', '1', {values})");
        assert_eq!(refused(&client, &insert).await.0, "23514", "{insert}");
    }
    assert_eq!(everything(&w).await, before);
    client
        .batch_execute("SELECT push('s', 'a', '1', max_attempts => 4294967295), push('s', NULL, '1', max_attempts => NULL)")
        .await
        .unwrap();
    // To try again is the usual, also where nobody says so.
    let token = w.backend.rows("SELECT token FROM pull('a', 1)").await[0][0].clone();
    let failed = w.backend.rows(&format!("SELECT status FROM fail('{token}', retry => NULL)")).await;
    assert_eq!(failed, [["pending"]]);
    let id = w.push(NewDelivery { dedup_key: Some("k".into()), ..new(Kind::Record, "a") }).await;
    w.ledger.cancel("test", id).await.unwrap();
    w.ledger.archive("test", vec![id]).await.unwrap();
    let again = "INSERT INTO data_staging (source_app, target_app, data, dedup_key) VALUES ('s', 'a', '1', 'k')";
    assert_eq!(refused(&client, again).await.0, "23505");
    w.check_counts().await;
}

/// A lease that plain SQL takes away would be nobody's to take back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_without_an_end_is_an_hour_and_the_claim_says_so() {
    let w = W::new().await;
    w.push_to(Kind::Record, "a", 1).await;
    let long = handover_ledger::Claim { lease: LEASE * 600, ..ask(Kind::Record, "a", 1, "1-worker") };
    let claimed = w.ledger.claim(long).await.unwrap();
    w.backend.sql("UPDATE data_staging SET lease_until = NULL").await.unwrap();
    w.check_counts().await;
    assert_eq!(w.number("SELECT count(*) FROM claims WHERE lease_until = 'infinity'").await, 0);
    w.advance(3_500);
    assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
    w.advance(200);
    assert_eq!(w.ledger.rescue("test", vec![]).await.unwrap()[0].id, claimed[0].id);
    assert_eq!(w.status(claimed[0].id).await, Status::Pending);
    w.check_counts().await;
}

/// Whatever the database thinks of backslashes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backslashes_are_read_as_they_are_meant() {
    let w = W::new().await;
    let client = w.backend.foreign().await;
    client
        .batch_execute(
            "DROP SCHEMA integration CASCADE; \
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET standard_conforming_strings = off', current_database()); END $$",
        )
        .await
        .unwrap();
    let ledger = w.backend.open().await;
    let job = serde_json::json!({"webhook": "https://a/b", "text": "\\u0000 \u{1}"});
    let id = ledger.push("test", vec![NewDelivery { data: job, ..new(Kind::Job, "a") }]).await.unwrap()[0].id();
    let claimed = ledger.claim(ask(Kind::Job, "a", 1, "1-worker")).await.unwrap();
    ledger.complete(crate::conformance::completion(&held(&claimed[0]), vec![])).await.unwrap();
    let told = ledger.list(Filter { parent: Some(id), limit: 9, ..Filter::default() }).await.unwrap();
    assert_eq!(told.len(), 1, "its webhook is told");
    let months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'integration.data_archive'::regclass";
    assert!(w.number(months).await >= 1);
}
