//! Arrivals: each state of each original is taken once.

use super::*;
use handover_core::Checksum;
use handover_ledger::{Arrival, ArrivalKey, Arrived, Content, NOT_TAKEN, NewArrival};
use tokio::task::JoinSet;

/// The arrival of a file of this path, last written at this second.
pub(crate) fn seen(path: &str, mtime: i64) -> NewArrival {
    NewArrival {
        key: ArrivalKey {
            app: "file-importer".into(),
            path: path.into(),
            device: u64::MAX,
            inode: 1 << 63,
            size: 17,
            mtime: jiff::Timestamp::new(mtime, 123_456_789).unwrap(),
        },
        proof: "renamed in".into(),
        delivery: new(Kind::File, "file-importer"),
        refused: None,
    }
}

async fn arrive<B: Backend>(w: &World<B>, arrival: NewArrival) -> Arrived {
    w.ledger.arrive("importer", vec![arrival]).await.unwrap()[0]
}

pub(crate) async fn one_state_of_a_file_arrives_once<B: Backend>() {
    let w = World::<B>::new().await;
    let Arrived::New(first) = arrive(&w, seen("in/a.csv", 1)).await else { panic!("it is new") };
    assert_eq!(arrive(&w, seen("in/a.csv", 1)).await, Arrived::Known(first));
    // Each part of the key makes another state.
    let change = |change: fn(&mut ArrivalKey)| {
        let mut arrival = seen("in/a.csv", 1);
        change(&mut arrival.key);
        arrival
    };
    let changed = vec![
        change(|key| key.mtime += Duration::from_nanos(1)),
        change(|key| key.size = 18),
        change(|key| key.inode = 2),
        change(|key| key.device = 3),
        change(|key| key.app = "other-importer".into()),
        change(|key| key.path = "in/b.csv".into()),
        change(|key| key.path = "in/b.csv".into()),
    ];
    let arrived = w.ledger.arrive("importer", changed).await.unwrap();
    assert!(arrived[..6].iter().all(|a| matches!(a, Arrived::New(_))), "{arrived:?}");
    assert!(matches!(arrived[6], Arrived::Known(_)), "{arrived:?}");
    assert_eq!(w.number("SELECT count(*) FROM deliveries").await, 7);
    let known = w.ledger.arrivals("file-importer", 100).await.unwrap();
    assert_eq!(known.len(), 6);
    let oldest = known.last().unwrap();
    assert_eq!((&oldest.key, oldest.delivery_id), (&seen("in/a.csv", 1).key, first));
    assert_eq!((oldest.proof.as_str(), oldest.arrived_at, &oldest.checksum), ("renamed in", w.now(), &None));
    assert_eq!(w.ledger.arrivals("file-importer", 2).await.unwrap(), known[..2]);
    let of = async |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        w.ledger.arrivals_of("file-importer", &paths).await.unwrap()
    };
    let b = known.iter().find(|arrival| arrival.key.path == "in/b.csv").unwrap();
    assert_eq!(of(&["in/b.csv", "b.csv", "in/none.csv"]).await, std::slice::from_ref(b));
    assert_eq!((of(&["in/a.csv"]).await.len(), of(&[]).await.len()), (5, 0));
}

pub(crate) async fn a_refused_one_is_born_failed<B: Backend>() {
    let w = World::<B>::new().await;
    let refused = || NewArrival { refused: Some("it is a symbolic link".into()), ..seen("in/link.csv", 1) };
    let Arrived::New(id) = arrive(&w, refused()).await else { panic!("it is new") };
    let delivery = w.get(id).await;
    assert_eq!((delivery.status, delivery.processed_at), (Status::Failed, Some(w.now())));
    assert_eq!(delivery.last_error.as_deref(), Some("it is a symbolic link"));
    assert!(w.claim(Kind::File, "file-importer", 1).await.is_empty());
    let audit = w.ledger.audit(id).await.unwrap();
    assert_eq!((audit.len(), audit[0].from, audit[0].to), (1, None, Status::Failed));
    assert_eq!(audit[0].note.as_deref(), Some("it is a symbolic link"));
    assert_eq!(arrive(&w, refused()).await, Arrived::Known(id));
    // Where its delivery is another's, that one is not touched.
    let shared = |refused: Option<&str>, path: &str| NewArrival {
        delivery: NewDelivery { dedup_key: Some("k".into()), ..new(Kind::File, "file-importer") },
        refused: refused.map(Into::into),
        ..seen(path, 1)
    };
    let Arrived::New(good) = arrive(&w, shared(None, "in/c.csv")).await else { panic!("it is new") };
    assert_eq!(arrive(&w, shared(Some("no"), "in/d.csv")).await, Arrived::New(good));
    assert_eq!(w.status(good).await, Status::Pending);
    w.check_counts().await;
}

