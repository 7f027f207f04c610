//! Claims and answers go by the indexes that are made for them, whatever the statistics say: those of a queue are always of
//! another hour.

use crate::conformance::ask;
use handover_core::{Kind, NewDelivery, Status};
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{Answer, Answers, Filter, Jobs as _, Ledger, Outcome};
use handover_testkit::TemporaryPostgres;
use serde_json::json;

const RECORDS: usize = 6_000;
const CLAIM: usize = 100;

/// How many entries of this index have been read.
async fn read(client: &tokio_postgres::Client, index: &str) -> i64 {
    let query =
        "SELECT idx_tup_read FROM pg_stat_all_indexes WHERE schemaname = 'integration' AND indexrelname = $1";
    client.query_one(query, &[&index]).await.unwrap().get(0)
}

/// How many records have been read, in whatever way.
async fn records_read(client: &tokio_postgres::Client) -> i64 {
    let query = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_all_tables \
                 WHERE schemaname = 'integration' AND relname = 'data_staging_live'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

fn record() -> NewDelivery {
    NewDelivery::new(Kind::Record, "source", Some("app".into()), json!({"n": 1}))
}

/// Hands over all of the records.
async fn fill(ledger: &PostgresLedger) {
    for _ in 0..RECORDS / 1_000 {
        ledger.push("test", vec![record(); 1_000]).await.unwrap();
    }
}

/// Takes and completes records until so many are done.
async fn work(ledger: &PostgresLedger, claims: usize) {
    for _ in 0..claims {
        let claimed = ledger.claim(ask(Kind::Record, "app", CLAIM, "1-w")).await.unwrap();
        assert_eq!(claimed.len(), CLAIM);
        let token = claimed[0].lease_token.clone().unwrap();
        let done = |id| Answer { id, outcome: Outcome::Completed { result: None, next: vec![] } };
        let answers = claimed.iter().map(|delivery| done(delivery.id)).collect();
        ledger.answer(Answers { queue: Kind::Record.into(), token, answers, whole: true }).await.unwrap();
    }
}

/// Statistics of a full queue make the primary key look like the claim's order. Going by it would read what was taken before over
/// and over: here 100 times as much.
#[tokio::test]
async fn statistics_of_another_hour_mislead_nobody() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    fill(&ledger).await;
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("VACUUM ANALYZE integration.data_staging_live").await.unwrap();
    work(&ledger, RECORDS / CLAIM).await;
    drop(ledger);
    let by_number = settled(0, async || read(&client, "data_staging_live_pkey").await).await;
    assert!(
        by_number <= 4 * RECORDS as i64,
        "{by_number} entries of the primary key were read for {RECORDS} records"
    );
}

/// Looking for lost work, for who works and for what is being worked on reads that, and not all that was ever completed.
#[tokio::test]
async fn what_is_processing_is_found_among_many_that_were_completed() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    fill(&ledger).await;
    work(&ledger, RECORDS / CLAIM).await;
    ledger.push("test", vec![record(); 3]).await.unwrap();
    let claimed = ledger.claim(ask(Kind::Record, "app", 3, "1-w")).await.unwrap();
    let token = claimed[0].lease_token.clone().unwrap();
    server.sql("VACUUM ANALYZE integration.data_staging_live");
    drop(ledger);
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let figure = async || records_read(&client).await;
    let before = settled(0, figure).await;
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let filter = Filter { status: Some(Status::Processing), limit: 10, ..Filter::default() };
    assert_eq!(ledger.list(filter.clone()).await.unwrap().len(), 3);
    assert_eq!(ledger.search(filter, 1_000).await.unwrap().deliveries.len(), 3);
    assert_eq!(ledger.holders().await.unwrap().len(), 1);
    assert_eq!(ledger.held_by(&token).await.unwrap().len(), 3);
    assert!(ledger.next_due().await.unwrap().is_some());
    assert!(ledger.rescue("test", vec![]).await.unwrap().is_empty());
    assert_eq!(server.sql("SELECT count(*) FROM integration.v_stuck"), "0");
    assert_eq!(ledger.rescue("test", vec![claimed[0].leased_by.clone().unwrap()]).await.unwrap().len(), 3);
    drop(ledger);
    let read = settled(before, figure).await - before;
    assert!(read < 200, "{read} records were read to find three");
}

