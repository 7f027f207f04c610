//! What a long past costs: rates on an empty ledger and on one with a million past deliveries, for a person to read.
//!
//! `HANDOVER_PAST=1000000 cargo nextest run -p handover-ledger --run-ignored only growth --no-capture`

use crate::Sqlite;
use crate::conformance::{World, ask, completion, held, new};
use handover_core::{DeliveryId, Kind, Status};
use handover_ledger::{Filter, Ledger};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Puts completed deliveries into the ledger as a long life would have left them, nine of ten files, with their history.
fn make_past(w: &World<Sqlite>, count: u64) {
    let columns = "(source_app, target_app, data, status, processed_at, kind, created_by, flow, attempts, leased_by, parent_id, result)";
    let rows = "SELECT 'validator', 'app-' || (value % 20), json_object('path', 'validated/2025-11-24/validator_sales_' || value || \
                '.csv', 'filename', 'validator_sales.csv', 'checksum', 'sha256:' || hex(randomblob(32)), 'row_count', value), \
                'completed', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), {kind}, '1-worker', 'sales', 1, '1-worker', value, \
                json_object('rows', value, 'stderr', '') FROM generate_series";
    let series = |from: u64, to: u64| {
        format!(
            "WITH RECURSIVE generate_series(value) AS (SELECT {from} UNION ALL SELECT value + 1 FROM generate_series WHERE value < {to})"
        )
    };
    let connection = w.backend.foreign();
    connection.execute_batch("PRAGMA synchronous = off; PRAGMA cache_size = -400000").unwrap();
    let mut from = 1;
    while from <= count {
        let to = (from + 99_999).min(count);
        let records = from + (to - from) * 9 / 10;
        for (table, kind, from, to) in
            [("deliveries", "'file'", from, records), ("data_staging", "'record'", records + 1, to)]
        {
            let insert = format!(
                "INSERT INTO {table} {columns} {} {}",
                series(from, to),
                rows.replace("{kind}", kind)
            );
            connection.execute(&insert, []).unwrap();
        }
        connection
            .execute_batch(&format!(
                "INSERT INTO audit_log (actor, delivery_id, from_status, to_status) SELECT '1-worker', id, 'pending', 'processing' \
                 FROM v_deliveries WHERE id BETWEEN {from} AND {to}; \
                 INSERT INTO audit_log (actor, delivery_id, from_status, to_status) SELECT '1-worker', id, 'processing', 'completed' \
                 FROM v_deliveries WHERE id BETWEEN {from} AND {to};"
            ))
            .unwrap();
        from = to + 1;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// Hands so many files on, each claimed, completed and followed by another, with so many workers. Per second.
async fn rate(ledger: &Arc<dyn Ledger>, workers: usize, count: usize) -> f64 {
    for _ in 0..count / 500 {
        ledger.push("test", vec![new(Kind::File, "app-1"); 500]).await.unwrap();
    }
    let start = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..workers {
        let ledger = ledger.clone();
        all.spawn(async move {
            loop {
                let claimed = ledger.claim(ask(Kind::File, "app-1", 1, "1-worker")).await.unwrap();
                let Some(delivery) = claimed.first() else { return };
                let end = handover_core::NewDelivery { target_app: None, ..new(Kind::File, "") };
                ledger.complete(completion(&held(delivery), vec![end])).await.unwrap();
            }
        });
    }
    all.join_all().await;
    count as f64 / start.elapsed().as_secs_f64()
}

/// The processor time of this process so far, in seconds: it tells more than the clock on a machine that is busy.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = |n: usize| after.split(' ').nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

async fn time<T>(what: &str, work: impl Future<Output = T>) {
    let start = Instant::now();
    work.await;
    println!("    {what:<34} {:>9.3} ms", start.elapsed().as_secs_f64() * 1000.0);
}

async fn measure(w: &World<Sqlite>) {
    let ledger = &w.ledger;
    for (workers, count) in [(1, 2_000), (4, 4_000), (32, 20_000)] {
        let before = cpu();
        let rate = rate(ledger, workers, count).await;
        let each = (cpu() - before) * 1e6 / count as f64;
        println!(
            "    {workers:>2} workers: {rate:>8.0} claims and completions a second, {each:>5.0} µs of processor each"
        );
    }
    let list = |filter: Filter| ledger.list(Filter { limit: 50, ..filter });
    for _ in 0..2 {
        println!("    --");
        time("counts", ledger.counts()).await;
        time("list", list(Filter::default())).await;
        time("list failed", list(Filter { status: Some(Status::Failed), ..Filter::default() })).await;
        time("list of an app", list(Filter { app: Some("app-7".into()), ..Filter::default() })).await;
        time("list of an unknown app", list(Filter { app: Some("nobody".into()), ..Filter::default() }))
            .await;
        time("list of a path", list(Filter { path: Some("x.csv".into()), ..Filter::default() })).await;
        time("list of children", list(Filter { parent: Some(DeliveryId(7)), ..Filter::default() })).await;
        let long_ago = w.now().checked_sub(Duration::from_secs(3600 * 24 * 365)).ok();
        time("list of what ended long ago", list(Filter { ended_before: long_ago, ..Filter::default() }))
            .await;
        time(
            "list of all that ended",
            list(Filter { ended_before: Some(w.now() + Duration::from_secs(86_400)), ..Filter::default() }),
        )
        .await;
        time("list of an unknown flow", list(Filter { flow: Some("x".into()), ..Filter::default() })).await;
        time("oldest pending", ledger.oldest_pending("app-1")).await;
        time("next due", ledger.next_due()).await;
        time("rescue of nothing", ledger.rescue("test", vec![])).await;
        time("an original by its name", ledger.arrivals_at("x.csv")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn a_long_past_costs_little() {
    let count = std::env::var("HANDOVER_PAST").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let w = World::<Sqlite>::new().await;
    println!("an empty ledger:");
    measure(&w).await;
    drop(w);
    let w = World::<Sqlite>::new().await;
    let start = Instant::now();
    make_past(&w, count);
    let size = std::fs::metadata(w.backend.file()).unwrap().len() / 1_000_000;
    println!("{count} past deliveries ({size} MB, made in {:.0} s):", start.elapsed().as_secs_f64());
    measure(&w).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn a_wake_is_quick() {
    use crate::conformance::Backend as _;
    let w = World::<Sqlite>::new().await;
    let other = w.backend.open().await;
    for (what, pusher) in [("the same handle", &w.ledger), ("another handle", &other)] {
        let mut wake = w.ledger.wake();
        let mut times = vec![];
        for _ in 0..200 {
            // Apart from each other, so that each wake is its own.
            tokio::time::sleep(Duration::from_millis(20)).await;
            wake.mark_unchanged();
            let pushed = tokio::spawn({
                let pusher = pusher.clone();
                async move {
                    pusher.push("test", vec![new(Kind::File, "app-1")]).await.unwrap();
                    Instant::now()
                }
            });
            wake.changed().await.unwrap();
            let woken = Instant::now();
            times.push(woken.saturating_duration_since(pushed.await.unwrap()));
        }
        times.sort();
        println!(
            "    woken by {what}: half within {:?}, 99 of 100 within {:?} of the commit",
            times[100], times[198]
        );
    }
}
