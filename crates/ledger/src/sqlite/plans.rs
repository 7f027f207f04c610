//! What SQLite plans for the queries that run all the time: each by an index, however long the past. The plan does
//! not depend on what is in the tables, because nothing here runs ANALYZE.

use super::{archive, arrivals, claim, jobs, migrate, query, search, submit};
use crate::api::{Filter, Queue};
use handover_core::{DeliveryId, Kind, Status};
use rusqlite::Connection;

fn ledger() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate(&mut connection, true, "2025-11-24T10:30:00.000Z").unwrap();
    connection
}

/// The steps of a query's plan.
fn plan(connection: &Connection, text: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let values = vec![rusqlite::types::Value::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>("detail"));
    steps.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Every table of the plan is searched by one of these indexes, and nothing is scanned.
#[track_caller]
fn assert_by(connection: &Connection, text: &str, indexes: &[&str]) -> String {
    let steps = plan(connection, text);
    let all = format!("{} \n{text}", steps.join(" \n"));
    for index in indexes {
        assert!(all.contains(&format!("INDEX {index} ")), "not by {index}:\n{all}");
    }
    for step in &steps {
        let scans = ["SCAN deliveries", "SCAN data_staging", "SCAN data_archive", "SCAN d", "SCAN e"];
        // What a co-routine gives is read as its own steps say.
        let made = step == "SCAN d" && steps.iter().any(|other| other == "CO-ROUTINE d");
        assert!(
            made || step.contains("INDEX") || !scans.iter().any(|scan| step.starts_with(scan)),
            "scanned:\n{all}"
        );
    }
    all
}

/// The same, and nothing is sorted.
#[track_caller]
fn assert_in_order(connection: &Connection, text: &str, indexes: &[&str]) {
    let all = assert_by(connection, text, indexes);
    assert!(!all.contains("TEMP B-TREE"), "sorted:\n{all}");
}

#[test]
fn a_claim_goes_by_its_order_and_sorts_nothing() {
    let connection = ledger();
    for (queue, prefix) in [(Queue::Deliveries, "idx_deliveries_"), (Queue::Records, "idx_")] {
        let (target, order) = (format!("{prefix}target_app"), format!("{prefix}order_key"));
        assert_in_order(&connection, &claim::candidates(queue), &[&target, &order]);
        assert_in_order(
            &connection,
            &format!(
                "UPDATE {} SET status = 'processing' WHERE id IN ({})",
                queue.table(),
                claim::candidates(queue)
            ),
            &[&target, &order],
        );
    }
}

#[test]
fn what_has_waited_longest_is_found_by_its_age() {
    let connection = ledger();
    for (queue, prefix) in [(Queue::Deliveries, "idx_deliveries_"), (Queue::Records, "idx_")] {
        let target = format!("{prefix}target_app");
        assert_in_order(&connection, &claim::aged(queue), &[&target]);
        assert_in_order(&connection, &claim::next_priority(queue), &[&target]);
    }
}

/// While nothing has waited for so long, what is young is not all read at each claim.
#[test]
fn the_young_are_not_all_looked_at_for_their_age() {
    let connection = ledger();
    let fill = "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 40000) \
                INSERT INTO data_staging (source_app, target_app, data, priority) SELECT 's', 'a', '1', value % 2 FROM n";
    connection.execute(fill, []).unwrap();
    let mut statement = connection.prepare(&claim::aged(Queue::Records)).unwrap();
    let (long_ago, now) = ("2000-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z");
    let steps = |statement: &mut rusqlite::Statement<'_>, since: &str| {
        let found =
            statement.query_map(rusqlite::params!["a", since, 10, 1, now, 256], |row| row.get::<_, i64>(0));
        let found = found.unwrap().count();
        (found, statement.reset_status(rusqlite::StatementStatus::VmStep))
    };
    let (none, steps_none) = steps(&mut statement, long_ago);
    let (ten, steps_ten) = steps(&mut statement, now);
    assert_eq!((none, ten), (0, 10));
    assert!(steps_none < 30 * 256 && steps_ten < steps_none, "{steps_none}, {steps_ten}");
}

