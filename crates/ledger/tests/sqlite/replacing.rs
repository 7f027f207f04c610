//! REPLACE, of which no trigger of SQLite's tells what it deletes: nothing that was handed over is lost by it.

use crate::Sqlite;
use crate::conformance::{Backend as _, World, held, new};
use handover_core::{DeliveryId, Kind, NewDelivery, Status};

type W = World<Sqlite>;

const TABLES: [(&str, Kind); 2] = [("data_staging", Kind::Record), ("deliveries", Kind::File)];

/// Everything that a refused statement might have changed.
async fn everything(w: &W) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for table in [
        "data_staging",
        "deliveries",
        "data_archive",
        "audit_log",
        "tally",
        "sources",
        "sqlite_sequence",
        "in_the_way",
    ] {
        all.extend(w.backend.rows(&format!("SELECT * FROM {table} ORDER BY 1")).await);
    }
    all
}

async fn refused(w: &W, statements: &[String], why: &str) {
    let before = everything(w).await;
    for statement in statements {
        let said = w.backend.sql(statement).await.expect_err(statement);
        assert!(said.contains(why), "{statement}: {said}");
        assert_eq!(everything(w).await, before, "{statement}");
    }
    w.check_counts().await;
}

fn keyed(kind: Kind, key: &str) -> NewDelivery {
    NewDelivery { dedup_key: Some(key.into()), ..new(kind, "a") }
}

/// Statements that insert a row of this number and key, each of which may be left out.
fn insert(how: &str, table: &str, id: Option<DeliveryId>, key: &str, more: &str) -> String {
    let id = id.map_or("NULL".to_owned(), |id| id.to_string());
    format!(
        "{how} INTO {table} (id, source_app, target_app, data, dedup_key) VALUES ({id}, 's', 'a', '{{\"n\": 2}}', {key}) {more}"
    )
}

