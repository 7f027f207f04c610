//! Sizes: noted, read, thinned out.

use super::*;

fn three() -> Vec<(String, u64, Option<u64>)> {
    let size = |what: &str, bytes, entries| (what.to_owned(), bytes, entries);
    vec![size("disk:free", 1 << 40, None), size("folder:a", 10, Some(2)), size("folder:b", 0, Some(0))]
}

pub(crate) async fn sizes_are_read_by_name_and_time<B: Backend>() {
    let w = World::<B>::new().await;
    let hour = Duration::from_secs(3600);
    assert!(w.ledger.sizes_due(hour).await.unwrap());
    w.ledger.add_sizes(three()).await.unwrap();
    // What another measured at the same time is the same.
    w.ledger.add_sizes(three()).await.unwrap();
    assert!(!w.ledger.sizes_due(hour).await.unwrap());
    let first = w.now();
    w.advance(3600);
    assert!(w.ledger.sizes_due(hour).await.unwrap());
    w.ledger.add_sizes(vec![("folder:a".into(), 20, None)]).await.unwrap();
    let read = w.ledger.sizes("folder:", first - LEASE).await.unwrap();
    let told: Vec<_> = read.iter().map(|s| (s.what.as_str(), s.bytes, s.entries)).collect();
    assert_eq!(told, [("folder:a", 10, Some(2)), ("folder:a", 20, None), ("folder:b", 0, Some(0))]);
    assert_eq!(w.ledger.sizes("", first + LEASE).await.unwrap().len(), 1);
    assert_eq!(w.ledger.sizes("disk:free", first - LEASE).await.unwrap()[0].bytes, 1 << 40);
    assert_eq!(w.ledger.sizes("f%", first - LEASE).await.unwrap(), []);
    // A clock that is set back does not keep it from being measured.
    assert!(!w.ledger.sizes_due(hour).await.unwrap());
    w.clock.set(first - LEASE);
    assert!(w.ledger.sizes_due(hour).await.unwrap());
}

pub(crate) async fn the_older_the_fewer<B: Backend>() {
    let w = World::<B>::new().await;
    let began = w.now();
    for _ in 0..(20 * 4) {
        w.ledger.add_sizes(three()).await.unwrap();
        w.advance(6 * 3600);
    }
    assert!(w.ledger.thin_sizes().await.unwrap() > 0);
    assert_eq!(w.ledger.thin_sizes().await.unwrap(), 0);
    let left = w.ledger.sizes("folder:a", began - LEASE).await.unwrap();
    // Fourteen days of four, and six days of one, give or take the day in which they meet.
    assert!((60..=66).contains(&left.len()), "{}", left.len());
    w.advance(401 * 86_400);
    w.ledger.add_sizes(three()).await.unwrap();
    w.ledger.thin_sizes().await.unwrap();
    assert_eq!(w.ledger.sizes("", began - LEASE).await.unwrap().len(), 3);
}
