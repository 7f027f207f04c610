//! Names: reserved once, never given twice.

use super::*;
use handover_core::{AppName, TypeName};
use handover_ledger::{NameRow, Reservation, Reserve};
use std::collections::HashSet;
use tokio::task::JoinSet;

/// A wish for a name in `validated/2025-11-24`.
pub(crate) fn wish(maker: Option<DeliveryId>, slot: &str) -> Reserve {
    Reserve {
        maker,
        slot: slot.into(),
        folder: "validated/2025-11-24".into(),
        app: AppName::new("validator").unwrap(),
        type_name: TypeName::new("sales").unwrap(),
        date: jiff::civil::date(2025, 11, 24),
        wanted: None,
        floor: 0,
        stem: None,
    }
}

async fn reserve<B: Backend>(w: &World<B>, wish: Reserve) -> Reservation {
    w.ledger.reserve(wish).await.unwrap()
}

pub(crate) async fn the_wanted_sequence_where_it_is_free<B: Backend>() {
    let w = World::<B>::new().await;
    let wanting =
        |maker: i64, wanted| Reserve { wanted: Some(wanted), ..wish(Some(DeliveryId(maker)), "out") };
    let seven = reserve(&w, wanting(1, 7)).await;
    assert_eq!(
        (seven.stem.as_str(), seven.sequence, seven.fresh),
        ("validator_sales_2025-11-24_007", 7, true)
    );
    assert_eq!(reserve(&w, wanting(2, 7)).await.sequence, 8, "taken: the next of the highest");
    assert_eq!(reserve(&w, wanting(3, 3)).await.sequence, 3, "a gap may be wanted");
    assert_eq!(reserve(&w, wish(Some(DeliveryId(4)), "out")).await.sequence, 9);
    // Another folder, app, type or date counts by itself.
    let elsewhere = Reserve {
        folder: "validated/2025-11-25".into(),
        date: jiff::civil::date(2025, 11, 25),
        ..wish(None, "out")
    };
    assert_eq!(reserve(&w, elsewhere).await.sequence, 1);
    let other = Reserve { type_name: TypeName::new("orders").unwrap(), ..wish(None, "out") };
    assert_eq!(reserve(&w, other).await.stem, "validator_orders_2025-11-24_001");
    let many = reserve(&w, wanting(5, 12_345)).await;
    assert_eq!(many.stem, "validator_sales_2025-11-24_12345");
}

pub(crate) async fn many_at_once_in_their_order<B: Backend>() {
    let w = World::<B>::new().await;
    let wanting = |slot: &str, stem: Option<&str>| Reserve { stem: stem.map(Into::into), ..wish(None, slot) };
    let taken = Reserve { stem: Some("mine".into()), ..wish(Some(DeliveryId(7)), "out") };
    reserve(&w, taken).await;
    let wishes = vec![wanting("a", None), wanting("b", Some("mine")), wanting("c", None)];
    let mut given = w.ledger.reserve_all(wishes).await.unwrap().into_iter();
    let first = given.next().unwrap().unwrap();
    assert_eq!(given.next().unwrap().unwrap_err().kind(), handover_core::ErrorKind::Exists);
    let third = given.next().unwrap().unwrap();
    assert!(third.sequence == first.sequence + 1 && third.file_id > first.file_id);
    assert!(
        w.ledger.name(&third.folder, &third.stem).await.unwrap().is_some(),
        "one that is taken stops no other"
    );
    let fourth = reserve(&w, wanting("d", None)).await;
    assert!(fourth.file_id > third.file_id, "numbers set aside together are never given again");
    let place = |of: &Reservation| (of.folder.clone(), of.stem.clone());
    let asked = vec![place(&third), ("validated/2025-11-24".into(), "nobody".into()), place(&first)];
    let rows = w.ledger.names(asked).await.unwrap();
    let whose: Vec<_> = rows.into_iter().map(|row| row.map(|row| row.file_id)).collect();
    assert_eq!(whose, [Some(third.file_id), None, Some(first.file_id)]);
}

pub(crate) async fn never_at_or_below_the_floor<B: Backend>() {
    let w = World::<B>::new().await;
    let wanting =
        |maker: i64, wanted, floor| Reserve { wanted, floor, ..wish(Some(DeliveryId(maker)), "out") };
    assert_eq!(reserve(&w, wanting(1, Some(5), 5)).await.sequence, 6);
    assert_eq!(reserve(&w, wanting(2, Some(7), 6)).await.sequence, 7);
    assert_eq!(reserve(&w, wanting(3, None, 40)).await.sequence, 41);
    assert_eq!(reserve(&w, wanting(4, None, 0)).await.sequence, 42);
}

pub(crate) async fn a_retry_gets_its_own_name_again<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let maker = Some(DeliveryId(1));
    let first = reserve(&w, wish(maker, "out")).await;
    // Whatever the retry asks for: another floor, another wish, even another folder on another day.
    let again = Reserve { wanted: Some(99), floor: 50, folder: "elsewhere".into(), ..wish(maker, "out") };
    let again = other.reserve(again).await.unwrap();
    assert_eq!(again, Reservation { fresh: false, ..first.clone() });
    // Another output, and another delivery, have their own.
    let report = reserve(&w, wish(maker, "report")).await;
    let else_ = reserve(&w, wish(Some(DeliveryId(2)), "out")).await;
    assert_eq!((report.sequence, else_.sequence), (2, 3));
    let all: HashSet<_> = [first.file_id, report.file_id, else_.file_id].into();
    assert_eq!(all.len(), 3);
    // What a person puts in has no maker, and is new each time.
    assert_ne!(reserve(&w, wish(None, "out")).await.stem, reserve(&w, wish(None, "out")).await.stem);
}

