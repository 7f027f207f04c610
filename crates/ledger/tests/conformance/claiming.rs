//! What a claim gives, in which order, and to whom.

use super::*;
use std::collections::HashSet;
use tokio::task::JoinSet;

pub(crate) async fn by_priority_then_age<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let mut pushed = vec![];
        for priority in [0, 5, -1, 5, 0] {
            pushed.push(w.push(NewDelivery { priority, ..new(kind, "a") }).await);
        }
        let first = w.claim(kind, "a", 3).await;
        assert_eq!(ids(&first), [pushed[1], pushed[3], pushed[0]]);
        assert_eq!(ids(&w.claim(kind, "a", usize::MAX).await), [pushed[4], pushed[2]]);
        assert!(w.claim(kind, "a", 10).await.is_empty());
        let one = &first[0];
        assert_eq!(
            (one.status, one.attempts, one.lease_until),
            (Status::Processing, 1, Some(w.now() + LEASE))
        );
        assert_eq!(one.leased_by, Some(HolderId("1-worker".into())));
        assert_eq!(*one, w.get(one.id).await);
    }
}

pub(crate) async fn not_before_its_time<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let at = w.now() + Duration::from_secs(10);
        let id = w.push(NewDelivery { run_at: Some(at), ..new(kind, "a") }).await;
        w.advance(9);
        assert!(w.claim(kind, "a", 1).await.is_empty());
        w.advance(1);
        assert_eq!(ids(&w.claim(kind, "a", 1).await), [id]);
    }
}

pub(crate) async fn a_batch_shares_one_token<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        w.push_to(kind, "a", 4).await;
        let tokens = |claimed: &[Delivery]| claimed.iter().map(|d| held(d).token).collect::<HashSet<_>>();
        let (first, second) = (w.claim(kind, "a", 2).await, w.claim(kind, "a", 2).await);
        assert_eq!((tokens(&first).len(), tokens(&second).len()), (1, 1));
        assert_ne!(tokens(&first), tokens(&second));
    }
}

pub(crate) async fn nothing_of_a_paused_app<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let id = w.push(new(kind, "a")).await;
        w.ledger.pause("ann", "a").await.unwrap();
        assert!(w.claim(kind, "a", 1).await.is_empty());
        w.push(new(kind, "b")).await;
        assert_eq!(w.claim(kind, "b", 1).await.len(), 1);
        assert!(w.ledger.resume("ann", "a").await.unwrap());
        assert_eq!(ids(&w.claim(kind, "a", 1).await), [id]);
    }
}

pub(crate) async fn nothing_deleted<B: Backend>() {
    let w = World::<B>::new().await;
    for (kind, table) in KINDS.into_iter().zip(["deliveries", "data_staging"]) {
        let id = w.push(new(kind, "a")).await;
        let delete = format!("UPDATE {table} SET deleted_at = created_at WHERE id = {id}");
        assert_eq!(w.backend.sql(&delete).await.unwrap(), 1);
        assert!(w.claim(kind, "a", 1).await.is_empty());
        assert!(w.get(id).await.deleted_at.is_some());
    }
}

fn ordered(kind: Kind, key: &str) -> NewDelivery {
    NewDelivery { order_key: Some(key.into()), ..new(kind, "a") }
}

pub(crate) async fn an_order_key_is_strict<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let mut x = vec![];
        for _ in 0..3 {
            x.push(w.push(ordered(kind, "x")).await);
        }
        // A higher priority does not overtake its own key; other keys and no key run beside it.
        let hurried = w.push(NewDelivery { priority: 9, ..ordered(kind, "x") }).await;
        let y = w.push(ordered(kind, "y")).await;
        let free = w.push_to(kind, "a", 2).await;
        let first = w.claim(kind, "a", 10).await;
        assert_eq!(ids(&first), [x[0], y, free[0], free[1]]);
        assert!(w.claim(kind, "a", 10).await.is_empty());
        // A delayed retry holds up those behind it.
        w.fail(&held(&first[0]), Verdict::Retry).await.unwrap();
        assert!(w.claim(kind, "a", 10).await.is_empty());
        w.advance(10);
        for expected in [x[0], x[1], x[2], hurried] {
            let next = w.claim(kind, "a", 10).await;
            assert_eq!(ids(&next), [expected]);
            w.complete(&held(&next[0])).await.unwrap();
        }
    }
}

