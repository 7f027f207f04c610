//! What plain SQL and the schema's functions are refused on a server.

use crate::Postgres;
use crate::conformance::{Backend as _, LEASE, World, ask, held, ids, new};
use crate::lanes::Lanes;
use handover_core::{Kind, NewDelivery, Status};
use handover_ledger::Filter;
use jiff::Timestamp;
use tokio_postgres::Client;

type W = World<Postgres>;

/// The code and the text of the error of these statements, whatever they stand in; fails where there is none, or it says nothing to do.
pub(crate) async fn refused(client: &Client, text: &str) -> (String, String) {
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

const COLUMNS: [&str; 6] =
    ["created_at", "run_at", "lease_until", "processed_at", "updated_at", "deleted_at"];
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
        let other = format!("UPDATE {} SET trace = 'x' WHERE id = {}", table.replace("_live", ""), all[0]);
        assert_eq!(w.backend.sql(&other).await, Ok(1), "what leaves its times alone may change it");
        let claimed = w.claim(kind, "a", 9).await;
        assert_eq!(ids(&claimed), all, "{time}");
        let nearest = if early {
            claimed[0].created_at < Timestamp::UNIX_EPOCH
        } else {
            claimed[0].created_at == Timestamp::MAX
        };
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
    assert!(
        error.hint_text().is_some_and(|hint| hint.contains("sequence of numbers is behind")),
        "{error:?}"
    );
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
        let insert =
            format!("INSERT INTO data_staging (source_app, data, {columns}) VALUES ('s', '1', {values})");
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
    let again =
        "INSERT INTO data_staging (source_app, target_app, data, dedup_key) VALUES ('s', 'a', '1', 'k')";
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
    let id =
        ledger.push("test", vec![NewDelivery { data: job.into(), ..new(Kind::Job, "a") }]).await.unwrap()[0]
            .id();
    let claimed = ledger.claim(ask(Kind::Job, "a", 1, "1-worker")).await.unwrap();
    ledger.complete(crate::conformance::completion(&held(&claimed[0]), vec![])).await.unwrap();
    let told = ledger.list(Filter { parent: Some(id), limit: 9, ..Filter::default() }).await.unwrap();
    assert_eq!(told.len(), 1, "its webhook is told");
    let months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'integration.data_archive'::regclass";
    assert!(w.number(months).await >= 1);
}
