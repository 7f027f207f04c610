//! The alerts' rules and the sample of a configuration, read as strictly as Prometheus reads them: keys that it does not know, and
//! expressions, lengths of time and templates that it could not read.

use crate::monitoring::{RULES, is_word};
use crate::promql;
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const SAMPLE: &str = include_str!("../../../../examples/monitoring/prometheus.yml");

/// YAML as JSON has it; every value is a text.
fn yaml(text: &str) -> Value {
    let mut parser = Parser::new_from_str(text);
    let mut next = || parser.next_event().map_or(Event::StreamEnd, |event| event.unwrap().0);
    fn read<'a>(event: Event<'a>, next: &mut impl FnMut() -> Event<'a>) -> Option<Value> {
        match event {
            Event::Scalar(text, ..) => Some(Value::String(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while let Some(item) = read(next(), next) {
                    items.push(item);
                }
                Some(Value::Array(items))
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                while let Some(key) = read(next(), next) {
                    let key = key.as_str().unwrap().to_owned();
                    let value = read(next(), next).unwrap();
                    assert!(map.insert(key.clone(), value).is_none(), "{key} stands twice");
                }
                Some(Value::Object(map))
            }
            _ => None,
        }
    }
    loop {
        let event = next();
        assert!(!matches!(event, Event::StreamEnd), "there is nothing in it");
        if let Some(value) = read(event, &mut next) {
            return value;
        }
    }
}

/// A mapping that has these keys, and no others than these and those.
fn mapping<'a>(value: &'a Value, must: &[&str], may: &[&str]) -> &'a Map<String, Value> {
    let map = value.as_object().unwrap_or_else(|| panic!("no mapping: {value}"));
    for key in map.keys() {
        assert!(must.contains(&key.as_str()) || may.contains(&key.as_str()), "{key}: {value}");
    }
    must.iter().for_each(|key| assert!(map.contains_key(*key), "no {key}: {value}"));
    map
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}: {value}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key}: {value}"))
}

/// What an annotation puts in: a label or the value, shown by a function that Prometheus has.
fn is_template(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((inside, after)) = after.split_once("}}") else { return false };
        let mut parts = inside.split('|').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let label = first.strip_prefix("$labels.").is_some_and(|label| label.chars().all(is_word));
        let shown = |word| ["humanize", "humanizeDuration", "humanizePercentage"].contains(&word);
        if !(label || first == "$value") || !parts.all(shown) {
            return false;
        }
        rest = after;
    }
    !rest.contains("}}")
}

#[test]
fn prometheus_can_read_the_rules_and_the_sample_of_its_configuration() {
    let rules = yaml(RULES);
    mapping(&rules, &["groups"], &[]);
    let mut names = BTreeSet::new();
    for group in list(&rules, "groups") {
        mapping(group, &["name", "rules"], &["interval"]);
        for rule in list(group, "rules") {
            mapping(rule, &["alert", "expr", "labels", "annotations"], &["for", "keep_firing_for"]);
            let name = text(rule, "alert");
            assert!(name.chars().all(is_word) && names.insert(name), "{name}");
            promql::check(text(rule, "expr")).unwrap_or_else(|why| panic!("{name}: {why}"));
            let waits = ["for", "keep_firing_for"].into_iter().filter_map(|key| rule[key].as_str());
            waits.for_each(|length| assert!(promql::is_length(length), "{name}: {length}"));
            for (label, value) in mapping(&rule["labels"], &["severity"], &[]) {
                assert!(["page", "ticket"].contains(&value.as_str().unwrap()), "{name}: {label}");
            }
            for (key, value) in mapping(&rule["annotations"], &["summary", "description", "runbook"], &[]) {
                assert!(is_template(value.as_str().unwrap()), "{name}: {key}: {value}");
            }
        }
    }
    // The other way to read them finds the same.
    assert_eq!(names.len(), crate::monitoring::rules().len());
    let sample = yaml(SAMPLE);
    mapping(&sample, &["global", "rule_files", "scrape_configs"], &[]);
    assert_eq!(list(&sample, "rule_files"), &[Value::from("prometheus-rules.yaml")]);
    for (key, length) in mapping(&sample["global"], &["scrape_interval"], &["evaluation_interval"]) {
        assert!(promql::is_length(length.as_str().unwrap()), "{key}");
    }
    let [scrape] = &list(&sample, "scrape_configs")[..] else { panic!("{sample}") };
    mapping(scrape, &["job_name", "metrics_path", "authorization", "static_configs"], &[]);
    assert_eq!((text(scrape, "job_name"), text(scrape, "metrics_path")), ("handover", "/metrics"));
    mapping(&scrape["authorization"], &["credentials_file"], &["type"]);
    for targets in list(scrape, "static_configs") {
        mapping(targets, &["targets", "labels"], &[]);
        mapping(&targets["labels"], &["project"], &[]);
    }
}
