//! A job that has a webhook tells of each of its ends, whatever ended it.

use super::jobs::job;
use super::*;
use handover_core::WEBHOOK_APP;
use handover_core::limits::WEBHOOK_ATTEMPTS;
use handover_ledger::NewJob;

const HOOK: &str = "https://example.org/ended?a=\u{1}";

fn hooked(app: &str) -> NewJob {
    let mut job = job(app, "ann");
    job.delivery.data = json!({"config": {"text": "a\u{0}b"}, "webhook": HOOK}).into();
    job
}

impl<B: Backend> World<B> {
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
        told.into_iter().map(|one| one.data.into()).collect()
    }
}

fn tells(id: DeliveryId, status: &str) -> serde_json::Value {
    json!({"job": id, "status": status, "url": HOOK})
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
    w.ledger.release(vec![held], None).await.unwrap();
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
        job.delivery.data = data.into();
        let (_, held) = w.works_on(job).await;
        w.complete(&held).await.unwrap();
    }
    let file = NewDelivery { data: json!({"webhook": "x", "path": "x"}).into(), ..new(Kind::File, "a") };
    w.push(file).await;
    let claimed = w.claim(Kind::File, "a", 1).await;
    w.complete(&held(&claimed[0])).await.unwrap();
    assert_eq!(w.told().await, Vec::<serde_json::Value>::new());
}
