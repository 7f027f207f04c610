//! What a submission is refused for: every fault at once, each at its field.

use crate::kit::{Jobs, text};
use handover_runtime::operations::jobs::JobInput;
use serde_json::{Value, json};

#[test]
fn a_submission_is_checked_against_the_contract_of_its_app() {
    let schema = json!({
        "type": "object", "required": ["threshold"], "additionalProperties": false,
        "properties": { "threshold": { "type": "number" }, "region": { "type": "string" } } });
    let jobs = Jobs::new(
        "apps:
  scorer:
    run: python3 score.py
    job: { config: schemas/score.json, input: [text/csv, application/json], arguments: { region: --region } }
  path: { run: 'cat {input}' }
  check: { uses: validator, with: { schema: { fields: [{ name: a }] } } }
  in: { uses: file-importer, with: { from: incoming, pattern: '*', type: sales } }
  out: { uses: file-exporter, with: { to: outgoing } }
  away: { url: 'http://127.0.0.1:1' }
  nightly: { run: date, schedule: '0 6 * * *', type: days }
  line: { run: cat, mode: stream }
flows: { f: in -> check -> out }
",
        &[("schemas/score.json", &schema.to_string())],
    );
    let csv = || text("a\n1\n", "text/csv; charset=utf-8");
    jobs.submit("scorer", json!({ "threshold": 1 }), csv());
    jobs.submit("scorer", json!({ "threshold": 1 }), Some(JobInput::Json(json!([]))));
    assert_eq!(jobs.refused("scorer", Value::Null, None), ["config.threshold is missing"]);
    assert_eq!(
        jobs.refused("scorer", json!({ "treshold": 1, "region": 5 }), text("x", "text/html")),
        [
            "config.region is not of type \"string\"",
            "config.treshold is not known here; did you mean `threshold`?",
            "config.threshold is missing",
            "input is text/html: `scorer` takes text/csv, application/json"
        ]
    );
    assert_eq!(jobs.refused("scorer", json!([1]), None), ["config must be an object"]);
    for (config, input) in [
        (json!({ "threshold": 1, "region": "a\0b" }), csv()),
        (json!({ "threshold": 1 }), text("a\0", "text/csv")),
        (json!({ "threshold": 1 }), Some(JobInput::Json(json!([{ "a\0": 1 }])))),
    ] {
        let why = jobs.refused("scorer", config, input);
        assert!(why.len() == 1 && why[0].contains("holds a NUL character"), "{why:?}");
    }
    let long = json!({ "threshold": 1, "region": "x".repeat(128 * 1024) });
    assert_eq!(
        jobs.refused("scorer", long, None),
        ["config.region is longer than an argument may be (128 KiB)"]
    );
    assert_eq!(
        jobs.refused("path", Value::Null, None),
        ["input is missing: `path` reads a file (`{input}`)"]
    );
    assert_eq!(
        jobs.refused("check", json!({ "schema": {} }), csv()),
        ["config `check` is a built-in app, which is configured in handover.yaml: leave it out"]
    );
    assert_eq!(jobs.refused("check", Value::Null, None), ["input is missing: `check` works on rows"]);
    assert!(jobs.refused("check", Value::Null, text("x", "text/html"))[0].contains("`check` reads text/csv"));
    assert!(jobs.refused("in", Value::Null, None)[0].starts_with("app `in` is a file-importer"));
    jobs.submit("away", Value::Null, None);
    jobs.submit("away", Value::Null, Some(JobInput::Json(json!([1]))));
    assert!(jobs.refused("away", json!({ "a": 1 }), None)[0].contains("is given the input alone"));
    assert!(jobs.refused("out", Value::Null, csv())[0].contains("put it in as a file"));
    assert_eq!(
        jobs.refused("nightly", Value::Null, csv()),
        ["input `nightly` runs by its schedule and has no input"]
    );
    let file = || Some(JobInput::File("in/x.csv".into()));
    assert!(jobs.refused("line", Value::Null, file())[0].contains("is a stream program"));
    assert!(jobs.refused("scorre", Value::Null, None)[0].contains("there is no app `scorre`"));
}
