//! `ledger copy`: the whole history of one ledger in another, whatever the two are made of.

use super::actions::action;
use super::alerts::{alert, look, target};
use super::arrivals::seen;
use super::jobs::{job, keyed};
use super::keys::key;
use super::names::wish;
use super::*;
use handover_core::ErrorKind;
use handover_ledger::transfer::{Part, copy};
use handover_ledger::{ApiKey, DeedFilter, Filter, Ledger, ScheduleMark, Submitted, Target};

/// A ledger with something of everything in it.
pub(crate) async fn lived_in<B: Backend>() -> World<B> {
    let w = World::<B>::new().await;
    for kind in KINDS {
        for status in [Status::Completed, Status::Failed, Status::Archived, Status::Pending] {
            w.advance(1);
            w.in_status(kind, "a", status).await;
        }
        // More than a page, and numbers that no double holds.
        let data = serde_json::from_str(
            r#"{"exact": 12345678901234567, "text": "é\n\"'", "deep": [null, {"a": []}]}"#,
        );
        let many = NewDelivery { data: data.unwrap(), order_key: Some("k".into()), ..new(kind, "many") };
        w.ledger.push("test", vec![many; 600]).await.unwrap();
        let keyed = NewDelivery { dedup_key: Some("once".into()), priority: -3, ..new(kind, "keyed") };
        w.ledger.push("test", vec![keyed]).await.unwrap();
    }
    w.ledger.arrive("importer", vec![seen("in/a.csv", 1), seen("in/b.csv", 2)]).await.unwrap();
    let maker = w.push(new(Kind::File, "a")).await;
    w.ledger.reserve(wish(Some(maker), "out")).await.unwrap();
    w.ledger.reserve(wish(None, "put")).await.unwrap();
    w.backend.sql("DELETE FROM data_staging WHERE target_app = 'many' AND id % 7 = 0").await.unwrap();
    w.backend.sql("DELETE FROM data_archive WHERE kind = 'record'").await.unwrap();
    w.in_status(Kind::Record, "b", Status::Archived).await;
    // A whole load that was cut, of more than a page, and one in batches.
    w.ledger.begin_load("bulk", "whole", true).await.unwrap();
    w.ledger.load("bulk", "whole", 0, 0, aside(0..600)).await.unwrap();
    w.ledger.load("bulk", "whole", 600, 0, aside(600..700)).await.unwrap();
    w.ledger.begin_load("bulk", "batches", false).await.unwrap();
    w.ledger.load_is_made_by("batches", Some("a schema")).await.unwrap();
    w.ledger.load("bulk", "batches", 0, 7, vec![new(Kind::Record, "a")]).await.unwrap();
    w.ledger.pause("ann", "a").await.unwrap();
    let mark = ScheduleMark { app: "nightly".into(), last_due: "2025-11-24T06:00:00Z".parse().unwrap() };
    w.ledger.schedule_due("schedule", mark, None).await.unwrap();
    jobs_and_keys(&w).await;
    let counted = super::activity::counted(w.now(), "a", Kind::File, 7);
    w.ledger.add_activity("1-worker", 1, vec![counted]).await.unwrap();
    told_and_done(&w).await;
    w
}

/// An alert that somebody is told of, another that is muted, sizes and actions.
async fn told_and_done<B: Backend>(w: &World<B>) {
    look(w, "node", vec![alert("failed:a"), alert("stuck:\"b\"")]).await;
    w.ledger.mute_alert("cli:ann", "stuck:\"b\"", Some(w.now() + LEASE)).await.unwrap();
    w.ledger.make_notices(vec![Target { group: Duration::ZERO, ..target("mail") }]).await.unwrap();
    w.ledger
        .add_sizes(vec![("disk:free".into(), 1 << 40, None), ("archive".into(), 0, Some(0))])
        .await
        .unwrap();
    for n in 0..600 {
        w.ledger.note_action(action(&format!("deed {n}"), Some("a"))).await.unwrap();
    }
}

