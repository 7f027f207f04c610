//! Dates and times: Table Schema `date`, `time`, `datetime`, `year` and `yearmonth`.
//!
//! - `default` is ISO 8601: `2013-01-31`, `10:00:00[.5][Z|+01:00]`, `2013-01-31T10:00:00[.5][Z|+01:00]`. A time without an
//!   offset is compared as if it were UTC.
//! - a pattern is strptime's (`%d/%m/%Y`), checked when the schema is read.
//! - `any` takes `default` and some usual forms ([`ANY_DATE`], [`ANY_TIME`]); a datetime of it is such a date, `T` or a
//!   space, and such a time, or a date of RFC 2822. It never guesses whether the day or the month comes first.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

const ANY_DATE: &[&str] =
    &["%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"];
const ANY_TIME: &[&str] = &["%H:%M", "%I:%M %p", "%I:%M:%S %p"];

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    Date,
    Time,
    DateTime,
}

/// How it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TimeFormat {
    Default,
    Any,
    Pattern(String),
}

/// A point on one scale for each [`Moment`], so that two of a field can be compared.
pub(crate) type Point = i128;

impl Moment {
    /// Reads a cell; none where it is no such moment.
    pub(crate) fn read(self, format: &TimeFormat, text: &str) -> Option<Point> {
        match format {
            TimeFormat::Default => self.iso(text),
            TimeFormat::Any => self.iso(text).or_else(|| self.usual(text)),
            TimeFormat::Pattern(pattern) => self.by_pattern(pattern, text),
        }
    }

    /// What a cell should be, for people.
    pub(crate) fn expected(self, format: &TimeFormat) -> String {
        let what = match self {
            Moment::Date => "a date",
            Moment::Time => "a time",
            Moment::DateTime => "a datetime",
        };
        match (format, self) {
            (TimeFormat::Default, Moment::Date) => format!("{what} (YYYY-MM-DD)"),
            (TimeFormat::Default, Moment::Time) => format!("{what} (hh:mm:ss)"),
            (TimeFormat::Default, Moment::DateTime) => format!("{what} (YYYY-MM-DDThh:mm:ssZ)"),
            (TimeFormat::Any, _) => format!("{what} in a form that is known"),
            (TimeFormat::Pattern(pattern), _) => format!("{what} of the format {pattern}"),
        }
    }

    /// Checks that a pattern can be read and says enough.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn check_pattern(self, pattern: &str) -> Result<(), String> {
        let sample = DateTime::constant(2013, 11, 23, 14, 5, 6, 789_000_000);
        let zoned = sample.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        let text = strtime::format(pattern, &zoned).map_err(|error| error.to_string())?;
        let parsed = strtime::parse(pattern, &text).map_err(|error| error.to_string())?;
        self.point(pattern, &parsed)
            .map(drop)
            .ok_or_else(|| format!("it does not say all that a {} needs", format!("{self:?}").to_lowercase()))
    }

    fn by_pattern(self, pattern: &str, text: &str) -> Option<Point> {
        self.point(pattern, &strtime::parse(pattern, text).ok()?)
    }

    fn point(self, pattern: &str, parsed: &strtime::BrokenDownTime) -> Option<Point> {
        match self {
            Moment::Date => parsed.to_date().ok().map(date_point),
            Moment::Time => parsed.to_time().ok().map(time_point),
            Moment::DateTime if pattern.contains("z") || pattern.contains("%s") => {
                parsed.to_timestamp().ok().map(Timestamp::as_nanosecond)
            }
            Moment::DateTime => parsed.to_datetime().ok().and_then(utc_point),
        }
    }

    fn iso(self, text: &str) -> Option<Point> {
        match self {
            Moment::Date => iso_date(text).map(date_point),
            Moment::Time => iso_time_of_day(text),
            Moment::DateTime => {
                let (date, rest) = (text.get(..10)?, text.get(10..)?.strip_prefix('T')?);
                iso_moment(iso_date(date)?, rest)
            }
        }
    }

    fn usual(self, text: &str) -> Option<Point> {
        let date = |text: &str| {
            iso_date(text)
                .or_else(|| ANY_DATE.iter().find_map(|p| strtime::parse(p, text).ok()?.to_date().ok()))
        };
        let time = |text: &str| {
            iso_time(text)
                .or_else(|| ANY_TIME.iter().find_map(|p| strtime::parse(p, text).ok()?.to_time().ok()))
        };
        match self {
            Moment::Date => date(text).map(date_point),
            Moment::Time => time(text).map(time_point),
            Moment::DateTime => {
                let at_each_gap = text.match_indices(['T', ' ']).find_map(|(at, _)| {
                    let (day, rest) = (date(&text[..at])?, &text[at + 1..]);
                    iso_moment(day, rest).or_else(|| utc_point(day.to_datetime(time(rest)?)))
                });
                at_each_gap.or_else(|| {
                    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
                    Some(zoned.timestamp().as_nanosecond())
                })
            }
        }
    }
}

fn date_point(date: Date) -> Point {
    (i128::from(date.year()) * 16 + i128::from(date.month())) * 32 + i128::from(date.day())
}

fn time_point(time: Time) -> Point {
    let seconds = (i128::from(time.hour()) * 60 + i128::from(time.minute())) * 60 + i128::from(time.second());
    seconds * 1_000_000_000 + i128::from(time.subsec_nanosecond())
}

