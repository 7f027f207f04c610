//! The dashboard, the alerts and the guide against a real scrape: each number that they name is there, with its labels; and what
//! Prometheus reads is what it can read, whether its own tool is installed or not.

use crate::exposition::families;
use crate::http::Ask;
use crate::kit::{LONG, OPEN, Site};
use crate::promql;
use handover_core::Status;
use handover_testkit::process::wait_for;
use handover_testkit::{HttpServer, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const DASHBOARD: &str = include_str!("../../../../examples/monitoring/grafana-dashboard.json");
pub(crate) const RULES: &str = include_str!("../../../../examples/monitoring/prometheus-rules.yaml");
const GUIDE: &str = include_str!("../../../../docs/guides/monitoring.md");
const REFERENCE: &str = include_str!("../../../../docs/reference/metrics.md");

/// Labels that Prometheus and its configuration add.
const ADDED: [&str; 3] = ["job", "instance", "project"];

/// A name with its labels, and the values of each.
type Known = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What a query names: a metric, and the labels that it asks of it with their values; labels that it groups by.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    metrics: Vec<(String, Vec<(String, String)>)>,
    groups: Vec<String>,
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Reads a query of PromQL as far as names go.
fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = rest[1..].split_once('"').map_or("", |(_, after)| after);
        } else if c == '[' {
            rest = rest.split_once(']').map_or("", |(_, after)| after);
        } else if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            if ["by", "on", "without", "ignoring"].contains(&word) {
                let (inside, after) = rest.trim_start().trim_start_matches('(').split_once(')').unwrap();
                asked.groups.extend(inside.split(',').map(|label| label.trim().to_owned()));
                rest = after;
            } else if word == "up" || word.starts_with("handover_") || word.starts_with("process_") {
                let labels = rest.strip_prefix('{').and_then(|inside| inside.split_once('}'));
                asked
                    .metrics
                    .push((word.to_owned(), labels.map_or(Vec::new(), |(inside, _)| matchers(inside))));
                rest = labels.map_or(rest, |(_, after)| after);
            }
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    asked
}

/// `status="pending", app=~"a|b"`
fn matchers(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split("\",") {
        let (label, value) = part.split_once(['=', '!']).unwrap();
        let value = value.trim_start_matches(['=', '~', '!']).trim_matches('"');
        found.push((label.trim().to_owned(), value.to_owned()));
    }
    found
}

/// The names of a scrape.
fn known(scrape: &str) -> Known {
    let mut known = Known::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let labels = known.entry(name.to_owned()).or_default();
        if let Some((inside, _)) = line.split_once('{').and_then(|(_, inside)| inside.rsplit_once('}')) {
            for (label, value) in matchers(inside) {
                labels.entry(label).or_default().insert(value);
            }
        }
    }
    known
}

/// All texts below these keys.
fn texts(value: &serde_json::Value, keys: &[&str], out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str().filter(|_| keys.contains(&key.as_str())) {
                    Some(text) => out.push(text.to_owned()),
                    None => texts(value, keys, out),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, keys, out)),
        _ => {}
    }
}

/// The queries of the alerts: on the line of their key, or in the lines below it.
pub(crate) fn rules() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in RULES.lines() {
        match line.strip_prefix("        expr: ") {
            Some(query) => {
                inside = query == "|";
                found.push(query.trim_start_matches('|').to_owned());
            }
            None => {
                inside &= line.starts_with("          ");
                if let Some(last) = found.last_mut().filter(|_| inside) {
                    last.push_str(line);
                }
            }
        }
    }
    found
}