#[test]
fn a_rescue_goes_by_lease_and_by_holder() {
    let connection = ledger();
    assert_by(&connection, &claim::to_rescue(Queue::Deliveries), &["idx_deliveries_leases"]);
    assert_by(&connection, &claim::to_rescue(Queue::Records), &["idx_leases"]);
    assert_by(&connection, claim::HOLDERS, &["idx_deliveries_leases", "idx_leases"]);
}

#[test]
fn times_and_counts_read_the_present_only() {
    let connection = ledger();
    let times = ["idx_deliveries_due", "idx_due", "idx_deliveries_leases", "idx_leases"];
    assert_in_order(&connection, query::NEXT_DUE, &times);
    assert_in_order(
        &connection,
        query::OLDEST_PENDING,
        &["idx_deliveries_status_created", "idx_status_created"],
    );
    for (queue, index) in
        [(Queue::Deliveries, "idx_deliveries_status_created"), (Queue::Records, "idx_status_created")]
    {
        assert_in_order(&connection, &query::lately_query(queue), &[index]);
    }
    assert_in_order(&connection, query::WAITING_SINCE, &["idx_deliveries_status_created"]);
    let counts = plan(&connection, query::COUNTS);
    assert_eq!(counts, ["SCAN tally"], "a few rows, in the order of their key");
}

/// A list's plan: which index each table goes by; `ROWID` is from the newest backwards, until enough are found.
#[track_caller]
fn assert_list(connection: &Connection, filter: Filter, index: &str) {
    let (text, _) = query::list_query(&Filter { limit: 50, ..filter });
    let steps = plan(connection, &text);
    let all = steps.join("\n");
    let tables = [("deliveries", "idx_deliveries_"), ("data_staging", "idx_")];
    let asked = tables.iter().filter(|(table, _)| text.contains(&format!(" FROM {table} ")));
    for (table, prefix) in asked {
        let by =
            steps.iter().find(|step| step.contains(&format!(" {table}"))).unwrap_or_else(|| panic!("{all}"));
        match index {
            "ROWID" => assert!(
                by == &format!("SCAN {table}") || by.contains("INTEGER PRIMARY KEY"),
                "not from the newest backwards:\n{all}"
            ),
            index => {
                assert!(
                    format!("{by} ").contains(&format!("INDEX {prefix}{index} ")),
                    "not by {index}:\n{all}"
                )
            }
        }
    }
}

#[test]
fn a_list_goes_by_the_index_of_what_it_asks_for() {
    let connection = ledger();
    let all = Filter::default;
    assert_list(&connection, all(), "ROWID");
    assert_list(&connection, Filter { before: Some(DeliveryId(9)), ..all() }, "ROWID");
    assert_list(&connection, Filter { status: Some(Status::Completed), ..all() }, "ROWID");
    for (status, index) in
        [(Status::Pending, "status_created"), (Status::Processing, "leases"), (Status::Failed, "failed")]
    {
        assert_list(&connection, Filter { status: Some(status), ..all() }, index);
        assert_list(&connection, Filter { status: Some(status), kind: Some(Kind::File), ..all() }, index);
    }
    assert_list(&connection, Filter { app: Some("a".into()), ..all() }, "app");
    assert_list(
        &connection,
        Filter { app: Some("a".into()), status: Some(Status::Completed), ..all() },
        "app",
    );
    assert_list(&connection, Filter { parent: Some(DeliveryId(1)), ..all() }, "parent");
    assert_list(&connection, Filter { replay_of: Some(DeliveryId(1)), ..all() }, "replay");
    assert_list(&connection, Filter { path: Some("x".into()), ..all() }, "path");
    let now = Some(jiff::Timestamp::UNIX_EPOCH);
    assert_list(&connection, Filter { ended_before: now, ..all() }, "ended");
    assert_list(&connection, Filter { ended_before: now, status: Some(Status::Completed), ..all() }, "ended");
    assert_list(&connection, Filter { ended_before: now, before: Some(DeliveryId(9)), ..all() }, "ROWID");
    let replayed = plan(&connection, &query::replayed_query()).join("\n");
    assert_eq!(replayed.matches("SEARCH").count(), 3, "{replayed}");
    let archived = Filter { parent: Some(DeliveryId(1)), archived: true, limit: 9, ..all() };
    assert!(plan(&connection, &query::list_query(&archived).0).join("\n").contains("idx_archive_parent"));
}

