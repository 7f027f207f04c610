//! What is asked for, as it stands in the address of a search and in the forms that carry it on.

use super::super::Wrong;
use super::super::shown;
use crate::Visitor;
use handover_core::{DeliveryId, Kind, Status};
use handover_ledger::Filter;
use handover_runtime::Project;
use handover_runtime::operations::times;
use jiff::Timestamp;

/// So long a text may be.
const TEXT_MAX_BYTES: usize = 1_000;

/// A time as it was typed; none where nothing was.
///
/// # Errors
/// 400 for what is no time.
pub(in crate::pages) fn time(project: &Project, text: &str) -> Result<Option<Timestamp>, Wrong> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let time = times::since(text.trim(), &project.config.timezone, project.clock.now());
    time.map(Some).map_err(|e| Wrong::bad(format!("{e}: {}", e.hint_text().unwrap_or_default())))
}

/// A search as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::pages) struct Asked {
    /// A number, a file, a text.
    pub(in crate::pages) q: String,
    pub(in crate::pages) app: String,
    pub(in crate::pages) from: String,
    pub(in crate::pages) flow: String,
    pub(in crate::pages) kind: String,
    pub(in crate::pages) statuses: Vec<String>,
    pub(in crate::pages) since: String,
    pub(in crate::pages) until: String,
    pub(in crate::pages) parent: String,
    pub(in crate::pages) replay_of: String,
    /// Where the page begins.
    pub(in crate::pages) before: String,
}

impl Asked {
    /// Reads it; names that are none of a search are passed over.
    pub(in crate::pages) fn of(pairs: &[(String, String)]) -> Self {
        let mut asked = Self::default();
        for (name, value) in pairs {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match name.as_str() {
                "q" => asked.q = value.to_owned(),
                "app" => asked.app = value.to_owned(),
                "from" => asked.from = value.to_owned(),
                "flow" => asked.flow = value.to_owned(),
                "kind" => asked.kind = value.to_owned(),
                "status" => asked.statuses.extend(value.split(',').map(str::to_owned)),
                "since" => asked.since = value.to_owned(),
                "until" => asked.until = value.to_owned(),
                "parent" => asked.parent = value.to_owned(),
                "replay_of" => asked.replay_of = value.to_owned(),
                "before" => asked.before = value.to_owned(),
                _ => {}
            }
        }
        asked
    }

    /// Its fields as a form or an address has them; what is empty is left out.
    pub(in crate::pages) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("q", self.q.clone()),
            ("app", self.app.clone()),
            ("from", self.from.clone()),
            ("flow", self.flow.clone()),
            ("kind", self.kind.clone()),
            ("status", self.statuses.join(",")),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("parent", self.parent.clone()),
            ("replay_of", self.replay_of.clone()),
            ("before", self.before.clone()),
        ];
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    }

    /// Its address below a path.
    pub(in crate::pages) fn href(&self, path: &str) -> String {
        let pairs = self.pairs();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        shown::link(path, &pairs)
    }

    /// Its fields in one line, for who reads later what was asked.
    pub(in crate::pages) fn words(&self) -> String {
        let pairs: Vec<String> =
            self.pairs().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        if pairs.is_empty() {
            "all deliveries".to_owned()
        } else {
            format!("deliveries of {}", pairs.join(", "))
        }
    }

    /// Whether it is a search for everything.
    pub(in crate::pages) fn is_all(&self) -> bool {
        Self { before: String::new(), ..self.clone() } == Self::default()
    }

    /// Whether this status is asked for.
    pub(in crate::pages) fn has(&self, status: &str) -> bool {
        self.statuses.iter().any(|one| one == status)
    }

    /// What it asks the ledger for, as far as the visitor sees.
    ///
    /// # Errors
    /// 400 for what cannot be understood, 403 for an app that is not the visitor's.
    pub(in crate::pages) fn filter(&self, project: &Project, visitor: &Visitor) -> Result<Filter, Wrong> {
        if self.q.len() > TEXT_MAX_BYTES {
            return Err(Wrong::bad(format!("the text is longer than {TEXT_MAX_BYTES} bytes")));
        }
        if !self.app.is_empty() {
            visitor.must_see(&self.app)?;
        }
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let id = |name: &str, text: &String| -> Result<Option<DeliveryId>, Wrong> {
            if text.is_empty() {
                return Ok(None);
            }
            let id = text
                .parse()
                .map_err(|_| Wrong::bad(format!("{name}: {text:?} is no delivery\u{2019}s number")))?;
            Ok(Some(id))
        };
        let time = |text: &str| time(project, text);
        let kind = match self.kind.as_str() {
            "" => None,
            kind => Some(
                kind.parse::<Kind>()
                    .map_err(|_| Wrong::bad(format!("{kind:?} is no kind: file, record or job")))?,
            ),
        };
        let status =
            |text: &String| text.parse::<Status>().map_err(|_| Wrong::bad(format!("{text:?} is no status")));
        let statuses = self.statuses.iter().map(status).collect::<Result<Vec<_>, _>>()?;
        Ok(Filter {
            app: text(&self.app),
            source: text(&self.from),
            seen_by: visitor.apps.clone(),
            archived: statuses.is_empty() || statuses.contains(&Status::Archived),
            statuses,
            kind,
            flow: text(&self.flow),
            since: time(&self.since)?,
            until: time(&self.until)?,
            text: text(&self.q),
            before: id("before", &self.before)?,
            parent: id("parent", &self.parent)?,
            replay_of: id("replay_of", &self.replay_of)?,
            ..Filter::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_was_asked() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let asked = Asked::of(&[
            pair("q", " a&b "),
            pair("status", "failed"),
            pair("status", "pending"),
            pair("app", ""),
            pair("other", "x"),
        ]);
        assert_eq!(asked.href("/deliveries"), "/deliveries?q=a%26b&status=failed%2Cpending");
        let pairs: Vec<_> = asked.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(Asked::of(&pairs), asked);
        assert!(!asked.is_all() && Asked::of(&[pair("before", "7")]).is_all());
    }
}
