//! What is sent of what changes.

use crate::http::{Ask, read_chunk, read_head};
use crate::kit::{LONG, Server, Site};
use crate::visits::{browse, log_in, visit, with_session};
use handover_testkit::process::wait_for;
use serde_json::Value;
use std::io::BufReader;
use std::net::TcpStream;

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' }, bad: { run: 'exit 1', shell: true, retries: 0 } }";

struct Events(BufReader<TcpStream>);

impl Events {
    #[track_caller]
    fn follow(server: &Server, cookie: &str, page: &str) -> Self {
        let ask = with_session(Ask::get(format!("/pages/events?page={page}")), cookie);
        let mut reader = BufReader::new(ask.send(server.address));
        let head = read_head(&mut reader).unwrap();
        assert_eq!((head.status, head.media_type()), (200, "text/event-stream"), "{head:?}");
        Self(reader)
    }

    /// The next event that is one of these, with its JSON; none at the end.
    fn next(&mut self) -> Option<(String, Value)> {
        let piece = String::from_utf8(read_chunk(&mut self.0)?).unwrap();
        let (event, data) = piece.trim().split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        Some((event.strip_prefix("event: ").unwrap().to_owned(), data))
    }

    /// The next state.
    fn state(&mut self) -> Value {
        loop {
            let (event, data) = self.next().unwrap();
            if event == "state" {
                return data;
            }
        }
    }
}

#[test]
fn everything_comes_first_then_what_has_changed_alone() {
    let site = Site::new(APPS, "");
    let (read, submit) = (site.key(&["--scope", "read"]), site.key(&["--scope", "submit,read"]));
    let server = site.serve();
    let cookie = log_in(&server, &read);
    let mut flows = Events::follow(&server, &cookie, "flows");
    let mut other = Events::follow(&server, &cookie, "");
    let first = flows.state();
    let ids: Vec<&str> = first["ids"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(ids, ["pills", "numbers", "flow-others", "needs"]);
    assert_eq!(first["parts"].as_object().unwrap().len(), ids.len(), "all of it");
    let before = other.state();
    assert_eq!(before["parts"].as_object().unwrap().len(), 1, "above other pages are the pills alone");
    let client = server.client(&submit);
    client.ended(client.submit("bad", "x"));
    loop {
        let change = flows.state();
        assert!(change["parts"].as_object().unwrap().len() <= ids.len());
        if change["parts"]["pills"].as_str().is_some_and(|pills| pills.contains("1 failed")) {
            break;
        }
    }
    loop {
        if other.state()["changed"] != before["changed"] {
            break;
        }
    }
    // Whoever comes anew has all at once.
    let again = Events::follow(&server, &cookie, "flows").state();
    assert!(again["parts"]["needs"].as_str().unwrap().contains("exit code 1"), "{again:#}");
}

#[test]
fn who_may_no_longer_look_is_sent_away_and_so_are_all_at_the_end() {
    let site = Site::new(APPS, "");
    let (revoked, stays) = (site.key(&["--scope", "read"]), site.key(&["--scope", "read"]));
    let server = site.serve();
    let mut gone = Events::follow(&server, &log_in(&server, &revoked), "flows");
    let mut here = Events::follow(&server, &log_in(&server, &stays), "flows");
    gone.state();
    here.state();
    site.command(&["keys", "revoke", revoked.split('_').nth(1).unwrap()]);
    while gone.next().is_some() {}
    let (event, _) = here.next().unwrap();
    assert!(["state", "here"].contains(&event.as_str()));
    server.stop();
    while here.next().is_some() {}
}

#[test]
fn who_sees_one_app_is_told_of_it_alone() {
    let site = Site::new(APPS, "");
    let (one, submit) =
        (site.key(&["--scope", "read", "--app", "up"]), site.key(&["--scope", "submit,read"]));
    let server = site.serve();
    let client = server.client(&submit);
    client.ended(client.submit("bad", "x"));
    let mut events = Events::follow(&server, &log_in(&server, &one), "flows");
    let text = wait_for(LONG, "a state", || Some(events.state().to_string()));
    assert!(text.contains(">up<") && !text.contains("bad") && !text.contains("failed</a>"), "{text}");
}

#[test]
fn a_ledger_that_does_not_answer_has_a_page_that_says_so_until_it_does() {
    let postgres = handover_testkit::postgres::OwnPostgres::start();
    let site = Site::new(&format!("ledger: '{}'\n{APPS}", postgres.url("postgres")), "");
    let key = site.key(&["--scope", "read"]);
    let server = site.serve();
    let session = log_in(&server, &key);
    let look = |path: &str| visit(&server, &with_session(browse("GET", path), &session));
    let mut events = Events::follow(&server, &session, "flows");
    events.state();
    postgres.stop(true);
    let away =
        wait_for(LONG, "a page that says so", || Some(look("/")).filter(|answer| answer.status == 503));
    assert_eq!(away.media_type(), "text/html");
    assert!(away.text().contains("The ledger does not answer"), "{}", away.text());
    assert!(!away.text().contains("postgres://"), "where it is, is told to the log alone");
    assert_eq!(look("/checks").status, 200, "health says what is wrong");
    while events.next().unwrap().0 != "trouble" {}
    postgres.start_again();
    while events.next().unwrap().0 != "state" {}
    wait_for(LONG, "the page", || (look("/").status == 200).then_some(()));
}
