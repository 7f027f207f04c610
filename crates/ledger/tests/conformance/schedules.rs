//! Schedules: each due time once, whoever watches the clock.

use super::*;
use handover_ledger::ScheduleMark;
use tokio::task::JoinSet;

pub(crate) async fn a_due_time_is_seen_to_once<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    assert_eq!(w.ledger.schedule_mark("nightly").await.unwrap(), None);
    let due = |hours: u64| ScheduleMark {
        app: "nightly".into(),
        last_due: "2025-11-24T06:00:00Z".parse::<jiff::Timestamp>().unwrap()
            + Duration::from_secs(3600 * hours),
    };
    let mut watchers = JoinSet::new();
    for n in 0..8 {
        let ledger = if n % 2 == 0 { w.ledger.clone() } else { other.clone() };
        watchers.spawn(async move {
            let job = new(Kind::Job, "nightly");
            ledger.schedule_due("schedule", due(1), Some(job)).await.unwrap()
        });
    }
    let made: Vec<DeliveryId> = watchers.join_all().await.into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(ids(&w.claim(Kind::Job, "nightly", 10).await), made);
    assert_eq!(other.schedule_mark("nightly").await.unwrap(), Some(due(1)));
    // An earlier one is past; a missed one is only marked; a later one runs; another app's is its own.
    let job = || Some(new(Kind::Job, "nightly"));
    assert_eq!(w.ledger.schedule_due("schedule", due(0), job()).await.unwrap(), None);
    assert_eq!(w.ledger.schedule_due("schedule", due(2), None).await.unwrap(), None);
    assert_eq!(w.ledger.schedule_mark("nightly").await.unwrap(), Some(due(2)));
    assert_eq!(w.ledger.schedule_due("schedule", due(2), job()).await.unwrap(), None);
    assert!(w.ledger.schedule_due("schedule", due(3), job()).await.unwrap().is_some());
    let hourly = ScheduleMark { app: "hourly".into(), ..due(0) };
    assert!(
        w.ledger.schedule_due("schedule", hourly, Some(new(Kind::Job, "hourly"))).await.unwrap().is_some()
    );
    // A push that is refused leaves the due time to be seen to.
    let bad = NewDelivery { max_attempts: 0, ..new(Kind::Job, "nightly") };
    assert!(w.ledger.schedule_due("schedule", due(4), Some(bad)).await.is_err());
    assert_eq!(w.ledger.schedule_mark("nightly").await.unwrap(), Some(due(3)));
}
