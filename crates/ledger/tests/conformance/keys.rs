//! API keys: made, used, rotated, revoked.

use super::*;
use handover_ledger::ApiKey;

pub(crate) fn key<B: Backend>(w: &World<B>, id: &str) -> ApiKey {
    // As the ledger keeps times.
    let now: jiff::Timestamp = handover_core::clock::rfc3339(w.now()).parse().unwrap();
    ApiKey {
        id: id.into(),
        name: "the night's \"exports\"".into(),
        digest: "0123abcd".repeat(8),
        scopes: vec!["read".into(), "submit".into()],
        apps: Some(vec!["a".into(), "b".into()]),
        created_at: now,
        created_by: "ann".into(),
        expires_at: Some(now + LEASE),
        revoked_at: None,
        last_used_at: None,
        replaced_by: None,
    }
}

pub(crate) async fn a_key_is_kept_as_it_was_given<B: Backend>() {
    let w = World::<B>::new().await;
    assert_eq!(w.ledger.keys().await.unwrap(), []);
    let first = key(&w, "z");
    w.advance(1);
    let second = ApiKey { apps: None, scopes: vec![], expires_at: None, ..key(&w, "a") };
    for key in [&second, &first] {
        w.ledger.add_key(key.clone()).await.unwrap();
    }
    assert_eq!(w.ledger.keys().await.unwrap(), [first.clone(), second.clone()], "oldest first");
    let taken = ApiKey { name: "another".into(), ..first.clone() };
    assert_eq!(refused(w.ledger.add_key(taken).await), ErrorKind::Exists);
    assert_eq!(w.backend.open().await.keys().await.unwrap(), [first, second]);
}

pub(crate) async fn a_key_is_rotated_and_revoked<B: Backend>() {
    let w = World::<B>::new().await;
    let (old, new) = (key(&w, "old"), key(&w, "new"));
    w.ledger.add_key(old.clone()).await.unwrap();
    w.ledger.add_key(new.clone()).await.unwrap();
    let one = async |id: &str| w.ledger.keys().await.unwrap().into_iter().find(|key| key.id == id).unwrap();
    // It serves on for a while.
    let later = old.created_at + LEASE;
    w.ledger.revoke_key("old", later, Some("new".into())).await.unwrap();
    assert_eq!(
        one("old").await,
        ApiKey { revoked_at: Some(later), replaced_by: Some("new".into()), ..old.clone() }
    );
    // Sooner is sooner; later changes nothing, and what replaced it stays known.
    w.ledger.revoke_key("old", later + LEASE, None).await.unwrap();
    assert_eq!(one("old").await.revoked_at, Some(later));
    w.ledger.revoke_key("old", old.created_at, None).await.unwrap();
    let now = one("old").await;
    assert_eq!((now.revoked_at, now.replaced_by.as_deref()), (Some(old.created_at), Some("new")));
    assert_eq!(one("new").await, new);
    assert_eq!(refused(w.ledger.revoke_key("nobody", later, None).await), ErrorKind::NotFound);
}

pub(crate) async fn the_last_use_is_noted<B: Backend>() {
    let w = World::<B>::new().await;
    let (one, other) = (key(&w, "one"), key(&w, "other"));
    w.ledger.add_key(one.clone()).await.unwrap();
    w.ledger.add_key(other.clone()).await.unwrap();
    let (early, late) = (one.created_at, one.created_at + LEASE);
    let used = |id: &str, at| (id.to_owned(), at);
    w.ledger.used_keys(vec![used("one", late), used("nobody", late), used("one", early)]).await.unwrap();
    w.ledger.used_keys(vec![used("one", early), used("other", early)]).await.unwrap();
    w.ledger.used_keys(vec![]).await.unwrap();
    let last: Vec<_> =
        w.ledger.keys().await.unwrap().into_iter().map(|key| (key.id, key.last_used_at)).collect();
    assert_eq!(last, [used("one", late), used("other", early)].map(|(id, at)| (id, Some(at))));
}

pub(crate) async fn a_secret_is_one_for_all_and_never_changes<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let (one, two) = tokio::join!(w.ledger.secret("s", "first"), other.secret("s", "second"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    assert!(["first", "second"].contains(&one.as_str()), "{one}");
    assert_eq!(w.ledger.secret("s", "third").await.unwrap(), one);
    assert_eq!(w.ledger.secret("another", "third").await.unwrap(), "third");
}