async fn told_and_done_are_the_same<A: Backend, B: Backend>(from: &World<A>, to: &World<B>) {
    let ledgers = [from.ledger.as_ref(), to.ledger.as_ref()];
    let [ours, theirs] = ledgers.map(|ledger| async move {
        let mut notices = ledger.notices(9).await.unwrap();
        notices.iter_mut().for_each(|notice| notice.id = 0);
        let filter = DeedFilter { limit: 1_000, ..DeedFilter::default() };
        let sizes = ledger.sizes("", jiff::Timestamp::UNIX_EPOCH).await.unwrap();
        (ledger.alerts(None).await.unwrap(), notices, sizes, ledger.deeds(filter).await.unwrap().deeds)
    });
    let (ours, theirs) = (ours.await, theirs.await);
    assert_eq!((ours.0.len(), ours.1.len(), ours.2.len()), (2, 1, 2));
    assert!(ours.3.len() >= 600);
    assert_eq!(ours, theirs);
}

/// Jobs with keys and progress, more than a page of each, and API keys.
async fn jobs_and_keys<B: Backend>(w: &World<B>) {
    for n in 0..3 {
        let batch = (0..300).map(|m| keyed(job("jobs", "ann"), "ann", &format!("{n}/{m}"), "x")).collect();
        let submitted = w.ledger.submit(batch).await.unwrap();
        let Submitted::New { id, .. } = submitted[0] else { panic!("{submitted:?}") };
        w.ledger.add_progress(id, vec![(w.now(), "said \"so\"".into()); 300]).await.unwrap();
    }
    // As what a process that was killed had: nobody has it now, and its end was asked for.
    let left = "INSERT INTO cancellations SELECT max(id), '2025-11-24T10:30:00.000Z', 'bob' FROM deliveries";
    w.backend.sql(left).await.unwrap();
    w.ledger.add_key(key(w, "one")).await.unwrap();
    w.ledger.add_key(ApiKey { apps: None, expires_at: None, ..key(w, "two") }).await.unwrap();
    w.ledger.revoke_key("one", w.now(), Some("two".into())).await.unwrap();
}

/// Whoever asks again under a key is told of the same job, and what was said and asked for is there.
async fn jobs_go_on<A: Backend, B: Backend>(from: &World<A>, to: &World<B>) {
    assert_eq!(to.ledger.keys().await.unwrap(), from.ledger.keys().await.unwrap());
    assert_eq!(to.ledger.cancellations().await.unwrap(), from.ledger.cancellations().await.unwrap());
    let first = |n: u32, fingerprint| keyed(job("jobs", "ann"), "ann", &format!("{n}/0"), fingerprint);
    for n in 0..3 {
        let came_to = from.submit(first(n, "x")).await;
        let Submitted::Known { id, .. } = came_to else { panic!("{came_to:?}") };
        assert_eq!(to.submit(first(n, "x")).await, came_to);
        assert_eq!(to.submit(first(n, "y")).await, Submitted::Differs(id));
        let said = to.ledger.progress(id, 0, 1_000).await.unwrap();
        assert_eq!((said.len(), &said), (300, &from.ledger.progress(id, 0, 1_000).await.unwrap()));
    }
    assert_eq!(to.number("SELECT count(*) FROM idempotency_keys").await, 900);
    assert_eq!(to.ledger.end_cancelled("duty").await.unwrap(), 1);
}

/// Rows of a load, each with its number in it.
fn aside(numbers: std::ops::Range<u32>) -> Vec<NewDelivery> {
    let row = |n| NewDelivery {
        data: json!({ "n": n }).into(),
        priority: 2,
        order_key: Some("in order".into()),
        ..new(Kind::Record, "aside")
    };
    numbers.map(row).collect()
}

