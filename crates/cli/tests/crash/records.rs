//! Records under kills: a file becomes records, a stream program works on them, and they become files again; wherever the
//! runtime is killed, every row comes out once.

use crate::flow::{Flow, LONG};
use handover_testkit::files_below;
use handover_testkit::process::{is_running, kill, wait_for};
use std::collections::BTreeMap;

/// Answers each record; while there is a `hold`, it says that it has one, and waits.
const SCORE: &str = r#"
import json, os, sys, time
for line in sys.stdin:
    r = json.loads(line)
    if os.path.exists("hold"):
        open("pid", "w").write(str(os.getpid()))
        os.system("sleep 1000 & echo $! > child")
        os.rename("child", "grandchild")
        while os.path.exists("hold"): time.sleep(0.01)
    print(json.dumps(dict(id=r["id"], status="completed", data=r["data"])))
open("heard-the-end", "w").write("")
"#;

fn records(gather: &str) -> Flow {
    let flow = Flow::with(&format!(
        "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, pattern: '*.csv', type: sales }} }}
  validator: {{ uses: validator, with: {{ schema: schemas/sales.json }} }}
  scorer: {{ run: python3 score.py, mode: stream, ext: csv, workers: 1 }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }} }}
flows:
  sales:
    - file-importer -> validator
    - {{ from: validator, to: scorer, by: database }}
    - {{ from: scorer, to: file-exporter, by: file, gather: {{ {gather} }} }}
"
    ));
    flow.project.write("score.py", SCORE);
    flow
}

impl Flow {
    /// What was gathered: every good row in one file.
    #[track_caller]
    fn every_row_is_gathered_once(&self) {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for file in files_below(&self.project.join("data/scorer")) {
            if file.extension().is_some_and(|ext| ext == "csv") {
                let text = std::fs::read_to_string(file).unwrap();
                for line in text.lines().skip(1) {
                    *counts.entry(line.split(',').next().unwrap().parse().unwrap()).or_default() += 1;
                }
            }
        }
        let expect: BTreeMap<u64, usize> = self.good.iter().map(|id| (*id, 1)).collect();
        assert_eq!(counts, expect, "rows in the gathered files");
    }

    #[track_caller]
    fn settle_accounts_of_records(&self) {
        self.settle_accounts();
        self.every_row_is_gathered_once();
    }
}

#[track_caller]
fn killed_at_each(faults: &[&str]) {
    for fault in faults {
        let mut flow = records("rows: 10, every: 1h");
        flow.three_files();
        flow.killed_at(fault);
        flow.run_once();
        flow.settle_accounts_of_records();
    }
}

#[test]
fn while_a_file_is_split() {
    killed_at_each(&["split.loaded:kill", "split.loaded:kill@3"]);
}

#[test]
fn while_a_program_has_records() {
    killed_at_each(&["stream.given:kill", "stream.given:kill@3"]);
}

#[test]
fn before_and_after_answers_are_committed() {
    killed_at_each(&[
        "stream.answered:kill",
        "stream.answered:kill@2",
        "stream.committed:kill",
        "stream.committed:kill@2",
    ]);
}

#[test]
fn while_records_are_gathered() {
    killed_at_each(&[
        "gather.claimed:kill",
        "gather.claimed:kill@3",
        "gather.published:kill",
        "gather.published:kill@2",
        "gather.committed:kill",
        "gather.committed:kill@3",
    ]);
}

#[test]
fn while_a_gathered_file_is_published() {
    // The seventh file that is published, or so, is gathered: imports, validated files, reports and rejects come before.
    killed_at_each(&["publish.linked:kill@13", "publish.manifest_linked:kill@13", "publish.done:kill@13"]);
}

/// Killed after a file was published, and gathered otherwise then: what was published is no file any more.
#[test]
fn gathered_in_another_way_after_a_crash() {
    let mut flow = records("rows: 10, every: 1h");
    flow.three_files();
    flow.killed_at("gather.published:kill@2");
    let config = flow.project.join("handover.yaml");
    let other = std::fs::read_to_string(&config).unwrap().replace("rows: 10", "rows: 17");
    std::fs::write(&config, other).unwrap();
    // One that goes first now, so that every file begins with another record.
    let first = "UPDATE data_staging SET priority = 5 WHERE id = (SELECT max(id) FROM data_staging WHERE status <> 'completed' AND target_app = 'file-exporter')";
    flow.change(first);
    flow.run_once();
    flow.settle_accounts_of_records();
}

