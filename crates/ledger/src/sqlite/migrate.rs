//! Migrations: numbered files, applied in order, each once, in one transaction.
//!
//! `PRAGMA user_version` holds the number of the last one applied, `PRAGMA application_id` says that the file is a
//! ledger, so that another program's database is never taken for an empty one. On a crash the transaction is gone
//! and the next process begins again; two processes at once wait for each other at `BEGIN IMMEDIATE`.

use super::error::sql;
use handover_core::{Error, Result};
use rusqlite::{Connection, params};

/// One numbered file. `tables` says that it runs once for each of the state machine's tables.
struct Migration {
    number: u32,
    text: &'static str,
    tables: bool,
}

const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, text: include_str!("../../migrations/sqlite/0001_ledger.sql"), tables: false },
    Migration { number: 2, text: include_str!("../../migrations/sqlite/0002_deliveries.sql"), tables: true },
    Migration { number: 3, text: include_str!("../../migrations/sqlite/0003_archive.sql"), tables: false },
    Migration { number: 4, text: include_str!("../../migrations/sqlite/0004_records.sql"), tables: false },
    Migration { number: 5, text: include_str!("../../migrations/sqlite/0005_plain_sql.sql"), tables: true },
    Migration { number: 6, text: include_str!("../../migrations/sqlite/0006_views.sql"), tables: false },
    Migration { number: 7, text: include_str!("../../migrations/sqlite/0007_jobs.sql"), tables: false },
    Migration { number: 8, text: include_str!("../../migrations/sqlite/0008_activity.sql"), tables: false },
    Migration { number: 9, text: include_str!("../../migrations/sqlite/0009_alerts.sql"), tables: false },
];

/// Marks the file as a ledger: "HAND" in ASCII.
const APPLICATION: i32 = 0x4841_4e44;

/// The newest schema this Handover knows.
fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |m| m.number)
}

/// Brings the schema up to date and returns the ledger's identity. With `migrate` false it only checks.
///
/// # Errors
/// Where the ledger is newer than this Handover, or older and must not be migrated.
pub(super) fn migrate(connection: &mut Connection, migrate: bool, now: &str) -> Result<String> {
    let version = version(connection)?;
    check_ours(connection)?;
    if version > newest() {
        return Err(Error::config(format!(
            "the ledger has schema {version}, and this Handover knows up to {}",
            newest()
        ))
        .hint("a newer Handover has used it: update this one"));
    }
    if version < newest() {
        if !migrate {
            return Err(Error::config(format!(
                "the ledger has schema {version}, and this Handover needs {}",
                newest()
            ))
            .hint("`migrate: false` is set: let one `handover run` without it bring the schema up to date"));
        }
        apply(connection, now)?;
    }
    connection
        .query_row("SELECT identity FROM ledger", [], |row| row.get(0))
        .map_err(sql("read its identity"))
}

/// The ledger's identity, whatever its schema's version; none where there is no schema yet. Nothing is written.
pub(super) fn identity(connection: &Connection) -> Result<Option<String>> {
    check_ours(connection)?;
    if version(connection)? == 0 {
        return Ok(None);
    }
    let query = "SELECT identity FROM ledger";
    connection.query_row(query, [], |row| row.get(0)).map(Some).map_err(sql("read its identity"))
}

fn version(connection: &Connection) -> Result<u32> {
    number(connection, "PRAGMA user_version").map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn number(connection: &Connection, text: &str) -> Result<i64> {
    connection.query_row(text, [], |row| row.get(0)).map_err(sql("read the schema's version"))
}

/// Refuses a database that has tables and is no ledger. In this order, as another process may make one between the two looks: who sees
/// its tables sees whose they are.
pub(super) fn check_ours(connection: &Connection) -> Result<()> {
    if number(connection, "SELECT count(*) FROM sqlite_master")? == 0
        || number(connection, "PRAGMA application_id")? == i64::from(APPLICATION)
    {
        return Ok(());
    }
    Err(Error::config("this is another program's database, not a ledger")
        .hint("give the ledger a file of its own: `ledger:` in handover.yaml names it"))
}

fn apply(connection: &mut Connection, now: &str) -> Result<()> {
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(sql("begin a migration"))?;
    let version = version(&transaction)?;
    check_ours(&transaction)?;
    for migration in MIGRATIONS.iter().filter(|m| m.number > version) {
        let texts =
            if migration.tables { per_table(migration.text) } else { vec![migration.text.to_owned()] };
        for text in texts {
            transaction.execute_batch(&text).map_err(sql("bring the schema up to date"))?;
        }
    }
    if version == 0 {
        transaction
            .execute("INSERT INTO ledger VALUES (?1, ?2)", params![handover_core::id::random_hex(), now])
            .map_err(sql("give an identity"))?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .and_then(|()| transaction.pragma_update(None, "user_version", newest()))
        .map_err(sql("note the schema's version"))?;
    transaction.commit().map_err(sql("commit a migration"))
}

fn per_table(text: &str) -> Vec<String> {
    [
        ("deliveries", "data_staging", "file", "'file', 'job'", "idx_deliveries_"),
        ("data_staging", "deliveries", "record", "'record'", "idx_"),
    ]
    .into_iter()
    .map(|(table, other, kind, kinds, index)| {
        text.replace("{table}", table)
            .replace("{other}", other)
            .replace("{kind}", kind)
            .replace("{kinds}", kinds)
            .replace("{index}", index)
    })
    .collect()
}
