//! What ended over time: added, read in steps, folded, forgotten.

use super::*;
use handover_ledger::{Activity, Counts, Histogram};
use jiff::Timestamp;

/// So many completed deliveries, with rows and latencies.
pub(crate) fn counted(at: Timestamp, app: &str, kind: Kind, completed: u64) -> Activity {
    let mut latency = Histogram::default();
    latency.observe(Duration::from_millis(20), completed);
    let counts = Counts {
        completed,
        rows_in: completed * 10,
        rows_out: completed * 9,
        rows_rejected: completed,
        latency,
        ..Counts::default()
    };
    Activity { at, app: app.into(), kind, counts }
}

/// The beginning of an hour.
fn hour<B: Backend>(w: &World<B>) -> Timestamp {
    Timestamp::from_second(w.now().as_second() / 3_600 * 3_600).unwrap()
}

fn sums(of: &[Activity]) -> Vec<(i64, &str, Kind, u64)> {
    of.iter().map(|one| (one.at.as_second(), one.app.as_str(), one.kind, one.counts.completed)).collect()
}

pub(crate) async fn what_is_added_is_read_in_steps<B: Backend>() {
    let w = World::<B>::new().await;
    let (begin, ledger) = (hour(&w), &w.ledger);
    let at = |seconds: i64| begin + jiff::SignedDuration::from_secs(seconds);
    assert!(ledger.activity(at(0), at(3_600), 60, None).await.unwrap().is_empty());
    assert!(ledger.activity_totals().await.unwrap().is_empty());
    let batch = vec![
        counted(at(1), "b", Kind::File, 3),
        counted(at(59), "a", Kind::Record, 5),
        counted(at(30), "b", Kind::File, 4),
        counted(at(60), "b", Kind::File, 10),
    ];
    ledger.add_activity("one", 1, batch).await.unwrap();
    ledger.add_activity("two", 1, vec![counted(at(2), "b", Kind::File, 100)]).await.unwrap();
    let second = begin.as_second();
    let minutes = ledger.activity(at(0), at(3_600), 60, None).await.unwrap();
    let expected =
        [(second, "a", Kind::Record, 5), (second, "b", Kind::File, 107), (second + 60, "b", Kind::File, 10)];
    assert_eq!(sums(&minutes), expected);
    assert_eq!(minutes[1].counts, counted(at(0), "b", Kind::File, 107).counts);
    // The end is not in it; wider steps; one app.
    assert_eq!(sums(&ledger.activity(at(0), at(60), 60, None).await.unwrap()), expected[..2]);
    let wide = ledger.activity(at(0), at(3_600), 300, Some("b")).await.unwrap();
    assert_eq!(sums(&wide), [(second, "b", Kind::File, 117)]);
    let totals = ledger.activity_totals().await.unwrap();
    assert_eq!(sums(&totals), [(0, "a", Kind::Record, 5), (0, "b", Kind::File, 117)]);
    assert_eq!(totals[1].counts.latency.count(), 117);
}

pub(crate) async fn a_batch_counts_once<B: Backend>() {
    let w = World::<B>::new().await;
    let one = |completed| vec![counted(w.now(), "a", Kind::Job, completed)];
    for number in [1, 1, 2, 2, 1] {
        w.ledger.add_activity("one", number, one(1)).await.unwrap();
    }
    w.ledger.add_activity("two", 1, one(10)).await.unwrap();
    assert_eq!(w.ledger.activity_totals().await.unwrap()[0].counts.completed, 12);
}

pub(crate) async fn many_add_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let begin = hour(&w);
    let mut adding = tokio::task::JoinSet::new();
    for process in 0..8_u64 {
        let ledger = if process % 2 == 0 { w.ledger.clone() } else { other.clone() };
        adding.spawn(async move {
            for number in 1..=10 {
                let mut batch: Vec<_> = ["a", "b", "c"].map(|app| counted(begin, app, Kind::File, 1)).into();
                if process % 3 == 0 {
                    batch.reverse();
                }
                ledger.add_activity(&format!("p{process}"), number, batch).await.unwrap();
            }
        });
    }
    while let Some(added) = adding.join_next().await {
        added.unwrap();
    }
    let totals = w.ledger.activity_totals().await.unwrap();
    assert_eq!(sums(&totals).iter().map(|one| one.3).collect::<Vec<_>>(), [80, 80, 80]);
    let minutes = w.ledger.activity(begin, begin + Duration::from_secs(60), 60, Some("b")).await.unwrap();
    assert_eq!(minutes[0].counts.completed, 80);
}

pub(crate) async fn minutes_become_hours<B: Backend>() {
    let w = World::<B>::new().await;
    let (begin, ledger) = (hour(&w), &w.ledger);
    let at = |seconds: i64| begin + jiff::SignedDuration::from_secs(seconds);
    let minutes = [0, 60, 3_540, 3_600, 200_000].map(|second| counted(at(second), "a", Kind::File, 1));
    ledger.add_activity("one", 1, minutes.into()).await.unwrap();
    // The hour in which that time lies is not touched; what is far apart goes in several rounds.
    assert_eq!(ledger.fold_activity(at(3_700)).await.unwrap(), 3);
    assert_eq!(ledger.fold_activity(at(3_700)).await.unwrap(), 0);
    let all = |step| ledger.activity(at(0), at(300_000), step, None);
    let second = begin.as_second();
    let rows = all(60).await.unwrap();
    assert_eq!(sums(&rows)[..2], [(second, "a", Kind::File, 3), (second + 3_600, "a", Kind::File, 1)]);
    assert_eq!(rows[0].counts.latency, counted(at(0), "a", Kind::File, 3).counts.latency);
    // Late ones come to the same hour.
    ledger.add_activity("one", 2, vec![counted(at(70), "a", Kind::File, 1)]).await.unwrap();
    let mut folded = 0;
    loop {
        match ledger.fold_activity(at(300_000)).await.unwrap() {
            0 => break,
            rows => folded += rows,
        }
    }
    assert_eq!(folded, 3);
    assert_eq!(all(3_600).await.unwrap()[0].counts.completed, 4);
    assert_eq!(ledger.forget_activity(at(3_600)).await.unwrap(), 1);
    assert_eq!(sums(&all(60).await.unwrap()).iter().map(|one| one.3).sum::<u64>(), 2);
    assert_eq!(ledger.activity_totals().await.unwrap()[0].counts.completed, 6, "all time is for ever");
    // Who has added nothing for a day is forgotten.
    assert_eq!(w.number("SELECT count(*) FROM activity_adds").await, 1);
    w.advance(90_000);
    ledger.forget_activity(at(3_600)).await.unwrap();
    assert_eq!(w.number("SELECT count(*) FROM activity_adds").await, 0);
}