#[test]
fn twice() {
    for faults in [
        ["gather.published:kill", "gather.published:kill"],
        ["stream.answered:kill", "gather.published:kill"],
        ["split.loaded:kill", "stream.committed:kill"],
    ] {
        let mut flow = records("rows: 10, every: 1h");
        flow.three_files();
        for fault in faults {
            flow.killed_at(fault);
        }
        flow.run_once();
        flow.settle_accounts_of_records();
    }
}

/// The runtime is killed while its stream program has a record: the program and what it started are gone, and the record is
/// given to another.
#[test]
fn no_program_outlives_its_runtime() {
    let mut flow = records("rows: 100, every: 1h");
    flow.project.write("hold", "");
    flow.arrive("2025-11-24.csv", 20);
    let daemon = flow.project.start(&["run"]);
    let grandchild = flow.project.join("grandchild");
    wait_for(LONG, "the program has a record", || grandchild.exists().then_some(()));
    let number = |name: &str| -> u32 {
        std::fs::read_to_string(flow.project.join(name)).unwrap().trim().parse().unwrap()
    };
    let (program, grandchild) = (number("pid"), number("grandchild"));
    assert!(is_running(program) && is_running(grandchild));
    kill(daemon.pid());
    wait_for(LONG, "the program is gone", || (!is_running(program)).then_some(()));
    wait_for(LONG, "what it started is gone", || (!is_running(grandchild)).then_some(()));
    std::fs::remove_file(flow.project.join("hold")).unwrap();
    flow.run_once();
    flow.settle_accounts_of_records();
    let lost = flow.rows("SELECT id FROM data_staging WHERE attempts > 1");
    assert!(lost.is_empty(), "the crash cost attempts: {lost:?}");
}

/// SIGTERM: what the program has it may answer, its stdin ends, and what it was not given is given back untouched.
#[test]
fn a_stop_lets_it_answer_what_it_has() {
    let mut flow = records("rows: 100, every: 1h");
    flow.project.write("hold", "");
    flow.arrive("2025-11-24.csv", 200);
    let mut daemon = flow.project.start(&["run"]);
    let held = flow.project.join("grandchild");
    wait_for(LONG, "the program has a record", || held.exists().then_some(()));
    daemon.signal(rustix::process::Signal::TERM);
    daemon.says_within(LONG, "stopping");
    std::fs::remove_file(flow.project.join("hold")).unwrap();
    let status = daemon.end_within(LONG);
    assert!(status.success(), "{status}\n{}", daemon.stderr());
    assert!(flow.project.join("heard-the-end").exists(), "its stdin did not end");
    let standing = flow.rows(
        "SELECT DISTINCT status || ' ' || attempts FROM data_staging WHERE target_app = 'scorer' ORDER BY 1",
    );
    assert_eq!(standing, ["completed 1", "pending 0"]);
    flow.run_once();
    flow.settle_accounts_of_records();
}

/// The configuration is loaded anew while a program has records: it answers them, and another goes on.
#[test]
fn a_reload_changes_the_program() {
    let mut flow = records("rows: 1000, every: 200ms");
    flow.project.write("hold", "");
    flow.arrive("2025-11-24.csv", 200);
    let mut daemon = flow.project.start(&["run"]);
    let held = flow.project.join("grandchild");
    wait_for(LONG, "the program has a record", || held.exists().then_some(()));
    let config = flow.project.join("handover.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("score.py", "./score.py")).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.says_within(LONG, "was read anew");
    std::fs::remove_file(flow.project.join("hold")).unwrap();
    let left = "SELECT id FROM v_deliveries WHERE status <> 'completed'";
    let done = "SELECT id FROM data_staging WHERE target_app = 'file-exporter' AND status = 'completed'";
    wait_for(LONG, "all is exported", || {
        (flow.rows(left).is_empty() && flow.rows(done).len() == flow.good.len()).then_some(())
    });
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.end_within(LONG).success());
    flow.settle_accounts_of_records();
}