/// The whole load goes on in the copy where it was cut, and appears in its order.
async fn a_cut_load_goes_on<B: Backend>(to: &World<B>) {
    let load = to.ledger.begin_load("bulk", "whole", true).await.unwrap();
    assert_eq!((load.rows, load.ended), (700, false));
    assert!(to.claim(Kind::Record, "aside", 1).await.is_empty());
    to.ledger.load("bulk", "whole", 700, 0, aside(700..701)).await.unwrap();
    assert!(to.ledger.end_load("bulk", "whole").await.unwrap().ended);
    let load = to.ledger.begin_load("bulk", "batches", false).await.unwrap();
    assert_eq!((load.rows, load.skipped, load.made_by.as_deref()), (1, 7, Some("a schema")));
    let (mut n, filter) = (701, Filter { app: Some("aside".into()), limit: 1000, ..Filter::default() });
    for record in to.ledger.list(filter).await.unwrap() {
        n -= 1;
        assert_eq!((record.data.value(), record.priority), (&json!({ "n": n }), 2));
    }
    assert_eq!(n, 0);
    super::conservation::check(to).await;
}

async fn all(ledger: &dyn Ledger) -> Vec<Delivery> {
    ledger.list(Filter { archived: true, limit: 10_000, ..Filter::default() }).await.unwrap()
}

/// JSON that means the same when it is written otherwise, and is not the same text.
const TEXTS: [&str; 9] = [
    r#""a\u0000b""#,
    r#"{"k": 1, "k": 2,  "k" :3}"#,
    " [ 1 ,\t2.50, 1e2, 12345678901234567890123 ]\n",
    "null",
    r#"{"a": null}"#,
    r#""null""#,
    r#"{"\u0000": "\u00e9\/ \\u0000"}"#,
    r#""\ud83d\ude00 \"quoted\"""#,
    "\"\"",
];

/// Every blank, digit and escape of what was handed over, and of results, arrives as it was.
pub(crate) async fn texts_are_copied<A: Backend, B: Backend>(from: &World<A>, to: &World<B>) {
    for text in TEXTS {
        for table in ["data_staging", "deliveries"] {
            let insert = format!(
                "INSERT INTO {table} (source_app, target_app, data, result) VALUES ('s', 'a', '{text}', '{text}'), ('s', 'b', '{text}', NULL)"
            );
            from.backend.sql(&insert).await.unwrap();
        }
    }
    for table in ["data_staging", "deliveries"] {
        for status in ["completed", "archived"] {
            let change = format!("UPDATE {table} SET status = '{status}' WHERE target_app = 'b'");
            from.backend.sql(&change).await.unwrap();
        }
    }
    assert_eq!(from.ledger.move_archived(100).await.unwrap(), 2 * TEXTS.len());
    copy(from.ledger.as_ref(), to.ledger.as_ref(), |_, _| {}).await.unwrap();
    for table in ["data_staging", "deliveries", "data_archive"] {
        let query = format!(
            "SELECT id, CAST(data AS text), coalesce(CAST(result AS text), 'none'), CASE WHEN result IS NULL THEN 1 ELSE 0 END FROM {table} ORDER BY id"
        );
        let (ours, theirs) = (from.backend.rows(&query).await, to.backend.rows(&query).await);
        assert!(ours.len() >= TEXTS.len());
        assert_eq!(ours, theirs, "{table}");
        for (row, text) in ours.iter().filter(|row| row[3] == "0").zip(TEXTS) {
            assert_eq!((row[1].as_str(), row[2].as_str()), (text, text));
        }
    }
    to.check_counts().await;
}

pub(crate) async fn a_copy_has_every_text_as_it_was<B: Backend>() {
    texts_are_copied(&World::<B>::new().await, &World::<B>::new().await).await;
}

