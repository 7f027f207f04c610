//! Who did what: by hand, with keys, to which delivery.

use crate::{json, project, run};
use serde_json::Value;

fn did(deeds: &Value) -> Vec<String> {
    let word = |deed: &Value, key: &str| deed[key].as_str().unwrap_or_default().to_owned();
    let deeds = deeds["deeds"].as_array().unwrap();
    deeds
        .iter()
        .map(|deed| format!("{} {}", word(deed, "did"), word(deed, "app")).trim().to_owned())
        .collect()
}

#[test]
fn what_people_did_is_listed_and_what_workers_did_is_not() {
    let project = project("");
    project.arrive("in/a.csv", "a\nbad\n");
    assert_eq!(run(&project, &["run", "--once"]).0, 1);
    let failed = json(&project, &["list", "--status", "failed", "--json"])[0]["id"].to_string();
    assert_eq!(did(&json(&project, &["audit", "--json"])), <[String; 0]>::default());
    assert_eq!(run(&project, &["pause", "picky"]).0, 0);
    assert_eq!(run(&project, &["retry", &failed]).0, 0);
    assert_eq!(run(&project, &["cancel", &failed]).0, 0);
    assert_eq!(run(&project, &["replay", &failed]).0, 0);
    assert_eq!(run(&project, &["resume", "picky"]).0, 0);
    let key = run(&project, &["keys", "create", "shop"]).1;
    assert_eq!(run(&project, &["replay", "--flow", "main", "--since", "1h"]).0, 0);
    let all = json(&project, &["audit", "--json"]);
    let expected = [
        "replay a flow",
        "create a key",
        "resume picky",
        "replay picky",
        "cancel picky",
        "retry picky",
        "pause picky",
    ];
    // A flow's replay is of deliveries that go to the flow's first link.
    let mut seen = did(&all);
    seen[0] = seen[0].split(" picky").next().unwrap().to_owned();
    assert_eq!(seen, expected);
    let text = all.to_string();
    assert!(text.contains("cli:") && !text.contains(key.trim()), "{text}");
    assert_eq!(all["deeds"][0]["thing"], "flow main since 1h");
    // Of one delivery: what was done to it, and with workers its whole life.
    let one = did(&json(&project, &["audit", "--delivery", &failed, "--json"]));
    assert!(one.contains(&"replay picky".to_owned()) && one.contains(&"retry picky".to_owned()), "{one:?}");
    let life = did(&json(&project, &["audit", "--delivery", &failed, "--workers", "--json"]));
    assert!(life.contains(&"claim picky".to_owned()) && life.len() > one.len(), "{life:?}");
    let user = std::env::var("USER").ok().filter(|name| !name.is_empty());
    if let Some(user) = user {
        assert_eq!(did(&json(&project, &["audit", "--who", &user, "--json"])).len(), expected.len());
    }
    assert_eq!(did(&json(&project, &["audit", "--who", "nobody-of-that-name", "--json"])).len(), 0);
    let (code, text) = run(&project, &["audit", "--since", "1h", "--limit", "2"]);
    assert!(code == 0 && text.lines().count() == 3, "{text}");
}
