//! The checks of `handover health`, each brought about: the exit code, what is said and why, and what to do.

use crate::{BOUND, Row, json, project, row, row_if_any, run};
use handover_testkit::process::wait_for;
use handover_testkit::{Project, TemporaryPostgres, files_below};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);

impl Row {
    #[track_caller]
    fn is(&self, code: i32, verdict: &str, text: &str, todo: &str) {
        assert_eq!((self.code, self.verdict.as_str(), self.todo.as_str()), (code, verdict, todo), "{self:?}");
        assert!(self.text.contains(text), "{text}: {self:?}");
    }
}

/// Has every file be stuck that is older than this. How long a file has lain where it is only the system can say.
fn stuck_after(project: &Project, age: &str) {
    let configuration = std::fs::read_to_string(project.join("handover.yaml")).unwrap();
    let before = configuration.split("health: ").next().unwrap();
    project.write("handover.yaml", format!("{before}health: {{ stuck: {age} }}\n"));
}

fn configured(project: &Project, more: &str) {
    let configuration = std::fs::read_to_string(project.join("handover.yaml")).unwrap();
    project.write("handover.yaml", configuration + more);
}

fn ledger(project: &Project) -> rusqlite::Connection {
    let ledger = rusqlite::Connection::open(project.join("data/.handover/ledger.db")).unwrap();
    ledger.busy_timeout(BOUND).unwrap();
    ledger
}

