//! A worker stopped (SIGSTOP) past its lease while another finishes its delivery, and then woken: the winner's file
//! stands byte for byte, and the late one is said.

use crate::flow::{Flow, LONG, Setting};
use handover_testkit::process::wait_for;
use handover_testkit::{Running, files_below};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Writes its number beside each row, so that one attempt's output differs from another's; waits for the gate.
const PROGRAM: &str =
    r#"sh -c 'echo $$ >> starts; while [ ! -e gate ]; do sleep 0.02; done; sed "1s/$/,by/; 1!s/$/,$$/"'"#;

struct Race {
    flow: Flow,
    first: Running,
    second: Running,
}

impl Race {
    /// One file, and a first runtime that is stopped while it holds the program's delivery, by a fault or by hand
    /// while the program runs; then a second runtime.
    #[track_caller]
    fn begin(fault: Option<&str>) -> Self {
        let mut flow = Flow::new(&Setting { program: PROGRAM.to_owned(), lease: "1s", ..Setting::default() });
        flow.arrive("2025-11-24.csv", 20);
        Self::begin_with(flow, fault)
    }

    #[track_caller]
    fn begin_with(flow: Flow, fault: Option<&str>) -> Self {
        let mut first = match fault {
            Some(fault) => {
                flow.project.write("gate", "");
                flow.project.start_with_fault(&["run"], fault)
            }
            None => flow.project.start(&["run"]),
        };
        if fault.is_none() {
            wait_for(LONG, "the program starts", || (flow.starts().len() == 1).then_some(()));
            let ledger = flow.project.join("data/.handover/ledger.db");
            // Whoever is stopped in the middle of a transaction keeps all others out.
            first.stop_where(|| {
                let ledger = rusqlite::Connection::open(&ledger).unwrap();
                ledger.busy_timeout(Duration::ZERO).unwrap();
                ledger.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
            });
        }
        first.stopped_within(LONG);
        let second = flow.project.start(&["run"]);
        Self { flow, first, second }
    }

    /// Waits until the second runtime has exported the file.
    #[track_caller]
    fn second_finishes(&mut self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.flow.wait_for_exports(1, &mut self.second);
        self.flow.everything()
    }

    /// Wakes the first runtime, and ends both well once it has nothing more to do.
    #[track_caller]
    fn wake_and_end(mut self, late: bool) -> Flow {
        self.first.signal(Signal::CONT);
        if late {
            self.first.says_within(LONG, "late: ");
        }
        self.flow.wait_for_exports(1, &mut self.second);
        for mut runtime in [self.first, self.second] {
            runtime.signal(Signal::TERM);
            let status = runtime.end_within(LONG);
            assert!(status.success(), "{status}\n{}", runtime.stderr());
        }
        self.flow
    }
}

