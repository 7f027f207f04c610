//! One delivery: the reason first, then where it came from and went, what happened, what it holds.

use super::super::frame::{Frame, Here};
use super::super::shown::{self, Cut, Moment};
use super::super::{Monitor, Page, Wrong};
use super::data::{Data, Gathered, Shape, gather};
use super::parts::{Event, Fact, Family, Output, Reason};
use super::row::{status_word, tone};
use super::{may_act, visible};
use crate::Visitor;
use askama::Template;
use axum::extract::{Path, Query, State};
use handover_core::{Delivery, DeliveryId, Kind, Status};
use handover_runtime::Project;
use handover_runtime::operations::act::Act;
use handover_runtime::operations::facts::{Facts, Role};
use handover_runtime::operations::show::{Bounds, Shown, show_within};
use handover_runtime::operations::why;
use serde::Deserialize;
use serde_json::Value;

/// So many of what was made from it are read.
const OUTPUTS_MAX: usize = 100;
/// So many of its family below it are drawn.
const FAMILY_MAX: usize = 60;
/// So many lines of its history are shown, from either end.
const HISTORY_MAX: usize = 40;
/// So many lines that its program said are shown, the last.
const LINES_MAX: usize = 50;

/// The page.
#[derive(Debug, Template)]
#[template(path = "delivery.html")]
pub(super) struct OnePage {
    frame: Frame,
    id: DeliveryId,
    title: Cut,
    crumbs: Vec<String>,
    status: &'static str,
    tone: &'static str,
    open: bool,
    /// Whether something may still become of it, or of what came of it: then the page follows that.
    follows: bool,
    reason: Reason,
    acts: Vec<Act>,
    family: Family,
    history: Vec<Event>,
    history_left_out: usize,
    attempts: Vec<Cut>,
    facts: Vec<Fact>,
    said: Vec<(Moment, Cut)>,
    said_more: bool,
    stderr: Option<Cut>,
    has_file: bool,
    data: Data,
    outputs: Vec<Output>,
    outputs_cut: bool,
}

/// What may be asked of the page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// What was done to it just now.
    #[serde(default)]
    done: String,
    /// Whether the checksum of its file is to be computed.
    #[serde(default)]
    check: String,
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<OnePage>, Wrong> {
    let project = monitor.project();
    let id = visible(&project, &visitor, &id).await?.id;
    let shown = show_within(&project, id, Bounds { outputs: OUTPUTS_MAX, family: FAMILY_MAX }).await?;
    let why = why::of(&project, id).await?;
    // What an app made is seen by who sees the app.
    let sees_work = visitor.sees(shown.delivery.target_app.as_deref().unwrap_or(&shown.delivery.source_app));
    let place = if wanted.check.is_empty() { None } else { Some(monitor.reading()?) };
    let gathered = gather(&project, &shown, place, sees_work).await?;
    let title = title(&shown.delivery);
    let here = if shown.delivery.kind == Kind::Job { Here::Jobs } else { Here::Deliveries };
    let frame = monitor.frame(&visitor, here, format!("{} · delivery {id}", title.text)).await?;
    let frame = match done_words(&wanted.done, id) {
        Some(words) => frame.saying(true, words),
        None => frame,
    };
    let said = said(&project, id, shown.delivery.kind).await?;
    let mut made = made(&project, &visitor, frame, title, (&shown, &why), gathered, said, sees_work);
    // A checksum is computed once, by who asked for it.
    made.follows &= made.open || wanted.check.is_empty();
    Ok(Page(made))
}

fn is_open(status: Status) -> bool {
    matches!(status, Status::Pending | Status::Processing)
}

