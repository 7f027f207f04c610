//! What the commands that look say of service apps.

use crate::kit::{LONG, Site, configuration};
use handover_testkit::{Asked, Reply};

fn ill(asked: &Asked) -> Reply {
    Reply::new(if asked.target == "/health" { 500 } else { 200 }, "")
}

#[test]
fn check_status_and_a_dry_run_know_it() {
    let site = Site::new(", versions: { v2: 'http://127.0.0.1:9' }, health: /health", ill);
    let checked = site.prints(&["check"]);
    let url = site.server.url();
    assert!(checked.contains("is fine") && checked.contains("in -> bill -> out"), "{checked}");
    assert!(
        checked.contains(&format!("bill: {url}")) && checked.contains("bill/v2: http://127.0.0.1:9/"),
        "{checked}"
    );
    let json = site.json(&["check"]);
    assert_eq!(json["apps"][1]["service"][1]["version"], "v2", "{json}");
    assert_eq!(json["flows"][0]["links"][0]["by"], "api", "{json}");
    assert!(site.prints(&["status"]).contains("bill"));
    site.project.arrive("incoming/a.csv", "n\n1\n");
    let planned = site.prints(&["run", "--dry-run"]);
    assert!(planned.contains("in -> bill -> out") || planned.contains("a.csv"), "{planned}");
    let health = site.json(&["health"]);
    let services =
        health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "services").unwrap();
    let text = services["text"].as_str().unwrap();
    assert_eq!(services["verdict"], "warn", "{health}");
    assert!(text.contains("it answered 500") && text.contains("2 of 2 upstreams are not well"), "{text}");
}

#[test]
fn a_service_that_is_well_passes_and_one_alone_can_be_worked_for() {
    let site = Site::new("", |asked| Reply::of("text/plain", asked.text()));
    let health = site.json(&["health"]);
    let services =
        health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "services").unwrap();
    assert_eq!(services["verdict"], "pass", "{health}");
    site.project.write("a.txt", "words");
    site.prints(&["put", "a.txt", "--app", "in", "--type", "note", "--next", "bill"]);
    let waits = site.prints(&["why", "1"]);
    assert!(waits.contains("bill"), "{waits}");
    site.prints(&["work", "bill", "--once"]);
    assert_eq!(site.server.asked()[0].text(), "words");
    assert_eq!(site.deliveries("bill")[0]["status"], "completed");
}

#[test]
fn files_of_tls_that_will_not_do_are_said_and_nothing_starts() {
    let site = Site::new("", |_| Reply::new(200, ""));
    let secure =
        configuration("https://127.0.0.1:1", ", tls: { ca: certs/none.pem }", "", "in -> bill -> out");
    site.project.write("handover.yaml", secure);
    for words in [&["check"][..], &["run", "--once"]] {
        let mut run = site.project.start(words);
        let code = run.end_within(LONG).code();
        let said = format!("{}{}", run.stdout(), run.stderr());
        assert!(said.contains("certs/none.pem` cannot be read as certificates"), "{words:?}: {said}");
        assert_eq!(code, Some(2), "{words:?}: {said}");
    }
    assert!(site.prints(&["status"]).contains("bill"), "what only looks needs no certificates");
}
