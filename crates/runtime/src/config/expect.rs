//! `expect:` on an app: what should come, until when, how much of it, how old the last may be.
//!
//! What is due at a time of the clock (`by`) is due once a day, on the days that are named, in a time zone; across a change of the
//! clock a time that is skipped is due right after the gap, and one that comes twice the first time.

use super::decode::decode;
use super::one_or_many::OneOrMany;
use super::report::{Report, did_you_mean};
use handover_core::units;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// What is expected of an app: of an importer that files come, of any other that it completes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// When something is due.
    pub due: Option<Due>,
    /// So many rows at least.
    pub min_rows: Option<u64>,
    /// The last that came may be so old.
    pub max_age: Option<Duration>,
    /// Whether each is to have other content than the one before.
    pub changes: bool,
    /// Whether it is a failure, or a warning.
    pub fails: bool,
}

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// By this time of each of these days.
    By {
        /// The time of the clock.
        time: Time,
        /// Where that clock is.
        zone: TimeZone,
        /// Which days; one flag a day, from Monday on.
        days: [bool; 7],
    },
    /// So long after the last at the latest.
    Every(Duration),
}

impl Due {
    /// The last time not after `now` that something was due, and the time before that; none for what has no time of the clock.
    pub fn last_two(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let Self::By { time, zone, days } = self else { return None };
        let mut found = None;
        let mut date = now.to_zoned(zone.clone()).date().tomorrow().ok()?;
        // Two of the rarest that there are, once a week, lie within so many days.
        for _ in 0..17 {
            let wanted = days[usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0)];
            let at = wanted.then(|| at(date, *time, zone)).flatten();
            if let Some(at) = at.filter(|at| *at <= now) {
                match found {
                    None => found = Some(at),
                    Some(last) => return Some((last, at)),
                }
            }
            date = date.checked_sub(1.day()).ok()?;
        }
        None
    }

    /// The next time after `now` that something is due.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let Self::By { time, zone, days } = self else { return None };
        let mut date = now.to_zoned(zone.clone()).date().yesterday().ok()?;
        for _ in 0..10 {
            let wanted = days[usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0)];
            let found = wanted.then(|| at(date, *time, zone)).flatten().filter(|at| *at > now);
            if found.is_some() {
                return found;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

/// This time of this day, in this zone.
fn at(date: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_zoned(date.to_datetime(time)).compatible().ok().map(|zoned| zoned.timestamp())
}

/// `expect:` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Expect")]
pub(crate) struct RawExpect {
    /// How often something comes: `1 day` with a time, else such as 2h: so long after the last at the latest.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    every: Option<Duration>,
    /// Until when of each day, such as "06:00" or "06:00 Europe/Brussels"; by default in the configuration's time zone.
    by: Option<String>,
    /// On which days: mon-fri, or a list such as [mon, wed]; by default every day.
    days: Option<OneOrMany>,
    /// So many rows at least.
    min_rows: Option<u64>,
    /// The last that came may be so old, such as 26h.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    max_age: Option<Duration>,
    /// Whether each is to have other content than the one before; by default true.
    changes: Option<bool>,
    /// Whether it is a warning (warn, the default) or a failure (fail).
    severity: Option<RawSeverity>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Severity")]
pub(crate) enum RawSeverity {
    /// Somebody should look.
    Warn,
    /// Something does not work.
    Fail,
}

/// Reads what is expected of an app; `path` is that of the app.
pub(crate) fn read(report: &mut Report<'_>, path: &[&str], zone: &TimeZone) -> Option<Expect> {
    let at = |key: &'static str| [path, &["expect", key]].concat();
    let raw: RawExpect = decode(report, &[path, &["expect"]].concat())?;
    let whole_day = raw.every.is_none_or(|every| every == DAY);
    let by = raw.by.as_deref().map(|text| by(report, &at("by"), text, zone));
    let days = raw.days.as_ref().map(|given| days(report, &at("days"), given));
    if by.is_some() && !whole_day {
        report
            .value(&at("every"), "with `by`, something is due once a day")
            .help("write `every: 1 day`, and `days: mon` for what comes once a week");
    }
    if by.is_none() && raw.days.is_some() {
        report
            .key(&at("days"), "`days` says on which days `by` holds, and there is no `by`")
            .help("write `by: \"06:00\"` too, or remove `days`");
    }
    for (key, given) in [("every", raw.every), ("max_age", raw.max_age)] {
        if given.is_some_and(|given| given.is_zero()) {
            report.value(&at(key), format!("`{key}` must be more than nothing")).help("such as 26h");
        }
    }
    let due = match (by, raw.every) {
        (Some(by), _) => by.map(|(time, zone)| Due::By { time, zone, days: days.unwrap_or([true; 7]) }),
        (None, every) => every.map(Due::Every),
    };
    if due.is_none() && raw.by.is_none() && raw.min_rows.is_none() && raw.max_age.is_none() {
        report
            .key(&[path, &["expect"]].concat(), "`expect` does not say what is expected")
            .help("such as `expect: { every: 1 day, by: \"06:00\", min_rows: 1000, max_age: 26h }`");
    }
    Some(Expect {
        due,
        min_rows: raw.min_rows,
        max_age: raw.max_age,
        changes: raw.changes.unwrap_or(true),
        fails: raw.severity == Some(RawSeverity::Fail),
    })
}

/// `06:00`, and a time zone behind it.
fn by(report: &mut Report<'_>, path: &[&str], text: &str, zone: &TimeZone) -> Option<(Time, TimeZone)> {
    let (clock, named) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let time = Time::strptime("%H:%M", clock).ok();
    if time.is_none() {
        report
            .value(path, format!("{clock:?} is no time of the day"))
            .help("write hours and minutes, such as \"06:00\" or \"06:00 Europe/Brussels\"");
    }
    let zone = match named.trim() {
        "" => Some(zone.clone()),
        named => super::settings::timezone(report, path, named),
    };
    Some((time?, zone?))
}

/// `mon-fri`, `mon`, or a list of them.
fn days(report: &mut Report<'_>, path: &[&str], given: &OneOrMany) -> [bool; 7] {
    let mut days = [false; 7];
    let words = given.list();
    for word in words.iter().flat_map(|text| text.split(',')).map(|word| word.trim().to_lowercase()) {
        let (from, to) = word.split_once('-').unwrap_or((&word, &word));
        let mut place = |name: &str| {
            let found = DAYS.iter().position(|(day, _)| *day == name.trim());
            if found.is_none() {
                let hint = did_you_mean(name, DAYS.iter().map(|(day, _)| *day));
                report.value(path, format!("`{name}` is no day of the week")).maybe_help(hint);
            }
            found
        };
        if let (Some(from), Some(to)) = (place(from), place(to)) {
            // Also over the end of the week, as in fri-mon.
            let length = (to + 7 - from) % 7;
            (0..=length).for_each(|n| days[(from + n) % 7] = true);
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(time: &str, zone: &str, days: [bool; 7]) -> Due {
        Due::By { time: time.parse().unwrap(), zone: TimeZone::get(zone).unwrap(), days }
    }

    fn last(due: &Due, now: &str) -> (String, String) {
        let (last, before) = due.last_two(now.parse().unwrap()).unwrap();
        (last.to_string(), before.to_string())
    }

    fn two(last: &str, before: &str) -> (String, String) {
        (format!("{last}:00Z"), format!("{before}:00Z"))
    }

    #[test]
    fn what_is_due_is_due_by_the_clock_of_its_zone() {
        let due = by("06:00", "Europe/Brussels", [true; 7]);
        assert_eq!(last(&due, "2025-11-24T05:00:00Z"), two("2025-11-24T05:00", "2025-11-23T05:00"));
        assert_eq!(last(&due, "2025-11-24T04:59:59Z"), two("2025-11-23T05:00", "2025-11-22T05:00"));
        let tokyo = by("00:30", "Asia/Tokyo", [true; 7]);
        assert_eq!(last(&tokyo, "2025-11-24T15:30:00Z"), two("2025-11-24T15:30", "2025-11-23T15:30"));
    }

    #[test]
    fn a_skipped_hour_is_due_after_the_gap_and_a_doubled_one_the_first_time() {
        // 2025-03-30: 02:00 becomes 03:00. 2025-10-26: 03:00 becomes 02:00.
        let due = by("02:30", "Europe/Brussels", [true; 7]);
        assert_eq!(last(&due, "2025-03-30T12:00:00Z"), two("2025-03-30T01:30", "2025-03-29T01:30"));
        assert_eq!(last(&due, "2025-10-26T12:00:00Z"), two("2025-10-26T00:30", "2025-10-25T00:30"));
        assert_eq!(last(&due, "2025-10-27T12:00:00Z"), two("2025-10-27T01:30", "2025-10-26T00:30"));
    }

    #[test]
    fn days_that_are_not_named_have_nothing_due() {
        let weekdays = by("06:00", "UTC", [true, true, true, true, true, false, false]);
        assert_eq!(last(&weekdays, "2025-11-24T05:00:00Z"), two("2025-11-21T06:00", "2025-11-20T06:00"));
        let sundays = by("06:00", "UTC", [false, false, false, false, false, false, true]);
        assert_eq!(last(&sundays, "2025-11-23T05:00:00Z"), two("2025-11-16T06:00", "2025-11-09T06:00"));
        assert_eq!(Due::Every(DAY).last_two(Timestamp::UNIX_EPOCH), None);
        let next = |due: &Due, now: &str| due.next(now.parse().unwrap()).unwrap().to_string();
        assert_eq!(next(&weekdays, "2025-11-21T06:00:00Z"), "2025-11-24T06:00:00Z");
        assert_eq!(next(&sundays, "2025-11-23T05:59:59Z"), "2025-11-23T06:00:00Z");
    }
}
