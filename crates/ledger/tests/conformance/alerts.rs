//! Alerts: raised, ended, muted, told once by one of many.

use super::*;
use handover_ledger::{Alert, AlertKind, Look, NewAlert, Notice, Saying, Severity, Target};
use std::collections::BTreeMap;

const GROUP: Duration = Duration::from_secs(60);
const THROTTLE: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn alert(key: &str) -> NewAlert {
    NewAlert {
        key: key.into(),
        kind: AlertKind::Failed,
        verdict: Severity::Fail,
        app: Some("a".into()),
        delivery: Some(DeliveryId(7)),
        count: 1,
        text: "1 delivery of \"a\" failed".into(),
        todo: "handover list --status failed".into(),
        since: None,
        local: false,
    }
}

pub(crate) async fn look<B: Backend>(w: &World<B>, by: &str, seen: Vec<NewAlert>) -> handover_ledger::Looked {
    let look = Look { by: by.into(), seen, whole: true, patience: PATIENCE };
    w.ledger.look(look).await.unwrap()
}

pub(crate) fn target(name: &str) -> Target {
    let kinds = vec![AlertKind::Failed, AlertKind::Stuck];
    Target { name: name.into(), kinds, recovered: true, group: GROUP, throttle: THROTTLE }
}

async fn open<B: Backend>(w: &World<B>) -> Vec<Alert> {
    w.ledger.alerts(None).await.unwrap()
}

/// Makes what is to be told, and takes it.
async fn told<B: Backend>(w: &World<B>, target: &Target) -> Option<Notice> {
    w.ledger.make_notices(vec![target.clone()]).await.unwrap();
    let taken = w.ledger.take_notice(vec![target.name.clone()], LEASE).await.unwrap();
    if let Some(notice) = &taken {
        w.ledger.notice_delivered(notice.id).await.unwrap();
    }
    taken
}

fn says(notice: Option<Notice>) -> Vec<(Saying, String)> {
    notice.into_iter().flat_map(|notice| notice.lines).map(|line| (line.says, line.alert.key)).collect()
}

pub(crate) async fn an_alert_is_open_as_long_as_it_is_seen<B: Backend>() {
    let w = World::<B>::new().await;
    let done =
        look(&w, "n", vec![alert("failed:a"), NewAlert { verdict: Severity::Warn, ..alert("b") }]).await;
    assert_eq!((done.raised.len(), done.ended.len()), (2, 0));
    let first = open(&w).await;
    assert_eq!(
        first.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(),
        ["failed:a", "b"],
        "the worst first"
    );
    let one = &first[0];
    assert_eq!((one.since, one.raised_at, one.seen_at), (one.seen_at, one.seen_at, one.seen_at));
    assert_eq!((one.kind, one.app.as_deref(), one.count), (AlertKind::Failed, Some("a"), 1));
    assert_eq!((one.delivery_id, one.text.as_str()), (Some(DeliveryId(7)), "1 delivery of \"a\" failed"));
    w.advance(20);
    let more = NewAlert { count: 5, text: "5".into(), ..alert("failed:a") };
    let done = look(&w, "n", vec![more]).await;
    assert_eq!((done.raised, done.ended), (vec![], vec!["b".to_owned()]));
    let now = open(&w).await;
    assert_eq!((now.len(), now[0].count, now[0].since), (1, 5, one.since));
    assert!(now[0].seen_at > one.seen_at);
    let all = w.ledger.alerts(Some(one.since)).await.unwrap();
    assert_eq!(
        all.iter().map(|a| (a.key.as_str(), a.is_open())).collect::<Vec<_>>(),
        [("failed:a", true), ("b", false)]
    );
    // Wrong again it begins anew.
    w.advance(20);
    assert_eq!(look(&w, "n", vec![alert("b"), alert("b"), alert("failed:a")]).await.raised, ["b"]);
    assert!(open(&w).await.iter().find(|a| a.key == "b").unwrap().since > one.since);
    w.advance(20);
    assert_eq!(look(&w, "n", vec![]).await.ended.len(), 2);
    assert_eq!(w.ledger.forget_alerts(w.now() + LEASE).await.unwrap(), 2);
    assert_eq!(w.ledger.alerts(Some(one.since)).await.unwrap(), []);
}

