//! A notice in words: a subject, a text, and what Slack, Teams and others take.
//!
//! What comes from outside (file names, errors) is cleaned of control characters and of marks that change the direction of text,
//! cut, and escaped for where it goes.

use handover_ledger::{Alert, Line, Notice, Saying, Severity};
use serde_json::{Value, json};

/// So much of a text is told.
const TEXT_CHARS: usize = 600;
/// So many alerts are told one by one; of the others it is said how many they are.
const LINES_MAX: usize = 20;

/// What is told, for any target.
pub(super) struct Said<'a> {
    notice: &'a Notice,
    link: Option<String>,
}

/// One line of a text from outside: without what would not be seen as it is.
pub(super) fn line(text: &str) -> String {
    let strange = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let clean: String = text.chars().map(|c| if strange(c) { ' ' } else { c }).collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(TEXT_CHARS) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words,
    }
}

impl<'a> Said<'a> {
    pub(super) fn new(notice: &'a Notice, link: Option<&str>) -> Self {
        Self { notice, link: link.map(|link| link.trim_end_matches('/').to_owned()) }
    }

    fn count(&self, says: impl Fn(Saying) -> bool) -> usize {
        self.notice.lines.iter().filter(|line| says(line.says)).count()
    }

    /// The worst first, and what has ended last.
    fn lines(&self) -> Vec<&'a Line> {
        let mut lines: Vec<&Line> = self.notice.lines.iter().collect();
        lines.sort_by_key(|line| (line.says == Saying::Recovered, line.alert.verdict == Severity::Warn));
        lines
    }

    /// One line that says it all where there is one alert, else how many there are.
    pub(super) fn subject(&self) -> String {
        let (wrong, over) =
            (self.count(|says| says != Saying::Recovered), self.count(|says| says == Saying::Recovered));
        match (&self.notice.lines[..], wrong, over) {
            ([one], ..) => format!("[handover] {}: {}", word(one), line(&one.alert.text)),
            (_, wrong, 0) => format!("[handover] {wrong} alerts: {}", self.about()),
            (_, 0, over) => format!("[handover] {over} recovered: {}", self.about()),
            (_, wrong, over) => format!("[handover] {wrong} alerts, {over} recovered: {}", self.about()),
        }
    }

    /// Whom it is about.
    fn about(&self) -> String {
        let mut apps: Vec<&str> = self.lines().iter().filter_map(|line| line.alert.app.as_deref()).collect();
        apps.dedup();
        let more = if apps.len() > 5 { ", …" } else { "" };
        apps.truncate(5);
        if apps.is_empty() { "handover".to_owned() } else { format!("{}{more}", line(&apps.join(", "))) }
    }

    /// The whole as plain text.
    pub(super) fn text(&self) -> String {
        let mut paragraphs: Vec<String> =
            self.lines().into_iter().take(LINES_MAX).map(|line| self.paragraph(line)).collect();
        paragraphs.extend(self.rest());
        if let Some(link) = &self.link {
            paragraphs.push(format!("{link}/health"));
        }
        paragraphs.join("\n\n") + "\n"
    }

    fn paragraph(&self, one: &Line) -> String {
        let mut text = format!("{}: {}", word(one), line(&one.alert.text));
        text.push_str(&format!("\nsince {}", handover_core::clock::rfc3339(one.alert.since)));
        match (one.says, one.alert.ended_at) {
            (Saying::Recovered, Some(ended)) => {
                text.push_str(&format!(" until {}", handover_core::clock::rfc3339(ended)));
            }
            _ => text.push_str(&format!("\ndo: {}", line(&one.alert.todo))),
        }
        if let Some(link) = self.link_of(&one.alert) {
            text.push_str(&format!("\n{link}"));
        }
        text
    }

    /// What is said of those that are not told one by one.
    fn rest(&self) -> Option<String> {
        let more = self.notice.lines.len().saturating_sub(LINES_MAX);
        (more > 0).then(|| format!("and {more} more: `handover alerts` lists all"))
    }

    fn link_of(&self, alert: &Alert) -> Option<String> {
        let link = self.link.as_ref()?;
        Some(match alert.delivery_id {
            Some(id) => format!("{link}/deliveries/{id}"),
            None => format!("{link}/health"),
        })
    }

    /// JSON of our own.
    pub(super) fn json(&self) -> Value {
        let alerts: Vec<Value> = self.notice.lines.iter().map(|line| self.alert_json(line)).collect();
        json!({
            "event": "alerts", "notice": self.notice.id, "target": self.notice.target, "time": self.notice.made_at,
            "subject": self.subject(), "alerts": alerts, "link": self.link,
        })
    }

    fn alert_json(&self, one: &Line) -> Value {
        let alert = &one.alert;
        json!({
            "says": one.says, "key": alert.key, "kind": alert.kind, "verdict": alert.verdict, "app": alert.app,
            "delivery_id": alert.delivery_id.map(|id| id.to_string()), "count": alert.count, "text": alert.text,
            "todo": alert.todo, "since": alert.since, "ended_at": alert.ended_at, "link": self.link_of(alert),
        })
    }

    /// A message for Slack: text in its own markup.
    pub(super) fn slack(&self) -> Value {
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let block = |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
        let mut blocks: Vec<Value> = Vec::new();
        for one in self.lines().into_iter().take(LINES_MAX) {
            let todo = if one.says == Saying::Recovered {
                String::new()
            } else {
                format!("\n_{}_", escaped(&line(&one.alert.todo)))
            };
            let link = self.link_of(&one.alert).map(|link| format!("  <{link}|look>")).unwrap_or_default();
            blocks.push(block(format!("*{}* {}{link}{todo}", word(one), escaped(&line(&one.alert.text)))));
        }
        blocks.extend(self.rest().map(|text| block(escaped(&text))));
        json!({ "text": escaped(&self.subject()), "blocks": blocks })
    }

    /// An Adaptive Card for Teams. What it shows is text: its markup is not read.
    pub(super) fn teams(&self) -> Value {
        let mut body: Vec<Value> = vec![
            json!({ "type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true, "text": plain(&self.subject()) }),
        ];
        for one in self.lines().into_iter().take(LINES_MAX) {
            let color = match (one.says, one.alert.verdict) {
                (Saying::Recovered, _) => "Good",
                (_, Severity::Fail) => "Attention",
                (_, Severity::Warn) => "Warning",
            };
            let text = plain(&format!("{}: {}", word(one), line(&one.alert.text)));
            body.push(json!({ "type": "TextBlock", "wrap": true, "color": color, "text": text }));
            if one.says != Saying::Recovered {
                let todo = plain(&line(&one.alert.todo));
                body.push(json!({ "type": "TextBlock", "wrap": true, "isSubtle": true, "spacing": "None", "text": todo }));
            }
        }
        body.extend(
            self.rest().map(|text| json!({ "type": "TextBlock", "wrap": true, "text": plain(&text) })),
        );
        let actions: Vec<Value> = self
            .link
            .iter()
            .map(|link| json!({ "type": "Action.OpenUrl", "title": "Look", "url": format!("{link}/health") }))
            .collect();
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
            "body": body, "actions": actions,
        });
        let attachment = json!({ "contentType": "application/vnd.microsoft.card.adaptive", "content": card });
        json!({ "type": "message", "attachments": [attachment] })
    }
}

