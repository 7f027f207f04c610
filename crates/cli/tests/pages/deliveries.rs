//! Deliveries, jobs, database and files as pages: who sees what, who may do what, and that nothing breaks a page.

use crate::http::Answer;
use crate::kit::{LONG, Server, Site};
use crate::visits::{browse, form, log_in, visit, with_session};
use handover_testkit::process::wait_for;
use serde_json::Value;

/// `bad` fails as long as there is no file `mended`.
const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' }, bad: { run: 'test -e mended || { cat >&2; exit 1; }', shell: true, retries: 0 } }";
const NASTY: &str = "<script>alert(1)</script>\u{1b}[2J\u{202e}gpj";

/// A project with a job of each app that has ended: the numbers of `up`'s and `bad`'s.
fn ended(site: &Site, server: &Server) -> (i64, i64) {
    let submit = server.client(&site.key(&["--scope", "submit,read"]));
    let (up, bad) = (submit.submit("up", "hello"), submit.submit("bad", NASTY));
    assert_eq!(submit.ended(up)["status"], "completed");
    assert_eq!(submit.ended(bad)["status"], "failed");
    (up, bad)
}

struct Looks<'a> {
    server: &'a Server,
    cookie: String,
}

impl<'a> Looks<'a> {
    fn with(site: &Site, server: &'a Server, words: &[&str]) -> Self {
        Self { server, cookie: log_in(server, &site.key(words)) }
    }

    fn get(&self, path: &str) -> Answer {
        visit(self.server, &with_session(browse("GET", path), &self.cookie))
    }

    fn post(&self, path: &str, fields: &str) -> Answer {
        visit(self.server, &with_session(form(path, fields), &self.cookie))
    }

    #[track_caller]
    fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }
}

fn status(site: &Site, id: i64) -> String {
    let shown: Value = serde_json::from_str(&site.command(&["show", "--json", &id.to_string()])).unwrap();
    shown["status"].as_str().unwrap().to_owned()
}

