//! Killed at each fault point, then run again: every row once, nothing left lying.

use crate::flow::{Flow, Setting};
use handover_core::fault::POINTS;

/// Killed at this point and then run again, with the original left and with it deleted.
#[track_caller]
fn killed_at(point: &str) {
    // Originals that stay pass no point of their removal.
    let originals: &[&'static str] =
        if point.starts_with("original.") { &["delete"] } else { &["leave", "delete"] };
    for original in originals {
        let mut flow = Flow::new(&Setting { original, ..Setting::default() });
        flow.three_files();
        flow.killed_at(&format!("{point}:kill"));
        flow.run_once();
        flow.settle_accounts();
        flow.originals_are(original);
    }
}

/// Killed at these points, one after the other, and then run again.
#[track_caller]
fn killed_one_after_the_other(faults: &[&str]) {
    let mut flow = Flow::new(&Setting { original: "delete", ..Setting::default() });
    flow.three_files();
    for fault in faults {
        flow.killed_at(fault);
    }
    flow.run_once();
    flow.settle_accounts();
    flow.originals_are("delete");
}

impl Flow {
    #[track_caller]
    fn originals_are(&self, original: &str) {
        let there = handover_testkit::files_below(&self.project.join("incoming"));
        assert_eq!(there.len(), if original == "leave" { 3 } else { 0 }, "{there:?}");
    }
}

macro_rules! points {
    ($($name:ident: $point:literal,)*) => {
        $(
            #[test]
            fn $name() {
                killed_at($point);
            }
        )*

        #[test]
        fn every_point_has_its_test() {
            // The other points are passed on other ways than this flow's, and have tests of their own below.
            let elsewhere = [
                "refusal.committed",
                "publish.replacing",
                "publish.replaced",
                // In `records`.
                "split.loaded",
                "stream.given",
                "stream.answered",
                "stream.committed",
                "gather.claimed",
                "gather.published",
                "gather.committed",
            ];
            let mut tested: Vec<&str> = [$($point),*].into_iter().chain(elsewhere).collect();
            let mut points = POINTS.to_vec();
            tested.sort_unstable();
            points.sort_unstable();
            assert_eq!(tested, points);
        }
    };
}

points! {
    arrive_before_commit: "arrive.before_commit",
    arrive_committed: "arrive.committed",
    claim_before_commit: "claim.before_commit",
    claim_committed: "claim.committed",
    reserve_committed: "reserve.committed",
    program_before_start: "program.before_start",
    program_ended: "program.ended",
    publish_written: "publish.written",
    publish_synced: "publish.synced",
    publish_linked: "publish.linked",
    publish_dir_synced: "publish.dir_synced",
    publish_manifest_written: "publish.manifest_written",
    publish_manifest_linked: "publish.manifest_linked",
    publish_done: "publish.done",
    complete_before_commit: "complete.before_commit",
    complete_committed: "complete.committed",
    original_before_remove: "original.before_remove",
    original_aside: "original.aside",
    original_removed: "original.removed",
}

#[test]
fn later_times_at_one_point() {
    for fault in [
        "claim.committed:kill@2",
        "reserve.committed:kill@3",
        "publish.linked:kill@2",
        "publish.linked:kill@5",
    ] {
        killed_one_after_the_other(&[fault]);
    }
}

#[test]
fn later_times_at_another_point() {
    for fault in [
        "publish.manifest_linked:kill@3",
        "publish.done:kill@7",
        "complete.committed:kill@3",
        "original.removed:kill@2",
    ] {
        killed_one_after_the_other(&[fault]);
    }
}

#[test]
fn twice_at_the_same_output() {
    killed_one_after_the_other(&["publish.manifest_linked:kill", "publish.manifest_linked:kill"]);
    killed_one_after_the_other(&["publish.linked:kill@2", "publish.dir_synced:kill", "publish.linked:kill"]);
}

/// What an attempt that was killed has left is replaced by the next, which is killed in the middle of that.
#[test]
fn while_an_earlier_attempt_is_replaced() {
    for left_at in ["publish.linked:kill@5", "publish.manifest_linked:kill@5"] {
        killed_one_after_the_other(&[left_at, "publish.replacing:kill"]);
        killed_one_after_the_other(&[left_at, "publish.replaced:kill", "publish.replaced:kill"]);
    }
}

/// A file that is not ours has the name that was reserved when the crash came: it is never replaced.
#[test]
fn with_a_foreign_file_at_the_reserved_name() {
    for (at, place, name) in [
        ("reserve.committed:kill", "data/imports/2025-11-24", "file-importer_sales_2025-11-24_001.csv"),
        ("reserve.committed:kill@7", "outgoing", "file-exporter_sales_2025-11-24_001.csv"),
    ] {
        let mut flow = Flow::new(&Setting::default());
        flow.arrive("2025-11-24.csv", 20);
        let foreign = flow.project.arrive(format!("{place}/{name}"), "whose,is,it\n");
        // Longer ago than the clocks of the file system and the ledger may differ.
        let lain = || foreign.metadata().unwrap().modified().unwrap().elapsed().unwrap().as_secs() >= 60;
        assert!(lain());
        std::thread::sleep(std::time::Duration::from_millis(150));
        flow.killed_at(at);
        flow.run_once();
        assert_eq!(std::fs::read(&foreign).unwrap(), b"whose,is,it\n", "{at}: it was replaced");
        std::fs::remove_file(foreign).unwrap();
        flow.settle_accounts();
    }
}

/// A file that is refused, and a crash before its reason is in `errors/`: the next run leaves it there.
#[test]
fn before_the_reason_of_a_refusal() {
    for fault in ["refusal.committed:kill", "publish.linked:kill", "publish.manifest_linked:kill"] {
        let flow = Flow::new(&Setting::default());
        std::os::unix::fs::symlink("elsewhere.csv", flow.project.join("incoming/2025-11-24.csv")).unwrap();
        flow.killed_at(fault);
        flow.project.start(&["run", "--once"]).end_within(crate::flow::LONG);
        let reasons = handover_testkit::files_below(&flow.project.join("data/errors"));
        assert_eq!(reasons.len(), 2, "{fault}: the reason and its manifest: {reasons:?}");
        let handed_over = flow.rows("SELECT status FROM deliveries WHERE target_app IS NULL");
        assert_eq!(handed_over, ["completed"], "{fault}");
    }
}

#[test]
fn twice_at_different_points() {
    killed_one_after_the_other(&["complete.before_commit:kill", "publish.linked:kill"]);
    killed_one_after_the_other(&["arrive.committed:kill", "complete.committed:kill@4"]);
    killed_one_after_the_other(&[
        "original.before_remove:kill",
        "original.removed:kill@2",
        "program.ended:kill@3",
    ]);
}
