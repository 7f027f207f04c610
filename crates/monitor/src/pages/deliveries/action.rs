//! One action on one delivery: what would happen is shown, and a second press does it.

use super::super::act::Act;
use super::super::frame::{Frame, Here};
use super::super::shown::{self, Cut};
use super::super::{Monitor, Page, Wrong};
use super::row::{status_word, tone};
use super::{VIA, acted_on, actor, visible};
use crate::Visitor;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Redirect;
use handover_core::{Delivery, DeliveryId, ErrorKind};
use handover_runtime::Project;
use handover_runtime::operations::act::{self, Done, Effect};
use handover_runtime::operations::facts::Facts;
use serde::Deserialize;

/// The page that asks.
#[derive(Debug, Template)]
#[template(path = "action.html")]
pub(super) struct AskPage {
    frame: Frame,
    id: DeliveryId,
    name: Cut,
    status: &'static str,
    tone: &'static str,
    app: Cut,
    act: act::Act,
    effect: Effect,
    newest: DeliveryId,
}

/// Shows what would happen.
pub(super) async fn ask(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Path((id, word)): Path<(String, String)>,
) -> Result<Page<AskPage>, Wrong> {
    let project = monitor.project();
    let (delivery, act) = allowed(&project, &visitor, &id, &word).await?;
    let effect = act::effect(&project, act, &delivery).await?;
    let title = format!("{} delivery {}?", capital(act.word()), delivery.id);
    Ok(Page(AskPage {
        frame: monitor.frame(&visitor, Here::Deliveries, title).await?,
        id: delivery.id,
        name: shown::cut(&Facts::of(&delivery).name, shown::LINE_MAX_CHARS),
        status: status_word(&delivery),
        tone: tone(&delivery),
        app: shown::cut(acted_on(&delivery), 64),
        act,
        effect,
        newest: act::newest(&project).await?,
    }))
}

/// The delivery and the action, where this visitor may do it.
async fn allowed(
    project: &Project,
    visitor: &Visitor,
    id: &str,
    word: &str,
) -> Result<(Delivery, act::Act), Wrong> {
    let act = act::Act::of(word).ok_or_else(|| Wrong::not_found("there is no such page"))?;
    visitor.must_operate()?;
    let delivery = visible(project, visitor, id).await?;
    visitor.must_see(acted_on(&delivery))?;
    Ok((delivery, act))
}

/// What the question was about.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// The newest delivery when it was shown.
    newest: i64,
}

/// Does it, and leads to the delivery; where that cannot be done any more, the page says why.
pub(super) async fn act(
    State(monitor): State<Monitor>,
    Path((id, word)): Path<(String, String)>,
    Act { visitor, form }: Act<Answer>,
) -> Result<Redirect, Wrong> {
    let project = monitor.project();
    let (delivery, act) = allowed(&project, &visitor, &id, &word).await?;
    let asked_when = Some(DeliveryId(form.newest));
    let by = act::By { actor: &actor(&visitor), via: VIA, holder: monitor.holder() };
    let done = act::perform(&project, by, act, delivery.id, asked_when).await;
    let (id, word) = match done {
        Ok(Done::Replayed(new) | Done::ReplayedBefore(new)) => (new, "replay"),
        Ok(Done::Retried) => (delivery.id, "retry"),
        Ok(Done::Cancelled) => (delivery.id, "cancel"),
        Ok(Done::Cancelling) => (delivery.id, "cancelling"),
        Ok(Done::Archived(_)) => (delivery.id, "archive"),
        Ok(Done::Restored) => (delivery.id, "restore"),
        Ok(Done::Left(why)) => return Err(Wrong::conflict(format!("nothing was done: {why}"))),
        Err(e) if e.kind() == ErrorKind::IllegalTransition => {
            return Err(Wrong::conflict(format!("nothing was done: {e}")));
        }
        Err(e) => return Err(e.into()),
    };
    Ok(Redirect::to(&format!("/deliveries/{id}?done={word}")))
}

/// A word as a sentence begins with it.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
