//! Who is told: what fails and that it has ended, in one message, until it was delivered, by one of many processes.

use crate::{BOUND, failed_ids, json, project, run, until};
use handover_testkit::process::wait_for;
use handover_testkit::{HttpServer, MailServer, Reply, TemporaryPostgres};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};

const QUICK: &str = "health: { every: 200ms }\n";

/// The messages so far, and their alerts as `says kind app`.
fn heard(server: &HttpServer) -> Vec<Vec<String>> {
    let alerts = |body: &Value| {
        let word = |alert: &Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
        let alerts = body["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().map(|a| format!("{} {} {}", word(a, "says"), word(a, "kind"), word(a, "app"))).collect()
    };
    server.asked().iter().map(|asked| alerts(&serde_json::from_slice(&asked.body).unwrap())).collect()
}

#[test]
fn a_failure_is_told_in_one_message_and_so_is_its_end() {
    let server = HttpServer::start(|_| Reply::new(204, ""));
    let project = project(&format!(
        "{QUICK}notify: [ {{ webhook: \"{}/hook?token=geheim\", headers: {{ X-Token: verysecret }}, \
         secret: whsec_c2VjcmV0, on: [failed, recovered], group: 1s, link: \"https://h.example\" }} ]",
        server.url()
    ));
    for n in 0..3 {
        project.arrive(format!("in/{n}.csv"), format!("a\nbad {n}\n"));
    }
    let running = project.start(&["run"]);
    wait_for(BOUND, "a message", || (!heard(&server).is_empty()).then_some(()));
    let first = &server.asked()[0];
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(heard(&server)[0], ["raised failed picky"]);
    assert!(
        body["alerts"][0]["link"].as_str().unwrap().starts_with("https://h.example/deliveries/"),
        "{body}"
    );
    assert!(body["alerts"][0]["todo"].as_str().unwrap().starts_with("handover why "), "{body}");
    assert_eq!(first.header("x-token"), Some("verysecret"));
    assert!(first.header("webhook-signature").unwrap().starts_with("v1,"));
    // It is in the list, with when somebody was told.
    let alerts = json(&project, &["alerts", "--json"]);
    assert!(alerts["alerts"][0]["told_at"].is_string(), "{alerts}");
    // Once they are seen to, that is told.
    for id in failed_ids(&project) {
        run(&project, &["archive", &id]);
    }
    wait_for(BOUND, "the end is told", || {
        heard(&server).iter().flatten().any(|line| line == "recovered failed picky").then_some(())
    });
    let raised = heard(&server).iter().flatten().filter(|line| line.starts_with("raised")).count();
    assert_eq!(raised, 1, "{:?}", heard(&server));
    let said = running.stderr();
    assert!(!said.contains("geheim") && !said.contains("verysecret") && !said.contains("c2VjcmV0"), "{said}");
}

#[test]
fn what_is_not_taken_is_tried_again_and_health_says_so_without_the_address() {
    let asked = AtomicUsize::new(0);
    let server = HttpServer::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, "come \u{1b}[31mlater"),
        _ => Reply::new(200, "ok"),
    });
    let project = project(&format!(
        "{QUICK}notify: [ {{ slack: \"{}/services/T0/geheim\", on: [failed], group: 0s }} ]",
        server.url()
    ));
    project.arrive("in/a.csv", "a\nbad\n");
    let _running = project.start(&["run"]);
    let text = until(&project, &["health", "--json"], "health says it", |seen| {
        let checks = seen["checks"].as_array()?.iter();
        let mut notices = checks.filter(|check| check["name"] == "notices" && check["verdict"] == "warn");
        notices.next()?["text"].as_str().map(str::to_owned)
    });
    assert!(text.contains("503") && !text.contains("geheim") && !text.contains('\u{1b}'), "{text}");
    wait_for(BOUND, "it is tried again", || (server.asked().len() > 1).then_some(()));
    let [first, second] = [0, 1].map(|n| server.asked()[n].clone());
    assert_eq!((first.header("webhook-id"), first.text()), (second.header("webhook-id"), second.text()));
    until(&project, &["health", "--json"], "it is well again", |seen| {
        let checks = seen["checks"].as_array()?.iter();
        checks.filter(|check| check["name"] == "notices" && check["verdict"] == "pass").map(|_| ()).next()
    });
}

