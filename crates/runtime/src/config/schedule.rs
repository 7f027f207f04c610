//! When a scheduled program runs: a cron pattern in a time zone.
//!
//! Across a change of the clock: a run whose time is skipped takes place right after the gap, and one whose time
//! comes twice takes place once (patterns for every hour or every minute follow the clock as it goes). Nothing is
//! kept here: what was missed while nothing ran is computed from the time of the last run.

use croner::Cron;
use handover_core::suggest::nearest;
use jiff::{Timestamp, tz::TimeZone};
use std::fmt;
use std::str::FromStr;

/// A cron pattern in a time zone.
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    pattern: String,
    timezone: TimeZone,
}

/// What is wrong with a cron pattern, and which part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    /// What is wrong, in a clause.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The part that is wrong and how many equal words stand before it, where it is a part.
    pub part: Option<(String, usize)>,
}

/// The parts of a pattern of five, each with its range.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31 or L for the last"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 (Sunday) to 7 (Sunday) or SUN to SAT"),
];
const NICKNAMES: [&str; 8] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly", "@midnight", "@noon"];
const EXAMPLE: &str = "write minute, hour, day, month and weekday: \"0 6 * * *\" is six o'clock every day";

impl Schedule {
    /// A schedule of this pattern: minute, hour, day of the month, month, day of the week; or `@daily` and its like.
    ///
    /// # Errors
    /// A [`ScheduleError`] that names the part that is wrong, and one for a pattern that no time ever matches.
    pub fn new(pattern: &str, timezone: TimeZone) -> Result<Self, ScheduleError> {
        let whole = |message: &str, hint: &str| ScheduleError {
            message: message.to_owned(),
            hint: hint.to_owned(),
            part: None,
        };
        let parts: Vec<&str> = pattern.split_whitespace().collect();
        if let [nickname] = parts[..]
            && nickname.starts_with('@')
        {
            let lower = nickname.to_ascii_lowercase();
            if !NICKNAMES[..7].contains(&lower.as_str()) {
                let hint = nearest(&lower, NICKNAMES[..7].iter().copied())
                    .map_or_else(|| EXAMPLE.to_owned(), |word| format!("did you mean `{word}`?"));
                return Err(whole(&format!("`{nickname}` is no schedule"), &hint));
            }
        } else {
            if parts.len() != FIELDS.len() {
                let count = parts.len();
                return Err(whole(&format!("a cron pattern has five parts, this has {count}"), EXAMPLE));
            }
            check_parts(&parts)?;
        }
        // croner does not know this one.
        let meant = if pattern.trim().eq_ignore_ascii_case("@midnight") { "@daily" } else { pattern };
        let cron = Cron::from_str(meant).map_err(|error| whole(&error.to_string(), EXAMPLE))?;
        let schedule = Self { cron, pattern: pattern.to_owned(), timezone };
        let somewhen = Timestamp::from_second(1_735_689_600).unwrap_or(Timestamp::UNIX_EPOCH);
        if schedule.next_after(somewhen).is_none() {
            return Err(whole(
                "no day ever matches this pattern",
                "check its day of the month against its month",
            ));
        }
        Ok(schedule)
    }

    /// The first time after `time` that matches; none where there is no more.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let start = time.to_zoned(self.timezone.clone());
        self.cron
            .find_next_occurrence(&start, false)
            .ok()
            .map(|next| next.timestamp())
            .filter(|next| *next > time)
    }

    /// The times after `last` and not after `now`, oldest first, at most `max` of them: the runs that were missed
    /// where nothing ran between the two.
    pub fn missed_between(&self, last: Timestamp, now: Timestamp, max: usize) -> Vec<Timestamp> {
        let mut missed = Vec::new();
        let mut at = last;
        while missed.len() < max {
            match self.next_after(at).filter(|next| *next <= now) {
                Some(next) => {
                    missed.push(next);
                    at = next;
                }
                None => break,
            }
        }
        missed
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The time zone it is read in.
    pub fn timezone(&self) -> &TimeZone {
        &self.timezone
    }
}

