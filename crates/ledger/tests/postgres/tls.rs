//! Encrypted connections: only to a server whose certificate can be verified.

use handover_core::{Error, ErrorKind};
use handover_ledger::postgres::PostgresLedger;
use handover_testkit::postgres::{OwnPostgres, PASSWORD, PASSWORD_ROLE};

#[test]
fn a_certificate_is_verified_with_its_name() {
    let Some((server, port, authority)) = OwnPostgres::encrypted() else {
        eprintln!("NOT CHECKED: there is no openssl (apt-get install openssl)");
        return;
    };
    let authority = authority.display();
    let open = |host: &str, query: &str| {
        let url = format!("postgres://{PASSWORD_ROLE}:{PASSWORD}@{host}:{port}/{PASSWORD_ROLE}{query}");
        PostgresLedger::open(&url, true)
    };
    let refused = |host: &str, query: &str| -> Error {
        let Err(error) = open(host, query) else { panic!("{host}{query} was opened") };
        assert!(error.hint_text().is_some() && !format!("{error:?}").contains(PASSWORD), "{error:?}");
        error
    };
    server_has_database(&server, port);
    let ledger = open("localhost", &format!("?sslmode=require&sslrootcert={authority}")).unwrap();
    drop(ledger);
    // Not its name; not an authority that is trusted; not encrypted at all.
    let other_name = refused("127.0.0.1", &format!("?sslmode=require&sslrootcert={authority}"));
    assert!(other_name.to_string().contains("certificate"), "{other_name}");
    let unknown = refused("localhost", "?sslmode=require");
    assert_eq!(unknown.kind(), ErrorKind::Config);
    let plain = refused("localhost", "");
    assert_eq!(plain.kind(), ErrorKind::Denied);
    assert!(plain.to_string().contains("no encryption"), "{plain}");
}

fn server_has_database(server: &OwnPostgres, port: u16) {
    let url = server.url("postgres").replace("port=5432", &format!("port={port}"));
    handover_testkit::postgres::psql(&url, &format!("CREATE DATABASE {PASSWORD_ROLE} OWNER {PASSWORD_ROLE}"));
}
