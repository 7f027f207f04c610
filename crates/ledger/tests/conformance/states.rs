//! The state machine as the tables know it, and what a program with plain SQL may do to them.

use super::*;

const TABLES: [&str; 2] = ["deliveries", "data_staging"];

pub(crate) async fn the_tables_agree_with_the_state_machine<B: Backend>() {
    let w = World::<B>::new().await;
    for table in TABLES {
        for from in Status::ALL {
            for to in Status::ALL {
                let insert = format!(
                    "INSERT INTO {table} (source_app, target_app, data, status) VALUES ('s', '{from}-{to}', '{{}}', '{from}')"
                );
                assert_eq!(w.backend.sql(&insert).await.unwrap(), 1);
                let is = format!("WHERE target_app = '{from}-{to}'");
                let moved = w.backend.sql(&format!("UPDATE {table} SET status = '{to}' {is}")).await;
                let expected = if from == to || from.may_become(to) { to } else { from };
                match moved {
                    Ok(_) => assert!(from == to || from.may_become(to), "{table} allows {from} -> {to}"),
                    Err(why) => {
                        assert!(!from.may_become(to), "{table} forbids {from} -> {to}: {why}");
                        assert!(why.contains("illegal transition"), "{why}");
                    }
                }
                let now = w.backend.rows(&format!("SELECT status, id FROM {table} {is}")).await;
                assert_eq!(now[0][0], expected.as_str());
                let id = DeliveryId(now[0][1].parse().unwrap());
                let audit = w.ledger.audit(id).await.unwrap();
                let path: Vec<Status> = audit.iter().map(|entry| entry.to).collect();
                let expected = match (from, to) {
                    (Status::Pending, Status::Completed) => vec![from, Status::Processing, to],
                    _ if from.may_become(to) => vec![from, to],
                    _ => vec![from],
                };
                assert_eq!(path, expected, "{table}: {from} -> {to}");
                assert!(audit.iter().all(|entry| entry.actor == "sql"));
            }
        }
    }
    w.check_counts().await;
}

pub(crate) async fn plain_sql_may_hand_over<B: Backend>() {
    let w = World::<B>::new().await;
    let insert =
        "INSERT INTO data_staging (source_app, target_app, data) VALUES ('legacy', 'scorer', '{\"n\": 1}')";
    assert_eq!(w.backend.sql(insert).await.unwrap(), 1);
    w.advance(3600);
    let claimed = w.claim(Kind::Record, "scorer", 10).await;
    assert_eq!((claimed.len(), claimed[0].kind), (1, Kind::Record));
    assert_eq!((claimed[0].source_app.as_str(), claimed[0].data.value()), ("legacy", &json!({"n": 1})));
    assert_eq!((claimed[0].max_attempts, claimed[0].created_by.as_deref()), (4, None));
    w.complete(&held(&claimed[0])).await.unwrap();
    let audit = w.ledger.audit(claimed[0].id).await.unwrap();
    let actors: Vec<&str> = audit.iter().take(3).map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["sql", "1-worker", "1-worker"]);
}

pub(crate) async fn plain_sql_may_complete<B: Backend>() {
    let w = World::<B>::new().await;
    let id = w.push(new(Kind::Record, "legacy")).await;
    assert_eq!(
        w.backend
            .sql("UPDATE data_staging SET status = 'completed' WHERE target_app = 'legacy'")
            .await
            .unwrap(),
        1
    );
    let now = w.get(id).await;
    assert_eq!(now.status, Status::Completed);
    assert!(now.processed_at.is_some() && now.updated_at >= now.created_at);
    assert_eq!(now.attempts, 1, "that was an attempt");
    let audit = w.ledger.audit(id).await.unwrap();
    let steps: Vec<_> = audit.iter().map(|e| (e.actor.as_str(), e.from, e.to)).collect();
    assert_eq!(
        steps,
        [
            ("test", None, Status::Pending),
            ("sql", Some(Status::Pending), Status::Processing),
            ("sql", Some(Status::Processing), Status::Completed)
        ],
        "audited as claim and completion"
    );
    w.check_counts().await;
}

