//! Whether what is expected came: `expect:` of an app, held against what came to an importer, or what another app completed.
//!
//! Invariants: nothing is missing before it was due once since the expectation was first seen to (the ledger notes when, so that a
//! fresh project, or a fresh `expect:`, is not late); a clock that jumps makes no negative age.

use super::health::{age, whole};
use crate::config::{App, BuiltIn, Due, Expect, Runs};
use crate::delivery::payload::FilePayload;
use crate::project::Project;
use handover_core::units::format_duration;
use handover_core::{DeliveryId, Result, Status};
use handover_ledger::{AlertKind, Filter, ScheduleMark, Severity};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::time::Duration;

/// So many of what came last are looked at.
const LOOKED_AT: usize = 50;

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What tells it from all others.
    pub key: String,
    /// The app.
    pub app: String,
    /// What is not as expected.
    pub kind: AlertKind,
    /// How bad that is.
    pub severity: Severity,
    /// What is wrong, for people.
    pub text: String,
    /// What to do.
    pub todo: String,
    /// Since when.
    pub since: Timestamp,
    /// The delivery that is not as expected, where one came.
    pub delivery: Option<DeliveryId>,
}

/// Something that came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Came {
    at: Timestamp,
    id: DeliveryId,
    /// Its rows, where they are counted.
    rows: Option<u64>,
    /// Its content, where that is known.
    content: Option<String>,
}

/// What of all that is expected is not as expected.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn findings(project: &Project, now: Timestamp) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for app in project.config.apps.iter() {
        if let Some(expect) = &app.expect {
            found.extend(of(project, app, expect, now).await?);
        }
    }
    Ok(found)
}

/// What of this app is not as expected.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn of(project: &Project, app: &App, expect: &Expect, now: Timestamp) -> Result<Vec<Finding>> {
    let Some(begun) = project.ledger.schedule_mark(&mark(app)).await?.map(|mark| mark.last_due) else {
        // Nothing ran since it is expected: nothing could have come.
        return Ok(Vec::new());
    };
    let imports = matches!(app.runs, Runs::BuiltIn(BuiltIn::Importer(_)));
    let mut came = if imports { arrivals(project, app).await? } else { completions(project, app).await? };
    for one in came.iter_mut().take(2) {
        look_into(project, one).await?;
    }
    let judge = Judge { app, expect, imports, begun, now, zone: &project.config.timezone };
    Ok(judge.all(&came))
}

/// Notes of each expectation that it is seen to from now on, where that was not noted yet.
///
/// # Errors
/// Where the ledger cannot be read or written.
pub(crate) async fn begin(project: &Project, now: Timestamp) -> Result<()> {
    for app in project.config.apps.iter().filter(|app| app.expect.is_some()) {
        if project.ledger.schedule_mark(&mark(app)).await?.is_none() {
            let mark = ScheduleMark { app: mark(app), last_due: now };
            project.ledger.schedule_due("expect", mark, None).await?;
        }
    }
    Ok(())
}

/// Under which name the ledger notes it; no app has a colon in its name.
fn mark(app: &App) -> String {
    format!("expect:{}", app.name)
}

/// What came to an importer, newest first: also what was skipped as a duplicate, which came all the same.
async fn arrivals(project: &Project, app: &App) -> Result<Vec<Came>> {
    let arrivals = project.ledger.arrivals(app.name.as_str(), LOOKED_AT).await?;
    let mut came: Vec<Came> = arrivals
        .into_iter()
        .filter(|arrival| arrival.checksum.is_some())
        .map(|one| Came { at: one.arrived_at, id: one.delivery_id, rows: None, content: one.checksum })
        .collect();
    came.sort_by_key(|came| std::cmp::Reverse(came.at));
    Ok(came)
}

/// What another app completed, newest first.
async fn completions(project: &Project, app: &App) -> Result<Vec<Came>> {
    let mut came = Vec::new();
    for (status, archived) in [(Status::Completed, false), (Status::Archived, true)] {
        let app = Some(app.name.as_str().to_owned());
        let filter = Filter { app, status: Some(status), archived, limit: LOOKED_AT, ..Filter::default() };
        for one in project.ledger.list(filter).await? {
            let failed =
                one.last_error.is_some() && one.result.as_ref().is_some_and(|r| r.get("code").is_some());
            if let Some(at) = one.processed_at.filter(|_| !failed) {
                came.push(Came { at, id: one.id, rows: None, content: None });
            }
        }
    }
    came.sort_by_key(|came| std::cmp::Reverse((came.at, came.id)));
    Ok(came)
}

