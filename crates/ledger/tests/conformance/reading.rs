//! Lists, counts, times, the archive.

use super::*;
use handover_ledger::Filter;

async fn list<B: Backend>(w: &World<B>, filter: Filter) -> Vec<DeliveryId> {
    ids(&w.ledger.list(Filter { limit: 100, ..filter }).await.unwrap())
}

pub(crate) async fn each_filter_and_all_together<B: Backend>() {
    let w = World::<B>::new().await;
    let start = w.now();
    let first = w.in_status(Kind::File, "a", Status::Completed).await;
    w.advance(10);
    let second = w
        .push(NewDelivery { flow: Some("sales".into()), parent_id: Some(first), ..new(Kind::Record, "a") })
        .await;
    let third = w
        .push(NewDelivery {
            replay_of: Some(first),
            data: json!({"path": "z.csv"}).into(),
            ..new(Kind::File, "b")
        })
        .await;
    let job = w.push(NewDelivery { data: json!({"path": "z.csv"}).into(), ..new(Kind::Job, "b") }).await;
    w.advance(10);
    let failed = w.in_status(Kind::Record, "c", Status::Failed).await;
    let archived = w.in_status(Kind::File, "a", Status::Archived).await;
    let all = Filter::default;
    assert_eq!(list(&w, all()).await, [failed, job, third, second, first]);
    assert_eq!(
        list(&w, Filter { archived: true, ..all() }).await,
        [archived, failed, job, third, second, first]
    );
    assert_eq!(list(&w, Filter { app: Some("a".into()), ..all() }).await, [second, first]);
    assert_eq!(list(&w, Filter { status: Some(Status::Pending), ..all() }).await, [job, third, second]);
    assert_eq!(list(&w, Filter { status: Some(Status::Completed), ..all() }).await, [first]);
    assert_eq!(list(&w, Filter { status: Some(Status::Failed), ..all() }).await, [failed]);
    assert_eq!(
        list(&w, Filter { status: Some(Status::Archived), ..all() }).await,
        [archived],
        "asked for by its status"
    );
    assert_eq!(list(&w, Filter { kind: Some(Kind::Job), ..all() }).await, [job]);
    assert_eq!(list(&w, Filter { flow: Some("sales".into()), ..all() }).await, [second]);
    let tenth = start + Duration::from_secs(10);
    assert_eq!(list(&w, Filter { since: Some(tenth), ..all() }).await, [failed, job, third, second]);
    assert_eq!(list(&w, Filter { ended_before: Some(tenth), ..all() }).await, [first]);
    assert_eq!(list(&w, Filter { ended_before: Some(start), ..all() }).await, [] as [DeliveryId; 0]);
    assert_eq!(list(&w, Filter { before: Some(third), ..all() }).await, [second, first]);
    assert_eq!(list(&w, Filter { parent: Some(first), ..all() }).await, [second]);
    assert_eq!(list(&w, Filter { replay_of: Some(first), ..all() }).await, [third]);
    assert_eq!(
        list(&w, Filter { path: Some("z.csv".into()), ..all() }).await,
        [third],
        "a job reads no path"
    );
    let everything = Filter {
        app: Some("a".into()),
        status: Some(Status::Pending),
        kind: Some(Kind::Record),
        flow: Some("sales".into()),
        since: Some(start),
        before: Some(third),
        parent: Some(first),
        archived: true,
        ..all()
    };
    assert_eq!(list(&w, everything.clone()).await, [second]);
    assert_eq!(list(&w, Filter { ended_before: Some(w.now()), ..everything }).await, [] as [DeliveryId; 0]);
    let unbounded = Filter { limit: usize::MAX, archived: true, ..all() };
    assert_eq!(w.ledger.list(unbounded).await.unwrap().len(), 6);
    assert!(w.ledger.list(Filter { limit: 0, ..all() }).await.unwrap().is_empty());
}