pub(crate) async fn plain_sql_nonsense_is_refused<B: Backend>() {
    let w = World::<B>::new().await;
    for (columns, values) in [
        ("source_app, target_app, data, status", "'s', 'a', '{}', 'done'"),
        ("source_app, target_app, data", "'s', 'a', '{not json'"),
        ("source_app, target_app, data", "'s', 'a', ''"),
        ("source_app, target_app, data", "'s', 'a', NULL"),
        ("target_app, data", "'a', '{}'"),
        ("source_app, target_app, data, kind", "'s', 'a', '{}', 'file'"),
        ("source_app, target_app, data, kind", "'s', 'a', '{}', 'thing'"),
        ("source_app, target_app, data, max_attempts", "'s', 'a', '{}', 0"),
        ("source_app, target_app, data, attempts", "'s', 'a', '{}', -1"),
        ("source_app, target_app, data, priority", "'s', 'a', '{}', 99999999999"),
        ("source_app, target_app, data, priority", "'s', 'a', '{}', 'high'"),
        ("source_app, target_app, data, parent_id", "'s', 'a', '{}', 'x'"),
        ("source_app, target_app, data, run_at", "'s', 'a', '{}', 'soon'"),
        ("source_app, target_app, data, created_at", "'s', 'a', '{}', '24.11.2025'"),
        ("source_app, target_app, data, created_at", "'s', 'a', '{}', '-0044-03-15 10:30:00'"),
        ("source_app, target_app, data, run_at", "'s', 'a', '{}', '10000-01-01 00:00:00Z'"),
        ("source_app, target_app, data", "'', 'a', '{}'"),
        ("source_app, target_app, data", "'s', '', '{}'"),
        ("source_app, target_app, data, id", "'s', 'a', '{}', 0"),
        ("source_app, target_app, data, id", "'s', 'a', '{}', -1"),
        ("source_app, target_app, data, id", "'s', 'a', '{}', 4611686018427387904"),
    ] {
        let insert = format!("INSERT INTO data_staging ({columns}) VALUES ({values})");
        assert!(w.backend.sql(&insert).await.is_err(), "{insert}");
    }
    // What the program is told says what to do.
    let insert = "INSERT INTO data_staging (source_app, target_app, data) VALUES ('s', 'a', '{not json')";
    let why = w.backend.sql(insert).await.unwrap_err();
    assert!(why.contains(B::NOT_JSON), "{why}");
    let id = w.push(new(Kind::Record, "a")).await;
    for change in [
        "data = '{'",
        "status = 'gone'",
        "attempts = -1",
        "kind = 'file'",
        "run_at = 'never'",
        "run_at = '10000-01-01 00:00:00Z'",
        "source_app = ''",
        "target_app = ''",
    ] {
        assert!(w.backend.sql(&format!("UPDATE data_staging SET {change}")).await.is_err(), "{change}");
    }
    // A server says an error before it gives back what the refused statement had locked, and a claim passes over what is locked.
    let mut claimed = Vec::new();
    for _ in 0..500 {
        claimed = w.claim(Kind::Record, "a", 10).await;
        if !claimed.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ids(&claimed), [id]);
}

pub(crate) async fn plain_sql_times_become_ours<B: Backend>() {
    let w = World::<B>::new().await;
    let insert = "INSERT INTO data_staging (source_app, target_app, data, created_at, run_at) \
                  VALUES ('s', 'a', '{}', '2025-11-24 10:30:00', '2025-11-24 12:30:00.250+02:00')";
    w.backend.sql(insert).await.unwrap();
    let claimed = w.claim(Kind::Record, "a", 1).await;
    assert_eq!(claimed[0].created_at.to_string(), "2025-11-24T10:30:00Z");
    assert_eq!(claimed[0].run_at.to_string(), "2025-11-24T10:30:00.25Z");
    let id = claimed[0].id;
    w.ledger.release(vec![held(&claimed[0])], None).await.unwrap();
    let done = format!(
        "UPDATE data_staging SET status = 'completed', processed_at = '2025-11-24 11:00:00' WHERE id = {id}"
    );
    w.backend.sql(&done).await.unwrap();
    assert_eq!(w.get(id).await.processed_at.unwrap().to_string(), "2025-11-24T11:00:00Z");
    let last = format!("UPDATE data_staging SET processed_at = '9999-12-31 23:59:59' WHERE id = {id}");
    w.backend.sql(&last).await.unwrap();
    assert_eq!(w.get(id).await.processed_at, Some(jiff::Timestamp::MAX), "beyond ours, as the nearest");
    // The machine's own writing of a time is left as it is, to the millisecond.
    for millisecond in [0, 1, 42, 100, 251, 499, 998, 999] {
        let time = format!("2025-03-30T01:59:59.{millisecond:03}Z");
        w.backend.sql(&format!("UPDATE data_staging SET run_at = '{time}' WHERE id = {id}")).await.unwrap();
        assert_eq!(handover_core::clock::rfc3339(w.get(id).await.run_at), time);
    }
}

