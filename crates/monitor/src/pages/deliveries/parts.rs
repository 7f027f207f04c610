//! The parts of a delivery's page.

use super::super::shown::{self, Cut, Moment};
use super::row::tone_of;
use crate::Visitor;
use handover_core::{Delivery, DeliveryId, Status};
use handover_ledger::AuditEntry;
use handover_runtime::operations::lineage::Lineage;
use handover_runtime::operations::show::File;
use handover_runtime::operations::why::{Explanation, State};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Why it stands where it stands: the sentences of `handover why`.
#[derive(Debug)]
pub(super) struct Reason {
    pub(super) word: &'static str,
    /// Its class: `reason` where somebody has to do something.
    pub(super) tone: &'static str,
    pub(super) sentences: Vec<Cut>,
    pub(super) since: Option<Moment>,
    pub(super) release: Option<Cut>,
    pub(super) todo: Vec<String>,
    /// Whether the whole error can be seen elsewhere.
    pub(super) more: bool,
    /// The delivery that it is about, where that came of this one.
    pub(super) of: Option<DeliveryId>,
}

/// So many sentences are shown.
const SENTENCES_MAX: usize = 12;

impl Reason {
    pub(super) fn of(why: &Explanation, delivery: &Delivery, zone: &TimeZone, now: Timestamp) -> Self {
        let tone = match why.state {
            State::Failed | State::Refused | State::Quarantined => "reason",
            State::Waiting | State::Processing | State::Delayed | State::Paused | State::Cancelling => {
                "said wait"
            }
            _ => "said",
        };
        let cut = |text: &String| shown::cut(text, 1_200);
        let sentences: Vec<Cut> = why.sentences.iter().take(SENTENCES_MAX).map(cut).collect();
        Self {
            word: why.state.word(),
            tone,
            more: delivery.last_error.is_some() && sentences.iter().any(|sentence| sentence.more),
            sentences,
            of: why.delivery.filter(|of| *of != delivery.id),
            since: why.since.map(|since| shown::past(since, zone, now)),
            release: why.release.as_ref().map(cut),
            todo: why.todo.clone(),
        }
    }
}

/// A line of its history.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) iso: String,
    /// To the millisecond: much happens within one second.
    pub(super) at: String,
    pub(super) what: String,
    pub(super) actor: Cut,
    pub(super) note: Option<Cut>,
    pub(super) bad: bool,
}

impl Event {
    pub(super) fn of(entry: &AuditEntry, zone: &TimeZone, now: Timestamp) -> Self {
        let what = match (entry.from, entry.to) {
            (None, Status::Pending) => "handed over".to_owned(),
            (None, to) => format!("made, {to}"),
            (Some(Status::Pending), Status::Processing) => "claimed".to_owned(),
            (Some(Status::Processing), Status::Pending) => "to be tried again".to_owned(),
            (Some(Status::Failed), Status::Pending) => "retried".to_owned(),
            (Some(_), to) => to.to_string(),
        };
        let (then, today) = (entry.at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
        let form = if then.date() == today.date() { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" };
        Self {
            iso: entry.at.to_string(),
            at: then.strftime(form).to_string(),
            what,
            actor: shown::cut(&entry.actor, 80),
            note: entry.note.as_deref().map(|note| shown::cut(note, 400)),
            bad: entry.to == Status::Failed,
        }
    }
}

/// Something that is known of it.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: Cut,
    pub(super) href: Option<String>,
}

impl Fact {
    fn new(name: &'static str, value: impl AsRef<str>) -> Self {
        Self { name, value: shown::line(value.as_ref()), href: None }
    }

    fn linked(name: &'static str, value: impl AsRef<str>, href: String) -> Self {
        Self { href: Some(href), ..Self::new(name, value) }
    }

