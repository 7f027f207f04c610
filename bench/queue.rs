//! Measures the ledger as a queue of records: enqueue in bulk, drain with several consumers, latency of single records.
//! `bench/queue.sh` runs it beside the peers; the workload and the figures are theirs.
//!
//!     cargo run --release -p handover-ledger --example queue -- sqlite:/tmp/x/ledger.db
//!     cargo run --release -p handover-ledger --example queue -- postgres://user@127.0.0.1/db
//!
//! `drain_busy_us`: what the machine's processors worked for each record while it was drained, in microseconds, the server's and ours.
//!
//! N=50000 records of 200 bytes, BATCH=500 a claim, BULK=5000 a push, CONSUMERS=4, LATENCY=200 single records are read from the environment;
//! CLAIM=lanes claims by lanes (PostgreSQL).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a measurement")]

use handover_core::{HolderId, Kind, NewDelivery, SystemClock};
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::sqlite::SqliteLedger;
use handover_ledger::{Answer, Answers, Claim, Ledger, Outcome, Queue};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The binary's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const APP: &str = "bench";

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn record(i: usize, sent_us: u64) -> NewDelivery {
    let mut data = json!({"id": i, "t": sent_us, "kind": "order.created", "customer": format!("cust-{}", i % 997), "pad": ""});
    let pad = 200usize.saturating_sub(data.to_string().len());
    data["pad"] = Value::String("x".repeat(pad));
    NewDelivery::new(Kind::Record, "producer", Some(APP.to_owned()), data)
}

fn open(address: &str) -> Arc<dyn Ledger> {
    match address.strip_prefix("sqlite:") {
        Some(file) => Arc::new(SqliteLedger::open(Path::new(file), true, Arc::new(SystemClock)).unwrap()),
        None => Arc::new(PostgresLedger::open(address, true).unwrap()),
    }
}

fn claim_of(holder: HolderId, max: usize) -> Claim {
    Claim { queue: Queue::Records, app: APP.to_owned(), max, lease: Duration::from_secs(60), holder }
}

/// What all processors of this machine have worked so far, in microseconds (Linux; 0 elsewhere).
fn busy_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let of_all = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = of_all.split_whitespace().skip(1).map(|text| text.parse().unwrap()).collect();
    // A tick is a hundredth of a second; user, nice, system, then idle and waiting, then interrupts.
    [0, 1, 2, 5, 6].iter().filter_map(|n| ticks.get(*n)).sum::<u64>() * 10_000
}

/// Has PostgreSQL write what it holds, as the peers do: so that the drain does not pay for what the push wrote.
async fn checkpoint(address: &str) {
    if !address.starts_with("sqlite:") {
        let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CHECKPOINT").await.unwrap();
    }
}

/// Claims and completes until the channel of the seen is closed.
async fn consume(
    ledger: Arc<dyn Ledger>,
    n: usize,
    batch: usize,
    done: Arc<AtomicUsize>,
    seen: mpsc::UnboundedSender<u64>,
) {
    let holder = HolderId::new(u32::try_from(n).unwrap());
    let mut wake = ledger.wake();
    while !seen.is_closed() {
        wake.mark_unchanged();
        let claimed = ledger.claim(claim_of(holder.clone(), batch)).await.unwrap();
        if claimed.is_empty() {
            let _ = tokio::time::timeout(Duration::from_millis(100), wake.changed()).await;
            continue;
        }
        let token = claimed[0].lease_token.clone().unwrap();
        for delivery in &claimed {
            let _ = seen.send(delivery.data["t"].as_u64().unwrap());
        }
        let outcome = || Outcome::Completed { result: None, next: Vec::new() };
        let answers = claimed.iter().map(|d| Answer { id: d.id, outcome: outcome() }).collect();
        let answers = Answers { queue: Queue::Records, token, answers, whole: false };
        let answered = ledger.answer(answers).await.unwrap();
        done.fetch_add(answered.len(), Ordering::SeqCst);
    }
}

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("sqlite:FILE or postgres://…");
    let (n, batch, bulk) = (setting("N", 50_000), setting("BATCH", 500), setting("BULK", 5_000));
    let (consumers, singles) = (setting("CONSUMERS", 4), setting("LATENCY", 200));
    let ledger = open(&address);
    let lanes = std::env::var("CLAIM").is_ok_and(|claim| claim == "lanes");
    let began = Instant::now();
    let now_us = move || u64::try_from(began.elapsed().as_micros()).unwrap();

    let batches: Vec<Vec<NewDelivery>> = (0..n)
        .step_by(bulk)
        .map(|from| (from..(from + bulk).min(n)).map(|i| record(i, 0)).collect())
        .collect();
    let at = Instant::now();
    for batch in batches {
        ledger.push("bench", batch).await.unwrap();
    }
    let enqueue = n as f64 / at.elapsed().as_secs_f64();

    checkpoint(&address).await;
    let done = Arc::new(AtomicUsize::new(0));
    let (seen, mut sent) = mpsc::unbounded_channel();
    // Each as a process of its own would be: on its own connection, which is there before the clock starts, as the peers' are.
    let own: Vec<_> = (0..consumers).map(|_| open(&address)).collect();
    let (by_lanes, usual) =
        if lanes { (vec![APP.to_owned()], vec![]) } else { (vec![], vec![APP.to_owned()]) };
    for ledger in &own {
        ledger.claim_by("bench", by_lanes.clone(), usual.clone()).await.unwrap();
        ledger.claim(Claim { app: "nobody".to_owned(), ..claim_of(HolderId::new(0), 1) }).await.unwrap();
    }
    let (at, busy) = (Instant::now(), busy_us());
    let mut tasks = Vec::new();
    for (number, own) in own.into_iter().enumerate() {
        tasks.push(tokio::spawn(consume(own, number + 1, batch, done.clone(), seen.clone())));
    }
    drop(seen);
    for _ in 0..n {
        sent.recv().await.unwrap();
    }
    while done.load(Ordering::SeqCst) < n {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drain = n as f64 / at.elapsed().as_secs_f64();
    let busy = busy_us().saturating_sub(busy) as f64 / n as f64;

    let mut latency_ms = Vec::new();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for i in 0..singles + 10 {
        let next = Instant::now() + Duration::from_millis(20);
        ledger.push("bench", vec![record(n + i, now_us())]).await.unwrap();
        let sent_us = sent.recv().await.unwrap();
        if i >= 10 {
            latency_ms.push(now_us().saturating_sub(sent_us) as f64 / 1_000.0);
        }
        tokio::time::sleep_until(next.into()).await;
    }
    sent.close();
    for task in tasks {
        task.await.unwrap();
    }
    latency_ms.sort_by(f64::total_cmp);
    let at =
        |q: f64| latency_ms.get(((latency_ms.len() as f64 * q).ceil() as usize).saturating_sub(1)).copied();
    println!(
        "{}",
        json!({"peer": "handover", "backend": address.split(':').next(), "n": n, "batch": batch, "enqueue_per_s": enqueue.round(),
            "drain_per_s": drain.round(), "drain_busy_us": (busy * 100.0).round() / 100.0, "latency_ms_p50": at(0.5), "latency_ms_p99": at(0.99)})
    );
}
