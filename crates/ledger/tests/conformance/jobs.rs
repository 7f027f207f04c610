//! Jobs: asking twice is one job, limits hold, progress is bounded, what belongs to ended jobs is forgotten.

use super::*;
use handover_core::limits::PROGRESS_LINES_MAX;
use handover_ledger::{Cancelled, Filter, IdempotencyKey, NewJob, Submitted};
use tokio::task::JoinSet;

pub(crate) fn job(app: &str, caller: &str) -> NewJob {
    let delivery = NewDelivery::new(Kind::Job, "api", Some(app.to_owned()), json!({"config": {"n": 1}}));
    NewJob { delivery, caller: caller.into(), key: None, caller_max: None, queue_max: None }
}

pub(crate) fn keyed(job: NewJob, owner: &str, key: &str, fingerprint: &str) -> NewJob {
    let key = IdempotencyKey { owner: owner.into(), key: key.into(), fingerprint: fingerprint.into() };
    NewJob { key: Some(key), ..job }
}

fn number(submitted: &Submitted) -> DeliveryId {
    match submitted {
        Submitted::New { id, .. } | Submitted::Known { id, .. } | Submitted::Differs(id) => *id,
        other => panic!("no number: {other:?}"),
    }
}

impl<B: Backend> World<B> {
    pub(crate) async fn submit(&self, job: NewJob) -> Submitted {
        self.ledger.submit(vec![job]).await.unwrap().remove(0)
    }

    pub(crate) async fn submitted(&self, job: NewJob) -> DeliveryId {
        match self.submit(job).await {
            Submitted::New { id, .. } => id,
            other => panic!("not new: {other:?}"),
        }
    }

    /// Submits a job and claims it.
    pub(crate) async fn works_on(&self, job: NewJob) -> (DeliveryId, Held) {
        let app = job.delivery.target_app.clone().unwrap();
        let id = self.submitted(job).await;
        let claimed = self.claim(Kind::Job, &app, 1).await;
        assert_eq!(ids(&claimed), [id]);
        (id, held(&claimed[0]))
    }

    /// Submits a job, claims it, and asks for its end.
    pub(crate) async fn asked(&self, job: NewJob) -> (DeliveryId, Held) {
        let (id, held) = self.works_on(job).await;
        assert_eq!(self.ledger.ask_to_cancel("bob", id).await.unwrap(), Cancelled::Asked);
        (id, held)
    }
}

