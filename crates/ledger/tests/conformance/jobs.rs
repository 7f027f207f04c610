//! Jobs: asking twice is one job, an end that was asked for comes, a webhook is told of every end, progress is bounded.

use super::*;
use handover_core::limits::{PROGRESS_LINES_MAX, RESCUES_MAX, WEBHOOK_ATTEMPTS};
use handover_core::{Kind, WEBHOOK_APP};
use handover_ledger::{
    Answer, Answers, CANCELLED, Cancelled, Filter, IdempotencyKey, NewJob, Outcome, Submitted,
};
use tokio::task::JoinSet;

const HOOK: &str = "https://example.org/ended?a=\u{1}";

pub(crate) fn job(app: &str, caller: &str) -> NewJob {
    let delivery = NewDelivery::new(Kind::Job, "api", Some(app.to_owned()), json!({"config": {"n": 1}}));
    NewJob { delivery, caller: caller.into(), key: None, caller_max: None, queue_max: None }
}

pub(crate) fn keyed(job: NewJob, owner: &str, key: &str, fingerprint: &str) -> NewJob {
    let key = IdempotencyKey { owner: owner.into(), key: key.into(), fingerprint: fingerprint.into() };
    NewJob { key: Some(key), ..job }
}

fn hooked(app: &str) -> NewJob {
    let mut job = job(app, "ann");
    job.delivery.data = json!({"config": {"text": "a\u{0}b"}, "webhook": HOOK});
    job
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
    async fn works_on(&self, job: NewJob) -> (DeliveryId, Held) {
        let app = job.delivery.target_app.clone().unwrap();
        let id = self.submitted(job).await;
        let claimed = self.claim(Kind::Job, &app, 1).await;
        assert_eq!(ids(&claimed), [id]);
        (id, held(&claimed[0]))
    }

    /// Submits a job, claims it, and asks for its end.
    async fn asked(&self, job: NewJob) -> (DeliveryId, Held) {
        let (id, held) = self.works_on(job).await;
        assert_eq!(self.ledger.ask_to_cancel("bob", id).await.unwrap(), Cancelled::Asked);
        (id, held)
    }

    /// Fails where this has not been ended because `bob` asked for it, for good and in the audit.
    async fn check_cancelled(&self, id: DeliveryId) {
        let now = self.get(id).await;
        assert_eq!((now.status, now.last_error.as_deref()), (Status::Failed, Some("cancelled by bob")));
        assert_eq!(now.result.unwrap()["code"], CANCELLED);
        assert_eq!((now.processed_at, now.lease_token, now.lease_until), (Some(self.now()), None, None));
        let last = self.ledger.audit(id).await.unwrap().pop().unwrap();
        assert_eq!((last.to, last.note.as_deref()), (Status::Failed, Some("cancelled by bob")));
        assert_eq!(self.ledger.cancellations().await.unwrap(), []);
        assert!(self.claim(Kind::Job, "a", 9).await.is_empty());
        self.check_counts().await;
        conservation::check(self).await;
    }

    /// Takes what is to be told of ended jobs.
    async fn told(&self) -> Vec<serde_json::Value> {
        let told = self.claim(Kind::Job, WEBHOOK_APP, 99).await;
        for one in &told {
            assert_eq!(
                (one.kind, one.max_attempts, one.flow.as_deref()),
                (Kind::Job, WEBHOOK_ATTEMPTS, None)
            );
            assert_eq!(Some(&json!(one.parent_id.unwrap())), one.data.get("job"));
            assert_eq!(one.source_app, "a");
            self.complete(&held(one)).await.unwrap();
        }
        self.check_counts().await;
        conservation::check(self).await;
        told.into_iter().map(|one| one.data).collect()
    }
}

fn tells(id: DeliveryId, status: &str) -> serde_json::Value {
    json!({"job": id, "status": status, "url": HOOK})
}

