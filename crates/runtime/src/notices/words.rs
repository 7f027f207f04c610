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
/// Slack takes blocks of 3,000 characters, and messages of some 13,000.
const SLACK_TEXT_MAX: usize = 1_800;
const SLACK_TODO_MAX: usize = 800;
const SLACK_BYTES_MAX: usize = 12_000;
/// Teams takes messages of 28 KB; of its own it adds some.
const TEAMS_BYTES_MAX: usize = 20_000;

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
        paragraphs.extend(self.rest(LINES_MAX));
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

    /// What is said of those that are not told one by one, where so many are.
    fn rest(&self, told: usize) -> Option<String> {
        let more = self.notice.lines.len().saturating_sub(told);
        (more > 0).then(|| format!("and {more} more: `handover alerts` lists all"))
    }

    /// The worst alerts as `shown` shows them, as many as fit into so many bytes of JSON, one at least; and how many they are.
    fn fitting(&self, bytes_max: usize, shown: impl Fn(&Line) -> Vec<Value>) -> (Vec<Value>, usize) {
        let (mut all, mut bytes, mut told) = (Vec::new(), 0, 0);
        for one in self.lines().into_iter().take(LINES_MAX) {
            let parts = shown(one);
            bytes += parts.iter().map(|part| part.to_string().len() + 1).sum::<usize>();
            if told > 0 && bytes > bytes_max {
                break;
            }
            all.extend(parts);
            told += 1;
        }
        (all, told)
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

    /// A message for Slack: text in its own markup. Names in it that look like Slack's own (`#sales`, `@here`) are left as they are.
    pub(super) fn slack(&self) -> Value {
        let block = |text: String| {
            let text = json!({ "type": "mrkdwn", "text": text, "verbatim": true });
            json!({ "type": "section", "text": text })
        };
        let (mut blocks, told) = self.fitting(SLACK_BYTES_MAX, |one| {
            let todo = match one.says {
                Saying::Recovered => String::new(),
                _ => format!("\n_{}_", slack_text(&line(&one.alert.todo), SLACK_TODO_MAX)),
            };
            let link = self.link_of(&one.alert).map(|link| format!("  <{link}|look>")).unwrap_or_default();
            let text = slack_text(&line(&one.alert.text), SLACK_TEXT_MAX);
            vec![block(format!("*{}* {text}{link}{todo}", word(one)))]
        });
        blocks.extend(self.rest(told).map(block));
        json!({ "text": slack_text(&self.subject(), SLACK_TEXT_MAX), "blocks": blocks })
    }

    /// An Adaptive Card for Teams. What it shows is text: its markup is not read.
    pub(super) fn teams(&self) -> Value {
        let mut body: Vec<Value> = vec![
            json!({ "type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true, "text": plain(&self.subject()) }),
        ];
        let (alerts, told) = self.fitting(TEAMS_BYTES_MAX, |one| {
            let color = match (one.says, one.alert.verdict) {
                (Saying::Recovered, _) => "Good",
                (_, Severity::Fail) => "Attention",
                (_, Severity::Warn) => "Warning",
            };
            let text = plain(&format!("{}: {}", word(one), line(&one.alert.text)));
            let mut shown = vec![json!({ "type": "TextBlock", "wrap": true, "color": color, "text": text })];
            if one.says != Saying::Recovered {
                let todo = plain(&line(&one.alert.todo));
                shown.push(json!({ "type": "TextBlock", "wrap": true, "isSubtle": true, "spacing": "None", "text": todo }));
            }
            shown
        });
        body.extend(alerts);
        body.extend(
            self.rest(told).map(|text| json!({ "type": "TextBlock", "wrap": true, "text": plain(&text) })),
        );
        let actions: Vec<Value> = self
            .link
            .iter()
            .map(|link| json!({ "type": "Action.OpenUrl", "title": "Look", "url": format!("{link}/health") }))
            .collect();
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.2",
            "body": body, "actions": actions,
        });
        let attachment = json!({
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
        });
        json!({ "type": "message", "attachments": [attachment] })
    }
}

/// Text without what begins a link, a mention or an entity in Slack's markup; cut where that makes it longer than so many characters.
fn slack_text(text: &str, most: usize) -> String {
    let (mut out, mut left) = (String::new(), most);
    for c in text.chars() {
        let entity = match c {
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            _ => None,
        };
        let Some(rest) = left.checked_sub(entity.map_or(1, str::len)) else { return out + "…" };
        left = rest;
        match entity {
            Some(entity) => out.push_str(entity),
            None => out.push(c),
        }
    }
    out
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
    fn whatever_many_alerts_say_slack_and_teams_take_the_message() {
        for bad in ["&".repeat(700), "\u{1f980}".repeat(700), "\\\"*".repeat(300), "a\tb ".repeat(300)] {
            let mut lines: Vec<Line> = (0..60).map(|_| told(Saying::Raised, &bad)).collect();
            lines.iter_mut().for_each(|line| line.alert.todo.clone_from(&bad));
            let notice = notice(lines);
            let said = Said::new(&notice, Some("https://h.example"));
            let (slack, teams) = (said.slack(), said.teams());
            let blocks = slack["blocks"].as_array().unwrap();
            assert!(blocks.len() <= 50 && slack["text"].as_str().unwrap().chars().count() <= 3_000);
            for block in blocks {
                let text = block["text"]["text"].as_str().unwrap();
                assert!((1..=3_000).contains(&text.chars().count()), "{text}");
            }
            let characters: usize =
                blocks.iter().map(|b| b["text"]["text"].as_str().unwrap().chars().count()).sum();
            assert!(characters < 13_000 && teams.to_string().len() < 28_000, "{bad:.10}");
            // Those that are not told are counted.
            let last = blocks.last().unwrap()["text"]["text"].as_str().unwrap();
            let more: usize = last.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(more + blocks.len() - 1, 60, "{last}");
            let body = &teams["attachments"][0]["content"]["body"];
            assert!(body.as_array().unwrap().last().unwrap()["text"].as_str().unwrap().starts_with("and "));
        }
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
