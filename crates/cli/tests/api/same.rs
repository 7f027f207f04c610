//! A command and the API say the same of a delivery, and what is done by either is in one audit.

use crate::kit::{OPEN, Site};
use serde_json::Value;

const APPS: &str = "apps:\n  shout: { run: \"tr a-z A-Z\" }\n  broken: { run: \"false\", retries: 0 }\n";

fn command(site: &Site, words: &[&str]) -> Value {
    serde_json::from_str(&site.command(words)).unwrap()
}

#[test]
fn a_job_is_explained_by_the_same_sentences_everywhere() {
    let site = Site::new(APPS, OPEN);
    let server = site.serve();
    let client = server.anyone();
    let (done, failed) = (client.submit("shout", "abc"), client.submit("broken", "abc"));
    client.until(done, "completed");
    client.until(failed, "failed");
    site.command(&["pause", "shout"]);
    let waiting = client.submit("shout", "abc");
    for id in [done, failed, waiting] {
        let by_command = command(&site, &["why", &id.to_string(), "--json"]);
        for of in ["jobs", "deliveries"] {
            let by_api = client.get(format!("/api/v1/{of}/{id}/explain")).json();
            for part in ["subject", "sentences", "since", "release"] {
                assert_eq!(by_api[part], by_command[part], "{part} of {id} by {of}");
            }
            let list = |said: &Value, part: &str| said[part].as_array().cloned().unwrap_or_default();
            for part in ["tried", "todo"] {
                assert_eq!(list(&by_api, part), list(&by_command, part), "{part} of {id} by {of}");
            }
        }
    }
}

#[test]
fn who_did_what_by_the_api_is_in_the_audit() {
    let site = Site::new(APPS, "");
    let key = site.key(&["--scope", "submit,operate"]);
    let server = site.serve();
    let client = server.client(&key);
    let failed = client.submit("broken", "abc");
    client.until(failed, "failed");
    assert_eq!(client.act(format!("/api/v1/jobs/{failed}/retry")).status, 202);
    client.until(failed, "failed");
    let replayed = client.act(format!("/api/v2/jobs/{failed}/replay"));
    assert_eq!(replayed.status, 202);
    let deeds = command(&site, &["audit", "--delivery", &failed.to_string(), "--json"]);
    let deeds = deeds["deeds"].as_array().unwrap();
    let word = |deed: &Value, name: &str| deed[name].as_str().unwrap_or_default().to_owned();
    let id = key.trim_start_matches("ho_");
    let did: Vec<String> = deeds.iter().map(|deed| word(deed, "did")).collect();
    // The job's own coming in is its caller's too.
    assert_eq!(did, ["replay", "retry", "hand over"], "{deeds:#?}");
    for deed in deeds {
        let actor = word(deed, "actor");
        let name = actor.strip_prefix("key:").unwrap_or_else(|| panic!("{actor}"));
        assert!(id.starts_with(name), "{actor} is no public part of the key");
    }
    assert_eq!(word(&deeds[0], "via"), format!("POST /api/v2/jobs/{failed}/replay"));
}