/// Copies one to the other and holds them against each other.
pub(crate) async fn copied<A: Backend, B: Backend>(from: &World<A>, to: &World<B>) {
    let copied = copy(from.ledger.as_ref(), to.ledger.as_ref(), |_, _| {}).await.unwrap();
    let rows = |part| copied.iter().find(|(p, _)| *p == part).unwrap().1;
    assert_eq!((rows(Part::Arrivals), rows(Part::Names), rows(Part::Archive)), (2, 2, 2));
    let (ours, theirs) = (all(from.ledger.as_ref()).await, all(to.ledger.as_ref()).await);
    assert_eq!(ours.len(), theirs.len());
    for (one, other) in ours.iter().zip(&theirs) {
        assert_eq!(one, other);
        assert_eq!(one.data.to_string(), other.data.to_string());
    }
    for delivery in ours.iter().filter(|d| d.target_app.as_deref() == Some("a")) {
        let history = from.ledger.audit(delivery.id).await.unwrap();
        assert!(!history.is_empty());
        assert_eq!(to.ledger.audit(delivery.id).await.unwrap(), history);
    }
    assert_eq!(to.ledger.counts().await.unwrap(), from.ledger.counts().await.unwrap());
    let totals = from.ledger.activity_totals().await.unwrap();
    assert_eq!((totals.len(), to.ledger.activity_totals().await.unwrap()), (1, totals));
    to.check_counts().await;
    let sources = to.ledger.conservation().await.unwrap();
    assert_eq!(sources, from.ledger.conservation().await.unwrap());
    assert!(sources.iter().all(handover_ledger::Conserved::holds), "{sources:?}");
    assert!(sources.iter().any(|source| source.deleted > 50), "{sources:?}");
    let folder = "validated/2025-11-24";
    assert_eq!(to.ledger.names_in(folder).await.unwrap(), from.ledger.names_in(folder).await.unwrap());
    let arrivals = from.ledger.arrivals("file-importer", 9).await.unwrap();
    assert_eq!(to.ledger.arrivals("file-importer", 9).await.unwrap(), arrivals);
    assert_eq!(to.ledger.paused().await.unwrap(), from.ledger.paused().await.unwrap());
    assert_eq!(
        to.ledger.schedule_mark("nightly").await.unwrap(),
        from.ledger.schedule_mark("nightly").await.unwrap()
    );
    // It is the same ledger to a data directory, and life goes on: new numbers, known keys, known arrivals.
    let (before, after) = (from.ledger.state().await.unwrap(), to.ledger.state().await.unwrap());
    assert_eq!((&after.identity, after.last_id), (&before.identity, before.last_id));
    assert_eq!(to.backend.open().await.identity(), before.identity);
    let next = to.push(new(Kind::File, "b")).await;
    assert_eq!(next.0, before.last_id + 1);
    let again = to.ledger.arrive("importer", vec![seen("in/a.csv", 1)]).await.unwrap();
    assert!(matches!(again[0], handover_ledger::Arrived::Known(_)));
    let keyed = NewDelivery { dedup_key: Some("once".into()), ..new(Kind::File, "keyed") };
    let pushed = to.ledger.push("test", vec![keyed]).await.unwrap();
    assert!(matches!(pushed[0], handover_ledger::Pushed::Duplicate(_)));
    a_cut_load_goes_on(to).await;
    jobs_go_on(from, to).await;
    told_and_done_are_the_same(from, to).await;
}

pub(crate) async fn everything_is_in_the_copy<B: Backend>() {
    let from = lived_in::<B>().await;
    copied(&from, &World::<B>::new().await).await;
}

pub(crate) async fn only_into_an_empty_ledger_from_one_at_rest<B: Backend>() {
    let (from, to) = (World::<B>::new().await, World::<B>::new().await);
    let (_, working) = from.held(Kind::File, "a").await;
    let busy = copy(from.ledger.as_ref(), to.ledger.as_ref(), |_, _| {}).await;
    assert_eq!(refused(busy), ErrorKind::NotYet);
    from.complete(&working).await.unwrap();
    to.push(new(Kind::File, "a")).await;
    let full = copy(from.ledger.as_ref(), to.ledger.as_ref(), |_, _| {}).await;
    assert_eq!(refused(full), ErrorKind::Config);
    assert_eq!(to.number("SELECT count(*) FROM deliveries").await, 1);
}
