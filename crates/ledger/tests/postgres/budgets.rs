//! Limits that processes share: never more is given than there is, what was spent ahead is paid back, what is given back is there
//! again, and who shares them is counted.

use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{Budgets as _, Lease, LeaseAsk, Ledger as _};
use handover_testkit::TemporaryPostgres;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

fn ask(key: &str, owed: i32, wanted: u32) -> LeaseAsk {
    // Ten at once, and another in an hour: none comes while this runs.
    LeaseAsk { key: key.into(), each: HOUR, most: 10, owed, wanted }
}

async fn one(ledger: &PostgresLedger, ask: LeaseAsk) -> (u32, u32) {
    let Lease { taken, remaining, .. } = ledger.lease(vec![ask]).await.unwrap()[0];
    (taken, remaining)
}

#[tokio::test]
async fn a_limit_is_one_for_all_who_share_it() {
    let server = TemporaryPostgres::new();
    let open = || PostgresLedger::open(&server.url(), true).unwrap();
    let (a, b) = (open(), open());
    assert!(a.budgets().is_some());
    assert_eq!(one(&a, ask("k", 0, 4)).await, (4, 6));
    assert_eq!(one(&b, ask("k", 0, 4)).await, (4, 2));
    assert_eq!(one(&a, ask("k", 0, 4)).await, (2, 0), "as many as there are");
    assert_eq!(one(&b, ask("other", 0, 4)).await, (4, 6), "another limit");
    assert_eq!(one(&b, ask("k", -3, 0)).await, (0, 3), "what was given back is there again");
    assert_eq!(one(&a, ask("k", 5, 9)).await, (0, 0), "two more were spent than there are");
    assert_eq!(one(&a, ask("k", -3, 9)).await, (1, 0), "which is paid back first");
    assert_eq!(one(&a, ask("k", -1_000, 0)).await, (0, 10), "no more than all comes back");
}

#[tokio::test]
async fn many_limits_are_one_question_and_time_fills_them() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let keys = ["z", "a", "m"];
    let asks = keys.iter().enumerate().map(|(n, key)| ask(key, 0, n as u32 + 1)).collect();
    let taken: Vec<u32> = ledger.lease(asks).await.unwrap().iter().map(|lease| lease.taken).collect();
    assert_eq!(taken, [1, 2, 3], "in the order of what was asked");
    let fast = |wanted| LeaseAsk { each: Duration::from_millis(1), ..ask("fast", 0, wanted) };
    assert_eq!(one(&ledger, fast(10)).await.0, 10);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(one(&ledger, fast(10)).await.0, 10, "they came again, and no more than there may be at once");
    let again = ledger.lease(vec![ask("z", 0, 20)]).await.unwrap()[0];
    assert!(again.taken == 9 && again.again > HOUR / 2 && again.again <= HOUR, "{again:?}");
}

#[tokio::test]
async fn who_shares_is_counted() {
    let server = TemporaryPostgres::new();
    let ledger = PostgresLedger::open(&server.url(), true).unwrap();
    let counts = [ledger.share("a").await, ledger.share("b").await, ledger.share("a").await];
    assert_eq!(counts.map(Result::unwrap), [1, 2, 2]);
    // Those that were not heard of are forgotten, and with them limits that are full.
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let past = "UPDATE integration.rate_nodes SET seen_at = now() - interval '1 hour' WHERE node = 'b'; \
                INSERT INTO integration.rate_budgets VALUES ('old', 1)";
    client.batch_execute(past).await.unwrap();
    assert_eq!(ledger.share("a").await.unwrap(), 1);
    let left = "SELECT (SELECT count(*) FROM integration.rate_nodes) + (SELECT count(*) FROM integration.rate_budgets)";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 1);
}