pub(crate) async fn a_retried_older_one_waits_for_the_younger<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let older = w.push(ordered(kind, "x")).await;
        let claimed = w.claim(kind, "a", 1).await;
        w.fail(&held(&claimed[0]), Verdict::Final).await.unwrap();
        let younger = w.push(ordered(kind, "x")).await;
        let running = w.claim(kind, "a", 10).await;
        assert_eq!(ids(&running), [younger], "what has failed holds nobody up");
        w.ledger.retry("ann", older).await.unwrap();
        assert!(w.claim(kind, "a", 10).await.is_empty(), "two of one key at once");
        w.complete(&held(&running[0])).await.unwrap();
        assert_eq!(ids(&w.claim(kind, "a", 10).await), [older]);
    }
}

pub(crate) async fn a_deleted_one_holds_nobody_up<B: Backend>() {
    let w = World::<B>::new().await;
    for (kind, table) in KINDS.into_iter().zip(["deliveries", "data_staging"]) {
        let (first, second) = (w.push(ordered(kind, "x")).await, w.push(ordered(kind, "x")).await);
        w.backend
            .sql(&format!("UPDATE {table} SET deleted_at = created_at WHERE id = {first}"))
            .await
            .unwrap();
        assert_eq!(ids(&w.claim(kind, "a", 10).await), [second]);
    }
}

pub(crate) async fn claimers_of_two_handles_never_share<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    for kind in KINDS {
        let pushed: HashSet<_> = w.push_to(kind, "a", 200).await.into_iter().collect();
        let mut claimers = JoinSet::new();
        for number in 0..8 {
            let ledger = if number % 2 == 0 { w.ledger.clone() } else { other.clone() };
            claimers.spawn(async move {
                let mut mine = vec![];
                loop {
                    let claimed =
                        ledger.claim(ask(kind, "a", 7, &format!("{number}-claimer"))).await.unwrap();
                    if claimed.is_empty() {
                        return mine;
                    }
                    for delivery in &claimed {
                        ledger.complete(completion(&held(delivery), vec![])).await.unwrap();
                    }
                    mine.extend(ids(&claimed));
                }
            });
        }
        let all: Vec<DeliveryId> = claimers.join_all().await.into_iter().flatten().collect();
        assert_eq!(all.len(), 200, "one was given twice, or one was left");
        assert_eq!(all.into_iter().collect::<HashSet<_>>(), pushed);
    }
    w.check_counts().await;
}

/// JSON that the database takes and no parser of ours: it must stop nobody else's work.
pub(crate) async fn what_cannot_be_read_is_refused<B: Backend>() {
    let w = World::<B>::new().await;
    w.advance(3600);
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for data in [deep.as_str(), "1e999", r#""\ud800""#] {
        let insert =
            format!("INSERT INTO data_staging (source_app, target_app, data) VALUES ('s', 'a', '{data}')");
        // A database that refuses it at the door is fine too.
        let taken = w.backend.sql(&insert).await.is_ok();
        let good = w.push(new(Kind::Record, "a")).await;
        assert_eq!(ids(&w.claim(Kind::Record, "a", 1).await), [good], "{data:.20}");
        if taken {
            let bad = w.get(DeliveryId(good.0 - 1)).await;
            assert_eq!(bad.status, Status::Failed);
            let why = bad.last_error.unwrap_or_default();
            assert!(why.starts_with("its data cannot be read: "), "{why}");
            assert_eq!((bad.lease_token, bad.leased_by, bad.processed_at), (None, None, Some(w.now())));
            assert_eq!(bad.data, json!(data), "shown as it is");
        }
    }
    w.check_counts().await;
}

pub(crate) async fn a_claim_of_nothing_or_of_no_app<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        w.push(new(kind, "a")).await;
        assert!(w.claim(kind, "a", 0).await.is_empty());
        assert!(w.claim(kind, "b", 1).await.is_empty());
        let endless = Claim { lease: Duration::MAX, ..ask(kind, "a", 1, "1-worker") };
        assert_eq!(w.ledger.claim(endless).await.unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(w.claim(kind, "a", 1).await.len(), 1);
    }
}

