//! A diamond: one import, two apps, one exporter: two files of each, none lost, also under kills.

use crate::flow::Flow;

fn diamond() -> Flow {
    let mut flow = Flow::with(
        "apps:
  file-importer: { uses: file-importer, with: { from: incoming, pattern: '*.csv', type: sales, original: delete } }
  left: { run: cat }
  right: { run: cat }
  file-exporter: { uses: file-exporter, with: { to: outgoing } }
flows:
  one: file-importer -> left -> file-exporter
  two: file-importer -> right -> file-exporter
",
    );
    flow.three_files();
    // Nothing is validated here: all rows go through.
    let bad = std::mem::take(&mut flow.bad);
    flow.good.extend(bad);
    flow
}

#[track_caller]
fn is_whole(flow: &Flow) {
    flow.settle_accounts_for(2);
    assert_eq!(flow.exports().len(), 6, "{:?}", flow.exports());
}

#[test]
fn two_files_come_of_one() {
    let flow = diamond();
    flow.run_once();
    is_whole(&flow);
}

#[test]
fn also_under_kills() {
    for faults in [
        &["complete.committed:kill", "publish.linked:kill@3", "reserve.committed:kill@4"],
        &["publish.done:kill", "complete.before_commit:kill@3", "publish.manifest_linked:kill@5"],
        &["reserve.committed:kill", "complete.committed:kill@5", "program.ended:kill"],
    ] {
        let flow = diamond();
        for fault in faults {
            flow.killed_at(fault);
        }
        flow.run_once();
        is_whole(&flow);
    }
}
