//! The numbers of a day. Each leads to what makes it up.

use super::super::glance::{Glance, Past};
use super::super::shown;
use crate::visitor;
use askama::Template;
use handover_core::Status;
use jiff::Timestamp;

/// The numbers.
#[derive(Debug, Template)]
#[template(path = "flows/numbers.html")]
pub(super) struct Numbers {
    numbers: Vec<Number>,
}

#[derive(Debug, Default)]
struct Number {
    name: &'static str,
    value: String,
    small: String,
    about: String,
    tone: &'static str,
    href: String,
}

impl Numbers {
    /// Of these apps; none is all.
    pub(super) fn new(glance: &Glance, past: &Past, now: Timestamp, apps: Option<&[String]>) -> Self {
        let sees = &|app: &str| visitor::sees(apps, app);
        let day = past.sum(sees);
        let delivered = Number {
            name: "Completed, 24 h",
            value: shown::about(day.completed),
            about: format!("{} rows · {}", shown::about(day.rows_in), shown::size(day.bytes)),
            href: "/deliveries?since=24h&status=completed,archived".into(),
            ..Number::default()
        };
        let took = |share: f64| day.latency.quantile(share).map(shown::took);
        let latency = Number {
            name: "Latency, p50 / p99",
            value: took(0.5).unwrap_or_else(|| "–".into()),
            small: took(0.99).map(|slow| format!("/ {slow}")).unwrap_or_default(),
            about: "arrival to completion".into(),
            href: "/deliveries?since=24h".into(),
            ..Number::default()
        };
        let standing = glance.how_many(Status::Failed, sees);
        let failed = Number {
            name: "Failed, 24 h",
            value: shown::share(day.failed, day.completed + day.failed),
            about: format!("{} as failed", shown::count_of(standing, "delivery stands", "deliveries stand")),
            tone: if glance.has_open_failures(apps) { "bad" } else { "" },
            href: "/deliveries?status=failed".into(),
            ..Number::default()
        };
        Self {
            numbers: vec![delivered, latency, failed, waiting(glance, now, sees), balance(past, &day, sees)],
        }
    }
}

fn waiting(glance: &Glance, now: Timestamp, sees: &impl Fn(&str) -> bool) -> Number {
    // What goes to no app has ended.
    let count = glance.how_many(Status::Pending, |app| !app.is_empty() && sees(app));
    let oldest = glance.oldest.iter().filter(|(app, _)| sees(app)).map(|(_, since)| *since).min();
    Number {
        name: "Waiting now",
        value: shown::about(count),
        about: oldest.map_or_else(
            || "nothing waits to be worked on".into(),
            |at| format!("oldest {}", shown::rough_age(at, now)),
        ),
        href: "/deliveries?status=pending".into(),
        ..Number::default()
    }
}

/// Whether everything that was handed over is accounted for: counted where it happens, not added up from one another.
fn balance(past: &Past, day: &handover_ledger::activity::Counts, sees: &impl Fn(&str) -> bool) -> Number {
    let lost: Vec<&str> = past
        .conserved
        .iter()
        .filter(|one| sees(&one.source) && !one.holds())
        .map(|one| one.source.as_str())
        .collect();
    let rejected = match day.rows_rejected {
        0 => "no row rejected in 24 h".to_owned(),
        rejected => format!("{} rows rejected in 24 h, each with a reason", shown::about(rejected)),
    };
    Number {
        name: "Handed over = accounted for",
        value: if lost.is_empty() { "balanced".into() } else { "not balanced".into() },
        about: if lost.is_empty() { rejected } else { shown::cut(&lost.join(", "), 60).text },
        tone: if lost.is_empty() { "" } else { "bad" },
        href: "/database".into(),
        ..Number::default()
    }
}
