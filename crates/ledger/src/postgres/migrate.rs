//! Migrations: numbered files, applied in order, each once, each in a transaction of its own.
//!
//! `integration.migrations` has the numbers of those that were applied. They are applied under an advisory lock that ends
//! with its transaction, so that two processes at once wait for each other, a pooler is no hindrance, and a crash leaves a
//! schema that the next process goes on with. Workers may run meanwhile: a migration that cannot get its locks within some
//! seconds gives way and is tried again.

use super::PostgresLedger;
use super::error::{Attempt, Fault, sql};
use super::row::get;
use super::tx::{Tx, in_transaction, text};
use handover_core::{Error, ErrorKind, Result};

/// One numbered file.
struct Migration {
    number: i32,
    text: &'static str,
}

macro_rules! migrations {
    ($($number:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            number: $number,
            text: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        }),*]
    };
}

const MIGRATIONS: &[Migration] = migrations![
    1 "0001_ledger",
    2 "0002_deliveries",
    3 "0003_work",
    4 "0004_by_hand",
    5 "0005_plain_sql",
    6 "0006_housekeeping",
    7 "0007_functions",
    8 "0008_views",
    9 "0009_files",
    10 "0010_lanes",
    11 "0011_jobs",
    12 "0012_budgets",
    13 "0013_activity",
    14 "0014_alerts",
];

/// The lock of all migrators: "HANDOVER" in ASCII.
const LOCK: &str = "SELECT 1 FROM pg_advisory_xact_lock(5206514328302634322)";
/// A migration waits so long for a table that others use; and a database may read a backslash otherwise than it is meant.
const PATIENCE: &str = "SET LOCAL lock_timeout = '5s'; SET LOCAL client_min_messages = warning; \
     SET LOCAL standard_conforming_strings = on";
/// PostgreSQL 13.
const OLDEST: i32 = 130_000;

/// How the schema stands to this Handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// There is none yet.
    Missing,
    /// It is as it should be.
    Current,
    /// It lacks so many migrations.
    Behind(usize),
    /// A newer Handover has changed it: its newest migration, and the newest that this one knows.
    Ahead {
        /// The schema's.
        has: u32,
        /// Ours.
        knows: u32,
    },
}

/// The newest schema this Handover knows.
fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |m| m.number)
}

/// Checks the server, brings the schema up to date and returns the ledger's identity. With `migrate` false it only checks.
pub(super) async fn migrate(ledger: &PostgresLedger, migrate: bool) -> Result<String> {
    match state(ledger).await? {
        SchemaState::Current => {}
        SchemaState::Ahead { has, knows } => return Err(ahead(has, knows)),
        SchemaState::Missing | SchemaState::Behind(_) if migrate => bring_up_to_date(ledger).await?,
        SchemaState::Missing => {
            return Err(behind("the ledger's schema `integration` is not there yet".to_owned()));
        }
        SchemaState::Behind(lacking) => {
            let s = if lacking == 1 { "" } else { "s" };
            return Err(behind(format!("the ledger's schema is behind by {lacking} migration{s}")));
        }
    }
    catch_up(ledger).await?;
    identity(ledger).await
}

/// Sets the sequence of numbers forward where it is behind what is there, as after it was set back, or the records alone were
/// restored. Done once, when a ledger is opened: at each push it would cost a look into every part of the archive. What is found
/// to be behind later is an error of the push that meets with it, as long as the record has not been archived.
async fn catch_up(ledger: &PostgresLedger) -> Result<()> {
    const MOST: &str = "greatest((SELECT max(id) FROM integration.data_staging_live), (SELECT max(id) FROM integration.deliveries_live), \
         (SELECT max(id) FROM integration.data_archive), (SELECT max(file_id) FROM integration.names))";
    let query = format!(
        "SELECT {MOST} > (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM integration.delivery_ids)"
    );
    let rows = ledger.read("look for the last number", &query, &[]).await?;
    let behind =
        rows.first().map(|row| get::<Option<bool>>(row, 0)).transpose().map_err(|fault| fault.error)?;
    if behind.flatten().unwrap_or(false) {
        in_transaction!(ledger, |tx| set_forward(tx, MOST))?;
    }
    Ok(())
}

async fn set_forward(tx: &mut Tx<'_>, most: &str) -> Attempt<()> {
    tx.rows("wait for another migration", LOCK, &[]).await?;
    let call = format!(
        "SELECT setval('integration.delivery_ids', greatest({most}, (SELECT last_value FROM integration.delivery_ids)))"
    );
    tx.rows("set the numbers forward", &call, &[]).await.map(|_| ())
}