/// Where a tenth of all is being worked on, who works and whether anything is lost is known without reading that tenth, or all.
#[tokio::test]
async fn who_works_is_found_among_many_that_are_worked_on() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    fill(&ledger).await;
    work(&ledger, RECORDS * 9 / 10 / CLAIM).await;
    for _ in 0..RECORDS / 10 / CLAIM {
        assert_eq!(ledger.claim(ask(Kind::Record, "app", CLAIM, "1-w")).await.unwrap().len(), CLAIM);
    }
    server.sql("VACUUM ANALYZE integration.data_staging_live");
    drop(ledger);
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let figure = async || records_read(&client).await;
    let before = settled(0, figure).await;
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    for _ in 0..3 {
        assert_eq!(ledger.holders().await.unwrap().len(), 1);
        assert!(ledger.rescue("test", vec![]).await.unwrap().is_empty());
        assert!(ledger.next_due().await.unwrap().is_some());
    }
    drop(ledger);
    let read = settled(before, figure).await - before;
    assert!(read < 200, "{read} records were read");
}

/// A single record is found without reading the entries of what was worked on before it, which stay for as long as any transaction
/// does that is older: here one that is open all the time. But for a look at everything every second.
#[tokio::test]
async fn one_record_is_found_behind_many_that_were_worked_on() {
    const SINGLES: i64 = 20;
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let (old, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM integration.data_staging")
        .await
        .unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    fill(&ledger).await;
    work(&ledger, RECORDS / CLAIM).await;
    drop(ledger);
    let figure = async || read(&client, "data_staging_live_target_app_priority_expr_run_at_idx").await;
    let before = settled(0, figure).await;
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    for _ in 0..SINGLES {
        ledger.push("test", vec![record()]).await.unwrap();
        let claimed = ledger.claim(ask(Kind::Record, "app", 1, "1-w")).await.unwrap();
        assert_eq!(claimed.len(), 1);
    }
    drop(ledger);
    let entries = settled(before, figure).await - before;
    assert!(entries >= RECORDS as i64, "{entries} entries were read: those of what was worked on are gone");
    assert!(entries < SINGLES / 2 * RECORDS as i64, "{entries} entries were read for {SINGLES} records");
}

/// While nothing has waited for a minute, what is young is not all read at each claim: with two priorities, each claim looks for
/// what has waited longest.
#[tokio::test]
async fn the_young_are_not_all_looked_at_for_their_age() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let young = "INSERT INTO integration.data_staging (source_app, target_app, data, priority) \
                SELECT 's', 'app', '1', n % 2 FROM generate_series(1, 60000) AS n";
    server.sql(young);
    let blocks = "SELECT coalesce(sum(idx_blks_hit + idx_blks_read), 0)::bigint FROM pg_statio_all_indexes \
                  WHERE schemaname = 'integration' AND indexrelname ~ '^data_staging_live_target_app_priority'";
    let figure = async || client.query_one(blocks, &[]).await.unwrap().get(0);
    let before = settled(0, figure).await;
    for _ in 0..10 {
        assert_eq!(ledger.claim(ask(Kind::Record, "app", 16, "1-w")).await.unwrap().len(), 16);
    }
    drop(ledger);
    let read = settled(before, figure).await - before;
    assert!(read < 1_000, "{read} blocks of the claim's index were read for 10 claims");
}

