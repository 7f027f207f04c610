//! What people did, in both tables, as one list.

use super::*;
use handover_ledger::{Deed, DeedFilter, NewAction};

pub(crate) fn action(did: &str, app: Option<&str>) -> NewAction {
    NewAction {
        actor: "cli:ann".into(),
        via: format!("handover {did}"),
        did: did.into(),
        app: app.map(Into::into),
        ..NewAction::default()
    }
}

async fn deeds<B: Backend>(w: &World<B>, filter: DeedFilter) -> Vec<Deed> {
    let filter = DeedFilter { limit: if filter.limit == 0 { 100 } else { filter.limit }, ..filter };
    w.ledger.deeds(filter).await.unwrap().deeds
}

fn told(deeds: &[Deed]) -> Vec<(&str, &str, Option<i64>)> {
    deeds.iter().map(|d| (d.actor.as_str(), d.did.as_str(), d.delivery_id.map(|id| id.0))).collect()
}

/// Work, and people in between.
async fn lived<B: Backend>() -> (World<B>, DeliveryId, DeliveryId) {
    let w = World::<B>::new().await;
    let failed = w.in_status(Kind::File, "a", Status::Failed).await;
    w.advance(1);
    w.ledger.retry("key:k1", failed).await.unwrap();
    w.advance(1);
    w.ledger.note_action(action("pause", Some("b"))).await.unwrap();
    w.advance(1);
    w.ledger.cancel("cli:bob", failed).await.unwrap();
    let record = w.in_status(Kind::Record, "r", Status::Completed).await;
    w.advance(1);
    let replayed = NewAction {
        delivery: Some(failed),
        note: Some("replayed as 99 \"so\"".into()),
        thing: Some("flow sales".into()),
        ..action("replay", None)
    };
    w.ledger.note_action(replayed).await.unwrap();
    (w, failed, record)
}

pub(crate) async fn people_are_told_from_workers<B: Backend>() {
    let (w, failed, record) = lived::<B>().await;
    let all = deeds(&w, DeedFilter::default()).await;
    let id = Some(failed.0);
    let people = [
        ("cli:ann", "replay", id),
        ("cli:bob", "cancel", id),
        ("cli:ann", "pause", None),
        ("key:k1", "retry", id),
    ];
    assert_eq!(told(&all), people);
    assert_eq!((all[0].app.as_deref(), all[0].thing.as_deref()), (Some("a"), Some("flow sales")));
    assert_eq!(
        (all[0].note.as_deref(), all[0].via.as_deref()),
        (Some("replayed as 99 \"so\""), Some("handover replay"))
    );
    assert_eq!(
        (all[3].from, all[3].to, all[3].app.as_deref()),
        (Some(Status::Failed), Some(Status::Pending), Some("a"))
    );
    let workers = deeds(&w, DeedFilter { workers: true, ..DeedFilter::default() }).await;
    assert!(workers.len() > 6 && workers.iter().any(|d| d.did == "claim"), "{workers:?}");
    assert!(workers.is_sorted_by(|one, next| one.at >= next.at));
    let theirs =
        deeds(&w, DeedFilter { delivery: Some(record), workers: true, ..DeedFilter::default() }).await;
    assert!(
        theirs.iter().all(|d| d.delivery_id <= Some(record) && d.app.as_deref() == Some("r")),
        "{theirs:?}"
    );
    assert!(theirs.iter().any(|d| d.did == "hand over"), "{theirs:?}");
}

pub(crate) async fn deeds_are_found_by_who_what_and_when<B: Backend>() {
    let (w, failed, record) = lived::<B>().await;
    let by = |who: &str| DeedFilter { who: Some(who.into()), ..DeedFilter::default() };
    assert_eq!(deeds(&w, by("ann")).await.len(), 2);
    assert_eq!(deeds(&w, by("cli:ann")).await.len(), 2);
    assert_eq!(deeds(&w, by("an")).await.len(), 0);
    assert_eq!(deeds(&w, by("%")).await.len(), 0);
    let of = |app: &str| DeedFilter { app: Some(app.into()), ..DeedFilter::default() };
    assert_eq!((deeds(&w, of("a")).await.len(), deeds(&w, of("b")).await.len()), (3, 1));
    let to = |delivery| DeedFilter { delivery: Some(delivery), ..DeedFilter::default() };
    assert_eq!((deeds(&w, to(failed)).await.len(), deeds(&w, to(record)).await.len()), (3, 0));
    let all = deeds(&w, DeedFilter::default()).await;
    let late = DeedFilter { since: Some(all[1].at), ..DeedFilter::default() };
    assert_eq!(deeds(&w, late).await, all[..2]);
    let early = DeedFilter { until: Some(all[1].at), ..DeedFilter::default() };
    assert_eq!(deeds(&w, early).await, all[2..]);
    assert_eq!(w.ledger.forget_actions(all[1].at).await.unwrap(), 1, "the pause");
    assert_eq!(deeds(&w, DeedFilter::default()).await.len(), 3);
}

pub(crate) async fn pages_of_deeds_join_without_gap<B: Backend>() {
    let w = World::<B>::new().await;
    for n in 0..7 {
        w.ledger.note_action(action(&format!("deed {n}"), None)).await.unwrap();
        if n % 2 == 0 {
            let failed = w.in_status(Kind::File, "a", Status::Failed).await;
            w.ledger.retry("page:x", failed).await.unwrap();
            w.ledger.cancel("page:x", failed).await.unwrap();
        }
        // Sometimes at the same time.
        w.advance(n % 3);
    }
    for workers in [false, true] {
        let whole = deeds(&w, DeedFilter { workers, ..DeedFilter::default() }).await;
        assert!(whole.len() >= 15, "{}", whole.len());
        for limit in [1, 2, 5, 15] {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let filter = DeedFilter { workers, limit, after, ..DeedFilter::default() };
                let page = w.ledger.deeds(filter).await.unwrap();
                pages.extend(page.deeds);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, whole, "{limit} at once");
        }
    }
}
