//! Records through the embedded ledger: pushed, claimed and completed in batches, each commit synced.
//!
//!     cargo run --release -p handover-ledger --example ledger_sqlite -- [RECORDS] [BATCH] [FOLDER]
//!
//! Prints the rate of each step and of all three together: records divided by the sum of the times.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use handover_core::{HolderId, Kind, NewDelivery, SystemClock};
use handover_ledger::sqlite::SqliteLedger;
use handover_ledger::{Answer, Answers, Claim, Ledger as _, Outcome, Queue};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn record(number: usize) -> NewDelivery {
    let filler = "x".repeat(120);
    let data = json!({ "id": number, "customer": "customer-4711", "amount": 19.95, "note": filler });
    NewDelivery::new(Kind::Record, "bench", Some("worker".into()), data)
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: usize| words.get(at).map_or(usual, |word| word.parse().unwrap());
    let (records, batch) = (number(0, 100_000), number(1, 1_000));
    let folder = words.get(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("ledger-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let ledger = SqliteLedger::open(&folder.join("ledger.db"), true, Arc::new(SystemClock)).unwrap();
    let (mut push, mut claim, mut answer) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for first in (0..records).step_by(batch) {
        let new = (first..(first + batch).min(records)).map(record).collect();
        let start = Instant::now();
        ledger.push("bench", new).await.unwrap();
        push += start.elapsed();
    }
    loop {
        let ask = Claim {
            queue: Queue::Records,
            app: "worker".into(),
            max: batch,
            lease: Duration::from_secs(60),
            holder: HolderId("1-bench".into()),
        };
        let start = Instant::now();
        let claimed = ledger.claim(ask).await.unwrap();
        claim += start.elapsed();
        let Some(token) = claimed.first().and_then(|delivery| delivery.lease_token.clone()) else { break };
        let start = Instant::now();
        let done = |delivery: &handover_core::Delivery| Answer {
            id: delivery.id,
            outcome: Outcome::Completed { result: None, next: Vec::new() },
        };
        let answers = claimed.iter().map(done).collect();
        ledger.answer(Answers { queue: Queue::Records, token, answers, whole: true }).await.unwrap();
        answer += start.elapsed();
    }
    let rate = |time: Duration| records as f64 / time.as_secs_f64();
    println!(
        "{records} records, batches of {batch}: push {:.0}/s, claim {:.0}/s, complete {:.0}/s, all three {:.0}/s",
        rate(push),
        rate(claim),
        rate(answer),
        rate(push + claim + answer)
    );
    drop(ledger);
    std::fs::remove_dir_all(&folder).unwrap();
}