fn utc_point(datetime: DateTime) -> Option<Point> {
    Some(datetime.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}

fn digits(text: &str, count: usize) -> Option<i32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn iso_date(text: &str) -> Option<Date> {
    if text.len() != 10 || text.as_bytes()[4] != b'-' || text.as_bytes()[7] != b'-' {
        return None;
    }
    let (year, month, day) =
        (digits(text.get(..4)?, 4)?, digits(text.get(5..7)?, 2)?, digits(text.get(8..)?, 2)?);
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn iso_time(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) =
        (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{:0<9.9}", fraction).parse().ok()?;
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, nanoseconds)
        .ok()
}

/// A text without its offset, and the offset in minutes; without one it is taken for UTC.
fn split_offset(text: &str) -> Option<(&str, i32)> {
    match text.rfind(['Z', '+', '-']) {
        None => Some((text, 0)),
        Some(at) if &text[at..] == "Z" => Some((&text[..at], 0)),
        Some(at) => {
            let (hours, minutes) = text.get(at + 1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
            Some((&text[..at], sign * (hours * 60 + minutes)))
        }
    }
}

const MINUTE: Point = 60 * 1_000_000_000;

/// A time, perhaps with an offset.
fn iso_time_of_day(text: &str) -> Option<Point> {
    let (time, offset_minutes) = split_offset(text)?;
    Some(time_point(iso_time(time)?) - Point::from(offset_minutes) * MINUTE)
}

/// A date with what follows its `T`: a time and perhaps an offset.
fn iso_moment(date: Date, rest: &str) -> Option<Point> {
    let (time, offset_minutes) = split_offset(rest)?;
    Some(utc_point(date.to_datetime(iso_time(time)?))? - Point::from(offset_minutes) * MINUTE)
}

/// A year of four digits.
pub(crate) fn year(text: &str) -> Option<Point> {
    digits(text, 4).map(Point::from)
}

/// A month, `YYYY-MM`.
pub(crate) fn year_month(text: &str) -> Option<Point> {
    let (year, month) = text.split_once('-')?;
    let (year, month) = (digits(year, 4)?, digits(month, 2)?);
    (1..=12).contains(&month).then(|| Point::from(year * 12 + month))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn iso_forms() {
        use Moment as M;
        for (moment, good, bad) in [
            (
                M::Date,
                &["2013-01-31", "2012-02-29"][..],
                &["2013-02-29", "2013-1-31", "31.01.2013", "", "2013-01-31T", "٢٠١٣-01-31"][..],
            ),
            (
                M::Time,
                &["10:00:00", "23:59:59.123", "10:00:00Z", "10:00:00+01:00"],
                &["24:00:00", "10:00", "1:00:00", "10:00:00.", "10:00:60"],
            ),
            (
                M::DateTime,
                &["2013-01-01T10:00:00Z", "2013-01-01T10:00:00", "2013-01-01T10:00:00.5+01:00"],
                &[
                    "2013-01-01 10:00:00",
                    "2013-01-01",
                    "2013-01-01T10:00:00+1",
                    "2013-01-01T25:00:00Z",
                    "é013-01-01T10:00:00Z",
                ],
            ),
        ] {
            good.iter().for_each(|text| assert!(moment.read(&TimeFormat::Default, text).is_some(), "{text}"));
            bad.iter().for_each(|text| assert!(moment.read(&TimeFormat::Default, text).is_none(), "{text}"));
        }
        let read = |text| M::DateTime.read(&TimeFormat::Default, text).unwrap();
        assert_eq!(read("2013-01-01T10:00:00+01:00"), read("2013-01-01T09:00:00Z"));
        assert!(read("1960-01-01T10:00:00Z") < read("2013-01-01T10:00:00Z"));
    }

    #[test]
    fn patterns_are_checked_before_they_are_used() {
        assert!(Moment::Date.check_pattern("%d/%m/%Y").is_ok());
        assert!(Moment::DateTime.check_pattern("%Y-%m-%dT%H:%M:%SZ").is_ok());
        assert!(Moment::DateTime.check_pattern("%Y-%m-%d %H:%M:%S %z").is_ok());
        assert!(Moment::Date.check_pattern("%d/%m").is_err());
        assert!(Moment::Date.check_pattern("%Q1").is_err() || Moment::Date.check_pattern("%q").is_err());
        let pattern = TimeFormat::Pattern("%d/%m/%Y".to_owned());
        assert!(Moment::Date.read(&pattern, "31/01/2013").is_some());
        assert!(Moment::Date.read(&pattern, "01/31/2013").is_none());
    }

    #[test]
    fn any_takes_usual_forms_and_does_not_guess() {
        for text in ["2013-01-31", "2013/01/31", "20130131", "31 Jan 2013", "January 31, 2013"] {
            let iso = Moment::Date.read(&TimeFormat::Default, "2013-01-31");
            assert_eq!(Moment::Date.read(&TimeFormat::Any, text), iso, "{text}");
        }
        assert_eq!(Moment::Date.read(&TimeFormat::Any, "01/02/2013"), None);
        for text in [
            "2013-01-31 10:00:00",
            "2013/01/31 10:00",
            "31 Jan 2013 10:00:00",
            "Thu, 31 Jan 2013 10:00:00 GMT",
        ] {
            let iso = Moment::DateTime.read(&TimeFormat::Default, "2013-01-31T10:00:00Z");
            assert_eq!(Moment::DateTime.read(&TimeFormat::Any, text), iso, "{text}");
        }
        assert!(Moment::Time.read(&TimeFormat::Any, "10:30 PM").is_some());
    }

    #[test]
    fn years_and_months() {
        assert!(year("2013").is_some() && year("13").is_none() && year("+013").is_none());
        assert!(
            year_month("2013-12").is_some()
                && year_month("2013-13").is_none()
                && year_month("2013").is_none()
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9TZP:+. é-]{0,30}") {
            for moment in [Moment::Date, Moment::Time, Moment::DateTime] {
                let _ = moment.read(&TimeFormat::Any, &text);
            }
            let _ = (year(&text), year_month(&text));
        }
    }
}
