//! Searches: what they find, and that they look no further than they may.

use super::*;
use handover_ledger::{Filter, Searched};

async fn search<B: Backend>(w: &World<B>, filter: Filter, look: usize) -> Searched {
    let limit = if filter.limit == 0 { 100 } else { filter.limit };
    w.ledger.search(Filter { limit, ..filter }, look).await.unwrap()
}

/// What a search finds that may look at everything.
async fn found<B: Backend>(w: &World<B>, filter: Filter) -> Vec<DeliveryId> {
    let searched = search(w, filter, 1_000).await;
    assert_eq!(searched.below, None, "it looked at everything");
    ids(&searched.deliveries)
}

pub(crate) async fn a_search_finds_what_a_list_does<B: Backend>() {
    let w = World::<B>::new().await;
    let start = w.now();
    let completed = w.in_status(Kind::File, "a", Status::Completed).await;
    w.advance(10);
    let record = w.push(NewDelivery { parent_id: Some(completed), ..new(Kind::Record, "a") }).await;
    let job = w.push(NewDelivery { source_app: "api".into(), ..new(Kind::Job, "b") }).await;
    let failed = w.in_status(Kind::Record, "c", Status::Failed).await;
    let archived = w.in_status(Kind::File, "a", Status::Archived).await;
    let held = w.in_status(Kind::File, "d", Status::Processing).await;
    let all = Filter::default;
    assert_eq!(found(&w, all()).await, [held, failed, job, record, completed]);
    assert_eq!(
        found(&w, Filter { archived: true, ..all() }).await,
        [held, archived, failed, job, record, completed]
    );
    let statuses = |some: &[Status]| Filter { statuses: some.to_vec(), ..Filter::default() };
    assert_eq!(found(&w, statuses(&[Status::Failed, Status::Processing])).await, [held, failed]);
    assert_eq!(found(&w, statuses(&[Status::Archived, Status::Pending])).await, [archived, job, record]);
    assert_eq!(
        ids(&w
            .ledger
            .list(Filter { limit: 9, ..statuses(&[Status::Failed, Status::Pending]) })
            .await
            .unwrap()),
        [failed, job, record]
    );
    assert_eq!(found(&w, Filter { app: Some("a".into()), ..all() }).await, [record, completed]);
    assert_eq!(found(&w, Filter { source: Some("api".into()), ..all() }).await, [job]);
    assert_eq!(found(&w, Filter { kind: Some(Kind::Job), ..all() }).await, [job]);
    assert_eq!(found(&w, Filter { parent: Some(completed), ..all() }).await, [record]);
    let tenth = start + Duration::from_secs(10);
    assert_eq!(found(&w, Filter { until: Some(tenth), ..all() }).await, [completed]);
    assert_eq!(found(&w, Filter { since: Some(tenth), ..all() }).await, [held, failed, job, record]);
    assert_eq!(found(&w, Filter { after: Some(record), before: Some(held), ..all() }).await, [failed, job]);
    let b_and_api = Filter { seen_by: Some(vec!["api".into(), "a".into()]), ..all() };
    assert_eq!(found(&w, b_and_api).await, [record, completed], "a job is not seen by whoever asked for it");
    assert_eq!(found(&w, Filter { seen_by: Some(vec![]), ..all() }).await, [] as [DeliveryId; 0]);
}

pub(crate) async fn what_waits_longest_comes_first<B: Backend>() {
    let w = World::<B>::new().await;
    let start = w.now();
    let first = w.push(new(Kind::File, "a")).await;
    w.in_status(Kind::File, "c", Status::Failed).await;
    w.push(new(Kind::Record, "a")).await;
    w.advance(10);
    let second = w.push(new(Kind::Job, "b")).await;
    w.advance(10);
    let third = w.push(new(Kind::File, "a")).await;
    let waiting =
        async |before: jiff::Timestamp, at_most| ids(&w.ledger.waiting_since(before, at_most).await.unwrap());
    assert_eq!(waiting(w.now(), 9).await, [first, second, third]);
    assert_eq!(waiting(w.now(), 2).await, [first, second], "the newest are left out");
    assert_eq!(waiting(start + Duration::from_secs(10), 9).await, [first, second]);
    assert_eq!(waiting(start - Duration::from_secs(1), 9).await, [] as [DeliveryId; 0]);
}