/// Whether the server knows all that the schema needs.
fn young_enough(number: i32, version: &str) -> Result<()> {
    if number >= OLDEST {
        return Ok(());
    }
    Err(Error::config(format!("PostgreSQL {version} is too old for the ledger"))
        .hint("use PostgreSQL 13 or later, or leave `ledger:` out for the embedded one, on one machine"))
}

fn ahead(has: u32, knows: u32) -> Error {
    Error::config(format!("the ledger has schema {has}, and this Handover knows up to {knows}"))
        .hint("a newer Handover has used it: update this one")
}

fn behind(message: String) -> Error {
    Error::config(message)
        .hint("`migrate: false` is set: let one `handover run` without it bring the schema up to date")
}

/// How the schema stands. It writes nothing. Fails where the server is too old or takes no writes.
pub(super) async fn state(ledger: &PostgresLedger) -> Result<SchemaState> {
    let query = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                 pg_is_in_recovery(), to_regclass('integration.migrations') IS NOT NULL, current_setting('server_encoding')";
    // Once: whoever opens a ledger is to hear at once that there is no server.
    let rows = ledger.rows("look at its server", query, &[]).await.map_err(|fault| fault.error)?;
    let Some(row) = rows.first() else { return Err(Error::internal("the server gave no version")) };
    let read = || {
        let server: (i32, String, bool) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        Ok::<_, Fault>((server, get::<bool>(row, 3)?, get::<String>(row, 4)?))
    };
    let ((number, version, standby), there, encoding) = read().map_err(|fault| fault.error)?;
    young_enough(number, &version)?;
    if standby {
        return Err(Error::new(ErrorKind::Denied, "this PostgreSQL is a standby and takes no writes")
            .hint("name the primary in `ledger:`"));
    }
    if encoding != "UTF8" {
        return Err(Error::config(format!(
            "the database has the encoding {encoding}, and the ledger needs UTF8"
        ))
        .hint("make another database: createdb --encoding=UTF8 --template=template0 NAME"));
    }
    if !there {
        return Ok(SchemaState::Missing);
    }
    let query = "SELECT number FROM integration.migrations";
    let rows = ledger.rows("look at its schema", query, &[]).await.map_err(|fault| fault.error)?;
    let applied = rows.iter().map(|row| get::<i32>(row, 0)).collect::<Attempt<Vec<_>>>();
    Ok(compare(&applied.map_err(|fault| fault.error)?))
}

/// Whether the role may do what a ledger that stands so asks of it: make the schema, bring it up to date, work on it. It writes
/// nothing.
pub(super) async fn check_rights(ledger: &PostgresLedger, state: SchemaState) -> Result<()> {
    let query = "SELECT current_user::text, current_database()::text, \
                 coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'integration'), \
                          has_database_privilege(current_database(), 'CREATE')), \
                 coalesce((SELECT has_table_privilege(c.oid, 'UPDATE') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace \
                           WHERE nspname = 'integration' AND relname = 'deliveries_live'), false)";
    let rows = ledger.rows("look at the rights", query, &[]).await.map_err(|fault| fault.error)?;
    let Some(row) = rows.first() else { return Err(Error::internal("the server gave no rights")) };
    let read = || Ok::<_, Fault>((get(row, 0)?, get(row, 1)?, get(row, 2)?, get(row, 3)?));
    let (role, database, owns, works): (String, String, bool, bool) = read().map_err(|fault| fault.error)?;
    let refused = |what: &str| Error::new(ErrorKind::Denied, format!("the role {role} may not {what}"));
    match state {
        SchemaState::Missing if !owns => Err(refused("make the ledger's schema").hint(format!(
            "its database's owner gives it the right: GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\""
        ))),
        SchemaState::Behind(_) if !owns => Err(refused("bring the ledger's schema up to date")
            .hint("let one `handover run` by the role that owns the schema `integration` do that")),
        SchemaState::Current if !works => Err(refused("work on the ledger").hint(
            "name the role that owns the schema `integration`; programs that only hand over, take or read need no `handover run`",
        )),
        _ => Ok(()),
    }
}

fn compare(applied: &[i32]) -> SchemaState {
    let has = applied.iter().copied().max().unwrap_or(0);
    if has > newest() {
        return SchemaState::Ahead { has: has.unsigned_abs(), knows: newest().unsigned_abs() };
    }
    match MIGRATIONS.iter().filter(|m| !applied.contains(&m.number)).count() {
        0 => SchemaState::Current,
        lacking => SchemaState::Behind(lacking),
    }
}

