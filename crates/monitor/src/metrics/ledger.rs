//! Families made of what the ledger says: deliveries, latencies, rows, what waits and for how long.

use super::snapshot::{Snapshot, staging_rows};
use super::{Families, NONE, OTHER, Sample};
use handover_core::{Kind, Status, WEBHOOK_APP};
use handover_ledger::Counts;
use handover_ledger::activity::BOUNDS_MICROS;
use handover_runtime::Project;
use std::collections::BTreeMap;
use std::time::Duration;

/// How the app stands in a label.
fn label(project: &Project, app: &str) -> String {
    match app {
        "" => NONE.to_owned(),
        WEBHOOK_APP => WEBHOOK_APP.to_owned(),
        app if project.config.app(app).is_some() => app.to_owned(),
        _ => OTHER.to_owned(),
    }
}

/// All of them; of a ledger that does not answer none.
pub(super) fn families(families: &mut Families, project: &Project, snapshot: Option<&Snapshot>) {
    links(families, project);
    let Some(snapshot) = snapshot else { return };
    deliveries(families, project, snapshot);
    ended(families, project, snapshot);
    families.gauge(
        "handover_staging_rows",
        "Records that stand in data_staging, whatever their status.",
        [Sample::count(staging_rows(&snapshot.counts))],
    );
    families.gauge(
        "handover_staging_bytes",
        "The size of data_staging without its indexes; of an embedded ledger, whose tables share a file, that of the whole file.",
        [Sample::count(snapshot.sizes.staging)],
    );
    families.gauge(
        "handover_ledger_bytes",
        "The size of the ledger's tables, or of its file.",
        [Sample::count(snapshot.sizes.all)],
    );
    let paused = project.config.apps.iter().map(|app| {
        let is = snapshot.paused.contains(app.name.as_str());
        Sample::count(u64::from(is)).label("app", app.name.to_string())
    });
    families.gauge("handover_app_paused", "Whether an app is paused: 1, or 0.", paused);
}

/// What stands where, what ever came there, and how long it has waited.
fn deliveries(families: &mut Families, project: &Project, snapshot: &Snapshot) {
    let mut entered: BTreeMap<(String, Kind3, Status5), u64> = BTreeMap::new();
    let mut stands: BTreeMap<(String, Kind3, Status5), u64> = BTreeMap::new();
    for count in &snapshot.counts {
        let key = (label(project, &count.app), place(count.kind), status_place(count.status));
        *entered.entry(key.clone()).or_default() += count.entered;
        *stands.entry(key).or_default() += count.count;
    }
    let sample = |((app, kind, status), count): ((String, Kind3, Status5), u64)| {
        Sample::count(count)
            .label("app", app)
            .label("kind", KINDS[kind].as_str())
            .label("status", Status::ALL[status].as_str())
    };
    families.counter(
        "handover_deliveries",
        "Deliveries that ever came to a status, by whatever way; one that is tried again comes to pending again.",
        entered.into_iter().map(sample),
    );
    families.gauge(
        "handover_queue_depth",
        "Deliveries that stand at a status now.",
        stands.into_iter().map(sample),
    );
    let oldest = snapshot.oldest.iter().map(|((app, kind), at)| {
        let age = Duration::try_from(snapshot.at.duration_since(*at)).unwrap_or_default();
        Sample::new(age.as_secs_f64()).label("app", app.clone()).label("kind", *kind)
    });
    families.gauge(
        "handover_oldest_pending_seconds",
        "How long ago what could be claimed next was handed over; not there where nothing waits.",
        oldest,
    );
}

type Kind3 = usize;
type Status5 = usize;
const KINDS: [Kind; 3] = [Kind::File, Kind::Record, Kind::Job];

fn place(kind: Kind) -> Kind3 {
    KINDS.iter().position(|one| *one == kind).unwrap_or_default()
}

fn status_place(status: Status) -> Status5 {
    Status::ALL.iter().position(|one| *one == status).unwrap_or_default()
}

/// What ended: latencies, rows, bytes, attempts.
fn ended(families: &mut Families, project: &Project, snapshot: &Snapshot) {
    let mut kinds: BTreeMap<(String, Kind3), Counts> = BTreeMap::new();
    let mut apps: BTreeMap<String, Counts> = BTreeMap::new();
    for one in &snapshot.totals {
        let app = label(project, &one.app);
        kinds.entry((app.clone(), place(one.kind))).or_default().add(&one.counts);
        apps.entry(app).or_default().add(&one.counts);
    }
    let took = kinds.iter().map(|((app, kind), counts)| {
        Sample::histogram(&BOUNDS_MICROS, &counts.latency.buckets, counts.latency.sum_micros)
            .label("app", app.clone())
            .label("kind", KINDS[*kind].as_str())
    });
    families.histogram(
        "handover_delivery_latency_seconds",
        "From a delivery's arrival to its completion, of those that Handover completed itself.",
        took,
    );
    let attempts = kinds.iter().flat_map(|((app, kind), counts)| {
        let of = [("completed", counts.completed), ("failed", counts.failed), ("retried", counts.retried)];
        let (app, kind) = (app.clone(), KINDS[*kind].as_str());
        of.map(move |(outcome, count)| {
            Sample::count(count).label("app", app.clone()).label("kind", kind).label("outcome", outcome)
        })
    });
    families.counter(
        "handover_attempts",
        "Attempts that ended, as Handover saw it: completed, failed for good, or to be made again (retried).",
        attempts,
    );
    let rows = apps.iter().flat_map(|(app, counts)| {
        let of = [
            ("in", counts.rows_in),
            ("out", counts.rows_out),
            ("rejected", counts.rows_rejected),
            ("filtered", counts.rows_filtered),
        ];
        of.map(|(outcome, count)| Sample::count(count).label("app", app.clone()).label("outcome", outcome))
    });
    families.counter(
        "handover_rows",
        "Rows that an app read (in), wrote (out), rejected, or left out as configured (filtered).",
        rows.collect::<Vec<_>>(),
    );
    let bytes = apps.iter().map(|(app, counts)| Sample::count(counts.bytes).label("app", app.clone()));
    families.counter(
        "handover_bytes",
        "Bytes that an app was given: of files their size, of records their JSON.",
        bytes,
    );
}

/// The links of the flows, for who draws them beside the counts.
fn links(families: &mut Families, project: &Project) {
    let links = project.config.flows.iter().flat_map(|flow| {
        flow.links.iter().map(|link| {
            Sample::count(1)
                .label("flow", flow.name.clone())
                .label("from", link.from.to_string())
                .label("to", link.to.to_string())
                .label("by", link.by.to_string())
        })
    });
    families.gauge("handover_link_info", "1 for each link of each flow.", links.collect::<Vec<_>>());
}