pub(crate) async fn a_submission_is_a_job<B: Backend>() {
    let w = World::<B>::new().await;
    let came_to = w.ledger.submit(vec![job("a", "ann"), job("b", "bob"), job("a", "ann")]).await.unwrap();
    let ids: Vec<DeliveryId> = came_to.iter().map(number).collect();
    assert!(ids.is_sorted() && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    for (id, caller) in ids.iter().zip(["ann", "bob", "ann"]) {
        let now = w.get(*id).await;
        assert_eq!(
            (now.kind, now.status, now.created_by.as_deref()),
            (Kind::Job, Status::Pending, Some(caller))
        );
        assert_eq!(
            came_to[usize::from(*id != ids[0])..][0],
            Submitted::New { id: number(&came_to[usize::from(*id != ids[0])]), at: now.created_at }
        );
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

pub(crate) async fn what_nobody_has_is_cancelled_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    let id = w.submitted(job("a", "ann")).await;
    assert_eq!(w.ledger.ask_to_cancel("bob", id).await.unwrap(), Cancelled::Ended);
    w.check_cancelled(id).await;
    // Records, whoever has them.
    let (record, held) = w.held(Kind::Record, "a").await;
    assert_eq!(w.ledger.ask_to_cancel("bob", record).await.unwrap(), Cancelled::Ended);
    assert_eq!(w.get(record).await.last_error.as_deref(), Some("cancelled by bob"));
    stale(w.complete(&held).await);
    // Not what has ended, or is not there.
    for status in [Status::Completed, Status::Failed, Status::Archived] {
        let ended = w.in_status(Kind::File, "a", status).await;
        assert_eq!(refused(w.ledger.ask_to_cancel("bob", ended).await), ErrorKind::IllegalTransition);
        assert_eq!(w.status(ended).await, status);
    }
    let unknown = w.ledger.ask_to_cancel("bob", DeliveryId(999_999)).await;
    assert_eq!(refused(unknown), ErrorKind::NotFound);
    assert_eq!(w.ledger.cancellations().await.unwrap(), []);
}

pub(crate) async fn whoever_works_on_it_is_asked<B: Backend>() {
    let w = World::<B>::new().await;
    let (id, held) = w.works_on(job("a", "ann")).await;
    let before = w.get(id).await;
    w.advance(1);
    let mut wake = w.ledger.wake();
    wake.mark_unchanged();
    assert_eq!(w.ledger.ask_to_cancel("bob", id).await.unwrap(), Cancelled::Asked);
    assert!(wake.has_changed().unwrap(), "its holder is to look");
    let at = w.now();
    w.advance(1);
    assert_eq!(w.ledger.ask_to_cancel("eve", id).await.unwrap(), Cancelled::Asked);
    assert_eq!(w.get(id).await, before);
    let asked = w.ledger.cancellations().await.unwrap();
    assert_eq!((asked.len(), asked[0].id, asked[0].by.as_str()), (1, id, "bob"));
    assert_eq!(handover_core::clock::rfc3339(asked[0].at), handover_core::clock::rfc3339(at));
    assert!(w.ledger.standing(vec![id]).await.unwrap()[0].cancelling);
    // The lease goes on, and whoever was sooner has completed it.
    assert_eq!(w.ledger.renew(vec![held.clone()], LEASE).await.unwrap(), []);
    assert_eq!(w.ledger.end_cancelled("duty").await.unwrap(), 0);
    assert_eq!(w.ledger.cancellations().await.unwrap().len(), 1);
    w.complete(&held).await.unwrap();
    assert_eq!((w.status(id).await, w.ledger.cancellations().await.unwrap()), (Status::Completed, vec![]));
    assert_eq!(refused(w.ledger.ask_to_cancel("bob", id).await), ErrorKind::IllegalTransition);
}

pub(crate) async fn what_is_given_back_has_ended<B: Backend>() {
    let w = World::<B>::new().await;
    // Given back.
    let (id, held) = w.asked(job("a", "ann")).await;
    assert_eq!(w.ledger.release(vec![held]).await.unwrap(), 1);
    w.check_cancelled(id).await;
    // To be tried again, sooner or later, or with the attempts used up.
    for (verdict, max_attempts) in [(Verdict::Retry, 4), (Verdict::Later, 4), (Verdict::Retry, 1)] {
        let mut once = job("a", "ann");
        once.delivery.max_attempts = max_attempts;
        let (id, held) = w.asked(once).await;
        let failure = Failure { result: Some(json!({"stderr": "x"})), ..failure(&held, verdict) };
        let failed = w.ledger.fail(failure).await.unwrap();
        assert_eq!((failed.status, failed.run_at), (Status::Failed, None));
        assert_eq!(w.get(id).await.result.unwrap()["stderr"], "x");
        w.check_cancelled(id).await;
    }
    // Its holder was lost, or its lease ran out.
    let (id, _) = w.asked(job("a", "ann")).await;
    let rescued = w.ledger.rescue("duty", vec![HolderId("1-worker".into())]).await.unwrap();
    assert_eq!((rescued.len(), rescued[0].id, rescued[0].status), (1, id, Status::Failed));
    w.check_cancelled(id).await;
    let (id, _) = w.asked(job("a", "ann")).await;
    w.advance(LEASE.as_secs() + 1);
    w.ledger.rescue("duty", vec![]).await.unwrap();
    w.check_cancelled(id).await;
    // Once too often.
    let (id, _) = w.works_on(job("a", "ann")).await;
    for _ in 0..RESCUES_MAX {
        w.ledger.rescue("duty", vec![HolderId("1-worker".into())]).await.unwrap();
        assert_eq!(w.claim(Kind::Job, "a", 1).await.len(), 1);
    }
    w.ledger.ask_to_cancel("bob", id).await.unwrap();
    w.ledger.rescue("duty", vec![HolderId("1-worker".into())]).await.unwrap();
    w.check_cancelled(id).await;
    // By an answer of a batch.
    let (id, held) = w.asked(job("a", "ann")).await;
    let outcome = Outcome::Failed { error: "killed".into(), verdict: Verdict::Retry, result: None };
    let answers =
        Answers { queue: held.queue, token: held.token, answers: vec![Answer { id, outcome }], whole: true };
    w.ledger.answer(answers).await.unwrap();
    w.check_cancelled(id).await;
}

pub(crate) async fn every_end_forgets_that_it_was_asked_for<B: Backend>() {
    let w = World::<B>::new().await;
    let none_asked = async |what: &str| {
        assert_eq!(w.ledger.cancellations().await.unwrap(), [], "{what}");
        w.check_counts().await;
    };
    let (id, failing) = w.asked(job("a", "ann")).await;
    w.fail(&failing, Verdict::Final).await.unwrap();
    // It failed by itself: that is said.
    assert_eq!(w.get(id).await.last_error.as_deref(), Some("it broke"));
    none_asked("failed").await;
    let (id, answering) = w.asked(job("a", "ann")).await;
    let outcome = Outcome::Completed { result: None, next: vec![] };
    let answers = Answers {
        queue: answering.queue,
        token: answering.token,
        answers: vec![Answer { id, outcome }],
        whole: true,
    };
    w.ledger.answer(answers).await.unwrap();
    none_asked("answered").await;
    let (id, _) = w.asked(job("a", "ann")).await;
    w.ledger.cancel("ann", id).await.unwrap();
    none_asked("cancelled at once").await;
    let (_, file) = w.held(Kind::File, "a").await;
    w.ledger.ask_to_cancel("bob", file.id).await.unwrap();
    w.complete(&file).await.unwrap();
    none_asked("a file").await;
    // By a program with plain SQL, which claimed it so, too.
    for end in [
        "UPDATE deliveries SET status = 'completed' WHERE id = ",
        "UPDATE deliveries SET status = 'failed' WHERE id = ",
        "UPDATE deliveries SET status = 'pending' WHERE id = ",
        "DELETE FROM deliveries WHERE id = ",
    ] {
        let id = w.submitted(job("a", "ann")).await;
        w.backend.sql(&format!("UPDATE deliveries SET status = 'processing' WHERE id = {id}")).await.unwrap();
        assert_eq!(w.ledger.ask_to_cancel("bob", id).await.unwrap(), Cancelled::Asked);
        let given_back = end.contains("pending");
        match w.backend.sql(&format!("{end}{id}")).await {
            Err(refused) => {
                assert!(given_back && refused.contains("was asked for"), "{refused}");
                assert_eq!(
                    (w.status(id).await, w.ledger.cancellations().await.unwrap().len()),
                    (Status::Processing, 1)
                );
                // And so it has failed when its lease runs out.
                w.advance(3_700);
                w.ledger.rescue("duty", vec![]).await.unwrap();
            }
            Ok(changed) => assert_eq!(changed, 1),
        }
        none_asked(end).await;
        if given_back {
            let now = w.get(id).await;
            assert_eq!((now.status, now.last_error.as_deref()), (Status::Failed, Some("cancelled by bob")));
            assert_eq!(now.result.unwrap()["code"], CANCELLED);
            assert!(now.processed_at.is_some() && now.lease_until.is_none(), "{:?}", now.processed_at);
        }
        conservation::check(&w).await;
    }
}

pub(crate) async fn a_sweep_ends_what_was_left<B: Backend>() {
    let w = World::<B>::new().await;
    let (id, gone) = (w.submitted(job("a", "ann")).await, w.submitted(job("b", "ann")).await);
    // As a crash of an older version might have left it.
    for id in [id.0, 999_999] {
        let left = format!("INSERT INTO cancellations VALUES ({id}, '2025-11-24T10:30:00.000Z', 'bob')");
        w.backend.sql(&left).await.unwrap();
    }
    assert_eq!(w.ledger.end_cancelled("duty").await.unwrap(), 1);
    w.check_cancelled(id).await;
    assert_eq!(w.ledger.audit(id).await.unwrap().pop().unwrap().actor, "duty");
    assert_eq!(w.ledger.end_cancelled("duty").await.unwrap(), 0);
    assert_eq!(w.status(gone).await, Status::Pending);
}

pub(crate) async fn a_retry_starts_clean<B: Backend>() {
    let w = World::<B>::new().await;
    let (id, held) = w.asked(job("a", "ann")).await;
    w.ledger.release(vec![held]).await.unwrap();
    w.advance(1);
    w.ledger.retry("ann", id).await.unwrap();
    assert_eq!((w.status(id).await, w.get(id).await.result), (Status::Pending, None));
    let claimed = w.claim(Kind::Job, "a", 1).await;
    w.fail(&super::held(&claimed[0]), Verdict::Final).await.unwrap();
    let now = w.get(id).await;
    assert_eq!((now.last_error.as_deref(), now.result), (Some("it broke"), None));
    // What a failure of its own left stays.
    let (id, held) = w.works_on(job("b", "ann")).await;
    let result = Some(json!({"stderr": "x", "note": "CANCELLED"}));
    w.ledger.fail(Failure { result: result.clone(), ..failure(&held, Verdict::Final) }).await.unwrap();
    w.ledger.retry("ann", id).await.unwrap();
    assert_eq!(w.get(id).await.result, result);
}

pub(crate) async fn a_webhook_is_told_of_every_end<B: Backend>() {
    let w = World::<B>::new().await;
    let told = async || w.told().await;
    let (id, held) = w.works_on(hooked("a")).await;
    assert_eq!(told().await, Vec::<serde_json::Value>::new());
    w.complete(&held).await.unwrap();
    assert_eq!(told().await, [tells(id, "completed")]);
    // Not of an attempt that goes on.
    let (id, held) = w.works_on(hooked("a")).await;
    w.fail(&held, Verdict::Retry).await.unwrap();
    assert_eq!(told().await, Vec::<serde_json::Value>::new());
    w.advance(60);
    let claimed = w.claim(Kind::Job, "a", 1).await;
    w.fail(&super::held(&claimed[0]), Verdict::Final).await.unwrap();
    assert_eq!(told().await, [tells(id, "failed")]);
    // Tried again by hand, and ended again.
    w.ledger.retry("ann", id).await.unwrap();
    let claimed = w.claim(Kind::Job, "a", 1).await;
    w.complete(&super::held(&claimed[0])).await.unwrap();
    assert_eq!(told().await, [tells(id, "completed")]);
    // Cancelled: while it waits, while it runs, at once.
    let id = w.submitted(hooked("a")).await;
    w.ledger.ask_to_cancel("bob", id).await.unwrap();
    assert_eq!(told().await, [tells(id, "failed")]);
    let (id, held) = w.asked(hooked("a")).await;
    w.ledger.release(vec![held]).await.unwrap();
    assert_eq!(told().await, [tells(id, "failed")]);
    let (id, _) = w.works_on(hooked("a")).await;
    w.ledger.cancel("bob", id).await.unwrap();
    assert_eq!(told().await, [tells(id, "failed")]);
    // By plain SQL, which cannot be told the time.
    let id = w.submitted(hooked("a")).await;
    w.backend.sql(&format!("UPDATE deliveries SET status = 'completed' WHERE id = {id}")).await.unwrap();
    w.advance(60);
    assert_eq!(told().await, [tells(id, "completed")]);
    // A replay is a job of its own, and archiving is no end.
    let again = w.ledger.replay("ann", id).await.unwrap();
    assert_eq!(w.ledger.archive("test", vec![id]).await.unwrap(), 1);
    let claimed = w.claim(Kind::Job, "a", 1).await;
    w.complete(&super::held(&claimed[0])).await.unwrap();
    assert_eq!(told().await, [tells(again, "completed")]);
}

pub(crate) async fn nobody_else_is_told<B: Backend>() {
    let w = World::<B>::new().await;
    for data in
        [json!({"webhook": 7}), json!({"config": {"webhook": "x"}}), json!(["webhook"]), json!("webhook")]
    {
        let mut job = job("a", "ann");
        job.delivery.data = data;
        let (_, held) = w.works_on(job).await;
        w.complete(&held).await.unwrap();
    }
    let file = NewDelivery { data: json!({"webhook": "x", "path": "x"}), ..new(Kind::File, "a") };
    w.push(file).await;
    let claimed = w.claim(Kind::File, "a", 1).await;
    w.complete(&held(&claimed[0])).await.unwrap();
    assert_eq!(w.told().await, Vec::<serde_json::Value>::new());
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
