//! The configuration from its text to what it means, and every error as a person sees it.
#![allow(clippy::disallowed_methods)]

use super::*;
use handover_core::AppName;
use std::ffi::OsString;
use std::path::Path;

fn environment(name: &str) -> Option<OsString> {
    let value = match name {
        "HOME_DIR" => "/srv/in",
        "WORKERS" => "7",
        "DIGIT" => "5",
        "DB_URL" => "postgres://app:hunter2hunter2@db/handover",
        "PASSWORD" => "hunter2hunter2",
        _ => return None,
    };
    Some(value.into())
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, Path::new("/p/handover.yaml"), &environment)
}

pub(super) fn good(text: &str) -> Config {
    read(text).unwrap()
}

/// The rendered error with the short name that a person in the folder sees.
fn shown(text: &str) -> String {
    match Config::from_text(text, Path::new("handover.yaml"), &environment) {
        Ok(config) => format!("accepted\n{}", config.render(config.notices())),
        Err(error) => error.render(),
    }
}

pub(super) fn gallery(cases: &[(&str, &str)]) -> String {
    cases.iter().map(|(name, text)| format!("## {name}\n{}\n", shown(text))).collect()
}

pub(super) fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

const DESIGN: &str = include_str!("testdata/design.yaml");

#[test]
fn the_example_of_the_documentation_is_read_whole() {
    let config = good(DESIGN);
    assert_eq!(config.data, Path::new("/p/data"));
    assert_eq!(config.ledger, LedgerAddress::Sqlite("/p/data/.handover/ledger.db".into()));
    assert_eq!(config.lease, Duration::from_secs(60));
    let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(
        names,
        ["file-importer", "validator", "scorer", "enricher", "file-exporter", "billing", "nightly"]
    );
    let folders: Vec<&str> = config.apps.iter().map(|app| app.folder.as_str()).collect();
    assert_eq!(folders, ["imports", "validated", "scorer", "enriched", "exports", "billing", "nightly"]);
    let scorer = config.app("scorer").unwrap();
    assert_eq!((scorer.retries, scorer.timeout, scorer.workers), (5, Duration::from_secs(30), 2));
    let nightly = config.app("nightly").unwrap();
    assert_eq!(nightly.program().unwrap().input, Input::None);
    assert!(nightly.is_source() && nightly.schedule.is_some());
    assert_eq!(config.flow("sales").unwrap().links.len(), 3);
    assert_eq!(config.flow("scored").unwrap().links[0].by, By::Database);
    let doors = config.doors();
    let enters = |name: &str| doors.enters(&config.app(name).unwrap().name);
    assert_eq!(enters("scorer"), Enters::Stream);
    assert_eq!(enters("file-exporter"), Enters::Gathered(Gather::default()));
    assert_eq!(enters("validator"), Enters::Waits);
    assert!(doors.splits("validator", &config.app("scorer").unwrap().name));
    assert!(!doors.splits("scorer", &config.app("file-exporter").unwrap().name));
    assert!(config.notices().is_empty(), "{}", config.render(config.notices()));
}

