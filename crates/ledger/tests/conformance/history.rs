//! The audit log: every transition, with who made it, when and why.

use super::*;

type Step = (String, Option<Status>, Status, Option<String>);

async fn steps<B: Backend>(w: &World<B>, id: DeliveryId) -> Vec<Step> {
    let audit = w.ledger.audit(id).await.unwrap();
    audit.into_iter().map(|e| (e.actor, e.from, e.to, e.note)).collect()
}

fn step(actor: &str, from: Option<Status>, to: Status, note: Option<&str>) -> Step {
    (actor.into(), from, to, note.map(Into::into))
}

pub(crate) async fn a_whole_life_is_audited<B: Backend>() {
    use Status::{Archived, Completed, Failed, Pending, Processing};
    let w = World::<B>::new().await;
    for kind in KINDS {
        let start = w.now();
        let (id, first) = w.held(kind, "a").await;
        w.advance(1);
        w.fail(&first, Verdict::Retry).await.unwrap();
        w.advance(10);
        let second = w.ledger.claim(ask(kind, "a", 1, "2-other")).await.unwrap();
        w.fail(&held(&second[0]), Verdict::Final).await.unwrap();
        w.ledger.retry("ann", id).await.unwrap();
        let third = w.claim(kind, "a", 1).await;
        assert_eq!(w.ledger.release(third.iter().map(held).collect(), None).await.unwrap(), 1);
        let fourth = w.claim(kind, "a", 1).await;
        let next = w.ledger.complete(completion(&held(&fourth[0]), vec![new(kind, "b")])).await.unwrap();
        w.advance(1);
        w.ledger.archive("bob", vec![id]).await.unwrap();
        let (archiver, after) = match w.stands(kind, Completed) {
            Archived => ("1-worker", 11),
            _ => ("bob", 12),
        };
        let expected = [
            step("test", None, Pending, None),
            step("1-worker", Some(Pending), Processing, None),
            step("1-worker", Some(Processing), Pending, Some("it broke")),
            step("2-other", Some(Pending), Processing, None),
            step("2-other", Some(Processing), Failed, Some("it broke")),
            step("ann", Some(Failed), Pending, None),
            step("1-worker", Some(Pending), Processing, None),
            step("1-worker", Some(Processing), Pending, None),
            step("1-worker", Some(Pending), Processing, None),
            step("1-worker", Some(Processing), Completed, None),
            step(archiver, Some(Completed), Archived, None),
        ];
        assert_eq!(steps(&w, id).await, expected);
        let audit = w.ledger.audit(id).await.unwrap();
        assert_eq!(audit[0].at, start);
        assert_eq!(audit[2].at, start + Duration::from_secs(1));
        assert_eq!(audit[9].at, start + Duration::from_secs(11));
        assert_eq!(audit[10].at, start + Duration::from_secs(after));
        assert_eq!(steps(&w, next[0]).await, [step("1-worker", None, Pending, None)]);
    }
}

pub(crate) async fn a_rescue_and_a_cancel_are_audited<B: Backend>() {
    use Status::{Failed, Pending, Processing};
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, _) = w.held(kind, "a").await;
        w.ledger.rescue("rescuer", vec![HolderId("1-worker".into())]).await.unwrap();
        w.claim(kind, "a", 1).await;
        w.ledger.cancel("ann", id).await.unwrap();
        let replay = w.ledger.replay("bob", id).await.unwrap();
        let expected = [
            step("test", None, Pending, None),
            step("1-worker", Some(Pending), Processing, None),
            step("rescuer", Some(Processing), Pending, Some("the process that worked on it ended")),
            step("1-worker", Some(Pending), Processing, None),
            step("ann", Some(Processing), Failed, Some("cancelled by ann")),
        ];
        assert_eq!(steps(&w, id).await, expected);
        assert_eq!(steps(&w, replay).await, [step("bob", None, Pending, None)]);
        w.ledger.cancel("ann", replay).await.unwrap();
    }
}

pub(crate) async fn a_refused_move_leaves_no_trace<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        w.complete(&held).await.unwrap();
        let before = steps(&w, id).await;
        stale(w.complete(&held).await);
        refused(w.ledger.retry("ann", id).await);
        refused(w.ledger.cancel("ann", id).await);
        assert_eq!(steps(&w, id).await, before);
    }
}