#[test]
fn a_run_that_ends_tells_by_mail_and_by_command_before_it_does() {
    let server = MailServer::start();
    let project = project(&format!(
        "notify:\n  - {{ smtp: \"smtp://ops:p%40ss@{}\", from: handover@example.com, to: [a@example.com, b@example.com] }}\n  \
         - {{ command: \"tee told.json\" }}\n  - {{ command: \"cp /dev/stdin told-too.json\" }}",
        server.address()
    ));
    project.arrive("in/a.csv", "a\nbad\n");
    assert_eq!(run(&project, &["run", "--once"]).0, 1);
    let mails = server.mails();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((mail.from.as_str(), mail.to.len()), ("handover@example.com", 2));
    // ops and p@ss, as AUTH PLAIN has them.
    assert_eq!(mail.login, "AUTH PLAIN AG9wcwBwQHNz");
    assert!(mail.lines.iter().any(|line| line == "Content-Transfer-Encoding: base64"), "{mail:?}");
    let told: Value = serde_json::from_slice(&std::fs::read(project.join("told-too.json")).unwrap()).unwrap();
    assert_eq!((told["event"].as_str(), told["target"].as_str()), (Some("alerts"), Some("command-2")));
    // Another run has nothing new to tell.
    assert_eq!(run(&project, &["run", "--once"]).0, 0);
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn of_two_processes_on_one_server_one_tells() {
    let postgres = TemporaryPostgres::new();
    let server = HttpServer::start(|_| Reply::new(200, ""));
    let project = project(&format!(
        "{QUICK}ledger: {}\nnotify: [ {{ webhook: \"{}/\", on: [failed, recovered], group: 500ms }} ]",
        postgres.url(),
        server.url()
    ));
    let _both = [project.start(&["run"]), project.start(&["run"])];
    for n in 0..6 {
        project.arrive(format!("in/{n}.csv"), format!("a\nbad {n}\n"));
    }
    wait_for(BOUND, "a message", || (!heard(&server).is_empty()).then_some(()));
    let count = |seen: &Value| seen["alerts"].as_array()?.first()?["count"].as_u64();
    until(&project, &["alerts", "--json"], "all have failed", |seen| (count(seen)? == 6).then_some(()));
    for id in failed_ids(&project) {
        run(&project, &["archive", &id]);
    }
    wait_for(BOUND, "the end is told", || {
        heard(&server).iter().flatten().any(|line| line == "recovered failed picky").then_some(())
    });
    let mut all: Vec<String> = heard(&server).concat();
    all.sort();
    assert_eq!(all, ["raised failed picky", "recovered failed picky"]);
}

#[test]
fn a_muted_alert_is_told_to_nobody() {
    let server = HttpServer::start(|_| Reply::new(200, ""));
    let project =
        project(&format!("{QUICK}notify: [ {{ webhook: \"{}/\", on: [failed], group: 4s }} ]", server.url()));
    project.arrive("in/a.csv", "a\nbad\n");
    let _running = project.start(&["run"]);
    until(&project, &["alerts", "--json"], "it is an alert", |seen| {
        seen["alerts"].as_array()?.first().map(|_| ())
    });
    assert_eq!(run(&project, &["alerts", "mute", "failed:picky", "--for", "1h"]).0, 0);
    assert_eq!(run(&project, &["alerts", "mute", "failed:nobody"]).0, 1);
    let list = run(&project, &["alerts"]).1;
    assert!(list.contains("muted until"), "{list}");
    // What is unmuted is told, and nothing was before.
    assert_eq!(server.asked().len(), 0);
    assert_eq!(run(&project, &["alerts", "unmute", "failed:picky"]).0, 0);
    wait_for(BOUND, "a message", || (!server.asked().is_empty()).then_some(()));
    let deeds = json(&project, &["audit", "--json"]);
    let did: Vec<&str> =
        deeds["deeds"].as_array().unwrap().iter().filter_map(|d| d["did"].as_str()).collect();
    assert_eq!(did, ["unmute", "mute"]);
}