pub(crate) async fn what_others_see_does_not_end<B: Backend>() {
    let w = World::<B>::new().await;
    let disk = |node: &str| NewAlert { local: true, ..alert(&format!("disk@{node}")) };
    look(&w, "one", vec![alert("shared"), disk("one")]).await;
    // Another node sees neither: the first may have been seen just now, the second it cannot see.
    assert_eq!(look(&w, "two", vec![]).await.ended, <[String; 0]>::default());
    w.advance(20);
    assert_eq!(look(&w, "two", vec![]).await.ended, ["shared"]);
    // One that tells of an event has not looked at everything.
    let event = Look { by: "one".into(), seen: vec![alert("event")], whole: false, patience: PATIENCE };
    assert_eq!(w.ledger.look(event).await.unwrap().raised, ["event"]);
    assert_eq!(open(&w).await.len(), 2);
    // A node that has gone leaves nothing behind.
    w.advance(25 * 3600);
    assert_eq!(look(&w, "two", vec![]).await.ended, ["disk@one", "event"]);
}

pub(crate) async fn a_time_that_is_known_is_kept_and_never_lies_ahead<B: Backend>() {
    let w = World::<B>::new().await;
    let (before, ahead) = (w.now() - LEASE, w.now() + LEASE);
    let at = |since| NewAlert { since: Some(since), ..alert("a") };
    look(&w, "n", vec![at(ahead)]).await;
    assert!(open(&w).await[0].since <= w.now());
    look(&w, "n", vec![at(before)]).await;
    let kept: jiff::Timestamp = handover_core::clock::rfc3339(before).parse().unwrap();
    assert_eq!(open(&w).await[0].since, kept);
}

pub(crate) async fn many_are_told_in_one_notice_and_once<B: Backend>() {
    let w = World::<B>::new().await;
    let mail = target("mail");
    let health = NewAlert { kind: AlertKind::Health, ..alert("health:disk") };
    look(&w, "n", vec![alert("a")]).await;
    assert_eq!(told(&w, &mail).await, None, "it waits for more");
    w.advance(30);
    look(&w, "n", vec![alert("a"), alert("b"), health]).await;
    w.advance(40);
    let raised = |key: &str| (Saying::Raised, key.to_owned());
    let other = w.backend.open().await;
    assert_eq!(w.ledger.make_notices(vec![mail.clone()]).await.unwrap(), 1);
    assert_eq!(other.make_notices(vec![mail.clone()]).await.unwrap(), 0, "another process makes no second");
    let taken = w.ledger.take_notice(vec!["mail".into()], LEASE).await.unwrap();
    assert_eq!(other.take_notice(vec!["mail".into()], LEASE).await.unwrap(), None);
    let taken = taken.unwrap();
    assert_eq!((taken.attempts, taken.lines[0].alert.told.clone()), (1, BTreeMap::new()));
    assert_eq!(says(Some(taken.clone())), [raised("a"), raised("b")]);
    w.ledger.notice_delivered(taken.id).await.unwrap();
    assert!(open(&w).await.iter().filter(|a| a.kind == AlertKind::Failed).all(|a| a.told_at.is_some()));
    // Nothing new, nothing told; what has ended is told, and only to whom it was told.
    w.advance(4000);
    look(&w, "n", vec![alert("a"), alert("b")]).await;
    assert_eq!(told(&w, &mail).await, None);
    look(&w, "n", vec![alert("b")]).await;
    w.advance(61);
    look(&w, "n", vec![alert("b")]).await;
    w.advance(61);
    assert_eq!(says(told(&w, &mail).await), [(Saying::Recovered, "a".to_owned())]);
    assert_eq!(told(&w, &mail).await, None);
    assert_eq!(says(told(&w, &target("hook")).await), [raised("b")], "another target has its own");
}

