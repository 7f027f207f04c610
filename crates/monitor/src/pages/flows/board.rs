//! The parts of the page, each by itself.

use super::super::glance;
use super::super::monitor::Monitor;
use super::drawing::Drawing;
use super::needs::{Looker, Needs};
use super::numbers::Numbers;
use crate::visitor;
use askama::Template;
use handover_core::{Error, Result};
use handover_runtime::config::Flow;

/// A part of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Part {
    /// Its element's id.
    pub(in super::super) id: String,
    /// Its element's class.
    pub(super) class: &'static str,
    /// How it is read out.
    pub(super) label: String,
    /// What is in it.
    pub(in super::super) html: String,
}

impl Part {
    fn new(id: String, class: &'static str, label: String, template: &impl Template) -> Result<Self> {
        let html = template.render().map_err(|e| Error::internal("a part of the page").because(e))?;
        Ok(Self { id, class, label, html })
    }
}

#[derive(Template)]
#[template(path = "flows/empty.html")]
struct Empty;

/// All parts, for who sees these apps, and may act on them or not; none is all.
pub(in super::super) async fn parts(
    monitor: &Monitor,
    apps: Option<&[String]>,
    acts: bool,
) -> Result<Vec<Part>> {
    let project = monitor.project();
    let (glance, past) = (monitor.glances().of(&project).await?, monitor.glances().past(&project).await?);
    let failed = glance::failed(&project, apps).await?;
    let (now, sees) = (project.clock.now(), |app: &str| visitor::sees(apps, app));
    let mut parts = vec![Part::new(
        "numbers".into(),
        "card numbers",
        "Last 24 hours".into(),
        &Numbers::new(&glance, &past, now, apps),
    )?];
    let flows: Vec<&Flow> =
        project.config.flows.iter().filter(|flow| flow.apps().iter().any(|app| sees(app.as_str()))).collect();
    for (nth, flow) in flows.iter().enumerate() {
        let drawing = Drawing::of(flow, &project.config, &glance, &past, now, &sees);
        parts.push(Part::new(format!("flow-{nth}"), "card flow", format!("Flow {}", flow.name), &drawing)?);
    }
    if let Some(others) = Drawing::of_others(&project.config, &glance, &past, now, &sees) {
        parts.push(Part::new("flow-others".into(), "card flow", "Apps outside flows".into(), &others)?);
    } else if flows.is_empty() {
        parts.push(Part::new("flow-none".into(), "card", "Flows".into(), &Empty)?);
    }
    let needs = Needs::new(&failed, &glance, &Looker { zone: &project.config.timezone, now, apps, acts });
    parts.push(Part::new("needs".into(), "card", "Needs a person".into(), &needs)?);
    Ok(parts)
}
