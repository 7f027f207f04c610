//! Leases: renewed, lost, given back, taken back.

use super::*;
use handover_core::LeaseToken;
use handover_core::limits::RESCUES_MAX;

pub(crate) async fn a_renewed_lease_lasts<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        w.advance(50);
        assert!(w.ledger.renew(vec![held.clone()], LEASE).await.unwrap().is_empty());
        assert_eq!(w.get(id).await.lease_until, Some(w.now() + LEASE));
        w.advance(50);
        assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
        w.complete(&held).await.unwrap();
    }
    assert!(w.ledger.renew(vec![], LEASE).await.unwrap().is_empty());
}

pub(crate) async fn renewing_says_what_is_lost<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (_, kept) = w.held(kind, "a").await;
        let (_, ended) = w.held(kind, "a").await;
        let (cancelled_id, cancelled) = w.held(kind, "a").await;
        w.complete(&ended).await.unwrap();
        w.ledger.cancel("ann", cancelled_id).await.unwrap();
        let forged = Held { token: LeaseToken::random(), ..kept.clone() };
        let all = vec![kept, ended.clone(), cancelled.clone(), forged.clone()];
        assert_eq!(w.ledger.renew(all, LEASE).await.unwrap(), [ended, cancelled, forged]);
    }
}

pub(crate) async fn holds_as_long_as_it_stands<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    for kind in KINDS {
        let (id, held) = w.held(kind, "a").await;
        assert!(w.ledger.holds(&held).await.unwrap() && other.holds(&held).await.unwrap());
        // A lease that ran out stands until somebody takes it.
        w.advance(600);
        assert!(w.ledger.holds(&held).await.unwrap());
        other.rescue("test", vec![]).await.unwrap();
        assert!(!w.ledger.holds(&held).await.unwrap());
        let again = w.claim(kind, "a", 1).await;
        assert_eq!(ids(&again), [id]);
        assert!(!w.ledger.holds(&held).await.unwrap(), "another claim has another token");
    }
}

pub(crate) async fn a_stale_token_changes_nothing<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, lost) = w.held(kind, "a").await;
        w.ledger.rescue("test", vec![HolderId("1-worker".into())]).await.unwrap();
        // Pending again, claimed by another, ended by another, archived: at none of these may the first one speak.
        let check = async || {
            let before = w.get(id).await;
            let error = w.ledger.complete(completion(&lost, vec![new(kind, "next")])).await.unwrap_err();
            assert!(error.to_string().contains(&format!("it is {}", before.status)), "{error}");
            assert!(error.hint_text().is_some());
            stale(Err::<(), _>(error));
            stale(w.fail(&lost, Verdict::Final).await);
            stale(w.fail(&lost, Verdict::Later).await);
            assert_eq!(w.ledger.release(vec![lost.clone()], None).await.unwrap(), 0);
            assert_eq!(w.ledger.renew(vec![lost.clone()], LEASE).await.unwrap(), std::slice::from_ref(&lost));
            assert!(!w.ledger.holds(&lost).await.unwrap());
            assert_eq!(w.get(id).await, before);
        };
        check().await;
        let claimed = w.ledger.claim(ask(kind, "a", 1, "2-other")).await.unwrap();
        let error = w.complete(&lost).await.unwrap_err().to_string();
        assert!(error.contains("held by 2-other"), "{error}");
        check().await;
        w.complete(&held(&claimed[0])).await.unwrap();
        check().await;
        stale(w.complete(&held(&claimed[0])).await);
        w.ledger.archive("ann", vec![id]).await.unwrap();
        check().await;
        let unknown = Held { id: DeliveryId(4711), ..lost.clone() };
        stale(w.complete(&unknown).await);
        assert!(w.claim(kind, "next", 1).await.is_empty());
    }
}

pub(crate) async fn release_gives_back_untouched<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        w.push_to(kind, "a", 2).await;
        let claimed = w.claim(kind, "a", 2).await;
        let all: Vec<Held> = claimed.iter().map(held).collect();
        w.complete(&all[0]).await.unwrap();
        assert_eq!(w.ledger.release(all.clone(), None).await.unwrap(), 1);
        let back = w.get(all[1].id).await;
        assert_eq!((back.status, back.attempts, back.rescues), (Status::Pending, 0, 0));
        assert_eq!((back.lease_token, back.leased_by, back.lease_until), (None, None, None));
        stale(w.complete(&all[1]).await);
        assert_eq!(ids(&w.claim(kind, "a", 2).await), [all[1].id]);
    }
}