pub(crate) async fn plain_sql_keeps_the_counts<B: Backend>() {
    let w = World::<B>::new().await;
    for table in TABLES {
        for change in [
            format!(
                "INSERT INTO {table} (source_app, target_app, data) VALUES ('s', 'a', '1'), ('s', 'b', '2'), ('s', NULL, '3')"
            ),
            format!("UPDATE {table} SET target_app = 'c' WHERE target_app = 'a'"),
            format!("UPDATE {table} SET target_app = NULL WHERE target_app = 'b'"),
            format!("UPDATE {table} SET status = 'processing', target_app = 'd' WHERE target_app = 'c'"),
            format!("DELETE FROM {table} WHERE target_app IS NULL"),
            format!("UPDATE {table} SET status = 'failed'"),
        ] {
            w.backend.sql(&change).await.unwrap();
            w.check_counts().await;
        }
    }
}

pub(crate) async fn a_plain_claim_has_a_lease_and_no_token<B: Backend>() {
    let w = World::<B>::new().await;
    let id = w.push(new(Kind::Record, "a")).await;
    let claim = format!("UPDATE data_staging SET status = 'processing' WHERE id = {id}");
    assert_eq!(w.backend.sql(&claim).await.unwrap(), 1);
    let now = w.get(id).await;
    assert_eq!((now.status, now.lease_token, now.attempts), (Status::Processing, None, 1));
    // The database gives the lease by its own clock.
    let left = now.lease_until.unwrap().duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3_500..=3_600).contains(&left), "{left} s of lease");
    assert!(!now.leased_by.unwrap().is_process(), "only the end of its lease takes it back");
    // It does not come to a worker of ours meanwhile, and its own end takes the lease away.
    assert!(w.claim(Kind::Record, "a", 1).await.is_empty());
    let done = format!("UPDATE data_staging SET status = 'completed' WHERE id = {id}");
    assert_eq!(w.backend.sql(&done).await.unwrap(), 1);
    let now = w.get(id).await;
    assert_eq!((now.status, now.lease_until), (Status::Completed, None));
}

pub(crate) async fn a_plain_claim_that_is_never_ended_is_rescued<B: Backend>() {
    let w = World::<B>::new().await;
    let id = w.push(new(Kind::Record, "a")).await;
    w.backend.sql("UPDATE data_staging SET status = 'processing'").await.unwrap();
    w.advance(3_500);
    assert!(w.ledger.rescue("rescuer", vec![]).await.unwrap().is_empty());
    w.advance(200);
    let rescued = w.ledger.rescue("rescuer", vec![]).await.unwrap();
    assert_eq!((rescued.len(), rescued[0].id, rescued[0].status), (1, id, Status::Pending));
    assert_eq!(ids(&w.claim(Kind::Record, "a", 1).await), [id]);
}

pub(crate) async fn plain_sql_cannot_end_what_a_worker_holds<B: Backend>() {
    let w = World::<B>::new().await;
    let (id, held) = w.held(Kind::Record, "a").await;
    // Nor does it go to another app meanwhile: a worker's completion counts for the app that it was claimed for.
    for change in [
        "status = 'completed'",
        "status = 'failed'",
        "status = 'pending'",
        "target_app = 'b'",
        "target_app = NULL",
    ] {
        let text = format!("UPDATE data_staging SET {change} WHERE id = {id}");
        let why = w.backend.sql(&text).await.unwrap_err();
        assert!(why.contains("a Handover worker holds this delivery"), "{why}");
    }
    assert!(w.ledger.holds(&held).await.unwrap());
    let priority = format!("UPDATE data_staging SET priority = 3, target_app = 'a' WHERE id = {id}");
    assert_eq!(w.backend.sql(&priority).await, Ok(1), "what changes nothing is nothing");
    w.complete(&held).await.unwrap();
    w.check_counts().await;
    // What waits, and what a plain claim holds, may.
    let other = w.push(new(Kind::Record, "a")).await;
    for change in ["target_app = 'b'", "status = 'processing'", "target_app = 'c'", "status = 'completed'"] {
        let text = format!("UPDATE data_staging SET {change} WHERE id = {other}");
        assert_eq!(w.backend.sql(&text).await, Ok(1), "{change}");
        w.check_counts().await;
    }
}