pub(crate) async fn a_submission_is_a_job<B: Backend>() {
    let w = World::<B>::new().await;
    let came_to = w.ledger.submit(vec![job("a", "ann"), job("b", "bob"), job("a", "ann")]).await.unwrap();
    let ids: Vec<DeliveryId> = came_to.iter().map(number).collect();
    assert!(ids.is_sorted() && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    for ((id, came_to), caller) in ids.iter().zip(&came_to).zip(["ann", "bob", "ann"]) {
        let now = w.get(*id).await;
        assert_eq!(
            (now.kind, now.status, now.created_by.as_deref()),
            (Kind::Job, Status::Pending, Some(caller))
        );
        assert_eq!(came_to, &Submitted::New { id: *id, at: now.created_at });
        let audit = w.ledger.audit(*id).await.unwrap();
        assert_eq!((audit.len(), audit[0].actor.as_str(), audit[0].to), (1, caller, Status::Pending));
    }
    w.check_counts().await;
    conservation::check(&w).await;
    assert_eq!(w.claim(Kind::Job, "a", 9).await.len(), 2);
    assert_eq!(w.ledger.submit(vec![]).await.unwrap(), []);
    for wrong in [new(Kind::File, "a"), NewDelivery { target_app: None, ..job("a", "ann").delivery }] {
        refused(w.ledger.submit(vec![NewJob { delivery: wrong, ..job("a", "ann") }]).await);
    }
}

pub(crate) async fn an_equal_key_is_one_job<B: Backend>() {
    let w = World::<B>::new().await;
    let ask = |fingerprint| keyed(job("a", "ann"), "ann", "k", fingerprint);
    let Submitted::New { id, at } = w.submit(ask("x")).await else { panic!("not new") };
    assert_eq!(w.get(id).await.created_at, at);
    w.advance(5);
    assert_eq!(w.submit(ask("x")).await, Submitted::Known { id, at });
    assert_eq!(w.submit(ask("y")).await, Submitted::Differs(id));
    let stands_for = async |job: NewJob| w.ledger.known_key(&job.key.unwrap()).await.unwrap();
    assert!(matches!(stands_for(ask("x")).await, Some(Submitted::Known { id: known, .. }) if known == id));
    assert_eq!(stands_for(ask("y")).await, Some(Submitted::Differs(id)));
    assert_eq!(stands_for(keyed(job("a", "ann"), "ann", "another", "x")).await, None);
    // Another's key is another key.
    assert_ne!(w.submitted(keyed(job("a", "bob"), "bob", "k", "x")).await, id);
    // Whatever became of it.
    let claimed = w.claim(Kind::Job, "a", 1).await;
    w.complete(&held(&claimed[0])).await.unwrap();
    assert_eq!(w.submit(ask("x")).await, Submitted::Known { id, at });
    w.ledger.archive("test", vec![id]).await.unwrap();
    assert_eq!(w.submit(ask("x")).await, Submitted::Known { id, at });
    // Within one batch, in any order, each for itself.
    let batch = ["p", "q", "p", "p"].map(|key| keyed(job("a", "ann"), "ann", key, "x"));
    let mut batch = batch.to_vec();
    batch.push(keyed(job("a", "ann"), "ann", "p", "else"));
    batch.push(ask("x"));
    let came_to = w.ledger.submit(batch).await.unwrap();
    let Submitted::New { id: p, at: now } = came_to[0] else { panic!("{came_to:?}") };
    let known = Submitted::Known { id: p, at: now };
    assert!(matches!(came_to[1], Submitted::New { id, .. } if id != p), "{came_to:?}");
    assert_eq!(came_to[2..], [known.clone(), known, Submitted::Differs(p), Submitted::Known { id, at }]);
    w.check_counts().await;
    conservation::check(&w).await;
}

pub(crate) async fn fifty_at_once_are_one_job<B: Backend>() {
    let w = World::<B>::new().await;
    let handles = [w.ledger.clone(), w.backend.open().await];
    for round in 0..4 {
        let key = format!("k{round}");
        let mut asking = JoinSet::new();
        for n in 0..50 {
            let ledger = handles[n % 2].clone();
            // Some within a batch with others, in another order each.
            let mut jobs = vec![
                keyed(job("a", "ann"), "ann", &key, "x"),
                keyed(job("a", "ann"), "ann", &format!("{key}-too"), "x"),
            ];
            if n % 3 == 0 {
                jobs.reverse();
            }
            asking.spawn(async move { ledger.submit(jobs).await.unwrap() });
        }
        let came_to: Vec<Submitted> = asking.join_all().await.into_iter().flatten().collect();
        let fresh = came_to.iter().filter(|one| matches!(one, Submitted::New { .. })).count();
        assert_eq!(fresh, 2, "{came_to:?}");
        let mut ids: Vec<DeliveryId> = came_to.iter().map(number).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2);
    }
    assert_eq!(w.number("SELECT count(*) FROM deliveries").await, 8);
    w.check_counts().await;
    conservation::check(&w).await;
}

pub(crate) async fn a_dedup_key_makes_no_second_job<B: Backend>() {
    let w = World::<B>::new().await;
    let mut once = keyed(job("a", "ann"), "ann", "k", "x");
    once.delivery.dedup_key = Some("once".into());
    let Submitted::New { id, at } = w.submit(once.clone()).await else { panic!("not new") };
    w.advance(5);
    // Another key for what is there: it is that job's key too.
    let again = NewJob { key: Some(IdempotencyKey { key: "l".into(), ..once.key.clone().unwrap() }), ..once };
    assert_eq!(w.submit(again.clone()).await, Submitted::Known { id, at });
    assert_eq!(w.submit(again).await, Submitted::Known { id, at });
    assert_eq!(w.number("SELECT count(*) FROM deliveries").await, 1);
}