pub(crate) async fn concurrent_reservers_never_share<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let mut reservers = JoinSet::new();
    for reserver in 0..16i64 {
        let ledger = if reserver % 2 == 0 { w.ledger.clone() } else { other.clone() };
        reservers.spawn(async move {
            let mut mine = vec![];
            for n in 0..10 {
                // Half of them want the same.
                let wanted = (n % 2 == 0).then_some(5);
                let wish = Reserve { wanted, ..wish(Some(DeliveryId(1000 * reserver + n)), "out") };
                mine.push(ledger.reserve(wish).await.unwrap());
            }
            mine
        });
    }
    let all: Vec<Reservation> = reservers.join_all().await.into_iter().flatten().collect();
    assert!(all.iter().all(|r| r.fresh));
    assert_eq!(all.iter().map(|r| &r.stem).collect::<HashSet<_>>().len(), 160);
    assert_eq!(all.iter().map(|r| r.file_id).collect::<HashSet<_>>().len(), 160);
}

pub(crate) async fn a_discarded_name_is_free_for_nobody<B: Backend>() {
    let w = World::<B>::new().await;
    let wanting = Reserve { wanted: Some(4), ..wish(Some(DeliveryId(1)), "out") };
    let first = reserve(&w, wanting.clone()).await;
    w.ledger.discard(&first, None).await.unwrap();
    let second = reserve(&w, wanting.clone()).await;
    assert_eq!((second.sequence, second.fresh), (5, true));
    w.ledger.discard(&second, None).await.unwrap();
    assert_eq!(reserve(&w, wanting).await.sequence, 6);
    let row = w.ledger.name(&first.folder, &first.stem).await.unwrap().unwrap();
    assert_eq!((row.maker, row.slot.as_str()), (None, "discarded"));
    assert_eq!(w.ledger.names_of(DeliveryId(1)).await.unwrap().len(), 1);
}

pub(crate) async fn a_late_one_gives_up_nobodys_name<B: Backend>() {
    let w = World::<B>::new().await;
    let (id, held) = w.held(Kind::File, "app").await;
    let mine = reserve(&w, wish(Some(id), "out")).await;
    let late = handover_ledger::Held { token: handover_core::LeaseToken::random(), ..held.clone() };
    stale(w.ledger.discard(&mine, Some(&late)).await);
    assert_eq!(w.ledger.names_of(id).await.unwrap().len(), 1);
    w.ledger.discard(&mine, Some(&held)).await.unwrap();
    assert!(w.ledger.names_of(id).await.unwrap().is_empty());
    // Without a claim, as long as the file is no delivery.
    let put = reserve(&w, wish(Some(DeliveryId(7)), "quarantine")).await;
    w.push(NewDelivery { id: Some(put.file_id), ..new(Kind::File, "app") }).await;
    assert_eq!(w.ledger.discard(&put, None).await.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(w.ledger.names_of(DeliveryId(7)).await.unwrap().len(), 1);
}

pub(crate) async fn a_stem_of_its_own<B: Backend>() {
    let w = World::<B>::new().await;
    let export = |maker: i64| Reserve {
        stem: Some("sales-for-bob".into()),
        folder: "/srv/outgoing".into(),
        wanted: Some(1),
        ..wish(Some(DeliveryId(maker)), "out")
    };
    let first = reserve(&w, export(1)).await;
    assert_eq!((first.stem.as_str(), first.fresh), ("sales-for-bob", true));
    assert!(!reserve(&w, export(1)).await.fresh);
    let error = w.ledger.reserve(export(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().contains("/srv/outgoing/sales-for-bob"), "{error}");
    // A discarded one is not given again either.
    w.ledger.discard(&first, None).await.unwrap();
    assert_eq!(w.ledger.reserve(export(1)).await.unwrap_err().kind(), ErrorKind::Exists);
}

pub(crate) async fn whose_name_it_is<B: Backend>() {
    let w = World::<B>::new().await;
    let maker = Some(DeliveryId(1));
    let out = reserve(&w, wish(maker, "out")).await;
    let report = reserve(&w, wish(maker, "report")).await;
    let row = |r: &Reservation, slot: &str| NameRow {
        folder: r.folder.clone(),
        stem: r.stem.clone(),
        maker,
        slot: slot.into(),
        file_id: r.file_id,
    };
    assert_eq!(w.ledger.name(&out.folder, &out.stem).await.unwrap(), Some(row(&out, "out")));
    assert_eq!(w.ledger.name(&out.folder, "nobody").await.unwrap(), None);
    assert_eq!(w.ledger.names_of(DeliveryId(1)).await.unwrap(), [row(&out, "out"), row(&report, "report")]);
    assert!(w.ledger.names_of(DeliveryId(2)).await.unwrap().is_empty());
}

pub(crate) async fn the_last_sequence_is_an_error_and_no_panic<B: Backend>() {
    let w = World::<B>::new().await;
    let last = Reserve { wanted: Some(u32::MAX), ..wish(None, "out") };
    assert_eq!(reserve(&w, last).await.sequence, u32::MAX);
    assert_eq!(refused(w.ledger.reserve(wish(None, "out")).await), ErrorKind::Exists);
    let gap = Reserve { wanted: Some(3), ..wish(None, "out") };
    assert_eq!(reserve(&w, gap).await.sequence, 3);
}