#[allow(clippy::too_many_arguments, reason = "each is a part of the page, read for itself")]
fn made(
    project: &Project,
    visitor: &Visitor,
    frame: Frame,
    title: Cut,
    (shown, why): (&Shown, &why::Explanation),
    gathered: Gathered,
    said: Said,
    sees_work: bool,
) -> OnePage {
    let delivery = &shown.delivery;
    let (zone, now) = (&project.config.timezone, project.clock.now());
    let events: Vec<Event> = shown.history.iter().map(|entry| Event::of(entry, zone, now)).collect();
    let left_out = events.len().saturating_sub(2 * HISTORY_MAX);
    let history = match left_out {
        0 => events,
        _ => events[..HISTORY_MAX].iter().chain(&events[events.len() - HISTORY_MAX..]).cloned().collect(),
    };
    let open = is_open(delivery.status) && delivery.deleted_at.is_none();
    OnePage {
        frame,
        id: delivery.id,
        title,
        crumbs: crumbs(delivery),
        status: status_word(delivery),
        tone: tone(delivery),
        open,
        follows: open || why.state.goes_on() || shown.lineage.tree.iter().any(|one| is_open(one.status)),
        reason: Reason::of(why, delivery, zone, now),
        acts: if may_act(visitor, delivery) { Act::possible(delivery) } else { Vec::new() },
        family: Family::of(&shown.lineage, visitor),
        history,
        history_left_out: left_out,
        // What is told of something that came of it is told there.
        attempts: why
            .tried
            .iter()
            .filter(|_| why.delivery == Some(delivery.id))
            .rev()
            .take(HISTORY_MAX)
            .map(|tried| shown::line(tried))
            .collect(),
        facts: Fact::all(delivery, zone, now),
        said: said
            .lines
            .into_iter()
            .map(|(at, line)| (shown::past(at, zone, now), shown::line(&line)))
            .collect(),
        said_more: said.more,
        stderr: result_text(delivery, "stderr")
            .filter(|_| sees_work)
            .map(|text| shown::cut(text, shown::TEXT_MAX_CHARS)),
        has_file: gathered.has_file,
        data: gathered.data,
        outputs_cut: shown.outputs.len() >= OUTPUTS_MAX,
        outputs: if sees_work { shown.outputs.iter().map(Output::of).collect() } else { Vec::new() },
    }
}

fn title(delivery: &Delivery) -> Cut {
    let facts = Facts::of(delivery);
    match facts.role {
        Role::Job => shown::cut(&format!("Job {}", delivery.id), shown::LINE_MAX_CHARS),
        Role::Record => shown::cut(&format!("Record {}", delivery.id), shown::LINE_MAX_CHARS),
        _ => shown::cut(&facts.name, shown::LINE_MAX_CHARS),
    }
}

fn crumbs(delivery: &Delivery) -> Vec<String> {
    let flow = delivery.flow.clone();
    let short = |text: &String| shown::cut(text, 64).text;
    flow.iter().chain(&delivery.target_app).map(short).collect()
}

/// What was done just now, as it is said above the page. The address holds a word alone: nobody can make the page say something else.
fn done_words(done: &str, id: DeliveryId) -> Option<String> {
    Some(match done {
        "retry" => "It waits again, with all its attempts.".to_owned(),
        "replay" => format!("This is the new delivery, {id}: it runs the old one again."),
        "cancel" => "It is cancelled.".to_owned(),
        "cancelling" => "It is being cancelled: it ends when what works on it has stopped.".to_owned(),
        "archive" => "It is in the archive.".to_owned(),
        "restore" => "It is back.".to_owned(),
        _ => return None,
    })
}

pub(super) fn result_text<'d>(delivery: &'d Delivery, key: &str) -> Option<&'d str> {
    let text = delivery.result.as_ref()?.get(key)?;
    text.as_str().filter(|text| !text.is_empty())
}

/// What its program said while it worked.
#[derive(Debug, Default)]
struct Said {
    lines: Vec<(jiff::Timestamp, String)>,
    more: bool,
}

async fn said(project: &Project, id: DeliveryId, kind: Kind) -> Result<Said, Wrong> {
    if kind != Kind::Job {
        return Ok(Said::default());
    }
    let standing = project.ledger.standing(vec![id]).await?;
    let all = standing.first().map_or(0, |standing| standing.lines);
    let after = all.saturating_sub(LINES_MAX as u64);
    let lines = project.ledger.progress(id, after, LINES_MAX).await?;
    Ok(Said { lines: lines.into_iter().map(|line| (line.at, line.line)).collect(), more: after > 0 })
}

/// A value as people read it.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