/// Hurried ones, more than a claim takes.
async fn hurry<B: Backend>(w: &World<B>, kind: Kind, count: usize) -> Vec<DeliveryId> {
    let hurried = vec![NewDelivery { priority: 9, ..new(kind, "a") }; count];
    w.ledger.push("test", hurried).await.unwrap().into_iter().map(|pushed| pushed.id()).collect()
}

/// However many come with a higher priority, one place in eight goes to what has waited longest, once it has waited a minute.
pub(crate) async fn what_has_waited_longest_has_its_places<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let mut waits = vec![];
        for priority in [0, -5, 0, 3] {
            waits.push(w.push(NewDelivery { priority, ..new(kind, "a") }).await);
        }
        let hurried = hurry(&w, kind, 20).await;
        assert_eq!(ids(&w.claim(kind, "a", 16).await), hurried[..16], "a minute has not passed");
        w.advance(61);
        let hurried = [&hurried[16..], &hurry(&w, kind, 40).await].concat();
        let claimed = w.claim(kind, "a", 16).await;
        assert_eq!(
            ids(&claimed),
            [&hurried[..14], &[waits[0], waits[1]]].concat(),
            "the oldest, whatever their priority"
        );
        let claimed = w.claim(kind, "a", 16).await;
        assert_eq!(ids(&claimed), [&hurried[14..28], &[waits[3], waits[2]]].concat());
        w.check_counts().await;
    }
}

/// Claims for less than eight get there too, by lot.
pub(crate) async fn single_claims_come_to_what_has_waited_longest<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let waits = w.push(new(kind, "a")).await;
        w.advance(61);
        let mut claims = 0;
        loop {
            claims += 1;
            assert!(claims < 400, "it starves");
            hurry(&w, kind, 1).await;
            let claimed = w.claim(kind, "a", 1).await;
            if ids(&claimed) == [waits] {
                break;
            }
        }
    }
}

/// Asked without claiming: order keys, delays, pauses and what is in flight count as they do for a claim.
pub(crate) async fn whether_a_claim_would_find_anything<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let claimable = async || w.ledger.claimable(kind.into(), "a").await.unwrap();
        assert!(!claimable().await);
        let later = Some(w.now() + Duration::from_secs(60));
        let first = w.push(NewDelivery { run_at: later, ..ordered(kind, "x") }).await;
        let second = w.push(ordered(kind, "x")).await;
        assert!(!claimable().await, "the first of its key waits for a later time");
        assert!(w.claim(kind, "a", 9).await.is_empty());
        w.advance(61);
        assert!(claimable().await);
        w.ledger.pause("ann", "a").await.unwrap();
        assert!(!claimable().await);
        w.ledger.resume("ann", "a").await.unwrap();
        let claimed = w.claim(kind, "a", 9).await;
        assert_eq!(ids(&claimed), [first]);
        assert!(!claimable().await, "the first of its key is being worked on");
        let free = w.push(new(kind, "a")).await;
        assert!(claimable().await);
        assert_eq!(ids(&w.claim(kind, "a", 9).await), [free]);
        w.complete(&held(&claimed[0])).await.unwrap();
        assert!(claimable().await);
        assert_eq!(ids(&w.claim(kind, "a", 9).await), [second]);
        assert!(!claimable().await);
    }
}

/// Age overtakes priority, never the order within a key.
pub(crate) async fn what_has_waited_longest_keeps_its_order_key<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (first, second) = (w.push(ordered(kind, "x")).await, w.push(ordered(kind, "x")).await);
        w.advance(61);
        hurry(&w, kind, 60).await;
        let claimed = w.claim(kind, "a", 16).await;
        assert_eq!(
            claimed.iter().filter(|one| one.priority == 0).map(|one| one.id).collect::<Vec<_>>(),
            [first]
        );
        let claimed = w.claim(kind, "a", 16).await;
        assert!(claimed.iter().all(|one| one.priority == 9), "its first is being worked on");
        w.complete(&Held { token: held(&w.get(first).await).token, id: first, queue: kind.into() })
            .await
            .unwrap();
        let claimed = w.claim(kind, "a", 16).await;
        assert!(ids(&claimed).contains(&second));
    }
}
