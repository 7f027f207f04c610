//! A flow as its template has it: columns of steps, and between them what waits on each link.

use super::super::glance::{Glance, Past, STEP};
use super::super::{shown, spark};
use super::layers::{Layer, Place, layers};
use askama::Template;
use handover_core::limits::STUCK_AFTER_MS;
use handover_core::{AppName, Status};
use handover_ledger::activity::Counts;
use handover_runtime::config::{App, Config, Flow, Link, Mode, Runs};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// So long a pipe is, in the units of its drawing.
const PIPE: f64 = 110.0;
/// A link whose oldest waits for so long is worth a look.
const SLOW_MS: u64 = 5 * 60 * 1_000;
/// So many steps of [`STEP`] seconds make a day, and the one that has begun.
const POINTS: usize = 49;

/// A flow.
#[derive(Debug, Template)]
#[template(path = "flows/flow.html")]
pub(super) struct Drawing {
    name: String,
    href: String,
    description: String,
    facts: Vec<String>,
    columns: Vec<Column>,
}

#[derive(Debug, Default)]
struct Column {
    /// Lines from the places of the column before to those of the links.
    fan: Vec<String>,
    links: Vec<Arrow>,
    /// Whether the arrows cannot be told from where they stand alone.
    several: bool,
    steps: Vec<Option<Step>>,
}

/// What leads to a step; not drawn where it only passes.
#[derive(Debug, Default)]
struct Arrow {
    drawn: bool,
    from: String,
    to: String,
    by: String,
    label: String,
    tone: &'static str,
    fill: String,
    waits: String,
    href: String,
}

#[derive(Debug)]
struct Step {
    name: String,
    icon: String,
    about: String,
    tone: &'static str,
    href: String,
    states: Vec<State>,
    spark: String,
    spark_says: String,
}

#[derive(Debug)]
struct State {
    text: String,
    tone: &'static str,
    href: String,
}

/// What steps and arrows are filled from.
struct Known<'a> {
    config: &'a Config,
    glance: &'a Glance,
    past: &'a Past,
    now: Timestamp,
}

impl Drawing {
    /// A flow; of the apps that one does not see there is the name alone.
    pub(super) fn of(
        flow: &Flow,
        config: &Config,
        glance: &Glance,
        past: &Past,
        now: Timestamp,
        sees: &impl Fn(&str) -> bool,
    ) -> Self {
        let known = Known { config, glance, past, now };
        let layers = layers(flow);
        let column = |(nth, layer): (usize, &Layer<'_>)| {
            let before = nth.checked_sub(1).and_then(|before| layers.get(before));
            known.column(flow, layer, before.map(|before| before.places.len()), sees)
        };
        Self {
            name: flow.name.clone(),
            href: shown::link("/deliveries", &[("flow", &flow.name)]),
            description: flow.description.clone().unwrap_or_default(),
            facts: known.facts(flow, sees),
            columns: layers.iter().enumerate().map(column).collect(),
        }
    }

    /// Apps that stand in no flow, and those that the ledger alone knows; none where there are none.
    pub(super) fn of_others(
        config: &Config,
        glance: &Glance,
        past: &Past,
        now: Timestamp,
        sees: &impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let known = Known { config, glance, past, now };
        let in_flows: BTreeSet<&str> =
            config.flows.iter().flat_map(Flow::apps).map(AppName::as_str).collect();
        let declared = config.apps.iter().map(|app| app.name.as_str());
        let working = glance.counts.iter().filter(|one| one.count > 0 && one.status != Status::Archived);
        let all: BTreeSet<&str> = declared.chain(working.map(|one| one.app.as_str())).collect();
        let others: Vec<&str> =
            all.difference(&in_flows).copied().filter(|app| !app.is_empty() && sees(app)).collect();
        if others.is_empty() {
            return None;
        }
        let column = |app: &&str| Column { steps: vec![Some(known.step(app, true))], ..Column::default() };
        Some(Self {
            name: "Apps outside flows".into(),
            href: "/deliveries".into(),
            description: String::new(),
            facts: Vec::new(),
            columns: others.iter().map(column).collect(),
        })
    }
}

