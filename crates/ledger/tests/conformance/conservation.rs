//! Pushed = live + archived + deleted, by source, whatever happened; and retention.

use super::*;
use handover_ledger::Conserved;

/// The counts hold, and are what is there.
pub(crate) async fn check<B: Backend>(w: &World<B>) -> Vec<Conserved> {
    let sums = w.ledger.conservation().await.unwrap();
    for sum in &sums {
        assert!(sum.holds(), "{sum:?}");
    }
    let real = "SELECT source_app, kind, sum(live), sum(archived) FROM (\
                SELECT source_app, kind, CASE WHEN deleted_at IS NULL THEN 1 ELSE 0 END AS live, 0 AS archived FROM data_staging \
                UNION ALL SELECT source_app, kind, CASE WHEN deleted_at IS NULL THEN 1 ELSE 0 END, 0 FROM deliveries \
                UNION ALL SELECT source_app, kind, 0, 1 FROM data_archive) AS everything \
                GROUP BY source_app, kind ORDER BY source_app, kind";
    let there: Vec<Vec<String>> = w.backend.rows(real).await;
    let counted: Vec<Vec<String>> = sums
        .iter()
        .filter(|sum| sum.live + sum.archived > 0 || there.iter().any(|row| row[0] == sum.source))
        .map(|s| vec![s.source.clone(), s.kind.to_string(), s.live.to_string(), s.archived.to_string()])
        .collect();
    assert_eq!(counted, there);
    sums
}

pub(crate) async fn what_was_pushed_is_live_archived_or_deleted<B: Backend>() {
    let w = World::<B>::new().await;
    assert!(check(&w).await.is_empty());
    for kind in KINDS {
        let archived = w.in_status(kind, "a", Status::Archived).await;
        w.in_status(kind, "a", Status::Failed).await;
        w.in_status(kind, "a", Status::Completed).await;
        let (_, held) = w.held(kind, "b").await;
        let next = NewDelivery { source_app: "b".into(), ..new(kind, "c") };
        w.ledger.complete(completion(&held, vec![next.clone(), next])).await.unwrap();
        w.ledger.replay("ann", archived).await.unwrap();
        check(&w).await;
    }
    // A load, a duplicate that is none, and plain SQL of every sort.
    w.ledger.begin_load("test", "k", true).await.unwrap();
    let row =
        NewDelivery { source_app: "bulk".into(), dedup_key: Some("d".into()), ..new(Kind::Record, "a") };
    w.ledger.load("test", "k", 0, 0, vec![row.clone(), row]).await.unwrap();
    check(&w).await;
    w.ledger.end_load("test", "k").await.unwrap();
    check(&w).await;
    for change in [
        "INSERT INTO data_staging (source_app, target_app, data) VALUES ('sql', 'a', '1'), ('sql', 'b', '2'), ('sql', 'c', '3')",
        "UPDATE data_staging SET deleted_at = created_at WHERE source_app = 'sql' AND target_app = 'a'",
        "DELETE FROM data_staging WHERE source_app = 'sql' AND target_app IN ('a', 'b')",
        "UPDATE data_staging SET source_app = 'other' WHERE source_app = 'sql'",
        "UPDATE data_staging SET status = 'completed' WHERE source_app = 'other'",
        "UPDATE data_staging SET status = 'archived' WHERE source_app = 'other'",
    ] {
        w.backend.sql(change).await.unwrap();
        check(&w).await;
    }
    w.ledger.move_archived(10).await.unwrap();
    let sums = check(&w).await;
    let of = |source: &str| sums.iter().find(|s| s.source == source && s.kind == Kind::Record).unwrap();
    assert_eq!((of("sql").pushed, of("sql").live, of("sql").deleted), (2, 0, 2));
    assert_eq!((of("other").pushed, of("other").archived), (1, 1));
    assert_eq!((of("bulk").pushed, of("bulk").live), (1, 1));
    w.backend.sql("DELETE FROM data_archive WHERE source_app = 'other'").await.unwrap();
    let sums = check(&w).await;
    assert!(sums.iter().any(|s| s.source == "other" && s.deleted == 1), "{sums:?}");
}

pub(crate) async fn what_is_deleted_may_come_back<B: Backend>() {
    let w = World::<B>::new().await;
    let id = w.push(new(Kind::Record, "a")).await;
    w.backend.sql("UPDATE data_staging SET deleted_at = created_at").await.unwrap();
    let sums = check(&w).await;
    assert_eq!((sums[0].pushed, sums[0].live, sums[0].deleted), (1, 0, 1));
    w.ledger.restore("ann", id).await.unwrap();
    let sums = check(&w).await;
    assert_eq!((sums[0].pushed, sums[0].live, sums[0].deleted), (1, 1, 0));
}

pub(crate) async fn what_has_come_of_age_is_archived<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let queue = Queue::from(kind);
        let first = w.in_status(kind, "a", Status::Completed).await;
        let failed = w.in_status(kind, "a", Status::Failed).await;
        w.advance(10);
        let second = w.in_status(kind, "a", Status::Completed).await;
        w.advance(10);
        let third = w.in_status(kind, "a", Status::Completed).await;
        let pending = w.push(new(kind, "a")).await;
        let archive = async |status, age: u64, max| {
            let before = w.now() - Duration::from_secs(age);
            w.ledger.archive_ended("ann", queue, status, before, max).await.unwrap()
        };
        assert_eq!(archive(Status::Completed, 60, 10).await, 0);
        assert_eq!(archive(Status::Pending, 0, 10).await, 0, "what has not ended stays");
        assert_eq!(archive(Status::Completed, 5, 1).await, 1, "no more than asked for, oldest first");
        assert_eq!((w.status(first).await, w.status(second).await), (Status::Archived, Status::Completed));
        assert_eq!(archive(Status::Completed, 5, 10).await, 1);
        assert_eq!((w.status(second).await, w.status(third).await), (Status::Archived, Status::Completed));
        assert_eq!(w.status(failed).await, Status::Failed);
        assert_eq!(archive(Status::Failed, 5, 10).await, 1);
        assert_eq!(w.status(pending).await, Status::Pending);
        let audit = w.ledger.audit(first).await.unwrap();
        assert_eq!(audit.last().map(|e| (e.actor.as_str(), e.to)), Some(("ann", Status::Archived)));
        w.ledger.cancel("test", pending).await.unwrap();
        w.check_counts().await;
        check(&w).await;
    }
}