/// Whatever is searched for, each part is read in the order of its numbers by an index, and what is few by its status.
#[test]
fn a_search_goes_newest_first_by_index() {
    let connection = ledger();
    let all = || Filter { archived: true, limit: 50, text: Some("x".into()), ..Filter::default() };
    let number = Some(DeliveryId(9));
    for (filter, index) in [
        (all(), "INTEGER PRIMARY KEY"),
        (Filter { statuses: vec![Status::Completed], ..all() }, "INTEGER PRIMARY KEY"),
        (Filter { source: Some("a".into()), flow: Some("f".into()), ..all() }, "INTEGER PRIMARY KEY"),
        (Filter { app: Some("a".into()), statuses: vec![Status::Completed], ..all() }, "app"),
        (Filter { kind: Some(Kind::Job), ..all() }, "jobs"),
        (Filter { kind: Some(Kind::Job), by: Some("ann".into()), ..all() }, "by"),
        (Filter { parent: number, ..all() }, "parent"),
        (Filter { replay_of: number, ..all() }, "replay"),
        (Filter { kind: Some(Kind::File), path: Some("x".into()), ..all() }, "path"),
        (Filter { status: Some(Status::Failed), ..all() }, "failed "),
        (
            Filter { status: Some(Status::Failed), kind: Some(Kind::Job), by: Some("ann".into()), ..all() },
            "failed ",
        ),
        (Filter { status: Some(Status::Failed), app: Some("a".into()), ..all() }, "failed_app "),
        (Filter { status: Some(Status::Failed), parent: number, ..all() }, "parent"),
    ] {
        for part in crate::search::parts(&Filter { before: number, ..filter }) {
            let way = search::newest_first(&part);
            for text in [search::floor_query(&way), search::rows_query(&way, &part.filter, number).0] {
                let all = format!("{}\n{text}", plan(&connection, &text).join("\n"));
                assert!(all.contains("SEARCH") && all.contains(index), "not by {index}:\n{all}");
                assert!(!all.contains("TEMP B-TREE"), "sorted:\n{all}");
            }
        }
    }
    // What plain SQL has archived and is not moved yet; the archive's own rows go by number.
    let archived = Filter { status: Some(Status::Archived), before: number, ..all() };
    for part in crate::search::parts(&archived).iter().filter(|part| part.set_aside().is_some()) {
        let way = search::newest_first(part);
        assert_in_order(&connection, &search::floor_query(&way), &[]);
        assert!(way.from.ends_with("archived"), "{way:?}");
        let rows = search::rows_query(&way, &part.filter, number).0;
        assert!(!assert_by(&connection, &rows, &[]).contains("TEMP B-TREE"), "sorted: {rows}");
    }
    let few = Filter { statuses: vec![Status::Pending, Status::Processing], ..all() };
    for part in crate::search::parts(&few).iter().filter(|part| part.is_few()) {
        let few = search::few(part).unwrap();
        let index = if part.filter.status == Some(Status::Processing) { "leases" } else { "status_created" };
        assert!(plan(&connection, &few.count).join("\n").contains(index));
        let rows = search::rows_query(&few.way, &part.filter, None).0;
        assert!(plan(&connection, &rows).join("\n").contains(index), "{rows}");
    }
}

