//! Bulk loads: each row once, whatever was cut; a whole load appears at once or not at all.

use super::*;
use handover_ledger::Load;

fn rows(kind: Kind, from: u64, count: u64) -> Vec<NewDelivery> {
    (from..from + count).map(|n| NewDelivery { data: json!({ "n": n }).into(), ..new(kind, "a") }).collect()
}

fn is(load: &Load) -> (u64, u64, bool) {
    (load.rows, load.duplicates, load.ended)
}

pub(crate) async fn a_load_goes_on_where_it_stopped<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let key = format!("load-{kind}");
        assert_eq!(is(&w.ledger.begin_load("test", &key, false).await.unwrap()), (0, 0, false));
        assert_eq!(is(&w.ledger.load("test", &key, 0, 0, rows(kind, 0, 3)).await.unwrap()), (3, 0, false));
        // What it loaded is there at once, and may be worked on.
        assert_eq!(w.claim(kind, "a", 10).await.len(), 3);
        // Another process, after a cut.
        let other = w.backend.open().await;
        let load = other.begin_load("test", &key, false).await.unwrap();
        assert_eq!(is(&load), (3, 0, false));
        stale_load(other.load("test", &key, 0, 0, rows(kind, 0, 3)).await);
        stale_load(other.load("test", &key, 4, 0, rows(kind, 4, 1)).await);
        let load = other.load("test", &key, 3, 2, rows(kind, 3, 2)).await.unwrap();
        assert_eq!((is(&load), load.skipped), ((5, 0, false), 2));
        assert_eq!(is(&other.end_load("test", &key).await.unwrap()), (5, 0, true));
        assert_eq!(is(&w.ledger.end_load("test", &key).await.unwrap()), (5, 0, true));
        let load = w.ledger.begin_load("test", &key, false).await.unwrap();
        assert_eq!((is(&load), load.skipped), ((5, 0, true), 2), "what was passed over is kept");
        stale_load(w.ledger.load("test", &key, 5, 0, rows(kind, 5, 1)).await);
        let claimed = w.claim(kind, "a", 10).await;
        let numbers: Vec<_> = claimed.iter().map(|d| d.data["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [3, 4], "in their order, none twice");
        assert_eq!(claimed[0].created_by.as_deref(), Some("test"));
        assert!(!w.ledger.drop_load("test", &key).await.unwrap(), "it has ended");
    }
    w.check_counts().await;
}

pub(crate) async fn by_what_a_load_is_made_stands_once_rows_are_in<B: Backend>() {
    let w = World::<B>::new().await;
    for whole in [false, true] {
        let key = format!("load-{whole}");
        assert_eq!(w.ledger.begin_load("test", &key, whole).await.unwrap().made_by, None);
        for by in [Some("one"), None, Some("two")] {
            assert_eq!(w.ledger.load_is_made_by(&key, by).await.unwrap().made_by.as_deref(), by);
        }
        w.ledger.load("test", &key, 0, 0, rows(Kind::Record, 0, 1)).await.unwrap();
        let load = w.ledger.load_is_made_by(&key, None).await.unwrap();
        assert_eq!((is(&load), load.made_by.as_deref()), ((1, 0, false), Some("two")));
    }
    // Of an ended load nothing changes, also where none of its source's rows came in.
    w.ledger.begin_load("test", "none", false).await.unwrap();
    w.ledger.load_is_made_by("none", Some("one")).await.unwrap();
    w.ledger.end_load("test", "none").await.unwrap();
    let load = w.ledger.load_is_made_by("none", Some("two")).await.unwrap();
    assert_eq!((is(&load), load.made_by.as_deref()), ((0, 0, true), Some("one")));
    assert_eq!(refused(w.ledger.load_is_made_by("unknown", None).await), ErrorKind::NotFound);
}

#[track_caller]
fn stale_load(result: Result<Load>) {
    assert_eq!(refused(result), ErrorKind::Stale);
}

