//! Ending an attempt, well or badly.

use super::*;
use handover_core::Checksum;
use handover_core::limits::ERROR_TEXT_MAX_BYTES;

pub(crate) async fn completing_hands_over<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        let elsewhere = NewDelivery { parent_id: Some(DeliveryId(1234)), ..new(Kind::Record, "c") };
        let end = NewDelivery { target_app: None, ..new(Kind::File, "") };
        let next = w.ledger.complete(completion(&held, vec![new(kind, "b"), elsewhere, end])).await.unwrap();
        let done = w.get(id).await;
        assert_eq!((done.status, done.processed_at), (w.stands(kind, Status::Completed), Some(w.now())));
        assert_eq!((done.result, done.last_error, done.lease_token), (Some(json!({"rows": 1})), None, None));
        assert_eq!((w.get(next[0]).await.parent_id, w.status(next[0]).await), (Some(id), Status::Pending));
        assert_eq!(w.get(next[1]).await.parent_id, Some(DeliveryId(1234)));
        assert_eq!(w.status(next[2]).await, Status::Completed);
        assert_eq!(ids(&w.claim(kind, "b", 10).await), [next[0]]);
    }
}

pub(crate) async fn a_failing_next_rolls_all_back<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        let bad = NewDelivery { max_attempts: 0, ..new(kind, "b") };
        let before = w.number("SELECT count(*) FROM audit_log").await;
        let with_bad = vec![new(kind, "b"), bad];
        assert!(w.ledger.complete(completion(&held, with_bad.clone())).await.is_err());
        assert!(w.ledger.fail(Failure { next: with_bad, ..failure(&held, Verdict::Final) }).await.is_err());
        assert_eq!(w.status(id).await, Status::Processing);
        assert!(w.ledger.holds(&held).await.unwrap());
        assert!(w.claim(kind, "b", 10).await.is_empty());
        assert_eq!(w.number("SELECT count(*) FROM audit_log").await, before);
        w.complete(&held).await.unwrap();
    }
    w.check_counts().await;
}

pub(crate) async fn a_checksum_goes_to_the_arrival<B: Backend>() {
    let w = World::<B>::new().await;
    let arrived = w.ledger.arrive("test", vec![arrivals::seen("in/a.csv", 1)]).await.unwrap();
    let handover_ledger::Arrived::New(id) = arrived[0] else { panic!("{arrived:?}") };
    let claimed = w.claim(Kind::File, "file-importer", 1).await;
    assert_eq!(ids(&claimed), [id]);
    let checksum = Checksum([7; 32]);
    let completion = Completion { checksum: Some(checksum), ..completion(&held(&claimed[0]), vec![]) };
    w.ledger.complete(completion).await.unwrap();
    let known = w.ledger.arrivals_at("in/a.csv").await.unwrap();
    assert_eq!(known[0].checksum.as_deref(), Some(checksum.to_string().as_str()));
}

pub(crate) async fn retries_back_off_until_used_up<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let id = w.push(NewDelivery { max_attempts: 4, ..new(kind, "a") }).await;
        for attempt in 1..=4u32 {
            let claimed = w.claim(kind, "a", 1).await;
            assert_eq!((ids(&claimed), claimed[0].attempts), (vec![id], attempt));
            let failed = w.fail(&held(&claimed[0]), Verdict::Retry).await.unwrap();
            let now = w.get(id).await;
            assert_eq!((now.status, now.last_error.as_deref()), (failed.status, Some("it broke")));
            assert_eq!((now.lease_token, now.leased_by, now.lease_until), (None, None, None));
            if attempt == 4 {
                assert_eq!((failed.status, failed.run_at), (Status::Failed, None));
                assert_eq!(now.processed_at, Some(w.now()));
                break;
            }
            assert_eq!((failed.status, now.processed_at), (Status::Pending, None));
            assert_eq!(failed.run_at, Some(now.run_at));
            let wait = now.run_at.duration_since(w.now()).as_millis();
            let full = 1000 << (attempt - 1);
            assert!((full / 2..=full).contains(&wait), "attempt {attempt} waits {wait} ms");
            assert!(w.claim(kind, "a", 1).await.is_empty());
            w.clock.advance(Duration::from_millis(u64::try_from(wait).unwrap()));
        }
    }
}

