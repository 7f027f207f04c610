//! What /metrics answers: counters, gauges and histograms for Prometheus and whoever reads its text, or OpenMetrics.
//!
//! - [`Families`]: what is to be said, gathered by whoever knows it; [`Format`] how it is written. Start with [`Metrics::text`].
//! - `snapshot`: what the ledger says, asked at most once a second for all scrapes; `ledger` the families made of it.
//! - `process`: this process, its machine's disk, its build, its workers.
//!
//! Invariants: a scrape reads counts that are kept, and no table of deliveries; labels have bounded values: the declared apps, one
//! value for all others ([`OTHER`]), one for what goes to no app ([`NONE`]), and what is fixed in the code. Where the ledger
//! does not answer, `handover_ledger_up` is 0 and what the process itself knows is said nevertheless.

mod ledger;
mod process;
mod snapshot;
mod write;

pub use write::{Families, Family, Format, Sample};

use crate::pages::Monitor;
use snapshot::Snapshots;

/// The label of apps that the configuration does not declare, all together. No app can be called so.
pub const OTHER: &str = "(other)";
/// The label of what goes to no app: files at the end of their flow.
pub const NONE: &str = "(none)";

/// What outlives a scrape.
#[derive(Default)]
pub struct Metrics(Snapshots);

impl Metrics {
    /// The text of a scrape; `more` adds what others know, such as the door that listens.
    pub async fn text(&self, monitor: &Monitor, format: Format, more: impl FnOnce(&mut Families)) -> String {
        let project = monitor.project();
        let mut families = Families::default();
        let snapshot = self.0.of(&project).await;
        ledger::families(&mut families, &project, snapshot.as_deref());
        families.gauge(
            "handover_ledger_up",
            "Whether the ledger answered this scrape: 1, or 0.",
            [Sample::new(f64::from(u8::from(snapshot.is_some())))],
        );
        process::families(&mut families, &project);
        if let Some(health) = monitor.health_seen() {
            let checks = health.checks.iter().map(|check| {
                Sample::new(f64::from(process::verdict(check.verdict))).label("check", check.name)
            });
            families.gauge(
                "handover_health_check",
                "What each health check found when it was last looked at: 0 all is well, 1 somebody should look, 2 it fails.",
                worst(checks.collect()),
            );
        }
        more(&mut families);
        families.write(format)
    }
}

/// Of checks of one name the worst.
fn worst(samples: Vec<Sample>) -> Vec<Sample> {
    let mut all: Vec<Sample> = Vec::new();
    for sample in samples {
        match all.iter_mut().find(|known| known.labels == sample.labels) {
            Some(known) => known.value = known.value.max(sample.value),
            None => all.push(sample),
        }
    }
    all
}