impl Flow {
    /// The programs that were started, by number, in their order.
    pub(crate) fn starts(&self) -> Vec<String> {
        std::fs::read_to_string(self.project.join("starts"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Waits until so many exports are completed in the ledger.
    #[track_caller]
    pub(crate) fn wait_for_exports(&self, count: usize, runtime: &mut Running) {
        let query =
            "SELECT count(*) FROM deliveries WHERE target_app = 'file-exporter' AND status = 'completed'";
        wait_for(LONG, "the exports are completed", || {
            assert!(runtime.poll().is_none(), "the runtime ended:\n{}", runtime.stderr());
            (self.rows(query) == [count.to_string()]).then_some(())
        });
    }

    /// Every published file with its content.
    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let hidden = self.project.join("data/.handover");
        files_below(&self.project.join("data"))
            .into_iter()
            .chain(files_below(&self.project.join("outgoing")))
            .filter(|path| !path.starts_with(&hidden))
            .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
            .collect()
    }

    /// Whether every row that went through the program was written by this attempt, at every later place.
    #[track_caller]
    fn all_was_made_by(&self, number: &str) {
        for place in ["data/twice", "data/enriched", "outgoing"] {
            let files: Vec<PathBuf> = files_below(&self.project.join(place))
                .into_iter()
                .filter(|path| path.extension().is_some_and(|e| e == "csv"))
                .collect();
            assert_eq!(files.len(), 1, "{place}: {files:?}");
            let text = std::fs::read_to_string(&files[0]).unwrap();
            let wrong: Vec<&str> =
                text.lines().skip(1).filter(|line| !line.split(',').any(|cell| cell == number)).collect();
            assert!(wrong.is_empty(), "{place} is not all by {number}: {wrong:?}");
        }
    }
}

/// Stopped at this point, overtaken, woken.
#[track_caller]
fn stopped_at(point: &str) {
    overtaken(Race::begin(Some(point)), point);
}

#[track_caller]
fn overtaken(mut race: Race, point: &str) {
    let published = race.second_finishes();
    let winner = race.flow.starts().pop().unwrap();
    let flow = race.wake_and_end(true);
    flow.settle_accounts();
    flow.all_was_made_by(&winner);
    assert!(flow.everything() == published, "{point}: the late one changed what was published");
}

#[test]
fn while_its_program_runs() {
    let mut race = Race::begin(None);
    wait_for(LONG, "the second attempt starts", || (race.flow.starts().len() == 2).then_some(()));
    race.flow.project.write("gate", "");
    let published = race.second_finishes();
    let winner = race.flow.starts().pop().unwrap();
    let flow = race.wake_and_end(true);
    flow.settle_accounts();
    flow.all_was_made_by(&winner);
    assert!(flow.everything() == published, "the late one changed what was published");
}

// The numbers after the @ lead to the program's own delivery: the importer and the validator pass the points before.
macro_rules! stopped_at {
    ($($name:ident: $point:literal,)*) => {
        $(
            #[test]
            fn $name() {
                stopped_at($point);
            }
        )*
    };
}

stopped_at! {
    at_its_claim: "claim.committed:stop@3",
    with_its_name_reserved: "reserve.committed:stop@5",
    before_its_program: "program.before_start:stop@2",
    after_its_program: "program.ended:stop@2",
    with_its_output_written: "publish.synced:stop@5",
    with_its_output_in_place: "publish.linked:stop@5",
    with_its_folder_synced: "publish.dir_synced:stop@5",
    with_its_manifest_in_place: "publish.manifest_linked:stop@5",
    with_its_output_published: "publish.done:stop@5",
}

/// Stopped while it replaces what an attempt that was killed had left.
#[test]
fn while_it_replaces_an_earlier_attempt() {
    for left_at in ["publish.linked:kill@5", "publish.manifest_linked:kill@5"] {
        for point in ["publish.replacing:stop", "publish.replaced:stop"] {
            let setting = Setting { program: PROGRAM.to_owned(), lease: "1s", ..Setting::default() };
            let mut flow = Flow::new(&setting);
            flow.arrive("2025-11-24.csv", 20);
            flow.project.write("gate", "");
            flow.killed_at(left_at);
            overtaken(Race::begin_with(flow, Some(point)), point);
        }
    }
}

/// Stopped within the ledger's own transaction, it holds the ledger; nobody overtakes it, and nothing is lost.
#[test]
fn in_the_middle_of_a_commit() {
    for point in ["claim.before_commit:stop@3", "complete.before_commit:stop@3"] {
        let mut race = Race::begin(Some(point));
        race.flow.is_up(&mut race.second);
        // Past its lease, where it holds one, as far as the ledger lets anybody see.
        let held = "SELECT id FROM deliveries WHERE status = 'processing' AND lease_until > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
        wait_for(LONG, "the lease has run out", || race.flow.rows(held).is_empty().then_some(()));
        let flow = race.wake_and_end(false);
        flow.settle_accounts();
    }
}

/// Stopped after its completion was committed: the other goes on from there, and nothing is late.
#[test]
fn after_its_commit() {
    let mut race = Race::begin(Some("complete.committed:stop@3"));
    let published = race.second_finishes();
    assert_eq!(race.flow.starts().len(), 1);
    let flow = race.wake_and_end(false);
    flow.settle_accounts();
    assert!(flow.everything() == published, "what was published has changed");
}

/// The first attempt's program goes well, any later one's says that the data is bad.
const ONCE_GOOD: &str = r#"sh -c 'echo $$ >> starts; [ $(wc -l < starts) -gt 1 ] && exit 65; cat'"#;

impl Flow {
    /// What the program's app has published.
    fn published_by_the_program(&self) -> Vec<PathBuf> {
        files_below(&self.project.join("data/twice"))
    }

    /// The first runtime is stopped at this point of the program's publication; meanwhile its delivery ends otherwise.
    /// Woken, it leaves nothing of its own.
    #[track_caller]
    fn leaves_nothing(point: &str, end: impl FnOnce(&Flow) -> Option<Running>) {
        let mut flow =
            Flow::new(&Setting { program: ONCE_GOOD.to_owned(), lease: "1s", ..Setting::default() });
        flow.arrive("2025-11-24.csv", 20);
        let mut first = flow.project.start_with_fault(&["run"], point);
        first.stopped_within(LONG);
        let other = end(&flow);
        let failed = "SELECT count(*) FROM deliveries WHERE target_app = 'twice' AND status = 'failed'";
        wait_for(LONG, "its delivery has failed", || (flow.rows(failed) == ["1"]).then_some(()));
        first.signal(Signal::CONT);
        first.says_within(LONG, "late: ");
        for mut runtime in [Some(first), other].into_iter().flatten() {
            runtime.signal(Signal::TERM);
            let status = runtime.end_within(LONG);
            assert!(status.success(), "{status}\n{}", runtime.stderr());
        }
        let left = flow.published_by_the_program();
        assert!(left.is_empty(), "{point}: {left:?}");
    }
}

/// Another runtime takes the delivery over and gives it up for good, so its names are free when the late one wakes.
#[test]
fn a_late_one_publishes_nothing_of_what_was_given_up() {
    for point in ["program.ended:stop@2", "publish.linked:stop@5", "publish.done:stop@5"] {
        Flow::leaves_nothing(point, |flow| Some(flow.project.start(&["run"])));
    }
}

impl Flow {
    /// Cancels by hand what the program's app works on.
    #[track_caller]
    fn cancel_it(&self) {
        let held = "SELECT id FROM deliveries WHERE target_app = 'twice' AND status = 'processing'";
        let id = self.rows(held).pop().unwrap();
        let mut cancel = self.project.start(&["cancel", &id]);
        assert!(cancel.end_within(LONG).success(), "{}", cancel.stderr());
        assert!(cancel.stdout().contains("cancelling"), "{}", cancel.stdout());
    }
}

/// The delivery is cancelled by hand, and its lease runs out: whoever sees that ends it.
#[test]
fn a_cancelled_one_that_is_late_publishes_nothing() {
    for point in ["publish.linked:stop@5", "publish.done:stop@5"] {
        Flow::leaves_nothing(point, |flow| {
            flow.cancel_it();
            Some(flow.project.start(&["run"]))
        });
    }
}

/// The delivery is cancelled by hand when its program has ended well and its output is on its way: it completes.
#[test]
fn one_that_was_done_when_it_was_cancelled_completes() {
    let mut flow = Flow::new(&Setting { program: ONCE_GOOD.to_owned(), ..Setting::default() });
    flow.arrive("2025-11-24.csv", 20);
    let mut runtime = flow.project.start_with_fault(&["run"], "publish.done:stop@5");
    runtime.stopped_within(LONG);
    flow.cancel_it();
    runtime.signal(Signal::CONT);
    let completed = "SELECT count(*) FROM deliveries WHERE target_app = 'twice' AND status = 'completed'";
    wait_for(LONG, "its delivery has completed", || (flow.rows(completed) == ["1"]).then_some(()));
    runtime.signal(Signal::TERM);
    assert!(runtime.end_within(LONG).success(), "{}", runtime.stderr());
    assert_eq!(flow.published_by_the_program().len(), 2, "its output and the manifest");
}