/// A page of one caller's jobs, and of all jobs, reads little more than the page; so does the count of those that have not ended.
/// Among other jobs, files and ended ones, and with the statistics of before there were any.
#[tokio::test]
async fn a_page_of_jobs_reads_the_page() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for caller in ["ann", "bob"] {
        let rows = format!(
            "INSERT INTO integration.deliveries_live (source_app, target_app, data, kind, status, created_by, processed_at) \
             SELECT 's', 'app', '{{}}', CASE n % 10 WHEN 0 THEN 'job' ELSE 'file' END, 'completed', '{caller}', now() \
             FROM generate_series(1, 20000) AS n"
        );
        client.batch_execute(&rows).await.unwrap();
    }
    for analyzed in [false, true] {
        if analyzed {
            client.batch_execute("VACUUM ANALYZE integration.deliveries_live").await.unwrap();
        }
        let jobs = || Filter { kind: Some(Kind::Job), limit: 50, archived: true, ..Filter::default() };
        let by = Filter { by: Some("ann".into()), ..jobs() };
        // More often than the server plans a statement for its values.
        for _ in 0..8 {
            assert_eq!(ledger.list(by.clone()).await.unwrap().len(), 50);
            assert_eq!(ledger.list(jobs()).await.unwrap().len(), 50);
            let page = ledger.list(by.clone()).await.unwrap();
            let next = Filter { before: page.last().map(|job| job.id), ..by.clone() };
            assert_eq!(ledger.list(next).await.unwrap().len(), 50);
            let mut job = crate::conformance::jobs::job("app", "ann");
            (job.caller_max, job.queue_max) = (Some(100), Some(100));
            ledger.submit(vec![job]).await.unwrap();
        }
    }
    // A connection's figures are there for others when it is gone.
    drop(ledger);
    let figure = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_all_indexes WHERE indexrelname = 'deliveries_live_created_by_expr_idx'";
    settled(0, async || client.query_one(figure, &[]).await.unwrap().get(0)).await;
    let all = "SELECT sum(idx_tup_read)::bigint, (SELECT sum(seq_tup_read)::bigint FROM pg_stat_all_tables \
               WHERE schemaname = 'integration' AND relname LIKE 'deliveries_live') \
               FROM pg_stat_all_indexes WHERE schemaname = 'integration' AND relname = 'deliveries_live'";
    let row = client.query_one(all, &[]).await.unwrap();
    let (by_index, scanned): (i64, i64) = (row.get(0), row.get(1));
    // 16 rounds of four pages of 50, and the counts of up to 16 jobs.
    assert!(by_index < 16 * 4 * 50 * 2, "{by_index} entries of indexes were read");
    assert_eq!(scanned, 0, "rows were read without an index");
}

/// What failed is looked for among what failed alone, of all apps and of one, however much came since; whether or not the server has
/// looked at the tables since.
#[tokio::test]
async fn what_failed_is_searched_by_its_own_index() {
    const LOOK: usize = 500;
    const PAGE: usize = 50;
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let fill = async |status: &str, app: &str| {
        for table in ["deliveries_live", "data_staging_live"] {
            let rows = format!(
                "INSERT INTO integration.{table} (source_app, target_app, data, status, processed_at) \
                 SELECT 's', '{app}', '{{}}', '{status}', now() FROM generate_series(1, 5000) AS n"
            );
            client.batch_execute(&rows).await.unwrap();
        }
    };
    let analyze = "VACUUM ANALYZE integration.deliveries_live, integration.data_staging_live";
    fill("failed", "old").await;
    fill("failed", "new").await;
    let mut searches = 0;
    for analyzed in [analyze, "", analyze, ""] {
        fill("completed", "old").await;
        client.batch_execute(analyzed).await.unwrap();
        let failed = || Filter { statuses: vec![Status::Failed], limit: PAGE, ..Filter::default() };
        // More often than the server plans a statement for its values.
        for _ in 0..8 {
            for filter in [failed(), Filter { app: Some("old".into()), ..failed() }] {
                let page = ledger.search(filter.clone(), LOOK).await.unwrap();
                let next = Filter { before: page.below, ..filter };
                let next = ledger.search(next, LOOK).await.unwrap();
                assert_eq!((page.deliveries.len(), next.deliveries.len()), (PAGE, PAGE));
                searches += 2;
            }
        }
    }
    // A connection's figures are there for others when it is gone.
    drop(ledger);
    let figure = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_all_indexes WHERE schemaname = 'integration' \
                  AND relname IN ('deliveries_live', 'data_staging_live')";
    let by_index = settled(0, async || client.query_one(figure, &[]).await.unwrap().get(0)).await;
    let scanned = "SELECT sum(seq_tup_read)::bigint FROM pg_stat_all_tables WHERE schemaname = 'integration' \
                   AND relname IN ('deliveries_live', 'data_staging_live')";
    let scanned: i64 = client.query_one(scanned, &[]).await.unwrap().get(0);
    // Of each table as many as may be looked at, and a page.
    let most = searches * 2 * (LOOK + 4 * PAGE);
    assert!(
        by_index <= i64::try_from(most).unwrap(),
        "{by_index} entries of indexes for {searches} searches"
    );
    assert_eq!(scanned, 0, "rows were read without an index");
}

/// The figure once it is above this, and does not change any more: a connection's figures are there for others when it is gone.
async fn settled(above: i64, figure: impl AsyncFn() -> i64) -> i64 {
    let mut last = -1;
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = figure().await;
        if now > above && now == last {
            return now;
        }
        last = now;
    }
    last
}