#[test]
fn whatever_a_program_says_is_text() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let (_, bad) = ended(&site, &server);
    let reader = Looks::with(&site, &server, &["--scope", "read"]);
    for path in [
        "/deliveries".to_owned(),
        "/jobs".to_owned(),
        format!("/deliveries/{bad}"),
        "/deliveries?q=alert&status=failed".to_owned(),
        "/deliveries?q=%3Cscript%3Ealert(2)%3C/script%3E".to_owned(),
    ] {
        let text = reader.text(&path);
        assert!(
            !text.contains("<script>") && !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{path}"
        );
    }
    let page = reader.text(&format!("/deliveries/{bad}"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;␛[2J⟨U+202E⟩gpj"), "{page}");
    // The whole text is plain, and no browser takes it for a page.
    let whole = reader.get(&format!("/deliveries/{bad}/text/stderr"));
    assert_eq!((whole.status, whole.media_type()), (200, "text/plain"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert!(whole.text().contains(NASTY));
}

#[test]
fn a_long_text_is_cut_with_a_way_to_see_all() {
    let site = Site::new("apps: { up: { run: 'cat' } }", "");
    let long = "x".repeat(10 << 20);
    let record = site.project.join("long.ndjson");
    std::fs::write(&record, format!("{{\"long\":\"{long}\"}}\n")).unwrap();
    site.command(&["push", "--accept-unknown", "--from", "a", "--to", "elsewhere", record.to_str().unwrap()]);
    let server = site.serve();
    let reader = Looks::with(&site, &server, &["--scope", "read"]);
    let list = reader.text("/deliveries?app=elsewhere");
    assert!(list.len() < 50_000, "{}", list.len());
    let page = reader.text("/deliveries/1");
    assert!(page.len() < 50_000 && page.contains("/deliveries/1/text/data"), "{}", page.len());
    assert!(reader.text("/deliveries/1/text/data").len() > long.len());
}

#[test]
fn an_action_is_asked_first_and_done_once_by_who_may() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let (up, bad) = ended(&site, &server);
    let reader = Looks::with(&site, &server, &["--scope", "read"]);
    let operator = Looks::with(&site, &server, &["--scope", "operate"]);
    assert!(!reader.text(&format!("/deliveries/{bad}")).contains("/retry"), "no button without the right");
    assert!(operator.text(&format!("/deliveries/{bad}")).contains("/retry"));
    let ask = format!("/deliveries/{bad}/retry");
    assert_eq!(reader.get(&ask).status, 403);
    assert_eq!(reader.post(&ask, "newest=9").status, 403);
    assert!(operator.text(&ask).contains("bad works on"), "what would happen");
    assert_eq!(status(&site, bad), "failed", "a question does nothing");
    std::fs::write(site.project.join("mended"), "").unwrap();
    let done = operator.post(&ask, "newest=9");
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(done.header("location"), Some(format!("/deliveries/{bad}?done=retry").as_str()));
    wait_for(LONG, "its end", || (status(&site, bad) == "completed").then_some(()));
    let again = operator.post(&ask, "newest=9");
    assert_eq!(again.status, 409, "it has not failed any more: {}", again.text());
    // A replay is made once for one question.
    let replay = format!("/deliveries/{up}/replay");
    let newest = bad.to_string();
    let first = operator.post(&replay, &format!("newest={newest}"));
    let second = operator.post(&replay, &format!("newest={newest}"));
    assert_eq!(first.status, 303);
    assert_eq!(first.header("location"), second.header("location"));
    let deeds: Value =
        serde_json::from_str(&site.command(&["audit", "--json", "--delivery", &up.to_string()])).unwrap();
    let by_page = |deed: &&Value| deed["via"] == "the page of deliveries";
    let deeds: Vec<&Value> = deeds["deeds"].as_array().unwrap().iter().filter(by_page).collect();
    assert_eq!((deeds.len(), deeds[0]["did"].as_str()), (1, Some("replay")), "once, as it was done once");
    assert!(deeds[0]["actor"].as_str().unwrap().starts_with("page:key:"), "{deeds:?}");
    let history = site.command(&["show", "--json", &bad.to_string()]);
    assert!(
        history.contains("\"actor\":\"page:key:") || history.contains("\"actor\": \"page:key:"),
        "{history}"
    );
    // What is archived from a page is named in the audit too.
    assert_eq!(operator.post(&format!("/deliveries/{up}/archive"), "newest=9").status, 303);
    assert_eq!(status(&site, up), "archived");
    assert_eq!(operator.post(&format!("/deliveries/{up}/cancel"), "newest=9").status, 409);
}

#[test]
fn all_that_fit_are_counted_then_retried() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let submit = server.client(&site.key(&["--scope", "submit,read"]));
    let jobs: Vec<i64> = (0..5).map(|_| submit.submit("bad", "x")).collect();
    for id in &jobs {
        assert_eq!(submit.ended(*id)["status"], "failed");
    }
    let operator = Looks::with(&site, &server, &["--scope", "operate"]);
    let ask = operator.text("/deliveries/all/retry?app=bad");
    assert!(ask.contains("<b>5</b> failed deliveries"), "{ask}");
    std::fs::write(site.project.join("mended"), "").unwrap();
    let newest = jobs.last().unwrap();
    let done = operator.post("/deliveries/all/retry", &format!("app=bad&newest={newest}"));
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("<b>5</b> wait again"), "{}", done.text());
    for id in &jobs {
        wait_for(LONG, "its end", || (status(&site, *id) == "completed").then_some(()));
    }
    let done = operator.post("/deliveries/all/retry", &format!("app=bad&newest={newest}"));
    assert!(done.text().contains("<b>0</b> wait again"), "{}", done.text());
    let replayed = operator.post("/deliveries/all/replay", &format!("app=bad&newest={newest}"));
    assert!(replayed.text().contains("<b>5</b> were run again"), "{}", replayed.text());
    let replays = || site.command(&["list", "--json", "--app", "bad"]).matches("\"replay_of\":").count();
    let count = replays();
    operator.post("/deliveries/all/replay", &format!("app=bad&newest={newest}"));
    assert_eq!(replays(), count, "the same question makes no others");
    let deeds: Value = serde_json::from_str(&site.command(&["audit", "--json"])).unwrap();
    let all: Vec<&Value> =
        deeds["deeds"].as_array().unwrap().iter().filter(|deed| deed["did"] == "replay all").collect();
    assert_eq!(all.len(), 1, "once for all of them: {deeds}");
    assert_eq!(
        (&all[0]["thing"], &all[0]["note"]),
        (&"deliveries of app bad".into(), &"5 deliveries replayed".into())
    );
    assert_eq!(
        (all[0]["delivery_id"].as_i64(), all[0]["last_id"].as_i64()),
        (jobs.first().copied(), jobs.last().copied())
    );
}

#[test]
fn what_was_replayed_needs_nobody_however_much_that_is() {
    let site = Site::new(&format!("health: {{ every: 1s }}\n{APPS}"), "");
    let server = site.serve();
    let submit = server.client(&site.key(&["--scope", "submit,read"]));
    let jobs: Vec<i64> = (0..210).map(|_| submit.submit("bad", "x")).collect();
    for id in &jobs {
        assert_eq!(submit.ended(*id)["status"], "failed");
    }
    let operator = Looks::with(&site, &server, &["--scope", "operate"]);
    let red = r#"class="pill bad" href="/deliveries?status=failed">210 failed"#;
    wait_for(LONG, "it is told", || operator.text("/").contains(red).then_some(()));
    assert!(operator.text("/").contains("/retry"));
    std::fs::write(site.project.join("mended"), "").unwrap();
    let newest = jobs.last().unwrap();
    let done = operator.post("/deliveries/all/replay", &format!("app=bad&newest={newest}"));
    assert!(done.text().contains("<b>210</b> were run again"), "{}", done.text());
    let health = wait_for(LONG, "nobody is asked to see to them", || {
        let checks = submit.get("/health").json()["checks"].as_array().unwrap().clone();
        checks
            .into_iter()
            .find(|check| check["name"] == "failed")
            .filter(|failed| failed["verdict"] == "pass")
    });
    assert_eq!(health["text"], "no failed delivery waits for anybody");
    let page =
        wait_for(LONG, "its alert ends", || Some(operator.text("/")).filter(|page| !page.contains(red)));
    assert!(page.contains("210 failed") && page.contains("Nothing: what failed was seen to"), "{page}");
}

/// Neither hides the other, and what is not shown is counted.
#[test]
fn what_is_wrong_is_not_pushed_out_by_what_failed() {
    let site = Site::new(&format!("health: {{ every: 1s, stuck: 1s }}\n{APPS}"), "");
    let server = site.serve();
    let submit = server.client(&site.key(&["--scope", "submit,read"]));
    site.command(&["pause", "up"]);
    for nth in 0..13 {
        submit.ended(submit.submit("bad", &format!("line {nth}")));
    }
    let reader = Looks::with(&site, &server, &["--scope", "read"]);
    let page = wait_for(LONG, "its alert", || {
        Some(reader.text("/")).filter(|page| page.contains("13 failed in all"))
    });
    assert!(page.contains("Nothing of it is worked on"), "the pause is older than all that failed: {page}");
}

#[test]
fn every_form_is_of_this_site() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let (up, bad) = ended(&site, &server);
    let cookie = log_in(&server, &site.key(&["--scope", "admin"]));
    let mut forms: Vec<String> = ["retry", "replay", "cancel", "archive", "restore"]
        .iter()
        .flat_map(|act| [format!("/deliveries/{bad}/{act}"), format!("/deliveries/{up}/{act}")])
        .collect();
    forms.extend(["/deliveries/all/retry", "/deliveries/all/replay"].map(str::to_owned));
    for path in forms {
        for site_header in ["cross-site", "same-site", "none"] {
            let ask = browse("POST", &path)
                .header("Sec-Fetch-Site", site_header)
                .body("application/x-www-form-urlencoded", "newest=9");
            assert_eq!(visit(&server, &with_session(ask, &cookie)).status, 403, "{path} {site_header}");
        }
        let bare = browse("POST", &path).body("application/x-www-form-urlencoded", "newest=9");
        assert_eq!(visit(&server, &with_session(bare, &cookie)).status, 403, "{path} of nobody");
    }
    assert_eq!((status(&site, up), status(&site, bad)), ("completed".into(), "failed".into()));
}

