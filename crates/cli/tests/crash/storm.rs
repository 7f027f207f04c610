//! Two daemons on one project, killed at random while files keep arriving: sometimes the runtime, sometimes its
//! guards, sometimes both. At the end every row is accounted for, and no program of a killed runtime runs on.
//!
//! It lasts `HANDOVER_TEST_STORM_S` seconds (20 unless set; 60 for a thorough run), and its random numbers come from
//! `HANDOVER_TEST_SEED` (1 unless set).

use crate::flow::{Flow, LONG, Setting};
use handover_testkit::process::{self, children, processes, variable_of, wait_for};
use handover_testkit::{Random, Running};
use std::time::{Duration, Instant};

/// Some deliveries hang at their first attempt, so that there is something to kill; the others are quick.
const PROGRAM: &str = r#"sh -c 'if [ $((HANDOVER_DELIVERY_ID % 5)) = 0 ] && mkdir hung.$HANDOVER_DELIVERY_ID; then sleep 600; fi; sleep 0.05; cat'"#;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

impl Flow {
    fn daemon(&self) -> Running {
        self.project.start(&["run"])
    }

    /// The programs, of whatever runtime with this number, that run in this project.
    fn programs_of(&self, runtime: u32) -> Vec<u32> {
        let ours = std::fs::canonicalize(self.project.path()).unwrap();
        let of_runtime = format!("{runtime}-");
        let is_one = |pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == ours)
                && variable_of(*pid, "HANDOVER_HOLDER").is_some_and(|holder| holder.starts_with(&of_runtime))
        };
        processes().into_iter().filter(is_one).collect()
    }
}

/// Kills a runtime, its guards, or both, in either order. Whoever is left is waited for.
fn strike(flow: &Flow, random: &mut Random, runtime: &mut Running) {
    let guards: Vec<u32> = children(runtime.pid())
        .into_iter()
        .filter(|pid| variable_of(*pid, "HANDOVER_GUARD").is_some())
        .collect();
    let kill_guards = || guards.iter().for_each(|pid| process::kill(*pid));
    match random.below(5) {
        // The guards alone: the runtime starts new ones and goes on.
        0 => return kill_guards(),
        1 => {
            kill_guards();
            process::kill(runtime.pid());
        }
        2 => {
            process::kill(runtime.pid());
            kill_guards();
        }
        _ => process::kill(runtime.pid()),
    }
    let status = runtime.end_within(LONG);
    assert!(process::was_killed(status), "a daemon ended by itself: {status}\n{}", runtime.stderr());
    let dead = runtime.pid();
    *runtime = flow.daemon();
    // Whoever lives ends what the dead one has left: its guard, the other daemon, or the new one.
    wait_for(LONG, "a killed runtime's programs are gone", || {
        flow.programs_of(dead).is_empty().then_some(())
    });
}

#[test]
fn killed_at_random_nothing_is_lost_or_twice() {
    let (seconds, seed) = (number("HANDOVER_TEST_STORM_S", 20), number("HANDOVER_TEST_SEED", 1));
    println!("seed {seed}, {seconds} seconds");
    let mut random = Random::new(seed);
    let setting = Setting {
        program: PROGRAM.to_owned(),
        original: "delete",
        more: ", workers: 3",
        ..Setting::default()
    };
    let mut flow = Flow::new(&setting);
    let mut daemons = [flow.daemon(), flow.daemon()];
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut files = 0;
    while Instant::now() < end {
        flow.arrive(&format!("2025-11-24-{files}.csv"), 5 + random.number() % 20);
        files += 1;
        std::thread::sleep(Duration::from_millis(random.number() % 500));
        if random.one_in(2) {
            let which = random.below(2);
            strike(&flow, &mut random, &mut daemons[which]);
        }
    }
    for daemon in &mut daemons {
        daemon.signal(rustix::process::Signal::KILL);
        daemon.end_within(LONG);
    }
    finish(&flow);
    for daemon in &daemons {
        assert_eq!(flow.programs_of(daemon.pid()), [] as [u32; 0]);
    }
    flow.settle_accounts();
    println!(
        "{files} files, {} rows, {} transitions",
        flow.good.len() + flow.bad.len(),
        flow.rows("SELECT count(*) FROM v_audit")[0]
    );
}

/// One quiet run, when what waits for another try (its guard was killed) is due.
fn finish(flow: &Flow) {
    let waiting = "SELECT id FROM v_deliveries WHERE status = 'pending' AND run_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
    wait_for(LONG, "what is delayed is due", || flow.rows(waiting).is_empty().then_some(()));
    flow.run_once();
}

/// A runtime and its guards die at once, so that no guard ends its programs; the other daemon, which lives on, does, and
/// takes the work over.
#[test]
fn a_living_daemon_ends_the_programs_of_one_that_died_with_its_guards() {
    let program = r#"sh -c 'echo $$ >> starts; if mkdir hung; then sleep 600; fi; cat'"#;
    let mut flow = Flow::new(&Setting { program: program.to_owned(), ..Setting::default() });
    flow.arrive("2025-11-24.csv", 20);
    let mut first = flow.daemon();
    wait_for(LONG, "the program hangs", || (flow.starts().len() == 1).then_some(()));
    let hung: u32 = flow.starts()[0].parse().unwrap();
    let mut second = flow.daemon();
    flow.is_up(&mut second);
    second.says_within(LONG, "watches incoming");
    let guards = children(first.pid());
    // A guard that is stopped cannot end anything; it dies as it is.
    guards.iter().for_each(|pid| process::stop(*pid));
    process::kill(first.pid());
    first.end_within(LONG);
    // The living daemon, which looks each second, may end the program from here on.
    guards.iter().for_each(|pid| process::kill(*pid));
    wait_for(LONG, "its program is gone", || (!process::is_running(hung)).then_some(()));
    flow.wait_for_exports(1, &mut second);
    second.signal(rustix::process::Signal::TERM);
    assert!(second.end_within(LONG).success(), "{}", second.stderr());
    flow.settle_accounts();
}