pub(crate) async fn later_uses_up_no_attempt<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let id = w.push(NewDelivery { max_attempts: 1, ..new(kind, "a") }).await;
        for snooze in 1..=30u32 {
            let claimed = w.claim(kind, "a", 1).await;
            assert_eq!((ids(&claimed), claimed[0].attempts), (vec![id], 1), "snooze {snooze}");
            let failed = w.fail(&held(&claimed[0]), Verdict::Later).await.unwrap();
            assert_eq!(failed.status, Status::Pending);
            let wait = failed.run_at.unwrap().duration_since(w.now()).as_secs();
            assert!(wait <= 900, "never longer than a quarter of an hour: {wait}");
            let now = w.get(id).await;
            assert_eq!((now.attempts, now.snoozes), (0, snooze));
            w.advance(901);
        }
        let claimed = w.claim(kind, "a", 1).await;
        assert_eq!(w.fail(&held(&claimed[0]), Verdict::Retry).await.unwrap().status, Status::Failed);
    }
}

pub(crate) async fn a_failure_may_say_how_long_to_wait<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        for verdict in [Verdict::Retry, Verdict::Later] {
            let (id, held) = w.held(kind, "a").await;
            let after = Some(std::time::Duration::from_secs(7_200));
            let failed = w.ledger.fail(Failure { after, ..failure(&held, verdict) }).await.unwrap();
            assert_eq!(failed.run_at.unwrap().duration_since(w.now()).as_secs(), 7_200);
            w.advance(7_201);
            let again = w.claim(kind, "a", 1).await;
            assert_eq!(ids(&again), [id]);
            let sooner = Some(std::time::Duration::from_millis(1));
            let failed = w
                .ledger
                .fail(Failure { after: sooner, ..failure(&self::held(&again[0]), verdict) })
                .await
                .unwrap();
            assert!(
                failed.run_at.unwrap().duration_since(w.now()).as_millis() >= 500,
                "as long as any retry"
            );
            w.advance(100_000);
            let last = w.claim(kind, "a", 1).await;
            w.complete(&self::held(&last[0])).await.unwrap();
        }
    }
}

pub(crate) async fn a_final_failure_is_final<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        let with_result =
            Failure { result: Some(json!({"stderr": "boom"})), ..failure(&held, Verdict::Final) };
        let failed = w.ledger.fail(with_result).await.unwrap();
        assert_eq!((failed.status, failed.run_at), (Status::Failed, None));
        let now = w.get(id).await;
        assert_eq!((now.status, now.result), (Status::Failed, Some(json!({"stderr": "boom"}))));
        w.advance(100_000);
        assert!(w.claim(kind, "a", 1).await.is_empty());
        stale(w.complete(&held).await);
    }
}

pub(crate) async fn a_failure_may_publish_too<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        let report =
            NewDelivery { target_app: None, dedup_key: Some(format!("r{kind}")), ..new(Kind::File, "") };
        w.ledger.fail(Failure { next: vec![report], ..failure(&held, Verdict::Final) }).await.unwrap();
        let filter = handover_ledger::Filter { parent: Some(id), limit: 10, ..Default::default() };
        let made = w.ledger.list(filter).await.unwrap();
        assert_eq!((made.len(), made[0].status), (1, Status::Completed));
        assert_eq!(made[0].created_by.as_deref(), Some("1-worker"));
    }
}

pub(crate) async fn a_long_error_is_cut<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        let error = "ä".repeat(ERROR_TEXT_MAX_BYTES);
        w.ledger.fail(Failure { error, ..failure(&held, Verdict::Final) }).await.unwrap();
        let kept = w.get(id).await.last_error.unwrap();
        assert!(kept.len() <= ERROR_TEXT_MAX_BYTES + '…'.len_utf8() && kept.ends_with('…'));
    }
}
