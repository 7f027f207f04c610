//! What a person does.

use super::*;

pub(crate) async fn cancel_ends_what_has_not_ended<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let pending = w.push(new(kind, "a")).await;
        w.ledger.cancel("ann", pending).await.unwrap();
        assert!(w.claim(kind, "a", 1).await.is_empty());
        let (running, held) = w.held(kind, "a").await;
        w.ledger.cancel("ann", running).await.unwrap();
        stale(w.complete(&held).await);
        for id in [pending, running] {
            let now = w.get(id).await;
            assert_eq!((now.status, now.last_error.as_deref()), (Status::Failed, Some("cancelled by ann")));
            assert_eq!((now.processed_at, now.lease_token), (Some(w.now()), None));
        }
        for status in [Status::Completed, Status::Failed, Status::Archived] {
            let id = w.in_status(kind, "a", status).await;
            assert_eq!(refused(w.ledger.cancel("ann", id).await), ErrorKind::IllegalTransition);
            assert_eq!(w.status(id).await, w.stands(kind, status));
        }
    }
}

pub(crate) async fn retry_is_for_the_failed<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let id = w.push(NewDelivery { max_attempts: 1, ..new(kind, "a") }).await;
        let claimed = w.claim(kind, "a", 1).await;
        assert_eq!(w.fail(&held(&claimed[0]), Verdict::Retry).await.unwrap().status, Status::Failed);
        w.advance(5);
        w.ledger.retry("ann", id).await.unwrap();
        let now = w.get(id).await;
        assert_eq!(
            (now.status, now.attempts, now.run_at, now.processed_at),
            (Status::Pending, 0, w.now(), None)
        );
        assert_eq!(ids(&w.claim(kind, "a", 1).await), [id]);
        for status in [Status::Pending, Status::Processing, Status::Completed, Status::Archived] {
            let id = w.in_status(kind, "b", status).await;
            assert_eq!(refused(w.ledger.retry("ann", id).await), ErrorKind::IllegalTransition);
            assert_eq!(w.status(id).await, w.stands(kind, status));
            w.ledger.cancel("test", id).await.ok();
        }
    }
}

pub(crate) async fn replay_of_whatever_ended<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in [Kind::File, Kind::Job, Kind::Record] {
        for status in [Status::Completed, Status::Failed, Status::Archived] {
            let old = w
                .push(NewDelivery {
                    flow: Some("sales".into()),
                    priority: 3,
                    max_attempts: 2,
                    dedup_key: Some(format!("{kind}{status}")),
                    order_key: Some("o".into()),
                    parent_id: Some(DeliveryId(77)),
                    trace: Some("t".into()),
                    ..new(kind, "a")
                })
                .await;
            let claimed = w.claim(kind, "a", 1).await;
            match status {
                Status::Failed => drop(w.fail(&held(&claimed[0]), Verdict::Final).await.unwrap()),
                _ => drop(w.complete(&held(&claimed[0])).await.unwrap()),
            }
            if status == Status::Archived {
                w.ledger.archive("ann", vec![old]).await.unwrap();
            }
            let before = w.get(old).await;
            let new = w.ledger.replay("ann", old).await.unwrap();
            assert_eq!(w.get(old).await, before, "the past stays as it was");
            let again = w.get(new).await;
            assert_eq!(
                (again.replay_of, again.parent_id, again.dedup_key),
                (Some(old), Some(DeliveryId(77)), None)
            );
            assert_eq!((again.kind, &again.data, again.target_app), (kind, &before.data, before.target_app));
            assert_eq!((again.flow, again.priority, again.max_attempts), (before.flow, 3, 2));
            assert_eq!((again.created_by.as_deref(), again.status), (Some("ann"), Status::Pending));
            let claimed = w.claim(kind, "a", 1).await;
            assert_eq!(ids(&claimed), [new]);
            w.complete(&held(&claimed[0])).await.unwrap();
            let filter = handover_ledger::Filter { replay_of: Some(old), limit: 9, ..Default::default() };
            let filter = handover_ledger::Filter { archived: true, ..filter };
            assert_eq!(ids(&w.ledger.list(filter).await.unwrap()), [new]);
        }
    }
}

pub(crate) async fn the_end_of_a_flow_is_not_replayed<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (parent, held) = w.held(kind, "a").await;
        let end = NewDelivery { target_app: None, ..new(kind, "") };
        let next = w.ledger.complete(completion(&held, vec![end])).await.unwrap();
        let error = w.ledger.replay("ann", next[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IllegalTransition);
        assert!(error.hint_text().unwrap().contains(&format!("handover replay {parent}")), "{error:?}");
    }
}

pub(crate) async fn restore_brings_back<B: Backend>() {
    let w = World::<B>::new().await;
    for (kind, table) in KINDS.into_iter().zip(["deliveries", "data_staging"]) {
        let id = w.push(new(kind, "a")).await;
        assert!(!w.ledger.restore("ann", id).await.unwrap());
        w.backend.sql(&format!("UPDATE {table} SET deleted_at = created_at WHERE id = {id}")).await.unwrap();
        assert!(w.ledger.restore("ann", id).await.unwrap());
        assert_eq!(w.get(id).await.deleted_at, None);
        assert_eq!(ids(&w.claim(kind, "a", 1).await), [id]);
    }
}

pub(crate) async fn pause_and_resume<B: Backend>() {
    let w = World::<B>::new().await;
    assert!(!w.ledger.resume("ann", "a").await.unwrap());
    let start = w.now();
    w.ledger.pause("ann", "a").await.unwrap();
    w.advance(5);
    w.ledger.pause("bob", "a").await.unwrap();
    let paused = w.ledger.paused().await.unwrap();
    assert_eq!(paused.len(), 1);
    assert_eq!(
        (paused[0].app.as_str(), paused[0].since, paused[0].by.as_str()),
        ("a", start, "ann"),
        "the first stands"
    );
    // What runs may end.
    assert!(w.ledger.resume("ann", "a").await.unwrap());
    let (_, held) = w.held(Kind::File, "a").await;
    w.ledger.pause("ann", "a").await.unwrap();
    w.complete(&held).await.unwrap();
    assert!(w.ledger.resume("bob", "a").await.unwrap() && w.ledger.paused().await.unwrap().is_empty());
}

pub(crate) async fn unknown_numbers_are_said<B: Backend>() {
    let w = World::<B>::new().await;
    let id = DeliveryId(4711);
    assert_eq!(refused(w.ledger.retry("ann", id).await), ErrorKind::NotFound);
    assert_eq!(refused(w.ledger.cancel("ann", id).await), ErrorKind::NotFound);
    assert_eq!(refused(w.ledger.replay("ann", id).await), ErrorKind::NotFound);
    assert_eq!(refused(w.ledger.restore("ann", id).await), ErrorKind::NotFound);
    assert_eq!(refused(w.ledger.archive("ann", vec![id]).await), ErrorKind::NotFound);
    assert!(w.ledger.audit(id).await.unwrap().is_empty());
}