async fn bring_up_to_date(ledger: &PostgresLedger) -> Result<()> {
    in_transaction!(ledger, |tx| prepare(tx))?;
    for migration in MIGRATIONS {
        in_transaction!(ledger, |tx| apply(tx, migration))?;
    }
    Ok(())
}

/// Makes the schema and the table of migrations, where they are missing, and refuses a schema that is another's.
async fn prepare(tx: &mut Tx<'_>) -> Attempt<()> {
    tx.rows("wait for another migration", LOCK, &[]).await?;
    let query = "SELECT to_regnamespace('integration') IS NOT NULL, to_regclass('integration.migrations') IS NOT NULL, \
                 to_regclass('integration.data_staging') IS NOT NULL";
    let row = tx.row("look at its schema", query, &[]).await?;
    let (schema, ours, others): (bool, bool, bool) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
    if ours {
        return Ok(());
    }
    if others {
        return Err(Error::config("the database has a schema `integration` that is no ledger")
            .hint("give the ledger a database of its own, or rename that schema and copy its rows over")
            .into());
    }
    if !schema {
        tx.rows("make its schema", "CREATE SCHEMA integration", &[]).await?;
    }
    let table = "CREATE TABLE integration.migrations (number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";
    tx.rows("make its schema", table, &[]).await.map(|_| ())
}

async fn apply(tx: &mut Tx<'_>, migration: &Migration) -> Attempt<()> {
    tx.rows("wait for another migration", LOCK, &[]).await?;
    let number = migration.number;
    let query = "SELECT FROM integration.migrations WHERE number = $1";
    let value: super::tx::Value<'_> = (&number, tokio_postgres::types::Type::INT4);
    if !tx.rows("look at its schema", query, std::slice::from_ref(&value)).await?.is_empty() {
        return Ok(());
    }
    let connection = tx.connection().await?;
    connection.execute(PATIENCE).await.map_err(sql("bring the schema up to date"))?;
    connection.execute(migration.text).await.map_err(sql("bring the schema up to date"))?;
    tx.rows("note a migration", "INSERT INTO integration.migrations (number) VALUES ($1)", &[value])
        .await
        .map(|_| ())
}

/// The ledger's own random identity; given once.
async fn identity(ledger: &PostgresLedger) -> Result<String> {
    let query = "SELECT identity FROM integration.ledger LIMIT 1";
    let rows = ledger.read("read its identity", query, &[]).await?;
    if let Some(row) = rows.first() {
        return get(row, 0).map_err(|fault| fault.error);
    }
    let new = handover_core::id::random_hex();
    in_transaction!(ledger, |tx| give_identity(tx, &new))
}

async fn give_identity(tx: &mut Tx<'_>, new: &str) -> Attempt<String> {
    tx.rows("wait for another migration", LOCK, &[]).await?;
    let rows = tx.rows("read its identity", "SELECT identity FROM integration.ledger LIMIT 1", &[]).await?;
    if let Some(row) = rows.first() {
        return get(row, 0);
    }
    tx.rows("give an identity", "INSERT INTO integration.ledger (identity) VALUES ($1)", &[text(&new)])
        .await?;
    Ok(new.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused_in_a_sentence_with_the_way_out() {
        assert!(young_enough(130_000, "13.0").is_ok() && young_enough(180_004, "18.4").is_ok());
        let Err(error) = young_enough(120_022, "12.22") else { panic!("it was taken") };
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.to_string(), "PostgreSQL 12.22 is too old for the ledger");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("PostgreSQL 13 or later")));
    }

    #[test]
    fn every_file_is_listed_once_and_in_order() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
        let mut there: Vec<i32> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.split('_').next()?.parse().ok())
            .collect();
        there.sort_unstable();
        let listed: Vec<i32> = MIGRATIONS.iter().map(|m| m.number).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn a_schema_is_compared_by_what_was_applied() {
        let all: Vec<i32> = MIGRATIONS.iter().map(|m| m.number).collect();
        assert_eq!(compare(&all), SchemaState::Current);
        assert_eq!(compare(&all[..all.len() - 2]), SchemaState::Behind(2));
        assert_eq!(compare(&[]), SchemaState::Behind(all.len()));
        let newer = [all, vec![newest() + 1]].concat();
        assert!(matches!(compare(&newer), SchemaState::Ahead { .. }));
    }
}
