//! What one process tells the others of, beside new work.

use crate::conformance::{ask, completion, held, new};
use handover_core::Kind;
use handover_ledger::Ledger;
use handover_ledger::postgres::PostgresLedger;
use handover_testkit::TemporaryPostgres;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_job_is_told_to_other_processes() {
    let server = TemporaryPostgres::new();
    let here = PostgresLedger::open(&server.url(), true).unwrap();
    let there = PostgresLedger::open(&server.url(), false).unwrap();
    let mut ends = there.ends();
    // Whoever works also listens.
    let _worker = here.wake();
    here.push("test", vec![new(Kind::Job, "a")]).await.unwrap();
    let claimed = here.claim(ask(Kind::Job, "a", 1, "1-a")).await.unwrap();
    here.complete(completion(&held(&claimed[0]), vec![])).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), ends.recv()).await.expect("nobody told of it");
    assert_eq!(told.unwrap(), claimed[0].id);
}