pub(crate) async fn what_failed_last_comes_first<B: Backend>() {
    let w = World::<B>::new().await;
    let first = w.in_status(Kind::File, "a", Status::Failed).await;
    w.advance(10);
    let second = w.in_status(Kind::Record, "b", Status::Failed).await;
    w.in_status(Kind::File, "c", Status::Completed).await;
    w.advance(10);
    let third = w.in_status(Kind::Job, "d", Status::Failed).await;
    let failed = async |at_most| ids(&w.ledger.failed_lately(at_most).await.unwrap());
    assert_eq!(failed(9).await, [third, second, first]);
    assert_eq!(failed(2).await, [third, second]);
    w.ledger.retry("cli:x", second).await.unwrap();
    assert_eq!(failed(9).await, [third, first]);
}

pub(crate) async fn what_was_replayed_is_known<B: Backend>() {
    let w = World::<B>::new().await;
    let mut failed = Vec::new();
    for kind in [Kind::File, Kind::Record, Kind::Job] {
        failed.push(w.in_status(kind, "a", Status::Failed).await);
    }
    let untouched = w.in_status(Kind::File, "a", Status::Failed).await;
    let all = [failed.clone(), vec![untouched]].concat();
    let replayed = async |of: &[DeliveryId]| w.ledger.replayed(of.to_vec()).await.unwrap();
    assert_eq!(replayed(&all).await, [] as [DeliveryId; 0]);
    for id in &failed {
        w.ledger.replay("cli:x", *id).await.unwrap();
    }
    let again = w.ledger.replay("cli:x", failed[0]).await.unwrap();
    assert_eq!(replayed(&all).await, failed, "once each, however often");
    assert_eq!(replayed(&[untouched, failed[1]]).await, [failed[1]]);
    assert_eq!(replayed(&[again]).await, [] as [DeliveryId; 0], "a replay is not the one that it replays");
    assert_eq!(replayed(&[]).await, [] as [DeliveryId; 0]);
}

pub(crate) async fn a_text_is_found_wherever_it_stands<B: Backend>() {
    let w = World::<B>::new().await;
    let by_data = w
        .push(NewDelivery { data: json!({"path": "in/Ünïcode 50%_a.csv"}).into(), ..new(Kind::File, "a") })
        .await;
    let by_key = w.push(NewDelivery { dedup_key: Some("order-17".into()), ..new(Kind::Record, "a") }).await;
    let odd = w
        .push(NewDelivery {
            data: json!({"note": "a \"quoted\" back\\slash"}).into(),
            ..new(Kind::Record, "a")
        })
        .await;
    let (by_error, held) = w.held(Kind::File, "e").await;
    w.ledger
        .fail(Failure { error: "arr_delay: required".into(), ..failure(&held, Verdict::Final) })
        .await
        .unwrap();
    let large = "x".repeat(handover_core::limits::SEARCHED_DATA_MAX_BYTES) + "needle";
    let numbers: Vec<u64> = (0..40_000).map(|n| n * 7_919).collect();
    w.push(NewDelivery { data: json!({"large": large, "more": numbers}).into(), ..new(Kind::Record, "a") })
        .await;
    let text = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(found(&w, text("ïCODE")).await, [by_data]);
    assert_eq!(found(&w, text("50%_a")).await, [by_data]);
    assert_eq!(found(&w, text("50__a")).await, [] as [DeliveryId; 0]);
    assert_eq!(found(&w, text("Order-17")).await, [by_key]);
    assert_eq!(found(&w, text("a \"quoted\" back\\slash")).await, [odd]);
    assert_eq!(found(&w, text("ARR_delay: req")).await, [by_error]);
    assert_eq!(
        found(&w, text("needle")).await,
        [] as [DeliveryId; 0],
        "data that is too large is not looked into"
    );
    assert_eq!(found(&w, text("' OR 1=1 --")).await, [] as [DeliveryId; 0]);
    assert_eq!(found(&w, text("\0")).await, [] as [DeliveryId; 0]);
}