    pub(super) fn all(delivery: &Delivery, zone: &TimeZone, now: Timestamp) -> Vec<Self> {
        let told = |moment: Moment| format!("{}, {}", moment.local, moment.ago);
        let at = |time| told(shown::moment(time, zone, now));
        let past = |time| told(shown::past(time, zone, now));
        let mut facts = vec![Self::linked(
            "from",
            &delivery.source_app,
            shown::link("/deliveries", &[("from", &delivery.source_app)]),
        )];
        if let Some(app) = &delivery.target_app {
            facts.push(Self::linked("to", app, shown::link("/deliveries", &[("app", app)])));
        }
        facts.push(Self::new("kind", delivery.kind.as_str()));
        if let Some(flow) = &delivery.flow {
            facts.push(Self::linked("flow", flow, shown::link("/deliveries", &[("flow", flow)])));
        }
        facts.push(Self::new("handed over", past(delivery.created_at)));
        facts.extend(delivery.processed_at.map(|ended| Self::new("ended", past(ended))));
        if delivery.target_app.is_some() {
            facts.push(Self::new("attempts", format!("{} of {}", delivery.attempts, delivery.max_attempts)));
        }
        if delivery.status == Status::Pending && delivery.run_at > now {
            facts.push(Self::new("not before", at(delivery.run_at)));
        }
        if delivery.rescues > 0 {
            facts.push(Self::new(
                "taken back from a lost process",
                shown::count(u64::from(delivery.rescues), "time"),
            ));
        }
        if delivery.priority != 0 {
            facts.push(Self::new("priority", delivery.priority.to_string()));
        }
        if delivery.status == Status::Processing {
            facts.extend(delivery.leased_by.as_ref().map(|holder| Self::new("held by", &holder.0)));
            facts.extend(delivery.lease_until.map(|until| Self::new("lease until", at(until))));
        }
        let texts = [
            ("made by", &delivery.created_by),
            ("dedup key", &delivery.dedup_key),
            ("order key", &delivery.order_key),
            ("trace", &delivery.trace),
        ];
        facts.extend(texts.into_iter().filter_map(|(name, text)| Some(Self::new(name, text.as_ref()?))));
        facts
    }
}

/// Where it came from, up to the original, and what was made from it.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) nodes: Vec<Relative>,
    pub(super) cut: bool,
    /// How many are another app's.
    pub(super) hidden: usize,
    pub(super) replays: Option<DeliveryId>,
    pub(super) replayed_by: Vec<DeliveryId>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Relative {
    pub(super) id: DeliveryId,
    pub(super) name: Cut,
    pub(super) app: Cut,
    pub(super) status: &'static str,
    pub(super) tone: &'static str,
    pub(super) rows: Option<String>,
    pub(super) here: bool,
    /// How deep it is drawn: a class has it.
    pub(super) depth: usize,
}

/// Deeper than this nothing is moved further to the right.
const DRAWN_DEPTH_MAX: usize = 8;

impl Family {
    pub(super) fn of(lineage: &Lineage, visitor: &Visitor) -> Self {
        let seen = |node: &&handover_runtime::operations::lineage::Node| {
            node.here
                || visitor.sees_all()
                || node.app.as_deref().is_some_and(|app| visitor.sees(app))
                // What ends a flow is its maker's, who is its parent's reader.
                || (node.app.is_none()
                    && lineage.tree.iter().any(|other| Some(other.id) == node.parent && other.app.as_deref().is_some_and(|app| visitor.sees(app))))
        };
        let nodes: Vec<Relative> = lineage
            .tree
            .iter()
            .filter(seen)
            .map(|node| Relative {
                id: node.id,
                name: shown::cut(&node.facts.name, 80),
                app: shown::cut(node.app.as_deref().unwrap_or("end"), 64),
                status: node.status.as_str(),
                tone: tone_of(node.status),
                rows: node.facts.rows.map(|rows| shown::count(rows, "row")),
                here: node.here,
                depth: node.depth.min(DRAWN_DEPTH_MAX),
            })
            .collect();
        Self {
            hidden: lineage.tree.len() - nodes.len(),
            nodes,
            cut: lineage.cut,
            replays: lineage.replays,
            replayed_by: lineage.replayed_by.clone(),
        }
    }
}

/// A file that was made from it.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) id: Option<DeliveryId>,
    pub(super) name: Cut,
    pub(super) size: String,
    pub(super) rows: String,
    pub(super) to: String,
    pub(super) there: bool,
    pub(super) archived: bool,
}

impl Output {
    pub(super) fn of(file: &File) -> Self {
        Self {
            id: file.deliveries.first().copied(),
            name: shown::cut(&file.facts.name, shown::LINE_MAX_CHARS),
            size: file.facts.size.map(shown::size).unwrap_or_default(),
            rows: file.facts.rows.map(shown::number).unwrap_or_default(),
            to: shown::cut(&file.to.join(", "), 100).text,
            there: file.file.is_some(),
            archived: file.archived,
        }
    }
}