pub(crate) async fn a_caller_has_so_many_and_no_more<B: Backend>() {
    let w = World::<B>::new().await;
    let ask = || NewJob { caller_max: Some(3), ..job("a", "ann") };
    let came_to = w.ledger.submit(vec![ask(), ask(), ask(), ask()]).await.unwrap();
    assert_eq!(came_to[3], Submitted::CallerHas(3));
    assert!(came_to[..3].iter().all(|one| matches!(one, Submitted::New { .. })), "{came_to:?}");
    assert_eq!(w.submit(keyed(ask(), "ann", "k", "x")).await, Submitted::CallerHas(3));
    // Not what others have; nor does the limit keep another back.
    let mixed = vec![ask(), NewJob { caller_max: Some(1), ..job("a", "bob") }, job("a", "ann")];
    let came_to = w.ledger.submit(mixed).await.unwrap();
    assert_eq!(came_to[0], Submitted::CallerHas(3));
    assert!(matches!((&came_to[1], &came_to[2]), (Submitted::New { .. }, Submitted::New { .. })));
    // What is being worked on counts, what has ended does not; the key of what was refused is free.
    let claimed = w.claim(Kind::Job, "a", 5).await;
    assert_eq!(w.submit(ask()).await, Submitted::CallerHas(3));
    for one in claimed.iter().filter(|one| one.created_by.as_deref() == Some("ann")).take(2) {
        w.complete(&held(one)).await.unwrap();
    }
    let id = w.submitted(keyed(ask(), "ann", "k", "x")).await;
    // The known is known, whatever the limit.
    let known = w.submit(keyed(ask(), "ann", "k", "x")).await;
    assert!(matches!(known, Submitted::Known { id: it, .. } if it == id), "{known:?}");
    let batch = vec![keyed(NewJob { caller_max: Some(4), ..job("a", "ann") }, "ann", "l", "x"); 2];
    let came_to = w.ledger.submit(batch).await.unwrap();
    assert!(
        matches!((&came_to[0], &came_to[1]), (Submitted::New { .. }, Submitted::Known { .. })),
        "{came_to:?}"
    );
    w.check_counts().await;
}

pub(crate) async fn a_queue_has_so_many_and_no_more<B: Backend>() {
    let w = World::<B>::new().await;
    w.push_to(Kind::File, "a", 2).await;
    w.push_to(Kind::Record, "a", 5).await;
    w.in_status(Kind::File, "other", Status::Processing).await;
    let ask = |app| NewJob { queue_max: Some(3), ..job(app, "ann") };
    let came_to = w.ledger.submit(vec![ask("a"), ask("a"), ask("b")]).await.unwrap();
    assert_eq!(came_to[1], Submitted::QueueHas(3));
    assert!(
        matches!((&came_to[0], &came_to[2]), (Submitted::New { .. }, Submitted::New { .. })),
        "{came_to:?}"
    );
    // What is being worked on waits no more.
    w.claim(Kind::File, "a", 1).await;
    w.submitted(ask("a")).await;
    assert_eq!(w.submit(ask("a")).await, Submitted::QueueHas(3));
}

/// Those who come near a limit at the same time, in several processes, do not go beyond it.
pub(crate) async fn many_at_once_keep_to_the_limit<B: Backend>() {
    let w = World::<B>::new().await;
    let handles = [w.ledger.clone(), w.backend.open().await];
    let mut asking = JoinSet::new();
    for n in 0..40 {
        let ledger = handles[n % 2].clone();
        let ask = NewJob {
            caller_max: Some(10),
            queue_max: Some(50),
            ..job("a", if n < 20 { "ann" } else { "bob" })
        };
        asking.spawn(async move { ledger.submit(vec![ask.clone(), ask]).await.unwrap() });
    }
    asking.join_all().await;
    for caller in ["ann", "bob"] {
        let query = format!("SELECT count(*) FROM deliveries WHERE created_by = '{caller}'");
        assert_eq!(w.number(&query).await, 10);
    }
}