pub(crate) async fn found_by_path_and_by_name<B: Backend>() {
    let w = World::<B>::new().await;
    for (path, mtime) in [
        ("/srv/in/a.csv", 1),
        ("/srv/in/a.csv", 2),
        ("/srv/old/a.csv", 3),
        ("/srv/in/ba.csv", 4),
        ("a_csv", 5),
    ] {
        arrive(&w, seen(path, mtime)).await;
    }
    let at = async |path: &str| -> Vec<i64> {
        let found = w.ledger.arrivals_at(path).await.unwrap();
        found.iter().map(|a: &Arrival| a.key.mtime.as_second()).collect()
    };
    assert_eq!(at("/srv/in/a.csv").await, [2, 1], "newest first");
    assert_eq!(at("a.csv").await, [3, 2, 1], "by its name, wherever it lies");
    assert_eq!(at("in/a.csv").await, [2, 1]);
    for nothing in ["csv", "%.csv", "a_csv/", "", "/", "srv/in"] {
        assert_eq!(at(nothing).await, [0i64; 0], "{nothing:?}");
    }
}

pub(crate) async fn the_same_content_is_known<B: Backend>() {
    let w = World::<B>::new().await;
    let checksum = Checksum([9; 32]);
    let mut all = vec![];
    for path in ["in/a.csv", "in/b.csv", "in/c.csv"] {
        arrive(&w, seen(path, 1)).await;
        let claimed = w.claim(Kind::File, "file-importer", 1).await;
        let known = w.ledger.same_content("file-importer", checksum, claimed[0].id).await.unwrap();
        assert_eq!(known.iter().map(|a| a.delivery_id).collect::<Vec<_>>(), all, "oldest first");
        all.push(claimed[0].id);
        let completion = Completion { checksum: Some(checksum), ..completion(&held(&claimed[0]), vec![]) };
        w.ledger.complete(completion).await.unwrap();
    }
    assert_eq!(w.ledger.same_content("file-importer", checksum, all[0]).await.unwrap().len(), 2);
    assert!(w.ledger.same_content("other", checksum, DeliveryId(0)).await.unwrap().is_empty());
    assert!(
        w.ledger.same_content("file-importer", Checksum([8; 32]), DeliveryId(0)).await.unwrap().is_empty()
    );
}

pub(crate) async fn two_handles_take_a_file_once<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let mut importers = JoinSet::new();
    for n in 0..8 {
        let ledger = if n % 2 == 0 { w.ledger.clone() } else { other.clone() };
        importers.spawn(async move {
            let all = (0..50).map(|i| seen(&format!("in/{i}.csv"), 1)).collect();
            ledger.arrive("importer", all).await.unwrap()
        });
    }
    let arrived: Vec<Arrived> = importers.join_all().await.into_iter().flatten().collect();
    assert_eq!(arrived.iter().filter(|a| matches!(a, Arrived::New(_))).count(), 50);
    assert_eq!(w.number("SELECT count(*) FROM deliveries").await, 50);
}

pub(crate) async fn one_that_was_never_read_arrives_anew<B: Backend>() {
    let w = World::<B>::new().await;
    let not_taken = || json!({ NOT_TAKEN: true });
    let take = async || held(&w.claim(Kind::File, "file-importer", 1).await[0]);
    // It had become another: completed, and nothing was read.
    let Arrived::New(first) = arrive(&w, seen("in/a.csv", 1)).await else { panic!("it is new") };
    let ended = Completion { result: not_taken(), ..completion(&take().await, vec![]) };
    w.ledger.complete(ended).await.unwrap();
    assert!(w.ledger.arrivals("file-importer", 9).await.unwrap().is_empty());
    assert!(w.ledger.arrivals_of("file-importer", &["in/a.csv".into()]).await.unwrap().is_empty());
    let Arrived::New(second) = arrive(&w, seen("in/a.csv", 1)).await else { panic!("nobody has read it") };
    assert_ne!(first, second);
    assert_eq!(arrive(&w, seen("in/a.csv", 1)).await, Arrived::Known(second));
    // It had gone: failed for good. What is tried again is known as long as it is tried.
    let gone = |held: &Held, verdict| Failure { result: Some(not_taken()), ..failure(held, verdict) };
    w.ledger.fail(gone(&take().await, Verdict::Retry)).await.unwrap();
    assert_eq!(arrive(&w, seen("in/a.csv", 1)).await, Arrived::Known(second));
    w.advance(3_600);
    w.ledger.fail(gone(&take().await, Verdict::Final)).await.unwrap();
    w.ledger.archive("test", vec![second]).await.unwrap();
    let Arrived::New(third) = arrive(&w, seen("in/a.csv", 1)).await else { panic!("nobody has read it") };
    // Read at last: known for ever, archived or not.
    let checksum = Some(Checksum([9; 32]));
    w.ledger.complete(Completion { checksum, ..completion(&take().await, vec![]) }).await.unwrap();
    assert_eq!(arrive(&w, seen("in/a.csv", 1)).await, Arrived::Known(third));
    w.ledger.archive("test", vec![third]).await.unwrap();
    assert_eq!(arrive(&w, seen("in/a.csv", 1)).await, Arrived::Known(third));
    let known = w.ledger.arrivals_at("in/a.csv").await.unwrap();
    assert_eq!(known.iter().map(|a| a.delivery_id).collect::<Vec<_>>(), [third]);
    // Bad data that was read, and what was cancelled, stay known.
    let Arrived::New(bad) = arrive(&w, seen("in/b.csv", 1)).await else { panic!("it is new") };
    w.fail(&take().await, Verdict::Final).await.unwrap();
    assert_eq!(arrive(&w, seen("in/b.csv", 1)).await, Arrived::Known(bad));
}