pub(crate) async fn a_whole_load_is_unseen_until_its_end<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let key = format!("whole-{kind}");
        let table = if kind == Kind::Record { "data_staging" } else { "deliveries" };
        w.ledger.begin_load("test", &key, true).await.unwrap();
        w.ledger.load("test", &key, 0, 0, rows(kind, 0, 700)).await.unwrap();
        w.ledger.load("test", &key, 700, 0, rows(kind, 700, 1_300)).await.unwrap();
        // Nobody sees anything of it.
        let all =
            handover_ledger::Filter { archived: true, limit: 9, kind: Some(kind), ..Default::default() };
        assert!(w.ledger.list(all).await.unwrap().is_empty());
        assert!(w.claim(kind, "a", 10).await.is_empty());
        assert!(w.ledger.counts().await.unwrap().iter().all(|count| count.kind != kind));
        assert_eq!(w.ledger.waiting(kind.into(), "a", 10).await.unwrap().count, 0);
        assert_eq!(w.ledger.oldest_pending("a").await.unwrap(), None);
        assert_eq!(w.number(&format!("SELECT count(*) FROM {table}")).await, 0);
        assert!(w.ledger.conservation().await.unwrap().iter().all(|sum| sum.kind != kind));
        w.advance(5);
        assert_eq!(is(&w.ledger.end_load("test", &key).await.unwrap()), (2_000, 0, true));
        assert_eq!(w.ledger.waiting(kind.into(), "a", 9_999).await.unwrap().count, 2_000);
        let claimed = w.claim(kind, "a", 5_000).await;
        let numbers: Vec<_> = claimed.iter().map(|d| d.data["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..2_000).collect::<Vec<_>>(), "all of them, in their order");
        assert_eq!(claimed[0].created_at, w.now(), "born when they appeared");
        let audit = w.ledger.audit(claimed[1_500].id).await.unwrap();
        assert_eq!((audit[0].from, audit[0].to, audit[0].at), (None, Status::Pending, w.now()));
        w.check_counts().await;
        w.ledger.release(claimed.iter().map(held).collect(), None).await.unwrap();
        for id in ids(&claimed) {
            w.ledger.cancel("test", id).await.unwrap();
        }
    }
}

pub(crate) async fn a_whole_load_that_is_given_up_leaves_nothing<B: Backend>() {
    let w = World::<B>::new().await;
    assert!(!w.ledger.drop_load("test", "k").await.unwrap());
    w.ledger.begin_load("test", "k", true).await.unwrap();
    w.ledger.load("test", "k", 0, 0, rows(Kind::Record, 0, 10)).await.unwrap();
    assert!(w.ledger.drop_load("test", "k").await.unwrap());
    assert_eq!(is(&w.ledger.begin_load("test", "k", true).await.unwrap()), (0, 0, false));
    w.ledger.load("test", "k", 0, 0, rows(Kind::Record, 0, 1)).await.unwrap();
    assert_eq!(is(&w.ledger.end_load("test", "k").await.unwrap()), (1, 0, true));
    assert_eq!(w.claim(Kind::Record, "a", 10).await.len(), 1);
    // One in batches cannot be given up: its rows are out in the world.
    w.ledger.begin_load("test", "b", false).await.unwrap();
    assert!(!w.ledger.drop_load("test", "b").await.unwrap());
}

pub(crate) async fn a_load_counts_what_was_known<B: Backend>() {
    let w = World::<B>::new().await;
    let keyed = |key: &str| NewDelivery { dedup_key: Some(key.into()), ..new(Kind::Record, "a") };
    w.push(keyed("x")).await;
    for (name, whole) in [("batches", false), ("whole", true)] {
        let fresh = format!("{name}-y");
        w.ledger.begin_load("test", name, whole).await.unwrap();
        let all = vec![keyed("x"), keyed(&fresh), keyed(&fresh)];
        w.ledger.load("test", name, 0, 0, all).await.unwrap();
        assert_eq!(is(&w.ledger.end_load("test", name).await.unwrap()), (3, 2, true));
    }
    assert_eq!(w.claim(Kind::Record, "a", 10).await.len(), 3);
    w.check_counts().await;
}

pub(crate) async fn a_load_is_whole_or_it_is_not<B: Backend>() {
    let w = World::<B>::new().await;
    w.ledger.begin_load("test", "k", true).await.unwrap();
    assert_eq!(refused(w.ledger.begin_load("test", "k", false).await), ErrorKind::Config);
    assert_eq!(refused(w.ledger.load("test", "unknown", 0, 0, vec![]).await), ErrorKind::NotFound);
    assert_eq!(refused(w.ledger.end_load("test", "unknown").await), ErrorKind::NotFound);
}

pub(crate) async fn a_bad_row_takes_its_batch_with_it<B: Backend>() {
    let w = World::<B>::new().await;
    for (key, whole) in [("batches", false), ("whole", true)] {
        w.ledger.begin_load("test", key, whole).await.unwrap();
        let bad = NewDelivery { max_attempts: 0, ..new(Kind::Record, "a") };
        let error = w.ledger.load("test", key, 0, 0, vec![new(Kind::Record, "a"), bad]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(is(&w.ledger.begin_load("test", key, whole).await.unwrap()), (0, 0, false));
        w.ledger.end_load("test", key).await.unwrap();
    }
    assert!(w.claim(Kind::Record, "a", 10).await.is_empty());
}