/// The one number that this query gives.
fn number(project: &Project, query: &str) -> i64 {
    ledger(project).query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_file_that_nobody_knows_is_told_with_its_path_once_it_is_old() {
    let project = project("");
    project.arrive("in/a.csv", "a\n1\n");
    run(&project, &["run", "--once"]);
    let pass = "every file in the data directory has its manifest";
    row(&project, "unknown").is(0, "pass", pass, "");
    let left = project.write("data/in/2026-01-02/left.csv", "a\n");
    // It may be about to become something.
    row(&project, "unknown").is(0, "pass", pass, "");
    // A file that was written long ago and came just now has not lain here for long.
    let file = std::fs::File::options().write(true).open(&left).unwrap();
    file.set_modified(SystemTime::now() - 2 * HOUR).unwrap();
    row(&project, "unknown").is(0, "pass", pass, "");
    stuck_after(&project, "1ms");
    let seen = row(&project, "unknown");
    seen.is(1, "warn", "1 file lies in the data directory without a manifest", "handover health --stuck");
    let path = left.canonicalize().unwrap();
    let why = "it has no manifest, and nobody reserved its name: `handover put` takes it in, or remove it";
    assert!(seen.text.ends_with(&format!("{}: {why}", path.display())), "{seen:?}");
    assert_eq!(run(&project, &["health", "--stuck"]), (1, format!("{}\n", path.display())));
    let text = run(&project, &["health"]).1;
    assert!(text.contains(&format!("stuck: {} since ", path.display())), "{text}");
    stuck_after(&project, "3h");
    row(&project, "unknown").is(0, "pass", pass, "");
}

#[test]
fn a_file_that_a_dead_process_left_half_published_is_told_with_its_delivery() {
    let project = project("");
    project.arrive("in/a.csv", "a\n1\n");
    project.start_with_fault(&["run", "--once"], "publish.linked:kill").end_within(BOUND);
    let published = files_below(&project.join("data/in"));
    let [half] = &published[..] else { panic!("{published:?}") };
    assert!(half.is_file());
    stuck_after(&project, "1ms");
    let why = "delivery 1 began to publish it and is processing: a retry replaces it";
    row(&project, "unknown").is(1, "warn", why, "handover health --stuck");
    let stuck = json(&project, &["health", "--json"])["stuck"].clone();
    assert_eq!((&stuck[0]["app"], &stuck[0]["delivery"]), (&"in".into(), &1.into()), "{stuck}");
    assert_eq!(run(&project, &["run", "--once"]).0, 0);
    row(&project, "unknown").is(0, "pass", "every file in the data directory has its manifest", "");
}

#[test]
fn an_app_that_is_paused_for_long_is_told_with_who_did_it() {
    let project = project("");
    run(&project, &["run", "--once"]);
    row(&project, "paused").is(0, "pass", "no app is paused", "");
    assert_eq!(run(&project, &["pause", "picky"]).0, 0);
    row(&project, "paused").is(0, "pass", "1 app is paused", "");
    configured(&project, "health: { paused: 1ms }\n");
    let seen = row(&project, "paused");
    seen.is(1, "warn", "paused for long: picky for ", "handover resume APP");
    assert!(seen.text.contains("s, by cli:"), "{seen:?}");
    assert_eq!(run(&project, &["resume", "picky"]).0, 0);
    row(&project, "paused").is(0, "pass", "no app is paused", "");
}

#[test]
fn an_app_may_have_its_own_time_after_which_a_file_is_stuck() {
    let project = Project::new(
        env!("CARGO_BIN_EXE_handover"),
        "apps:\n  in: { uses: file-importer, with: { from: ./in, pattern: \"*.csv\", type: sales } }\n  \
         urgent: { run: cat, stuck_after: 1ms }\n  calm: { run: cat }\nflows: { one: in -> urgent, other: in -> calm }\n",
    );
    std::fs::create_dir_all(project.join("in")).unwrap();
    run(&project, &["run", "--once"]);
    assert_eq!(run(&project, &["pause", "urgent"]).0, 0);
    assert_eq!(run(&project, &["pause", "calm"]).0, 0);
    project.arrive("in/a.csv", "a\n1\n");
    assert_eq!(run(&project, &["run", "--once"]).0, 0);
    let seen = row(&project, "stuck files");
    seen.is(1, "warn", "1 file waits too long, the first for urgent for ", "handover health --stuck");
    assert!(seen.text.contains("urgent is paused"), "{seen:?}");
    let stuck = json(&project, &["health", "--json"])["stuck"].clone();
    assert_eq!((stuck.as_array().unwrap().len(), &stuck[0]["app"]), (1, &"urgent".into()), "{stuck}");
    assert!(stuck[0]["reason"].as_str().unwrap().contains("urgent is paused"), "{stuck}");
    // What is asked for goes before what an app has; the other waits no shorter.
    let all = run(&project, &["health", "--stuck", "--older", "1ms"]);
    assert_eq!((all.0, all.1.lines().count()), (1, 1), "one file, whoever waits for it: {all:?}");
    let apart = run(&project, &["health", "--older", "1ms"]).1;
    assert!(apart.contains("for urgent") && apart.contains("2 files wait"), "{apart}");
    run(&project, &["resume", "urgent"]);
    run(&project, &["resume", "calm"]);
    run(&project, &["run", "--once"]);
    row(&project, "stuck files").is(0, "pass", "no file waits for 1h or longer", "");
}

#[test]
fn records_that_heap_up_in_their_table_are_told_with_how_many_more_a_day() {
    let project = project("");
    run(&project, &["run", "--once"]);
    // As 30 hours of measuring leave it.
    let measured = |an_hour: u32| {
        let sql = format!(
            "DELETE FROM sizes;
             WITH RECURSIVE hours(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < 30)
             INSERT INTO sizes SELECT 'staging', strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (n - 30) || ' hours'),
                                      0, 100000 + n * {an_hour} FROM hours"
        );
        ledger(&project).execute_batch(&sql).unwrap();
        row(&project, "staging")
    };
    measured(100).is(0, "pass", "103,000 records stand in their table, 2,400 more a day", "");
    let todo = "handover status: whose records wait, or are kept";
    measured(2_000).is(1, "warn", "160,000 records stand in their table, 48,000 more a day", todo);
}

