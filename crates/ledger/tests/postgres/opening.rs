//! Opening: each thing that can be wrong is said in one clear sentence with the way out, and never the password.

use handover_core::ErrorKind;
use handover_ledger::Ledger as _;
use handover_ledger::postgres::{PostgresLedger, SchemaState};
use handover_testkit::TemporaryPostgres;
use handover_testkit::postgres::{PASSWORD, PASSWORD_ROLE, psql, with_database, with_role};

/// Why it cannot be opened.
#[track_caller]
fn refused(url: &str) -> (ErrorKind, String) {
    let Err(error) = PostgresLedger::open(url, true) else { panic!("{url} was opened") };
    let text = format!("{error:?}");
    assert!(error.hint_text().is_some(), "no way out: {text}");
    assert!(!text.contains(PASSWORD) && !text.contains("a-wrong-password"), "{text}");
    assert!(!text.contains('\n'), "one sentence: {text}");
    (error.kind(), text)
}

#[test]
fn it_is_made_once_and_has_one_identity() {
    let server = TemporaryPostgres::new();
    assert_eq!(PostgresLedger::schema_state(&server.url()).unwrap(), SchemaState::Missing);
    let opened: Vec<PostgresLedger> = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..4).map(|_| scope.spawn(|| PostgresLedger::open(&server.url(), true).unwrap())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(opened[0].identity().len(), 32);
    assert!(opened.iter().all(|ledger| ledger.identity() == opened[0].identity()));
    assert_eq!(PostgresLedger::schema_state(&server.url()).unwrap(), SchemaState::Current);
    let again = PostgresLedger::open(&server.url(), false).unwrap();
    assert_eq!(again.identity(), opened[0].identity());
    assert!(again.location().starts_with("postgres://") && again.location().ends_with(server.name()));
}

#[test]
fn without_migrate_nothing_is_changed() {
    let server = TemporaryPostgres::new();
    let Err(error) = PostgresLedger::open(&server.url(), false) else { panic!("there is no schema") };
    assert!(error.to_string().contains("not there yet"), "{error}");
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'integration'"), "0");
    PostgresLedger::open(&server.url(), true).unwrap();
    server.sql("DELETE FROM integration.migrations WHERE number >= 8");
    let SchemaState::Behind(2..) = PostgresLedger::schema_state(&server.url()).unwrap() else {
        panic!("it is behind")
    };
    let Err(error) = PostgresLedger::open(&server.url(), false) else { panic!("it is behind") };
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("behind by") && error.hint_text().unwrap().contains("migrate: false"));
    server.sql("INSERT INTO integration.migrations (number) VALUES (99)");
    let (kind, text) = refused(&server.url());
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.contains("schema 99") && text.contains("update this one"), "{text}");
}

#[test]
fn a_wrong_role_password_or_database_is_said() {
    let server = TemporaryPostgres::new();
    let url = server.url();
    let (kind, text) = refused(&with_role(&url, PASSWORD_ROLE, Some("a-wrong-password")));
    assert_eq!(kind, ErrorKind::Denied);
    assert!(text.contains(PASSWORD_ROLE) && text.contains("PGPASSWORD"), "{text}");
    let (kind, text) = refused(&with_role(&url, PASSWORD_ROLE, None));
    assert_eq!(kind, ErrorKind::Denied);
    assert!(text.contains("asks for a password"), "{text}");
    let (kind, text) = refused(&with_role(&url, "nobody_of_this_name", None));
    assert_eq!(kind, ErrorKind::Denied);
    assert!(text.contains("nobody_of_this_name"), "{text}");
    let (kind, text) = refused(&with_database(&url, "no_such_database"));
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.contains("no_such_database") && text.contains("createdb"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_said_at_once() {
    for url in ["postgres://ann:a-wrong-password@127.0.0.1:1/db", "postgresql:///db?host=/nowhere&user=ann"] {
        let (kind, text) = refused(url);
        assert_eq!(kind, ErrorKind::Io);
        assert!(text.contains("no PostgreSQL answers") && text.contains("start the server"), "{text}");
    }
    let (kind, text) = refused("postgres://ann:a-wrong-password@host.invalid/db");
    assert!(matches!(kind, ErrorKind::Io | ErrorKind::NotFound), "{text}");
}

#[test]
fn a_role_without_rights_is_told_what_it_lacks() {
    let server = TemporaryPostgres::new();
    let url = with_role(&server.url(), PASSWORD_ROLE, Some(PASSWORD));
    let (kind, text) = refused(&url);
    assert_eq!(kind, ErrorKind::Denied);
    assert!(text.contains("permission denied") && text.contains("docs/guides/postgresql.md"), "{text}");
    // With the one right that the guide names it works.
    psql(&server.url(), &format!("GRANT CREATE ON DATABASE {} TO {PASSWORD_ROLE}", server.name()));
    let ledger = PostgresLedger::open(&url, true).unwrap();
    assert!(!ledger.location().contains(PASSWORD));
}

#[test]
fn a_schema_of_that_name_that_is_no_ledger_is_left_alone() {
    let server = TemporaryPostgres::new();
    server.sql("CREATE SCHEMA integration; CREATE TABLE integration.data_staging (mine int)");
    let (kind, text) = refused(&server.url());
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.contains("is no ledger"), "{text}");
    assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'integration'"), "1");
}

#[test]
fn a_database_that_takes_no_writes_or_has_another_encoding_is_refused() {
    let server = TemporaryPostgres::new();
    server.sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", server.name()));
    // A default is no obstacle: each of our transactions says that it writes.
    PostgresLedger::open(&server.url(), true).unwrap();
    let latin = format!("{}_latin", server.name());
    let admin = with_database(&server.url(), "postgres");
    psql(&admin, &format!("CREATE DATABASE {latin} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'"));
    let (kind, text) = refused(&with_database(&server.url(), &latin));
    psql(&admin, &format!("DROP DATABASE {latin} WITH (FORCE)"));
    assert_eq!(kind, ErrorKind::Config);
    assert!(text.contains("LATIN1") && text.contains("UTF8"), "{text}");
}
