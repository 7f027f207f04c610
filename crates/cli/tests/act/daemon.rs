//! `handover run` as a daemon: what it says, and that others know it is on.

use crate::{PROGRAMS, Place};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn it_says_what_it_runs_takes_what_is_put_in_and_ends_on_a_signal() {
    let place = Place::with(PROGRAMS);
    let mut child = place.command(&["run"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The log of a daemon is lines of JSON from the first to the last.
    let mut until = |what: &str| loop {
        let line: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap_or_else(|| panic!("no {what}"))).unwrap();
        if line["message"].as_str().unwrap().contains(what) {
            return line;
        }
    };
    assert_eq!(until("runs handover.yaml")["level"], "info");
    until("flow text: upper -> out");
    place.write("in.txt", "abc\n");
    let put = place.run(&["put", "in.txt", "--app", "upper", "--type", "note", "--date", "2025-11-24"]);
    assert!(put.err.contains(&format!("`handover run` is on (process {})", child.id())), "{}", put.err);
    // It is taken up without being looked for; the wait is for the export's manifest alone.
    while place.names("out").len() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the daemon ended");
        std::thread::yield_now();
    }
    place.write("handover.yaml", "apps: [");
    signal(&child, "-HUP");
    assert_eq!(until("is not loaded anew")["level"], "error");
    place.write("handover.yaml", PROGRAMS);
    signal(&child, "-HUP");
    until("was read anew");
    signal(&child, "-TERM");
    until("stopping");
    until("stopped");
    assert!(child.wait().unwrap().success());
}