#[test]
fn a_page_of_jobs_reads_jobs_alone() {
    let connection = ledger();
    let jobs = || Filter { kind: Some(Kind::Job), limit: 50, archived: true, ..Filter::default() };
    let by = || Filter { by: Some("ann".into()), ..jobs() };
    for (filter, index) in [
        (jobs(), "jobs"),
        (Filter { before: Some(DeliveryId(9)), ..jobs() }, "jobs"),
        (Filter { status: Some(Status::Completed), ..jobs() }, "jobs"),
        (by(), "by"),
        (Filter { before: Some(DeliveryId(9)), ..by() }, "by"),
        (Filter { app: Some("a".into()), status: Some(Status::Failed), ..by() }, "by"),
    ] {
        let (text, _) = query::list_query(&filter);
        assert!(!text.contains("data_staging"), "{text}");
        let (live, archived) = (format!("idx_deliveries_{index}"), format!("idx_archive_{index}"));
        let all = assert_by(&connection, &text, &[&live, &archived]);
        // Only the tables' few are sorted, to be merged.
        let steps = plan(&connection, &text);
        let sorted = |pair: &[String]| pair[0].starts_with("SEARCH") && pair[1].contains("TEMP B-TREE");
        assert!(!steps.windows(2).any(sorted), "sorted:\n{all}");
    }
}

#[test]
fn what_belongs_to_jobs_goes_by_index() {
    let connection = ledger();
    assert_in_order(&connection, submit::UNENDED, &["idx_deliveries_unended"]);
    assert_in_order(&connection, jobs::OLD_KEYS, &["idx_idempotency_age"]);
    assert_in_order(&connection, jobs::OLD_LINES, &["idx_progress_age"]);
    let standing = assert_by(&connection, &jobs::standing_query(), &[]);
    assert_eq!(standing.matches("SEARCH d USING INTEGER PRIMARY KEY").count(), 3, "{standing}");
}

#[test]
fn the_archive_is_fed_by_index() {
    let connection = ledger();
    for (text, index) in archive::ENDED.iter().zip(["idx_deliveries_ended", "idx_ended"]) {
        assert_in_order(&connection, text, &[index]);
    }
    assert_in_order(&connection, &archive::marked(Queue::Records), &["idx_archived"]);
    assert_in_order(&connection, archive::TO_FORGET, &["idx_archive_age"]);
}

#[test]
fn whether_an_arrival_was_imported_is_looked_up_by_number() {
    let connection = ledger();
    // An importer's own index would be its whole past.
    let text = arrivals::query(&arrivals::of_paths_where());
    assert_by(&connection, &text, &["sqlite_autoindex_arrivals_1"]);
    let text = arrivals::query(&arrivals::of_content());
    assert_by(&connection, &text, &["idx_arrivals_content"]);
    let steps = plan(&connection, &text).join("\n");
    assert!(!steps.contains("MATERIALIZE") && !steps.contains("idx_archived"), "{steps}");
    assert_eq!(steps.matches("data_archive USING INTEGER PRIMARY KEY").count(), 2, "{steps}");
}

#[test]
fn a_history_is_found_by_its_number() {
    let connection = ledger();
    assert_by(&connection, query::AUDIT, &["idx_audit_delivery", "idx_audit_run"]);
}

/// What people did is found without reading what workers did.
#[test]
fn deeds_of_people_go_by_their_own_index() {
    let connection = ledger();
    let place = crate::actions::Place { entry: 1 << 40, action: 1 << 40 };
    let filter = crate::DeedFilter { limit: 10, ..crate::DeedFilter::default() };
    let (text, _) = super::actions::of_entries(&filter, place);
    assert_in_order(&connection, &text, &["idx_audit_people"]);
    let one = crate::DeedFilter { delivery: Some(DeliveryId(7)), ..filter };
    let (text, _) = super::actions::of_entries(&one, place);
    assert_by(&connection, &text, &["idx_audit_delivery"]);
}
