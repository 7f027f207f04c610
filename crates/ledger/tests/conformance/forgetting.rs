//! What has been kept long enough is deleted for good, and stays counted.

use super::conservation::check;
use super::*;

const DAY: u64 = 86_400;

pub(crate) async fn what_was_kept_long_enough_is_gone_and_counted<B: Backend>() {
    let w = World::<B>::new().await;
    let (mut old, mut young) = (Vec::new(), Vec::new());
    for kind in KINDS {
        for _ in 0..3 {
            old.push(w.in_status(kind, "a", Status::Archived).await);
        }
    }
    w.advance(100 * DAY);
    for kind in KINDS {
        young.push(w.in_status(kind, "a", Status::Archived).await);
    }
    let live = w.push(new(Kind::Record, "a")).await;
    let before = w.now() - Duration::from_secs(50 * DAY);
    let nothing = w.ledger.forget(w.now() - Duration::from_secs(200 * DAY), before, 0).await.unwrap();
    assert_eq!((nothing.deliveries, nothing.entries), (0, 0));
    let entries = w.number("SELECT count(*) FROM audit_log").await;
    let (mut deliveries, mut gone, mut rounds) = (0, 0, 0);
    loop {
        let round = w.ledger.forget(before, before, 4).await.unwrap();
        deliveries += round.deliveries;
        gone += round.entries;
        rounds += 1;
        check(&w).await;
        w.check_counts().await;
        if !round.more {
            break;
        }
    }
    assert!(rounds > 1, "no more than asked for at once");
    assert_eq!(deliveries, 6);
    assert_eq!(w.number("SELECT count(*) FROM data_archive").await, 2);
    for id in old {
        assert_eq!(w.ledger.get(id).await.unwrap(), None);
        assert!(w.ledger.audit(id).await.unwrap().is_empty());
    }
    for id in young {
        assert_eq!(w.status(id).await, Status::Archived);
        assert_eq!(w.ledger.audit(id).await.unwrap().len(), 4);
    }
    assert_eq!(w.status(live).await, Status::Pending);
    assert_eq!(w.number("SELECT count(*) FROM audit_log").await, entries - i64::try_from(gone).unwrap());
    for sum in w.ledger.conservation().await.unwrap() {
        let live = u64::from(sum.kind == Kind::Record);
        assert_eq!((sum.pushed, sum.live, sum.archived, sum.deleted), (4 + live, live, 1, 3), "{sum:?}");
        assert_eq!(sum.expired, 3);
    }
    assert_eq!(w.ledger.forget(before, before, 4).await.unwrap().deliveries, 0);
    // Numbers are not given again.
    let next = w.push(new(Kind::File, "a")).await;
    assert!(next > live);
}

pub(crate) async fn the_log_goes_by_its_own_time<B: Backend>() {
    let w = World::<B>::new().await;
    let id = w.in_status(Kind::Record, "a", Status::Archived).await;
    w.advance(100 * DAY);
    let (archived, entries) =
        (w.now() - Duration::from_secs(50 * DAY), w.now() - Duration::from_secs(150 * DAY));
    assert_eq!(w.ledger.forget(archived, entries, 100).await.unwrap().deliveries, 1);
    assert_eq!(w.ledger.get(id).await.unwrap(), None);
    assert_eq!(w.ledger.audit(id).await.unwrap().len(), 4, "what became of it is still known");
}

/// Forgets all of before this time. Returns how many deliveries went, and how many entries.
async fn forget<B: Backend>(w: &World<B>, before: jiff::Timestamp) -> (u64, u64) {
    let mut gone = (0, 0);
    loop {
        let some = w.ledger.forget(before, before, 100).await.unwrap();
        gone = (gone.0 + some.deliveries, gone.1 + some.entries);
        if !some.more {
            return gone;
        }
    }
}

pub(crate) async fn nothing_is_forgotten_of_what_still_lives<B: Backend>() {
    let w = World::<B>::new().await;
    let gone = w.in_status(Kind::Record, "a", Status::Archived).await;
    let lives = w.in_status(Kind::File, "a", Status::Completed).await;
    let behind = w.in_status(Kind::Record, "a", Status::Archived).await;
    w.advance(1000 * DAY);
    let before = w.now() - Duration::from_secs(50 * DAY);
    assert_eq!(forget(&w, before).await, (2, 4));
    assert!(w.ledger.audit(gone).await.unwrap().is_empty());
    assert_eq!(w.ledger.audit(lives).await.unwrap().len(), 3, "it is still there, however old");
    assert_eq!(w.ledger.audit(behind).await.unwrap().len(), 4, "the log has no holes");
    w.ledger.archive("test", vec![lives]).await.unwrap();
    assert_eq!(forget(&w, before).await, (0, 0), "nor of what is archived");
    assert_eq!(w.ledger.audit(lives).await.unwrap().len(), 4);
    w.advance(100 * DAY);
    let before = w.now() - Duration::from_secs(50 * DAY);
    assert_eq!(forget(&w, before).await, (1, 8));
    assert_eq!(w.number("SELECT count(*) FROM audit_log").await, 0);
}

pub(crate) async fn its_storage_is_measured<B: Backend>() {
    let w = World::<B>::new().await;
    w.push_to(Kind::Record, "a", 100).await;
    w.ledger.prepare_archive().await.unwrap();
    let health = w.ledger.health().await.unwrap();
    match &health.file {
        Some(file) => assert!(file.bytes + file.log_bytes > 0 && health.tables.is_empty()),
        None => {
            let names: Vec<&str> = health.tables.iter().map(|table| table.table.as_str()).collect();
            for expected in ["data_staging_live", "deliveries_live", "data_archive_rest", "audit_log"] {
                assert!(names.contains(&expected), "{names:?}");
            }
            assert!(health.tables.iter().all(|table| table.autovacuum));
        }
    }
}
