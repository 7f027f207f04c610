//! What needs a person: failed deliveries that nobody has seen to, and apps that are paused.

use super::super::glance::Glance;
use super::super::shown::{self, Moment};
use askama::Template;
use handover_core::{Delivery, Status};
use handover_runtime::operations::facts::Facts;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// So much of a reason is shown.
const WHY_MAX_CHARS: usize = 240;
/// So many rows are shown.
const ROWS_MAX: usize = 12;

/// The list.
#[derive(Debug, Template)]
#[template(path = "flows/needs.html")]
pub(super) struct Needs {
    needs: Vec<Need>,
    more: String,
}

#[derive(Debug)]
struct Need {
    name: String,
    about: String,
    why: String,
    todo: String,
    others: String,
    others_href: String,
    since: Moment,
    href: String,
}

impl Needs {
    /// Of these failed deliveries, and the paused apps that one sees.
    pub(super) fn new(
        failed: &[Delivery],
        glance: &Glance,
        zone: &TimeZone,
        now: Timestamp,
        sees: &impl Fn(&str) -> bool,
    ) -> Self {
        let alike = alike(failed);
        let mut needs: Vec<(Timestamp, Need)> =
            alike.iter().map(|(one, more)| (one.updated_at, of_delivery(one, *more, zone, now))).collect();
        let paused = glance.paused.iter().filter(|pause| sees(&pause.app));
        needs.extend(paused.map(|pause| {
            let need = Need {
                name: pause.app.clone(),
                about: format!("paused by {}", shown::cut(&pause.by, 60).text),
                why: "Nothing of it is worked on, and what comes waits.".into(),
                todo: format!("handover resume {}", pause.app),
                others: String::new(),
                others_href: String::new(),
                since: shown::rough_moment(pause.since, zone, now),
                href: shown::link("/deliveries", &[("app", &pause.app), ("status", "pending")]),
            };
            (pause.since, need)
        }));
        needs.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        let standing = glance.how_many(Status::Failed, sees);
        needs.truncate(ROWS_MAX);
        let listed = failed.len() as u64;
        let more = if standing > listed {
            format!("{} failed in all", shown::number(standing))
        } else {
            String::new()
        };
        Self { needs: needs.into_iter().map(|(_, need)| need).collect(), more }
    }
}

/// The newest of those that failed in the same app for the same reason, and how many more there are.
fn alike(failed: &[Delivery]) -> Vec<(&Delivery, u64)> {
    let mut found: Vec<(&Delivery, u64)> = Vec::new();
    for one in failed {
        let is_alike = |(other, _): &&mut (&Delivery, u64)| {
            (&other.target_app, &other.last_error) == (&one.target_app, &one.last_error)
        };
        match found.iter_mut().find(is_alike) {
            Some((_, more)) => *more += 1,
            None => found.push((one, 0)),
        }
    }
    found
}

fn of_delivery(delivery: &Delivery, more: u64, zone: &TimeZone, now: Timestamp) -> Need {
    let app = delivery.target_app.as_deref().unwrap_or(&delivery.source_app);
    let why = shown::cut(delivery.last_error.as_deref().unwrap_or("it failed without a word"), WHY_MAX_CHARS);
    Need {
        name: shown::cut(&Facts::of(delivery).name, 120).text,
        about: format!(
            "{app} · #{} · attempt {} of {}",
            delivery.id, delivery.attempts, delivery.max_attempts
        ),
        why: why.text,
        todo: String::new(),
        others: match more {
            0 => String::new(),
            more => format!("and {} for the same reason", shown::count_of(more, "other", "others")),
        },
        others_href: shown::link("/deliveries", &[("app", app), ("status", "failed")]),
        since: shown::rough_moment(delivery.updated_at, zone, now),
        href: format!("/deliveries/{}", delivery.id),
    }
}
