//! How deliveries enter.

use super::*;
use handover_ledger::Pushed;

pub(crate) async fn a_push_is_there_as_it_was_given<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in [Kind::File, Kind::Job, Kind::Record] {
        let given = NewDelivery {
            flow: Some("sales".into()),
            priority: -3,
            run_at: Some(w.now() + Duration::from_secs(5)),
            max_attempts: 7,
            dedup_key: Some("key".into()),
            order_key: Some("order".into()),
            parent_id: Some(DeliveryId(41)),
            replay_of: Some(DeliveryId(40)),
            trace: Some("00-abc-def-01".into()),
            ..NewDelivery::new(
                kind,
                "källa",
                Some(format!("app-{kind}")),
                json!({"path": "a\nb", "n": [1, 2.5, null, "\u{1F600}"]}),
            )
        };
        let id = w.push(given.clone()).await;
        let there = w.get(id).await;
        assert_eq!(
            (there.kind, &there.source_app, &there.target_app),
            (kind, &given.source_app, &given.target_app)
        );
        assert_eq!((&there.data, there.status), (&given.data, Status::Pending));
        assert_eq!((there.created_at, there.updated_at, there.processed_at), (w.now(), w.now(), None));
        assert_eq!((there.created_by.as_deref(), there.flow.as_deref()), (Some("test"), Some("sales")));
        assert_eq!((there.priority, Some(there.run_at), there.max_attempts), (-3, given.run_at, 7));
        assert_eq!((there.dedup_key.as_deref(), there.order_key.as_deref()), (Some("key"), Some("order")));
        assert_eq!((there.parent_id, there.replay_of), (given.parent_id, given.replay_of));
        assert_eq!((there.trace, there.attempts, there.rescues, there.snoozes), (given.trace, 0, 0, 0));
        assert_eq!(
            (there.lease_token, there.leased_by, there.last_error, there.result),
            (None, None, None, None)
        );
    }
    assert!(w.ledger.get(DeliveryId(999)).await.unwrap().is_none());
    assert!(w.ledger.push("test", vec![]).await.unwrap().is_empty());
}

pub(crate) async fn without_a_target_it_is_born_completed<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let id = w.push(NewDelivery { target_app: None, ..new(kind, "") }).await;
        let there = w.get(id).await;
        assert_eq!((there.status, there.processed_at), (Status::Completed, Some(w.now())));
        assert!(w.claim(kind, "", 10).await.is_empty());
    }
}

pub(crate) async fn a_dedup_key_is_one_delivery_per_app<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let keyed = |app: &str, key: &str| NewDelivery { dedup_key: Some(key.into()), ..new(kind, app) };
        let first = w.push(keyed("a", "k")).await;
        let pushed = w
            .ledger
            .push(
                "test",
                vec![
                    keyed("a", "k"),
                    keyed("b", "k"),
                    keyed("a", "other"),
                    keyed("a", "other"),
                    new(kind, "a"),
                ],
            )
            .await
            .unwrap();
        assert_eq!(pushed[0], Pushed::Duplicate(first));
        assert!(matches!(pushed[1], Pushed::New(_)) && matches!(pushed[2], Pushed::New(_)));
        assert_eq!(pushed[3], Pushed::Duplicate(pushed[2].id()));
        assert!(matches!(pushed[4], Pushed::New(_)));
        // The end of a flow has keys too.
        let end = NewDelivery { target_app: None, ..keyed("", "k") };
        let id = w.push(end.clone()).await;
        assert_eq!(w.ledger.push("test", vec![end]).await.unwrap(), [Pushed::Duplicate(id)]);
    }
}

pub(crate) async fn a_dedup_key_holds_against_the_archive<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let keyed = NewDelivery { dedup_key: Some("k".into()), ..new(kind, "a") };
        let id = w.push(keyed.clone()).await;
        w.ledger.cancel("test", id).await.unwrap();
        w.ledger.archive("test", vec![id]).await.unwrap();
        assert_eq!(w.ledger.push("test", vec![keyed]).await.unwrap(), [Pushed::Duplicate(id)]);
    }
    w.check_counts().await;
}