pub(crate) async fn plain_sql_does_not_claim_what_is_deleted<B: Backend>() {
    let w = World::<B>::new().await;
    let all = w.push_to(Kind::Record, "a", 3).await;
    let delete = format!("UPDATE data_staging SET deleted_at = created_at WHERE id = {}", all[1]);
    w.backend.sql(&delete).await.unwrap();
    let first = format!(
        "UPDATE data_staging SET status = 'processing' WHERE status = 'pending' AND id <= {}",
        all[1]
    );
    w.backend.sql(&first).await.unwrap();
    assert_eq!(w.status(all[0]).await, Status::Processing);
    assert_eq!(w.status(all[1]).await, Status::Pending);
    w.backend.sql("UPDATE data_staging SET status = 'completed' WHERE status = 'pending'").await.unwrap();
    assert_eq!(w.status(all[1]).await, Status::Pending, "to complete it is to claim it");
    assert_eq!(w.status(all[2]).await, Status::Completed);
    w.check_counts().await;
}

pub(crate) async fn a_lease_that_plain_sql_takes_away_is_an_hour<B: Backend>() {
    let w = World::<B>::new().await;
    let plain = w.push(new(Kind::Record, "a")).await;
    w.backend.sql("UPDATE data_staging SET status = 'processing', lease_until = NULL").await.unwrap();
    let (ours, _) = w.held(Kind::Record, "b").await;
    let (file, _) = w.held(Kind::File, "b").await;
    w.backend.sql("UPDATE data_staging SET lease_until = NULL").await.unwrap();
    w.backend.sql("UPDATE deliveries SET lease_until = NULL").await.unwrap();
    for id in [plain, ours, file] {
        let left = w.get(id).await.lease_until.unwrap().duration_since(jiff::Timestamp::now()).as_secs();
        assert!((3_500..=3_600).contains(&left), "{left} s of lease");
    }
    w.check_counts().await;
    w.advance(3_700);
    let mut rescued: Vec<_> =
        w.ledger.rescue("test", vec![]).await.unwrap().iter().map(|one| one.id).collect();
    rescued.sort_unstable();
    assert_eq!(rescued, [plain, ours, file]);
    w.check_counts().await;
}

/// What was handed over before is not handed over again, also when it has been archived since.
pub(crate) async fn a_dedup_key_holds_against_plain_sql<B: Backend>() {
    let w = World::<B>::new().await;
    for (kind, table, other) in
        [(Kind::Record, "data_staging", "deliveries"), (Kind::File, "deliveries", "data_staging")]
    {
        let app = format!("to-{kind}");
        let id = w.push(NewDelivery { dedup_key: Some("k".into()), ..new(kind, &app) }).await;
        let insert = |table: &str, app: &str, key: &str| {
            format!(
                "INSERT INTO {table} (source_app, target_app, data, dedup_key) VALUES ('s', '{app}', '{{}}', 'fresh'), ('s', '{app}', '{{}}', '{key}')"
            )
        };
        assert!(w.backend.sql(&insert(table, &app, "k")).await.is_err(), "it is live");
        w.ledger.cancel("test", id).await.unwrap();
        w.ledger.archive("test", vec![id]).await.unwrap();
        let why = w.backend.sql(&insert(table, &app, "k")).await.unwrap_err();
        assert!(why.contains("in the archive"), "{why}");
        w.check_counts().await;
        // Another app, and the other queue, have keys of their own.
        w.backend.sql(&insert(table, "another", "k")).await.unwrap();
        w.backend.sql(&insert(other, &app, "k")).await.unwrap();
        w.backend.sql(&insert(table, &app, "l")).await.unwrap();
        w.check_counts().await;
        w.backend.sql("DELETE FROM data_staging").await.unwrap();
        w.backend.sql("DELETE FROM deliveries").await.unwrap();
    }
}

