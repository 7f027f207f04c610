//! What is wrong and who is told, by the real binary: expectations, alerts, notifications, sizes, the audit of what people did.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]
#![cfg(target_os = "linux")]

mod audit;
mod checks;
mod expecting;
mod mailing;
mod posting;
mod telling;

use handover_testkit::Project;
use handover_testkit::process::wait_for;
use serde_json::Value;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(120);

/// A project whose one app fails on what has `bad` in it.
pub(crate) fn project(more: &str) -> Project {
    let configuration = format!(
        "apps:\n  in: {{ uses: file-importer, with: {{ from: ./in, pattern: \"*.csv\", type: sales }} }}\n  \
         picky: {{ run: \"sh -c '! grep bad'\", retries: 0 }}\nflows: {{ main: in -> picky }}\n{more}\n"
    );
    let project = Project::new(env!("CARGO_BIN_EXE_handover"), &configuration);
    std::fs::create_dir_all(project.join("in")).unwrap();
    project
}

/// Runs a command to its end; its exit code and its stdout.
pub(crate) fn run(project: &Project, words: &[&str]) -> (i32, String) {
    let mut running = project.start(words);
    let ended = running.end_within(BOUND);
    let code = ended.code().unwrap_or_else(|| panic!("{words:?}: {}", running.stderr()));
    (code, running.stdout())
}

/// The same, its JSON.
pub(crate) fn json(project: &Project, words: &[&str]) -> Value {
    let (_, out) = run(project, words);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{words:?}: {e}: {out}"))
}

/// A check of `handover health`, and the exit code of the whole.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) code: i32,
    pub(crate) verdict: String,
    pub(crate) text: String,
    pub(crate) todo: String,
}

/// What `handover health` says of this.
pub(crate) fn row(project: &Project, name: &str) -> Row {
    row_if_any(project, name).unwrap_or_else(|| panic!("health says nothing of {name}"))
}

/// The same, where it says something.
pub(crate) fn row_if_any(project: &Project, name: &str) -> Option<Row> {
    let (code, out) = run(project, &["health", "--json"]);
    let seen: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    let check = seen["checks"].as_array().unwrap().iter().find(|check| check["name"] == name)?;
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    Some(Row { code, verdict: text("verdict"), text: text("text"), todo: text("todo") })
}

pub(crate) fn failed_ids(project: &Project) -> Vec<String> {
    let list = json(project, &["list", "--status", "failed", "--json"]);
    list.as_array().unwrap().iter().map(|one| one["id"].to_string()).collect()
}

/// Waits until this command's JSON gives something.
pub(crate) fn until<T>(
    project: &Project,
    words: &[&str],
    name: &str,
    what: impl Fn(&Value) -> Option<T>,
) -> T {
    wait_for(BOUND, name, || {
        std::thread::sleep(Duration::from_millis(50));
        what(&json(project, words))
    })
}
