//! Files and records that go through a service.

use crate::kit::Site;
use handover_testkit::process::wait_for;
use handover_testkit::{Asked, HttpServer, Reply, files_below};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn upper(asked: &Asked) -> Reply {
    Reply::of("text/csv; charset=utf-8", asked.text().to_uppercase())
}

#[test]
fn a_file_is_posted_and_its_answer_goes_on() {
    let site = Site::new(", post: /in", upper);
    site.project.arrive("incoming/a_2025-11-24.csv", "n,name\n1,anna\n2,ben\n");
    assert_eq!(site.once(), 0);
    let asked = site.server.asked();
    assert_eq!(asked.len(), 1);
    let one = &asked[0];
    assert_eq!((one.method.as_str(), one.target.as_str()), ("POST", "/in"));
    assert_eq!(one.text(), "n,name\n1,anna\n2,ben\n");
    let id = site.deliveries("bill")[0]["id"].as_i64().unwrap();
    let header = |name: &str| one.header(name).unwrap_or_else(|| panic!("{name}: {one:?}"));
    assert_eq!((header("content-type"), header("x-handover-type")), ("text/csv", "sales"));
    assert_eq!((header("x-handover-date"), header("x-handover-sequence")), ("2025-11-24", "001"));
    assert_eq!((header("accept-encoding"), header("user-agent")), ("identity", "handover"));
    assert_eq!((header("x-handover-app"), header("x-handover-attempt")), ("bill", "1"));
    assert_eq!(header("x-handover-delivery"), id.to_string());
    let key = header("idempotency-key");
    assert!(key.starts_with("handover-") && key.ends_with(&format!("-{id}")), "{key}");
    assert_eq!(site.exported()[0].1, "N,NAME\n1,ANNA\n2,BEN\n");
    assert_eq!(site.made(), ["bill_sales_2025-11-24_001.csv"]);
    let shown = site.json(&["show", &id.to_string()]);
    let text = shown.to_string();
    assert!(text.contains("\"rows_out\":2") && text.contains("\"rows_in\":2"), "{text}");
    let account = site.json(&["status", "--rows", "f"]);
    assert_eq!(account["steps"][1]["done"], 2, "{account}");
}

#[test]
fn the_extension_is_the_apps_or_the_answers_and_nothing_is_no_output() {
    let answer = |asked: &Asked| match asked.text().as_str() {
        "none" => Reply::new(204, ""),
        "empty" => Reply::new(200, ""),
        _ => Reply::of("application/json", "{\"ok\":true}"),
    };
    let site = Site::new("", answer);
    for text in ["none", "empty", "text"] {
        site.project.arrive(format!("incoming/{text}.txt"), text);
    }
    assert_eq!(site.once(), 0);
    let exported = site.exported();
    assert_eq!(exported.len(), 1, "{exported:?}");
    assert!(exported[0].0.ends_with(".json") && exported[0].1 == "{\"ok\":true}", "{exported:?}");
    let site = Site::new(", ext: dat, type: billed", answer);
    site.project.arrive("incoming/a.txt", "text");
    assert_eq!(site.once(), 0);
    let made = site.made().concat();
    assert!(made.starts_with("bill_billed_") && made.ends_with(".dat"), "{made}");
}

#[test]
fn a_large_file_goes_both_ways_in_pieces() {
    let site = Site::new("", upper);
    let line = "some words that fill a line, so that the file is a large one\n";
    let content = line.repeat(200_000);
    site.project.arrive("incoming/large.txt", &content);
    assert_eq!(site.once(), 0);
    assert_eq!(site.server.asked()[0].header("content-length"), Some(content.len().to_string().as_str()));
    let exported = site.exported();
    assert!(exported[0].1 == content.to_uppercase(), "{} of {} bytes", exported[0].1.len(), content.len());
}

#[test]
fn records_are_posted_one_by_one() {
    let double = |asked: &Asked| {
        let record: Value = serde_json::from_slice(&asked.body).unwrap();
        match record["n"].as_u64().unwrap() {
            1 => Reply::new(204, ""),
            2 => Reply::of("application/x-ndjson", "{\"n\":20}\n{\"n\":21}\n"),
            3 => Reply::of("text/plain", "no json"),
            n => Reply::of("application/json", json!({ "n": 10 * n }).to_string()),
        }
    };
    let flow = "[ { from: in, to: line, by: database }, { from: line, to: bill }, { from: bill, to: out } ]";
    let apps = "  line: { run: \"python3 -uc 'import sys,json\\nfor l in sys.stdin:\\n r=json.loads(l); print(json.dumps(dict(id=r[\\\"id\\\"],status=\\\"completed\\\",data=r[\\\"data\\\"])))'\", mode: stream }";
    let site = Site::with(", retries: 0", apps, flow, double);
    site.project.arrive("incoming/n.ndjson", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
    assert_eq!(site.once(), 1, "the third answer is no JSON");
    let asked = site.server.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked.iter().all(|one| one.header("content-type") == Some("application/json")));
    let mut all: Vec<u64> = Vec::new();
    for (_, text) in site.exported() {
        all.extend(text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["n"].as_u64().unwrap()));
    }
    all.sort_unstable();
    assert_eq!(all, [20, 21, 40]);
    let failed = site.json(&["list", "--app", "bill", "--status", "failed"]).to_string();
    assert!(failed.contains("is no JSON"), "{failed}");
}

