//! Worker processes are killed and the server restarted, at random, while records come and go: each record has exactly one
//! effect, none is lost, and the counts are right.
//!
//! HANDOVER_TEST_CHAOS_S and HANDOVER_TEST_CHAOS_RECORDS make it longer and larger.

use super::conformance::{ask, held, new};
use handover_core::{HolderId, Kind, NewDelivery, Status};
use handover_ledger::postgres::PostgresLedger;
use handover_ledger::{Answer, Answers, Claim, Ledger, Outcome, Queue};
use handover_testkit::Random;
use handover_testkit::postgres::OwnPostgres;
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const URL: &str = "HANDOVER_TEST_CHAOS_URL";
const WORKERS: usize = 4;
/// Short, so that what a killed worker held comes back within the test.
const LEASE: Duration = Duration::from_secs(3);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test runs it in processes of its own, and kills them"]
async fn a_worker_that_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let ledger = PostgresLedger::open(&url, false).unwrap();
    let holder = format!("{}-chaos", std::process::id());
    loop {
        let claim = Claim { lease: LEASE, ..ask(Kind::Record, "work", 50, &holder) };
        let claimed = ledger.claim(claim).await.unwrap_or_default();
        let Some(first) = claimed.first() else {
            let _ = tokio::time::timeout(Duration::from_millis(50), ledger.wake().changed()).await;
            continue;
        };
        let effect = |data| NewDelivery { data, ..new(Kind::Record, "effects") };
        let answers = claimed
            .iter()
            .map(|one| Answer {
                id: one.id,
                outcome: Outcome::Completed { result: None, next: vec![effect(one.data.clone())] },
            })
            .collect();
        let answers = Answers { queue: Queue::Records, token: held(first).token, answers, whole: false };
        // What it was told has failed is done by another.
        let _ = ledger.answer(answers).await;
    }
}

fn worker(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "chaos::a_worker_that_is_killed", "--ignored"])
        .env(URL, url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Workers that end with the test, however it ends.
struct Workers(Vec<Child>);

impl Workers {
    fn kill(&mut self, which: usize) -> HolderId {
        let child = &mut self.0[which];
        let holder = HolderId(format!("{}-chaos", child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        holder
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_has_one_effect_whatever_is_killed() {
    let (seconds, records) =
        (setting("HANDOVER_TEST_CHAOS_S", 12), setting("HANDOVER_TEST_CHAOS_RECORDS", 20_000));
    let server = OwnPostgres::start();
    let url = server.url("postgres");
    let ledger = PostgresLedger::open(&url, true).unwrap();
    let mut workers = Workers((0..WORKERS).map(|_| worker(&url)).collect());
    let mut random = Random::new(17);
    let (steps, began) = (seconds * 2, Instant::now());
    for step in 0..steps {
        let (from, to) = (records * step / steps, records * (step + 1) / steps);
        let some = (from..to).map(|n| NewDelivery { data: json!({ "n": n }), ..new(Kind::Record, "work") });
        ledger.push("chaos", some.collect()).await.unwrap();
        match random.below(4) {
            0 | 1 => {
                let which = random.below(WORKERS);
                let lost = workers.kill(which);
                ledger.rescue("chaos", vec![lost]).await.unwrap();
                workers.0[which] = worker(&url);
            }
            2 => {
                server.stop(random.below(2) == 0);
                server.start_again();
            }
            _ => drop(server.sql(
                "postgres",
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
            )),
        }
        let next = Duration::from_millis(500) * u32::try_from(step + 1).unwrap();
        tokio::time::sleep(next.saturating_sub(began.elapsed())).await;
    }
    let give_up = Instant::now() + Duration::from_secs(120);
    loop {
        ledger.rescue("chaos", vec![]).await.unwrap();
        let counts = ledger.counts().await.unwrap();
        let open = |status| matches!(status, Status::Pending | Status::Processing);
        let left: u64 = counts.iter().filter(|c| c.app == "work" && open(c.status)).map(|c| c.count).sum();
        if left == 0 {
            break;
        }
        assert!(Instant::now() < give_up, "{left} records are not done");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for which in 0..WORKERS {
        workers.kill(which);
    }
    let all = records.to_string();
    let of = |what: &str| server.sql("postgres", &format!("SELECT {what}")).trim().to_owned();
    assert_eq!(
        of("count(*) FROM integration.data_staging WHERE target_app = 'work' AND status = 'completed'"),
        all
    );
    assert_eq!(of("count(*) FROM integration.data_staging WHERE target_app = 'effects'"), all);
    assert_eq!(
        of("count(DISTINCT data ->> 'n') FROM integration.data_staging WHERE target_app = 'effects'"),
        all
    );
    assert_eq!(of("sum(abs(missing)) FROM integration.v_conservation"), "0");
    let counted = "coalesce(sum(t.n - d.n), 0) FROM integration.v_tally AS t JOIN (SELECT target_app, status, count(*) AS n \
                   FROM integration.data_staging GROUP BY 1, 2) AS d ON d.target_app = t.app AND d.status = t.status";
    assert_eq!(of(counted), "0");
}