pub(crate) async fn progress_is_bounded_and_has_no_gaps<B: Backend>() {
    let w = World::<B>::new().await;
    let (id, other) = (w.submitted(job("a", "ann")).await, w.submitted(job("a", "ann")).await);
    let lines = |count: u64| (0..count).map(|n| (w.now(), format!("line {n}"))).collect::<Vec<_>>();
    assert_eq!(w.ledger.add_progress(id, lines(3)).await.unwrap(), 3);
    assert_eq!(w.ledger.add_progress(id, vec![]).await.unwrap(), 3);
    assert_eq!(w.ledger.add_progress(other, lines(1)).await.unwrap(), 1);
    let handles = [w.ledger.clone(), w.backend.open().await];
    let mut adding = JoinSet::new();
    for n in 0..20 {
        let (ledger, lines) = (handles[n % 2].clone(), lines(7));
        adding.spawn(async move { ledger.add_progress(id, lines).await.unwrap() });
    }
    let mut counts = adding.join_all().await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).map(|n| 3 + 7 * n).collect::<Vec<u64>>());
    let said = w.ledger.progress(id, 100, 10).await.unwrap();
    assert_eq!(said.iter().map(|line| line.seq).collect::<Vec<_>>(), (101..=110).collect::<Vec<u64>>());
    assert_eq!(w.ledger.progress(id, 142, 10).await.unwrap().len(), 1);
    assert_eq!(w.ledger.progress(id, 143, 10).await.unwrap(), []);
    // Beyond the limit it is dropped.
    assert_eq!(w.ledger.add_progress(id, lines(PROGRESS_LINES_MAX)).await.unwrap(), PROGRESS_LINES_MAX);
    assert_eq!(w.ledger.add_progress(id, lines(5)).await.unwrap(), PROGRESS_LINES_MAX);
    let all = w.ledger.progress(id, 0, usize::MAX).await.unwrap();
    assert_eq!(
        all.iter().map(|line| line.seq).collect::<Vec<_>>(),
        (1..=PROGRESS_LINES_MAX).collect::<Vec<_>>()
    );
    // A line is text of any kind, and not too long.
    let long = "ä".repeat(5_000);
    w.ledger.add_progress(other, vec![(w.now(), "a\0\"'\n".into()), (w.now(), long.clone())]).await.unwrap();
    let said = w.ledger.progress(other, 1, 9).await.unwrap();
    assert_eq!(said[0].line, "a\u{fffd}\"'\n");
    assert!(said[1].line.len() == 4 * 1024 && long.starts_with(&said[1].line));
}

pub(crate) async fn standing_tells_how_far_each_is<B: Backend>() {
    let w = World::<B>::new().await;
    let (running, _) = w.asked(job("a", "ann")).await;
    w.ledger.add_progress(running, vec![(w.now(), "x".into()); 2]).await.unwrap();
    let record = w.in_status(Kind::Record, "a", Status::Processing).await;
    let archived = w.in_status(Kind::File, "a", Status::Archived).await;
    let many: Vec<DeliveryId> =
        w.ledger.submit(vec![job("b", "ann"); 500]).await.unwrap().iter().map(number).collect();
    let asked = [vec![running, record, archived, DeliveryId(999_999)], many.clone()].concat();
    let mut standing = w.ledger.standing([asked, vec![running; 9_000]].concat()).await.unwrap();
    standing.sort_by_key(|one| one.id);
    assert_eq!(standing.len(), 503);
    for one in &standing {
        let now = w.get(one.id).await;
        assert_eq!((one.status, one.updated_at), (now.status, now.updated_at));
        let is_running = one.id == running;
        assert_eq!((one.lines, one.cancelling), (if is_running { 2 } else { 0 }, is_running));
    }
    assert_eq!(w.ledger.standing(vec![]).await.unwrap(), []);
}

