//! The same action on all that fit a search: how many, of which apps, and what would happen; then what was done.

use super::super::act::Act;
use super::super::frame::{Frame, Here};
use super::super::shown;
use super::super::{Monitor, Page, Wrong};
use super::action::capital;
use super::query::Asked;
use super::{VIA, actor};
use crate::Visitor;
use askama::Template;
use axum::extract::{Path, Query, State};
use handover_core::DeliveryId;
use handover_ledger::Filter;
use handover_runtime::operations::act::many::{DidMany, MANY_MAX, Many, fitting, perform_many};
use handover_runtime::operations::act::{self};

/// The page that asks.
#[derive(Debug, Template)]
#[template(path = "many.html")]
pub(super) struct AskPage {
    frame: Frame,
    act: act::Act,
    asked: Asked,
    count: String,
    /// Whether there are more than are done at once.
    more: bool,
    is_none: bool,
    others: Option<String>,
    apps: Vec<(String, String)>,
    newest: DeliveryId,
    back: String,
}

/// The page that says what was done.
#[derive(Debug, Template)]
#[template(path = "many_done.html")]
pub(super) struct DonePage {
    frame: Frame,
    act: act::Act,
    did: DidMany,
    done: String,
    left: String,
    /// The rest: the search that goes on, and how the question begins again.
    go_on: Option<Asked>,
    newest: DeliveryId,
    back: String,
}

/// Shows what would happen.
pub(super) async fn ask(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Path(word): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Page<AskPage>, Wrong> {
    let act = known(&word)?;
    visitor.must_operate()?;
    let project = monitor.project();
    let asked = Asked::of(&pairs);
    let newest = act::newest(&project).await?;
    let found = found(&monitor, &visitor, act, &asked, newest).await?;
    let count = shown::number(found.ids.len() as u64);
    let more = found.ids.len() == MANY_MAX;
    let frame = monitor.frame(&visitor, Here::Deliveries, format!("{} all of these?", capital(act.word())));
    Ok(Page(AskPage {
        frame: frame.await?,
        act,
        back: asked.href("/deliveries"),
        count,
        more,
        is_none: found.ids.is_empty(),
        others: Some(found.others).filter(|others| *others > 0).map(shown::number),
        apps: found.apps.iter().map(|(app, n)| (shown::cut(app, 64).text, shown::number(*n))).collect(),
        newest,
        asked,
    }))
}

fn known(word: &str) -> Result<act::Act, Wrong> {
    match act::Act::of(word) {
        Some(act @ (act::Act::Retry | act::Act::Replay)) => Ok(act),
        _ => Err(Wrong::not_found("there is no such page")),
    }
}

/// What fits, of what there was when the question was shown.
async fn found(
    monitor: &Monitor,
    visitor: &Visitor,
    act: act::Act,
    asked: &Asked,
    newest: DeliveryId,
) -> Result<Many, Wrong> {
    let project = monitor.project();
    let filter = asked.filter(&project, visitor)?;
    let above = DeliveryId(newest.0.saturating_add(1));
    let before = Some(filter.before.map_or(above, |before| before.min(above)));
    let filter = Filter { before, ..filter };
    Ok(fitting(&project, act, &filter, visitor.apps.as_deref()).await?)
}

/// Does it to as many as are done at once, and offers the rest.
pub(super) async fn act(
    State(monitor): State<Monitor>,
    Path(word): Path<String>,
    Act { visitor, form }: Act<Vec<(String, String)>>,
) -> Result<Page<DonePage>, Wrong> {
    let act = known(&word)?;
    let asked = Asked::of(&form);
    let newest = form.iter().find(|(name, _)| name == "newest").and_then(|(_, value)| value.parse().ok());
    let newest =
        newest.map(DeliveryId).ok_or_else(|| Wrong::bad("the form does not say what it was about"))?;
    let found = found(&monitor, &visitor, act, &asked, newest).await?;
    let project = monitor.project();
    let by = act::By { actor: &actor(&visitor), via: VIA, holder: monitor.holder() };
    let did = perform_many(&project, by, act, &found.ids, newest, &asked.words()).await;
    let rest = found.below.map(|below| Asked { before: below.to_string(), ..asked.clone() });
    let done = shown::number(did.done);
    let frame = monitor.frame(&visitor, Here::Deliveries, format!("{} all of these", capital(act.word())));
    Ok(Page(DonePage {
        frame: frame.await?,
        act,
        done,
        left: shown::number(did.left_count),
        did,
        go_on: rest,
        newest,
        back: Asked { before: String::new(), ..asked }.href("/deliveries"),
    }))
}
