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
const BY_LANES: &str = "HANDOVER_TEST_CHAOS_LANES";
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
    let lanes = std::env::var(BY_LANES).is_ok();
    while lanes && ledger.claim_by("chaos", vec!["work".into()], vec![]).await.is_err() {}
    loop {
        let claim = Claim { lease: LEASE, ..ask(Kind::Record, "work", 50, &holder) };
        let claimed = ledger.claim(claim).await.unwrap_or_default();
        let Some(first) = claimed.first() else {
            let _ = tokio::time::timeout(Duration::from_millis(50), ledger.wake().changed()).await;
            continue;
        };
        // By lanes every other claim has no effect but its records' end, which is an answer of one round trip.
        let alone = lanes && first.id.0 % 2 == 0;
        let effect = |data| NewDelivery { data, ..new(Kind::Record, "effects") };
        let next = |data: &serde_json::Value| if alone { vec![] } else { vec![effect(data.clone().into())] };
        let answers = claimed
            .iter()
            .map(|one| Answer {
                id: one.id,
                outcome: Outcome::Completed { result: None, next: next(&one.data) },
            })
            .collect();
        let answers = Answers { queue: Queue::Records, token: held(first).token, answers, whole: false };
        // What it was told has failed is done by another.
        let _ = ledger.answer(answers).await;
    }
}

/// A process that works on what there is until it is killed; at this point, where one is given.
pub(crate) fn worker(url: &str, lanes: bool, fault: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "chaos::a_worker_that_is_killed", "--ignored"]).env(URL, url);
    if lanes {
        command.env(BY_LANES, "1");
    }
    if let Some(fault) = fault {
        command.env("HANDOVER_FAULT", fault);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Who a worker process claims as.
pub(crate) fn holder(worker: &Child) -> HolderId {
    HolderId(format!("{}-chaos", worker.id()))
}

/// Workers that end with the test, however it ends.
pub(crate) struct Workers(pub(crate) Vec<Child>);

impl Workers {
    pub(crate) fn kill(&mut self, which: usize) -> HolderId {
        let child = &mut self.0[which];
        let holder = holder(child);
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
    whatever_is_killed(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_lanes_each_record_ends_once_whatever_is_killed() {
    whatever_is_killed(true).await;
}

async fn whatever_is_killed(lanes: bool) {
    let (seconds, records) =
        (setting("HANDOVER_TEST_CHAOS_S", 12), setting("HANDOVER_TEST_CHAOS_RECORDS", 20_000));
    let server = OwnPostgres::start();
    let url = server.url("postgres");
    let ledger = PostgresLedger::open(&url, true).unwrap();
    let mut workers = Workers((0..WORKERS).map(|_| worker(&url, lanes, None)).collect());
    let mut random = Random::new(17);
    let (steps, began) = (seconds * 2, Instant::now());
    for step in 0..steps {
        let (from, to) = (records * step / steps, records * (step + 1) / steps);
        let some =
            (from..to).map(|n| NewDelivery { data: json!({ "n": n }).into(), ..new(Kind::Record, "work") });
        ledger.push("chaos", some.collect()).await.unwrap();
        match random.below(4) {
            0 | 1 => {
                let which = random.below(WORKERS);
                let lost = workers.kill(which);
                ledger.rescue("chaos", vec![lost]).await.unwrap();
                workers.0[which] = worker(&url, lanes, None);
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
    let (effects, distinct) = (
        of("count(*) FROM integration.data_staging WHERE target_app = 'effects'"),
        of("count(DISTINCT data ->> 'n') FROM integration.data_staging WHERE target_app = 'effects'"),
    );
    assert_eq!(effects, distinct, "each once");
    if lanes {
        assert_eq!(of("count(*) FROM integration.data_archive WHERE target_app = 'work'"), all);
        assert_eq!(of("count(DISTINCT id) FROM integration.data_archive WHERE target_app = 'work'"), all);
        let once = "count(DISTINCT delivery_id) FROM integration.v_audit WHERE to_status = 'completed'";
        assert_eq!((of(once), of(&once.replace("DISTINCT ", ""))), (all.clone(), all));
    } else {
        let done =
            "count(*) FROM integration.data_staging WHERE target_app = 'work' AND status = 'completed'";
        assert_eq!((of(done), effects), (all.clone(), all));
    }
    assert_eq!(of("sum(abs(missing)) FROM integration.v_conservation"), "0");
    let counted = "coalesce(sum(t.n - d.n), 0) FROM integration.v_tally AS t JOIN (SELECT target_app, status, count(*) AS n \
                   FROM integration.v_data_staging GROUP BY 1, 2) AS d ON d.target_app = t.app AND d.status = t.status";
    assert_eq!(of(counted), "0");
}