pub(crate) async fn what_belongs_to_ended_jobs_is_forgotten<B: Backend>() {
    let w = World::<B>::new().await;
    let ask = |key: &str| keyed(job("a", "ann"), "ann", key, "x");
    let mut ended = vec![];
    for (key, archived) in [("done", false), ("archived", true)] {
        let (id, held) = w.works_on(ask(key)).await;
        w.ledger.add_progress(id, vec![(w.now(), "x".into()); 3]).await.unwrap();
        w.advance(10);
        w.complete(&held).await.unwrap();
        w.advance(10);
        if archived {
            w.ledger.archive("test", vec![id]).await.unwrap();
        }
        ended.push((key, id));
    }
    let unended = w.submitted(ask("unended")).await;
    w.ledger.add_progress(unended, vec![(w.now(), "x".into())]).await.unwrap();
    let gone = w.submitted(ask("gone")).await;
    w.backend.sql(&format!("DELETE FROM deliveries WHERE id = {gone}")).await.unwrap();
    let known = async |key: &str| {
        w.number(&format!("SELECT count(*) FROM idempotency_keys WHERE key = '{key}'")).await == 1
    };
    // Before the second ended.
    w.advance(100);
    let before = w.get(ended[1].1).await.processed_at.unwrap();
    assert_eq!(w.ledger.forget_jobs(before, 100).await.unwrap(), 4);
    assert!(!known("done").await && known("archived").await && known("unended").await && known("gone").await);
    assert_eq!(w.ledger.progress(ended[0].1, 0, 9).await.unwrap(), []);
    // In small pieces; a delivery's first line goes last.
    let mut pieces = vec![];
    while let n @ 1.. = w.ledger.forget_jobs(w.now(), 2).await.unwrap() {
        pieces.push(n);
    }
    assert_eq!((pieces.iter().sum::<u64>(), pieces.len()), (5, 2), "{pieces:?}");
    assert!(!known("archived").await && !known("gone").await && known("unended").await);
    assert_eq!(w.ledger.progress(unended, 0, 9).await.unwrap().len(), 1);
    assert!(matches!(w.submit(ask("unended")).await, Submitted::Known { id, .. } if id == unended));
    assert!(matches!(w.submit(ask("done")).await, Submitted::New { .. }));
}

pub(crate) async fn jobs_are_listed_by_caller<B: Backend>() {
    let w = World::<B>::new().await;
    w.push_to(Kind::File, "a", 3).await;
    w.push_to(Kind::Record, "a", 3).await;
    let mut mine = vec![];
    for n in 0..6 {
        let id = w.submitted(job("a", if n % 2 == 0 { "ann" } else { "bob" })).await;
        if n % 2 == 0 {
            mine.insert(0, id);
        }
    }
    let list = async |filter: Filter| ids(&w.ledger.list(Filter { limit: 9, ..filter }).await.unwrap());
    let by = |who: &str| Filter { by: Some(who.into()), kind: Some(Kind::Job), ..Filter::default() };
    assert_eq!(list(by("ann")).await, mine);
    assert_eq!(list(Filter { before: Some(mine[0]), ..by("ann") }).await, mine[1..]);
    assert_eq!(list(Filter { kind: None, ..by("ann") }).await, mine);
    assert_eq!(list(Filter { kind: Some(Kind::File), ..by("ann") }).await, []);
    assert_eq!(list(Filter { kind: None, ..by("test") }).await.len(), 6);
    assert_eq!(list(Filter { kind: Some(Kind::Job), ..Filter::default() }).await.len(), 6);
    assert_eq!(list(Filter { status: Some(Status::Completed), ..by("ann") }).await, []);
    w.ledger.ask_to_cancel("bob", mine[2]).await.unwrap();
    w.ledger.archive("test", vec![mine[2]]).await.unwrap();
    assert_eq!(list(by("ann")).await, mine[..2]);
    assert_eq!(list(Filter { archived: true, ..by("ann") }).await, mine);
}