/// Finds out the rows and the content of what came: those of the first file that was made of it.
async fn look_into(project: &Project, came: &mut Came) -> Result<()> {
    let filter = Filter { parent: Some(came.id), archived: true, limit: 20, ..Filter::default() };
    let made = project.ledger.list(filter).await?;
    let file = made
        .iter()
        .rev()
        .filter_map(FilePayload::in_delivery)
        .find(|file| !file.path.starts_with("errors/") && !file.path.starts_with("reports/"));
    if let Some(file) = file {
        came.rows = file.manifest.row_count;
        came.content = Some(file.manifest.checksum.to_string());
        return Ok(());
    }
    // One that was skipped has the content of another, and one that makes no file says its rows itself.
    let delivery = project.ledger.get(came.id).await?;
    let result = delivery.as_ref().and_then(|delivery| delivery.result.as_ref());
    came.rows = result.and_then(|result| result.get("rows_out").or_else(|| result.get("rows_in"))?.as_u64());
    Ok(())
}

/// What is needed to judge.
struct Judge<'a> {
    app: &'a App,
    expect: &'a Expect,
    imports: bool,
    /// Since when it is seen to.
    begun: Timestamp,
    now: Timestamp,
    zone: &'a TimeZone,
}

impl Judge<'_> {
    /// What is wrong, given what came, newest first.
    fn all(&self, came: &[Came]) -> Vec<Finding> {
        let mut found: Vec<Finding> = self.due(came).into_iter().collect();
        // What is missing is not told of as old too.
        let missing = found.iter().any(|one| one.kind == AlertKind::Missing);
        found.extend(self.old(came).filter(|_| !missing));
        found.extend(self.small(came));
        found.extend(self.same(came));
        found
    }

    fn finding(&self, kind: AlertKind, since: Timestamp, text: String, todo: String) -> Finding {
        let severity = if self.expect.fails { Severity::Fail } else { Severity::Warn };
        let app = self.app.name.to_string();
        let key = format!("{kind}:{app}");
        Finding { key, app, kind, severity, text, todo, since: since.min(self.now), delivery: None }
    }

    fn about(&self, came: &Came, kind: AlertKind, text: String) -> Finding {
        let mut found = self.finding(kind, came.at, text, format!("handover show {}", came.id));
        found.key = format!("{}:{}", found.key, came.id);
        found.delivery = Some(came.id);
        found
    }

    /// What did not come, or came late.
    fn due(&self, came: &[Came]) -> Option<Finding> {
        match self.expect.due.as_ref()? {
            due @ Due::By { zone, .. } => self.by(came, due.last_two(self.now)?, zone),
            Due::Every(every) => {
                let last = came.first().map_or(self.begun, |came| came.at);
                let (age, since) = (age(self.now, last), later(last, *every));
                (age > *every).then(|| {
                    let app = &self.app.name;
                    let (every, age) = (format_duration(*every), format_duration(whole(age)));
                    let verb = if self.imports { "came to" } else { "was completed by" };
                    let text =
                        format!("nothing {verb} {app} for {age}, and something is expected every {every}");
                    self.finding(AlertKind::Missing, since, text, self.todo())
                })
            }
        }
    }

    /// What was due last is judged from the time that it was due before.
    fn by(&self, came: &[Came], (due, before): (Timestamp, Timestamp), zone: &TimeZone) -> Option<Finding> {
        if due <= self.begun || came.iter().any(|came| came.at > before && came.at <= due) {
            return None;
        }
        let (app, at) = (&self.app.name, due.to_zoned(zone.clone()));
        let (clock, date) = (at.strftime("%H:%M"), at.date());
        let clock = format!("{clock} {}", zone.iana_name().unwrap_or("UTC"));
        let verb = if self.imports { "came to" } else { "was completed by" };
        let mut found = match came.iter().filter(|came| came.at > due).min_by_key(|came| came.at) {
            None => {
                let late = format_duration(whole(age(self.now, due)));
                let text = format!("nothing {verb} {app} by {clock} on {date}: it is {late} late");
                self.finding(AlertKind::Missing, due, text, self.todo())
            }
            Some(first) => {
                let late = format_duration(whole(age(first.at, due)));
                let text = format!("what {verb} {app} was {late} late: it was expected by {clock} on {date}");
                let mut found = self.about(first, AlertKind::Late, text);
                // It came: somebody may ask why it was late, and nothing is broken.
                found.severity = Severity::Warn;
                found
            }
        };
        found.key = format!("{}:{app}:{date}", found.kind);
        Some(found)
    }

    fn old(&self, came: &[Came]) -> Option<Finding> {
        let most = self.expect.max_age?;
        let last = came.first().map_or(self.begun, |came| came.at);
        let old = age(self.now, last);
        (old > most).then(|| {
            let (app, most, old) = (&self.app.name, format_duration(most), format_duration(whole(old)));
            let what = match came.is_empty() {
                true => format!("nothing ever {} {app}, for {old} now", self.did()),
                false => format!("the last that {} {app} is {old} old", self.did()),
            };
            let since = later(last, self.expect.max_age.unwrap_or_default());
            self.finding(AlertKind::Old, since, format!("{what}, and may be {most}"), self.todo())
        })
    }

    fn did(&self) -> &'static str {
        if self.imports { "came to" } else { "was completed by" }
    }

    fn small(&self, came: &[Came]) -> Option<Finding> {
        let (least, last) = (self.expect.min_rows?, came.first()?);
        let rows = last.rows.filter(|rows| *rows < least)?;
        let (rows, least) = (super::times::count(rows, "row"), super::times::number(least));
        let text = format!(
            "the last that {} {} has {rows}, and at least {least} are expected",
            self.did(),
            self.app.name
        );
        Some(self.about(last, AlertKind::Small, text))
    }

    fn same(&self, came: &[Came]) -> Option<Finding> {
        let [last, before, ..] = came else { return None };
        let same = last.content.is_some() && last.content == before.content;
        (self.expect.changes && same).then(|| {
            let at = before.at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
            let text = format!(
                "the last that {} {} has the same content as the one before, of {at} (delivery {})",
                self.did(),
                self.app.name,
                before.id
            );
            self.about(last, AlertKind::Same, text)
        })
    }

    /// What to do where nothing came.
    fn todo(&self) -> String {
        match (&self.app.runs, &self.app.schedule) {
            (Runs::BuiltIn(BuiltIn::Importer(_)), _) => {
                format!(
                    "ask whoever sends it, and `handover why {}` for what waits in front of it",
                    self.app.name
                )
            }
            (_, Some(_)) => format!("handover list --app {}: what became of its last runs", self.app.name),
            _ => format!("handover status: what waits for {} and before it", self.app.name),
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn config(expect: &str) -> Config {
        let text = format!(
            "apps:\n  in: {{ uses: file-importer, with: {{ from: ./in, type: t }}, expect: {{ {expect} }} }}\n  \
             out: {{ run: cat }}\nflows: {{ f: in -> out }}"
        );
        Config::from_text(&text, Path::new("/p/handover.yaml"), &|_| None).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        format!("{text}:00Z").parse().unwrap()
    }

    fn came(at: &str, id: i64, rows: u64, content: &str) -> Came {
        Came { at: time(at), id: DeliveryId(id), rows: Some(rows), content: Some(content.to_owned()) }
    }

    /// What is found, seen to since `begun` and looked at now; newest first comes what came.
    fn judged(expect: &str, begun: &str, now: &str, came: &[Came]) -> Vec<(AlertKind, String)> {
        let config = config(expect);
        let app = config.app("in").unwrap();
        let expect = app.expect.as_ref().unwrap();
        let (begun, now) = (time(begun), time(now));
        let judge = Judge { app, expect, imports: true, begun, now, zone: &config.timezone };
        judge.all(came).into_iter().map(|found| (found.kind, found.text)).collect()
    }

    const DAILY: &str = "every: 1 day, by: \"06:00 Europe/Brussels\", changes: false";

    #[test]
    fn what_comes_in_time_is_fine_and_what_does_not_is_missing_until_it_comes_late() {
        let long_ago = "2025-11-01T00:00";
        let in_time = [came("2025-11-24T04:30", 2, 1, "b"), came("2025-11-23T04:30", 1, 1, "a")];
        assert_eq!(judged(DAILY, long_ago, "2025-11-24T05:10", &in_time), []);
        // 06:00 in Brussels is 05:00 in UTC.
        assert_eq!(judged(DAILY, long_ago, "2025-11-24T04:59", &in_time[1..]), [], "there is time still");
        let missing = judged(DAILY, long_ago, "2025-11-24T06:30", &in_time[1..]);
        let text = "nothing came to in by 06:00 Europe/Brussels on 2025-11-24: it is 1h 30m late";
        assert_eq!(missing, [(AlertKind::Missing, text.to_owned())]);
        let late = [came("2025-11-24T07:15", 2, 1, "b"), in_time[1].clone()];
        let text = "what came to in was 2h 15m late: it was expected by 06:00 Europe/Brussels on 2025-11-24";
        assert_eq!(judged(DAILY, long_ago, "2025-11-24T09:00", &late), [(AlertKind::Late, text.to_owned())]);
        // The day after, that is over.
        let next = [came("2025-11-25T04:00", 3, 1, "c"), late[0].clone()];
        assert_eq!(judged(DAILY, long_ago, "2025-11-25T05:00", &next), []);
    }

    #[test]
    fn a_fresh_one_is_not_late_until_it_was_due_once() {
        assert_eq!(judged(DAILY, "2025-11-24T08:00", "2025-11-24T09:00", &[]), []);
        assert_eq!(judged(DAILY, "2025-11-24T08:00", "2025-11-25T04:59", &[]), []);
        let found = judged(DAILY, "2025-11-24T08:00", "2025-11-25T05:30", &[]);
        assert_eq!(found.len(), 1);
        for expect in ["every: 2h", "max_age: 2h"] {
            assert_eq!(judged(expect, "2025-11-24T08:00", "2025-11-24T10:00", &[]), [], "{expect}");
            assert_eq!(judged(expect, "2025-11-24T08:00", "2025-11-24T10:01", &[]).len(), 1, "{expect}");
        }
    }

    #[test]
    fn both_days_on_which_the_clock_changes_have_their_hour() {
        // On 2025-03-30 summer begins in Brussels: 06:00 is 04:00 in UTC from then on. On 2025-10-26 it ends.
        let long_ago = "2025-01-01T00:00";
        let before = [came("2025-03-29T04:00", 1, 1, "a")];
        assert_eq!(judged(DAILY, long_ago, "2025-03-30T03:59", &before), []);
        assert_eq!(judged(DAILY, long_ago, "2025-03-30T04:01", &before).len(), 1);
        let before = [came("2025-10-25T03:00", 1, 1, "a")];
        assert_eq!(judged(DAILY, long_ago, "2025-10-26T04:59", &before), []);
        assert_eq!(judged(DAILY, long_ago, "2025-10-26T05:01", &before).len(), 1);
        // What comes in the hour that comes twice comes in time.
        let twice = [came("2025-10-26T00:30", 2, 1, "b"), came("2025-10-25T00:20", 1, 1, "a")];
        let by_three = "by: \"03:00 Europe/Brussels\", changes: false";
        assert_eq!(judged(by_three, long_ago, "2025-10-26T12:00", &twice), []);
    }

    #[test]
    fn days_that_are_not_named_are_free() {
        let weekdays = "by: \"06:00\", days: mon-fri";
        let friday = [came("2025-11-21T05:00", 1, 1, "a")];
        assert_eq!(judged(weekdays, "2025-11-01T00:00", "2025-11-23T12:00", &friday), []);
        assert_eq!(judged(weekdays, "2025-11-01T00:00", "2025-11-24T06:01", &friday).len(), 1);
    }

    #[test]
    fn too_small_too_old_and_the_same_are_told_apart() {
        let two = [came("2025-11-24T05:00", 2, 10, "a"), came("2025-11-23T05:00", 1, 10, "a")];
        let kinds = |expect: &str, now: &str| {
            let found = judged(expect, "2025-11-01T00:00", now, &two);
            found.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds("min_rows: 11", "2025-11-24T06:00"), [AlertKind::Small, AlertKind::Same]);
        assert_eq!(kinds("min_rows: 10, changes: false", "2025-11-24T06:00"), []);
        assert_eq!(kinds("max_age: 26h, changes: false", "2025-11-25T07:01"), [AlertKind::Old]);
        assert_eq!(kinds("max_age: 26h, changes: false", "2025-11-25T07:00"), []);
        // What is missing is not told of as old too.
        let both = "by: \"06:00\", max_age: 26h, changes: false";
        assert_eq!(kinds(both, "2025-11-25T08:00"), [AlertKind::Missing]);
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_late() {
        let ahead = [came("2025-11-24T05:00", 1, 1, "a")];
        for expect in ["every: 1h", "max_age: 1h", DAILY] {
            assert_eq!(judged(expect, "2025-11-24T00:00", "2025-11-23T12:00", &ahead), [], "{expect}");
        }
    }
}
