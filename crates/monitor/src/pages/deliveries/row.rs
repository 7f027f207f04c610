//! A delivery as one line of a list.

use super::super::shown::{self, Cut, Moment};
use handover_core::{Delivery, Status};
use handover_runtime::Project;
use handover_runtime::operations::facts::{Facts, Role};

/// A line.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Row {
    pub(in crate::pages) id: String,
    pub(in crate::pages) href: String,
    pub(in crate::pages) status: &'static str,
    pub(in crate::pages) tone: &'static str,
    pub(in crate::pages) name: Cut,
    pub(in crate::pages) kind: &'static str,
    pub(in crate::pages) from: Cut,
    pub(in crate::pages) to: Cut,
    pub(in crate::pages) rows: String,
    pub(in crate::pages) at: Moment,
    pub(in crate::pages) remark: Cut,
}

/// So much of an app's name is shown: any program may have written it.
const APP_MAX_CHARS: usize = 64;
/// So much of a file's name is shown in a line.
const NAME_MAX_CHARS: usize = 100;

impl Row {
    pub(in crate::pages) fn of(project: &Project, delivery: &Delivery) -> Self {
        let facts = Facts::of(delivery);
        let to = match (&delivery.target_app, facts.role) {
            (Some(app), _) => app.as_str(),
            (None, Role::Export) => "(export)",
            (None, Role::Report) => "(report)",
            (None, Role::RejectedRows) => "(rejected rows)",
            (None, Role::Quarantined) => "(quarantine)",
            (None, _) => "(end)",
        };
        Self {
            id: delivery.id.to_string(),
            href: format!("/deliveries/{}", delivery.id),
            status: status_word(delivery),
            tone: tone(delivery),
            name: shown::cut(&facts.name, NAME_MAX_CHARS),
            kind: delivery.kind.as_str(),
            from: shown::cut(&delivery.source_app, APP_MAX_CHARS),
            to: shown::cut(to, APP_MAX_CHARS),
            rows: facts.rows.map(shown::number).unwrap_or_default(),
            at: shown::past(delivery.created_at, &project.config.timezone, project.clock.now()),
            remark: remark(delivery),
        }
    }
}

/// The word for where it stands.
pub(in crate::pages) fn status_word(delivery: &Delivery) -> &'static str {
    if delivery.deleted_at.is_some() { "deleted" } else { delivery.status.as_str() }
}

/// The class of its status.
pub(in crate::pages) fn tone(delivery: &Delivery) -> &'static str {
    if delivery.deleted_at.is_some() { "warn" } else { tone_of(delivery.status) }
}

/// The class of a status.
pub(in crate::pages) fn tone_of(status: Status) -> &'static str {
    match status {
        Status::Failed => "bad",
        Status::Pending | Status::Processing => "warn",
        Status::Completed => "",
        Status::Archived => "quiet",
    }
}

/// What is worth a word: an error, a replay.
fn remark(delivery: &Delivery) -> Cut {
    match (&delivery.last_error, delivery.replay_of) {
        (Some(error), _) if delivery.status != Status::Completed => shown::line(error),
        (_, Some(old)) => shown::line(&format!("runs {old} again")),
        _ => shown::line(""),
    }
}
