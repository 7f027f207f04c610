//! A process killed in the middle of its commits leaves nothing half, and whoever comes next finishes the work.

use crate::conformance::{Backend, World, arrivals, ask, held, names, new};
use crate::{FakeClock, Sqlite};
use handover_core::{DeliveryId, HolderId, Kind, NewDelivery, Status, SystemClock, fault};
use handover_ledger::sqlite::SqliteLedger;
use handover_ledger::{Completion, Filter, Ledger, Reserve};
use serde_json::json;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const FILES: i64 = 4;

/// The points that the ledger itself passes.
fn points() -> impl Iterator<Item = &'static str> {
    let ours = ["arrive.", "claim.", "reserve.", "complete."];
    fault::POINTS.iter().copied().filter(move |point| ours.iter().any(|prefix| point.starts_with(prefix)))
}

/// Imports some files: each arrives, is claimed, gets a name, and is handed on.
async fn work(ledger: &dyn Ledger, holder: &str) {
    let files = (0..FILES).map(|n| arrivals::seen(&format!("in/{n}.csv"), 1));
    for file in files {
        ledger.arrive("importer", vec![file]).await.unwrap();
    }
    loop {
        let claimed = ledger.claim(ask(Kind::File, "file-importer", 2, holder)).await.unwrap();
        if claimed.is_empty() {
            return;
        }
        for delivery in claimed {
            let wish = Reserve { folder: "imports".into(), ..names::wish(Some(delivery.id), "out") };
            let name = ledger.reserve(wish).await.unwrap();
            let next = NewDelivery { id: Some(name.file_id), ..new(Kind::File, "validator") };
            let held = held(&delivery);
            ledger
                .complete(Completion { held, result: json!({}), next: vec![next], checksum: None })
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "another test runs it in a process of its own, and kills it"]
async fn a_child_that_is_killed() {
    let Ok(file) = std::env::var("HANDOVER_TEST_LEDGER") else { return };
    let ledger = SqliteLedger::open(Path::new(&file), true, Arc::new(SystemClock)).unwrap();
    work(&ledger, "1-child").await;
}

/// Runs the child; says whether it was killed.
fn run_child(file: &Path, fault: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_child_that_is_killed", "--ignored"])
        .env("HANDOVER_TEST_LEDGER", file)
        .env("HANDOVER_FAULT", fault)
        .output()
        .unwrap();
    assert!(status.status.success() || status.status.signal() == Some(9), "{fault}: {status:?}");
    status.status.signal() == Some(9)
}

#[tokio::test]
async fn a_kill_at_any_point_leaves_nothing_half() {
    for point in points() {
        let mut killed = 0;
        for at in 1..=3 {
            let clock = FakeClock::at_present();
            let backend = Sqlite::fresh(clock.clone()).await;
            let fault = format!("{point}:kill@{at}");
            let dead = run_child(&backend.file(), &fault);
            killed += u32::from(dead);
            let w = World { ledger: backend.open().await, backend, clock };
            w.advance(3600);
            nothing_half(&w, &fault).await;
            w.ledger.rescue("test", vec![HolderId("1-child".into())]).await.unwrap();
            work(w.ledger.as_ref(), "2-next").await;
            nothing_half(&w, &fault).await;
            all_done(&w, &fault).await;
        }
        assert!(killed >= 2, "{point} was passed {killed} times only");
    }
}

async fn all(w: &World<Sqlite>, app: &str) -> Vec<handover_core::Delivery> {
    w.ledger.list(Filter { app: Some(app.into()), limit: 100, ..Filter::default() }).await.unwrap()
}

async fn nothing_half(w: &World<Sqlite>, fault: &str) {
    let importers = all(w, "file-importer").await;
    let arrivals = w.ledger.arrivals("file-importer", 100).await.unwrap();
    let mut arrived: Vec<DeliveryId> = arrivals.iter().map(|a| a.delivery_id).collect();
    let mut there: Vec<DeliveryId> = importers.iter().map(|d| d.id).collect();
    arrived.sort();
    there.sort();
    assert_eq!(arrived, there, "{fault}: an arrival without a delivery, or the other way round");
    let next = all(w, "validator").await;
    for delivery in &importers {
        let followed: Vec<_> = next.iter().filter(|n| n.parent_id == Some(delivery.id)).collect();
        let expected = usize::from(delivery.status == Status::Completed);
        assert_eq!(followed.len(), expected, "{fault}: {delivery:?}");
        let names = w.ledger.names_of(delivery.id).await.unwrap();
        assert!(names.len() <= 1, "{fault}: {names:?}");
        assert!(followed.iter().all(|n| n.id == names[0].file_id), "{fault}: {names:?}");
        assert_eq!(
            delivery.status == Status::Processing,
            delivery.lease_token.is_some(),
            "{fault}: {delivery:?}"
        );
        let audit = w.ledger.audit(delivery.id).await.unwrap();
        assert_eq!(audit.last().map(|entry| entry.to), Some(delivery.status), "{fault}");
    }
    w.check_counts().await;
    assert_eq!(w.backend.rows("PRAGMA integrity_check").await, [["ok"]], "{fault}");
}

async fn all_done(w: &World<Sqlite>, fault: &str) {
    let importers = all(w, "file-importer").await;
    assert_eq!(importers.len(), FILES as usize, "{fault}");
    assert!(
        importers.iter().all(|d| (d.status, d.attempts) == (Status::Completed, 1)),
        "{fault}: {importers:?}"
    );
    assert_eq!(all(w, "validator").await.len(), FILES as usize, "{fault}");
    assert_eq!(
        w.number("SELECT count(*) FROM names").await,
        FILES,
        "{fault}: a name was used up for nothing"
    );
}