impl Known<'_> {
    fn column(
        &self,
        flow: &Flow,
        layer: &Layer<'_>,
        before: Option<usize>,
        sees: &impl Fn(&str) -> bool,
    ) -> Column {
        let (here, is_first, before) = (layer.places.len(), before.is_none(), before.unwrap_or(0));
        let straight = is_first || before == here && layer.from_before.iter().all(|one| one.from == one.to);
        let line = |one: &super::layers::Stretch| {
            let at = |place: usize, of: usize| (2 * place + 1) * 500 / of.max(1);
            let (from, to) = (at(one.from, before), at(one.to, here));
            format!("M0 {from}C50 {from} 50 {to} 100 {to}")
        };
        let links = layer.places.iter().enumerate().map(|(nth, place)| match place {
            Place::Past(_) => Arrow::default(),
            Place::App(app) => {
                let own = layer.from_before.iter().filter(|one| one.to == nth);
                let links: Vec<&Link> = own.filter_map(|one| flow.links.get(one.link)).collect();
                self.arrow(app.as_str(), &links, sees)
            }
        });
        let step = |place: &Place<'_>| match place {
            Place::Past(_) => None,
            Place::App(app) if sees(app.as_str()) => Some(self.step(app.as_str(), is_first)),
            Place::App(app) => Some(Step::hidden(app.as_str())),
        };
        Column {
            fan: if straight { Vec::new() } else { layer.from_before.iter().map(line).collect() },
            links: if is_first { Vec::new() } else { links.collect() },
            several: !straight,
            steps: layer.places.iter().map(step).collect(),
        }
    }

    /// What hands over to an app, and what waits for it.
    fn arrow(&self, to: &str, links: &[&Link], sees: &impl Fn(&str) -> bool) -> Arrow {
        let distinct = |texts: Vec<String>| {
            texts.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
        };
        let from: Vec<&str> = links.iter().map(|link| link.from.as_str()).collect();
        let mut arrow = Arrow {
            drawn: true,
            from: from.join(", "),
            to: to.to_owned(),
            by: distinct(links.iter().map(|link| link.by.to_string()).collect()),
            label: distinct(links.iter().filter_map(|link| link.label.clone()).collect()),
            fill: "0".into(),
            ..Arrow::default()
        };
        if !sees(to) {
            return arrow;
        }
        let waiting = self.glance.how_many(Status::Pending, |app| app == to);
        let oldest = self.glance.oldest.get(to);
        let age_ms = oldest.map_or(0, |since| shown::age_ms(*since, self.now));
        arrow.fill = format!("{:.0}", PIPE * filled(waiting, age_ms));
        arrow.tone = tone(age_ms);
        arrow.waits = match oldest.filter(|_| waiting > 0) {
            Some(since) => {
                format!("{} waiting · {}", shown::about(waiting), shown::rough_age(*since, self.now))
            }
            None => format!("{} waiting", shown::about(waiting)),
        };
        arrow.href = shown::link("/deliveries", &[("app", to), ("status", "pending")]);
        arrow
    }

    fn step(&self, name: &str, shows_waiting: bool) -> Step {
        let app = self.config.apps.iter().find(|app| app.name.as_str() == name);
        let (day, failed) = (self.past.sum(|app| app == name), self.how_many(name, Status::Failed));
        let (spark, spark_says) = self.spark(name);
        Step {
            name: name.to_owned(),
            icon: app
                .and_then(|app| app.icon.as_deref())
                .map(|icon| shown::cut(icon, 3).text)
                .unwrap_or_default(),
            about: app.map_or_else(|| "not in the configuration".to_owned(), |app| about(app)),
            tone: if failed > 0 { "hurt" } else { "" },
            href: shown::link("/deliveries", &[("app", name)]),
            states: self.states(name, &day, shows_waiting),
            spark,
            spark_says,
        }
    }

    fn how_many(&self, name: &str, status: Status) -> u64 {
        self.glance.how_many(status, |app| app == name)
    }

    fn states(&self, name: &str, day: &Counts, shows_waiting: bool) -> Vec<State> {
        let to = |query: &[(&str, &str)]| {
            let all = [&[("app", name)], query].concat();
            shown::link("/deliveries", &all)
        };
        let mut states = Vec::new();
        let mut say = |count: u64, text: String, tone: &'static str, href: String| {
            if count > 0 {
                states.push(State { text, tone, href });
            }
        };
        let paused = self.glance.paused.iter().filter(|pause| pause.app == name).count() as u64;
        say(paused, "paused".into(), "warn", to(&[("status", "pending")]));
        let running = self.how_many(name, Status::Processing);
        say(running, format!("{} running", shown::about(running)), "", to(&[("status", "processing")]));
        if shows_waiting {
            let waiting = self.how_many(name, Status::Pending);
            say(waiting, format!("{} waiting", shown::about(waiting)), "", to(&[("status", "pending")]));
        }
        let failed = self.how_many(name, Status::Failed);
        say(failed, format!("{} failed", shown::about(failed)), "bad", to(&[("status", "failed")]));
        say(
            day.completed,
            format!("{} in 24 h", shown::about(day.completed)),
            "soft",
            to(&[("since", "24h")]),
        );
        let errors = format!("{} failed in 24 h", shown::share(day.failed, day.completed + day.failed));
        say(day.failed, errors, "soft", to(&[("since", "24h"), ("status", "failed")]));
        let rejected = format!("{} of rows rejected", shown::share(day.rows_rejected, day.rows_in));
        say(day.rows_rejected, rejected, "soft", to(&[("since", "24h")]));
        if states.is_empty() {
            let ever = self.how_many(name, Status::Completed);
            states.push(State { text: format!("{} done", shown::about(ever)), tone: "soft", href: to(&[]) });
        }
        states
    }

    /// What an app completed over the day, as a line, and in words.
    fn spark(&self, name: &str) -> (String, String) {
        let mut points = [0_u64; POINTS];
        let begins = self.past.from.as_second().div_euclid(i64::from(STEP));
        for one in self.past.day.iter().filter(|one| one.app == name) {
            let nth = one.at.as_second().div_euclid(i64::from(STEP)) - begins;
            if let Some(point) = usize::try_from(nth).ok().and_then(|nth| points.get_mut(nth)) {
                *point += one.counts.completed;
            }
        }
        let most = points.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return (String::new(), String::new());
        }
        let place =
            |(nth, count): (usize, &u64)| (nth as f64 / (POINTS - 1) as f64, spark::part(*count, most));
        let says = format!("completed in the last 24 hours, at most {} in half an hour", shown::number(most));
        (spark::line(points.iter().enumerate().map(place)), says)
    }

    /// How fast a flow goes: what its heads read lately, and how long its apps took.
    fn facts(&self, flow: &Flow, sees: &impl Fn(&str) -> bool) -> Vec<String> {
        let (mut rows, mut completed) = (0, 0);
        for one in
            flow.heads().filter_map(|app| self.past.recent.get(app.as_str()).filter(|_| sees(app.as_str())))
        {
            rows += one.rows_in.max(one.rows_out);
            completed += one.completed;
        }
        let mut facts = Vec::new();
        if rows > 0 {
            facts.push(format!("{} rows a minute", shown::about(Past::a_minute(rows))));
        } else if completed > 0 {
            facts.push(format!("{} a minute", shown::about(Past::a_minute(completed))));
        }
        let day = self.past.sum(|name| sees(name) && flow.apps().iter().any(|app| app.as_str() == name));
        facts.extend(day.latency.quantile(0.5).map(|half| format!("p50 {}", shown::took(half))));
        facts
    }
}

