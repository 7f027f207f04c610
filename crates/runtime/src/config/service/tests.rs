//! Service apps: what is read, and every error as a person sees it.

use super::super::tests::{gallery, good, snapshot};
use crate::config::{By, Enters, Runs};
use handover_service::Settings;
use std::path::Path;
use std::time::Duration;

fn settings(app: &str) -> Settings {
    let config = good(&format!("apps:\n  billing: {app}\n"));
    match &config.app("billing").unwrap().runs {
        Runs::Service(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_app_is_read() {
    let plain = settings("{ url: 'http://127.0.0.1:9000' }");
    assert_eq!((plain.timeout, plain.retries, plain.post.as_str()), (Duration::from_secs(30), 3, "/"));
    assert_eq!((plain.groups.len(), plain.health, plain.tls, plain.http2), (1, None, None, false));
    let whole = settings(
        "
    url: [ 'https://a.internal:9443/billing', 'https://b.internal:9443/billing/' ]
    versions: { v2: 'http://c.internal', v3: [ 'http://d.internal', 'http://e.internal' ] }
    health: { path: /healthz, every: 5s, timeout: 500ms, healthy: 1, unhealthy: 4 }
    timeout: 10s
    retries: 1
    tls: { ca: certs/ca.pem, cert: /etc/own.pem, key: /etc/own.key, server_name: billing }
    http2: true
    post: /v2/in",
    );
    let groups: Vec<(Option<&str>, usize)> =
        whole.groups.iter().map(|group| (group.version.as_deref(), group.upstreams.len())).collect();
    assert_eq!(groups, [(None, 2), (Some("v2"), 1), (Some("v3"), 2)]);
    let health = whole.health.unwrap();
    assert_eq!(
        (health.path.as_str(), health.every, health.healthy, health.unhealthy),
        ("/healthz", Duration::from_secs(5), 1, 4)
    );
    let tls = whole.tls.unwrap();
    assert_eq!(
        (tls.ca.as_deref(), tls.cert.as_deref()),
        (Some(Path::new("/p/certs/ca.pem")), Some(Path::new("/etc/own.pem")))
    );
    assert_eq!(
        (whole.timeout, whole.retries, whole.http2, whole.post.as_str()),
        (Duration::from_secs(10), 1, true, "/v2/in")
    );
    let path = settings("{ url: 'http://a', health: /health }");
    assert_eq!(path.health.unwrap().every, Duration::from_secs(10));
}

#[test]
fn it_works_on_what_links_bring_and_a_limit_of_its_own_is_one_of_the_apis() {
    let config = good(
        "apps:
  in: { uses: file-importer, with: { from: incoming, pattern: '*', type: sales } }
  line: { run: cat, mode: stream }
  billing: { url: 'http://127.0.0.1:9000', limit: 20/s }
  ledger: { url: 'http://127.0.0.1:9001', workers: 2 }
  alone: { url: 'http://127.0.0.1:9002' }
  out: { uses: file-exporter, with: { to: outgoing } }
flows:
  files: in -> billing -> out
  records: [ { from: in, to: line, by: database }, { from: line, to: ledger }, { from: ledger, to: out } ]
api: { listen: '127.0.0.1:8080' }
",
    );
    let by: Vec<By> = config.flows.iter().flat_map(|flow| flow.links.iter().map(|link| link.by)).collect();
    assert_eq!(by, [By::Api, By::File, By::Database, By::Api, By::File]);
    let doors = config.doors();
    let enters = |app: &str| doors.enters(&config.app(app).unwrap().name);
    assert_eq!(
        (enters("billing"), enters("ledger"), enters("alone")),
        (Enters::Program, Enters::Program, Enters::Waits)
    );
    assert!(matches!(enters("out"), Enters::Gathered(_)), "what ledger makes of records is gathered");
    assert!(!doors.splits("in", &config.app("billing").unwrap().name));
    assert_eq!((config.app("billing").unwrap().workers, config.app("ledger").unwrap().workers), (4, 2));
    let limits = &config.api.as_ref().unwrap().limits.apps;
    assert_eq!((limits.len(), limits["billing"].count.get()), (1, 20));
    assert!(config.notices().is_empty(), "{}", config.render(config.notices()));
}

#[test]
fn service_apps_that_cannot_be() {
    let app = |words: &str| format!("apps:\n  billing: {{ {words} }}\n");
    let cases = [
        ("no scheme", "url: '127.0.0.1:9000'"),
        ("another scheme", "url: 'ftp://127.0.0.1'"),
        ("a number", "url: 9000"),
        ("an empty list", "url: []"),
        ("a list with something wrong in it", "url: [ 'http://a', 'b' ]"),
        ("a password", "url: 'http://anna:s3cret@127.0.0.1:9000'"),
        ("a user", "url: 'http://anna@127.0.0.1:9000'"),
        ("a fragment", "url: 'http://127.0.0.1:9000/#top'"),
        ("a query", "url: 'http://127.0.0.1:9000/?a=1'"),
        ("a port that is none", "url: 'http://127.0.0.1:99999'"),
        ("one address twice", "url: [ 'http://a', 'http://A:80/' ]"),
        ("one twice in a version", "url: 'http://a', versions: { v2: [ 'http://b', 'http://b/' ] }"),
        ("versions alone", "versions: { v2: 'http://a' }"),
        ("a version that is none", "url: 'http://a', versions: { 'a/b': 'http://b' }"),
        ("a health that is none", "url: 'http://a', health: 7"),
        ("a health path that is none", "url: 'http://a', health: health"),
        (
            "a health with wrong values",
            "url: 'http://a', health: { path: health, every: 0s, healthy: 0, evry: 1s }",
        ),
        ("a health that is asked for without a pause", "url: 'http://a', health: { path: /h, every: 1ms }"),
        ("a limit that is none", "url: 'http://a', limit: fast"),
        ("tls by http", "url: 'http://a', tls: { ca: ca.pem }"),
        ("a certificate without its key", "url: 'https://a', tls: { cert: own.pem }"),
        ("a key without its certificate", "url: 'https://a', tls: { key: own.key }"),
        ("http2 by https", "url: 'https://a', http2: true"),
        ("an answer of nothing", "url: 'http://a', max_answer: 0"),
        ("a size that is none", "url: 'http://a', max_answer: much"),
        ("a post that is none", "url: 'http://a', post: 'in here'"),
        ("words of a program", "url: 'http://a', shell: true, output: none, mode: stream, claim: lanes"),
        ("a schedule", "url: 'http://a', schedule: '0 6 * * *'"),
        ("with", "url: 'http://a', with: { a: 1 }"),
        (
            "a contract of a program",
            "url: 'http://a', job: { config: { type: object }, exit_codes: { 3: lost } }",
        ),
        (
            "a program with words of a service",
            "run: cat, health: /health, limit: 1/s, post: /in, max_answer: 1GB",
        ),
        ("both", "run: cat, url: 'http://a'"),
    ];
    let cases: Vec<(&str, String)> = cases.iter().map(|(name, words)| (*name, app(words))).collect();
    let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    snapshot("service_apps_that_cannot_be", &gallery(&cases));
}

#[test]
fn service_apps_that_lead_back_here() {
    let of =
        |listen: &str, app: &str| format!("apps: {{ a: {{ {app} }} }}\napi: {{ listen: [ {listen} ] }}\n");
    let cases = [
        ("its own address", of("'127.0.0.1:8080'", "url: 'http://127.0.0.1:8080/in'")),
        ("by name, of several", of("'[::1]:80'", "url: [ 'http://b', 'http://LocalHost' ]")),
        ("a version", of("'0.0.0.0:8080'", "url: 'http://b', versions: { v2: 'http://127.0.0.1:8080' }")),
        ("by IPv6", of("'[::]:8080'", "url: 'http://[::1]:8080'")),
        ("another port", of("'127.0.0.1:8080'", "url: 'http://127.0.0.1:8081'")),
        ("another address of this machine", of("'127.0.0.1:8080'", "url: 'http://127.0.0.2:8080'")),
        ("another machine", of("'0.0.0.0:8080'", "url: 'http://10.0.0.5:8080'")),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    snapshot("service_apps_that_lead_back_here", &gallery(&cases));
}

#[test]
fn links_by_api_that_cannot_be() {
    let flows = |flow: &str| {
        format!(
            "apps: {{ a: {{ run: cat }}, line: {{ run: cat, mode: stream }}, billing: {{ url: 'http://a' }}, b: {{ run: cat }} }}\nflows:\n  f: {flow}\n"
        )
    };
    let cases = [
        ("by api to a program", "[ { from: a, to: b, by: api } ]"),
        ("by file to a service", "[ { from: a, to: billing, by: file } ]"),
        ("by database to a service", "[ { from: a, to: billing, by: database } ]"),
        ("gathered and cast", "[ { from: line, to: billing, gather: { rows: 5 }, cast: s.json } ]"),
        (
            "gathered out of a service that may get records",
            "[ a -> billing, { from: billing, to: b, gather: { rows: 5 } } ]",
        ),
    ];
    let cases: Vec<(&str, String)> = cases.iter().map(|(name, flow)| (*name, flows(flow))).collect();
    let mut cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    cases.push((
        "a limit said twice",
        "apps: { a: { url: 'http://a', limit: 1/s } }\napi: { listen: '127.0.0.1:1', limits: { apps: { a: 2/s } } }\n",
    ));
    cases.push(("a limit without an api", "apps: { a: { url: 'http://a', limit: 1/s } }\n"));
    snapshot("links_by_api_that_cannot_be", &gallery(&cases));
}

#[test]
fn the_files_of_tls_are_looked_at_with_the_machine() {
    let config = good("apps: { a: { url: 'https://a', tls: { ca: there/is/none.pem } } }");
    let problems = config.check_environment();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("there/is/none.pem"), "{problems:?}");
    let config =
        good("apps: { a: { url: 'https://a', tls: { server_name: 'a b', ca: there/is/none.pem } } }");
    let problems = config.check_environment();
    let said: Vec<(&str, bool)> =
        problems.iter().map(|one| (one.path.as_str(), one.message.contains("none.pem"))).collect();
    assert_eq!(said, [("apps.a.tls", true), ("apps.a.tls.server_name", false)], "{problems:?}");
}