pub(crate) async fn what_has_an_order_key_is_listed<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let keyed = |app: &str, key: &str| NewDelivery { order_key: Some(key.into()), ..new(kind, app) };
        let one = w.push(keyed("a", "k")).await;
        w.push(keyed("a", "other")).await;
        let two = w.push(keyed("b", "k")).await;
        w.push(new(kind, "a")).await;
        let by = |app: Option<&str>, key: &str| Filter {
            order_key: Some(key.into()),
            app: app.map(str::to_owned),
            kind: Some(kind),
            ..Filter::default()
        };
        assert_eq!(list(&w, by(None, "k")).await, [two, one]);
        assert_eq!(list(&w, by(Some("a"), "k")).await, [one]);
        assert_eq!(list(&w, by(None, "none")).await, []);
        // Whatever becomes of it.
        w.ledger.cancel("test", one).await.unwrap();
        let status = |status, archived| Filter { status: Some(status), archived, ..by(None, "k") };
        assert_eq!(list(&w, status(Status::Failed, false)).await, [one]);
        assert_eq!(list(&w, status(Status::Pending, false)).await, [two]);
        w.ledger.archive("test", vec![one]).await.unwrap();
        assert_eq!(list(&w, by(None, "k")).await, [two]);
        assert_eq!(list(&w, Filter { archived: true, ..by(None, "k") }).await, [two, one]);
    }
}

/// How many deliveries were made into records, each counted once, wherever they and their records are.
pub(crate) async fn what_was_made_into_records_is_counted_once<B: Backend>() {
    let w = World::<B>::new().await;
    let files = w.push_to(Kind::File, "importer", 3).await;
    let made = |parent: usize, app: &str| NewDelivery {
        source_app: "importer".into(),
        parent_id: Some(files[parent]),
        ..new(Kind::Record, app)
    };
    let all =
        [made(0, "a"), made(0, "a"), made(1, "a"), made(2, "b"), made(0, "b"), made(2, "gone"), made(2, "a")];
    let pushed = w.ledger.push("test", all.to_vec()).await.unwrap();
    let ids: Vec<DeliveryId> = pushed.iter().map(|one| one.id()).collect();
    let replay = NewDelivery { replay_of: Some(ids[0]), ..made(2, "a") };
    let file = NewDelivery { kind: Kind::File, ..made(2, "files") };
    let end = NewDelivery { target_app: None, ..made(2, "") };
    w.ledger.push("test", vec![replay, file, end, new(Kind::Record, "no-parent")]).await.unwrap();
    let deleted =
        format!("UPDATE data_staging SET deleted_at = created_at WHERE id IN ({}, {})", ids[5], ids[6]);
    w.backend.sql(&deleted).await.unwrap();
    for archived in [false, true] {
        if archived {
            w.ledger.cancel("test", ids[1]).await.unwrap();
            w.ledger.cancel("test", ids[2]).await.unwrap();
            let mark = format!("UPDATE data_staging SET status = 'archived' WHERE id = {}", ids[1]);
            w.backend.sql(&mark).await.unwrap();
            assert_eq!(w.ledger.archive("test", vec![ids[2]]).await.unwrap(), 1);
        }
        let parents = w.ledger.links().await.unwrap().parents;
        let counted: Vec<_> =
            parents.iter().map(|p| (p.source.as_str(), p.target.as_str(), p.count)).collect();
        assert_eq!(counted, [("importer", "a", 2), ("importer", "b", 2)]);
    }
}

