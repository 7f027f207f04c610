//! An end that is asked for: at once where nobody works on it, else when the work has stopped, however it stopped.

use super::jobs::job;
use super::*;
use handover_core::limits::RESCUES_MAX;
use handover_ledger::{Answer, Answers, CANCELLED, Cancelled, Outcome};

impl<B: Backend> World<B> {
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
    assert_eq!(w.ledger.release(vec![held], None).await.unwrap(), 1);
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
    w.ledger.release(vec![held], None).await.unwrap();
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