pub(crate) async fn a_search_looks_no_further_than_it_may<B: Backend>() {
    let w = World::<B>::new().await;
    let wanted = w.push(NewDelivery { source_app: "s".into(), ..new(Kind::Record, "a") }).await;
    let mut all = vec![wanted];
    for n in 0..30 {
        all.push(w.push(new(KINDS[n % 2], "a")).await);
    }
    all.reverse();
    // Pages of what is found, whatever a page may look at, are the whole without gap or repetition.
    for (look, limit) in [(1, 3), (4, 3), (5, 50), (100, 7)] {
        let (mut paged, mut before, mut pages) = (vec![], None, 0);
        loop {
            let page = search(&w, Filter { before, limit, archived: true, ..Filter::default() }, look).await;
            assert!(page.deliveries.len() <= limit);
            paged.extend(ids(&page.deliveries));
            pages += 1;
            assert!(pages < 100);
            before = page.below;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(paged, all, "look {look}, limit {limit}");
    }
    let source = || Filter { source: Some("s".into()), ..Filter::default() };
    let first = search(&w, source(), 5).await;
    assert!(first.deliveries.is_empty() && first.below.is_some(), "{first:?}");
    assert_eq!(found(&w, source()).await, [wanted]);
}

/// What failed long ago is found at once, however much came after it.
pub(crate) async fn what_failed_long_ago_is_found_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let failed = w.in_status(kind, "f", Status::Failed).await;
        for _ in 0..20 {
            w.in_status(kind, "b", Status::Completed).await;
        }
        let filter = || Filter { statuses: vec![Status::Failed], kind: Some(kind), ..Filter::default() };
        let page = search(&w, filter(), 3).await;
        assert_eq!((ids(&page.deliveries), page.below), (vec![failed], None));
    }
}

/// Even where more failed than are looked at, the newest of them are found at once, and the next page goes on from there; those of
/// one app too, whatever failed of others since.
pub(crate) async fn however_many_failed_the_newest_are_found_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let (mut all, mut of_one) = (vec![], vec![]);
        for n in 0..12 {
            let app = if n < 5 { "f" } else { "g" };
            let failed = w.in_status(kind, app, Status::Failed).await;
            all.insert(0, failed);
            if app == "f" {
                of_one.insert(0, failed);
            }
        }
        for _ in 0..20 {
            w.in_status(kind, "f", Status::Completed).await;
        }
        let failed = || Filter { status: Some(Status::Failed), kind: Some(kind), ..Filter::default() };
        let one = || Filter { app: Some("f".into()), ..failed() };
        for (filter, wanted) in [(failed(), all), (one(), of_one)] {
            let (mut paged, mut before) = (vec![], None);
            loop {
                let page = search(&w, Filter { before, ..filter.clone() }, 3).await;
                assert_eq!(
                    page.deliveries.len(),
                    3.min(wanted.len() - paged.len()),
                    "{filter:?} before {before:?}"
                );
                paged.extend(ids(&page.deliveries));
                before = page.below;
                if before.is_none() || paged.len() == wanted.len() {
                    break;
                }
            }
            assert_eq!(paged, wanted, "{filter:?}");
        }
    }
}

/// What plain SQL has archived, and is not moved yet, is found below whatever came since.
pub(crate) async fn what_plain_sql_archived_is_found_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    let mut archived = vec![];
    for _ in 0..5 {
        archived.insert(0, w.in_status(Kind::Record, "f", Status::Failed).await);
    }
    w.backend.sql("UPDATE data_staging SET status = 'archived' WHERE status = 'failed'").await.unwrap();
    for _ in 0..20 {
        w.push(new(Kind::Record, "f")).await;
    }
    let page = search(&w, Filter { status: Some(Status::Archived), ..Filter::default() }, 3).await;
    assert_eq!(ids(&page.deliveries), archived[..3]);
}

/// What is archived is found at once too, however much stands in the tables.
pub(crate) async fn the_archive_is_found_below_what_is_live<B: Backend>() {
    let w = World::<B>::new().await;
    let archived = w.in_status(Kind::File, "a", Status::Archived).await;
    for _ in 0..20 {
        w.push(new(Kind::File, "b")).await;
    }
    let page = search(&w, Filter { statuses: vec![Status::Archived], ..Filter::default() }, 3).await;
    assert_eq!((ids(&page.deliveries), page.below), (vec![archived], None));
}
