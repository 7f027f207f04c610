//! What /metrics says, held against the ledger.

use crate::http::Ask;
use crate::kit::{LONG, OPEN, Site};
use handover_testkit::process::wait_for;
use serde_json::json;
use std::collections::BTreeMap;

const APPS: &str = "apps:
  file-importer: { uses: file-importer, with: { from: ./incoming, pattern: '*.csv', type: sales } }
  upper: { run: 'tr a-z A-Z' }
  bad: { run: \"sh -c 'exit 65'\" }
flows:
  sales: file-importer -> upper
unknown_apps: accept
";

/// The samples of a scrape, by name with labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        })
        .collect()
}

fn flow(site: Site) {
    for n in 0..3 {
        site.project.arrive(format!("incoming/{n}.csv"), format!("id,name\n{n},a\n{n},b\n"));
    }
    let reader = site.key(&["--scope", "read", "--scope", "submit"]);
    let server = site.serve();
    let client = server.client(&reader);
    client.ask(Ask::new("POST", "/api/v1/jobs").json(&json!({ "app": "bad" })));
    client.ask(
        Ask::new("POST", "/api/v1/staging/nobody-declared").body("application/x-ndjson", "{\"a\":1}\n{}\n"),
    );
    let scrape = || samples(&client.get("/metrics").text());
    let said = wait_for(LONG, "all that ended is counted", || {
        let said = scrape();
        let is = |name: &str, count: f64| said.get(name) == Some(&count);
        (is("handover_delivery_latency_seconds_count{app=\"upper\",kind=\"file\"}", 3.0)
            && is("handover_attempts_total{app=\"bad\",kind=\"job\",outcome=\"failed\"}", 1.0))
        .then_some(said)
    });
    for (name, value) in [
        ("handover_deliveries_total{app=\"file-importer\",kind=\"file\",status=\"completed\"}", 3.0),
        ("handover_deliveries_total{app=\"upper\",kind=\"file\",status=\"pending\"}", 3.0),
        ("handover_deliveries_total{app=\"upper\",kind=\"file\",status=\"completed\"}", 3.0),
        ("handover_deliveries_total{app=\"bad\",kind=\"job\",status=\"failed\"}", 1.0),
        ("handover_queue_depth{app=\"upper\",kind=\"file\",status=\"completed\"}", 3.0),
        ("handover_queue_depth{app=\"upper\",kind=\"file\",status=\"pending\"}", 0.0),
        ("handover_queue_depth{app=\"(other)\",kind=\"record\",status=\"pending\"}", 2.0),
        ("handover_rows_total{app=\"file-importer\",outcome=\"out\"}", 6.0),
        ("handover_rows_total{app=\"file-importer\",outcome=\"rejected\"}", 0.0),
        ("handover_delivery_latency_seconds_bucket{app=\"upper\",kind=\"file\",le=\"+Inf\"}", 3.0),
        ("handover_bytes_total{app=\"file-importer\"}", 48.0),
        ("handover_staging_rows", 2.0),
        ("handover_ledger_up", 1.0),
        ("handover_app_paused{app=\"upper\"}", 0.0),
        ("handover_link_info{flow=\"sales\",from=\"file-importer\",to=\"upper\",by=\"file\"}", 1.0),
        ("handover_api_requests_total{method=\"POST\",route=\"/api/v1/jobs\",code=\"2xx\"}", 1.0),
    ] {
        assert_eq!(said.get(name), Some(&value), "{name} of {said:#?}");
    }
    for there in ["process_resident_memory_bytes", "handover_staging_bytes", "handover_disk_free_bytes"] {
        assert!(said[there] > 0.0, "{there}");
    }
    assert!(
        said.keys().all(|name| !name.contains("nobody-declared")),
        "an app that nobody declared is no label"
    );
    // After a restart nothing has fallen.
    drop(server);
    let server = site.serve();
    let again = samples(&server.client(&reader).get("/metrics").text());
    for (name, value) in said.iter().filter(|(name, _)| name.starts_with("handover_deliver")) {
        assert!(
            again.get(name).is_some_and(|now| now >= value),
            "{name}: {value}, and then {:?}",
            again.get(name)
        );
    }
}

#[test]
fn the_counters_are_the_ledger_s() {
    flow(Site::new(APPS, ""));
}

#[test]
fn the_counters_are_the_ledger_s_on_a_server() {
    flow(Site::on_a_server(APPS, ""));
}