/// What failed has its last error there, and what was completed has none, whatever a program wrote.
pub(crate) async fn how_it_ended_is_known_in_the_archive<B: Backend>() {
    let w = World::<B>::new().await;
    let marks = w.push_to(Kind::Record, "a", 2).await;
    let ours = w.push_to(Kind::Record, "b", 2).await;
    let (good, bad) =
        (format!("id IN ({}, {})", marks[0], ours[0]), format!("id IN ({}, {})", marks[1], ours[1]));
    for change in [
        format!("UPDATE data_staging SET status = 'processing', last_error = 'once' WHERE {good}"),
        format!("UPDATE data_staging SET status = 'completed' WHERE {good}"),
        format!("UPDATE data_staging SET status = 'failed' WHERE {bad}"),
        "UPDATE data_staging SET status = 'archived' WHERE target_app = 'a'".to_owned(),
    ] {
        w.backend.sql(&change).await.unwrap();
    }
    assert_eq!(w.ledger.archive("test", ours).await.unwrap(), 2);
    for moves in [false, true] {
        assert_eq!(if moves { w.ledger.move_archived(100).await.unwrap() } else { 2 }, 2);
        let links = w.ledger.links().await.unwrap().rows;
        let stand: Vec<_> = links.iter().map(|row| (row.target.as_str(), row.status, row.rows)).collect();
        let each = |app| [(app, Status::Completed, 1), (app, Status::Failed, 1)];
        assert_eq!(stand, [each("a"), each("b")].concat());
    }
}

/// Of the records that made others, those that were deleted afterwards are told apart, in the archive too.
pub(crate) async fn what_was_deleted_after_it_made_others_is_known<B: Backend>() {
    let w = World::<B>::new().await;
    let all = w.push_to(Kind::Record, "a", 4).await;
    w.backend.sql("UPDATE data_staging SET status = 'completed'").await.unwrap();
    for parent in [all[0], all[0], all[1], all[2]] {
        let made = NewDelivery { source_app: "a".into(), parent_id: Some(parent), ..new(Kind::Record, "b") };
        w.push(made).await;
    }
    assert_eq!(w.ledger.archive("test", vec![all[2]]).await.unwrap(), 1);
    let parents = async || {
        let all = w.ledger.links().await.unwrap().parents;
        all.iter().map(|of| (of.source.clone(), of.target.clone(), of.count, of.gone)).collect::<Vec<_>>()
    };
    assert_eq!(parents().await, [("a".to_owned(), "b".to_owned(), 3, 0)]);
    w.backend.sql(&format!("DELETE FROM data_staging WHERE id = {}", all[0])).await.unwrap();
    let delete = format!("UPDATE data_staging SET deleted_at = created_at WHERE id = {}", all[1]);
    w.backend.sql(&delete).await.unwrap();
    assert_eq!(parents().await, [("a".to_owned(), "b".to_owned(), 3, 2)]);
}

pub(crate) async fn what_plain_sql_archives_is_moved<B: Backend>() {
    let w = World::<B>::new().await;
    assert_eq!(w.ledger.move_archived(100).await.unwrap(), 0);
    let all = w.push_to(Kind::Record, "a", 3).await;
    w.backend.sql("UPDATE data_staging SET status = 'completed'").await.unwrap();
    let mark = format!("UPDATE data_staging SET status = 'archived' WHERE id <> {}", all[2]);
    assert_eq!(w.backend.sql(&mark).await.unwrap(), 2);
    w.check_counts().await;
    assert_eq!(w.ledger.move_archived(1).await.unwrap(), 1);
    assert_eq!(w.ledger.move_archived(100).await.unwrap(), 1);
    assert_eq!(w.number("SELECT count(*) FROM data_archive").await, 2);
    assert_eq!(w.number("SELECT count(*) FROM data_staging").await, 1);
    assert_eq!((w.status(all[0]).await, w.status(all[2]).await), (Status::Archived, Status::Completed));
    // The move itself is no transition: the log has it once.
    let audit = w.ledger.audit(all[0]).await.unwrap();
    assert_eq!(audit.iter().filter(|entry| entry.to == Status::Archived).count(), 1);
    w.check_counts().await;
}
