//! Waking: new work is told to every handle, and nothing else keeps a handle awake.

use super::*;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

/// Far longer than a wake takes, so that only its absence fails.
const BOUND: Duration = Duration::from_secs(20);

async fn woken(wake: &mut watch::Receiver<u64>) {
    timeout(BOUND, wake.changed()).await.expect("nobody woke it").unwrap();
}

pub(crate) async fn a_push_wakes_the_other_handle<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    for kind in KINDS {
        let (mut here, mut there) = (w.ledger.wake(), other.wake());
        let id = w.push(new(kind, "a")).await;
        woken(&mut here).await;
        woken(&mut there).await;
        let claimed = other.claim(ask(kind, "a", 1, "2-other")).await.unwrap();
        assert_eq!(ids(&claimed), [id], "what woke it can be claimed");
    }
}

pub(crate) async fn a_foreign_insert_wakes<B: Backend>() {
    let w = World::<B>::new().await;
    let mut wake = w.ledger.wake();
    w.backend
        .sql("INSERT INTO data_staging (source_app, target_app, data) VALUES ('s', 'a', '{}')")
        .await
        .unwrap();
    woken(&mut wake).await;
}

/// What a runtime with nothing to do does each time it wakes.
async fn idle_round(ledger: &dyn Ledger, holder: &str) {
    for kind in KINDS {
        assert!(ledger.claim(ask(kind, "a", 5, holder)).await.unwrap().is_empty());
    }
    assert!(ledger.rescue("runtime", vec![HolderId("9-lost".into())]).await.unwrap().is_empty());
    assert!(!ledger.resume("runtime", "nobody").await.unwrap(), "a command that changes nothing");
    ledger.renew(vec![], LEASE).await.unwrap();
    ledger.release(vec![], None).await.unwrap();
    ledger.next_due().await.unwrap();
    ledger.counts().await.unwrap();
}

pub(crate) async fn idle_handles_let_each_other_sleep<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    // Work of another app, and a delayed one: neither is anything to do now.
    w.push(new(Kind::File, "b")).await;
    w.push(NewDelivery { run_at: Some(w.now() + LEASE), ..new(Kind::Record, "a") }).await;
    let mut loops = vec![];
    for (ledger, holder) in [(w.ledger.clone(), "1-a"), (other, "2-b")] {
        loops.push(tokio::spawn(async move {
            let mut wake = ledger.wake();
            let mut wakes = 0;
            // Not a wait for anything: the span of time in which wakes are counted.
            let span = tokio::time::sleep(Duration::from_secs(3));
            tokio::pin!(span);
            loop {
                idle_round(ledger.as_ref(), holder).await;
                tokio::select! {
                    () = &mut span => return wakes,
                    changed = wake.changed() => { changed.unwrap(); wakes += 1; }
                }
            }
        }));
    }
    for idle in loops {
        let wakes = idle.await.unwrap();
        assert!(wakes <= 3, "{wakes} wakes while nothing happened");
    }
}

pub(crate) async fn a_renewal_wakes_nobody_here<B: Backend>() {
    let w = World::<B>::new().await;
    let (_, held) = w.held(Kind::File, "a").await;
    let mut wake = w.ledger.wake();
    wake.mark_unchanged();
    for _ in 0..5 {
        w.ledger.renew(vec![held.clone()], LEASE).await.unwrap();
        w.ledger.reserve(names::wish(None, "out")).await.unwrap();
        w.ledger.pause("ann", "b").await.unwrap();
    }
    assert!(!wake.has_changed().unwrap());
    w.ledger.release(vec![held], None).await.unwrap();
    assert!(wake.has_changed().unwrap(), "what was given back is work");
}

pub(crate) async fn an_end_wakes_what_waited_for_it<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let ordered = NewDelivery { order_key: Some("x".into()), ..new(kind, "a") };
        let (_, second) = (w.push(ordered.clone()).await, w.push(ordered).await);
        let first = w.claim(kind, "a", 10).await;
        let mut wake = w.ledger.wake();
        wake.mark_unchanged();
        w.complete(&held(&first[0])).await.unwrap();
        assert!(wake.has_changed().unwrap(), "the next of its order key is work now");
        let next = w.claim(kind, "a", 10).await;
        assert_eq!(ids(&next), [second]);
        w.fail(&held(&next[0]), Verdict::Final).await.unwrap();
    }
}

/// The next end that is told of; of one handle's ends the other may hear, too.
async fn told(ends: &mut broadcast::Receiver<DeliveryId>) -> DeliveryId {
    timeout(BOUND, ends.recv()).await.expect("nobody told of the end").unwrap()
}

pub(crate) async fn ends_are_told<B: Backend>() {
    let w = World::<B>::new().await;
    let mut ends = w.ledger.ends();
    for kind in [Kind::Record, Kind::File, Kind::Job] {
        let (done, first) = w.held(kind, "a").await;
        w.complete(&first).await.unwrap();
        let (failed, second) = w.held(kind, "a").await;
        w.fail(&second, Verdict::Final).await.unwrap();
        let cancelled = w.push(new(kind, "b")).await;
        w.ledger.ask_to_cancel("me", cancelled).await.unwrap();
        // Nobody follows a record, but for the end that was asked for.
        let expected = if kind == Kind::Record { vec![cancelled] } else { vec![done, failed, cancelled] };
        for one in expected {
            assert_eq!(told(&mut ends).await, one);
        }
    }
}