pub(crate) async fn pages_join_without_gap<B: Backend>() {
    let w = World::<B>::new().await;
    let mut all = vec![];
    for n in 0..25 {
        all.push(w.push(new(KINDS[n % 2], "a")).await);
    }
    w.ledger.cancel("test", all[3]).await.unwrap();
    w.ledger.archive("test", vec![all[3]]).await.unwrap();
    all.reverse();
    let mut paged = vec![];
    loop {
        let page = Filter { before: paged.last().copied(), archived: true, limit: 7, ..Filter::default() };
        let page = ids(&w.ledger.list(page).await.unwrap());
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 7);
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

pub(crate) async fn counts_are_kept<B: Backend>() {
    let w = World::<B>::new().await;
    assert!(w.ledger.counts().await.unwrap().is_empty());
    for kind in KINDS {
        for status in Status::ALL {
            w.in_status(kind, status.as_str(), status).await;
        }
    }
    w.push(NewDelivery { target_app: None, ..new(Kind::File, "") }).await;
    let mut counts = w.ledger.counts().await.unwrap();
    counts.retain(|c| c.count > 0);
    assert_eq!(counts.len(), 11);
    assert!(
        counts.iter().all(|c| c.count == 1 && (c.app == c.status.as_str() || c.app.is_empty())),
        "{counts:?}"
    );
    w.check_counts().await;
}

/// How many ever came to each status of an app.
async fn entered<B: Backend>(w: &World<B>, kind: Kind, app: &str) -> [u64; 5] {
    let counts = w.ledger.counts().await.unwrap();
    Status::ALL.map(|status| {
        let one = counts.iter().find(|c| (c.kind, c.status) == (kind, status) && c.app == app);
        one.map_or(0, |one| one.entered)
    })
}

pub(crate) async fn what_ever_came_is_counted<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        // Of three: one done and archived, one given back, claimed again and failed, one failed, retried and left.
        let of = w.push_to(kind, "a", 3).await;
        let claimed = w.claim(kind, "a", 1).await;
        w.complete(&held(&claimed[0])).await.unwrap();
        if w.stands(kind, Status::Completed) == Status::Completed {
            w.ledger.archive("test", vec![of[0]]).await.unwrap();
        }
        let claimed = w.claim(kind, "a", 1).await;
        w.ledger.release(vec![held(&claimed[0])], None).await.unwrap();
        for claimed in w.claim(kind, "a", 2).await {
            w.fail(&held(&claimed), Verdict::Final).await.unwrap();
        }
        w.ledger.retry("test", of[2]).await.unwrap();
        // pending: 3, the one that was given back, the one that is tried again. In the order of Status::ALL.
        assert_eq!(entered(&w, kind, "a").await, [5, 4, 1, 2, 1]);
        w.check_counts().await;
        w.ledger.prepare_archive().await.unwrap();
        w.compact().await;
        assert_eq!(entered(&w, kind, "a").await, [5, 4, 1, 2, 1]);
        // Whoever deletes takes nothing from it.
        w.backend.sql(&format!("DELETE FROM data_archive WHERE id = {}", of[0])).await.unwrap();
        assert_eq!(entered(&w, kind, "a").await, [5, 4, 1, 2, 1]);
    }
    plain_sql_counts_what_came(&w).await;
}

/// A program with plain SQL: hands over, claims, completes, gives to another app, and moves two ways with one statement.
async fn plain_sql_counts_what_came<B: Backend>(w: &World<B>) {
    let insert =
        "INSERT INTO data_staging (source_app, target_app, data) VALUES ('s', 'p', '{}'), ('s', 'p', '{}')";
    w.backend.sql(insert).await.unwrap();
    let first = w.number("SELECT min(id) FROM data_staging WHERE target_app = 'p'").await;
    let change =
        |to: &str, which: String| format!("UPDATE data_staging SET {to} WHERE target_app = 'p'{which}");
    w.backend.sql(&change("status = 'processing'", format!(" AND id = {first}"))).await.unwrap();
    let swap = "status = CASE status WHEN 'pending' THEN 'processing' ELSE 'pending' END";
    w.backend.sql(&change(swap, String::new())).await.unwrap();
    assert_eq!(entered(w, Kind::Record, "p").await, [3, 2, 0, 0, 0]);
    w.backend.sql(&change("priority = 3", String::new())).await.unwrap();
    w.backend.sql(&change("status = 'completed'", format!(" AND id > {first}"))).await.unwrap();
    w.backend.sql(&change("target_app = 'q'", format!(" AND id = {first}"))).await.unwrap();
    assert_eq!(entered(w, Kind::Record, "p").await, [3, 2, 1, 0, 0]);
    assert_eq!(entered(w, Kind::Record, "q").await, [1, 0, 0, 0, 0]);
    w.check_counts().await;
    w.compact().await;
    assert_eq!(entered(w, Kind::Record, "p").await, [3, 2, 1, 0, 0]);
}

pub(crate) async fn the_next_due_time<B: Backend>() {
    let w = World::<B>::new().await;
    assert_eq!(w.ledger.next_due().await.unwrap(), None);
    let start = w.now();
    let at = |seconds: u64| Some(start + Duration::from_secs(seconds));
    w.push_to(Kind::File, "now", 1).await;
    assert_eq!(w.ledger.next_due().await.unwrap(), None, "what can be claimed now is not awaited");
    for (kind, seconds) in [(Kind::Record, 100), (Kind::File, 80), (Kind::Record, 90)] {
        w.push(NewDelivery { run_at: at(seconds), ..new(kind, "a") }).await;
    }
    assert_eq!(w.ledger.next_due().await.unwrap(), at(80));
    assert_eq!(w.claim(Kind::File, "now", 1).await.len(), 1);
    assert_eq!(w.ledger.next_due().await.unwrap(), at(60), "the lease");
    w.advance(60);
    assert_eq!(w.ledger.next_due().await.unwrap(), at(80), "what lies in the past is not awaited");
    w.advance(20);
    assert_eq!(w.ledger.next_due().await.unwrap(), at(90));
}

