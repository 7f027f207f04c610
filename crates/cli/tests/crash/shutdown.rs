//! SIGTERM and SIGINT end a runtime cleanly; SIGHUP loads the configuration anew.

use crate::flow::{Flow, LONG, Setting};
use handover_testkit::Running;
use handover_testkit::process::{is_running, wait_for};
use rustix::process::Signal;

/// Says that it runs and waits for the gate.
const WAITS: &str = "sh -c 'echo $$ >> starts; while [ ! -e gate ]; do sleep 0.02; done; cat'";

/// A daemon whose program runs, and a second file of which the program's delivery waits behind it.
#[track_caller]
fn busy(files: usize) -> (Flow, Running) {
    let mut flow =
        Flow::new(&Setting { program: WAITS.to_owned(), more: ", workers: 1", ..Setting::default() });
    for nth in 0..files {
        flow.arrive(&format!("2025-11-24-{nth}.csv"), 10);
    }
    let daemon = flow.project.start(&["run"]);
    wait_for(LONG, "the program runs", || (flow.starts().len() == 1).then_some(()));
    (flow, daemon)
}

const TO_TWICE: &str = "SELECT status || ' ' || attempts || ' ' || rescues FROM deliveries WHERE target_app = 'twice' ORDER BY status, id";

#[track_caller]
fn lets_what_runs_end(signal: Signal) {
    let (flow, mut daemon) = busy(3);
    wait_for(LONG, "all wait for the program", || (flow.rows(TO_TWICE).len() == 3).then_some(()));
    daemon.signal(signal);
    daemon.says_within(LONG, "stopping");
    // What was claimed and has not begun is given back at once, while the first still runs.
    wait_for(LONG, "the others are given back", || {
        let rows = flow.rows(TO_TWICE);
        (rows.iter().filter(|row| *row == "pending 0 0").count() == 2).then_some(())
    });
    flow.project.write("gate", "");
    let status = daemon.end_within(LONG);
    assert!(status.success(), "{status}\n{}", daemon.stderr());
    assert_eq!(flow.starts().len(), 1, "something new was begun");
    assert_eq!(flow.rows(TO_TWICE), ["completed 1 0", "pending 0 0", "pending 0 0"]);
    let held = flow.rows("SELECT id FROM deliveries WHERE status = 'processing' OR lease_token IS NOT NULL");
    assert!(held.is_empty(), "{held:?}");
    assert!(!daemon.stderr().contains("late"), "{}", daemon.stderr());
    flow.run_once();
    flow.settle_accounts();
}

#[test]
fn sigterm_lets_what_runs_end_and_begins_nothing() {
    lets_what_runs_end(Signal::TERM);
}

#[test]
fn sigint_is_the_same() {
    lets_what_runs_end(Signal::INT);
}

#[test]
fn what_runs_longer_than_the_grace_is_stopped_and_given_back() {
    let (flow, mut daemon) = busy(1);
    let program: u32 = flow.starts()[0].parse().unwrap();
    daemon.signal(Signal::TERM);
    let status = daemon.end_within(LONG);
    assert!(status.success(), "{status}\n{}", daemon.stderr());
    assert!(!is_running(program));
    assert_eq!(flow.rows(TO_TWICE), ["pending 0 0"], "given back, no attempt used");
    assert!(!daemon.stderr().contains("late"), "{}", daemon.stderr());
    flow.project.write("gate", "");
    flow.run_once();
    flow.settle_accounts();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (flow, mut daemon) = busy(1);
    let program: u32 = flow.starts()[0].parse().unwrap();
    daemon.signal(Signal::TERM);
    daemon.says_within(LONG, "stopping");
    daemon.signal(Signal::TERM);
    let status = daemon.end_within(LONG);
    assert!(daemon.stderr().contains("at once"), "{}", daemon.stderr());
    assert_eq!(status.code(), Some(1));
    wait_for(LONG, "its program is gone", || (!is_running(program)).then_some(()));
    flow.project.write("gate", "");
    flow.run_once();
    flow.settle_accounts();
}

fn configuration(mark: &str, more: &str) -> String {
    format!(
        "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, pattern: '*.csv', type: sales }} }}
  marks: {{ run: \"sh -c 'echo {mark} >> starts; while [ ! -e gate ]; do sleep 0.02; done; sed s/$/,{mark}/'\" }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }} }}
{more}flows:
  sales: file-importer -> marks -> file-exporter
"
    )
}

impl Flow {
    /// How many exports there are with this mark at the end of each line.
    fn marked(&self, mark: &str) -> usize {
        let all = |text: &str| text.lines().all(|line| line.ends_with(mark));
        self.exports().iter().filter(|path| all(&std::fs::read_to_string(path).unwrap())).count()
    }
}

#[test]
fn sighup_loads_anew_and_what_has_begun_ends_under_the_old() {
    let mut flow = Flow::with(&configuration("old", ""));
    flow.arrive("2025-11-24-0.csv", 5);
    let mut daemon = flow.project.start(&["run"]);
    wait_for(LONG, "the program runs", || (flow.starts().len() == 1).then_some(()));

    // A broken configuration is said, and the old one stays in force.
    flow.project.write("handover.yaml", configuration("broken", "  nonsense: { uses: nothing }\n"));
    daemon.signal(Signal::HUP);
    daemon.says_within(LONG, "old one stays in force");

    let second = "  file-importer-2: { uses: file-importer, with: { from: incoming-2, pattern: '*.csv', type: more } }\n";
    let text = configuration("new", second) + "  more: file-importer-2 -> marks -> file-exporter\n";
    flow.project.write("handover.yaml", text);
    std::fs::create_dir_all(flow.project.join("incoming-2")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.says_within(LONG, "loaded anew");
    flow.arrive("../incoming-2/2025-11-24-1.csv", 5);
    wait_for(LONG, "the new flow is picked up", || (flow.starts().len() == 2).then_some(()));

    flow.project.write("gate", "");
    flow.wait_for_exports(2, &mut daemon);
    assert_eq!(flow.starts(), ["old", "new"]);
    assert_eq!((flow.marked(",old"), flow.marked(",new")), (1, 1));
    daemon.signal(Signal::TERM);
    assert!(daemon.end_within(LONG).success(), "{}", daemon.stderr());
    let bad = std::mem::take(&mut flow.bad);
    flow.good.extend(bad);
    flow.settle_accounts();
}