impl Step {
    /// One that its visitor does not see.
    fn hidden(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            icon: String::new(),
            about: "not for your key".into(),
            tone: "hidden",
            href: "/".into(),
            states: Vec::new(),
            spark: String::new(),
            spark_says: String::new(),
        }
    }
}

/// What an app is for, and what runs it.
fn about(app: &App) -> String {
    let runs = match &app.runs {
        Runs::BuiltIn(built) if app.name.as_str() == built.name() => "built in".to_owned(),
        Runs::BuiltIn(built) => format!("built in · {}", built.name()),
        Runs::Program(program) if program.mode == Mode::Stream => "stream program".to_owned(),
        Runs::Program(_) => "program".to_owned(),
        Runs::Service(_) => "service".to_owned(),
    };
    match &app.description {
        Some(description) => format!("{} · {runs}", shown::cut(description, shown::LINE_MAX_CHARS).text),
        None => runs,
    }
}

/// How full a pipe is, from 0 to 1: by how many wait, and by how long the oldest has, whichever says more.
fn filled(waiting: u64, age_ms: u64) -> f64 {
    if waiting == 0 {
        return 0.0;
    }
    let by_count = (waiting as f64).log10() / 6.0;
    let by_age = (age_ms as f64 / STUCK_AFTER_MS as f64).sqrt();
    (0.04 + by_count.min(0.6)).max(by_age).min(1.0)
}

/// Whether what waits for so long is worth a look, or wrong.
fn tone(age_ms: u64) -> &'static str {
    match age_ms {
        0..SLOW_MS => "",
        SLOW_MS..STUCK_AFTER_MS => "warn",
        _ => "bad",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_backs_up_fills_then_reddens() {
        assert_eq!(filled(0, STUCK_AFTER_MS), 0.0);
        assert!(filled(1, 0) > 0.0 && filled(1, 0) < filled(1_000, 0));
        assert!(filled(1_000, 0) < filled(1_000, SLOW_MS * 10));
        assert_eq!(filled(1, STUCK_AFTER_MS * 9), 1.0);
        assert!(filled(u64::MAX, 0) < 1.0, "many that are taken at once are no trouble");
        assert_eq!([tone(0), tone(SLOW_MS), tone(STUCK_AFTER_MS)], ["", "warn", "bad"]);
    }
}
