//! How things grow, as the pages of the database and the files show it.

use crate::http::Answer;
use crate::kit::{Server, Site};
use crate::visits::{browse, log_in, visit, with_session};

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' } }";
const NASTY: &str = "x<script>alert(1)</script>\u{202e}gpj";

/// A project whose sizes were measured every hour, so many times until now: its disk, of 10 GB, has 10 MB less each hour, and a folder
/// 1 MB more.
fn measured(hours: u32) -> Site {
    let site = Site::new(APPS, "");
    site.command(&["run", "--once"]);
    let ledger = rusqlite::Connection::open(site.project.join("data/.handover/ledger.db")).unwrap();
    ledger.execute("DELETE FROM sizes", []).unwrap();
    let whats = [
        ("disk:free", "1000000000 + 10000000 * hour", "NULL"),
        ("disk:total", "10000000000", "NULL"),
        ("folder:imports", "1000000 * (1000 - hour)", "1000 - hour"),
        (&format!("folder:{NASTY}"), "1", "1"),
        ("ledger", "500000 - hour", "NULL"),
        ("staging", "0", "2000 - hour"),
        ("archived", "0", "12345"),
    ];
    for (what, bytes, entries) in whats {
        let query = format!(
            "WITH RECURSIVE hours (hour) AS (SELECT 0 UNION ALL SELECT hour + 1 FROM hours WHERE hour + 1 < {hours}) \
             INSERT OR REPLACE INTO sizes \
             SELECT ?1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || hour || ' hours'), {bytes}, {entries} FROM hours"
        );
        ledger.execute(&query, [what]).unwrap();
    }
    site
}

fn page(server: &Server, cookie: &str, path: &str) -> String {
    let answer: Answer = visit(server, &with_session(browse("GET", path), cookie));
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

#[test]
fn how_things_grow_is_drawn_and_said() {
    let site = measured(168);
    let (all, theirs) = (site.key(&["--scope", "read"]), site.key(&["--scope", "read", "--app", "up"]));
    let server = site.serve();
    let (all, theirs) = (log_in(&server, &all), log_in(&server, &theirs));
    let (files, database) = (page(&server, &all, "/files"), page(&server, &all, "/database"));
    for said in [
        "1.0 GB</b> of 10.0 GB are free",
        "240.0 MB more a day: full in 4d",
        "aria-label=\"used of the disk over 7 days: from 7.3 GB to 9.0 GB of 10.0 GB\"",
        ">imports<",
        "1,000 files",
        "+24.0 MB",
        "aria-label=\"imports over 7 days: from 833.0 MB to 1.0 GB\"",
        "x&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩gpj",
    ] {
        assert!(files.contains(said), "no {said}: {files}");
    }
    for said in [">the whole ledger<", "500.0 kB", "+24 B", ">2,000<", "+24<", ">12,345<", "no change"] {
        assert!(database.contains(said), "no {said}: {database}");
    }
    for text in [&files, &database] {
        assert!(text.matches("<path d=\"M").count() >= 3, "{text}");
        assert!(
            !text.contains(" style=") && !text.contains("<script>") && !text.contains('\u{202e}'),
            "{text}"
        );
        assert!(!text.contains("too little history"), "{text}");
    }
    for path in ["/files", "/database"] {
        assert!(
            !page(&server, &theirs, path).contains("Growth"),
            "{path} tells it to who sees some apps alone"
        );
    }
}

#[test]
fn too_little_history_is_said() {
    let site = measured(3);
    let key = site.key(&["--scope", "read"]);
    let server = site.serve();
    let cookie = log_in(&server, &key);
    let (files, database) = (page(&server, &cookie, "/files"), page(&server, &cookie, "/database"));
    assert!(files.contains("too little history to tell when it fills up"), "{files}");
    assert!(files.contains("too little history</span>") && database.contains("too little history</span>"));
}
