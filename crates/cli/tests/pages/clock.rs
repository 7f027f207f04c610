//! A clock that was set back: all that happened lies weeks ahead. No command, page or scrape tells an age of it, least of all a
//! negative one.

use crate::kit::{LONG, OPEN, Server, Site};
use crate::visits::{browse, visit};
use handover_testkit::files_below;
use handover_testkit::process::wait_for;
use rusqlite::config::DbConfig;
use serde_json::Value;
use std::time::{Duration, SystemTime};

const APPS: &str = "unknown_apps: accept
health: { every: 200ms }
apps:
  file-importer: { uses: file-importer, with: { from: ./incoming, pattern: '*.csv', type: sales } }
  good: { run: cat }
  bad: { run: \"sh -c 'echo no >&2; exit 1'\", retries: 0, expect: { max_age: 26h } }
  held: { run: cat, stuck_after: 1ms }
flows:
  f: file-importer -> good -> held
  g: file-importer -> bad
";

/// So far ahead: no other length of time that is shown anywhere is like it.
const AHEAD_DAYS: u64 = 77;

/// Times that are to come by themselves.
const DUE: [&str; 5] = ["run_at", "lease_until", "expires_at", "due_at", "muted_until"];

/// Something of each kind has happened: handed on, failed, waiting, held by somebody, told of as an alert, measured.
fn site() -> Site {
    let site = Site::new(APPS, OPEN);
    std::fs::create_dir_all(site.project.join("incoming")).unwrap();
    site.command(&["run", "--once"]);
    site.command(&["pause", "held"]);
    site.project.arrive("incoming/a.csv", "a\n1\n");
    assert_eq!(site.project.start(&["run", "--once"]).end_within(LONG).code(), Some(1));
    std::fs::write(site.project.join("rows.ndjson"), "{\"a\":1}\n{\"a\":2}\n").unwrap();
    site.command(&["push", "--from", "x", "--to", "pulled", "--accept-unknown", "rows.ndjson"]);
    site.command(&["pull", "--app", "pulled", "--accept-unknown"]);
    site.key(&["--scope", "read"]);
    let server = site.serve();
    wait_for(LONG, "alerts and sizes", || {
        let ledger = ledger(&site);
        let count = |table: &str| {
            let query = format!("SELECT count(*) FROM {table}");
            ledger.query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        (count("alerts") > 1 && count("sizes") > 0).then_some(())
    });
    drop(server);
    site
}

fn ledger(site: &Site) -> rusqlite::Connection {
    let ledger = rusqlite::Connection::open(site.project.join("data/.handover/ledger.db")).unwrap();
    ledger.busy_timeout(LONG).unwrap();
    ledger
}

/// Every time in the ledger, and of every file, is so much later; but for those that are to come.
fn set_back(site: &Site) {
    let ledger = ledger(site);
    ledger.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    let names = |query: &str| -> Vec<String> {
        let mut statement = ledger.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut moved = 0;
    for table in names("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'") {
        for column in names(&format!("SELECT name FROM pragma_table_info('{table}') WHERE type = 'TEXT'")) {
            if DUE.contains(&column.as_str()) {
                continue;
            }
            let sql = format!(
                "UPDATE \"{table}\" SET \"{column}\" = strftime('%Y-%m-%dT%H:%M:%fZ', \"{column}\", '{AHEAD_DAYS} days') \
                 WHERE \"{column}\" GLOB '20[0-9][0-9]-[0-1][0-9]-[0-3][0-9]T*Z'"
            );
            moved += ledger.execute(&sql, []).unwrap_or_else(|e| panic!("{table}.{column}: {e}"));
        }
    }
    assert!(moved > 20, "{moved}");
    let ahead = SystemTime::now() + Duration::from_secs(AHEAD_DAYS * 86_400);
    let mut files = files_below(&site.project.join("data/good"));
    files.push(site.project.write("incoming/later.csv", "a\n1\n"));
    files.push(site.project.write("data/good/2026-01-02/stray.csv", "a\n1\n"));
    for file in files {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(ahead).unwrap();
    }
}

/// What is strange about the lengths of time in a text: one is below nothing, or as long as the clock was set back.
fn strange(text: &str) -> Option<String> {
    let around =
        |at: usize| text[text.floor_char_boundary(at.saturating_sub(60))..].chars().take(90).collect();
    for days in [AHEAD_DAYS - 1, AHEAD_DAYS] {
        for length in [format!("{days} days"), format!("{days}d"), format!("{} h", days * 24)] {
            // A word of its own: sums and identities have such digits too.
            let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            let own = |at: &usize| {
                !part(text[..*at].chars().next_back()) && !part(text[at + length.len()..].chars().next())
            };
            if let Some(at) = text.match_indices(&length).map(|(at, _)| at).find(own) {
                return Some(around(at));
            }
        }
    }
    let bytes = text.as_bytes();
    let negative = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
        bytes[*at] == b'-'
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && (before.is_ascii_whitespace() || b"\":,>[(=".contains(&before))
    };
    (0..bytes.len()).find(negative).map(around)
}

/// The text of a page, without its markup, whose drawings have numbers of their own.
fn without_markup(page: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            _ if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

fn ids(site: &Site) -> Vec<String> {
    let list: Value = serde_json::from_str(&site.command(&["list", "--limit", "50", "--json"])).unwrap();
    list.as_array().unwrap().iter().map(|one| one["id"].to_string()).collect()
}

/// What a command prints, whatever its exit code says.
fn says(site: &Site, words: &[&str]) -> String {
    let mut run = site.project.start(words);
    let code = run.end_within(LONG).code();
    assert!(code.is_some_and(|code| code < 2), "{words:?}: {code:?} {}", run.stderr());
    format!("{}\n{}", run.stdout(), run.stderr())
}

#[test]
fn commands_tell_no_age_of_what_lies_ahead() {
    let site = site();
    set_back(&site);
    let ids = ids(&site);
    assert!(ids.len() >= 5, "{ids:?}");
    let mut asked: Vec<Vec<&str>> =
        ["status", "health", "list", "alerts", "audit"].into_iter().map(|word| vec![word]).collect();
    asked.extend([vec!["alerts", "--ended", "1d"], vec!["run", "--dry-run"], vec!["keys", "list"]]);
    asked.extend(["good", "held", "bad", "incoming/later.csv"].map(|what| vec!["why", what]));
    asked.extend(ids.iter().flat_map(|id| [vec!["why", id.as_str()], vec!["show", id.as_str()]]));
    for words in &asked {
        for more in [&[][..], &["--json"]] {
            let words = [&words[..], more].concat();
            let said = says(&site, &words);
            assert_eq!(strange(&said), None, "{words:?}: {said}");
        }
    }
    let status = says(&site, &["status"]);
    let held = status.lines().find(|line| line.starts_with("held ")).unwrap_or_else(|| panic!("{status}"));
    assert!(held.contains(" 0 ms "), "{held}");
    let shown = says(&site, &["show", &ids[ids.len() - 1]]);
    assert!(shown.contains(", ahead of this clock"), "{shown}");
}

fn page(server: &Server, path: &str) -> String {
    let answer = visit(server, &browse("GET", path));
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.text()
}

#[test]
fn pages_and_scrapes_tell_no_age_of_what_lies_ahead() {
    let site = site();
    set_back(&site);
    let ids = ids(&site);
    let server = site.serve();
    let paths =
        ["/", "/deliveries", "/checks", "/audit", "/keys", "/jobs", "/database", "/files"].map(str::to_owned);
    for path in paths.into_iter().chain(ids.iter().map(|id| format!("/deliveries/{id}"))) {
        let text = without_markup(&page(&server, &path));
        assert_eq!(strange(&text), None, "{path}: {text}");
    }
    let client = server.anyone();
    for path in ["/health", "/api/v1/apps"] {
        let answer = client.get(path).text();
        assert_eq!(strange(&answer), None, "{path}: {answer}");
    }
    let scrape = client.get("/metrics").text();
    let mut oldest = 0;
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(value >= 0.0, "{line}");
        if line.starts_with("handover_oldest_pending_seconds{") {
            assert!(value < 86_400.0, "{line}");
            oldest += 1;
        }
    }
    assert!(oldest > 0, "{scrape}");
}
