//! `run --once` at the same time as another, and beside a daemon: nothing twice, and each ends well.

use crate::flow::{Flow, LONG, Setting};
use rustix::process::Signal;

const SLOW: &str = "sh -c 'sleep 0.1; cat'";

fn files(flow: &mut Flow, prefix: &str, count: usize) {
    for nth in 0..count {
        flow.arrive(&format!("{prefix}-2025-11-24-{nth}.csv"), 12);
    }
}

#[test]
fn twice_at_the_same_time() {
    let mut flow = Flow::new(&Setting { program: SLOW.to_owned(), original: "delete", ..Setting::default() });
    files(&mut flow, "a", 12);
    let runs: Vec<_> = (0..3).map(|_| flow.project.start(&["run", "--once"])).collect();
    for mut run in runs {
        let status = run.end_within(LONG);
        assert!(status.success(), "{status}\n{}\n{}", run.stdout(), run.stderr());
    }
    // The first to end may leave what another holds; together they have done all.
    flow.settle_accounts();
}

#[test]
fn beside_a_daemon() {
    let mut flow = Flow::new(&Setting { program: SLOW.to_owned(), ..Setting::default() });
    files(&mut flow, "a", 6);
    let mut daemon = flow.project.start(&["run"]);
    flow.is_up(&mut daemon);
    files(&mut flow, "b", 6);
    for _ in 0..2 {
        flow.run_once();
    }
    flow.wait_for_exports(12, &mut daemon);
    daemon.signal(Signal::TERM);
    let status = daemon.end_within(LONG);
    assert!(status.success(), "{status}\n{}", daemon.stderr());
    flow.settle_accounts();
}