#[test]
fn a_key_of_one_app_sees_and_does_that_alone() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let (up, bad) = ended(&site, &server);
    let theirs = Looks::with(&site, &server, &["--scope", "operate", "--app", "up"]);
    let list = theirs.text("/deliveries");
    assert!(
        list.contains(&format!("/deliveries/{up}\"")) && !list.contains(&format!("/deliveries/{bad}\"")),
        "{list}"
    );
    let jobs = theirs.text("/jobs");
    assert!(!jobs.contains(&format!("/deliveries/{bad}\"")));
    assert_eq!(theirs.get("/deliveries?app=bad").status, 403);
    for path in [
        format!("/deliveries/{bad}"),
        format!("/deliveries/{bad}/retry"),
        format!("/deliveries/{bad}/text/stderr"),
    ] {
        assert_eq!(theirs.get(&path).status, 404, "{path}");
    }
    assert_eq!(theirs.post(&format!("/deliveries/{bad}/retry"), "newest=9").status, 404);
    let done = theirs.post("/deliveries/all/retry", "newest=9");
    assert!(done.text().contains("<b>0</b> wait again"), "{}", done.text());
    assert_eq!(status(&site, bad), "failed");
    let database = theirs.text("/database");
    assert!(!database.contains("ledger.db"), "where the ledger is, is for who sees all");
}