/// Text whose marks a card does not take for markup.
fn plain(text: &str) -> String {
    let mark = |c: char| matches!(c, '*' | '_' | '[' | ']' | '`' | '\\');
    text.chars().flat_map(|c| mark(c).then_some('\\').into_iter().chain([c])).collect()
}

/// What is said of an alert, in a word.
fn word(one: &Line) -> String {
    match one.says {
        Saying::Raised => one.alert.kind.as_str().to_uppercase(),
        Saying::Worse => format!("{} (worse)", one.alert.kind.as_str().to_uppercase()),
        Saying::Recovered => "RECOVERED".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::DeliveryId;
    use handover_ledger::AlertKind;
    use std::collections::BTreeMap;

    fn told(says: Saying, text: &str) -> Line {
        let at: jiff::Timestamp = "2025-11-24T10:30:00Z".parse().unwrap();
        let alert = Alert {
            key: "failed:a".into(),
            kind: AlertKind::Failed,
            verdict: Severity::Fail,
            app: Some("a".into()),
            delivery_id: Some(DeliveryId(7)),
            count: 1,
            text: text.into(),
            todo: "handover list --status failed".into(),
            seen_by: String::new(),
            since: at,
            raised_at: at,
            seen_at: at,
            told_at: None,
            muted_until: None,
            muted_by: None,
            ended_at: (says == Saying::Recovered).then_some(at),
            told: BTreeMap::new(),
        };
        Line { says, alert }
    }

    fn notice(lines: Vec<Line>) -> Notice {
        let at = "2025-11-24T10:30:00Z".parse().unwrap();
        Notice { id: 3, target: "mail".into(), made_at: at, due_at: at, attempts: 1, error: None, lines }
    }

    #[test]
    fn one_alert_is_said_in_its_subject_with_what_to_do_and_a_link() {
        let notice = notice(vec![told(Saying::Raised, "1 delivery of a failed: no such column")]);
        let said = Said::new(&notice, Some("https://h.example/"));
        assert_eq!(said.subject(), "[handover] FAILED: 1 delivery of a failed: no such column");
        let text = said.text();
        for part in [
            "do: handover list --status failed",
            "since 2025-11-24T10:30:00.000Z",
            "https://h.example/deliveries/7",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(said.json()["alerts"][0]["link"], "https://h.example/deliveries/7");
    }

    #[test]
    fn many_are_one_message_with_the_worst_first() {
        let mut lines = vec![told(Saying::Recovered, "x")];
        lines.extend((0..40).map(|n| told(Saying::Raised, &format!("number {n}"))));
        let notice = notice(lines);
        let said = Said::new(&notice, None);
        assert_eq!(said.subject(), "[handover] 40 alerts, 1 recovered: a");
        let text = said.text();
        assert!(text.contains("and 21 more") && text.starts_with("FAILED: number 0"), "{text}");
        assert_eq!(said.json()["alerts"].as_array().unwrap().len(), 41);
    }

    #[test]
    fn what_comes_from_outside_is_cleaned_cut_and_escaped() {
        let bad = format!("<!channel> \u{202e}\u{1b}[31m*x*\n{}", "y".repeat(10_000));
        let notice = notice(vec![told(Saying::Raised, &bad)]);
        let said = Said::new(&notice, None);
        let slack = said.slack().to_string();
        assert!(slack.contains("&lt;!channel&gt;") && !slack.contains("<!channel>"), "{slack}");
        for text in [said.subject(), said.text(), slack, said.teams().to_string()] {
            assert!(!text.contains(['\u{202e}', '\u{1b}']) && text.len() < 4_000, "{text}");
        }
        assert!(said.teams().to_string().contains(r"\\*x\\*"));
    }
}