/// What kept it from being done is told, and is no end of it.
pub(crate) async fn what_is_given_back_says_why<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, first) = w.held(kind, "a").await;
        let why = Some("its disk is full".to_owned());
        assert_eq!(w.ledger.release(vec![first], why.clone()).await.unwrap(), 1);
        let back = w.get(id).await;
        assert_eq!((back.status, back.attempts, &back.last_error), (Status::Pending, 0, &why));
        let audit = w.ledger.audit(id).await.unwrap();
        let last = audit.last().unwrap();
        assert_eq!((last.from, last.to, &last.note), (Some(Status::Processing), Status::Pending, &why));
        assert_eq!(last.actor, "1-worker");
        // No reason takes none away, and says nothing.
        let again = w.claim(kind, "a", 1).await;
        assert_eq!(again[0].last_error, why);
        w.ledger.release(vec![held(&again[0])], None).await.unwrap();
        assert_eq!(w.get(id).await.last_error, why);
        assert_eq!(w.ledger.audit(id).await.unwrap().last().unwrap().note, None);
        w.complete(&held(&w.claim(kind, "a", 1).await[0])).await.unwrap();
        let moved = usize::from(w.stands(kind, Status::Completed) == Status::Completed);
        assert_eq!(w.ledger.archive("test", vec![id]).await.unwrap(), moved);
        assert_eq!(w.get(id).await.last_error, None);
        let links = w.ledger.links().await.unwrap().rows;
        let stand: Vec<_> = links.iter().filter(|row| row.kind == kind).map(|row| row.status).collect();
        assert_eq!(stand, [Status::Completed], "it was completed in the end");
    }
    w.check_counts().await;
}

pub(crate) async fn a_lease_that_ran_out_is_rescued<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (id, _) = w.held(kind, "a").await;
        w.advance(59);
        assert!(w.ledger.rescue("test", vec![]).await.unwrap().is_empty());
        // At its very end it has run out: `next_due` names this moment, so a rescue must find something then.
        assert_eq!(w.ledger.next_due().await.unwrap(), Some(w.now() + Duration::from_secs(1)));
        w.advance(1);
        let rescued = w.ledger.rescue("test", vec![]).await.unwrap();
        assert_eq!(rescued.len(), 1);
        assert_eq!((rescued[0].id, rescued[0].app.as_str(), rescued[0].status), (id, "a", Status::Pending));
        assert_eq!(rescued[0].holder, Some(HolderId("1-worker".into())));
        let back = w.get(id).await;
        assert_eq!((back.attempts, back.rescues), (0, 1), "no retry is used up");
        assert_eq!(back.last_error.as_deref(), Some("its lease ran out"));
        assert_eq!(w.claim(kind, "a", 1).await[0].attempts, 1);
        w.ledger.cancel("test", id).await.unwrap();
    }
}

pub(crate) async fn a_lost_holder_is_rescued_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        w.push_to(kind, "a", 3).await;
        let lost = w.ledger.claim(ask(kind, "a", 2, "1-lost")).await.unwrap();
        let alive = w.ledger.claim(ask(kind, "a", 1, "2-alive")).await.unwrap();
        assert!(w.ledger.rescue("test", vec![HolderId("3-unknown".into())]).await.unwrap().is_empty());
        let rescued = w.ledger.rescue("test", vec![HolderId("1-lost".into())]).await.unwrap();
        assert_eq!(rescued.iter().map(|r| r.id).collect::<Vec<_>>(), ids(&lost));
        w.complete(&held(&alive[0])).await.unwrap();
        let again = w.claim(kind, "a", 3).await;
        assert_eq!(ids(&again), ids(&lost));
        for delivery in again {
            assert_eq!(delivery.last_error.as_deref(), Some("the process that worked on it ended"));
            w.complete(&held(&delivery)).await.unwrap();
            assert_eq!(w.get(delivery.id).await.last_error, None);
        }
    }
}

pub(crate) async fn twenty_rescues_and_no_more<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let id = w.push(new(kind, "a")).await;
        for round in 1..=RESCUES_MAX + 1 {
            assert_eq!(w.claim(kind, "a", 1).await.len(), 1, "round {round}");
            let rescued = w.ledger.rescue("test", vec![HolderId("1-worker".into())]).await.unwrap();
            let expected = if round <= RESCUES_MAX { Status::Pending } else { Status::Failed };
            assert_eq!((rescued.len(), rescued[0].status), (1, expected), "round {round}");
        }
        let given_up = w.get(id).await;
        assert_eq!((given_up.status, given_up.processed_at), (Status::Failed, Some(w.now())));
        let why = given_up.last_error.unwrap_or_default();
        assert_eq!(why, "given up after 20 rescues: the process that worked on it ended once more");
        w.ledger.retry("ann", id).await.unwrap();
        assert_eq!(w.get(id).await.rescues, 0);
        w.ledger.cancel("ann", id).await.unwrap();
    }
}

pub(crate) async fn holders_are_those_with_leases<B: Backend>() {
    let w = World::<B>::new().await;
    assert!(w.ledger.holders().await.unwrap().is_empty());
    for kind in KINDS {
        w.push_to(kind, "a", 2).await;
        w.ledger.claim(ask(kind, "a", 1, "1-one")).await.unwrap();
        let two = w.ledger.claim(ask(kind, "a", 1, &format!("2-{kind}"))).await.unwrap();
        w.complete(&held(&two[0])).await.unwrap();
    }
    assert_eq!(
        w.ledger.holders().await.unwrap(),
        [HolderId("1-one".into())],
        "each once, the ended ones not"
    );
}