#[test]
fn json_and_yaml_mean_the_same() {
    let yaml = good("apps: { a: { run: cat }, b: { run: sort } }\nflows: { f: a -> b }\n");
    let json = good(
        "{\n\t\"apps\": {\n\t\t\"a\": {\"run\": \"cat\"},\n\t\t\"b\": {\"run\": \"sort\"}\n\t},\n\t\"flows\": {\"f\": \"a -> b\"}\n}\n",
    );
    assert_eq!(yaml.flows, json.flows);
    let escaped = good(r#"{"apps":{"a":{"run":"cat","icon":"\ud83d\uDE00\u00e9\/"}},"flows":{"f":"a"}}"#);
    assert_eq!(escaped.app("a").unwrap().icon.as_deref(), Some("\u{1f600}é/"));
    assert!(Config::diff(&yaml, &json).unwrap().is_empty());
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = good("apps:\n  a: { run: cat }\nflows:\n  f: a\n");
    let app = config.app("a").unwrap();
    assert_eq!((app.retries, app.max_attempts(), app.timeout), (3, 4, Duration::from_secs(3600)));
    assert!(app.workers >= 1 && config.migrate && config.notify.is_none() && config.api.is_none());
    assert_eq!(config.timezone, TimeZone::UTC);
    assert_eq!((config.archive.after, config.archive.compress), (None, true));
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!((config.archive.records_completed, config.archive.records_failed), (7 * day, 30 * day));
    assert_eq!(config.unknown_apps, UnknownApps::Refuse);
}

#[test]
fn arrows_fan_out_and_in_and_lists_mix_arrows_with_links() {
    let config = good(
        "apps: {a: {run: cat}, b: {run: cat}, c: {run: cat}, d: {run: cat}}\n\
         flows:\n  one: a -> [b, c] -> d\n  two: |\n    a -> b\n    a -> c\n    [b, c] -> d\n\
         \x20 three:\n    - a -> [b, c]\n    - { from: b, to: d, label: left }\n    - { from: c, to: d }\n\
         \x20 four: { description: same again, links: [ 'a -> [b, c] -> d' ] }\n",
    );
    let pairs = |name: &str| {
        let flow = config.flow(name).unwrap();
        let mut pairs: Vec<String> =
            flow.links.iter().map(|link| format!("{}{}", link.from, link.to)).collect();
        pairs.sort();
        pairs.join(" ")
    };
    for name in ["one", "two", "three", "four"] {
        assert_eq!(pairs(name), "ab ac bd cd", "{name}");
    }
    assert_eq!(config.flow("three").unwrap().links[2].label.as_deref(), Some("left"));
    assert_eq!(config.flow("four").unwrap().description.as_deref(), Some("same again"));
    let from_a = config.routes().next(&AppName::new("a").unwrap(), &["one".to_owned()]);
    let to: Vec<&str> = from_a.iter().map(|hop| hop.to.as_str()).collect();
    assert_eq!(to, ["b", "c"]);
}

#[test]
fn the_environment_is_filled_in_everywhere_but_in_run() {
    let config = good(
        "ledger: ${DB_URL}\napps:\n  a: { run: 'sh -c \"echo ${PASSWORD}\"', workers: '${WORKERS}', description: 'in $${X} ${HOME_DIR}' }\nflows: { f: a }\n",
    );
    let app = config.app("a").unwrap();
    let words = app.program().unwrap().command(&Placeholders::default());
    assert_eq!(words.last().unwrap(), "echo ${PASSWORD}");
    assert_eq!((app.workers, app.description.as_deref()), (7, Some("in ${X} /srv/in")));
    let LedgerAddress::Postgres(secret) = &config.ledger else { panic!("{:?}", config.ledger) };
    assert!(secret.expose().contains("hunter2"));
    assert!(!format!("{:?} {config:?}", config.ledger).contains("hunter2"));
}

#[test]
fn nothing_of_the_environment_is_shown_in_an_error() {
    for text in [
        "apps: { a: { run: cat, workers: '${PASSWORD}' } }",
        "apps:\n  a:\n    run: cat\n    workers: ${PASSWORD}\n    timeout: ${PASSWORD}\n",
        "apps: { a: { run: cat, schedule: '${PASSWORD}', type: x } }",
        "apps: { a: { run: cat, type: 'A${PASSWORD}' } }",
        "apps: { a: { run: cat, folder: '../${PASSWORD}' } }",
        "apps: { a: { run: cat, timezone: '${PASSWORD}' } }",
        "apps: { a: { uses: '${PASSWORD}' } }",
        "apps: { a: { url: '${PASSWORD}' } }",
        "timezone: ${PASSWORD}\napps: { a: { run: cat } }",
        "ledger: x-${PASSWORD}://y\napps: { a: { run: cat } }",
        "apps: { a: { run: cat } }\nflows: { f: '${PASSWORD} -> a' }",
        "apps: { a: { run: cat } }\nflows: { f: '${PASSWORD}_x -> a' }",
        "apps: { a: { run: cat, retries: '${DIGIT}x' } }",
    ] {
        let error = read(text).unwrap_err();
        let shown = error.render();
        assert!(!shown.contains("hunter2") && !shown.contains("5x"), "{text}\n{shown}");
    }
    let literal = shown("ledger: mysql://u:hunter2@db/x\napps: { a: { run: cat } }");
    assert!(!literal.contains("hunter2"), "{literal}");
}

#[test]
fn what_is_no_yaml_is_explained() {
    snapshot(
        "no_yaml",
        &gallery(&[
            ("empty", ""),
            ("only comments", "# nothing\n\n"),
            ("only null", "---\n...\n"),
            ("a list", "- a\n- b\n"),
            ("a word", "handover\n"),
            ("a tab", "apps:\n\ta: { run: cat }\n"),
            ("a tab deeper", "apps:\n  a:\n \t  run: cat\n"),
            ("a tab after spaces in a flow", "apps:\n  a:\n    run: cat\n\t  retries: 3\n"),
            ("a duplicate key", "apps:\n  a: { run: cat }\n  b: { run: cat }\n  a: { run: sort }\n"),
            ("a duplicate key inside", "apps:\n  a: { run: cat, retries: 1, retries: 2 }\n"),
            ("two documents", "apps: { a: { run: cat } }\n---\napps: {}\n"),
            (
                "a star without quotes",
                "apps:\n  i: { uses: file-importer, with: { from: in, pattern: *.csv } }\n",
            ),
            ("a colon too many", "apps:\n  a: run: cat\n"),
            ("a missing colon", "apps:\n  a\n  b: { run: cat }\n"),
            ("no space after the colon", "apps:\n  a:{ run: cat }\n"),
            ("an open bracket", "apps: { a: { run: cat }\nflows: {}\n"),
            ("an open quote", "apps: { a: { run: \"cat } }\n"),
            ("wrong indentation", "apps:\n    a: { run: cat }\n  b: { run: cat }\n"),
            ("a tag", "apps: !include apps.yaml\n"),
            ("an unknown escape", "apps: { a: { run: \"\\d+\" } }\n"),
            ("broken JSON", "{ \"apps\": { \"a\": { \"run\": \"cat\" } }, }}\n"),
            ("a list as key", "? [a, b]\n: c\n"),
            ("a variable in braces", "apps: { a: { run: cat, workers: ${WORKERS} } }\n"),
            ("percent", "%YAML 9\n"),
        ]),
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_explained() {
    snapshot(
        "unknown_and_wrong",
        &gallery(&[
            ("unknown at the top", "app: {}\napps: { a: { run: cat } }\nflow: {}\nzzz: 1\n"),
            ("unknown in an app", "apps:\n  a:\n    run: cat\n    retires: 3\n    colour: red\n"),
            (
                "unknown in a link",
                "apps: { a: {run: cat}, b: {run: cat} }\nflows:\n  f:\n    - { from: a, too: b }\n",
            ),
            (
                "unknown in a flow",
                "apps: { a: {run: cat}, b: {run: cat} }\nflows:\n  f:\n    links: a -> b\n    desc: x\n",
            ),
            (
                "unknown in archive's records",
                "apps: { a: { run: cat } }\narchive: { records: { done: 3d } }\n",
            ),
            ("unknown apps' fate", "apps: { a: { run: cat } }\nunknown_apps: swallow\n"),
            ("unknown in archive", "apps: { a: { run: cat } }\narchive: { older: 3d }\n"),
            ("unknown built-in", "apps:\n  v: { uses: validater }\n"),
            (
                "unknown by",
                "apps: { a: {run: cat}, b: {run: cat} }\nflows: { f: [ { from: a, to: b, by: databse } ] }\n",
            ),
            ("unknown output", "apps: { a: { run: cat, output: stdot } }\n"),
            ("missing in a link", "apps: { a: {run: cat} }\nflows:\n  f:\n    - { from: a }\n"),
            ("text for a number", "apps:\n  a: { run: cat, workers: many }\n"),
            ("quoted number", "apps:\n  a: { run: cat, retries: \"3\" }\n"),
            ("negative", "apps:\n  a: { run: cat, retries: -1 }\n"),
            ("fraction", "apps:\n  a: { run: cat, workers: 1.5 }\n"),
            ("number for text", "apps:\n  a: { run: 5 }\n"),
            ("list for text", "apps:\n  a: { run: [python3, x.py] }\n"),
            ("yes for true", "migrate: yes\napps: { a: { run: cat } }\n"),
            ("apps as list", "apps:\n  - a\n  - b\n"),
            ("apps empty", "apps:\n"),
            ("apps missing", "data: ./data\n"),
            ("an app as text", "apps:\n  a: cat\n"),
            ("an empty app", "apps:\n  a:\n"),
            ("flows as text", "apps: { a: { run: cat } }\nflows: a -> b\n"),
            ("a number as flow", "apps: { a: { run: cat } }\nflows: { f: 5 }\n"),
            ("a duration without unit", "lease: 60\napps: { a: { run: cat, timeout: 30 } }\n"),
            ("a duration that is none", "apps: { a: { run: cat, timeout: soon } }\n"),
            ("a lease too short", "lease: 1ms\napps: { a: { run: cat } }\n"),
            (
                "several at once",
                "lease: never\napps:\n  a: { run: cat, workers: 0, retires: 1 }\n  B: { run: cat }\n  c: { }\n",
            ),
        ]),
    );
}

#[test]
fn apps_that_cannot_be_are_explained() {
    snapshot(
        "apps",
        &gallery(&[
            (
                "names that are no names",
                "apps:\n  My_App: { run: cat }\n  a--b: { run: cat }\n  '': { run: cat }\n",
            ),
            ("nothing runs", "apps:\n  a: { retries: 3 }\n"),
            ("two things run", "apps:\n  a: { run: cat, uses: validator }\n"),
            ("shell without a program", "apps:\n  a: { url: 'http://x', shell: true }\n"),
            ("an address that is none", "apps:\n  a: { url: localhost }\n"),
            ("an open quote in run", "apps:\n  a: { run: \"awk '{print\" }\n"),
            ("an empty run", "apps:\n  a: { run: '' }\n"),
            ("output against the placeholder", "apps:\n  a: { run: 'sort -o {output}', output: stdout }\n"),
            ("a placeholder misspelt", "apps:\n  a: { run: 'cp {inputs} {output}' }\nflows: { f: a }\n"),
            ("a type that is none", "apps:\n  a: { run: cat, type: Sales_EU }\n"),
            ("an extension that is none", "apps:\n  a: { run: cat, ext: .csv }\n"),
            ("a folder outside", "apps:\n  a: { run: cat, folder: ../x }\n"),
            ("a folder of others", "apps:\n  a: { run: cat, folder: errors }\n  archive: { run: cat }\n"),
            ("a wrong hour", "apps:\n  n: { run: ./x, type: t, schedule: \"0 25 * * *\" }\n"),
            ("a part too few", "apps:\n  n: { run: ./x, type: t, schedule: \"0 6 * *\" }\n"),
            ("a day that never comes", "apps:\n  n: { run: ./x, type: t, schedule: \"0 6 30 2 *\" }\n"),
            ("a nickname", "apps:\n  n: { run: ./x, type: t, schedule: \"@dayly\" }\n"),
            ("a schedule without type", "apps:\n  n: { run: ./x, schedule: \"@daily\" }\n"),
            ("a schedule with input", "apps:\n  n: { run: './x {input}', type: t, schedule: \"@daily\" }\n"),
            (
                "a schedule for a built-in",
                "apps:\n  e: { uses: file-exporter, with: { to: ../out }, schedule: \"@daily\" }\n",
            ),
            ("a time zone misspelt", "timezone: Europe/Berln\napps: { a: { run: cat } }\n"),
            ("another ledger", "ledger: mysql://u:p@h/d\napps: { a: { run: cat } }\n"),
            ("a bucket", "data: s3://bucket/x\napps: { a: { run: cat } }\n"),
            ("notify with an open quote", "notify: \"mail 'me\"\napps: { a: { run: cat } }\n"),
            ("an unset variable", "apps: { a: { run: cat, description: 'x ${NOT_SET_ANYWHERE}' } }\n"),
            ("a variable that is none", "apps: { a: { run: cat, description: '${A B}', icon: '${X' } }\n"),
        ]),
    );
}

#[test]
fn who_cannot_be_told_is_explained() {
    let cases = [
        ("an authority for a command", "{ command: cat, tls: { ca: ca.pem } }"),
        ("an authority in the clear", "{ webhook: 'http://a/b', tls: { ca: ca.pem } }"),
        ("a certificate without its key", "{ smtp: 'smtp://m', from: a@b, to: c@d, tls: { cert: own.pem } }"),
        ("a misspelt authority", "{ slack: 'https://a/b', tls: { cas: ca.pem } }"),
        ("mail from nobody", "{ smtp: 'smtps://u:p@m', to: c@d }"),
        ("a server that is none", "{ smtp: 'mail.example.com', from: a@b, to: c@d }"),
        ("two at once", "{ slack: 'https://a/b', teams: 'https://a/b' }"),
        ("nobody", "{ name: x }"),
        ("headers for Slack", "{ slack: 'https://a/b', headers: { X-A: b } }"),
        ("ends alone", "{ slack: 'https://a/b', on: [recovered] }"),
    ];
    let cases =
        cases.map(|(name, target)| (name, format!("notify: [ {target} ]\napps: {{ a: {{ run: cat }} }}\n")));
    snapshot("who_is_told", &gallery(&cases.each_ref().map(|(name, text)| (*name, text.as_str()))));
}

#[test]
fn the_files_of_a_target_s_tls_are_looked_at_with_the_machine() {
    let target =
        "{ smtp: 'smtp://m', from: a@b, to: c@d, tls: { ca: there/is/none.pem, server_name: 'a b' } }";
    let config = good(&format!("notify: [ {{ command: cat }}, {target} ]\napps: {{ a: {{ run: cat }} }}"));
    let problems = config.check_environment();
    let said: Vec<(&str, bool)> = problems
        .iter()
        .filter(|one| one.path.starts_with("notify"))
        .map(|one| (one.path.as_str(), one.message.contains("/p/there/is/none.pem")))
        .collect();
    assert_eq!(said, [("notify[1].tls", true), ("notify[1].tls.server_name", false)], "{problems:?}");
}

#[test]
fn built_in_apps_that_cannot_be_are_explained() {
    snapshot(
        "built_in_apps",
        &gallery(&[
            ("nothing for a validator", "apps:\n  v: { uses: validator }\n"),
            ("an empty with", "apps:\n  v:\n    uses: validator\n    with:\n"),
            (
                "a misspelt key",
                "apps:\n  v: { uses: validator, with: { schma: s.json, max_eror_rate: 5 } }\n",
            ),
            (
                "a rate in words",
                "apps:\n  v: { uses: validator, with: { schema: s.json, max_error_rate: 5% } }\n",
            ),
            ("a schema that is none", "apps:\n  v: { uses: validator, with: { schema: 5 } }\n"),
            (
                "deep in a lookup",
                "apps:\n  e:\n    uses: enricher\n    with:\n      lookups:\n        - { from: a.csv, key: id, take: [name] }\n        - { from: b.csv, kee: id, take: 5 }\n",
            ),
            ("no type", "apps:\n  i: { uses: file-importer, with: { from: ./in } }\n"),
            (
                "a type that is none",
                "apps:\n  i: { uses: file-importer, with: { from: ./in, type: Sales } }\n",
            ),
            (
                "a glob that is none",
                "apps:\n  i: { uses: file-importer, with: { from: ./in, type: t, pattern: '[' } }\n",
            ),
            (
                "settle without unit",
                "apps:\n  i: { uses: file-importer, with: { from: ./in, type: t, settle: 5, original: mov } }\n",
            ),
            (
                "a level too high",
                "apps:\n  x: { uses: file-exporter, with: { to: ./out, compression: gzip, level: 40 } }\n",
            ),
            (
                "another compression",
                "apps:\n  x: { uses: file-exporter, with: { to: ./out, compression: gz } }\n",
            ),
            (
                "a split without a measure",
                "apps:\n  x: { uses: file-exporter, with: { to: ./out, split: {} } }\n",
            ),
            ("with as a list", "apps:\n  x: { uses: file-exporter, with: [ ./out ] }\n"),
        ]),
    );
}

#[test]
fn what_a_built_in_app_needs_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = "apps:\n  file-importer: { uses: file-importer, with: { from: ./incoming, type: t } }\n  validator: { uses: validator, with: { schema: s.json } }\n  enricher: { uses: enricher, with: { compute: { total: 'round(double(a) *, 2)' } } }\nflows: { f: file-importer -> validator -> enricher }\n";
    let config = Config::from_text(text, &folder.path().join(FILE_NAME), &environment).unwrap();
    let problems = config.check_environment();
    let shown: Vec<String> = problems.iter().map(|problem| problem.render("handover.yaml", text)).collect();
    snapshot("needs", &shown.join("\n").replace(&*folder.path().to_string_lossy(), "DIR"));
}

const FIVE: &str = "apps:\n  file-importer: { uses: file-importer, with: { from: in, pattern: '*.csv', type: sales } }\n  a: { run: cat }\n  b: { run: cat }\n  c: { run: cat }\n  nightly: { run: ./x, schedule: '@daily', type: t }\nflows:\n";

#[test]
fn flows_that_cannot_be_are_explained() {
    let with = |flows: &str| format!("{FIVE}{flows}");
    let cases = [
        (
            "an unknown app",
            with("  f: file-importer -> a -> bb\n  g: { links: [ { from: validatr, to: c } ] }\n"),
        ),
        ("an app linked to itself", with("  f: a -> b -> b -> c\n")),
        ("a circle", with("  f: file-importer -> a\n  g: a -> b -> c -> a\n")),
        ("a circle in links", with("  f:\n    - { from: a, to: b }\n    - { from: b, to: a }\n")),
        ("a circle of two flows", with("  f: a -> b\n  g: b -> c -> a\n")),
        ("a link twice", with("  f:\n    - a -> b -> c\n    - a -> b\n")),
        ("an importer in the middle", with("  f: a -> file-importer -> b\n")),
        ("a schedule in the middle", with("  f: a -> nightly\n")),
        ("an arrow missing", with("  f: a -> b c\n")),
        ("an app missing", with("  f: a -> -> c\n")),
        ("an arrow at the end", with("  f: a ->\n")),
        ("a bracket missing", with("  f: a -> [b, c\n")),
        ("a name that is none", with("  f: a -> B!\n  my flow: a -> b\n")),
        ("empty flows", with("  f: ''\n  g: []\n  h:\n")),
        ("nothing feeds it, two unused", with("  f: a -> b\n")),
        ("a tap is fed", with("  f: file-importer -> a -> b\n  g: a -> c\n")),
        ("fine crossing", with("  f: file-importer -> a -> b\n  g: file-importer -> b -> a\n")),
        ("by database", with("  f: [ { from: a, to: b, by: database } ]\n")),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    snapshot("flows", &gallery(&cases));
}

#[test]
fn doors_that_cannot_be_are_explained() {
    const APPS: &str = "apps:\n  file-importer: { uses: file-importer, with: { from: in, type: sales } }\n  check: { uses: enricher, with: {} }\n  s: { run: python3 s.py, mode: stream }\n  p: { run: cat }\n  q: { run: cat, ext: json }\n  out: { uses: file-exporter, with: { to: out } }\nflows:\n";
    let with = |flows: &str| format!("{APPS}{flows}");
    let cases = [
        ("a built-in app by database", with("  f: [ { from: file-importer, to: check, by: database } ]\n")),
        ("a stream program by file", with("  f: file-importer -> s -> out\n")),
        (
            "records by both doors",
            with("  f: [ { from: file-importer, to: s, by: database }, { from: s, to: p }, { from: file-importer, to: p, by: database } ]\n"),
        ),
        (
            "gather where nothing is gathered",
            with("  f: [ { from: file-importer, to: s, by: database, gather: { rows: 5 } }, { from: file-importer, to: out, gather: {} } ]\n"),
        ),
        (
            "cast where nothing is split",
            with("  f: [ { from: file-importer, to: out, cast: schema.json } ]\n"),
        ),
        (
            "gathers that differ, and out of bounds",
            with("  f: [ { from: file-importer, to: s, by: database }, { from: file-importer, to: p, by: database }, { from: s, to: out, gather: { rows: 5 } }, { from: p, to: out, gather: { rows: 0, size: 1GiB, every: 1m } } ]\n"),
        ),
        (
            "two flows by one link",
            with("  f: [ { from: file-importer, to: s, by: database } ]\n  g: [ { from: file-importer, to: s, by: database } ]\n"),
        ),
        (
            "an extension that records cannot have",
            with("  f: [ { from: file-importer, to: q, by: database }, { from: q, to: out } ]\n"),
        ),
        (
            "placeholders of a stream program",
            "apps:\n  s: { run: 'x {input} {config}', mode: stream, schedule: '@daily', type: t }\nflows: { f: s }\n".to_owned(),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    snapshot("doors", &gallery(&cases));
}

#[test]
fn records_enter_as_the_links_say() {
    let config = good(
        "apps:\n  a: { run: cat }\n  b: { run: cat }\n  c: { run: cat }\n  d: { run: cat }\nflows:\n  f: [ { from: a, to: b, by: database }, { from: b, to: c, by: file, gather: { rows: 7 } }, { from: c, to: d } ]\n",
    );
    let doors = config.doors();
    let name = |name: &str| AppName::new(name).unwrap();
    assert_eq!(doors.enters(&name("a")), Enters::Program, "nothing leads to it: records may be pushed to it");
    assert_eq!(doors.enters(&name("b")), Enters::Program);
    assert_eq!(doors.enters(&name("c")), Enters::Gathered(Gather { rows: 7, ..Gather::default() }));
    assert_eq!(doors.enters(&name("d")), Enters::Waits);
    assert!(doors.splits("a", &name("b")) && doors.splits("whoever", &name("b")));
    assert!(!doors.splits("b", &name("c")) && !doors.splits("x", &name("a")));
}

#[test]
fn importers_and_exporters_are_compared_with_their_surroundings() {
    snapshot(
        "importers_and_exporters",
        &gallery(&[
            (
                "two importers of the same files",
                "apps:\n  one: { uses: file-importer, with: { from: ./in, pattern: '*.csv', type: a } }\n  two: { uses: file-importer, with: { from: in/, pattern: 'sales*.csv', type: b } }\n  c: { run: cat }\nflows: { f: '[one, two] -> c' }\n",
            ),
            (
                "an exporter into the data directory",
                "apps:\n  x: { uses: file-exporter, with: { to: ./data/exports } }\n  y: { uses: file-importer, with: { from: x/../data, type: t } }\nflows: { f: 'y -> x' }\n",
            ),
        ]),
    );
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let show = |path: &Path| {
        let error = Config::load(path).unwrap_err().render();
        error.replace(&folder.path().to_string_lossy().into_owned(), "DIR")
    };
    assert!(show(folder.path()).contains("there is no handover.yaml in DIR"));
    assert!(show(folder.path()).contains("`handover init` makes one"));
    assert!(show(&folder.path().join("x.yaml")).contains("there is no such file"));
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, b"apps:\n  a: { run: \"caf\xe9\" }\n").unwrap();
    assert!(show(&file).contains("not UTF-8 text: line 2 holds the byte 0xe9"), "{}", show(&file));
    std::fs::write(&file, b"\xff\xfea\0").unwrap();
    assert!(show(&file).contains("UTF-16"));
    std::fs::write(&file, vec![b'#'; 5 * 1024 * 1024]).unwrap();
    assert!(show(&file).contains("larger than 4 MiB"));
    std::fs::write(&file, "\u{feff}apps: { a: { run: cat } }\r\nflows: { f: a }\r\n").unwrap();
    let config = Config::load(folder.path()).unwrap();
    assert_eq!((config.apps.len(), config.file.as_path()), (1, file.as_path()));
}

#[test]
fn a_bomb_is_refused_quickly_and_small() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", format!("*a{before}, ").repeat(10)));
    }
    assert!(read(&bomb).unwrap_err().render().contains("more than 100000 values"));
    for nested in ["[".repeat(100_000), "{a: ".repeat(10_000), "- ".repeat(10_000)] {
        let shown = read(&nested).unwrap_err().render();
        assert!(shown.contains("levels deep") && shown.len() < 500, "{shown}");
    }
    assert!(read("a: &a [*a]").is_err());
    let many: String = (0..150_000).map(|n| format!("- {n}\n")).collect();
    assert!(read(&many).unwrap_err().render().contains("more than 100000 values"));
}

#[test]
fn merged_mappings_share_settings() {
    let config = good(
        "apps:\n  a: &usual { run: cat, retries: 9 }\n  b: { <<: *usual, run: sort }\nflows: { f: a -> b }\n",
    );
    let b = config.app("b").unwrap();
    assert_eq!((b.retries, b.program().unwrap().name()), (9, Some("sort")));
}

#[test]
fn a_reload_says_what_changes_and_refuses_what_takes_a_restart() {
    let old = good("apps: { a: {run: cat}, b: {run: cat}, c: {run: cat} }\nflows: { f: a -> b }\n");
    let new =
        good("lease: 5s\napps: { a: {run: sort}, b: {run: cat}, d: {run: cat} }\nflows: { f: b -> a }\n");
    let changes = Config::diff(&old, &new).unwrap();
    let names = |apps: &[AppName]| apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(
        (names(&changes.added), names(&changes.removed), names(&changes.changed)),
        ("d".into(), "c".into(), "a".into())
    );
    assert_eq!((changes.flows, changes.settings.as_slice()), (true, ["lease"].as_slice()));
    let moved = good("data: ./elsewhere\napps: { a: {run: cat} }\nflows: { f: a }\n");
    assert!(Config::diff(&old, &moved).unwrap_err().to_string().contains("data directory"));
    let ledger = good("ledger: x.db\napps: { a: {run: cat} }\nflows: { f: a }\n");
    assert!(Config::diff(&old, &ledger).unwrap_err().to_string().contains("ledger"));
}

#[test]
fn programs_that_are_not_there_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain.sh"), "x").unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let text = "apps:\n  a: { run: no-such-program-anywhere -x }\n  b: { run: ./plain.sh }\n  c: { run: ./gone.sh }\n  d: { run: sh -c true }\nflows: { f: a -> b -> c -> d }\n";
    let file = folder.path().join(FILE_NAME);
    let config = Config::from_text(text, &file, &environment).unwrap();
    let warnings = config.check_environment();
    let shown: Vec<String> = warnings.iter().map(|warning| warning.render("handover.yaml", text)).collect();
    snapshot("programs", &shown.join("\n"));
}

#[test]
fn no_text_makes_it_panic() {
    let pieces = [
        "apps", ":", " ", "\n", "\t", "{", "}", "[", "]", "a", "->", "&x", "*x", "- ", "'", "\"", "|", ">",
        "${", "!!str", "<<", "#", "é", "\0", "flows",
    ];
    let mut seed = 88_172_645_463_325_252u64;
    for _ in 0..4000 {
        let mut text = String::new();
        for _ in 0..24 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text.push_str(pieces[usize::try_from(seed % pieces.len() as u64).unwrap()]);
        }
        if let Err(error) = read(&text) {
            assert!(!error.render().is_empty());
        }
    }
}