/// Killed while a service works on a delivery: it is posted again under the same key, and goes on once.
#[test]
fn a_killed_runtime_posts_again_with_the_same_key() {
    let slow = Arc::new(AtomicBool::new(true));
    let is_slow = slow.clone();
    let site = Site::new("", move |asked| match is_slow.load(Ordering::SeqCst) {
        true => Reply::After(Duration::from_secs(600), Box::new(Reply::Nothing)),
        false => upper(asked),
    });
    site.project.arrive("incoming/a.csv", "n\n1\n");
    let mut run = site.run();
    wait_for(crate::kit::LONG, "a call", || (!site.server.asked().is_empty()).then_some(()));
    run.signal(Signal::KILL);
    run.end_within(crate::kit::LONG);
    slow.store(false, Ordering::SeqCst);
    assert_eq!(site.once(), 0);
    let asked = site.server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));
    assert_eq!(asked[0].text(), asked[1].text());
    let exported = site.exported();
    assert_eq!((exported.len(), exported[0].1.as_str()), (1, "N\n1\n"));
    assert_eq!(files_below(&site.project.join("data/.handover/tmp")), Vec::<std::path::PathBuf>::new());
}

/// SIGTERM: what a service does not answer in time is given back.
#[test]
fn a_stop_ends_calls_and_gives_them_back() {
    let site = Site::new("", |_| Reply::After(Duration::from_secs(600), Box::new(Reply::Nothing)));
    site.project.arrive("incoming/a.csv", "n\n1\n");
    let mut run = site.run();
    wait_for(crate::kit::LONG, "a call", || (!site.server.asked().is_empty()).then_some(()));
    run.signal(Signal::TERM);
    assert!(run.end_within(crate::kit::LONG).success(), "{}", run.stderr());
    let delivery = &site.deliveries("bill")[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("pending"), &json!(0)), "{delivery}");
}

#[test]
fn a_call_that_is_cancelled_is_broken_off() {
    let site = Site::new("", |_| Reply::After(Duration::from_secs(600), Box::new(Reply::Nothing)));
    site.project.arrive("incoming/a.csv", "n\n1\n");
    let run = site.run();
    wait_for(crate::kit::LONG, "a call", || (!site.server.asked().is_empty()).then_some(()));
    let id = site.deliveries("bill")[0]["id"].to_string();
    site.prints(&["cancel", &id]);
    let failed = wait_for(crate::kit::LONG, "its end", || {
        Some(site.deliveries("bill").remove(0)).filter(|one| one["status"] == "failed")
    });
    assert!(failed.to_string().contains("cancelled by"), "{failed}");
    assert_eq!(site.server.asked().len(), 1);
    drop(run);
}

#[test]
fn a_reload_sends_what_comes_next_to_another_address() {
    let site = Site::new("", upper);
    let other = HttpServer::start(|asked| Reply::of("text/csv", format!("other,{}", asked.text())));
    let mut run = site.run();
    site.project.arrive("incoming/first.csv", "n\n1\n");
    site.exports();
    site.project.write("handover.yaml", crate::kit::configuration(&other.url(), "", "", "in -> bill -> out"));
    run.signal(Signal::HUP);
    run.says_within(crate::kit::LONG, "read anew");
    // What the old configuration has begun with goes where it said.
    let mut nth = 0;
    wait_for(crate::kit::LONG, "a call of the other", || {
        nth += 1;
        site.project.arrive(format!("incoming/more-{nth}.csv"), format!("n\n{nth}\n"));
        (!other.asked().is_empty()).then_some(())
    });
}

#[test]
fn a_service_that_is_not_there_costs_no_attempt_and_is_waited_for() {
    let site = Site::new("", upper);
    let address = site.server.address();
    let Site { project, server } = site;
    drop(server);
    project.arrive("incoming/a.csv", "n\n1\n");
    let mut once = project.start(&["run", "--once", "-v"]);
    assert!(once.end_within(crate::kit::LONG).success(), "{}", once.stderr());
    let site = Site { project, server: HttpServer::at(address, upper) };
    let waits = &site.deliveries("bill")[0];
    assert_eq!((&waits["status"], &waits["attempts"]), (&json!("pending"), &json!(0)), "{waits}");
    let run = site.run();
    assert_eq!(site.exports()[0].1, "N\n1\n");
    drop(run);
}
