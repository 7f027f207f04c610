//! Families of this process and its machine: what it uses, how much room there is, who works, what it is.

use super::{Families, Sample};
use handover_file::disk;
use handover_runtime::Project;
use handover_runtime::operations::health::Verdict;
use std::sync::LazyLock;

/// When this process began, in seconds since 1970, as near as it matters: when it was first asked, where the system does not say.
static STARTED: LazyLock<f64> = LazyLock::new(|| started().unwrap_or_else(|| now().as_second() as f64));

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A verdict as a number.
pub(super) fn verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Warn => 1,
        Verdict::Fail => 2,
    }
}

/// All of them. What the system does not say is left out.
pub(super) fn families(families: &mut Families, project: &Project) {
    let build = Sample::count(1).label("version", env!("CARGO_PKG_VERSION"));
    families.gauge("handover_build_info", "1, with the version of this Handover.", [build]);
    let workers = project.meter.workers();
    let of = |number: fn(&handover_runtime::meter::Workers) -> u64| {
        workers.iter().map(|one| Sample::count(number(one)).label("app", one.app.clone())).collect::<Vec<_>>()
    };
    families.gauge(
        "handover_workers_busy",
        "Workers of an app that run in this process.",
        of(|one| one.busy),
    );
    families.gauge("handover_workers_allowed", "So many may run at once.", of(|one| one.allowed));
    if let Ok(space) = disk::space(project.data.root()) {
        families.gauge(
            "handover_disk_free_bytes",
            "Room on the data directory's disk.",
            [Sample::count(space.free)],
        );
        families.gauge("handover_disk_total_bytes", "The size of that disk.", [Sample::count(space.total)]);
        let inodes = space.inodes_free.map(Sample::count);
        families.gauge("handover_disk_free_inodes", "Files that may still be made on it.", inodes);
    }
    if let Some(spans) = project.tracer.counts() {
        let spans = spans.map(|(outcome, count)| Sample::count(count).label("outcome", outcome));
        families.counter(
            "handover_trace_spans",
            "Spans that were sent, were dropped because too many waited, and were not taken by the collector (failed).",
            spans,
        );
    }
    itself(families);
}

/// What every program says of itself under these names.
fn itself(families: &mut Families) {
    families.gauge(
        "process_start_time_seconds",
        "When this process began, in seconds since 1970.",
        [Sample::new(*STARTED)],
    );
    if let Some(stat) = Stat::read() {
        families.counter(
            "process_cpu_seconds",
            "Time that its threads ran.",
            [Sample::new(stat.cpu_seconds)],
        );
        families.gauge(
            "process_resident_memory_bytes",
            "Memory that it takes.",
            [Sample::count(stat.resident)],
        );
        families.gauge(
            "process_virtual_memory_bytes",
            "Memory that it could.",
            [Sample::count(stat.virtual_)],
        );
        families.gauge("process_threads", "Its threads.", [Sample::count(stat.threads)]);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        families.gauge(
            "process_open_fds",
            "Files and sockets that it has open.",
            [Sample::count(open.count() as u64)],
        );
    }
    if let Some(most) = most_fds() {
        families.gauge("process_max_fds", "So many it may have open.", [Sample::count(most)]);
    }
}

/// What Linux says in /proc/self/stat.
struct Stat {
    cpu_seconds: f64,
    started_ticks: f64,
    threads: u64,
    virtual_: u64,
    resident: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The name in parentheses may hold anything; behind it come numbers, the process's state first.
    fn of(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (number(14)? + number(15)?) as f64 / ticks,
            threads: number(20)?,
            started_ticks: number(22)? as f64 / ticks,
            virtual_: number(23)?,
            resident: number(24)? * rustix::param::page_size() as u64,
        })
    }
}

fn started() -> Option<f64> {
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + Stat::read()?.started_ticks)
}

fn most_fds() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 200 100 0 0 20 0 7 0 4000 123456 50 0 0";
        let stat = Stat::of(&format!("17 (a) b ) c) {rest}")).unwrap();
        assert_eq!((stat.threads, stat.virtual_), (7, 123_456));
        assert_eq!(stat.resident, 50 * rustix::param::page_size() as u64);
        assert!(stat.cpu_seconds > 0.0);
        assert!(Stat::of("17 (a").is_none());
    }
}
