//! What every page has: where one is, what is wrong anywhere, who looks.

use super::{Monitor, Wrong, assets, glance, shown};
use crate::{Visitor, visitor};
use handover_core::Status;
use handover_ledger::AlertKind;

/// Alerts by the word that stands above every page, and where they are told.
const TOLD: [(&str, &[AlertKind], &str); 4] = [
    ("late", &[AlertKind::Late, AlertKind::Missing, AlertKind::Old], "/#needs"),
    ("not as expected", &[AlertKind::Small, AlertKind::Same], "/#needs"),
    ("stuck", &[AlertKind::Stuck], "/#needs"),
    ("unwell", &[AlertKind::Health], "/checks"),
];

/// The places of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// The flows, drawn.
    Flows,
    /// All deliveries.
    Deliveries,
    /// Jobs.
    Jobs,
    /// The ledger's depth and growth.
    Database,
    /// Folders by date.
    Files,
    /// The checks.
    Health,
    /// API keys.
    Keys,
    /// Who did what.
    Audit,
    /// None of them.
    Elsewhere,
}

impl Here {
    /// The navigation, in its order.
    pub const ALL: [Here; 8] = [
        Here::Flows,
        Here::Deliveries,
        Here::Jobs,
        Here::Database,
        Here::Files,
        Here::Health,
        Here::Keys,
        Here::Audit,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flows => "Flows",
            Self::Deliveries => "Deliveries",
            Self::Jobs => "Jobs",
            Self::Database => "Database",
            Self::Files => "Files",
            Self::Health => "Health",
            Self::Keys => "Keys",
            Self::Audit => "Audit",
            Self::Elsewhere => "",
        }
    }

    /// Its path. That of health is not `/health`, where machines ask.
    pub fn path(self) -> &'static str {
        match self {
            Self::Flows | Self::Elsewhere => "/",
            Self::Deliveries => "/deliveries",
            Self::Jobs => "/jobs",
            Self::Database => "/database",
            Self::Files => "/files",
            Self::Health => "/checks",
            Self::Keys => "/keys",
            Self::Audit => "/audit",
        }
    }
}

/// Something that is wrong, in two words, with the page that says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pill {
    /// Its class: `bad`, `warn`, or none.
    pub tone: &'static str,
    /// What is wrong.
    pub text: String,
    /// Where it is told.
    pub href: String,
}

/// What a page's template extends.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What the page is called.
    pub title: String,
    /// Where it is.
    pub here: Here,
    /// What is wrong anywhere.
    pub pills: Vec<Pill>,
    /// Who looks; none before they have logged in.
    pub visitor: Option<Visitor>,
    /// What an action led to: shown above the page.
    pub said: Option<Said>,
}

/// What an action led to.
#[derive(Debug, Clone)]
pub struct Said {
    /// Whether it went well.
    pub good: bool,
    /// What is said of it.
    pub text: String,
}

impl Frame {
    /// A frame around nothing but words, where nobody may be known and the ledger may not answer.
    pub fn bare(title: impl Into<String>) -> Self {
        Self { title: title.into(), here: Here::Elsewhere, pills: Vec::new(), visitor: None, said: None }
    }

    /// The same, with what an action led to.
    #[must_use]
    pub fn saying(mut self, good: bool, text: impl Into<String>) -> Self {
        self.said = Some(Said { good, text: text.into() });
        self
    }

    /// The places of the navigation that are for who looks.
    pub fn places(&self) -> Vec<Here> {
        let Some(visitor) = &self.visitor else { return Vec::new() };
        let is_for = |place: &Here| match place {
            Here::Keys => visitor.admin && visitor.sees_all(),
            Here::Health | Here::Audit => visitor.sees_all(),
            _ => true,
        };
        Here::ALL.into_iter().filter(is_for).collect()
    }

    /// The address of the style.
    pub fn css(&self) -> &'static str {
        assets::css()
    }

    /// The address of the script.
    pub fn js(&self) -> &'static str {
        assets::js()
    }

    /// The address of the icon.
    pub fn icon(&self) -> &'static str {
        assets::icon()
    }
}

impl Monitor {
    /// The frame of a page.
    ///
    /// # Errors
    /// Where the ledger does not answer.
    pub async fn frame(
        &self,
        visitor: &Visitor,
        here: Here,
        title: impl Into<String>,
    ) -> Result<Frame, Wrong> {
        let pills = self.pills(visitor.apps.as_deref()).await?;
        Ok(Frame { title: title.into(), here, pills, visitor: Some(visitor.clone()), said: None })
    }

    /// What is wrong anywhere, as far as one sees it who is for these apps.
    ///
    /// # Errors
    /// Where the ledger does not answer.
    pub(super) async fn pills(&self, apps: Option<&[String]>) -> handover_core::Result<Vec<Pill>> {
        let glance = self.glances().of(&self.project()).await?;
        let mut pills = Vec::new();
        let failed = glance.how_many(Status::Failed, |app| visitor::sees(apps, app));
        if failed > 0 {
            let text = format!("{} failed", shown::number(failed));
            // What was replayed stands as failed, and needs nobody.
            let tone = if glance.has_open_failures(apps) { "bad" } else { "" };
            pills.push(Pill { tone, text, href: "/deliveries?status=failed".into() });
        }
        for (word, kinds, href) in TOLD {
            let these = glance.alerts.iter().filter(|alert| kinds.contains(&alert.kind));
            let count = these.filter(|alert| glance::is_for(alert, apps)).count();
            if count > 0 {
                pills.push(Pill { tone: "warn", text: format!("{count} {word}"), href: href.into() });
            }
        }
        let paused = glance.paused.iter().filter(|pause| visitor::sees(apps, &pause.app)).count();
        if paused > 0 {
            pills.push(Pill { tone: "warn", text: format!("{paused} paused"), href: "/#needs".into() });
        }
        Ok(pills)
    }
}