pub(crate) async fn the_queues_have_keys_of_their_own<B: Backend>() {
    let w = World::<B>::new().await;
    let mut all = vec![];
    for kind in KINDS {
        let keyed = NewDelivery { dedup_key: Some("k".into()), ..new(kind, "a") };
        let pushed = w.ledger.push("test", vec![keyed]).await.unwrap()[0];
        assert!(matches!(pushed, Pushed::New(_)), "{pushed:?}");
        w.ledger.cancel("test", pushed.id()).await.unwrap();
        all.push(pushed.id());
    }
    // In the archive too, where they lie in one table.
    assert_eq!(w.ledger.archive("test", all.clone()).await.unwrap(), 2);
    for (kind, id) in KINDS.into_iter().zip(all) {
        let keyed = NewDelivery { dedup_key: Some("k".into()), ..new(kind, "a") };
        assert_eq!(w.ledger.push("test", vec![keyed]).await.unwrap(), [Pushed::Duplicate(id)]);
    }
}

pub(crate) async fn a_number_set_aside_is_taken_once<B: Backend>() {
    let w = World::<B>::new().await;
    let before = w.push(new(Kind::File, "a")).await;
    let reservation = w.ledger.reserve(names::wish(None, "out")).await.unwrap();
    let after = w.push(new(Kind::Record, "a")).await;
    assert!(before < reservation.file_id && reservation.file_id < after);
    let file = NewDelivery { id: Some(reservation.file_id), ..new(Kind::File, "a") };
    let twice = w.ledger.push("test", vec![file.clone(), file.clone()]).await.unwrap();
    assert_eq!(twice, [Pushed::New(reservation.file_id), Pushed::Duplicate(reservation.file_id)]);
    w.ledger.cancel("test", reservation.file_id).await.unwrap();
    w.ledger.archive("test", vec![reservation.file_id]).await.unwrap();
    assert_eq!(w.ledger.push("test", vec![file]).await.unwrap(), [Pushed::Duplicate(reservation.file_id)]);
}

pub(crate) async fn ids_are_one_sequence<B: Backend>() {
    let w = World::<B>::new().await;
    let other = w.backend.open().await;
    let insert =
        "INSERT INTO data_staging (source_app, target_app, data) VALUES ('s', 'a', '{}'), ('s', 'a', '{}')";
    for round in 0..5 {
        w.push_to(Kind::File, "a", 2).await;
        w.push_to(Kind::Record, "a", 2).await;
        assert_eq!(w.backend.sql(insert).await.unwrap(), 2);
        other.push("test", vec![new(Kind::Job, "a"), new(Kind::Record, "a")]).await.unwrap();
        w.ledger.reserve(names::wish(None, &format!("out{round}"))).await.unwrap();
    }
    let numbers =
        w.backend.rows("SELECT id FROM v_deliveries UNION ALL SELECT file_id FROM names ORDER BY 1").await;
    let numbers: Vec<i64> = numbers.into_iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=45).collect::<Vec<i64>>(), "no number twice and none left out");
    // What has been archived keeps its number.
    let id = w.in_status(Kind::Record, "b", Status::Archived).await;
    let again = format!(
        "INSERT INTO data_staging (id, source_app, target_app, data) VALUES ({id}, 's', 'a', '{{}}')"
    );
    let error = w.backend.sql(&again).await.unwrap_err();
    assert!(error.contains("this id is taken"), "{error}");
    let file = w.push(new(Kind::File, "a")).await;
    let other = format!(
        "INSERT INTO data_staging (id, source_app, target_app, data) VALUES ({file}, 's', 'a', '{{}}')"
    );
    assert!(w.backend.sql(&other).await.is_err());
    assert!(w.backend.sql("UPDATE data_staging SET id = id + 1000").await.is_err());
}

pub(crate) async fn a_bad_push_takes_the_whole_call_with_it<B: Backend>() {
    let w = World::<B>::new().await;
    let bad = NewDelivery { max_attempts: 0, ..new(Kind::File, "a") };
    let error = w.ledger.push("test", vec![new(Kind::File, "a"), bad]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(w.claim(Kind::File, "a", 10).await.is_empty());
    assert_eq!(w.number("SELECT count(*) FROM audit_log").await, 0);
    w.check_counts().await;
}
