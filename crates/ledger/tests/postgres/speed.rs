//! How fast it is, by hand: `cargo nextest run --release -p handover-ledger --run-ignored only speed --no-capture`.
//! `HANDOVER_TEST_POSTGRES_URL` should name a server that syncs as in production; the tests' own does not.

use crate::conformance::ask;
use handover_core::{Kind, NewDelivery};
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{Answer, Answers, Ledger, Outcome};
use handover_testkit::TemporaryPostgres;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

const RECORDS: usize = 200_000;
const PUSH: usize = 1_000;
const CLAIM: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed() {
    let server = TemporaryPostgres::new();
    let ledger = Arc::new(PostgresLedger::open(&server.url(), true).unwrap());
    let record =
        NewDelivery::new(Kind::Record, "source", Some("app".into()), json!({"text": "x".repeat(185)}));
    let begun = Instant::now();
    for _ in 0..RECORDS / PUSH {
        ledger.push("test", vec![record.clone(); PUSH]).await.unwrap();
    }
    eprintln!("push: {:.0} a second", RECORDS as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..4 {
        let ledger = ledger.clone();
        workers.spawn(async move {
            loop {
                let claimed =
                    ledger.claim(ask(Kind::Record, "app", CLAIM, &format!("{number}-w"))).await.unwrap();
                let Some(token) = claimed.first().and_then(|delivery| delivery.lease_token.clone()) else {
                    return;
                };
                let completed =
                    |id| Answer { id, outcome: Outcome::Completed { result: None, next: vec![] } };
                let answers = claimed.iter().map(|delivery| completed(delivery.id)).collect();
                let answers = Answers { queue: Kind::Record.into(), token, answers, whole: true };
                ledger.answer(answers).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    eprintln!("claim and complete: {:.0} a second", RECORDS as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let mut pushers = JoinSet::new();
    for _ in 0..32 {
        let (ledger, record) = (ledger.clone(), record.clone());
        pushers.spawn(async move {
            for _ in 0..200 {
                ledger.push("test", vec![record.clone()]).await.unwrap();
            }
        });
    }
    pushers.join_all().await;
    eprintln!("push of one, 32 at once: {:.0} a second", 6_400.0 / begun.elapsed().as_secs_f64());
}