/// A project in which something of each kind has ended, failed and waits.
fn scrape(accept: &str) -> String {
    let site = Site::new(
        "traces: { endpoint: \"http://127.0.0.1:9\" }
apps:
  good: { run: cat }
  bad: { run: \"sh -c 'exit 65'\" }
  service: { url: \"http://127.0.0.1:9\", retries: 0 }
  held: { run: cat, expect: { max_age: 26h } }
flows:
  f: good -> bad
  g: good -> held
",
        OPEN,
    );
    std::fs::write(site.project.join("in.csv"), "a\n1\n").unwrap();
    let server = site.serve();
    site.command(&["pause", "held"]);
    site.command(&["put", "in.csv", "--app", "good", "--type", "note"]);
    let client = server.anyone();
    client.get("/api/v1/services/service/x");
    wait_for(LONG, "everything in the scrape", || {
        client.get("/health");
        let text = client.get("/metrics").text();
        let there = |what: &str| text.lines().any(|line| line.starts_with(what) && !line.ends_with(" 0"));
        let all = [
            "handover_attempts_total{app=\"bad\",kind=\"file\",outcome=\"failed\"}",
            "handover_oldest_pending_seconds{app=\"held\"",
            "handover_gateway_requests_total{app=\"service\"",
        ];
        let whole = || client.ask(Ask::get("/metrics").header("accept", accept)).text();
        all.into_iter().all(there).then(whole)
    })
}

#[test]
fn every_number_that_is_shown_or_alerted_on_is_there() {
    let known = known(&scrape("text/plain"));
    let mut queries = rules();
    assert!(queries.len() > 15, "{queries:?}");
    texts(&serde_json::from_str(DASHBOARD).unwrap(), &["expr"], &mut queries);
    assert!(queries.len() > 50);
    let mut wrong = Vec::new();
    for query in &queries {
        let asked = asked(query);
        assert!(!asked.metrics.is_empty(), "names nothing: {query}");
        let mut labels: BTreeSet<&str> = ADDED.into();
        for (name, wanted) in asked.metrics.iter().filter(|(name, _)| name != "up") {
            let Some(there) = known.get(name) else {
                wrong.push(format!("no {name}: {query}"));
                continue;
            };
            labels.extend(there.keys().map(String::as_str));
            for (label, value) in wanted {
                wrong.extend(lacks(there, label, value).map(|lacks| format!("{name} {lacks}: {query}")));
            }
        }
        let unknown = asked.groups.iter().filter(|label| !labels.contains(label.as_str()));
        wrong.extend(unknown.map(|label| format!("no label {label}: {query}")));
    }
    // The reference has each name that there is, and no other.
    let families: BTreeSet<&str> = known.keys().map(|name| family(name)).collect();
    let told =
        |name: &str| [format!("`{name}`"), format!("`{name}{{")].iter().any(|one| REFERENCE.contains(one));
    wrong
        .extend(families.iter().filter(|name| !told(name)).map(|name| format!("the reference lacks {name}")));
    let named =
        REFERENCE.split(|c| !is_word(c)).filter(|word| word.starts_with("handover_") && !word.ends_with('_'));
    wrong.extend(
        named.filter(|word| !families.contains(word)).map(|word| format!("the reference names {word}")),
    );
    assert!(wrong.is_empty(), "{}\n{:#?}", wrong.join("\n"), known.keys());
    for word in
        GUIDE.split(|c| !is_word(c)).filter(|word| word.starts_with("handover_") && !word.ends_with('_'))
    {
        let there = known.keys().any(|name| name == word || name.strip_suffix("_bucket") == Some(word));
        assert!(there, "the guide names {word}");
    }
}

/// A name as the reference has it: a histogram has one for all its samples.
fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// What a metric lacks of a label and its value.
fn lacks(there: &BTreeMap<String, BTreeSet<String>>, label: &str, value: &str) -> Option<String> {
    if ADDED.contains(&label) {
        return None;
    }
    let Some(values) = there.get(label) else { return Some(format!("has no label {label}")) };
    let one_of = |value: &str| match label {
        "status" => Status::ALL.iter().any(|status| status.as_str() == value),
        "outcome" => values.contains(value),
        // Clocks are compared where the ledger is on a server.
        "check" => value == "clock" || values.contains(value),
        _ => true,
    };
    (!value.split('|').all(one_of)).then(|| format!("is never {label}={value}"))
}

/// Whoever serves looks at health when it begins: an upstream is asked by its watch, by the look for alerts, and by the one that
/// scrapes tell of, before anybody has scraped.
#[test]
fn health_is_looked_at_before_the_first_scrape() {
    let upstream = HttpServer::start(|_| Reply::new(200, ""));
    let service = format!("{{ url: '{}', health: {{ path: /well, every: 1h }} }}", upstream.url());
    let site = Site::new(&format!("apps: {{ service: {service} }}\nhealth: {{ every: 1h }}"), OPEN);
    let server = site.serve();
    wait_for(LONG, "all three", || (upstream.asked().len() == 3).then_some(()));
    let scrape = wait_for(LONG, "what it found", || {
        let text = server.anyone().get("/metrics").text();
        text.contains("handover_health_check{").then_some(text)
    });
    assert!(scrape.contains("handover_health_check{check=\"services\"} 0"), "{scrape}");
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut places: Vec<[i64; 4]> = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "an id stands twice: {panel}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_i64().unwrap());
        let meets = |other: &[i64; 4]| {
            x < other[0] + other[2] && other[0] < x + w && y < other[1] + other[3] && other[1] < y + h
        };
        assert!(x + w <= 24 && !places.iter().any(meets), "{} has no place of its own", panel["title"]);
        places.push([x, y, w, h]);
    }
    let variables: Vec<_> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "project", "app"]);
}