#[test]
fn everything_is_measured_when_it_is_time_and_its_growth_can_be_told() {
    let project = project("");
    project.arrive("in/a.csv", "a\n1\n");
    run(&project, &["run", "--once"]);
    // That may have measured before there was anything.
    ledger(&project).execute_batch("DELETE FROM sizes").unwrap();
    let times = "SELECT count(DISTINCT at) FROM sizes";
    let measured = |often: i64| {
        let _running = project.start(&["run"]);
        wait_for(BOUND, "it was measured", || (number(&project, times) == often).then_some(()));
    };
    measured(1);
    for what in ["disk:free", "disk:total", "ledger", "staging", "folder:in"] {
        let query = format!("SELECT count(*) FROM sizes WHERE what = '{what}'");
        assert_eq!(number(&project, &query), 1, "{what}");
    }
    assert_eq!(
        number(&project, "SELECT entries FROM sizes WHERE what = 'folder:in'"),
        2,
        "a file, its manifest"
    );
    assert!(row(&project, "disk").text.contains("too little history to tell when it fills up"));
    // An hour later it is time again.
    let sql = "UPDATE sizes SET at = strftime('%Y-%m-%dT%H:%M:%fZ', at, '-61 minutes')";
    ledger(&project).execute_batch(sql).unwrap();
    measured(2);
    // With a day of it there is a sentence, in `status` too: 24 MB a day less, and 10 MB are left.
    let day = "DELETE FROM sizes WHERE what = 'disk:free';
               WITH RECURSIVE hours(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < 30)
               INSERT INTO sizes SELECT 'disk:free', strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (n - 30) || ' hours'),
                                        40500000 - n * 1000000, NULL FROM hours";
    ledger(&project).execute_batch(day).unwrap();
    let seen = row(&project, "disk");
    assert_ne!((seen.code, seen.verdict.as_str()), (0, "pass"), "it fills up within a week");
    let status = run(&project, &["status"]).1;
    for said in [&seen.text, &status] {
        assert!(said.contains("24.0 MB more a day: full in 10h"), "{said}");
    }
}

/// A project on a server, one of whose apps is a service that nobody runs.
fn on_a_server(server: &TemporaryPostgres) -> Project {
    let configuration = format!(
        "ledger: '{}'\napps: {{ away: {{ url: 'http://127.0.0.1:9' }} }}\nhealth: {{ every: 200ms }}\n",
        server.url()
    );
    Project::new(env!("CARGO_BIN_EXE_handover"), &configuration)
}

#[test]
fn what_another_machine_sees_of_itself_is_told_by_its_name_as_long_as_it_is_fresh() {
    let server = TemporaryPostgres::new();
    let project = on_a_server(&server);
    let running = project.start(&["run"]);
    let there = "SELECT to_regclass('integration.alerts') IS NOT NULL";
    wait_for(BOUND, "it sees that its service is away", || {
        let seen =
            "SELECT count(*) FROM integration.alerts WHERE key LIKE 'health:services@%' AND seen_by <> ''";
        (server.sql(there) == "t" && server.sql(seen) == "1").then_some(())
    });
    drop(running);
    assert!(row_if_any(&project, "nodes").is_none(), "its own it sees by itself");
    // What it saw of itself becomes what another saw.
    let seen_ago = |ago: &str| {
        server.sql(&format!(
            "UPDATE integration.alerts SET key = 'health:services@elsewhere', seen_by = 'elsewhere', \
             seen_at = clock_timestamp() - interval '{ago}'"
        ));
        row_if_any(&project, "nodes")
    };
    let todo = "start the service, or correct `url` and `health`";
    let seen = seen_ago("9 minutes").unwrap();
    seen.is(1, "warn", "elsewhere: services: 1 of 1 upstream is not well: away at ", todo);
    // A clock that jumped: it lies ahead, and is as of now.
    assert!(seen_ago("-3 hours").is_some());
    assert!(seen_ago("11 minutes").is_none());
}

#[test]
fn a_clock_that_is_not_that_of_the_ledger_is_told() {
    let server = TemporaryPostgres::new();
    let project = on_a_server(&server);
    assert_eq!(run(&project, &["run", "--once"]).0, 0);
    row(&project, "clock").is(1, "pass", "this machine's clock and the ledger's agree", "");
    // The server's clock, as this database has it.
    server.sql(
        "CREATE SCHEMA ahead; \
         CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
         AS $$ SELECT pg_catalog.clock_timestamp() + interval '90 seconds' $$",
    );
    server.sql(&format!("ALTER DATABASE {} SET search_path = ahead, pg_catalog, public", server.name()));
    let seen = row(&project, "clock");
    let text = "this machine's clock and the ledger's differ by 1m ";
    seen.is(1, "warn", text, "keep the time with NTP on both");
    let table = run(&project, &["health"]).1;
    let line = table.lines().find(|line| line.starts_with("clock ")).unwrap();
    assert!(line.contains("warn") && line.contains("differ by"), "{table}");
}