pub(crate) async fn the_oldest_pending<B: Backend>() {
    let w = World::<B>::new().await;
    assert_eq!(w.ledger.oldest_pending("a").await.unwrap(), None);
    let start = w.now();
    let delayed = start + Duration::from_secs(100);
    w.push(NewDelivery { run_at: Some(delayed), ..new(Kind::File, "a") }).await;
    w.push(new(Kind::File, "b")).await;
    assert_eq!(w.ledger.oldest_pending("a").await.unwrap(), None);
    w.advance(5);
    w.push(NewDelivery { priority: 9, ..new(Kind::Record, "a") }).await;
    w.advance(5);
    w.push(new(Kind::File, "a")).await;
    assert_eq!(w.ledger.oldest_pending("a").await.unwrap(), Some(start + Duration::from_secs(5)));
    w.claim(Kind::Record, "a", 1).await;
    assert_eq!(w.ledger.oldest_pending("a").await.unwrap(), Some(start + Duration::from_secs(10)));
    w.advance(100);
    assert_eq!(w.ledger.oldest_pending("a").await.unwrap(), Some(start));
}

pub(crate) async fn the_archive_takes_what_ended<B: Backend>() {
    let w = World::<B>::new().await;
    let mut ended = vec![];
    for kind in [Kind::File, Kind::Job, Kind::Record] {
        for status in [Status::Completed, Status::Failed] {
            ended.push(w.in_status(kind, "a", status).await);
        }
    }
    let before: Vec<Delivery> = futures(&w, &ended).await;
    assert_eq!(w.ledger.archive("ann", ended.clone()).await.unwrap(), 6);
    assert_eq!(w.ledger.archive("ann", ended.clone()).await.unwrap(), 0, "they are there already");
    assert_eq!(w.number("SELECT count(*) FROM deliveries").await, 0);
    assert_eq!(w.number("SELECT count(*) FROM data_staging").await, 0);
    for (was, now) in before.into_iter().zip(futures(&w, &ended).await) {
        assert_eq!(now, Delivery { status: Status::Archived, ..was }, "nothing else is changed");
    }
    assert_eq!(w.ledger.archive("ann", vec![]).await.unwrap(), 0);
    w.check_counts().await;
}

async fn futures<B: Backend>(w: &World<B>, ids: &[DeliveryId]) -> Vec<Delivery> {
    let mut all = vec![];
    for id in ids {
        all.push(w.get(*id).await);
    }
    all
}

pub(crate) async fn the_archive_refuses_what_has_not<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let ended = w.in_status(kind, "a", Status::Completed).await;
        for status in [Status::Pending, Status::Processing] {
            let running = w.in_status(kind, "a", status).await;
            assert_eq!(
                refused(w.ledger.archive("ann", vec![ended, running]).await),
                ErrorKind::IllegalTransition
            );
            assert_eq!(
                (w.status(ended).await, w.status(running).await),
                (Status::Completed, status),
                "none is moved"
            );
            w.ledger.cancel("test", running).await.unwrap();
        }
    }
    w.check_counts().await;
}

pub(crate) async fn a_moved_archive_is_read_through<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        let next = w.ledger.complete(completion(&held, vec![new(kind, "b")])).await.unwrap();
        w.ledger.cancel("test", next[0]).await.unwrap();
        w.ledger.archive("ann", vec![id, next[0]]).await.unwrap();
        let children = Filter { parent: Some(id), archived: true, ..Filter::default() };
        assert_eq!(list(&w, children).await, next);
        assert_eq!(w.ledger.audit(id).await.unwrap().len(), 4);
        assert_eq!(w.get(w.ledger.replay("ann", id).await.unwrap()).await.replay_of, Some(id));
    }
}