#[tokio::test]
async fn nothing_is_replaced_by_its_number_or_its_key() {
    let w = W::new().await;
    for (table, kind) in TABLES {
        let first = w.push(keyed(kind, "k")).await;
        let second = w.push(keyed(kind, "l")).await;
        let (id, _) = w.held(kind, "held").await;
        let all = ["INSERT OR REPLACE", "REPLACE"].into_iter().flat_map(|how| {
            [
                insert(how, table, Some(first), "'new'", ""),
                insert(how, table, Some(first), "'k'", ""),
                insert(how, table, Some(first), "'l'", ""),
                insert(how, table, Some(first), "NULL", ""),
                insert(how, table, None, "'k'", ""),
                insert(how, table, Some(id), "NULL", ""),
                // The first of them is as good as any, and goes with the others.
                insert(how, table, None, "'fresh'", ", (NULL, 's', 'a', '{}', 'k')"),
                insert(how, table, None, "'k'", ", (NULL, 's', 'a', '{}', 'fresh')"),
                insert(how, table, None, "'fresh'", ", (NULL, 's', 'a', '{}', 'fresh')"),
            ]
        });
        refused(&w, &all.collect::<Vec<_>>(), "REPLACE would lose").await;
        let changes = [
            format!("UPDATE OR REPLACE {table} SET dedup_key = 'k' WHERE id = {second}"),
            format!("UPDATE OR REPLACE {table} SET dedup_key = 'both' WHERE id IN ({first}, {second})"),
        ];
        refused(&w, &changes, "REPLACE would lose").await;
        assert_eq!(w.status(id).await, Status::Processing);
        w.ledger.push("test", vec![keyed(kind, "k")]).await.unwrap();
        for one in [first, second, id] {
            w.ledger.cancel("test", one).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_ignores_or_changes_what_is_there_works() {
    let w = W::new().await;
    for (table, kind) in TABLES {
        let first = w.push(keyed(kind, "k")).await;
        let before = everything(&w).await;
        for (how, more) in [
            ("INSERT OR IGNORE", ""),
            ("INSERT", "ON CONFLICT DO NOTHING"),
            ("INSERT", "ON CONFLICT (id) DO NOTHING"),
        ] {
            assert_eq!(w.backend.sql(&insert(how, table, Some(first), "NULL", more)).await, Ok(0));
        }
        for (how, more) in [
            ("INSERT OR IGNORE", ""),
            ("INSERT", "ON CONFLICT DO NOTHING"),
            ("INSERT", "ON CONFLICT (target_app, dedup_key) WHERE dedup_key IS NOT NULL DO NOTHING"),
        ] {
            assert_eq!(w.backend.sql(&insert(how, table, None, "'k'", more)).await, Ok(0));
        }
        let now = everything(&w).await;
        assert_eq!(now.len(), before.len() + 1, "but for what it has noted was in the way");
        // Several at once: what is there is ignored, and the others come.
        let some = ", (NULL, 's', 'a', '{}', 'k'), (NULL, 's', 'a', '{}', 'l'), (NULL, 's', 'a', '{}', 'l'), (NULL, 's', 'a', '{}', 'm')";
        assert_eq!(w.backend.sql(&insert("INSERT OR IGNORE", table, None, "'j'", some)).await, Ok(3));
        let upsert = "ON CONFLICT (id) DO UPDATE SET data = excluded.data, priority = 7";
        assert_eq!(w.backend.sql(&insert("INSERT", table, Some(first), "NULL", upsert)).await, Ok(1));
        let now = w.get(first).await;
        assert_eq!((now.priority, now.data["n"].as_i64(), now.dedup_key.as_deref()), (7, Some(2), Some("k")));
        let upsert =
            "ON CONFLICT (target_app, dedup_key) WHERE dedup_key IS NOT NULL DO UPDATE SET priority = 8";
        assert_eq!(w.backend.sql(&insert("INSERT", table, None, "'k'", upsert)).await, Ok(1));
        assert_eq!(w.get(first).await.priority, 8);
        // A REPLACE that meets with nothing is an INSERT, also after another was ignored.
        assert_eq!(w.backend.sql(&insert("REPLACE", table, None, "'n'", "")).await, Ok(1));
        assert_eq!(w.backend.sql(&insert("INSERT OR IGNORE", table, None, "'n'", "")).await, Ok(0));
        let change = format!("UPDATE OR REPLACE {table} SET dedup_key = 'o' WHERE dedup_key = 'n'");
        assert_eq!(w.backend.sql(&change).await, Ok(1));
        w.check_counts().await;
    }
}

/// What stood in the way of one that was ignored may go its way before the next comes.
#[tokio::test]
async fn what_was_in_the_way_may_be_gone() {
    let w = W::new().await;
    for (table, kind) in TABLES {
        for ended in [false, true] {
            let key = format!("k{ended}");
            let first = w.push(keyed(kind, &key)).await;
            let ignored = insert("INSERT OR IGNORE", table, None, &format!("'{key}'"), "");
            assert_eq!(w.backend.sql(&ignored).await, Ok(0));
            if ended {
                w.ledger.cancel("test", first).await.unwrap();
                assert_eq!(w.ledger.archive("test", vec![first]).await.unwrap(), 1);
            } else {
                assert_eq!(w.backend.sql(&format!("DELETE FROM {table} WHERE id = {first}")).await, Ok(1));
            }
            for how in ["INSERT", "INSERT OR IGNORE", "REPLACE"] {
                assert_eq!(w.backend.sql(&insert(how, table, None, "NULL", "")).await, Ok(1), "{how}");
            }
            let change =
                format!("UPDATE {table} SET dedup_key = 'x{ended}' WHERE id = (SELECT max(id) FROM {table})");
            assert_eq!(w.backend.sql(&ignored.replace(&key, "other")).await, Ok(1));
            assert_eq!(w.backend.sql(&change).await, Ok(1));
            w.check_counts().await;
        }
    }
}

#[tokio::test]
async fn a_number_that_was_given_is_not_given_again() {
    let w = W::new().await;
    for (table, kind) in TABLES {
        let all = w.push_to(kind, "a", 3).await;
        w.backend.sql(&format!("DELETE FROM {table} WHERE id = {}", all[0])).await.unwrap();
        w.ledger.cancel("test", all[1]).await.unwrap();
        w.ledger.archive("test", vec![all[1]]).await.unwrap();
        for how in ["INSERT", "INSERT OR IGNORE", "REPLACE"] {
            let both: Vec<String> =
                all[..2].iter().map(|id| insert(how, table, Some(*id), "NULL", "")).collect();
            refused(&w, &both, "this id").await;
        }
        // One that is yet to come is taken, and the next comes after it.
        let later = DeliveryId(all[2].0 + 10);
        assert_eq!(w.backend.sql(&insert("INSERT", table, Some(later), "NULL", "")).await, Ok(1));
        assert_eq!(w.push(new(kind, "a")).await.0, later.0 + 1);
        w.check_counts().await;
    }
    let (_, held_by) = w.held(Kind::Record, "mine").await;
    assert_eq!(held(&w.get(held_by.id).await), held_by);
}
