//! What needs a person: failed deliveries that nobody has seen to, what is stuck, late, or wrong by a check, and apps that are
//! paused.

use super::super::glance::{self, Failed, Glance};
use super::super::shown::{self, Moment};
use crate::visitor;
use askama::Template;
use handover_core::{Delivery, Status};
use handover_ledger::{Alert, Pause};
use handover_runtime::operations::facts::Facts;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// So much of a reason is shown.
const WHY_MAX_CHARS: usize = 240;
/// So many rows are shown of what failed, and as many of what else is wrong: neither hides the other.
const ROWS_MAX: usize = 12;

/// The list.
#[derive(Debug, Template)]
#[template(path = "flows/needs.html")]
pub(super) struct Needs {
    needs: Vec<Need>,
    /// What is not shown here, each with where it is.
    more: Vec<More>,
}

#[derive(Debug, PartialEq, Eq)]
struct More {
    text: String,
    href: &'static str,
}

#[derive(Debug, Default)]
struct Need {
    name: String,
    about: String,
    why: String,
    todo: String,
    others: String,
    others_href: String,
    since: Moment,
    href: String,
    /// Where it is tried again.
    retry: Option<String>,
    /// The alert that can be muted.
    mute: Option<String>,
}

/// For whom the list is.
pub(super) struct Looker<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) now: Timestamp,
    /// The apps that they see; none is all.
    pub(super) apps: Option<&'a [String]>,
    /// Whether they may act.
    pub(super) acts: bool,
}

impl Looker<'_> {
    fn since(&self, at: Timestamp) -> Moment {
        shown::rough_moment(at, self.zone, self.now)
    }
}

impl Needs {
    /// Of what failed, and of what else is wrong as far as one sees.
    pub(super) fn new(failed: &Failed, glance: &Glance, looker: &Looker<'_>) -> Self {
        let standing = glance.how_many(Status::Failed, |app| visitor::sees(looker.apps, app));
        let failures: Vec<(Timestamp, Need)> = alike(&failed.open)
            .iter()
            .map(|(one, more)| (one.updated_at, of_delivery(one, *more, looker)))
            .collect();
        // What failed stands here one by one; where more has than was looked at, an app may be known by its alert alone.
        let listed = |app: Option<&str>| failed.open.iter().any(|one| one.target_app.as_deref() == app);
        let is_told = |alert: &&Alert| {
            let by_itself = glance::tells_of_failures(alert)
                && (standing <= failed.looked_at || listed(alert.app.as_deref()));
            !by_itself && glance::is_for(alert, looker.apps)
        };
        let told = glance.alerts.iter().filter(is_told).map(|alert| (alert.since, of_alert(alert, looker)));
        let paused = glance.paused.iter().filter(|pause| visitor::sees(looker.apps, &pause.app));
        let others: Vec<(Timestamp, Need)> =
            told.chain(paused.map(|pause| (pause.since, of_pause(pause, looker)))).collect();
        let mut more = Vec::new();
        if standing > failed.looked_at || failures.len() > ROWS_MAX {
            let text = format!("{} failed in all", shown::number(standing));
            more.push(More { text, href: "/deliveries?status=failed" });
        }
        if let Some(left) = others.len().checked_sub(ROWS_MAX).filter(|left| *left > 0) {
            let href = if looker.apps.is_none() { "/checks" } else { "/deliveries" };
            more.push(More { text: format!("{} more wrong", shown::number(left as u64)), href });
        }
        let mut needs = newest(failures);
        needs.extend(newest(others));
        needs.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        Self { needs: needs.into_iter().map(|(_, need)| need).collect(), more }
    }
}

/// The newest of them, as many as are shown.
fn newest(mut needs: Vec<(Timestamp, Need)>) -> Vec<(Timestamp, Need)> {
    needs.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    needs.truncate(ROWS_MAX);
    needs
}

fn of_pause(pause: &Pause, looker: &Looker<'_>) -> Need {
    Need {
        name: pause.app.clone(),
        about: format!("paused by {}", shown::cut(&pause.by, 60).text),
        why: "Nothing of it is worked on, and what comes waits.".into(),
        todo: format!("handover resume {}", pause.app),
        since: looker.since(pause.since),
        href: shown::link("/deliveries", &[("app", &pause.app), ("status", "pending")]),
        ..Need::default()
    }
}

fn of_alert(alert: &Alert, looker: &Looker<'_>) -> Need {
    let about: Vec<&str> = alert.app.as_deref().into_iter().chain([alert.kind.as_str()]).collect();
    Need {
        name: shown::cut(&alert.key, 120).text,
        about: about.join(" · "),
        why: shown::cut(&alert.text, WHY_MAX_CHARS).text,
        todo: shown::cut(&alert.todo, WHY_MAX_CHARS).text,
        since: looker.since(alert.since),
        href: match (alert.delivery_id, &alert.app) {
            (Some(id), _) => format!("/deliveries/{id}"),
            (None, Some(app)) => shown::link("/deliveries", &[("app", app)]),
            (None, None) => "/checks".into(),
        },
        mute: looker.acts.then(|| alert.key.clone()),
        ..Need::default()
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

fn of_delivery(delivery: &Delivery, more: u64, looker: &Looker<'_>) -> Need {
    let app = delivery.target_app.as_deref().unwrap_or(&delivery.source_app);
    let why = shown::cut(delivery.last_error.as_deref().unwrap_or("it failed without a word"), WHY_MAX_CHARS);
    let attempts = format!("attempt {} of {}", delivery.attempts, delivery.max_attempts);
    Need {
        name: shown::cut(&Facts::of(delivery).name, 120).text,
        about: format!("{app} · #{} · {attempts}", delivery.id),
        why: why.text,
        others: match more {
            0 => String::new(),
            more => format!("and {} for the same reason", shown::count_of(more, "other", "others")),
        },
        others_href: shown::link("/deliveries", &[("app", app), ("status", "failed")]),
        since: looker.since(delivery.updated_at),
        href: format!("/deliveries/{}", delivery.id),
        retry: looker.acts.then(|| format!("/deliveries/{}/retry", delivery.id)),
        ..Need::default()
    }
}