/// Tries each part alone, so that the wrong one is named.
fn check_parts(parts: &[&str]) -> Result<(), ScheduleError> {
    for (index, (part, (name, range))) in parts.iter().zip(FIELDS).enumerate() {
        let mut alone = ["*"; 5];
        alone[index] = part;
        if Cron::from_str(&alone.join(" ")).is_err() {
            let before = parts[..index].iter().filter(|other| *other == part).count();
            return Err(ScheduleError {
                message: format!("`{part}` is no {name}"),
                hint: format!("the {name} is {range}, with `*`, lists (1,15), ranges (1-5) and steps (*/10)"),
                part: Some(((*part).to_owned(), before)),
            });
        }
    }
    Ok(())
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.timezone == other.timezone
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pattern, self.timezone.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_run_is_in_the_time_zone() {
        let schedule = Schedule::new("0 6 * * *", berlin()).unwrap();
        assert_eq!(schedule.next_after(at("2025-11-24T04:59:59Z")), Some(at("2025-11-24T05:00:00Z")));
        assert_eq!(schedule.next_after(at("2025-11-24T05:00:00Z")), Some(at("2025-11-25T05:00:00Z")));
        assert_eq!(schedule.next_after(at("2025-07-01T05:00:00Z")), Some(at("2025-07-02T04:00:00Z")));
    }

    #[test]
    fn a_skipped_hour_is_made_up_for_and_a_doubled_one_runs_once() {
        let schedule = Schedule::new("30 2 * * *", berlin()).unwrap();
        // 2025-03-30: 02:00 becomes 03:00. 2025-10-26: 03:00 becomes 02:00.
        let spring = schedule.missed_between(at("2025-03-29T12:00:00Z"), at("2025-03-31T12:00:00Z"), 10);
        assert_eq!(spring, [at("2025-03-30T01:00:00Z"), at("2025-03-31T00:30:00Z")]);
        let autumn = schedule.missed_between(at("2025-10-25T12:00:00Z"), at("2025-10-27T12:00:00Z"), 10);
        assert_eq!(autumn.len(), 2, "{autumn:?}");
        let hourly = Schedule::new("0 * * * *", berlin()).unwrap();
        let day = hourly.missed_between(at("2025-10-25T22:00:00Z"), at("2025-10-26T23:00:00Z"), 100);
        assert_eq!(day.len(), 25);
    }

    #[test]
    fn every_nickname_is_a_schedule() {
        for nickname in &NICKNAMES[..7] {
            let schedule =
                Schedule::new(nickname, TimeZone::UTC).unwrap_or_else(|e| panic!("{nickname}: {e:?}"));
            assert_eq!(schedule.pattern(), *nickname);
        }
        let midnight = Schedule::new("@midnight", TimeZone::UTC).unwrap();
        assert_eq!(midnight.next_after(at("2025-11-24T04:00:00Z")), Some(at("2025-11-25T00:00:00Z")));
    }

    #[test]
    fn missed_runs_are_counted_up_to_a_limit() {
        let schedule = Schedule::new("@hourly", TimeZone::UTC).unwrap();
        let missed = schedule.missed_between(at("2025-01-01T00:00:00Z"), at("2025-01-01T05:30:00Z"), 100);
        assert_eq!((missed.len(), missed[0]), (5, at("2025-01-01T01:00:00Z")));
        assert_eq!(
            schedule.missed_between(at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), 7).len(),
            7
        );
    }

    #[test]
    fn the_wrong_part_is_named() {
        for (pattern, says) in [
            ("0 25 * * *", "`25` is no hour"),
            ("61 6 * * *", "`61` is no minute"),
            ("0 6 * * MOO", "`MOO` is no day of the week"),
            ("0 6 32 * *", "`32` is no day of the month"),
            ("0 6 * *", "five parts, this has 4"),
            ("", "five parts, this has 0"),
            ("0 6 31 2 *", "no day ever"),
            ("@dayly", "is no schedule"),
        ] {
            let error = Schedule::new(pattern, TimeZone::UTC).unwrap_err();
            assert!(error.message.contains(says), "{pattern}: {error:?}");
        }
    }
}
