//! What is expected and does not come, or not as expected. The clock's part is tested where the rule is; here is what people see.

use crate::{json, project, run};
use handover_testkit::Project;
use serde_json::Value;

fn expecting(expect: &str) -> Project {
    let project = project("");
    let text = std::fs::read_to_string(project.join("handover.yaml")).unwrap();
    let text = text.replace("type: sales } }", &format!("type: sales }}, expect: {{ {expect} }} }}"));
    project.write("handover.yaml", text);
    project
}

/// The checks of this name that did not pass.
fn found(project: &Project) -> Vec<String> {
    let seen = json(project, &["health", "--json"]);
    let checks = seen["checks"].as_array().unwrap().clone();
    let wrong = |check: &&Value| check["name"] == "expected" && check["verdict"] != "pass";
    checks.iter().filter(wrong).map(|check| format!("{} {}", check["verdict"], check["text"])).collect()
}

#[test]
fn a_fresh_project_is_not_late_and_what_is_small_or_the_same_is_told() {
    let project = expecting("every: 1 day, by: \"00:00\", min_rows: 2, max_age: 26h, severity: fail");
    assert_eq!(found(&project), <[String; 0]>::default(), "it never ran");
    let _ = run(&project, &["run", "--once"]);
    assert_eq!(found(&project), <[String; 0]>::default(), "nothing was due since it first ran");
    project.arrive("in/a.csv", "a\n1\n");
    let _ = run(&project, &["run", "--once"]);
    let small = found(&project);
    assert!(small.len() == 1 && small[0].contains("has 1 row, and at least 2 are expected"), "{small:?}");
    assert_eq!(run(&project, &["health"]).0, 2, "what is expected with `severity: fail` fails");
    project.arrive("in/b.csv", "a\n1\n");
    let _ = run(&project, &["run", "--once"]);
    let same = found(&project);
    assert!(same.iter().any(|text| text.contains("the same content as the one before")), "{same:?}");
    project.arrive("in/c.csv", "a\n1\n2\n");
    let _ = run(&project, &["run", "--once"]);
    assert_eq!(found(&project), <[String; 0]>::default());
}

#[test]
fn what_is_expected_all_the_time_and_stays_out_is_missing_with_what_to_do() {
    let project = expecting("every: 50ms");
    let _ = run(&project, &["run", "--once"]);
    let missing =
        handover_testkit::process::wait_for(crate::BOUND, "it is missing", || found(&project).pop());
    assert!(missing.starts_with("\"warn\" \"nothing came to in for "), "{missing}");
    let (code, text) = run(&project, &["health"]);
    assert!(code == 1 && text.contains("nothing came to in"), "{text}");
}

#[test]
fn a_wrong_expectation_is_an_error_with_the_nearest_key() {
    for (expect, says) in [
        ("evry: 1 day", "did you mean `every`?"),
        ("every: 2 days, by: \"06:00\"", "`days: mon`"),
        ("by: \"25:00\"", "no time of the day"),
        ("by: \"06:00 Europe/Brusels\"", "Europe/Brussels"),
        ("by: \"06:00\", days: mon-fry", "did you mean `fri`?"),
        ("days: mon", "there is no `by`"),
        ("severity: warn", "does not say what is expected"),
        ("max_age: 0s", "more than nothing"),
    ] {
        let project = expecting(expect);
        let mut running = project.start(&["check"]);
        assert_eq!(running.end_within(crate::BOUND).code(), Some(2), "{expect}");
        let said = format!("{}{}", running.stdout(), running.stderr());
        assert!(said.contains(says), "{expect}: {said}");
    }
}

#[test]
fn an_app_is_explained_with_what_is_expected_of_it() {
    let project = expecting("every: 50ms");
    let _ = run(&project, &["run", "--once"]);
    let said = handover_testkit::process::wait_for(crate::BOUND, "it is not as expected", || {
        let said = json(&project, &["why", "in", "--json"]);
        (said["state"] == "late").then_some(said)
    });
    let text = said["sentences"].to_string();
    assert!(text.contains("Nothing came to in for ") && text.contains("as *.csv"), "{text}");
    let paused = || json(&project, &["why", "picky", "--json"]);
    assert_eq!(paused()["state"], "idle");
    run(&project, &["pause", "picky"]);
    assert_eq!(
        (paused()["state"].as_str(), &paused()["todo"][0]),
        (Some("paused"), &"handover resume picky".into())
    );
}
