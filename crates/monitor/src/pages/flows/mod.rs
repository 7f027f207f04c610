//! Flows: each drawn as steps and arrows, with what moves on it now; above them the numbers of a day, below what needs a person.
//!
//! [`layers`]: where steps stand · [`drawing`]: a flow as its template has it · [`numbers`], [`needs`]: what stands above and below ·
//! [`board`]: all parts, each by itself, so that what has changed alone is sent to who looks.

pub(super) mod board;
mod drawing;
mod layers;
mod needs;
mod numbers;

use super::frame::{Frame, Here};
use super::{Monitor, Page, Wrong};
use crate::Visitor;
use askama::Template;
use axum::extract::State;
use board::Part;

/// The page.
#[derive(Debug, Template)]
#[template(path = "flows.html")]
pub(super) struct FlowsPage {
    frame: Frame,
    parts: Vec<Part>,
}

/// Answers with it.
pub(super) async fn page(State(monitor): State<Monitor>, visitor: Visitor) -> Result<Page<FlowsPage>, Wrong> {
    let frame = monitor.frame(&visitor, Here::Flows, "Flows").await?;
    let parts = board::parts(&monitor, visitor.apps.as_deref(), visitor.must_operate().is_ok()).await?;
    Ok(Page(FlowsPage { frame, parts }))
}