#[test]
fn every_alert_says_what_to_do() {
    let alerts = RULES.matches("- alert: ").count();
    for key in ["severity: ", "summary: ", "description: ", "runbook: "] {
        assert_eq!(
            RULES.lines().filter(|line| line.contains(key) && !line.starts_with('#')).count(),
            alerts,
            "{key}"
        );
    }
}

#[test]
fn grafana_s_queries_can_be_read() {
    let mut queries = Vec::new();
    texts(&serde_json::from_str(DASHBOARD).unwrap(), &["expr"], &mut queries);
    assert!(queries.len() > 30);
    let wrong: Vec<String> = queries.iter().filter_map(|query| promql::check(query).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_scrape_is_what_its_specifications_have() {
    let plain = families(&scrape("text/plain"), false).unwrap();
    let open = families(&scrape("application/openmetrics-text; version=1.0.0"), true).unwrap();
    assert!(plain.len() > 30, "{:?}", plain.keys());
    let mut counters = 0;
    for (name, family) in &plain {
        let counter = family.kind == "counter";
        counters += usize::from(counter);
        let other = open.get(name.strip_suffix("_total").filter(|_| counter).unwrap_or(name));
        let other = other.unwrap_or_else(|| panic!("OpenMetrics lacks {name}"));
        assert_eq!((&family.kind, &family.help), (&other.kind, &other.help), "{name}");
    }
    assert_eq!(plain.len(), open.len());
    assert!(counters > 5 && plain["handover_delivery_latency_seconds"].kind == "histogram");
}

/// Where Prometheus's own tool is there: it takes the rules, and they come when they should.
#[test]
fn promtool_takes_the_rules_and_they_come_when_they_should() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/monitoring");
    let test = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/testdata/alerts.yaml");
    for words in [&["check", "rules", "prometheus-rules.yaml"][..], &["test", "rules", test]] {
        let Ok(output) = Command::new("promtool").args(words).current_dir(folder).output() else { return };
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn queries_are_read_as_far_as_names_go() {
    let read = asked(
        "sum by (app) (rate(handover_x_total{app=~\"a|b\", outcome=\"in\"}[5m])) / on (project) up{job=\"handover\"} > 0.05",
    );
    assert_eq!(read.groups, ["app", "project"]);
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>();
    assert_eq!(
        read.metrics,
        [
            ("handover_x_total".to_owned(), pairs(&[("app", "a|b"), ("outcome", "in")])),
            ("up".to_owned(), pairs(&[("job", "handover")])),
        ]
    );
}