/// Retention may come before the original comes back.
pub(crate) async fn one_that_was_never_read_is_new_after_retention_too<B: Backend>() {
    let w = World::<B>::new().await;
    let Arrived::New(read) = arrive(&w, seen("in/read.csv", 1)).await else { panic!("it is new") };
    w.ledger
        .complete(completion(&held(&w.claim(Kind::File, "file-importer", 1).await[0]), vec![]))
        .await
        .unwrap();
    w.ledger.archive("test", vec![read]).await.unwrap();
    // A server has the first in the part of a month, and the second in none.
    for _ in 0..2 {
        let Arrived::New(gone) = arrive(&w, seen("in/gone.csv", 1)).await else {
            panic!("nobody has read it")
        };
        let taken = held(&w.claim(Kind::File, "file-importer", 1).await[0]);
        let ended = Completion { result: json!({ NOT_TAKEN: true }), ..completion(&taken, vec![]) };
        w.ledger.complete(ended).await.unwrap();
        w.ledger.archive("test", vec![gone]).await.unwrap();
        w.advance(1_000 * 86_400);
        let before = w.now();
        while w.ledger.forget(before, before, 100).await.unwrap().more {}
        assert_eq!(w.ledger.get(gone).await.unwrap(), None);
        assert_eq!(arrive(&w, seen("in/read.csv", 1)).await, Arrived::Known(read), "it was read once");
    }
    assert!(matches!(arrive(&w, seen("in/gone.csv", 1)).await, Arrived::New(_)));
}

pub(crate) async fn one_content_has_one_taker<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let checksum = Checksum([9; 32]);
    for path in ["in/a.csv", "in/b.csv", "in/c.csv"] {
        arrive(&w, seen(path, 1)).await;
    }
    let claimed = w.claim(Kind::File, "file-importer", 3).await;
    let [a, b, c] = [0, 1, 2].map(|n| held(&claimed[n]));
    let take = async |ledger: &Arc<dyn Ledger>, held: &Held| {
        ledger.take_content(held, "file-importer", checksum).await.unwrap()
    };
    assert_eq!(take(&w.ledger, &a).await, Content::Ours);
    assert_eq!(take(&w.ledger, &a).await, Content::Ours, "again");
    assert_eq!(take(&other, &b).await, Content::Undecided(a.id));
    let late = Held { token: handover_core::LeaseToken::random(), ..c.clone() };
    stale(w.ledger.take_content(&late, "file-importer", checksum).await);
    // What was taken and not imported is nobody's content yet.
    assert!(w.ledger.same_content("file-importer", checksum, b.id).await.unwrap().is_empty());
    w.fail(&a, Verdict::Final).await.unwrap();
    assert_eq!(take(&other, &b).await, Content::Ours, "the one that had it has failed");
    assert_eq!(take(&w.ledger, &c).await, Content::Undecided(b.id));
    w.ledger.complete(Completion { checksum: Some(checksum), ..completion(&b, vec![]) }).await.unwrap();
    let Content::Imported(by) = take(&w.ledger, &c).await else { panic!("it was imported") };
    assert_eq!(by.iter().map(|a| a.delivery_id).collect::<Vec<_>>(), [b.id]);
    w.ledger.archive("test", vec![a.id, b.id]).await.unwrap();
    assert!(matches!(take(&w.ledger, &c).await, Content::Imported(by) if by.len() == 1));
}