#[test]
fn what_is_not_there_is_not_found_and_what_is_not_understood_is_told() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let (up, _) = ended(&site, &server);
    let admin = Looks::with(&site, &server, &["--scope", "admin"]);
    for path in [
        "/deliveries/999999".to_owned(),
        "/deliveries/x".to_owned(),
        "/deliveries/-1".to_owned(),
        format!("/deliveries/{up}/explode"),
        format!("/deliveries/{up}/file"),
        format!("/deliveries/{up}/text/nothing"),
        "/deliveries/all/cancel".to_owned(),
        "/files?at=../..".to_owned(),
        "/files?at=/etc".to_owned(),
        "/files?at=.handover".to_owned(),
        "/files?at=imports/../.handover/tmp".to_owned(),
    ] {
        assert_eq!(admin.get(&path).status, 404, "{path}");
    }
    for path in [
        "/deliveries?status=odd",
        "/deliveries?since=tomorrowish",
        "/deliveries?before=x",
        "/deliveries?kind=q",
    ] {
        let answer = admin.get(path);
        assert_eq!((answer.status, answer.media_type()), (400, "text/html"), "{path}");
    }
    assert_eq!(admin.post(&format!("/deliveries/{up}/replay"), "").status, 400);
    assert_eq!(admin.post("/deliveries/all/retry", "app=up").status, 400);
    for path in ["/deliveries", "/jobs", "/database", "/files"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_search_finds_by_number_status_and_text() {
    let site = Site::new(APPS, "");
    let server = site.serve();
    let (up, bad) = ended(&site, &server);
    let reader = Looks::with(&site, &server, &["--scope", "read"]);
    let link = |id: i64| format!("href=\"/deliveries/{id}\"");
    let by_number = reader.text(&format!("/deliveries?q={up}"));
    assert!(by_number.contains("very name or number") && by_number.contains(&link(up)), "{by_number}");
    let failed = reader.text("/deliveries?status=failed");
    assert!(failed.contains(&link(bad)) && !failed.contains(&link(up)));
    let text = reader.text("/deliveries?q=ALERT(1)");
    assert!(text.contains(&link(bad)) && !text.contains(&link(up)));
    let none = reader.text("/deliveries?until=3+days");
    assert!(none.contains("There are no deliveries like that"), "{none}");
    let all = reader.text("/deliveries?since=1h&until=0s");
    assert!(all.contains(&link(bad)) && all.contains(&link(up)), "{all}");
}