#[test]
fn who_may_read_and_how_it_is_written() {
    let site = Site::new(APPS, "");
    let (reader, of_one) = (site.key(&["--scope", "read"]), site.key(&["--scope", "read", "--app", "upper"]));
    let submits = site.key(&["--scope", "submit"]);
    let server = site.serve();
    assert_eq!(server.anyone().get("/metrics").status, 401);
    assert_eq!(server.client(&of_one).get("/metrics").status, 403);
    assert_eq!(server.client(&submits).get("/metrics").status, 403);
    let plain = server.client(&reader).get("/metrics");
    assert_eq!(
        (plain.status, plain.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let ask = Ask::get("/metrics")
        .header("accept", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5");
    let open = server.client(&reader).ask(ask);
    assert!(open.header("content-type").is_some_and(|said| said.starts_with("application/openmetrics-text")));
    assert!(open.text().ends_with("# EOF\n") && !plain.text().contains("# EOF"));
}

#[test]
fn open_metrics_need_no_key_and_nothing_else_does_not() {
    let server = Site::new(APPS, "metrics: open").serve();
    assert_eq!(server.anyone().get("/metrics").status, 200);
    assert_eq!(server.anyone().get("/health").status, 401);
}

#[test]
fn switched_off_what_the_ledger_keeps_is_said_nevertheless() {
    let site = Site::new(&format!("{APPS}metrics: false\n"), OPEN);
    site.project.arrive("incoming/a.csv", "id\n1\n");
    let server = site.serve();
    let completed = "handover_deliveries_total{app=\"upper\",kind=\"file\",status=\"completed\"}";
    let said = wait_for(LONG, "the file is through", || {
        let said = samples(&server.anyone().get("/metrics").text());
        (said.get(completed) == Some(&1.0)).then_some(said)
    });
    assert!(said.keys().all(|name| !name.starts_with("handover_rows_total")));
}

#[test]
fn a_ledger_that_is_down_leaves_what_the_process_knows() {
    let site = Site::on_a_server(APPS, "metrics: open");
    let server = site.serve();
    let scrape = || samples(&server.anyone().get("/metrics").text());
    assert_eq!(scrape()["handover_ledger_up"], 1.0);
    site.lose_the_server();
    let said = wait_for(LONG, "it is known to be down", || {
        let said = scrape();
        (said["handover_ledger_up"] == 0.0).then_some(said)
    });
    assert!(said["process_resident_memory_bytes"] > 0.0);
    assert!(said.keys().all(|name| !name.starts_with("handover_deliveries_total")));
}

/// That is when it is asked most: who was known before is told that the ledger is down, not that nobody knows them.
#[test]
fn with_a_key_too_a_ledger_that_is_down_is_told() {
    let site = Site::on_a_server(APPS, "");
    let reader = site.key(&["--scope", "read"]);
    let server = site.serve();
    let client = server.client(&reader);
    assert_eq!(samples(&client.get("/metrics").text())["handover_ledger_up"], 1.0);
    site.lose_the_server();
    let said = wait_for(LONG, "it is known to be down", || {
        let answer = client.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = samples(&answer.text());
        (said["handover_ledger_up"] == 0.0).then_some(said)
    });
    assert!(said["process_resident_memory_bytes"] > 0.0);
    let health =
        wait_for(LONG, "health knows it", || Some(client.get("/health")).filter(|one| one.status == 503));
    assert_eq!(
        (&health.json()["checks"][0]["name"], &health.json()["verdict"]),
        (&json!("ledger"), &json!("fail"))
    );
    assert_eq!(client.get("/api/v2/deliveries").status, 503, "whose it is to see, the ledger alone says");
    let unknown = server.client("ho_0000000000_00000000000000000000000000000000");
    assert_eq!(unknown.get("/health").status, 503, "who was not known before is not let in");
}

#[test]
fn a_ledger_whose_file_was_removed_is_not_well() {
    let site = Site::new(APPS, "");
    let reader = site.key(&["--scope", "read"]);
    let server = site.serve();
    std::fs::remove_file(site.project.join("data/.handover/ledger.db")).unwrap();
    // The look that was made at the start tells for a few seconds.
    let ledger = wait_for(LONG, "a look that finds the ledger gone", || {
        let health = server.client(&reader).get("/health");
        let ledger = health.json()["checks"][0].clone();
        (health.status == 503 && ledger["verdict"] == json!("fail")).then_some(ledger)
    });
    assert_eq!(ledger["name"], json!("ledger"));
    assert!(ledger["text"].as_str().unwrap().contains("is gone"), "{ledger}");
}
