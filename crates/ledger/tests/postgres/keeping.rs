//! The archive's months, and what keeps vacuum from its work: what only a server has.

use crate::Postgres;
use crate::conformance::{Backend as _, World};
use handover_core::{ErrorKind, Kind, NewDelivery, Status};
use handover_ledger::health::OpenHolder;
use std::time::Duration;

const MONTH: u64 = 31 * 86_400;

/// A month goes as a whole, its table with it, and those that follow are made.
#[tokio::test(flavor = "multi_thread")]
async fn whole_months_are_dropped_and_made() {
    let w = World::<Postgres>::new().await;
    w.in_status(Kind::Record, "a", Status::Archived).await;
    let parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'integration.data_archive'::regclass";
    let before = w.number(parts).await;
    w.advance(3 * MONTH);
    let made = w.ledger.prepare_archive().await.unwrap();
    assert!(!made.is_empty() && made.iter().all(|part| part.starts_with("data_archive_2")), "{made:?}");
    w.in_status(Kind::Record, "a", Status::Archived).await;
    assert_eq!(w.number("SELECT count(*) FROM data_archive_rest").await, 0);
    let old = w.now() - Duration::from_secs(MONTH);
    let gone = w.ledger.forget(old, old, 1000).await.unwrap();
    assert_eq!((gone.deliveries, gone.more), (1, true));
    while w.ledger.forget(old, old, 1000).await.unwrap().more {}
    assert_eq!(w.number("SELECT count(*) FROM data_archive").await, 1);
    assert!(w.number(parts).await < before + i64::try_from(made.len()).unwrap());
}

/// Who reads the archive keeps it; who hands over, claims and completes meanwhile goes on, and a later time will do.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_archive_is_not_waited_for() {
    let w = World::<Postgres>::new().await;
    w.in_status(Kind::Record, "a", Status::Archived).await;
    let reader = w.backend.foreign().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM data_archive").await.unwrap();
    let later = w.now() + Duration::from_secs(3 * MONTH);
    let old = w.now() - Duration::from_secs(MONTH);
    let (dropping, working) = tokio::join!(w.ledger.forget(later, old, 10), async {
        for n in 0..50 {
            let keyed = NewDelivery {
                dedup_key: Some(format!("k{n}")),
                ..crate::conformance::new(Kind::Record, "b")
            };
            w.push(keyed).await;
            let claimed = w.claim(Kind::Record, "b", 1).await;
            w.complete(&crate::conformance::held(&claimed[0])).await.unwrap();
        }
    });
    let () = working;
    assert_eq!(dropping.unwrap_err().kind(), ErrorKind::NotYet);
    assert_eq!(w.number("SELECT count(*) FROM data_archive").await, 1);
    reader.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(w.ledger.forget(later, old, 10).await.unwrap().deliveries, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_and_a_table_without_autovacuum_are_seen() {
    let w = World::<Postgres>::new().await;
    let forgetful = w.backend.foreign().await;
    forgetful
        .batch_execute("SET application_name = 'forgetful'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .unwrap();
    w.backend.sql("ALTER TABLE integration.audit_log SET (autovacuum_enabled = off)").await.unwrap();
    let health = w.ledger.health().await.unwrap();
    let open = health.open.iter().find(|open| {
        matches!(&open.holder, OpenHolder::Session { application, pid, .. } if application == "forgetful" && *pid > 0)
    });
    let open = open.unwrap_or_else(|| panic!("{:?}", health.open));
    assert!(open.seconds.is_some() && open.transactions.is_some(), "{open:?}");
    let off: Vec<&str> =
        health.tables.iter().filter(|table| !table.autovacuum).map(|table| table.table.as_str()).collect();
    assert_eq!(off, ["audit_log"]);
}

/// Keys are nobody's but the ledger's: of APIs, and of jobs asked for. Nor may anybody call Handover's own functions.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_granted_to_nobody() {
    let w = World::<Postgres>::new().await;
    let client = w.backend.foreign().await;
    // Roles are the server's: what makes them is rolled back.
    let grants = "BEGIN; CREATE ROLE kept_reader; CREATE ROLE kept_producer; CREATE ROLE kept_consumer; \
         SELECT integration.grant_reader('kept_reader'), integration.grant_producer('kept_producer'), \
         integration.grant_consumer('kept_consumer')";
    client.batch_execute(grants).await.unwrap();
    let readers = |table: &str| {
        format!(
            "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'kept_%' AND \
             has_any_column_privilege(rolname, 'integration.{table}', 'SELECT, INSERT, UPDATE, REFERENCES')"
        )
    };
    for (table, roles) in
        [("api_keys", 0), ("secrets", 0), ("idempotency_keys", 0), ("progress", 1), ("cancellations", 1)]
    {
        let found: i64 = client.query_one(&readers(table), &[]).await.unwrap().get(0);
        assert_eq!(found, roles, "{table}");
    }
    let callable = "SELECT string_agg(DISTINCT proname, ' ') FROM pg_proc, pg_roles WHERE rolname LIKE 'kept_%' \
         AND pronamespace = 'integration'::regnamespace AND proname LIKE '\\_%' AND has_function_privilege(rolname, pg_proc.oid, 'EXECUTE')";
    let callable: String = client.query_one(callable, &[]).await.unwrap().get(0);
    assert_eq!(callable, "_path");
    client.batch_execute("ROLLBACK").await.unwrap();
}
