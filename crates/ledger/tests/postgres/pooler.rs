//! Through a pooler that gives each transaction another connection, all of it works; only waking is by looking.

use crate::conformance::{ask, completion, held, new};
use handover_core::{Kind, NewDelivery};
use handover_ledger::Ledger;
use handover_ledger::postgres::PostgresLedger;
use handover_testkit::{Pooler, TemporaryPostgres};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_by_transaction_is_no_hindrance() {
    let server = TemporaryPostgres::new();
    let Some(pooler) = Pooler::start(&server.url(), 3) else {
        eprintln!("NOT CHECKED: there is no pgbouncer (apt-get install pgbouncer)");
        return;
    };
    let ledger = Arc::new(PostgresLedger::open(&pooler.url(), true).unwrap());
    let other = PostgresLedger::open(&pooler.url(), false).unwrap();
    assert_eq!(ledger.identity(), other.identity());
    let mut wake = ledger.wake();
    // Copied, pushed by arrays, and with keys.
    let keyed = NewDelivery { dedup_key: Some("k".into()), ..new(Kind::Record, "a") };
    ledger.push("test", vec![new(Kind::Record, "a"); 300]).await.unwrap();
    ledger.push("test", vec![new(Kind::File, "a"); 20]).await.unwrap();
    let keyed = ledger.push("test", vec![keyed.clone(), keyed]).await.unwrap();
    assert_eq!(keyed[0].id(), keyed[1].id());
    let mut workers = JoinSet::new();
    for number in 0..8 {
        let ledger = ledger.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            for kind in [Kind::Record, Kind::File] {
                loop {
                    let claimed = ledger.claim(ask(kind, "a", 7, &format!("{number}-w"))).await.unwrap();
                    if claimed.is_empty() {
                        break;
                    }
                    for delivery in &claimed {
                        ledger.complete(completion(&held(delivery), vec![])).await.unwrap();
                    }
                    mine.extend(claimed.into_iter().map(|delivery| delivery.id));
                }
            }
            mine
        });
    }
    let all: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 321);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 321);
    // What another program hands over is found without a notification.
    wake.mark_unchanged();
    server.sql("INSERT INTO integration.data_staging (source_app, target_app, data) VALUES ('s', 'b', '{}')");
    tokio::time::timeout(Duration::from_secs(20), wake.changed()).await.expect("nobody woke it").unwrap();
}