pub(crate) async fn no_more_often_than_the_throttle<B: Backend>() {
    let w = World::<B>::new().await;
    let mail = Target { group: Duration::ZERO, ..target("mail") };
    look(&w, "n", vec![alert("a")]).await;
    assert_eq!(says(told(&w, &mail).await), [(Saying::Raised, "a".to_owned())]);
    let more = |count| NewAlert { count, ..alert("a") };
    w.advance(60);
    look(&w, "n", vec![more(2)]).await;
    assert_eq!(told(&w, &mail).await, None);
    w.advance(3600);
    look(&w, "n", vec![more(3)]).await;
    assert_eq!(says(told(&w, &mail).await), [(Saying::Worse, "a".to_owned())]);
    // One that comes and goes is told of its end at once, and not of its coming back.
    for _ in 0..3 {
        w.advance(20);
        look(&w, "n", vec![]).await;
        let end = says(told(&w, &mail).await);
        assert!(end.iter().all(|(says, _)| *says == Saying::Recovered), "{end:?}");
        w.advance(20);
        look(&w, "n", vec![more(1)]).await;
        assert_eq!(told(&w, &mail).await, None);
    }
    w.advance(3600);
    look(&w, "n", vec![more(1)]).await;
    assert_eq!(says(told(&w, &mail).await), [(Saying::Raised, "a".to_owned())]);
}

pub(crate) async fn the_muted_is_not_told<B: Backend>() {
    let w = World::<B>::new().await;
    let mail = Target { group: Duration::ZERO, ..target("mail") };
    look(&w, "n", vec![alert("a")]).await;
    let until = w.now() + LEASE;
    assert!(w.ledger.mute_alert("cli:ann", "a", Some(until)).await.unwrap());
    assert!(!w.ledger.mute_alert("cli:ann", "nothing", Some(until)).await.unwrap());
    let muted = &open(&w).await[0];
    assert!(muted.is_muted(w.now()) && muted.muted_by.as_deref() == Some("cli:ann"));
    assert_eq!(told(&w, &mail).await, None);
    assert!(w.ledger.mute_alert("cli:ann", "a", None).await.unwrap());
    assert_eq!(says(told(&w, &mail).await), [(Saying::Raised, "a".to_owned())]);
}

pub(crate) async fn a_notice_is_tried_until_it_is_delivered<B: Backend>() {
    let w = World::<B>::new().await;
    let mail = Target { group: Duration::ZERO, ..target("mail") };
    look(&w, "n", vec![alert("a")]).await;
    w.ledger.make_notices(vec![mail]).await.unwrap();
    let take = async || w.ledger.take_notice(vec!["mail".into()], LEASE).await.unwrap();
    let first = take().await.unwrap();
    assert_eq!(w.ledger.take_notice(vec!["other".into()], LEASE).await.unwrap(), None);
    w.ledger.notice_failed(first.id, "refused", Some(Duration::from_secs(30))).await.unwrap();
    let waiting = w.ledger.notices(9).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].error.as_deref(), waiting[0].attempts), (1, Some("refused"), 1));
    w.advance(10);
    assert_eq!(take().await, None);
    w.advance(21);
    // Whoever took it died: it is another's when the lease has ended.
    assert_eq!(take().await.unwrap().attempts, 2);
    assert_eq!(take().await, None);
    w.advance(LEASE.as_secs() + 1);
    let third = take().await.unwrap();
    assert_eq!((third.attempts, &third.lines), (3, &first.lines));
    w.ledger.notice_failed(third.id, "for good", None).await.unwrap();
    assert_eq!(w.ledger.notices(9).await.unwrap(), []);
}

pub(crate) async fn many_at_once_tell_once<B: Backend>() {
    let w = World::<B>::new().await;
    let mail = Target { group: Duration::ZERO, ..target("mail") };
    look(&w, "n", (0..20).map(|n| alert(&format!("a{n}"))).collect()).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (ledger, mail) = (w.backend.open().await, mail.clone());
        asking.spawn(async move {
            let made = ledger.make_notices(vec![mail]).await.unwrap();
            let taken = ledger.take_notice(vec!["mail".into()], LEASE).await.unwrap();
            (made, taken.map_or(0, |notice| notice.lines.len()))
        });
    }
    let all = asking.join_all().await;
    assert_eq!(all.iter().map(|(made, _)| made).sum::<usize>(), 1, "{all:?}");
    assert!(all.iter().map(|(_, lines)| lines).sum::<usize>() <= 20, "{all:?}");
}
